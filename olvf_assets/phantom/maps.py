"""Small operations on maps (float32 pictures).

What lives here: blurring and resizing, the only uses of OpenCV on maps, and fast float32 arithmetic. What does not:
what a map means.
"""

from typing import Any

import cv2
import numpy as np


def resize(image: np.ndarray, shape: tuple[int, ...], *, cubic: bool = False) -> np.ndarray:
    """Return the map enlarged to `shape` (rows, columns), linearly or by cubic splines."""
    out: Any = cv2.resize(image, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR)
    return out


def shrink(image: np.ndarray, factor: int) -> np.ndarray:
    """Return the map made smaller by averaging squares of `factor` pixels."""
    out: Any = cv2.resize(image, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    return out


def blur(image: np.ndarray, sigma_px: float, sigma_y_px: float | None = None) -> np.ndarray:
    """Return the map blurred by a Gaussian with standard deviations in pixels along x and y (default: as x)."""
    out: Any = cv2.GaussianBlur(image, (0, 0), sigmaX=sigma_px, sigmaY=sigma_y_px or sigma_px)
    return out


def power(base: np.ndarray, exponent: float) -> np.ndarray:
    """Return float32 `base ** exponent` for `base` >= 0, several times faster than `**` where there is no AVX-512."""
    return np.exp(np.log(np.maximum(base, np.float32(1e-30))) * np.float32(exponent))


def choose(condition: np.ndarray, yes: float, no: float) -> np.ndarray:
    """Return float32 `yes` where the condition holds and `no` elsewhere (`np.where` of two numbers is float64)."""
    return np.where(condition, np.float32(yes), np.float32(no))
