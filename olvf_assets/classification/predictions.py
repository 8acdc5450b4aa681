"""Class probabilities of every held-out and external sample, by every trained network.

What lives here: `predict`, and the refusal of a checkpoint that was not trained on what is asked now.
What does not: the ensemble (`ensemble.py`) and any figure of merit (the evaluation room).
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from olvf_assets.classification.networks import FractureClassifier, load_trained, read_provenance, repeatable
from olvf_assets.classification.pixels import packed_pixels
from olvf_assets.classification.provenance import expected_fingerprint
from olvf_assets.classification.settings import ClassificationSettings
from olvf_assets.classification.tables import FOLD_PREDICTIONS
from olvf_assets.foundation.code_identity import code_digest
from olvf_assets.foundation.engine import NETWORK, in_batches
from olvf_assets.foundation.errors import StaleError
from olvf_assets.foundation.provenance import file_sha256
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.kept_answers import KeptAnswers

BATCH = 64

Report = Callable[[str], None]
Asked = tuple[dict[str, Any], pl.DataFrame]  # a checkpoints row, the samples of one patient


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
    kept: KeptAnswers | None = None,
) -> pl.DataFrame:
    """Return table `fold_predictions`: a row per checkpoint and sample.

    The samples of one patient are scored together and by themselves, so that what he gets does not hang on the others:
    in another batch, or at another place of it, sums differ in their last bits.

    Args:
        checkpoints: rows of the checkpoints tables, any architectures and folds of one protocol.
        samples: `balanced_test_set`, or `replication.samples_to_score`; may be empty.
        dataset: what to call them.
        training_set: table `balanced_training_set` of the same protocol, which the checkpoints must come from.
        store: where pictures and weights lie.
        settings: the room's settings.
        seed: the profile's seed.
        report: a line per checkpoint.
        kept: what earlier runs got for the same pictures, and where it is kept what this one gets.

    Raises:
        StaleCheckpointError: see there.
    """
    samples = samples.sort("institution", "patient_id", "sample_id")
    tables = [pl.DataFrame(schema=FOLD_PREDICTIONS)]
    if samples.is_empty():
        return tables[0]
    of_patients = samples.partition_by("institution", "patient_id", maintain_order=True)
    rows = checkpoints.sort("architecture", "fold").to_dicts()
    for row in rows:
        verified_weights(row, training_set, store, settings, seed)
    asked = [(row, patient) for row in rows for patient in of_patients]
    found = (kept or KeptAnswers()).answers(
        [[row["fingerprint"], row["weights_sha256"], own["image_path"].to_list()] for row, own in asked],
        [code_digest("olvf_assets.classification.predictions:_scores"), settings.input_divisor],
        lambda places: _of_networks([asked[place] for place in places], dataset, store, settings, report),
    )
    for number, row in enumerate(rows):
        probabilities = np.concatenate(found[number * len(of_patients) : (number + 1) * len(of_patients)])
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
    keys = ["protocol", "dataset", "institution", "architecture", "fold", "sample_id"]
    return pl.concat(tables).sort(keys)


def _of_networks(
    asked: list[Asked], dataset: str, store: ArtifactStore, settings: ClassificationSettings, report: Report | None
) -> Iterator[list[list[float]]]:
    """Yield what one network says of the samples of one patient, for each that is asked; tell of each network."""
    of_networks = [list(own) for _, own in groupby(asked, lambda each: each[0]["weights_path"])]
    answers = in_batches(partial(_scores, store=store, settings=settings), of_networks, 1, NETWORK)
    for own in of_networks:
        yield from islice(answers, len(own))
        if report is not None:
            row, n_samples = own[0][0], sum(len(samples) for _, samples in own)
            report(f"{row['architecture']}, fold {row['fold']}: {n_samples} {dataset} samples")


def _scores(
    of_networks: list[list[Asked]], store: ArtifactStore, settings: ClassificationSettings
) -> Iterator[list[list[float]]]:
    """Yield what one network says of the samples of one patient, for each asked, network by network."""
    paths = [samples.select("image_path") for own in of_networks for _, samples in own]
    pictures = pl.concat(paths).unique().sort("image_path")
    place_of = {path: place for place, path in enumerate(pictures["image_path"])}
    pixels = packed_pixels(pictures, store, settings.input_divisor)
    for own in of_networks:
        model = load_network(own[0][0], store, settings)
        for _, samples in own:
            yield class_probabilities(model, pixels[[place_of[each] for each in samples["image_path"]]]).tolist()


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
    verified_weights(row, training_set, store, settings, seed)
    return load_network(row, store, settings)


def load_network(row: dict[str, Any], store: ArtifactStore, settings: ClassificationSettings) -> FractureClassifier:
    """Return the network of one checkpoints row as `load_checkpoint` does; whoever asked has verified its weights."""
    model = load_trained(store.at_hand(row["weights_path"]), settings.networks[row["architecture"]])
    return model.to("cuda") if torch.cuda.is_available() else model


def verified_weights(
    row: dict[str, Any],
    training_set: pl.DataFrame,
    store: ArtifactStore,
    settings: ClassificationSettings,
    seed: int,
) -> Path:
    """Return the file of one checkpoints row's weights, once it is sure that they are those of the study at hand.

    Raises:
        StaleCheckpointError: see there; arguments as in `predict`.
    """
    wanted = expected_fingerprint(row, training_set, settings, seed)
    path = store.at_hand(row["weights_path"])
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
    return path


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
