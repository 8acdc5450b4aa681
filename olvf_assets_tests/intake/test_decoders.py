import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import get_decoder
from pydicom.uid import (
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    RLELossless,
)

from olvf_assets.intake.decoders import PLUGINS, can_decode, decode
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


@pytest.mark.parametrize(
    "options", [["dcmconv", "+ti"], ["dcmconv", "+tb"], ["dcmconv", "+td"], ["dcmcjpeg", "+e1"], ["dcmcjpeg", "+el"]]
)
def test_what_dcmtk_writes_is_decoded_exactly(tmp_path: Path, options: list[str]) -> None:
    assert shutil.which(options[0]), "DCMTK's programs belong to the development environment"
    plain, other = write(larger(), tmp_path / "a.dcm"), tmp_path / "b.dcm"
    subprocess.run([*options, str(plain), str(other)], check=True, capture_output=True)
    header = pydicom.dcmread(other)
    assert header.file_meta.TransferSyntaxUID != pydicom.uid.ExplicitVRLittleEndian
    assert np.array_equal(decode(header), LARGER)


def test_jpeg_baseline_is_decoded_nearly_exactly(tmp_path: Path) -> None:
    eight = (LARGER >> 6).astype(np.uint8)
    header = larger(BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=eight.tobytes())
    plain, other = write(header, tmp_path / "a.dcm"), tmp_path / "b.dcm"
    subprocess.run(["dcmcjpeg", "+eb", "+q", "95", str(plain), str(other)], check=True, capture_output=True)
    header = pydicom.dcmread(other)
    assert header.file_meta.TransferSyntaxUID == JPEGBaseline8Bit
    assert np.abs(decode(header).astype(int) - eight).mean() < 3


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
