"""The stored pixel values of one DICOM film, or why they are not those of one whole film.

What lives here: pixel data held against the header's promises (length, number of pictures, sides, bits), decoding, and
whether a decoder filled up what was missing. What does not: reading a compressed picture's own headers
(`codestreams`), which library decodes (`decoders`), grey levels (`grey_levels`).
"""

from typing import BinaryIO

import numpy as np
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.intake.headers.dicom_files import OVERLAY_BIT_POSITION, OVERLAY_BITS, OVERLAYS, read_dicom, tags_of
from olvf_assets.intake.headers.element_walk import PixelElement, UnreadableDicomError
from olvf_assets.intake.headers.values import integer, uid_of
from olvf_assets.intake.pixels.codestreams import Codestream, CodestreamError, single_codestream
from olvf_assets.intake.pixels.decoders import decode
from olvf_assets.intake.pixels.holes import first_hole

# What decoding and grey levels need.
ATTRIBUTES = (
    "SpecificCharacterSet", "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope",
    "RescaleIntercept", "ModalityLUTSequence", "VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth",
)  # fmt: skip
END_OF_FRAGMENTS = b"\xfe\xff\xdd\xe0\0\0\0\0"  # PS3.5 A.4
# Where a decoder filled up the end of a picture these last pixels are alike.
LAST_PIXELS = 8


class UnusablePixelsError(OlvfError):
    """The pixels of one film cannot be used (internal; becomes a refusal in the table). `reason` is the code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def stored_film(handle: BinaryIO) -> tuple[np.ndarray, Dataset]:
    """Return the stored values of a film, integers (height_px, width_px), perhaps read-only, and its header.

    Raises:
        UnusablePixelsError: `truncated`, `multi_frame`, `colour`, `bad_header`, `too_large`, or `corrupt_pixels`: cut
            short, with a piece that was never copied, another picture than the header describes, or values beyond
            Bits Stored.
        Exception: whatever a decoder raises for pixels that cannot be decoded.
    """
    try:
        found = read_dicom(handle, tags_of(ATTRIBUTES))
        header, pixels = found
        if pixels is None:
            raise UnusablePixelsError("truncated", "the file ends before its pixel data; copy it again from the PACS")
        image = _described(header)
        syntax = uid_of(header.file_meta.TransferSyntaxUID)
        if pixels.stream is handle:  # and not what it inflates to, which is as long as it was
            _refuse_hole(image, pixels)
        stored = _decompressed(image, pixels, syntax) if pixels.length is None else _native(image, pixels)
    except (UnreadableDicomError, CodestreamError) as error:
        raise UnusablePixelsError(error.reason, error.detail) from error
    if stored.shape != (image.Rows, image.Columns) or stored.dtype.kind not in "iu":
        raise UnusablePixelsError("corrupt_pixels", f"decoded to {stored.dtype} {stored.shape}")
    stored = stored.astype(stored.dtype.newbyteorder("="), copy=False)
    _check_bits(stored, header, image.BitsStored)
    return stored, header


def _described(header: Dataset) -> Dataset:
    """Return what decoders need to know, read tolerantly, without pixels."""
    if (integer(header, "SamplesPerPixel") or 1) != 1:
        raise UnusablePixelsError("colour", "Samples per Pixel is not 1: the pixels are coloured")
    image = Dataset()
    image.file_meta = header.file_meta
    implicit, little = header.original_encoding
    image.set_original_encoding(implicit, little, "ascii")
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored"):
        value = integer(header, keyword)
        if not value:
            raise UnusablePixelsError("bad_header", f"{keyword} is missing or no number")
        setattr(image, keyword, value)
    image.HighBit, image.NumberOfFrames = image.BitsStored - 1, 1
    image.PixelRepresentation = integer(header, "PixelRepresentation") or 0
    return image


def _refuse_hole(image: Dataset, pixels: PixelElement) -> None:
    """Refuse pixel data of which a piece was never copied."""
    pixels.stream.seek(pixels.offset)
    content = pixels.stream.read() if pixels.length is None else pixels.stream.read(pixels.length)
    if pixels.length is None and (delimiter := content.rfind(END_OF_FRAGMENTS)) >= 0:
        content = content[:delimiter]
    row_bytes = None if pixels.length is None else image.Columns * image.BitsAllocated // 8
    hole = first_hole(np.frombuffer(content, np.uint8), pixels.offset, row_bytes=row_bytes)
    if hole is not None:
        detail = (
            f"bytes {hole.start} to {hole.end} of the file are zeros in the place of pixels: a piece was never copied "
            "(a broken transfer, an unreadable CD); copy the file again"
        )
        raise UnusablePixelsError("corrupt_pixels", detail)


def _native(image: Dataset, pixels: PixelElement) -> np.ndarray:
    needed = image.Rows * image.Columns * image.BitsAllocated // 8
    length = min(pixels.length or 0, pixels.present)
    if length < needed:
        raise UnusablePixelsError("truncated", f"{length} of {needed} bytes of pixel data; copy the file again")
    if not pixels.is_integer or image.BitsAllocated not in (8, 16):
        raise UnusablePixelsError("bad_header", "the pixels are no integers of 8 or 16 bit")
    pixels.stream.seek(pixels.offset)
    content = pixels.stream.read(length)
    if length > needed:
        _check_rest(np.frombuffer(content, np.uint8, offset=needed), needed, needed // image.Rows)
    image.add_new("PixelData", pixels.vr, content[:needed] + b"\0" * (needed % 2))
    return decode(image)


def _check_rest(rest: np.ndarray, picture_bytes: int, row_bytes: int) -> None:
    """Refuse what stands behind a picture if it is more than filling."""
    if rest.size < row_bytes or rest.min() == rest.max():
        return
    if rest.size >= picture_bytes:
        raise UnusablePixelsError("multi_frame", "a second picture stands behind the first; export one a file")
    detail = f"{rest.size} bytes more of pixel data than rows and columns need: the picture has other sides"
    raise UnusablePixelsError("corrupt_pixels", detail)


def _decompressed(image: Dataset, pixels: PixelElement, syntax: UID) -> np.ndarray:
    if not syntax.is_compressed:
        raise UnusablePixelsError("corrupt_pixels", "the pixel data are in fragments, the transfer syntax has none")
    pixels.stream.seek(pixels.offset)
    value = pixels.stream.read()
    picture = single_codestream(value, syntax, image.BitsAllocated // 8)
    _check_picture(picture, image)
    stored = decode(_with_pixels(image, value))
    if picture.may_end_early and stored.ndim == 2 and np.ptp(stored[-1, -LAST_PIXELS:]) == 0:
        try:
            more = encapsulate([picture.with_more_data()], has_bot=False)
            whole = np.array_equal(decode(_with_pixels(image, more)), stored)
        except Exception:  # plug-ins raise what they like: this one took the added data for the picture's
            whole = False
        if not whole:
            detail = "the compressed pixel data end before the picture is complete; copy or export the film again"
            raise UnusablePixelsError("corrupt_pixels", detail)
    return stored


def _with_pixels(image: Dataset, value: bytes) -> Dataset:
    image.add_new("PixelData", "OB", value)
    image["PixelData"].is_undefined_length = True
    return image


def _check_picture(picture: Codestream, image: Dataset) -> None:
    if picture.width_px is None:
        return
    if (picture.height_px, picture.width_px) != (image.Rows, image.Columns):
        detail = (
            f"the compressed picture has {picture.width_px} x {picture.height_px} pixels, the header says "
            f"{image.Columns} x {image.Rows}; export the film again"
        )
        raise UnusablePixelsError("corrupt_pixels", detail)
    if picture.components != 1:
        raise UnusablePixelsError("colour", f"the compressed picture has {picture.components} colours, the header one")
    if (picture.precision_bits or 16) <= 8 < image.BitsStored:
        detail = f"the compressed picture has {picture.precision_bits} bit, the header says {image.BitsStored}"
        raise UnusablePixelsError("corrupt_pixels", detail)


def _check_bits(stored: np.ndarray, header: Dataset, bits: int) -> None:
    """Refuse pixels whose bits above Bits Stored carry the picture.

    They may also be the sign (PS3.5 8.1.1), an overlay (which old files keep there, (60xx,0102)), a mark of padding,
    or the same everywhere: then they are left out.
    """
    full = stored.view(np.uint16) if stored.dtype.itemsize == 2 else stored.astype(np.uint16)
    if bits >= 8 * stored.dtype.itemsize or not int(full.max()) >> bits:
        return
    above = (full >> bits).astype(np.uint16)
    if integer(header, "PixelRepresentation") == 1:
        sign = np.where(full >> (bits - 1) & 1, (1 << (8 * stored.dtype.itemsize - bits)) - 1, 0)
        above = above ^ sign.astype(np.uint16)
    above &= ~np.uint16(_overlay_bits(header) >> bits)
    if (padding := integer(header, "PixelPaddingValue")) is not None:
        above[full == padding & 0xFFFF] = 0
    if above.min() != above.max() and _carries_picture(full, above, bits):
        most = int(full.max())
        detail = (
            f"Bits Stored is {bits}, and the pixels have values up to {most} ({most.bit_length()} bits): the header "
            "is of another picture; export the film again"
        )
        raise UnusablePixelsError("corrupt_pixels", detail)


def _overlay_bits(header: Dataset) -> int:
    """Return a mask of the bits of a pixel that hold overlays."""
    mask = 0
    for overlay in OVERLAYS:
        if OVERLAY_BIT_POSITION + overlay in header:
            element = header.get_item(OVERLAY_BIT_POSITION + overlay)
            size = header.get_item(OVERLAY_BITS + overlay) if OVERLAY_BITS + overlay in header else None
            position, allocated = (_two_bytes(each) for each in (element, size))
            if 0 < position < 16 and allocated != 1:  # 1: the overlay has data of its own
                mask |= 1 << position
    return mask


def _two_bytes(element: object) -> int:
    value = getattr(element, "value", None)
    if isinstance(value, bytes):
        return int.from_bytes(value[:2], "little" if getattr(element, "is_little_endian", True) else "big")
    return value if isinstance(value, int) else 0


def _carries_picture(full: np.ndarray, above: np.ndarray, bits: int) -> bool:
    """Return whether neighbours that differ in the bits above are closer with those bits than without.

    Where the picture goes on in those bits its values run on across their steps; a drawing in them does not follow it.
    """
    steps_with, steps_without = [], []
    for axis in (0, 1):
        before, after = (slice(None, -1), slice(1, None)) if axis == 0 else (np.s_[:, :-1], np.s_[:, 1:])
        differ = above[before] != above[after]
        left, right = full[before][differ].astype(np.int32), full[after][differ].astype(np.int32)
        mask = (1 << bits) - 1
        steps_with.append(np.abs(left - right))
        steps_without.append(np.abs((left & mask) - (right & mask)))
    return bool(np.median(np.concatenate(steps_with)) < np.median(np.concatenate(steps_without)))
