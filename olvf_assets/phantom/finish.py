"""What happens to a picture on its way from the detector to the archive: grey curve, frames, seams, grids, letters.

What lives here: changes of the finished picture of a wide look. What does not: physics and the maker's processing
(`exposure.py`), the technologist's lead letter, which is in the beam (`metal.py`).
"""

import cv2
import numpy as np

from olvf_assets.phantom.looks import Look
from olvf_assets.phantom.maps import blur
from olvf_assets.phantom.projection import FINE, Beam

WORDS = (
    "LAT",
    "L-SPINE",
    "ERECT",
    "STANDING",
    "85 kV",
    "S: 412",
    "W 3210 C 1680",
    "R",
    "L",
    "AX 2.1",
    "110 cm",
    "Im 1/2",
)


def blades(shape: tuple[int, int], beam: Beam, degrees: float) -> np.ndarray:
    """Return float32 map at `FINE`: 1 within the collimated field, 0 behind blades that are turned a little."""
    x0, y0, x1, y1 = (each / FINE for each in beam.field)
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    middle = corners.mean(axis=0)
    turn = np.radians(degrees)
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    tips = (corners - middle) @ rotate.T + middle
    mask = np.zeros(shape, np.float32)
    cv2.fillConvexPoly(mask, np.round(tips).astype(np.int32), 1.0)
    return blur(mask, 1.5)


def curve(grey: np.ndarray, look: Look) -> np.ndarray:
    """Return the grey values, 0 to 1, bent by the look's gamma and by a shoulder and toe."""
    bent = np.clip(grey, 0, 1) ** np.float32(look.gamma)
    smooth = bent * bent * (3 - 2 * bent)
    return bent + np.float32(min(look.shoulder, 1.6) * 0.6) * (smooth - bent)


def archive(grey: np.ndarray, look: Look, rng: np.random.Generator) -> None:
    """Draw what the look adds to a picture of grey values 0 to 1 (height_px, width_px), in place."""
    height, width = grey.shape
    if look.seam:
        at, thick = int(height * rng.uniform(0.15, 0.85)), max(1, height // 400)
        grey[at:] *= np.float32(rng.uniform(0.85, 1.12))
        grey[at : at + thick] = rng.choice([0.05, 0.9])
    if look.grid:
        lines = np.sin(np.arange(width if rng.random() < 0.5 else height) * rng.uniform(0.25, 1.2))
        grey += np.float32(look.grid) * (lines if len(lines) == width else lines[:, None]).astype(np.float32)
    if look.border:
        thick = max(1, round(look.border * width))
        for edge in rng.permutation(4)[: int(rng.integers(1, 4))]:
            strip = (np.s_[:thick], np.s_[-thick:], np.s_[:, :thick], np.s_[:, -thick:])[edge]
            grey[strip] = rng.uniform(0.85, 1.0)
    for _ in range(look.letters):
        size = max(0.3, height / 1500) * rng.uniform(0.7, 1.6)
        place = (int(width * rng.choice([0.02, 0.6])), int(height * rng.choice([0.03, 0.06, 0.94, 0.98])))
        word = str(rng.choice(WORDS))
        ink = np.zeros(grey.shape, np.uint8)
        cv2.putText(ink, word, place, cv2.FONT_HERSHEY_SIMPLEX, size, 255, 1 + int(size * 2), cv2.LINE_AA)
        np.maximum(grey, ink * np.float32(rng.uniform(0.8, 1.0) / 255), out=grey)
