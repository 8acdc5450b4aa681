"""The detector that ships: trained on phantoms alone, taken as it is.

What lives here: the row of `detector_model` that stands for it, and writing a trained one as the one that ships. What
does not: its record (`storage.shipped`), the phantoms and the training that it comes from (`commands.make_weights`,
profile `weights`).
"""

import shutil
from pathlib import Path
from typing import Any

import polars as pl

from olvf_assets.detection.settings import SHIPPED
from olvf_assets.detection.tables import DETECTOR_MODEL
from olvf_assets.foundation.provenance import file_sha256
from olvf_assets.storage.artifacts import ArtifactStore, fingerprint, write_atomically
from olvf_assets.storage.shipped import FOLDER, shipped_record, weights_file, write_record

NAME = "detector"
TOLD = ("model", "network", "image_px", "epochs", "seed", "helpers", "n_train_images")


def shipped_model(store: ArtifactStore, protocols: tuple[str, ...], folder: Path = FOLDER) -> pl.DataFrame:
    """Return `detector_model` of the shipped detector, a row per protocol; no film of the study is learnt from.

    Args:
        store: gets a copy of the weights, so that the lake holds all that its tables name.
        protocols: of the study.
        folder: where the shipped files lie.

    Raises:
        ShippedWeightsError: they are missing, or not those that their record names.
    """
    record = shipped_record(NAME, folder)
    kept = store.work_folder("detector", {SHIPPED: record["sha256"]}) / "detector.safetensors"
    if store.read(kept, file_sha256) != record["sha256"]:
        store.write(kept, lambda temporary: shutil.copyfile(weights_file(NAME, folder), temporary))
    row = {name: record[name] for name in TOLD} | {
        "weights_path": kept.relative_to(store.root).as_posix(),
        "weights_sha256": record["sha256"],
        "source_weights": SHIPPED,
        "fingerprint": shipped_fingerprint(folder),
        "train_loss_by_epoch": record["losses"],
        "generation": None,
        "source_sha256": record["sha256"],
        "learnt_from": [],
    }
    return pl.DataFrame([{"protocol": protocol, **row} for protocol in protocols], schema=DETECTOR_MODEL)


def shipped_fingerprint(folder: Path = FOLDER) -> str:
    """Return the fingerprint of a `detector_model` that is the shipped one.

    Raises:
        ShippedWeightsError: the files are missing, or do not belong together.
    """
    return fingerprint({SHIPPED: shipped_record(NAME, folder)["sha256"]})


def write_shipped(model: pl.DataFrame, store: ArtifactStore, made_with: dict[str, Any], folder: Path = FOLDER) -> None:
    """Write a trained detector as the one that ships: matrices in half precision, the rest as it is.

    Args:
        model: `detector_model`, one row.
        store: where its weights lie.
        made_with: profile and code: what the record says beside the row.
        folder: where to.
    """
    from safetensors.torch import load_file, save_file

    row = model.row(0, named=True)
    weights = {
        name: value.half() if value.ndim > 1 else value
        for name, value in load_file(store.at_hand(row["weights_path"])).items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(weights_file(NAME, folder), lambda temporary: save_file(weights, temporary))
    told = {name: row[name] for name in TOLD}
    write_record(NAME, {**made_with, **told, "losses": row["train_loss_by_epoch"]}, folder)
