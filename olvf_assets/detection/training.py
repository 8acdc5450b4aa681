"""Training the detector.

What lives here: from `detector_copies` to `detector_model`, reused when finished and resumed when killed.
What does not: the trainer itself (`trainer.py`), what the weights hang on (`provenance.py`), measuring (`metrics.py`).
"""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from olvf_assets.detection.helpers import helper_classes
from olvf_assets.detection.provenance import detector_description, learnt_from, source_sha256, training_copies
from olvf_assets.detection.settings import DetectionSettings
from olvf_assets.detection.tables import DETECTOR_MODEL
from olvf_assets.detection.ultralytics_home import prepare_ultralytics, source_weights_path
from olvf_assets.foundation.engine import NETWORK, UnsharedStoreError, call
from olvf_assets.foundation.parallel import available_cores
from olvf_assets.foundation.provenance import file_sha256, why_anew
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.storage.artifacts import ArtifactStore, fingerprint

FINISHED = "detector.safetensors"
STATE = "state.pt"


def train_detector(
    detector_copies: pl.DataFrame,
    store: ArtifactStore,
    settings: DetectionSettings,
    seed: int,
    *,
    protocol: str = "patient",
    weights_folder: Path | None = None,
    generation: int | None = None,
    report: Callable[[str], None] | None = None,
    observe: Callable[[dict[str, Any]], None] | None = None,
) -> pl.DataFrame:
    """Return `detector_model`, one row: the detector trained on the copies of subset `train`.

    The weights are the running average after the last epoch. They are kept as safetensors under the store, so equal
    copies, settings and seed give the same file on the same machine, also after a kill and a second start.

    Args:
        detector_copies: `detector_copies`.
        store: where copies lie and the work folder goes.
        settings: model and schedule.
        seed: the profile's seed.
        protocol: which rows of the copies to use.
        weights_folder: where named checkpoints lie; `weights` beside the lake when not given.
        generation: of the evolution that the settings come from, for the table.
        report: gets one line per epoch.
        observe: shows each epoch's figures.

    Raises:
        MissingWeightsError: if the settings name weights that are not there.
        UnsharedStoreError: a worker of a cluster trained it and keeps it in a store of its own.
    """
    copies = training_copies(detector_copies, protocol)
    source = source_weights_path(settings.weights, weights_folder or store.root.parent / "weights")
    description = detector_description(copies, settings, seed, protocol, source_sha256(source))
    folder = store.work_folder("detector", description)
    finished = folder / FINISHED
    if store.read(finished, _losses) is None:
        if report is not None and not store.exists(folder / STATE):
            report(f"detector: trained anew: {why_anew(store.descriptions('detector'), description)}")
        call(
            _train,
            copies,
            finished.relative_to(store.root),  # a worker's lies elsewhere
            store,
            settings,
            derive_seed(seed, "detector"),
            source,
            needs=NETWORK,
            report=report,
            observe=observe,
        )
        if not store.exists(finished):
            raise UnsharedStoreError("detector")
        store.remove(folder / STATE)
    elif report is not None:
        report("detector: finished earlier, reused")
    weights = store.at_hand(finished)
    row = {
        "protocol": protocol,
        "model": settings.model,
        "weights_path": weights.relative_to(store.root).as_posix(),
        "weights_sha256": file_sha256(weights),
        "image_px": settings.image_px,
        "epochs": settings.epochs,
        "source_weights": settings.weights if source is None else source.name,
        "seed": seed,
        "fingerprint": fingerprint(description),
        "n_train_images": copies.height,
        "train_loss_by_epoch": _losses(weights),
        "network": network_named(settings.model),
        "generation": generation,
        "source_sha256": description["source"],
        "learnt_from": learnt_from(copies),
        "helpers": helper_classes(copies),
    }
    return pl.DataFrame([row], schema=DETECTOR_MODEL)


def _losses(finished: Path) -> list[float]:
    """Return the loss of each epoch from the header of finished weights, which says how long the file must be."""
    from safetensors import safe_open

    with safe_open(finished, framework="np") as opened:
        return [float(text) for text in opened.metadata()["losses"].split()]


def network_named(model: str) -> str:
    """Return what ultralytics builds under a YOLOv5 name: not the network that bore it in 2022."""
    from importlib.metadata import version

    return f"{model}u: {model} with the anchor-free head of ultralytics {version('ultralytics')}, not that of 2022"


def choose_device(device: str) -> str:
    """Return `cpu` or a GPU's number; `auto` takes the first GPU if there is one."""
    import torch

    if device != "auto":
        return device
    return "0" if torch.cuda.is_available() else "cpu"


def device_name(device: str) -> str:
    """Return the name of the GPU that would train, or `cpu`."""
    import torch

    chosen = choose_device(device)
    return "cpu" if chosen == "cpu" else torch.cuda.get_device_name(int(chosen))


def _train(
    copies: pl.DataFrame,
    finished: Path,
    store: ArtifactStore,
    settings: DetectionSettings,
    seed: int,
    source: Path | None,
    report: Callable[[str], None] | None,
    observe: Callable[[dict[str, Any]], None] | None,
) -> None:
    finished = store.path(finished)
    prepare_ultralytics(store)
    import torch
    from safetensors.torch import save_file

    from olvf_assets.detection.trainer import LevelTrainer

    store.fetch(copies["image_path"])
    threads_before = torch.get_num_threads()
    trainer = LevelTrainer(
        copies=[
            {"image_file": str(store.at_hand(path).resolve()), "boxes": [*boxes, *helper_boxes], "taught": taught}
            for path, boxes, helper_boxes, taught in copies.select(
                "image_path", "boxes", "helper_boxes", "taught"
            ).iter_rows()
        ],
        helpers=helper_classes(copies),
        store=store,
        state_file=finished.parent / STATE,
        seed=seed,
        threads=available_cores(),
        accumulate=max(1, math.ceil(settings.nominal_batch / settings.batch)),
        report=report or (lambda line: None),
        observe=observe or (lambda figures: None),
        overrides=_ultralytics_arguments(settings, finished.parent, seed, source),
    )
    try:
        trainer.train()
    finally:
        torch.set_num_threads(threads_before)
    weights = {name: value.detach().cpu().contiguous() for name, value in trainer.ema.ema.state_dict().items()}
    losses = " ".join(f"{loss:.6f}" for loss in trainer.losses)
    store.write(finished, lambda temporary: save_file(weights, temporary, metadata={"losses": losses}))


def _ultralytics_arguments(settings: DetectionSettings, folder: Path, seed: int, source: Path | None) -> dict[str, Any]:
    device = choose_device(settings.device)
    return {
        "task": "detect",
        "mode": "train",
        "model": f"{settings.model}.yaml",
        "data": "detector_copies",
        "pretrained": str(source) if source else False,
        "save_dir": str(folder / "ultralytics"),
        "exist_ok": True,
        "plots": False,
        "val": False,
        "verbose": False,
        "deterministic": True,
        "seed": seed % 2**31,
        "device": device,
        "amp": _mixed_precision(device),
        "workers": settings.workers or min(8, os.cpu_count() or 1),
        "imgsz": settings.image_px,
        "epochs": settings.epochs,
        "patience": settings.epochs,
        "batch": settings.batch,
        "nbs": settings.nominal_batch,
        "optimizer": settings.optimizer,
        "lr0": settings.lr0,
        "lrf": settings.lrf,
        "cos_lr": settings.cosine,
        "momentum": settings.momentum,
        "weight_decay": settings.weight_decay,
        "warmup_epochs": settings.warmup_epochs,
        "warmup_bias_lr": 0.1 if settings.optimizer == "SGD" else 0.0,
        "flipud": 0.0,
        **settings.geometry.model_dump(),
    }


def _mixed_precision(device: str) -> str | bool:
    """Return ultralytics' `amp`: bfloat16 where the GPU has it (fp16 would start a check that downloads a model)."""
    import torch

    return "bf16" if device != "cpu" and torch.cuda.is_bf16_supported() else False
