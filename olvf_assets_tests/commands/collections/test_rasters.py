"""Pictures of all colours, depths and turns become one upright grey picture, or a reason."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from olvf_assets.commands.collections.rasters import UnusablePictureError, read_raster
from olvf_assets_tests.commands.collections.made_up import encoded, grey

LEAST = 100
PLAIN = grey("plain")


def values(content: bytes) -> np.ndarray:
    return read_raster(content, LEAST).values


@pytest.mark.parametrize("ending", ["PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_a_grey_picture_stays_what_it_is_in_any_colours(ending: str, mode: str) -> None:
    image = Image.fromarray(PLAIN)
    if mode == "P":  # a palette in another order
        image = image.convert("P")
        order = np.random.default_rng(0).permutation(256)
        palette = np.zeros((256, 3), np.uint8)
        palette[order] = np.arange(256)[:, None]
        image = Image.fromarray(order[PLAIN].astype(np.uint8))
        image.putpalette(palette.tobytes())
    found = read_raster(encoded(image if mode != "RGB" else image.convert("RGB"), ending), LEAST)
    assert found.values.dtype == np.uint8
    assert np.array_equal(found.values, PLAIN)
    assert not found.lossy


def test_sixteen_bits_stay_sixteen_bits() -> None:
    deep = grey("deep", kind=np.uint16)
    for ending in ("PNG", "TIFF"):
        found = read_raster(encoded(Image.fromarray(deep), ending), LEAST)
        assert found.values.dtype == np.uint16
        assert np.array_equal(found.values, deep)
        assert not found.white_is_zero


def test_a_tiff_that_runs_from_white_to_black_says_so() -> None:
    deep = grey("deep", kind=np.uint16)
    content = encoded(Image.fromarray(deep), "TIFF", tiffinfo={262: 0})
    assert read_raster(content, LEAST).white_is_zero
    assert np.array_equal(values(content), deep)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["PNG", "TIFF"])
def test_a_turned_picture_stands_upright(orientation: int, ending: str) -> None:
    stored = {  # EXIF 4.6.4: what the file must hold for a viewer to show PLAIN
        1: PLAIN, 2: PLAIN[:, ::-1], 3: PLAIN[::-1, ::-1], 4: PLAIN[::-1],
        5: PLAIN.T, 6: np.rot90(PLAIN), 7: PLAIN[::-1, ::-1].T, 8: np.rot90(PLAIN, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(np.ascontiguousarray(stored)), ending, exif=exif)
    assert np.array_equal(values(content), PLAIN)


@pytest.mark.parametrize("orientation", [6, 3])
def test_a_turned_picture_of_sixteen_bits_stands_upright(orientation: int) -> None:
    deep = grey("deep", kind=np.uint16)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.rot90(deep, {6: 1, 3: 2}[orientation])
    assert np.array_equal(values(encoded(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)), deep)


def test_cmyk_is_no_negative() -> None:
    content = encoded(Image.fromarray(PLAIN).convert("RGB").convert("CMYK"), "JPEG", quality=100, subsampling=0)
    assert np.abs(values(content).astype(int) - PLAIN).mean() < 3
    assert read_raster(content, LEAST).lossy


def test_transparent_places_are_black() -> None:
    colours = np.dstack(
        [PLAIN, PLAIN, PLAIN, np.where(np.arange(PLAIN.shape[1]) < 40, 0, 255)[None].repeat(PLAIN.shape[0], 0)]
    )
    found = values(encoded(Image.fromarray(colours.astype(np.uint8), "RGBA"), "PNG"))
    assert found[:, :40].max() == 0
    assert np.array_equal(found[:, 40:], PLAIN[:, 40:])


def test_a_bilevel_picture_is_black_and_white() -> None:
    found = values(encoded(Image.fromarray(PLAIN > 127), "PNG"))
    assert np.array_equal(found, np.where(PLAIN > 127, 255, 0))


def _png_of(width: int, height: int) -> bytes:
    """Return a PNG whose header promises much."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not_a_picture"),
        (b"\xff\xd8\xff\xe0 no JPEG", "not_a_picture"),
        (b"GIF89a" + bytes(100), "not_a_picture"),
        (encoded(Image.fromarray(PLAIN), "JPEG")[:3000], "damaged_picture"),
        (encoded(Image.fromarray(PLAIN), "PNG")[:300], "damaged_picture"),
        (encoded(Image.fromarray(PLAIN), "TIFF")[:3000], "damaged_picture|not_a_picture"),
        (_png_of(100_000, 100_000), "too_large"),  # a bomb
        (_png_of(10_001, 200), "too_large"),
        (encoded(Image.fromarray(PLAIN[:99]), "PNG"), "too_small"),
        (
            encoded(Image.fromarray(PLAIN), "TIFF", save_all=True, append_images=[Image.fromarray(PLAIN)]),
            "several_pictures",
        ),
        (encoded(Image.fromarray(PLAIN.astype(np.float32)), "TIFF"), "bad_values"),
        (encoded(Image.fromarray(PLAIN.astype(np.int32) - 9), "TIFF"), "bad_values"),
    ],
)
def test_what_is_no_film_has_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(UnusablePictureError) as error:
        read_raster(content, LEAST)
    assert error.value.reason in reason.split("|")
    assert error.value.detail


def test_no_other_program_s_way_of_opening_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ultralytics puts a function in the place of Pillow's that installs a package when a format is not known."""

    def fetching(*_: object, **__: object) -> None:
        raise AssertionError("called")

    monkeypatch.setattr(Image, "open", fetching)
    assert np.array_equal(values(encoded(Image.fromarray(PLAIN), "PNG")), PLAIN)
    with pytest.raises(UnusablePictureError):
        read_raster(b"no picture", LEAST)


def test_whole_numbers_of_32_bits_are_taken_while_they_fit_16() -> None:
    assert np.array_equal(
        values(encoded(Image.fromarray(PLAIN.astype(np.int32) + 60_000), "TIFF")), PLAIN + np.uint16(60_000)
    )


def test_the_format_is_that_of_the_content() -> None:
    buffer = io.BytesIO(encoded(Image.fromarray(PLAIN), "PNG"))
    assert np.array_equal(values(buffer.getvalue()), PLAIN)
