"""Grad-CAM of one network over the test set.

What lives here: choosing the network, its maps at crop size, tables `gradcam_grids`, `gradcam_maps` and
`gradcam_examples`. What does not: how a map is made (`class_maps.py`), the grid (`grid.py`), tests (`statistics.py`),
pictures for people (`picture.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import polars as pl

from olvf_assets.attention.class_maps import kept_class_maps
from olvf_assets.attention.colours import as_8_bit, red_channel
from olvf_assets.attention.grid import SECTIONS, section_means
from olvf_assets.attention.settings import AttentionSettings
from olvf_assets.attention.tables import GRADCAM_EXAMPLES, GRADCAM_GRIDS, GRADCAM_MAPS
from olvf_assets.classification.pixels import packed_pixels
from olvf_assets.classification.settings import ClassificationSettings
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.storage.artifacts import ArtifactStore

PICTURES_OF: dict[str, Callable[[np.ndarray], np.ndarray]] = {"cam": np.asarray, "red": red_channel}

Report = Callable[[str], None]


class NoSuchNetworkError(OlvfError):
    """The network whose attention is asked for was not trained."""


@dataclass(frozen=True)
class AttentionMaps:
    """What one network looked at.

    Attributes:
        architecture, fold: the network.
        samples: the samples, sorted by sample_id, with the columns of `balanced_test_set` and `predicted`.
        cams: raw maps at crop size, float32, shape (samples, height_px, width_px), >= 0.
    """

    architecture: str
    fold: int
    samples: pl.DataFrame
    cams: np.ndarray


def choose_network(checkpoints: pl.DataFrame, settings: AttentionSettings) -> dict[str, Any]:
    """Return the checkpoints row to analyse: the highest validation accuracy among those that the settings allow.

    Test data have no say. Of equals, the first by architecture and fold.

    Raises:
        NoSuchNetworkError: no such network was trained.
    """
    allowed = checkpoints
    if settings.architecture is not None:
        allowed = allowed.filter(pl.col("architecture") == settings.architecture)
    if settings.fold is not None:
        allowed = allowed.filter(pl.col("fold") == settings.fold)
    if allowed.is_empty():
        raise NoSuchNetworkError(
            f"no checkpoint of architecture {settings.architecture or 'any'}, fold {settings.fold or 'any'}; "
            "change attention.architecture or attention.fold, or materialise the checkpoints"
        )
    ranked = allowed.sort("validation_accuracy", "architecture", "fold", descending=[True, False, False])
    return ranked.row(0, named=True)


def attention_maps(
    checkpoints: pl.DataFrame,
    test_set: pl.DataFrame,
    training_set: pl.DataFrame,
    store: ArtifactStore,
    settings: AttentionSettings,
    classification: ClassificationSettings,
    seed: int,
    report: Report | None = None,
) -> AttentionMaps:
    """Return raw Grad-CAM maps of the chosen network for the test set, each for the class it predicts.

    Args:
        checkpoints: all checkpoints tables together, one protocol.
        test_set: table `balanced_test_set` of that protocol.
        training_set: table `balanced_training_set` of that protocol.
        store: where pictures and weights lie.
        settings: of this room.
        classification: settings of the classifiers.
        seed: the profile's seed.
        report: a line on the network chosen.

    Raises:
        NoSuchNetworkError, StaleCheckpointError, NoFeatureMapError: see there.
    """
    row = choose_network(checkpoints, settings)
    if report is not None:
        report(f"{row['architecture']}, fold {row['fold']} (validation accuracy {row['validation_accuracy']:.3f})")
    samples = test_set.sort("sample_id")
    if not settings.replicas:
        samples = samples.filter(pl.col("replica") == 0)
    found = kept_class_maps(row, samples, training_set, store, classification, seed)
    named = pl.Series("predicted", [CLASSES[index] for index in found.predicted], pl.String)
    cams = at_crop_size(found.of(found.predicted), crop_shape(samples, store))
    return AttentionMaps(row["architecture"], row["fold"], samples.with_columns(named), cams)


def crop_shape(samples: pl.DataFrame, store: ArtifactStore) -> tuple[int, int]:
    """Return (height_px, width_px) of the samples' pictures; (1, 1) if there are none."""
    height, width = packed_pixels(samples, store, 1).shape[1:]
    return height, width


def at_crop_size(maps: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return maps (n, rows, columns) enlarged bilinearly to (n, height_px, width_px), float32."""
    enlarged = np.zeros((len(maps), *shape), np.float32)
    for number, each in enumerate(maps):
        enlarged[number] = cv2.resize(each, shape[::-1])
    return enlarged


def grid_values(cams: np.ndarray, source: str) -> np.ndarray:
    """Return the section means of maps (n, height_px, width_px) as `cam` or `red`: float64, shape (n, 48)."""
    values = [section_means(PICTURES_OF[source](cam)).ravel() for cam in cams]
    return np.array(values, np.float64).reshape(-1, SECTIONS)


def gradcam_grids(maps: AttentionMaps) -> pl.DataFrame:
    """Return table `gradcam_grids`: per sample and section the mean of the red channel and of the raw map."""
    count = len(maps.samples)
    about = maps.samples.select("protocol", "sample_id", "crop_id", "patient_id", "label", "predicted").with_columns(
        architecture=pl.lit(maps.architecture), fold=pl.lit(maps.fold, pl.Int64)
    )
    each_section = about[np.repeat(np.arange(count), SECTIONS)].with_columns(
        pl.Series("section", np.tile(np.arange(1, SECTIONS + 1), count), pl.Int64)
    )
    tables = [
        each_section.with_columns(
            pl.lit(source).alias("source"), pl.Series("value", grid_values(maps.cams, source).ravel(), pl.Float64)
        )
        for source in PICTURES_OF
    ]
    return pl.concat(tables).select(list(GRADCAM_GRIDS)).sort("protocol", "sample_id", "source", "section")


def gradcam_maps(maps: AttentionMaps, store: ArtifactStore) -> pl.DataFrame:
    """Return table `gradcam_maps`: the map of every unaltered crop, kept as an 8-bit picture of crop size."""
    rows = [
        {
            **sample,
            "architecture": maps.architecture,
            "fold": maps.fold,
            "map_path": store.save_image(as_8_bit(maps.cams[sample["number"]]))[0],
            "map_maximum": float(maps.cams[sample["number"]].max()),
        }
        for sample in maps.samples.with_row_index("number").filter(pl.col("replica") == 0).iter_rows(named=True)
    ]
    table = pl.DataFrame([{name: row[name] for name in GRADCAM_MAPS} for row in rows], schema=GRADCAM_MAPS)
    return table.sort("protocol", "crop_id")


def gradcam_examples(maps: pl.DataFrame, settings: AttentionSettings, seed: int) -> pl.DataFrame:
    """Return table `gradcam_examples`: for each predicted class some unaltered crops, drawn at random, not picked.

    Args:
        maps: table `gradcam_maps`.
        settings: how many.
        seed: the profile's seed.
    """
    chosen: Sequence[pl.DataFrame] = [
        part.sort("sample_id").sample(
            min(settings.examples, len(part)), seed=derive_seed(seed, "examples", part["predicted"][0])
        )
        for part in maps.partition_by("protocol", "predicted")
    ]
    drawn = pl.concat([maps.clear(), *chosen])
    return drawn.select(list(GRADCAM_EXAMPLES)).sort("protocol", "predicted", "sample_id")
