"""Pixels that are not those of one whole film: refused with a true reason, or read without what is no picture."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.tag import Tag
from pydicom.uid import UID, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from olvf_assets.intake.pixels.codestreams import CodestreamError, single_codestream
from olvf_assets.intake.pixels.grey_levels import GreyLevels, grey_levels
from olvf_assets.intake.pixels.pixel_data import stored_film
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets_tests.intake.samples import SETTINGS, film, hospital, pixels

HEIGHT, WIDTH = 96, 80
END = b"\xff\xd9"


def exposure(border: bool = False) -> np.ndarray:
    """Return a smooth picture of 12 bit with noise, uint16 (HEIGHT, WIDTH), with black margins if wanted."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    lots = np.random.default_rng(7)
    picture = 1800 + 1000 * np.sin(y / 20.0) + 700 * np.cos(x / 15.0) + lots.normal(0, 15, (HEIGHT, WIDTH))
    picture = np.clip(picture, 0, 4095).astype(np.uint16)
    if border:
        picture[:12], picture[-30:], picture[:, :10], picture[:, -10:] = 0, 0, 0, 0
    return picture


def twelve_bit(picture: np.ndarray, **changes: Any) -> Dataset:
    bits = {"BitsStored": 12, "HighBit": 11, "WindowCenter": 2048, "WindowWidth": 4096}
    sides = {"Rows": HEIGHT, "Columns": WIDTH}
    return film(**(sides | bits | {"PixelData": picture.tobytes()} | changes))


def compressed(frames: list[bytes], syntax: UID, has_bot: bool = False, **changes: Any) -> Dataset:
    dataset = twelve_bit(exposure(), **changes)
    dataset.PixelData = encapsulate(frames, has_bot=has_bot)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


EIGHT_BIT = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "WindowCenter": 128, "WindowWidth": 256}


def codestream(syntax: UID, border: bool = False, size: tuple[int, int] = (HEIGHT, WIDTH)) -> bytes:
    """Return the exposure compressed, without DICOM around it."""
    picture = exposure(border)[: size[0], : size[1]]
    if syntax == JPEGBaseline8Bit:
        buffer = BytesIO()
        Image.fromarray((picture >> 4).astype(np.uint8)).save(buffer, "JPEG", quality=90)
        return buffer.getvalue()
    dataset = twelve_bit(picture, Rows=size[0], Columns=size[1])
    dataset.compress(syntax, generate_instance_uid=False)
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


SYNTAXES = (RLELossless, JPEGBaseline8Bit, JPEGLSLossless, JPEG2000Lossless)


def bits_of(syntax: UID) -> dict[str, int]:
    return EIGHT_BIT if syntax == JPEGBaseline8Bit else {}


def row_of(tmp_path: Path, dataset: Dataset) -> dict[str, Any]:
    return pixels(hospital(tmp_path, {"film.dcm": dataset}), tmp_path).row(0, named=True)


def picture_of(tmp_path: Path, row: dict[str, Any]) -> np.ndarray:
    return ArtifactStore(tmp_path / "lake").load_image(row["image_path"])


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("border", [False, True])
def test_whole_films_are_accepted_with_and_without_margins(tmp_path: Path, syntax: UID, border: bool) -> None:
    row = row_of(tmp_path, compressed([codestream(syntax, border)], syntax, **bits_of(syntax)))
    assert row["refusal"] is None


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("border", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_a_picture_that_was_cut_and_closed_is_refused(tmp_path: Path, syntax: UID, border: bool, share: float) -> None:
    whole = codestream(syntax, border)
    cut = whole[: int(share * len(whole))] + (b"" if syntax == RLELossless else END)
    row = row_of(tmp_path, compressed([cut], syntax, **bits_of(syntax)))
    assert row["refusal"] in ("corrupt_pixels", "truncated")
    assert row["refusal_detail"]


def test_a_jpeg_without_its_end_marker_is_read_if_nothing_else_is_missing(tmp_path: Path) -> None:
    whole = codestream(JPEGBaseline8Bit)
    row = row_of(tmp_path, compressed([whole[:-2] + END + bytes(2)], JPEGBaseline8Bit, **EIGHT_BIT))
    assert row["refusal"] is None


def test_a_jpeg_filled_up_with_zeros_is_refused(tmp_path: Path) -> None:
    whole = codestream(JPEGBaseline8Bit)
    zeros = whole[: len(whole) // 2] + bytes(len(whole) // 2)
    assert row_of(tmp_path, compressed([zeros], JPEGBaseline8Bit, **EIGHT_BIT))["refusal"] == "corrupt_pixels"


def test_a_tile_that_is_missing_is_noticed_though_every_length_holds() -> None:
    whole = codestream(JPEG2000Lossless)
    place = whole.index(b"\xff\x51") + 2
    half_wide = (WIDTH // 2).to_bytes(4, "big")
    tiled = whole[: place + 20] + half_wide + whole[place + 24 :]  # two tiles promised, one there
    with pytest.raises(CodestreamError, match="1 of 2 tiles") as raised:
        single_codestream(encapsulate([tiled]), JPEG2000Lossless, 2)
    assert raised.value.reason == "corrupt_pixels"


@pytest.mark.parametrize("syntax", SYNTAXES[1:], ids=lambda syntax: syntax.name)
def test_a_codestream_of_other_sides_is_refused_before_it_is_decoded(
    tmp_path: Path, syntax: UID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("olvf_assets.intake.pixels.pixel_data.decode", None)  # would raise another refusal
    row = row_of(tmp_path, compressed([codestream(syntax, size=(64, 48))], syntax, **bits_of(syntax)))
    assert row["refusal"] == "corrupt_pixels"
    assert "the compressed picture has 48 x 64 pixels, the header says 80 x 96" in row["refusal_detail"]


def test_a_jpeg_2000_that_claims_a_billion_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    whole = codestream(JPEG2000Lossless)
    place = whole.index(b"\xff\x51") + 6
    huge = (32_000).to_bytes(4, "big")
    lying = whole[:place] + huge * 2 + whole[place + 8 : place + 16] + huge * 2 + whole[place + 24 :]
    row = row_of(tmp_path, compressed([lying], JPEG2000Lossless))
    assert (row["refusal"], "32000 x 32000" in row["refusal_detail"]) == ("corrupt_pixels", True)


def test_colours_in_a_codestream_that_the_header_does_not_know_are_refused(tmp_path: Path) -> None:
    buffer = BytesIO()
    Image.fromarray(np.dstack([(exposure() >> 4).astype(np.uint8)] * 3)).save(buffer, "JPEG")
    assert row_of(tmp_path, compressed([buffer.getvalue()], JPEGBaseline8Bit, **EIGHT_BIT))["refusal"] == "colour"


def test_a_codestream_of_8_bit_under_a_header_of_12_is_refused(tmp_path: Path) -> None:
    row = row_of(tmp_path, compressed([codestream(JPEGBaseline8Bit)], JPEGBaseline8Bit))
    assert row["refusal"] == "corrupt_pixels"


@pytest.mark.parametrize("has_bot", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_two_compressed_exposures_in_one_file_are_refused(tmp_path: Path, syntax: UID, has_bot: bool) -> None:
    two = [codestream(syntax), codestream(syntax, border=True)]
    row = row_of(tmp_path, compressed(two, syntax, has_bot=has_bot, **bits_of(syntax)))
    assert row["refusal"] == "multi_frame"


@pytest.mark.parametrize("syntax", SYNTAXES[1:], ids=lambda syntax: syntax.name)
def test_two_exposures_in_one_fragment_are_refused(tmp_path: Path, syntax: UID) -> None:
    both = codestream(syntax) + codestream(syntax, border=True)
    assert row_of(tmp_path, compressed([both], syntax, **bits_of(syntax)))["refusal"] == "multi_frame"


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_one_picture_in_several_fragments_is_read(tmp_path: Path, syntax: UID) -> None:
    if syntax == RLELossless:
        return  # PS3.5 A.4.2: one fragment a frame
    whole = codestream(syntax)
    dataset = compressed([whole], syntax, **bits_of(syntax))
    dataset.PixelData = encapsulate([whole], fragments_per_frame=3, has_bot=False)
    assert row_of(tmp_path, dataset)["refusal"] is None


def test_a_file_that_ends_within_a_fragment_is_truncated(tmp_path: Path) -> None:
    dataset = compressed([codestream(JPEGLSLossless)], JPEGLSLossless)
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    folder = hospital(tmp_path, {"film.dcm": buffer.getvalue()[:-500]})
    assert pixels(folder, tmp_path)["refusal"].to_list() == ["truncated"]


def test_pixels_behind_the_picture_are_refused_and_filling_is_not(tmp_path: Path) -> None:
    more = exposure()[: HEIGHT // 2]
    longer = twelve_bit(exposure(), PixelData=exposure().tobytes() + more.tobytes())
    filled = twelve_bit(exposure(), PixelData=exposure().tobytes() + bytes(more.nbytes))
    assert row_of(tmp_path / "a", longer)["refusal"] == "corrupt_pixels"
    assert row_of(tmp_path / "b", filled)["refusal"] is None


def shown(dataset: Dataset) -> GreyLevels:
    """Return the picture of a film, whatever view it shows."""
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    stored, header = stored_film(buffer)
    return grey_levels(stored, header, SETTINGS.window_percentiles)


def wide(factor: int = 4) -> np.ndarray:
    """Return the exposure with values beyond 12 bit."""
    return (exposure().astype(np.uint16) * factor).astype(np.uint16)


@pytest.mark.parametrize("factor", [2, 4, 16])
def test_pixels_with_more_bits_than_stored_are_refused(tmp_path: Path, factor: int) -> None:
    row = row_of(tmp_path, twelve_bit(wide(factor)))
    assert row["refusal"] == "corrupt_pixels"
    assert "Bits Stored is 12" in row["refusal_detail"]


def drawing() -> np.ndarray:
    """Return a cross in bit 15, which shows an overlay."""
    overlay = np.zeros((HEIGHT, WIDTH), np.uint16)
    overlay[40:43], overlay[:, 30:33] = 1 << 15, 1 << 15
    return overlay


@pytest.mark.parametrize("declared", [True, False])
def test_an_overlay_above_the_picture_s_bits_is_left_out(tmp_path: Path, declared: bool) -> None:
    dataset = twelve_bit(exposure() | drawing())
    if declared:
        dataset[0x60000100] = DataElement(Tag(0x60000100), "US", 16)
        dataset[0x60000102] = DataElement(Tag(0x60000102), "US", 15)
    row = row_of(tmp_path / "a", dataset)
    plain = row_of(tmp_path / "b", twelve_bit(exposure()))
    assert (row["refusal"], row["pixel_sha256"]) == (None, plain["pixel_sha256"])


@pytest.mark.parametrize("constant", [0x1000, 0xF000])
def test_bits_that_are_set_everywhere_are_left_out(tmp_path: Path, constant: int) -> None:
    row = row_of(tmp_path / "a", twelve_bit(exposure() | constant))
    plain = row_of(tmp_path / "b", twelve_bit(exposure()))
    assert (row["refusal"], row["pixel_sha256"]) == (None, plain["pixel_sha256"])


def test_signs_above_the_picture_s_bits_are_no_picture(tmp_path: Path) -> None:
    signed = exposure().astype(np.int16) - 2048
    row = row_of(tmp_path, twelve_bit(signed, PixelRepresentation=1, WindowCenter=0))
    assert row["refusal"] is None


def padded(value: int, width: int = 16) -> np.ndarray:
    picture = exposure()
    picture[:, :width], picture[:, -width:] = value, value
    return picture


@pytest.mark.parametrize("value", [4095, 0])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_squeeze_the_contrast(value: int, photometric: str) -> None:
    changes = {"WindowCenter": None, "WindowWidth": None, "PhotometricInterpretation": photometric}
    dataset = twelve_bit(padded(value), **changes)
    dataset.PixelPaddingValue = value
    found = shown(dataset)
    assert found.voi == "percentile"
    assert found.pixels[:, :16].max() == found.pixels[:, -16:].max() == 0
    inside = padded(value)[:, 16:-16]
    low, high = np.percentile(inside, (0.5, 99.5))
    expected = np.clip((inside - low) / (high - low), 0, 1)
    expected = 1 - expected if photometric == "MONOCHROME1" else expected
    assert np.abs(found.pixels[:, 16:-16] / 255 - expected).max() < 0.02


def test_a_range_of_padding_is_left_out_too() -> None:
    picture = padded(4000)
    picture[:, :8] = 4095
    dataset = twelve_bit(picture, WindowCenter=None, WindowWidth=None)
    dataset.PixelPaddingValue, dataset.PixelPaddingRangeLimit = 4095, 4000
    assert shown(dataset).pixels[:, :16].max() == 0
    assert shown(dataset).pixels[:, 16:-16].max() == 255


def test_padding_beyond_bits_stored_and_of_signed_pixels_is_known() -> None:
    marked = padded(0xFFFF)
    dataset = twelve_bit(marked, WindowCenter=None, WindowWidth=None)
    dataset.PixelPaddingValue = 0xFFFF
    assert shown(dataset).pixels[:, :16].max() == 0
    signed = exposure().astype(np.int16) - 2048
    signed[:, :16] = -2000
    dataset = twelve_bit(signed, PixelRepresentation=1, WindowCenter=None, WindowWidth=None)
    dataset["PixelPaddingValue"] = DataElement(Tag("PixelPaddingValue"), "SS", -2000)
    assert shown(dataset).pixels[:, :16].max() == 0


def test_a_negative_slope_turns_the_picture(tmp_path: Path) -> None:
    plain = row_of(tmp_path / "a", twelve_bit(exposure()))
    turned = row_of(tmp_path / "b", twelve_bit(4095 - exposure(), RescaleSlope=-1, RescaleIntercept=4095))
    difference = picture_of(tmp_path / "a", plain).astype(int) - picture_of(tmp_path / "b", turned)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("slope", ["0", "-0.0", "1e-400"])
def test_a_slope_of_zero_is_refused(tmp_path: Path, slope: str) -> None:
    dataset = twelve_bit(exposure(), RescaleIntercept=0)
    dataset["RescaleSlope"] = DataElement(Tag("RescaleSlope"), "DS", slope)
    assert row_of(tmp_path, dataset)["refusal"] == "bad_header"


@pytest.mark.parametrize(("centre", "width"), [(40, 400), (0.5, 1.0), (-600, 1500), (1e9, 1)])
def test_a_window_of_other_units_gives_way_to_the_film_s_own_grey_levels(
    tmp_path: Path, centre: float, width: float
) -> None:
    bright = np.clip(exposure(), 500, None).astype(np.uint16)
    row = row_of(tmp_path, twelve_bit(bright, WindowCenter=centre, WindowWidth=width))
    assert (row["refusal"], row["voi"]) == (None, "percentile")
    assert "1e+09" not in row["voi_detail"]
