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

    Pixel for pixel what imgaug's `Sequential` of the six augmenters gives with these seeds (a test says so), in less
    than half its time: imgaug's own functions where they are quick, the random numbers of its generators, and its
    arithmetic without its detours.

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
    import cv2

    iaa = imgaug_augmenters()
    drawn = draw_strengths(seed, ranges)
    # imgaug keeps parameters as float32
    sigma_px, sharpness, gamma = (np.float32(each) for each in (drawn.blur_sigma_px, drawn.sharpness, drawn.gamma))
    generator_seed = operators_seed(seed)
    altered = _dropped_out(image, drawn.dropout, _generator(generator_seed, 2))
    altered = iaa.blur_gaussian_(altered, sigma_px)
    altered = _sharpened(altered, sharpness)
    altered = iaa.adjust_contrast_gamma(altered, gamma)
    altered = cv2.add(altered, _noise(image.shape, drawn.noise * 255, generator_seed + 1), dtype=cv2.CV_8U)
    return cv2.filter2D(altered, -1, _edge_kernel(np.float32(drawn.edge_alpha)))


def operators_seed(seed: int) -> int:
    """Return the seed of imgaug's generators for a copy's seed; the noise takes the next one."""
    return derive_seed(seed, "operators") % 2**31


def _generator(seed: int, parameters: int) -> np.random.Generator:
    """Return the generator that imgaug makes of a seed, advanced by one number for each parameter drawn before."""
    generator = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed)))
    generator.random(parameters)
    return generator


def _dropped_out(image: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Return the picture with pixels set to 0 where a draw of Binomial(1, 1 - share) is 0.

    NumPy draws such a number by inversion from one uniform one, which is compared here for the whole picture at once.
    """
    dropped = 1.0 - float(np.float32(1 - share))
    return image * (generator.random(image.shape) <= np.exp(np.log(1.0 - dropped)))


def _noise(shape: tuple[int, ...], scale: float, seed: int) -> np.ndarray:
    """Return whole draws of a normal distribution, int16, as imgaug rounds them."""
    normal = _generator(seed, 3).standard_normal(shape)
    noise = np.multiply(normal, float(np.float32(scale)), out=np.empty(shape, np.float32), casting="same_kind")
    return np.rint(noise, out=noise).astype(np.int16)


def _sharpened(image: np.ndarray, factor: np.float32) -> np.ndarray:
    """Return what PIL's ImageEnhance.Sharpness gives: the picture mixed with its smoothed self, beyond it above 1.

    PIL smooths with 1 1 1, 1 5 1, 1 1 1 over 13, rounds, leaves the outermost pixels, and cuts decimals after mixing.
    """
    import cv2

    if factor == 1.0 or min(image.shape) < 3:
        return image
    sums = cv2.boxFilter(image, cv2.CV_16S, (3, 3), normalize=False).view(np.uint16)
    sums += image.astype(np.uint16) << 2
    smooth = image.copy()
    smooth[1:-1, 1:-1] = ((2 * sums + np.uint16(13)) // np.uint16(26))[1:-1, 1:-1]
    mixed = image.astype(np.float32)
    mixed -= smooth
    mixed *= factor
    mixed += smooth
    return np.clip(mixed, 0, 255, out=mixed).astype(np.uint8)


def _edge_kernel(alpha: np.float32) -> np.ndarray:
    """Return imgaug's kernel of EdgeDetect: the picture and its Laplacian, mixed."""
    nothing, edges = np.zeros((3, 3), np.float32), np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32)
    nothing[1, 1] = 1
    return (1 - alpha) * nothing + alpha * edges


def imgaug_augmenters() -> ModuleType:
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
