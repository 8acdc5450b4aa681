"""A map as a picture: normalised, in JET, and its red channel.

What lives here: everything that turns a raw map into colours or 8-bit levels, and the classes' colours. What does not:
raw maps (`class_maps.py`); they are kept as the network gives them.

Each picture is divided by its own maximum, as the thesis's pictures are. That makes pictures alike, so the raw map is
analysed beside it.
"""

import cv2
import numpy as np

CLASS_COLOURS = {"normal": "#0077BB", "old": "#DD9922", "fresh": "#AA3377"}  # as in the report's other pictures
JET = cv2.cvtColor(cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)[0]


def normalised(cam: np.ndarray) -> np.ndarray:
    """Return a map divided by its own maximum: 0-1, same shape; a map of zeros stays zeros."""
    highest = cam.max()
    return cam / highest if highest > 0 else np.zeros_like(cam)


def as_8_bit(cam: np.ndarray) -> np.ndarray:
    """Return a map as an 8-bit picture, 255 at its own maximum: uint8, same shape."""
    return np.rint(normalised(cam) * 255).astype(np.uint8)


def jet_picture(cam: np.ndarray) -> np.ndarray:
    """Return the JET picture of a raw map: uint8, shape (height_px, width_px, 3), channels red, green, blue."""
    return JET[as_8_bit(cam)]


def red_channel(cam: np.ndarray) -> np.ndarray:
    """Return the red channel of `jet_picture`: uint8, shape (height_px, width_px).

    Red is not monotone: it stays 0 up to about a third of the maximum, is 255 from about 0.62 to 0.87 and falls to 128
    where the map is highest.
    """
    return JET[as_8_bit(cam), 0]


def overlaid(picture: np.ndarray, map_levels: np.ndarray, opacity: float = 0.6) -> np.ndarray:
    """Return a grey picture with a map in JET over it: uint8, shape (height_px, width_px, 3), red, green, blue.

    Args:
        picture: uint8, shape (height_px, width_px).
        map_levels: uint8, same shape; where it is 0 the picture shows unchanged, where 255 the map covers most of it.
        opacity: of the map where it is highest, 0-1.
    """
    share = (map_levels / np.float32(255) * opacity)[..., None]
    return np.rint(picture[..., None] * (1 - share) + JET[map_levels] * share).astype(np.uint8)
