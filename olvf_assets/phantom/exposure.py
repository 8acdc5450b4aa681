"""From attenuation to tone: exposure, scatter, noise and the maker's processing.

What lives here: the physics and the processing on maps at `FINE`. Attenuation follows Beer and Lambert with one
effective energy; scatter is a blurred share of the primary radiation; noise is that of the detected quanta, so it is
strongest behind the thickest part. What does not: shapes, and grey values as stored (`film.py`).
"""

import numpy as np

from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.phantom.maps import blur, resize, shrink
from olvf_assets.phantom.projection import FINE, Beam
from olvf_assets.phantom.settings import SyntheticInstitution

# Per mm at about 55 keV; bone beyond the tissue it replaces.
TISSUE_PER_MM, BONE_PER_MM = 0.0195, 0.040
FOCAL_BLUR_MM = 0.29  # of a 1.2 mm focus and of breathing, in the detector plane
BLACK = np.float32(4.0)  # nepers below the mean trunk's tone, behind the shutters


def trabeculae(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return float32 map at `FINE` of the spongiosa's upright texture, nepers per mm of compact bone, mean 0."""
    rng = np.random.default_rng(derive_seed(seed, "trabeculae"))
    noise = rng.standard_normal((shape[0] // 2 + 1, shape[1] // 2 + 1), dtype=np.float32)
    return resize(blur(noise, 0.7, 2.2) * np.float32(4.4 * 0.13 * BONE_PER_MM), shape)


def expose(path: np.ndarray, scatter: float, body_width_mm: float) -> np.ndarray:
    """Return float32 exposure of the detector at `FINE`, 1 behind a trunk of mean width without scatter."""
    primary = np.exp(np.float32(TISSUE_PER_MM * body_width_mm) - path)
    small = shrink(np.minimum(primary, 12), 8)
    haze = blur(small, 14) * 0.6 + blur(small, 30) * 0.4
    haze = resize(np.minimum(haze, 4), path.shape)
    return (primary + np.float32(scatter) * haze) / np.float32(1 + scatter)


def noise_deviation(exposure: np.ndarray, quanta: float, site: SyntheticInstitution) -> np.ndarray:
    """Return float32 standard deviation of the log exposure's noise, nepers, with the processing's gain."""
    gain = (1 + 0.8 * site.edge_enhancement) * site.contrast
    return np.float32(gain / np.sqrt(quanta)) / np.sqrt(exposure)


def develop(
    exposure: np.ndarray, site: SyntheticInstitution, sharp_px: float = 4.0, even_px: float = 72.0
) -> np.ndarray:
    """Return float32 tone at `FINE`, nepers, bright = dense: logarithm, range compression, edge enhancement.

    Args:
        exposure: float32 at `FINE`, 1 behind a mean trunk.
        site: how strongly each is done.
        sharp_px: reach of edge enhancement, standard deviation, px of the map.
        even_px: the same of range compression.
    """
    tone = -np.log(np.maximum(exposure, 1e-4))
    slow = resize(blur(shrink(np.clip(tone, -3.0, 3.0), 8), even_px / 8), tone.shape)
    fast = blur(tone, sharp_px)
    tone += np.float32(site.edge_enhancement) * (tone - fast)
    tone -= np.float32(site.range_compression) * slow
    return tone * np.float32(site.contrast)


def collimate(tone: np.ndarray, noise: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return tone and noise with everything outside the field (`mask` 0) masked black, as makers' shutters do."""
    return (tone + BLACK) * mask - BLACK, noise * mask


def opening(shape: tuple[int, ...], beam: Beam) -> np.ndarray:
    """Return float32 map at `FINE`: 1 within the collimated field, 0 behind upright blades."""
    x0, y0, x1, y1 = (round(each / FINE) for each in beam.field)
    return _slit(shape[0], y0, y1) * _slit(shape[1], x0, x1).T


def _slit(size: int, start: int, stop: int) -> np.ndarray:
    """Return float32 (size, 1): 1 between two shutters, 0 behind them, with soft edges."""
    line = np.zeros((size, 1), np.float32)
    line[max(0, start) : max(0, stop)] = 1
    return blur(line, 1.5)


def veil(exposure: np.ndarray, noise: np.ndarray, box: tuple[float, float, float, float]) -> None:
    """Blur and drown one vertebra in place, as a moving patient or a bad read-out line does. Box in film px."""
    x0, y0, x1, y1 = (max(0, int(each / FINE)) for each in box)
    if x1 > x0 and y1 > y0:
        patch = np.s_[y0:y1, x0:x1]
        exposure[patch] = blur(exposure[patch], 7)
        noise[patch] *= 3.0
