"""The six-step imgaug augmentation of the thesis (Table 3), for detector copies and for replicas of crops.

What lives here: drawing the strengths and applying the operators to one picture. What does not: deciding which
pictures are copied how often (`copies.py` here, the balancing in `classification`), and Table 4's on-the-fly changes.
"""

from types import ModuleType
from typing import NamedTuple

import numpy as np

from olvf_assets.detection.settings import AugmentationRanges
from olvf_assets.foundation.seeds import derive_seed


class Strengths(NamedTuple):
    """One draw per operator, in the order in which they are applied; see `AugmentationRanges` for the units."""

    dropout: float
    blur_sigma_px: float
    sharpness: float
    gamma: float
    noise: float
    edge_alpha: float


def draw_strengths(seed: int, ranges: AugmentationRanges) -> Strengths:
    """Return the operators' strengths, each uniform within its range and decided by `seed` alone."""
    rng = np.random.default_rng(derive_seed(seed, "strengths"))
    return Strengths(*(float(rng.uniform(*getattr(ranges, name))) for name in Strengths._fields))


def augment(image: np.ndarray, seed: int, ranges: AugmentationRanges) -> np.ndarray:
    """Return an augmented copy of a grey picture; geometry stays, so boxes stay valid.

    Args:
        image: uint8 array, shape (height_px, width_px).
        seed: decides strengths and noise; the same seed gives the same bytes in any process and any order.
        ranges: bounds of the strengths.

    Returns:
        uint8 array of the same shape.

    Raises:
        ValueError: if the picture is not uint8 of two axes.
    """
    if image.dtype != np.uint8 or image.ndim != 2:
        raise ValueError(f"expected uint8 (height, width), got {image.dtype} {image.shape}")
    iaa = _imgaug_augmenters()
    drawn = draw_strengths(seed, ranges)
    generator_seed = derive_seed(seed, "operators") % 2**31
    steps = iaa.Sequential(
        [
            iaa.Dropout(p=drawn.dropout, seed=generator_seed),
            iaa.GaussianBlur(sigma=drawn.blur_sigma_px, seed=generator_seed),
            iaa.pillike.EnhanceSharpness(factor=drawn.sharpness, seed=generator_seed),
            iaa.GammaContrast(gamma=drawn.gamma, seed=generator_seed),
            iaa.AdditiveGaussianNoise(scale=drawn.noise * 255, seed=generator_seed + 1),
            iaa.EdgeDetect(alpha=drawn.edge_alpha, seed=generator_seed),
        ],
        random_order=False,
        seed=generator_seed,
    )
    return np.ascontiguousarray(steps.augment_image(image))


def _imgaug_augmenters() -> ModuleType:
    """Return `imgaug.augmenters`.

    imgaug 0.4.0 (2020, the last release) reads `np.sctypes`, which numpy 2 removed; it is put back for the import.
    To be dropped together with imgaug.
    """
    kinds = {
        "int": [np.int8, np.int16, np.int32, np.int64],
        "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
        "float": [np.float16, np.float32, np.float64],
        "complex": [np.complex64, np.complex128],
        "others": [bool, object, bytes, str, np.void],
    }
    vars(np).setdefault("sctypes", kinds)
    import imgaug.augmenters

    return imgaug.augmenters
