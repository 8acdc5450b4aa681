"""Training one network on one fold, and many folds side by side.

What lives here: the loop of epochs, its checkpoint after every epoch, and the row that describes the result.
What does not: networks (`networks.py`), Table 4 (`augmentation.py`), what the weights hang on (`provenance.py`).
The last epoch's weights are the result: validation figures are recorded, nothing is chosen by them.
"""

import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch.nn.functional import cross_entropy

from olvf_assets.classification.augmentation import augment_batch
from olvf_assets.classification.networks import FractureClassifier, build, one_thread, save_weights, start_weights
from olvf_assets.classification.pixels import packed_pixels
from olvf_assets.classification.progress import PROGRESS, RECORD, Progress
from olvf_assets.classification.provenance import SampleError, training_description
from olvf_assets.classification.settings import Architecture, ClassificationSettings
from olvf_assets.classification.tables import CHECKPOINTS
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.parallel import parallel_map
from olvf_assets.foundation.provenance import file_sha256, why_anew
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.storage.artifacts import ArtifactStore, fingerprint, read_if_whole, read_json, remove, write_atomically

VALIDATION_BATCH = 64
KIND = "classifiers"  # of work, for the store
STATE = "state.pt"  # all of it, for going on

Report = Callable[[str], None]


class DivergedTrainingError(OlvfError):
    """The loss stopped being a number."""


def train_folds(
    architecture: Architecture,
    folds: Sequence[int],
    samples: pl.DataFrame,
    store: ArtifactStore,
    settings: ClassificationSettings,
    seed: int,
    report: Report | None = None,
    observe: Callable[[dict[str, Any]], None] | None = None,
) -> pl.DataFrame:
    """Train one architecture on several folds, in as many spawned processes as `settings.workers` says.

    Args:
        architecture: the network.
        folds: the folds to train, each validating once.
        samples: table `balanced_training_set` of one protocol.
        store: where pictures, checkpoints and weights lie.
        settings: the room's settings.
        seed: the profile's seed.
        report: progress lines.
        observe: shows the figures of the last epoch of each fold, about every ten seconds.

    Returns:
        Table `<architecture>_checkpoints`, a row per fold, sorted by fold.

    Raises:
        SampleError: a class or a whole side of a fold is missing.
        DivergedTrainingError: a loss stopped being a number.
    """
    samples = samples.sort("sample_id")
    packed_pixels(samples, store, settings.input_divisor)  # written once, before several processes look for it
    train = partial(
        _train_fold_of, architecture=architecture, samples=samples, root=store.root, settings=settings, seed=seed
    )
    start = start_weights(architecture, settings.networks[architecture])
    descriptions = {
        fold: training_description(architecture, fold, samples, settings, seed, start) for fold in sorted(folds)
    }
    records = {fold: _record_of(store, description) for fold, description in descriptions.items()}
    unfinished = [fold for fold, record in records.items() if _finished(store, record) is None]
    for fold in unfinished:
        if report is not None and not (records[fold].parent / STATE).exists():
            report(f"{architecture}, fold {fold}: trained anew: {why_anew(store.root, KIND, descriptions[fold])}")
    folders = [records[fold].parent for fold in unfinished]
    tick = None if observe is None else Progress(folders, observe, report).show
    workers = settings.workers
    if torch.cuda.is_available():
        free_bytes, _ = torch.cuda.mem_get_info()
        workers = workers or gpu_workers(free_bytes, settings.gpu_memory_gib)
    parallel_map(train, unfinished, workers=workers, what=f"folds of {architecture}", report=report, tick=tick)
    rows = [train(fold) for fold in folds]  # by now each only reads its record
    return pl.DataFrame(rows, schema=CHECKPOINTS).sort("protocol", "fold")


def gpu_workers(free_bytes: int, needed_gib: float) -> int:
    """Return how many trainings share a GPU with so much free memory: at least one."""
    return max(1, int(free_bytes / (needed_gib * 2**30)))


def _train_fold_of(
    fold: int,
    architecture: Architecture,
    samples: pl.DataFrame,
    root: Path,
    settings: ClassificationSettings,
    seed: int,
) -> dict[str, Any]:
    return train_fold(architecture, fold, samples, ArtifactStore(root), settings, seed)


def train_fold(
    architecture: Architecture,
    fold: int,
    samples: pl.DataFrame,
    store: ArtifactStore,
    settings: ClassificationSettings,
    seed: int,
    report: Report | None = None,
) -> dict[str, Any]:
    """Train on all samples outside `fold`, validate on those in it; return one row of the checkpoints table.

    A killed training continues after its last whole epoch and, on a CPU, ends with the same weights bit for bit; a
    finished one is not done again. Arguments and errors as in `train_folds`; `report` gets a line per epoch.
    """
    start = start_weights(architecture, settings.networks[architecture])
    description = training_description(architecture, fold, samples, settings, seed, start)
    record = _record_of(store, description)
    row = _finished(store, record)
    if row is None:
        with one_thread():
            row = _train(description, record.parent, samples.sort("sample_id"), store, settings, report)
        text = json.dumps(row, indent=2)
        write_atomically(record, partial(_write, text=text))
        for name in (STATE, PROGRESS):
            remove(record.parent / name)
    return row


def _finished(store: ArtifactStore, record: Path) -> dict[str, Any] | None:
    """Return the row of a finished training, if its weights are still those that the row names."""
    row = read_if_whole(record, read_json)
    weights = None if row is None else read_if_whole(store.path(row["weights_path"]), file_sha256)
    return row if row and weights == row["weights_sha256"] else None


def _record_of(store: ArtifactStore, description: dict[str, Any]) -> Path:
    """Return where the row of a finished training lies, in the folder of that training."""
    return store.work_folder(KIND, description) / RECORD


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def learning_rate(step: int, steps: int, peak: float, settings: ClassificationSettings) -> float:
    """Return the learning rate of a step (from 0) out of `steps`, as `settings.schedule` says."""
    if settings.schedule == "constant":
        return peak
    warmup = settings.warmup_share * steps
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def _train(
    description: dict[str, Any],
    folder: Path,
    samples: pl.DataFrame,
    store: ArtifactStore,
    settings: ClassificationSettings,
    report: Report | None,
) -> dict[str, Any]:
    architecture, fold, seed = description["architecture"], description["fold"], description["seed"]
    names = (architecture, fold, description["protocol"])
    network = settings.networks[architecture]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    training, validation = _sides(samples, store, settings, fold, device)
    model = build(architecture, network, derive_seed(seed, "weights", *names)).to(device)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=network.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.momentum > 0,
    )
    state = folder / STATE
    history: list[tuple[float, float, float]] = []
    saved = read_if_whole(state, lambda path: torch.load(path, map_location=device, weights_only=True))
    if saved is not None:
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        history = saved["history"]
    for epoch in range(len(history), settings.epochs):
        epoch_seed = derive_seed(seed, "epoch", *names, epoch)
        loss = _train_epoch(model, optimizer, training, settings, network.learning_rate, epoch, epoch_seed)
        if not math.isfinite(loss):
            raise DivergedTrainingError(
                f"{architecture}, fold {fold}: the loss is {loss} in epoch {epoch + 1}; lower "
                f"classification.networks.{architecture}.learning_rate (now {network.learning_rate})"
            )
        history.append((loss, *_validate(model, validation)))
        _save_state(state, model, optimizer, history)
        figures = dict(zip(("train loss", "validation loss", "validation accuracy"), history[-1], strict=True))
        text = json.dumps({"fold": fold, "epoch": epoch + 1, "of epochs": settings.epochs} | figures)
        write_atomically(folder / PROGRESS, partial(_write, text=text))
        if report is not None:
            report(f"{architecture}, fold {fold}, epoch {epoch + 1}/{settings.epochs}: loss {loss:.3f}")
    weights = folder / "weights.safetensors"
    mark = fingerprint(description)
    write_atomically(weights, lambda path: save_weights(model, path, {"fingerprint": mark, "training": description}))
    train_losses, validation_losses, validation_accuracies = zip(*history, strict=True)
    return {
        "protocol": description["protocol"],
        "architecture": architecture,
        "fold": fold,
        "weights_path": weights.relative_to(store.root).as_posix(),
        "weights_sha256": file_sha256(weights),
        "epochs": settings.epochs,
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "n_training": len(training[1]),
        "n_validation": len(validation[1]),
        "validation_loss": validation_losses[-1],
        "validation_accuracy": validation_accuracies[-1],
        "train_loss_by_epoch": list(train_losses),
        "validation_loss_by_epoch": list(validation_losses),
        "validation_accuracy_by_epoch": list(validation_accuracies),
        "seed": seed,
        "fingerprint": mark,
        "start_sha256": description["start"],
    }


Side = tuple[torch.Tensor, torch.Tensor]


def _sides(
    samples: pl.DataFrame, store: ArtifactStore, settings: ClassificationSettings, fold: int, device: torch.device
) -> tuple[Side, Side]:
    """Return (pixels uint8 (n, 1, height_px, width_px), class indices int64 (n,)) of training and of validation."""
    pixels = packed_pixels(samples, store, settings.input_divisor)[:, None]
    labels = np.array([CLASSES.index(label) for label in samples["label"]])
    folds = samples["fold"].to_numpy()
    sides = []
    for side, chosen in (("training", folds != fold), ("validation", folds == fold)):
        missing = [name for index, name in enumerate(CLASSES) if not (labels[chosen] == index).any()]
        if missing:
            raise SampleError(
                f"balanced_training_set: no {' and no '.join(missing)} sample on the {side} side of fold {fold}; "
                "materialise splits and balanced_training_set again"
            )
        sides.append((torch.from_numpy(pixels[chosen]).to(device), torch.from_numpy(labels[chosen]).to(device)))
    return sides[0], sides[1]


def _train_epoch(
    model: FractureClassifier,
    optimizer: torch.optim.SGD,
    training: Side,
    settings: ClassificationSettings,
    peak: float,
    epoch: int,
    seed: int,
) -> float:
    """Pass once over the training side; return the mean loss. All randomness comes from `seed`, so none is saved."""
    pixels, labels = training
    torch.manual_seed(seed)  # dropout, where a network has it
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    # parts of nearly equal size: every sample is seen, and no last batch is too small for batch normalisation
    batches = torch.tensor_split(order, max(1, len(order) // settings.batch))
    model.train()
    total = torch.zeros((), device=labels.device)
    for number, indices in enumerate(batches):
        batch = indices.to(labels.device)
        step = epoch * len(batches) + number
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, settings.epochs * len(batches), peak, settings)
        pictures = augment_batch(pixels[batch].float(), settings.augmentation, generator)
        with torch.autocast(labels.device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
            logits = model(pictures).float()
        loss = cross_entropy(logits, labels[batch], label_smoothing=settings.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.detach() * len(batch)
    return float(total) / len(labels)


@torch.inference_mode()
def _validate(model: FractureClassifier, validation: Side) -> tuple[float, float]:
    pixels, labels = validation
    model.eval()
    logits = torch.cat([model(part.float()) for part in pixels.split(VALIDATION_BATCH)])
    accuracy = (logits.argmax(dim=1) == labels).float().mean()
    return float(cross_entropy(logits, labels)), float(accuracy)


def _save_state(
    path: Path, model: FractureClassifier, optimizer: torch.optim.SGD, history: list[tuple[float, float, float]]
) -> None:
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "history": history}
    write_atomically(path, lambda temporary: torch.save(state, temporary))
