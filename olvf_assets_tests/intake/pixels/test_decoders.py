from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLSLossless,
    RLELossless,
)

from olvf_assets.intake.pixels.decoders import PLUGINS, can_decode, decode
from olvf_assets_tests.intake.films_by_dcmtk import FORMS, LOSSY, pixel_sha256, references
from olvf_assets_tests.intake.samples import film, write

LARGER = np.kron(film("one").pixel_array, np.ones((2, 2), np.uint16))  # JPEG 2000 wants 32 pixels a side


def larger(**changes: object) -> Dataset:
    return film("one", Rows=80, Columns=60, **{"PixelData": LARGER.tobytes(), **changes})


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_lossless_films_are_decoded_exactly(tmp_path: Path, syntax: UID) -> None:
    header = larger()
    header.compress(syntax, generate_instance_uid=False)
    found = decode(pydicom.dcmread(write(header, tmp_path / "a.dcm")))
    assert np.array_equal(found & 0x3FFF, LARGER)


@pytest.mark.parametrize("name", ["plain", "plain_8_bit", *(form.name for form in FORMS)])
def test_what_dcmtk_wrote_is_decoded_to_the_pixels_that_dcmtk_finds(name: str) -> None:
    reference = references()[name]
    header = pydicom.dcmread(reference.file)
    assert header.file_meta.TransferSyntaxUID == reference.transfer_syntax
    assert pixel_sha256(decode(header)) == reference.pixel_sha256
    plain = references()[reference.source]
    assert (reference.pixel_sha256 == plain.pixel_sha256) == (name not in LOSSY)


def test_the_reference_films_are_of_every_transfer_syntax_that_dcmtk_writes() -> None:
    syntaxes = {reference.transfer_syntax for reference in references().values()}
    uncompressed = {ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
    no_encoder = {JPEG2000, JPEG2000Lossless, HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL}
    assert syntaxes == uncompressed | (set(PLUGINS) - no_encoder)


@pytest.mark.parametrize("name", ["jpeg_ls_near", "jpeg_baseline", "jpeg_extended_8_bit"])
def test_lossy_films_are_near_the_plain_ones(name: str) -> None:
    reference = references()[name]
    found, plain = (decode(pydicom.dcmread(each)) for each in (reference.file, references()[reference.source].file))
    assert np.abs(found.astype(int) - plain).max() <= 8


def test_every_chosen_plugin_is_one_that_pydicom_has_and_the_first_is_installed() -> None:
    for syntax, plugins in PLUGINS.items():
        decoder = get_decoder(syntax)
        assert plugins[0] in decoder.available_plugins, syntax.name
        assert set(plugins) <= {*decoder.available_plugins, *decoder.missing_dependencies, "pylibjpeg", "gdcm"}


def test_a_plugin_that_fails_is_followed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = larger()
    header.compress(JPEG2000Lossless, generate_instance_uid=False)
    decoder, asked = get_decoder(JPEG2000Lossless), []
    really = decoder.as_array

    def broken(source: Dataset, **options: object) -> object:
        asked.append(options["decoding_plugin"])
        if options["decoding_plugin"] == "pylibjpeg":
            raise RuntimeError("made up")
        return really(source, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(decoder, "as_array", broken)
    assert np.array_equal(decode(header), LARGER)
    assert asked == ["pylibjpeg", "pillow"]


def test_12_bit_lossy_jpeg_and_video_cannot_be_decoded() -> None:
    assert can_decode(JPEGExtended12Bit, 8)
    assert not can_decode(JPEGExtended12Bit, 12)
    assert not can_decode(pydicom.uid.MPEG2MPML, 8)
    assert not can_decode(UID("1.2.3.4"), 14)
