"""What a trained detector hangs on.

What lives here: the description of one training, whose fingerprint names the folder and is kept in `detector_model`;
the record of what was learnt from; and the refusal of a detector that is not of the tables, settings and code at hand.
What does not: training (`training.py`), predicting. Light: no torch.
"""

import hashlib
from pathlib import Path
from typing import Any

import polars as pl

from olvf_assets.detection.settings import DetectionSettings
from olvf_assets.detection.shipped import shipped_fingerprint
from olvf_assets.detection.tables import LEARNT_FROM
from olvf_assets.detection.ultralytics_home import RANDOM_WEIGHTS, MissingWeightsError, source_weights_path
from olvf_assets.foundation.code_identity import code_digest
from olvf_assets.foundation.errors import StaleError
from olvf_assets.foundation.provenance import LIBRARIES_OF_NETWORKS, NOT_DECIDING, file_sha256, library_versions
from olvf_assets.storage.artifacts import ArtifactStore, fingerprint
from olvf_assets.storage.shipped import ShippedWeightsError

TRAINING = "olvf_assets.detection.training:_train"
TRAINING_FIELDS = {
    *("image_px", "model", "weights", "epochs", "batch", "nominal_batch", "optimizer", "lr0", "lrf", "cosine"),
    *("momentum", "weight_decay", "warmup_epochs", "geometry"),
}  # what changes the weights
LIBRARIES = (*LIBRARIES_OF_NETWORKS, "ultralytics")
WAY_OUT = "materialise detector_model again, then what rests on it"


class StaleDetectorError(StaleError):
    """The detector was trained on other copies, settings, seed or code than those at hand, or its file was changed."""


def training_copies(detector_copies: pl.DataFrame, protocol: str) -> pl.DataFrame:
    """Return the rows of `detector_copies` that a protocol's detector learns from, in their fixed order."""
    copies = detector_copies.filter(pl.col("protocol") == protocol, pl.col("subset") == "train")
    return copies.sort("institution", "film_id", "copy")


def detector_description(
    copies: pl.DataFrame, settings: DetectionSettings, seed: int, protocol: str, source_sha256: str
) -> dict[str, Any]:
    """Return, JSON-able, everything that the weights hang on.

    Args:
        copies: what `training_copies` returns; `image_path` names the pixels' hash.
        settings: model and schedule.
        seed: the profile's seed.
        protocol: whose detector.
        source_sha256: of the weights to start from, or `random`.
    """
    learnt = copies.select(
        "institution", "film_id", "copy", "image_path", "boxes", "helper_boxes", "taught"
    ).write_ndjson()
    return {
        "code": code_digest(TRAINING, without=NOT_DECIDING, libraries=False),
        "protocol": protocol,
        "copies": hashlib.sha256(learnt.encode()).hexdigest(),
        "settings": settings.model_dump(mode="json", include=TRAINING_FIELDS),
        "source": source_sha256,
        "libraries": library_versions(*LIBRARIES),
        "seed": seed,
    }


def source_sha256(source: Path | None) -> str:
    """Return the sha256 of the checkpoint to start from, `random` without one."""
    return RANDOM_WEIGHTS if source is None else file_sha256(source)


def learnt_from(copies: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the record of the training pictures that is kept with the model (column `learnt_from`)."""
    return copies.select(LEARNT_FROM.names()).to_dicts()


def refuse_stale_detector(
    row: dict[str, Any],
    detector_copies: pl.DataFrame,
    settings: DetectionSettings,
    seed: int,
    weights_folder: Path,
) -> None:
    """Raise unless a detector's fingerprint is that of a training on the copies, settings, seed and code at hand.

    Args:
        row: of `detector_model`.
        detector_copies: `detector_copies`, all protocols.
        settings: those that the detector is trained with now (`evolution.chosen_settings`).
        seed: the profile's seed.
        weights_folder: where named checkpoints lie; one that was taken away since is taken at the row's word.

    Raises:
        StaleDetectorError: see there.
    """
    if settings.shipped:
        _refuse_other_than_shipped(row)
        return
    try:
        source = source_sha256(source_weights_path(settings.weights, weights_folder))
    except MissingWeightsError:
        source = row["source_sha256"]
    copies = training_copies(detector_copies, row["protocol"])
    wanted = detector_description(copies, settings, seed, row["protocol"], source)
    if row["fingerprint"] != fingerprint(wanted):
        raise StaleDetectorError(
            f"detector_model, protocol {row['protocol']}: trained with other copies, settings, start weights, seed, "
            f"libraries or code than those at hand; {WAY_OUT}"
        )


def _refuse_other_than_shipped(row: dict[str, Any]) -> None:
    try:
        wanted = shipped_fingerprint()
    except ShippedWeightsError as error:
        raise StaleDetectorError(str(error)) from error
    if row["fingerprint"] != wanted:
        raise StaleDetectorError(
            f"detector_model, protocol {row['protocol']}: not the detector that ships, which the profile's "
            f"detection.weights asks for; {WAY_OUT}"
        )


def verified_weights(row: dict[str, Any], store: ArtifactStore) -> Path:
    """Return the file of a detector's weights, which is the one that the table names.

    Raises:
        StaleDetectorError: the file is missing or its sha256 is another one.
    """
    path = store.at_hand(row["weights_path"])
    if not path.is_file() or file_sha256(path) != row["weights_sha256"]:
        raise StaleDetectorError(f"{path}: missing, or not the weights that detector_model names; {WAY_OUT}")
    return path
