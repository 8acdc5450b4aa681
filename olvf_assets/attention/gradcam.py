"""Grad-CAM of one network over the test set.

What lives here: choosing the network, raw maps, their JET picture, tables `gradcam_grids` and `gradcam_examples`.
What does not: the grid (`grid.py`), tests (`statistics.py`), pictures for people (`picture.py`).
Raw maps are kept as the network gives them; only the JET picture is normalised, each by its own maximum, as the
thesis's pictures are. That makes pictures alike, so the raw map is analysed beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import polars as pl
import torch

from olvf_assets.attention.grid import SECTIONS, section_means
from olvf_assets.attention.settings import AttentionSettings
from olvf_assets.attention.tables import GRADCAM_EXAMPLES, GRADCAM_GRIDS
from olvf_assets.classification.networks import FractureClassifier, one_thread
from olvf_assets.classification.pixels import packed_pixels
from olvf_assets.classification.predictions import load_checkpoint
from olvf_assets.classification.settings import ClassificationSettings
from olvf_assets.foundation.artifacts import ArtifactStore, write_atomically
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import CLASSES

CODE_VERSION = 1
BATCH = 32
JET_RED = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], cv2.COLORMAP_JET)[0, :, 2]

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
        NoSuchNetworkError, StaleCheckpointError: see there.
    """
    row = choose_network(checkpoints, settings)
    if report is not None:
        report(f"{row['architecture']}, fold {row['fold']} (validation accuracy {row['validation_accuracy']:.3f})")
    samples = test_set.sort("sample_id")
    if not settings.replicas:
        samples = samples.filter(pl.col("replica") == 0)
    maps, predicted = _maps_of(row, samples, training_set, store, classification, seed)
    height, width = packed_pixels(samples, store, 1).shape[1:]
    cams = np.stack([cv2.resize(each, (width, height)) for each in maps]) if len(maps) else np.zeros((0, height, width))
    named = pl.Series("predicted", [CLASSES[index] for index in predicted], pl.String)
    return AttentionMaps(row["architecture"], row["fold"], samples.with_columns(named), cams)


def _maps_of(
    row: dict[str, Any],
    samples: pl.DataFrame,
    training_set: pl.DataFrame,
    store: ArtifactStore,
    classification: ClassificationSettings,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return `raw_cams` of a checkpoint, made now or by an earlier asset or run with the same weights and pictures."""
    model = load_checkpoint(row, training_set, store, classification, seed)
    description = {"code": CODE_VERSION, "weights": row["weights_sha256"], "pictures": samples["image_path"].to_list()}
    kept = store.work_folder("gradcam", description) / "maps.npz"
    if not kept.exists():
        with one_thread():
            maps, predicted = raw_cams(model, packed_pixels(samples, store, classification.input_divisor))
        write_atomically(kept, lambda temporary: np.savez(temporary, maps=maps, predicted=predicted))
    with np.load(kept) as found:
        return found["maps"], found["predicted"]


def raw_cams(model: FractureClassifier, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Grad-CAM maps of the last feature map before pooling, and the predicted classes.

    Selvaraju et al. 2017, equations 1 and 2: the gradient of the predicted class's logit, averaged over places, weights
    the channels; their weighted sum is cut off below 0.

    Args:
        model: in evaluation mode.
        pixels: uint8, shape (n, height_px, width_px).

    Returns:
        Maps, float32, shape (n, rows, columns) of the feature map, not normalised; classes, int64, shape (n,).
    """
    device = next(model.parameters()).device
    maps, predicted = [], []
    for start in range(0, len(pixels), BATCH):
        batch = torch.from_numpy(np.array(pixels[start : start + BATCH])[:, None]).to(device)
        with torch.no_grad():
            features = model.features(batch.float())
        features.requires_grad_()
        logits = model.head(features)
        classes = logits.argmax(dim=1)
        (gradients,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), features)
        weights = gradients.mean(dim=(2, 3), keepdim=True)
        maps.append(torch.relu((weights * features.detach()).sum(dim=1)).cpu().numpy())
        predicted.append(classes.cpu().numpy())
    if not maps:
        return np.zeros((0, 1, 1), np.float32), np.zeros(0, np.int64)
    return np.concatenate(maps), np.concatenate(predicted)


def normalised(cam: np.ndarray) -> np.ndarray:
    """Return a map divided by its own maximum: 0-1, same shape; a map of zeros stays zeros."""
    highest = cam.max()
    return cam / highest if highest > 0 else np.zeros_like(cam)


def jet_picture(cam: np.ndarray) -> np.ndarray:
    """Return the JET picture of a raw map: uint8, shape (height_px, width_px, 3), channels red, green, blue."""
    levels = np.rint(normalised(cam) * 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)


def red_channel(cam: np.ndarray) -> np.ndarray:
    """Return the red channel of `jet_picture`: uint8, shape (height_px, width_px).

    Red is not monotone: it stays 0 up to about a third of the maximum, is 255 from about 0.62 to 0.87 and falls to 128
    where the map is highest.
    """
    return JET_RED[np.rint(normalised(cam) * 255).astype(np.uint8)]


def gradcam_grids(maps: AttentionMaps) -> pl.DataFrame:
    """Return table `gradcam_grids`: per sample and section the mean of the red channel and of the raw map."""
    count = len(maps.samples)
    sections = np.arange(1, SECTIONS + 1)
    about = {
        name: maps.samples[name].gather(np.repeat(np.arange(count), SECTIONS))
        for name in ("protocol", "sample_id", "crop_id", "label", "predicted")
    }
    tables = [pl.DataFrame(schema=GRADCAM_GRIDS)]
    for source, picture_of in (("cam", np.asarray), ("red", red_channel)):
        values = [section_means(picture_of(cam)).ravel() for cam in maps.cams]
        table = pl.DataFrame(about).with_columns(
            pl.lit(maps.architecture).alias("architecture"),
            pl.lit(maps.fold, pl.Int64).alias("fold"),
            pl.Series("section", np.tile(sections, count), pl.Int64),
            pl.lit(source).alias("source"),
            pl.Series("value", np.concatenate([np.zeros(0), *values]), pl.Float64),
        )
        tables.append(table.select(list(GRADCAM_GRIDS)))
    return pl.concat(tables).sort("protocol", "sample_id", "source", "section")


def gradcam_examples(maps: AttentionMaps, store: ArtifactStore, settings: AttentionSettings, seed: int) -> pl.DataFrame:
    """Return table `gradcam_examples`: for each predicted class some unaltered crops, drawn at random, not picked.

    Args:
        maps: the attention maps.
        store: where each normalised map is kept as an 8-bit picture of crop size (255 = its maximum).
        settings: how many.
        seed: the profile's seed.
    """
    rows = []
    numbered = maps.samples.with_row_index("number").filter(pl.col("replica") == 0)
    for predicted in CLASSES:
        found = numbered.filter(pl.col("predicted") == predicted)
        chosen = found.sample(min(settings.examples, len(found)), seed=derive_seed(seed, "examples", predicted))
        for sample in chosen.sort("sample_id").iter_rows(named=True):
            levels = np.rint(normalised(maps.cams[sample["number"]]) * 255).astype(np.uint8)
            rows.append({**sample, "map_path": store.save_image(levels)[0]})
    table = pl.DataFrame([{name: row[name] for name in GRADCAM_EXAMPLES} for row in rows], schema=GRADCAM_EXAMPLES)
    return table.sort("protocol", "predicted", "sample_id")
