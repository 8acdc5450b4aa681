from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from olvf_assets.intake.headers.headers import dicom_headers
from olvf_assets.intake.pixels.decoders import decode
from olvf_assets.intake.pixels.pixels import film_pixels
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets_tests.intake.samples import (
    NAMES,
    SETTINGS,
    film,
    headers,
    hospital,
    manifest,
    pixels,
    read_in_this_process,
    write,
)


def grey(dataset: Dataset) -> np.ndarray:
    """Return what the header's window makes of a film, by the formula of PS3.3 C.11.2.1.2.1."""
    x = dataset.pixel_array.astype(float)
    return np.rint(255 * np.clip((x - (8192 - 0.5)) / 16383 + 0.5, 0, 1)).astype(np.uint8)


def test_a_film_is_stored_as_8_bit_picture_of_full_size(tmp_path: Path) -> None:
    row = pixels(hospital(tmp_path), tmp_path).row(0, named=True)
    picture = ArtifactStore(tmp_path / "lake").load_image(row["image_path"])
    assert (row["refusal"], row["voi"]) == (None, "window")
    assert picture.shape == (40, 30)
    assert np.array_equal(picture, grey(film("one")))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_compressed_films_give_the_same_pixels_as_uncompressed_ones(tmp_path: Path, syntax: pydicom.uid.UID) -> None:
    larger = np.kron(film("one").pixel_array, np.ones((2, 2), np.uint16))  # JPEG 2000 wants 32 pixels a side
    plain, compressed = (film("one", Rows=80, Columns=60, PixelData=larger.tobytes()) for _ in range(2))
    compressed.compress(syntax, generate_instance_uid=False)
    row = pixels(hospital(tmp_path, {"one.dcm": compressed}), tmp_path).row(0, named=True)
    assert row["refusal"] is None
    picture = ArtifactStore(tmp_path / "lake").load_image(row["image_path"])
    assert np.array_equal(picture, grey(plain))


def test_refused_headers_are_left_out(tmp_path: Path) -> None:
    folder = hospital(tmp_path, {"good.dcm": film(), "ap.dcm": film("ap", ViewPosition="AP")})
    assert pixels(folder, tmp_path)["path"].to_list() == ["films/good.dcm"]


def test_a_constant_image_is_refused(tmp_path: Path) -> None:
    blank = film("blank", PixelData=np.full((40, 30), 7, np.uint16).tobytes())
    row = pixels(hospital(tmp_path, {"blank.dcm": blank}), tmp_path).row(0, named=True)
    assert (row["refusal"], row["refusal_detail"]) == ("constant_image", "every pixel has the same value")
    assert (row["image_path"], row["view"]) == (None, "neutral")


def test_a_window_that_shows_nothing_is_set_aside_and_said(tmp_path: Path) -> None:
    dark = film("dark", WindowCenter=60000, WindowWidth=10)
    row = pixels(hospital(tmp_path, {"dark.dcm": dark}), tmp_path).row(0, named=True)
    assert (row["refusal"], row["voi"]) == (None, "percentile")
    assert row["voi_detail"] == "window 60000 / 10 shows every pixel alike"


def test_corrupt_compressed_pixels_are_refused_and_the_others_go_on(tmp_path: Path) -> None:
    broken = film("broken")
    broken.compress(RLELossless, generate_instance_uid=False)
    broken.PixelData = pydicom.encaps.encapsulate([b"\x01\x00\x00\x00" + b"\x07" * 200])
    folder = hospital(tmp_path, {"a.dcm": broken, "b.dcm": film("one")})
    assert pixels(folder, tmp_path)["refusal"].to_list() == ["corrupt_pixels", None]


def test_the_same_exposure_under_another_instance_is_a_duplicate(tmp_path: Path) -> None:
    again = film("one", SOPInstanceUID="1.2.3.999")
    table = pixels(hospital(tmp_path, {"a.dcm": film("one"), "b.dcm": again}), tmp_path)
    assert table["refusal"].to_list() == [None, "duplicate"]
    assert table["image_path"].null_count() == 1


class Decoder:
    """Counts the films that are decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.decode = 0, decode
        monkeypatch.setattr("olvf_assets.intake.pixels.pixel_data.decode", self)
        read_in_this_process(monkeypatch)

    def __call__(self, header: Dataset) -> np.ndarray:
        self.count += 1
        return self.decode(header)

    def since_last_asked(self) -> int:
        count, self.count = self.count, 0
        return count


def test_ten_new_films_cost_ten_decodings_and_none_cost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = film("broken", PixelData=np.full((40, 30), 7, np.uint16).tobytes())
    folder = hospital(tmp_path, {"one.dcm": film("one"), "two.dcm": film("two", "A-2"), "broken.dcm": broken})
    decoder = Decoder(monkeypatch)
    lines: list[str] = []
    first = pixels(folder, tmp_path, lines.append)
    assert decoder.since_last_asked() == 3
    assert pixels(folder, tmp_path, lines.append).equals(first)
    assert decoder.since_last_asked() == 0  # not even the refused one
    assert lines[-1] == "3 films of institution_1 were decoded before"
    for number in range(10):
        write(film(f"new {number}"), folder / "films" / f"{number}.dcm")
    assert pixels(folder, tmp_path).height == 13
    assert decoder.since_last_asked() == 10


def test_a_refused_film_is_tried_again_with_other_decoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = hospital(tmp_path, {"x.dcm": film("x", PixelData=np.full((40, 30), 7, np.uint16).tobytes())})
    pixels(folder, tmp_path)
    decoder = Decoder(monkeypatch)
    monkeypatch.setattr("olvf_assets.intake.pixels.pixels.installed_decoders", lambda: "a later release")
    pixels(folder, tmp_path)
    assert decoder.since_last_asked() == 1


def test_a_film_whose_picture_was_lost_is_decoded_again(tmp_path: Path) -> None:
    folder = hospital(tmp_path)
    first = pixels(folder, tmp_path)
    picture = tmp_path / "lake" / first["image_path"][0]
    picture.unlink()
    assert pixels(folder, tmp_path).equals(first)
    assert picture.exists()


def test_a_file_exchanged_after_it_was_listed_is_refused(tmp_path: Path) -> None:
    folder = hospital(tmp_path)
    listed = headers(folder)
    write(film("three"), folder / "films" / "one.dcm")
    table = film_pixels(folder, listed, ArtifactStore(tmp_path / "lake"), NAMES, SETTINGS, workers=1)
    assert table["refusal"].to_list() == ["changed_since_listed", None]


def test_many_films_are_read_and_decoded_in_processes_of_their_own_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hospital(tmp_path, {f"{name}.dcm": film(name) for name in "abc"} | {"text.dcm": b"no film"})
    listed = headers(folder)
    alone = film_pixels(folder, listed, ArtifactStore(tmp_path / "lake"), NAMES, SETTINGS, workers=1)
    monkeypatch.setattr("olvf_assets.intake.headers.headers.HEADERS_PER_PROCESS", 1)
    monkeypatch.setattr("olvf_assets.intake.pixels.pixels.FILMS_PER_PROCESS", 1)
    known = {NAMES.patient("A-1")}
    again = dicom_headers(folder, manifest(folder), known, NAMES, SETTINGS, workers=2)
    assert again.equals(listed)
    lines: list[str] = []
    apart = film_pixels(
        folder, again, ArtifactStore(tmp_path / "other"), NAMES, SETTINGS, workers=2, report=lines.append
    )
    assert apart.equals(alone)
    assert lines[-1] == "3/3 films of institution_1"
