"""The detector that ships: trained on phantoms alone, taken as it is.

What lives here: its file and the record beside it, writing both, and the row of `detector_model` that stands for it.
What does not: the phantoms and the training that it comes from (`commands.make_weights`, profile `weights`).
"""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl

from olvf_assets.detection.settings import SHIPPED
from olvf_assets.detection.tables import DETECTOR_MODEL
from olvf_assets.foundation.errors import StaleError
from olvf_assets.foundation.provenance import file_sha256
from olvf_assets.storage.artifacts import ArtifactStore, fingerprint, write_atomically

FOLDER = Path(__file__).parents[1] / "shipped"
WEIGHTS, RECORD = "detector.safetensors", "detector.json"


class ShippedWeightsError(StaleError):
    """The weights that ship are missing, or not those that their record names."""


def shipped_record(folder: Path = FOLDER) -> dict[str, Any]:
    """Return what is known of the shipped detector: file, sha256, command, profile, seed, code, network and losses.

    Raises:
        ShippedWeightsError: see there.
    """
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text())
        found = file_sha256(folder / WEIGHTS)
    except (OSError, ValueError) as error:
        raise ShippedWeightsError(f"{folder / RECORD}: {error}; {_way_out()}") from error
    if found != record["sha256"]:
        raise ShippedWeightsError(f"{folder / WEIGHTS}: not the weights that {RECORD} names; {_way_out()}")
    return record


def shipped_model(store: ArtifactStore, protocols: tuple[str, ...], folder: Path = FOLDER) -> pl.DataFrame:
    """Return `detector_model` of the shipped detector, a row per protocol; no film of the study is learnt from.

    Args:
        store: gets a copy of the weights, so that the lake holds all that its tables name.
        protocols: of the study.
        folder: where the shipped files lie.

    Raises:
        ShippedWeightsError: see there.
    """
    record = shipped_record(folder)
    kept = store.work_folder("detector", {SHIPPED: record["sha256"]}) / WEIGHTS
    if not kept.is_file() or file_sha256(kept) != record["sha256"]:
        write_atomically(kept, lambda temporary: shutil.copyfile(folder / WEIGHTS, temporary))
    row = {
        "model": record["model"],
        "weights_path": kept.relative_to(store.root).as_posix(),
        "weights_sha256": record["sha256"],
        "image_px": record["image_px"],
        "epochs": record["epochs"],
        "source_weights": SHIPPED,
        "seed": record["seed"],
        "fingerprint": shipped_fingerprint(folder),
        "n_train_images": 0,
        "train_loss_by_epoch": record["losses"],
        "network": record["network"],
        "generation": None,
        "source_sha256": record["sha256"],
        "learnt_from": [],
        "helpers": record["helpers"],
    }
    return pl.DataFrame([{"protocol": protocol, **row} for protocol in protocols], schema=DETECTOR_MODEL)


def shipped_fingerprint(folder: Path = FOLDER) -> str:
    """Return the fingerprint of a `detector_model` that is the shipped one."""
    return fingerprint({SHIPPED: shipped_record(folder)["sha256"]})


def write_shipped(model: pl.DataFrame, store: ArtifactStore, made_with: dict[str, Any], folder: Path = FOLDER) -> None:
    """Write a trained detector as the one that ships: matrices in half precision, the rest as it is.

    Args:
        model: `detector_model`, one row.
        store: where its weights lie.
        made_with: command, profile, code: what the record says beside the row.
        folder: where to.
    """
    from safetensors.torch import load_file, save_file

    row = model.row(0, named=True)
    weights = {
        name: value.half() if value.ndim > 1 else value
        for name, value in load_file(store.path(row["weights_path"])).items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / WEIGHTS, lambda temporary: save_file(weights, temporary))
    told = ("model", "network", "image_px", "epochs", "seed", "helpers", "n_train_images")
    record = {
        "file": WEIGHTS,
        "sha256": file_sha256(folder / WEIGHTS),
        **made_with,
        **{name: row[name] for name in told},
        "trained_sha256": row["weights_sha256"],
        "losses": row["train_loss_by_epoch"],
    }
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    write_atomically(folder / RECORD, lambda temporary: _write(temporary, text))


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def _way_out() -> str:
    return "put the file of this version of the program back, or make both again: python -m olvf_assets make-weights"
