"""What a picture itself tells of how it was taken, where its header does not.

What lives here: measuring a picture (mirror symmetry of the trunk, lung above the spine) and the last word on view and
body part. What does not: the header's words (`view_rules`), decoding (`pixels`).

A frontal film of the trunk is its own mirror image about the spine; a lateral one is not: belly in front, back behind.
That is coarse and needs no training. Whether a lateral spine is bent cannot be seen without a neutral film of the same
patient, so a bent film is only ever known from its header. Limits were set on phantom films (benchmarks/intake.py shows
the confusion) with an undecided band between; no film of a patient has been seen, so what falls between is refused.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np

GRID_MM = 4.0  # the spine is 10 of these wide, an arch or a rib is not seen


class PictureTraits(NamedTuple):
    """Measures of one picture.

    Attributes:
        mirror: correlation, -1 to 1, of the picture with its mirror image about the best upright axis.
        lung_share: share of the field's height, from above, that lung brightens in a lateral film, 0 to 1.
    """

    mirror: float
    lung_share: float


def picture_traits(pixels: np.ndarray, pixel_mm: float) -> PictureTraits:
    """Measure a picture.

    Args:
        pixels: uint8 (height_px, width_px), 0 black, bright = dense.
        pixel_mm: spacing of its pixels.
    """
    field = exposed_field(_small(pixels, pixel_mm))
    return PictureTraits(round(mirror_symmetry(field), 3), round(lung_share(field), 3))


def _small(pixels: np.ndarray, pixel_mm: float) -> np.ndarray:
    size = tuple(max(8, round(each * pixel_mm / GRID_MM)) for each in pixels.shape)
    small: Any = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)
    return small.astype(np.float32)


def exposed_field(small: np.ndarray) -> np.ndarray:
    """Return the picture without its collimated margins: outer rows and columns that are black nearly throughout."""
    bright = small > BLACK
    rows = np.flatnonzero(bright.mean(axis=1) > LEAST_BRIGHT)
    columns = np.flatnonzero(bright.mean(axis=0) > LEAST_BRIGHT)
    if rows.size < 8 or columns.size < 8:
        return small
    return small[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def mirror_symmetry(field: np.ndarray) -> float:
    """Return the largest correlation of the field with its mirror image, over upright axes in its middle half.

    Every row's mean is taken off first: brightness that changes from top to bottom is not symmetry.
    """
    smooth: Any = cv2.GaussianBlur(field, (0, 0), 1.5)
    width = smooth.shape[1]
    best = -1.0
    for doubled in range(width // 2, width + width // 2 + 1):  # twice the column of the axis
        reach = min(doubled, 2 * width - doubled) // 2
        left = smooth[:, (doubled + 1) // 2 - reach : (doubled + 1) // 2]
        right = smooth[:, doubled // 2 : doubled // 2 + reach][:, ::-1]
        middle = (left.mean(axis=1, keepdims=True) + right.mean(axis=1, keepdims=True)) / 2
        left, right = left - middle, right - middle
        power = float(np.sqrt((left**2).sum() * (right**2).sum()))
        if power > 0:
            best = max(best, float((left * right).sum()) / power)
    return best
