"""What compressed pixel data say of themselves, before any decoder sees them.

What lives here: joining the fragments of one picture (PS3.5 A.4), its sides and components as its own headers give
them, and whether it is whole as far as they tell. What does not: decoding (`decoders`), holding it against the DICOM
header (`pixel_data`).

A decoder believes the codestream, not the DICOM header: it takes the memory of 32,000 x 32,000 pixels if that is what
the codestream claims, and some fill what is missing with grey without a word.
"""

from collections.abc import Iterator
from typing import NamedTuple

from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    RLELossless,
)

from olvf_assets.foundation.errors import OlvfError

JPEG_2000 = (JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K)
# ISO 10918-1 table B.1: start of frame, of which C4, C8 and CC are others; F7 is that of JPEG-LS (ISO 14495-1).
FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})  # without a length
# Sequential DCT and lossless: where their data end early decoders fill up without an error. JPEG-LS, JPEG 2000 and RLE
# decoders raise one.
FILLED_UP_MARKERS = frozenset({0xC0, 0xC1, 0xC3})
START, END = b"\xff\xd8\xff", b"\xff\xd9"
START_2000, TILE_PART = b"\xff\x4f\xff\x51", b"\xff\x90"
MOST_TILES = 65_535  # ISO 15444-1 A.5.1
RLE_HEADER_BYTES = 64


class CodestreamError(OlvfError):
    """Compressed pixel data that are no single whole picture (internal; becomes a refusal). `reason` is the code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


class Codestream(NamedTuple):
    """One compressed picture.

    Attributes:
        data: its bytes, fragments joined.
        width_px, height_px, components, precision_bits: as it says; None in RLE, which does not.
        may_end_early: a decoder would not notice when the data end too early, see `with_more_data`.
    """

    data: bytes
    width_px: int | None = None
    height_px: int | None = None
    components: int | None = None
    precision_bits: int | None = None
    may_end_early: bool = False

    def with_more_data(self) -> bytes:
        """Return the picture with other data before its end marker.

        A decoder that has all it needs does not read on, and gives the same pixels; one that lacks data takes these.
        """
        end = self.data.rfind(END)
        more = bytes((place * 73 + 41) % 255 for place in range(4096))
        scan = self.data[: end if end >= 0 else len(self.data)]
        return scan.rstrip(b"\xff") + more + END  # FF before a marker is filling (ISO 10918-1 B.1.1.2)


def single_codestream(value: bytes, syntax: UID, bytes_per_pixel: int) -> Codestream:
    """Return the one picture in encapsulated pixel data.

    Args:
        value: from the first item tag on.
        syntax: transfer syntax.
        bytes_per_pixel: 1 or 2.

    Raises:
        CodestreamError: `truncated`, `multi_frame`, `corrupt_pixels`.
    """
    offsets, *fragments = _fragments(value)
    if not fragments:
        raise CodestreamError("truncated", "the pixel data are empty; copy or export the film again")
    beginnings = {RLELossless: (b"",)}.get(syntax, (START, START_2000))
    pictures = sum(fragment.startswith(beginnings) for fragment in fragments)
    if pictures > 1 or len(offsets) // 4 > 1:
        raise CodestreamError("multi_frame", "the pixel data hold several compressed pictures; export one a file")
    data = fragments[0] if len(fragments) == 1 else b"".join(fragments)
    if syntax == RLELossless:
        return _rle(data, bytes_per_pixel)
    return _jpeg_2000(data) if syntax in JPEG_2000 else _jpeg(data)


def _fragments(value: bytes) -> Iterator[bytes]:
    position = 0
    while position + 8 <= len(value):
        tag, length = value[position : position + 4], int.from_bytes(value[position + 4 : position + 8], "little")
        position += 8
        if tag == b"\xfe\xff\xdd\xe0":
            break
        if tag != b"\xfe\xff\x00\xe0":
            raise CodestreamError("corrupt_pixels", "the fragments of the pixel data are not where they should be")
        if position + length > len(value):
            detail = f"{len(value) - position} of {length} bytes of a fragment of pixel data; copy the file again"
            raise CodestreamError("truncated", detail)
        yield value[position : position + length]
        position += length
    if position == 0:
        raise CodestreamError("truncated", "the pixel data are empty; copy or export the film again")


def _rle(data: bytes, bytes_per_pixel: int) -> Codestream:
    """Check the header of PS3.5 G.5: segments, and where each begins."""
    numbers = [int.from_bytes(data[place : place + 4], "little") for place in range(0, RLE_HEADER_BYTES, 4)]
    segments, offsets = numbers[0], numbers[1 : numbers[0] + 1]
    if len(data) < RLE_HEADER_BYTES or segments != bytes_per_pixel or offsets != sorted(offsets):
        detail = f"the RLE data are not of {bytes_per_pixel} segments in order, one for each byte of a pixel"
        raise CodestreamError("corrupt_pixels", detail)
    if offsets[-1] >= len(data):
        raise CodestreamError("truncated", "the RLE data end before their last segment; copy the file again")
    return Codestream(data)


def _jpeg(data: bytes) -> Codestream:
    position, frame = 2, None
    while data.startswith(START):
        position = data.find(b"\xff", position)
        while position >= 0 and data[position : position + 2] == b"\xff\xff":
            position += 1
        if position < 0 or position + 4 > len(data):
            break
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        if marker in BARE_MARKERS:
            position += 2
            continue
        if marker in FRAME_MARKERS and position + 10 <= len(data):
            sides = (int.from_bytes(data[place : place + 2], "big") for place in (position + 5, position + 7))
            frame = (marker, data[position + 4], *sides, data[position + 9])
        if marker == 0xDA and frame is not None:
            return _jpeg_picture(data, position, frame)
        position += 2 + length
    raise CodestreamError("corrupt_pixels", "the pixel data are no JPEG, or end within its headers; export again")


def _jpeg_picture(data: bytes, scan: int, frame: tuple[int, ...]) -> Codestream:
    marker, precision, height, width, components = frame
    # Within entropy-coded data FF is never followed by D8 or D9 (ISO 10918-1 F.1.2.3, ISO 14495-1 A.1).
    if data.find(START, scan) >= 0:
        raise CodestreamError("multi_frame", "the pixel data hold several compressed pictures; export one a file")
    if data.rfind(END) < scan and data.endswith(bytes(16)):
        raise CodestreamError("corrupt_pixels", "the JPEG data end in zeros, not in an end marker; copy the file again")
    return Codestream(data, width, height, components, precision, marker in FILLED_UP_MARKERS)


def _jpeg_2000(data: bytes) -> Codestream:
    """Read the SIZ segment (ISO 15444-1 A.5.1) and follow the tile-parts to the end."""
    start = data.find(START_2000)  # behind the boxes of a JP2 file, where someone left them
    sizes = [int.from_bytes(data[place : place + 4], "big") for place in range(start + 8, start + 40, 4)]
    components = int.from_bytes(data[start + 40 : start + 42], "big")
    if start < 0 or len(data) < start + 45 or not components:
        raise CodestreamError("corrupt_pixels", "the pixel data are no JPEG 2000; export the film again")
    width, height, left, top, tile_width, tile_height, tile_left, tile_top = sizes
    depth, x_step, y_step = data[start + 42 : start + 45]
    across, down = (
        -(-(side - first) // tile) if tile else 0
        for side, first, tile in ((width, tile_left, tile_width), (height, tile_top, tile_height))
    )
    if not 1 <= across * down <= MOST_TILES or (x_step, y_step) != (1, 1):
        raise CodestreamError("corrupt_pixels", "the tiles or steps of the JPEG 2000 picture are impossible")
    _check_tile_parts(data, start, across * down)
    return Codestream(data, width - left, height - top, components, (depth & 0x7F) + 1)


def _check_tile_parts(data: bytes, start: int, tiles: int) -> None:
    """Follow the lengths of the tile-parts; where one is left open (0) the decoder finds out whether it is whole."""
    position, seen = start + 2, set()
    while data[position : position + 2] != TILE_PART:
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if length < 2:
            raise CodestreamError("corrupt_pixels", "the JPEG 2000 headers end too early; copy the file again")
        position += 2 + length
    while data[position : position + 2] == TILE_PART:
        length = int.from_bytes(data[position + 6 : position + 10], "big")
        seen.add(data[position + 4 : position + 6])
        if length == 0:
            return
        if length < 12 or position + length > len(data):
            raise CodestreamError("corrupt_pixels", "the JPEG 2000 data end too early; copy the file again")
        position += length
    if len(seen) < tiles:
        raise CodestreamError("corrupt_pixels", f"{len(seen)} of {tiles} tiles are there; copy the file again")
    if data.find(START_2000, position) >= 0:
        raise CodestreamError("multi_frame", "the pixel data hold several compressed pictures; export one a file")
