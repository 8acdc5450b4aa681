"""A crop's map put back on the film it was cut from.

What lives here: the way back of a whole map, by box, scale and padding of its row in `vertebra_crops`. What does not:
the way back of one position (`crops.crop.film_position`), drawing (`film_picture.py`).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy as np


def map_on_film(map_levels: np.ndarray, crop: Mapping[str, Any]) -> tuple[np.ndarray, tuple[int, int]]:
    """Return a crop's map at the film's resolution, and where it belongs.

    The black columns and rows beside the picture are left out: nothing of the film is under them. What is left is
    enlarged bilinearly to the rectangle that was cut.

    Args:
        map_levels: uint8 or float, shape (height_px, width_px) of the crop, such as the picture under `map_path`.
        crop: the crop's row in `vertebra_crops`: x0_px, y0_px, x1_px, y1_px, scale, pad_left_px, pad_top_px.

    Returns:
        The map, same type, shape (y1 - y0, x1 - x0) in pixels of the film, and (x0, y0) of its first pixel.
    """
    x0, y0, x1, y1 = (round(crop[name]) for name in ("x0_px", "y0_px", "x1_px", "y1_px"))
    left, top = crop["pad_left_px"], crop["pad_top_px"]
    width, height = (max(round(length * crop["scale"]), 1) for length in (x1 - x0, y1 - y0))  # as the crop was made
    picture = np.ascontiguousarray(map_levels[top : top + height, left : left + width])
    return cv2.resize(picture, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR), (x0, y0)


def film_map(shape: tuple[int, int], crops: Iterable[tuple[np.ndarray, Mapping[str, Any]]]) -> np.ndarray:
    """Return the maps of all crops of a film as one: uint8, `shape` (height_px, width_px) of the film.

    0 outside the crops; where crops overlap, the higher value.

    Args:
        shape: of the film.
        crops: pairs of `map_levels` (uint8) and `crop`, as in `map_on_film`.
    """
    whole = np.zeros(shape, np.uint8)
    for map_levels, crop in crops:
        part, (x0, y0) = map_on_film(map_levels, crop)
        place = whole[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]]
        np.maximum(place, part, out=place)
    return whole
