"""Files of which a piece was never copied, beside films that are black in places by themselves."""

from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmwrite
from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless, RLELossless

from olvf_assets.intake.pixels.holes import Hole, first_hole
from olvf_assets.intake.pixels.pixel_data import UnusablePixelsError, stored_film
from olvf_assets_tests.intake.samples import film

HEIGHT, WIDTH = 800, 600


def exposure() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    noise = np.random.default_rng(3).normal(0, 25, (HEIGHT, WIDTH))
    return np.clip(1800 + 1000 * np.sin(y / 90) + 700 * np.cos(x / 60) + noise, 1, 4095).astype(np.uint16)


def file_of(picture: np.ndarray, syntax: UID | None = None) -> bytearray:
    height, width = picture.shape
    bits = {"BitsStored": 12, "HighBit": 11, "Rows": height, "Columns": width}
    dataset = film(**bits, PixelData=picture.tobytes())
    if syntax is not None:
        dataset.compress(syntax, generate_instance_uid=False)
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return bytearray(buffer.getvalue())


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("piece_bytes", [2048, 4096, 65_536], ids=["CD", "disk", "network"])
def test_the_rest_of_a_file_that_was_never_copied_is_noticed(syntax: UID | None, piece_bytes: int) -> None:
    content = file_of(exposure(), syntax)
    start = len(content) // 2 // piece_bytes * piece_bytes
    content[start:] = bytes(len(content) - start)
    with pytest.raises(UnusablePixelsError) as refusal:
        stored_film(BytesIO(bytes(content)))
    assert refusal.value.reason == "corrupt_pixels"
    if syntax is None:  # compressed pictures lack their end marker too
        assert f"bytes {start} to {len(content)} of the file are zeros" in refusal.value.detail


@pytest.mark.parametrize("syntax", [None, JPEGLSLossless, JPEG2000Lossless])
def test_a_piece_missing_in_the_middle_is_noticed(syntax: UID | None) -> None:
    content = file_of(exposure(), syntax)
    content[40_960:49_152] = bytes(8192)
    with pytest.raises(UnusablePixelsError, match="bytes 40960 to 49152 of the file are zeros"):
        stored_film(BytesIO(bytes(content)))


def shutters() -> dict[str, np.ndarray]:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    wide = np.full((600, 2048), 900, np.uint16)  # rows of 4096 bytes
    wide[480:] = wide[:40] = 0
    return {
        "below": np.where(y < 500, exposure(), 0).astype(np.uint16),
        "around": np.where((abs(y - 400) < 240) & (abs(x - 300) < 180), exposure(), 0).astype(np.uint16),
        "circle": np.where((y - 400) ** 2 + (x - 300) ** 2 < 260**2, exposure(), 0).astype(np.uint16),
        "rows of pieces": wide,
    }


@pytest.mark.parametrize("picture", shutters().values(), ids=shutters().keys())
@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless])
def test_black_parts_of_a_film_are_no_holes(picture: np.ndarray, syntax: UID | None) -> None:
    stored, _ = stored_film(BytesIO(bytes(file_of(picture, syntax))))
    assert np.array_equal(stored, picture)


def test_shutters_at_any_place_are_no_holes() -> None:
    lots = np.random.default_rng(11)
    for _ in range(2000):
        picture = lots.integers(1, 200, (60, int(lots.integers(1000, 1500))), dtype=np.uint16)
        top, bottom = sorted(lots.integers(0, 60, 2))
        picture[:top], picture[bottom:] = 0, 0
        offset = int(lots.integers(300, 3000))
        assert first_hole(picture.reshape(-1).view(np.uint8), offset, row_bytes=picture.shape[1] * 2) is None


def test_holes_are_counted_from_the_beginning_of_the_file() -> None:
    content = np.full(20_000, 7, np.uint8)
    content[3096:7192] = 0
    assert first_hole(content, 1000) == Hole(4096, 8192)
    assert first_hole(content, 1001) is None
    assert first_hole(content[:0], 1000) is None
