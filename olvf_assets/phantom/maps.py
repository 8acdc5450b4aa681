"""Small operations on maps (float32 pictures).

What lives here: blurring and resizing, the only uses of OpenCV on maps. What does not: what a map means.
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
