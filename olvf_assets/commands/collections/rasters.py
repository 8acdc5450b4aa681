"""Picture files as grey values.

What lives here: reading JPEG, PNG, TIFF and BMP of any colours and depths as one grey picture, upright as a viewer
shows it. What does not: which file is a film (`buu`, `mendeley`, `pictures`), films (`films.py`). The format is told by
a file's content, not by its name. Called behind the boundary (`intake.landing.foreign`), for a file may hold anything.
"""

import warnings
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.intake.settings import LARGEST_SIDE_PX

# How a file begins, and who reads it. `Image.open` is not called: where ultralytics is loaded it is another function,
# which fetches a program for formats that are not known.
READERS: dict[bytes, type[ImageFile]] = {
    b"\xff\xd8\xff": JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TiffImageFile),
    b"BM": BmpImageFile,
}
SIXTEEN_BITS = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
WHITE_IS_ZERO, PHOTOMETRIC = 0, 262  # TIFF 6.0: PhotometricInterpretation


class UnusablePictureError(OlvfError):
    """A picture file that no film can be made of (becomes a skipped file). `reason` is the code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        """Return the detail, as messages show it."""
        return self.detail


class Raster(NamedTuple):
    """A grey picture.

    Attributes:
        values: uint8 or uint16 (height_px, width_px), upright.
        white_is_zero: the values run from white to black.
        lossy: it was compressed with loss.
    """

    values: np.ndarray
    white_is_zero: bool
    lossy: bool


def read_raster(content: bytes, least_side_px: int) -> Raster:
    """Return a picture file as grey values: luminance of colours, transparent places black.

    Args:
        content: of the file.
        least_side_px: pictures with a shorter side are thumbnails.

    Raises:
        UnusablePictureError: `not_a_picture`, `damaged_picture`, `several_pictures`, `too_large`, `too_small`,
            `bad_values` (floating-point, negative or beyond 16 bits).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about large pictures (held against a limit here) and odd metadata
        image = _opened(content)
        if max(image.size) > LARGEST_SIDE_PX:
            raise UnusablePictureError("too_large", f"a side has more than {LARGEST_SIDE_PX} px")
        if min(image.size) < least_side_px:
            detail = f"the shorter side is {min(image.size)} px; at least {least_side_px}"
            raise UnusablePictureError("too_small", detail)
        try:
            if getattr(image, "n_frames", 1) > 1:
                raise UnusablePictureError("several_pictures", "the file holds several pictures; save one a file")
            lossy = image.format == "JPEG"
            white_is_zero = image.mode in SIXTEEN_BITS and _tag(image, PHOTOMETRIC) == WHITE_IS_ZERO
            return Raster(_grey(ImageOps.exif_transpose(image)), white_is_zero, lossy)
        except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError) as error:
            detail = f"the picture cannot be read to its end ({type(error).__name__}); download or copy it again"
            raise UnusablePictureError("damaged_picture", detail) from None


def _opened(content: bytes) -> ImageFile:
    for beginning, reader in READERS.items():
        if content.startswith(beginning):
            try:
                return reader(BytesIO(content))
            except (OSError, ValueError, SyntaxError):
                break
    raise UnusablePictureError("not_a_picture", "neither JPEG, PNG, TIFF nor BMP, or damaged")


def _tag(image: Image.Image, number: int) -> object:
    return getattr(image, "tag_v2", {}).get(number)


def _grey(image: Image.Image) -> np.ndarray:
    if image.mode in SIXTEEN_BITS:
        return np.asarray(image).astype(np.uint16)
    if image.mode in ("I", "F"):
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
            raise UnusablePictureError("bad_values", "grey values are no whole numbers from 0 to 65535")
        return values.astype(np.uint16)
    if image.has_transparency_data:
        shown = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", shown.size, (0, 0, 0, 255)), shown)
    return np.asarray(image if image.mode == "L" else image.convert("RGB").convert("L"), dtype=np.uint8)
