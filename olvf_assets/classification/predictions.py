"""Class probabilities of every held-out and external sample, by every trained network.

What lives here: `predict`, and the refusal of a checkpoint that was not trained on what is asked now.
What does not: the ensemble (`ensemble.py`) and any figure of merit (the evaluation room).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import torch

from olvf_assets.classification.networks import FractureClassifier, load_trained, read_provenance, repeatable
from olvf_assets.classification.pixels import packed_pixels
from olvf_assets.classification.provenance import expected_fingerprint
from olvf_assets.classification.settings import ClassificationSettings
from olvf_assets.classification.tables import FOLD_PREDICTIONS
from olvf_assets.foundation.errors import StaleError
from olvf_assets.foundation.provenance import file_sha256
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.storage.artifacts import ArtifactStore

BATCH = 64

Report = Callable[[str], None]


class StaleCheckpointError(StaleError):
    """A checkpoint was trained on other data, settings, seed or code than those at hand, or its file was changed."""


def predict(
    checkpoints: pl.DataFrame,
    samples: pl.DataFrame,
    dataset: str,
    training_set: pl.DataFrame,
    store: ArtifactStore,
    settings: ClassificationSettings,
    seed: int,
    report: Report | None = None,
) -> pl.DataFrame:
    """Return table `fold_predictions`: a row per checkpoint and sample.

    Args:
        checkpoints: rows of the checkpoints tables, any architectures and folds of one protocol.
        samples: `balanced_test_set`, or `replication.external_samples`; may be empty.
        dataset: what to call them, `test` or `external`.
        training_set: table `balanced_training_set` of the same protocol, which the checkpoints must come from.
        store: where pictures and weights lie.
        settings: the room's settings.
        seed: the profile's seed.
        report: a line per checkpoint.

    Raises:
        StaleCheckpointError: see there.
    """
    samples = samples.sort("sample_id")
    tables = [pl.DataFrame(schema=FOLD_PREDICTIONS)]
    if samples.is_empty():
        return tables[0]
    pixels = packed_pixels(samples, store, settings.input_divisor)
    for row in checkpoints.sort("architecture", "fold").iter_rows(named=True):
        model = load_checkpoint(row, training_set, store, settings, seed)
        probabilities = class_probabilities(model, pixels)
        columns = {f"p_{name}": probabilities[:, index] for index, name in enumerate(CLASSES)}
        table = samples.drop("fold").with_columns(
            pl.lit(row["protocol"]).alias("protocol"),
            pl.lit(dataset).alias("dataset"),
            pl.lit(row["architecture"]).alias("architecture"),
            pl.lit(row["fold"], pl.Int64).alias("fold"),
            pl.lit(row["weights_sha256"]).alias("weights_sha256"),
            **{name: pl.Series(values) for name, values in columns.items()},
        )
        tables.append(table.select(list(FOLD_PREDICTIONS)).cast(FOLD_PREDICTIONS))
        if report is not None:
            report(f"{row['architecture']}, fold {row['fold']}: {len(samples)} {dataset} samples")
    keys = ["protocol", "dataset", "institution", "architecture", "fold", "sample_id"]
    return pl.concat(tables).sort(keys)


def predict_validation(
    checkpoints: pl.DataFrame,
    training_set: pl.DataFrame,
    store: ArtifactStore,
    settings: ClassificationSettings,
    seed: int,
    report: Report | None = None,
) -> pl.DataFrame:
    """Return table `validation_predictions`: each checkpoint on the crops of its own fold, replicas left out.

    Arguments and errors as `predict`; any protocols.
    """
    tables = [pl.DataFrame(schema=FOLD_PREDICTIONS)]
    for own in checkpoints.sort("protocol", "fold", "architecture").partition_by("protocol", "fold"):
        protocol, fold = own.select("protocol", "fold").row(0)
        crops = training_set.filter(protocol=protocol, fold=fold, replica=0)
        tables.append(predict(own, crops, "validation", training_set, store, settings, seed, report))
    return pl.concat(tables)


def load_checkpoint(
    row: dict[str, Any],
    training_set: pl.DataFrame,
    store: ArtifactStore,
    settings: ClassificationSettings,
    seed: int,
) -> FractureClassifier:
    """Return the trained network of one checkpoints row, in evaluation mode, on the CPU or the GPU if there is one.

    Raises:
        StaleCheckpointError: see there; arguments as in `predict`.
    """
    wanted = expected_fingerprint(row, training_set, settings, seed)
    path = store.path(row["weights_path"])
    way_out = f"; materialise {row['architecture']}_checkpoints (fold {row['fold']}) again"
    if row["fingerprint"] != wanted:
        raise StaleCheckpointError(
            f"{row['architecture']}_checkpoints, fold {row['fold']}, protocol {row['protocol']}: trained with "
            f"other data, settings, start weights, seed, libraries or code than this run's{way_out}"
        )
    if not path.exists() or file_sha256(path) != row["weights_sha256"]:
        raise StaleCheckpointError(f"{path}: missing, or not the weights the table names by their sha256{way_out}")
    if read_provenance(path)["fingerprint"] != wanted:
        raise StaleCheckpointError(f"{path}: its header names another training than the table does{way_out}")
    model = load_trained(path, settings.networks[row["architecture"]])
    return model.to("cuda") if torch.cuda.is_available() else model


@torch.inference_mode()
def class_probabilities(model: FractureClassifier, pixels: np.ndarray) -> np.ndarray:
    """Return softmax probabilities: float64, shape (n, 3), of uint8 pictures (n, height_px, width_px)."""
    device = next(model.parameters()).device
    parts = [np.zeros((0, len(CLASSES)))]
    with repeatable():
        for start in range(0, len(pixels), BATCH):
            batch = torch.from_numpy(np.array(pixels[start : start + BATCH])[:, None]).to(device)
            parts.append(torch.softmax(model(batch.float()).double(), dim=1).cpu().numpy())
    return np.concatenate(parts)
