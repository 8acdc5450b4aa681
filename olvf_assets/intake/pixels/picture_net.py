"""A small network that says of a picture what it is: a lateral spine, lumbar or thoracic, or something else.

What lives here: what the network sees, its answer, and how it was taught to be honest. Plain NumPy, so that a process
that takes films in loads nothing for it. What does not: teaching it (`picture_learning.py`), what follows from its
answer (`picture_views.py`).

It has seen phantoms only (profile `weights`): laterals and frontal films of the wide look, hands and limbs. Its
probabilities are those of the wide look softened until they were right on the withheld one.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np

from olvf_assets.storage.shipped import shipped_record, weights_file

NAME = "view"
SIDE_PX = 64
KINDS = ("lumbar", "thoracic", "frontal", "other")  # the first two are lateral
CONVOLUTIONS, LAYERS = 4, 2
STRIDE = 2


class PictureKind(NamedTuple):
    """How probable it is, 0 to 1, that a picture is a lateral lumbar or thoracic one, a frontal one, another one."""

    lumbar: float
    thoracic: float
    frontal: float
    other: float

    @property
    def lateral(self) -> float:
        """Return the probability of a lateral spine."""
        return self.lumbar + self.thoracic


def picture_kind(field: np.ndarray) -> PictureKind:
    """Return what a picture is.

    Args:
        field: float32 or uint8 (height_px, width_px), 0 black, bright = dense, without collimated margins.
    """
    weights, temperature = _network()
    logits = answer(seen(field)[None], weights)[0] / temperature
    odds = np.exp(logits - logits.max())
    return PictureKind(*(round(float(each), 4) for each in odds / odds.sum()))


def seen(field: np.ndarray) -> np.ndarray:
    """Return float32 (64, 64) of ranks, -1 to 1: squeezed, and alike whatever the grey curve of its maker."""
    small: Any = cv2.resize(field.astype(np.float32), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    values = np.clip(np.rint(small), 0, 255).astype(np.uint8)
    counts = np.bincount(values.ravel(), minlength=256)
    ranks = (np.cumsum(counts) - counts / 2) / values.size
    looked_up: np.ndarray = (2 * ranks - 1).astype(np.float32)[values]
    return looked_up


def answer(pictures: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Return float32 (n, 4) logits of `KINDS` for pictures (n, 64, 64) as `seen` makes them."""
    maps = pictures[..., None].astype(np.float32)  # (n, rows, columns, channels)
    for number in range(CONVOLUTIONS):
        kernel, bias = weights[f"convolution_{number}.weight"], weights[f"convolution_{number}.bias"]
        padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::STRIDE, ::STRIDE]
        maps = np.maximum(np.tensordot(windows, kernel, axes=([3, 4, 5], [1, 2, 3])) + bias, 0)
    flat = maps.transpose(0, 3, 1, 2).reshape(len(maps), -1)
    for number in range(LAYERS):
        flat = flat @ weights[f"layer_{number}.weight"].T + weights[f"layer_{number}.bias"]
        if number < LAYERS - 1:
            flat = np.maximum(flat, 0)
    return flat.astype(np.float32)


@lru_cache(maxsize=1)
def weights_sha256() -> str:
    """Return the hash of the weights that ship: answers of others are no answers of this network."""
    return str(shipped_record(NAME)["sha256"])


@lru_cache(maxsize=1)
def _network() -> tuple[dict[str, np.ndarray], float]:
    """Return the weights by name and the temperature, of the files that ship."""
    from safetensors.numpy import load_file

    record = shipped_record(NAME)
    return load_file(weights_file(NAME)), float(record["temperature"])
