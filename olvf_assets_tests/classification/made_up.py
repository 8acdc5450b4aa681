"""Small made-up crops, samples and settings for the tests of classification and attention."""

from typing import Any

import numpy as np
import polars as pl

from olvf_assets.classification.settings import ClassificationSettings
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.storage.artifacts import ArtifactStore

HEIGHT, WIDTH = 48, 57
NETWORKS: dict[str, dict[str, Any]] = {
    "resnet50": {
        "model": "resnet50",
        "arguments": {"layers": [1, 1, 1, 1], "channels": [4, 4, 8, 8], "stem_width": 4, "stem_type": "deep"},
        "learning_rate": 0.05,
    },
    "densenet161": {
        "model": "densenet161",
        "arguments": {"growth_rate": 4, "block_config": [1, 1, 1, 1], "bn_size": 2, "drop_rate": 0.2},
        "learning_rate": 0.05,
    },
    "resnext50": {
        "model": "resnext50_32x4d",
        "arguments": {
            "layers": [1, 1, 1, 1],
            "channels": [4, 4, 8, 8],
            "stem_width": 4,
            "stem_type": "deep",
            "cardinality": 2,
            "base_width": 32,
        },
        "learning_rate": 0.05,
    },
}


def small_settings(**changes: Any) -> ClassificationSettings:
    return ClassificationSettings.model_validate(
        {"networks": NETWORKS, "epochs": 3, "batch": 8, "workers": 1, **changes}
    )


def made_up_crop(label: str, number: int) -> np.ndarray:
    """Return noise with a bright band: none for normal, above for old, below for fresh."""
    picture = np.random.default_rng(number).integers(0, 120, (HEIGHT, WIDTH))
    if label != "normal":
        top = 4 if label == "old" else HEIGHT - 16
        picture[top : top + 12] += 120
    return picture.astype(np.uint8)


def made_up_samples(store: ArtifactStore, each_class: int, folds: int, first: int = 0) -> pl.DataFrame:
    """Return rows of a balanced set, `each_class` per class and fold (fold null if `folds` is 0)."""
    rows = []
    for number in range(first, first + each_class * max(folds, 1) * len(CLASSES)):
        label = CLASSES[number % len(CLASSES)]
        rows.append(
            {
                "protocol": "patient",
                "sample_id": f"F{number:05d}-L1-r0",
                "crop_id": f"F{number:05d}-L1",
                "patient_id": f"P{number:05d}",
                "institution": "institution_1",
                "level": "L1",
                "label": label,
                "fold": number // len(CLASSES) % folds + 1 if folds else None,
                "replica": 0,
                "image_path": store.save_image(made_up_crop(label, number))[0],
            }
        )
    return pl.DataFrame(rows, schema_overrides={"fold": pl.Int64, "replica": pl.Int64})
