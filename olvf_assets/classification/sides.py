"""What a fold is trained on and what it validates.

What lives here: the two sides of one fold as tensors, and the refusal of a side that lacks a class. What does not: how
samples are told apart into folds (`splits.py`), training (`training.py`).
"""

import numpy as np
import polars as pl
import torch

from olvf_assets.classification.learner import Side
from olvf_assets.classification.pixels import packed_pixels
from olvf_assets.classification.provenance import SampleError
from olvf_assets.classification.settings import ClassificationSettings
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.storage.artifacts import ArtifactStore


def sides(
    samples: pl.DataFrame, store: ArtifactStore, settings: ClassificationSettings, fold: int, device: torch.device
) -> tuple[Side, Side]:
    """Return (pixels uint8 (n, 1, height_px, width_px), class indices int64 (n,)) of training and of validation.

    Args:
        samples: table `balanced_training_set` of one protocol.
        store: where their pictures lie.
        settings: the room's settings.
        fold: validates; all others train.
        device: where the tensors go.

    Raises:
        SampleError: a class is missing on one side.
    """
    pixels = packed_pixels(samples, store, settings.input_divisor)[:, None]
    labels = np.array([CLASSES.index(label) for label in samples["label"]])
    folds = samples["fold"].to_numpy()
    found = []
    for side, chosen in (("training", folds != fold), ("validation", folds == fold)):
        missing = [name for index, name in enumerate(CLASSES) if not (labels[chosen] == index).any()]
        if missing:
            raise SampleError(
                f"balanced_training_set: no {' and no '.join(missing)} sample on the {side} side of fold {fold}; "
                "materialise splits and balanced_training_set again"
            )
        found.append((torch.from_numpy(pixels[chosen]).to(device), torch.from_numpy(labels[chosen]).to(device)))
    return found[0], found[1]
