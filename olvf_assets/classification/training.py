"""Training one network on one fold, and many folds side by side.

What lives here: the loop of epochs, what is kept between them, and the row that describes the result. What does not:
steps (`learner.py`), networks (`networks.py`), Table 4 (`augmentation.py`), what the weights hang on (`provenance.py`).
The last epoch's weights are the result: validation figures are recorded, nothing is chosen by them.
"""

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import torch

from olvf_assets.classification.learner import Learner
from olvf_assets.classification.networks import build, repeatable, save_weights, start_weights
from olvf_assets.classification.pixels import packed_pixels
from olvf_assets.classification.progress import PROGRESS, RECORD, Progress
from olvf_assets.classification.provenance import training_description
from olvf_assets.classification.settings import ARCHITECTURES, Architecture, ClassificationSettings
from olvf_assets.classification.sides import sides
from olvf_assets.classification.tables import CHECKPOINTS
from olvf_assets.foundation.engine import TRAINING, UnsharedStoreError, engine, idle_cards, in_groups
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.parallel import TICK_S, at_most_every, parallel_map
from olvf_assets.foundation.provenance import file_sha256, why_anew
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.storage.artifacts import ArtifactStore, fingerprint, read_json

KIND = "classifiers"  # of work, for the store
STATE = "state.pt"  # all of it, for going on
KEEP_AFTER_S = {"cpu": 0.0, "cuda": 30.0}  # a full network's state weighs 200 MB, and a GPU's epoch takes seconds

Report = Callable[[str], None]
Job = tuple[Architecture, Sequence[int]]


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
    """Train one architecture on several folds: in `settings.workers` processes, on a GPU all of them in one.

    On a cluster each worker with a GPU trains its part of them in one process, each other worker one at a time. Cards
    that would stand idle train the other architectures meanwhile, whose own tables then find them finished.

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
        UnsharedStoreError: workers of a cluster trained them and keep what they made in a store of their own.
    """
    samples = samples.sort("sample_id")
    packed_pixels(samples, store, settings.input_divisor)  # written once, before several processes look for it
    train = partial(_train_as_many_as_fit, samples=samples, store=store, settings=settings, seed=seed)
    descriptions = _descriptions(architecture, folds, samples, settings, seed)
    records = {fold: _record_of(store, description) for fold, description in descriptions.items()}
    unfinished = [fold for fold, record in records.items() if _finished(store, record) is None]
    for fold in unfinished:
        if report is not None and not store.exists(records[fold].parent / STATE):
            report(
                f"{architecture}, fold {fold}: trained anew: {why_anew(store.descriptions(KIND), descriptions[fold])}"
            )
    folders = [records[fold].parent for fold in unfinished]
    tick = None if observe is None else Progress(store, folders, observe, report).show
    if torch.cuda.is_available() and engine() is None:
        train((architecture, unfinished), tick=tick and at_most_every(TICK_S, tick))
    else:
        jobs: list[Job] = [(architecture, group) for group in in_groups(unfinished, TRAINING)]
        for other in ARCHITECTURES:
            if other != architecture and jobs and idle_cards(TRAINING, beside=len(jobs)):
                with suppress(OlvfError):  # what it lacks its own table will say
                    theirs = _descriptions(other, folds, samples, settings, seed)
                    left = [fold for fold, each in theirs.items() if _finished(store, _record_of(store, each)) is None]
                    jobs += [(other, group) for group in in_groups(left, TRAINING, beside=len(jobs))]
        what = "folds of " + ", ".join(dict.fromkeys(name for name, _ in jobs))
        parallel_map(train, jobs, workers=settings.workers, needs=TRAINING, what=what, report=report, tick=tick)
    if None in (rows := [_finished(store, records[fold]) for fold in sorted(records)]):
        raise UnsharedStoreError("classifiers")
    return pl.DataFrame(rows, schema=CHECKPOINTS).sort("protocol", "fold")


def trainings_together(settings: ClassificationSettings, architecture: Architecture) -> int:
    """Return how many trainings of an architecture share the GPU: as many as fit into its free memory, at least one.

    One at a time if it draws random numbers in its layers: all of a process draw from one source.
    """
    if any("drop" in name and value for name, value in settings.networks[architecture].arguments.items()):
        return 1
    free_bytes, _ = torch.cuda.mem_get_info()
    return settings.workers or max(1, int(free_bytes / (settings.gpu_memory_gib * 2**30)))


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

    A killed training continues after the last epoch that was kept (on a CPU the last whole one) and there ends with the
    same weights bit for bit; a finished one is not done again. Arguments and errors as in `train_folds`; `report` gets
    a line per epoch.
    """
    (row,) = _train_together([fold], architecture, samples, store, settings, seed, report)
    return row


def _descriptions(
    architecture: Architecture, folds: Sequence[int], samples: pl.DataFrame, settings: ClassificationSettings, seed: int
) -> dict[int, dict[str, Any]]:
    start = start_weights(architecture, settings.networks[architecture])
    return {fold: training_description(architecture, fold, samples, settings, seed, start) for fold in sorted(folds)}


def _train_as_many_as_fit(
    job: Job,
    samples: pl.DataFrame,
    store: ArtifactStore,
    settings: ClassificationSettings,
    seed: int,
    tick: Callable[[], None] | None = None,
) -> None:
    """Train those of the folds that are unfinished in this process: as many at once as its GPU holds, else one."""
    architecture, folds = job
    together = trainings_together(settings, architecture) if folds and torch.cuda.is_available() else 1
    for first in range(0, len(folds), together):
        _train_together(folds[first : first + together], architecture, samples, store, settings, seed, tick=tick)


def _train_together(
    folds: Sequence[int],
    architecture: Architecture,
    samples: pl.DataFrame,
    store: ArtifactStore,
    settings: ClassificationSettings,
    seed: int,
    report: Report | None = None,
    tick: Callable[[], None] | None = None,
) -> list[dict[str, Any]]:
    """Train those of the folds that are unfinished, in turns in this process; return the rows of all."""
    samples = samples.sort("sample_id")
    descriptions = _descriptions(architecture, folds, samples, settings, seed)
    rows: dict[int, dict[str, Any]] = {}
    trainings: dict[int, FoldTraining] = {}
    with repeatable(tensor_cores=True):
        for fold, description in descriptions.items():
            record = _record_of(store, description)
            row = _finished(store, record)
            if row is not None:
                rows[fold] = row
            else:
                trainings[fold] = FoldTraining(description, record.parent, samples, store, settings, report)
        train_to_the_end(list(trainings.values()), tick)
        for fold, training in trainings.items():
            rows[fold] = training.finish()
    return [rows[fold] for fold in folds]


def _finished(store: ArtifactStore, record: Path) -> dict[str, Any] | None:
    """Return the row of a finished training, if its weights are still those that the row names."""
    row = store.read(record, read_json)
    weights = None if row is None else store.read(row["weights_path"], file_sha256)
    return row if row and weights == row["weights_sha256"] else None


def _record_of(store: ArtifactStore, description: dict[str, Any]) -> Path:
    """Return where the row of a finished training lies, in the folder of that training."""
    return store.work_folder(KIND, description) / RECORD


class FoldTraining:
    """The training of one network on one fold: where it stands, and its files.

    Args:
        description: of the training, see `training_description`.
        folder: where its state, its progress and its weights go; what an earlier run left there is gone on from.
        samples: table `balanced_training_set` of one protocol, sorted by sample_id.
        store: where pictures lie.
        settings: the room's settings.
        report: gets a line per epoch.
    """

    def __init__(
        self,
        description: dict[str, Any],
        folder: Path,
        samples: pl.DataFrame,
        store: ArtifactStore,
        settings: ClassificationSettings,
        report: Report | None,
    ) -> None:
        self.description, self.folder, self.store, self.settings, self.report = (
            description, folder, store, settings, report,
        )  # fmt: skip
        self.architecture, self.fold, self.seed = (description[key] for key in ("architecture", "fold", "seed"))
        self.names = (self.architecture, self.fold, description["protocol"])
        network = settings.networks[self.architecture]
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        training, self.validation = sides(samples, store, settings, self.fold, device)
        self.model = build(self.architecture, network, derive_seed(self.seed, "weights", *self.names)).to(device)
        self.learner = Learner(self.model, training, settings, network.learning_rate)
        self.history: list[tuple[float, float, float]] = []
        self.kept_at = time.monotonic()
        saved = store.read(folder / STATE, lambda path: torch.load(path, map_location=device, weights_only=True))
        if saved is not None:
            self.model.load_state_dict(saved["model"])
            self.learner.go_on_from(saved["momentum"])
            self.history = saved["history"]

    @property
    def is_over(self) -> bool:
        """Whether no epoch is left."""
        return len(self.history) == self.settings.epochs

    def begin_epoch(self) -> None:
        """Make ready for the next epoch's steps."""
        epoch = len(self.history)
        self.learner.begin_epoch(epoch, derive_seed(self.seed, "epoch", *self.names, epoch))

    def end_epoch(self, validated: torch.Tensor) -> None:
        """Note the epoch's figures and keep the state.

        Args:
            validated: what the learner's `validate` gave.

        Raises:
            DivergedTrainingError: the loss is no number any more.
        """
        loss, epoch = self.learner.mean_loss(), len(self.history) + 1
        if not math.isfinite(loss):
            raise DivergedTrainingError(
                f"{self.architecture}, fold {self.fold}: the loss is {loss} in epoch {epoch}; lower "
                f"classification.networks.{self.architecture}.learning_rate (now {self.learner.peak})"
            )
        validation_loss, validation_accuracy = validated.tolist()
        self.history.append((loss, validation_loss, validation_accuracy))
        if time.monotonic() - self.kept_at >= KEEP_AFTER_S[self.learner.device.type]:
            state = {"model": self.model.state_dict(), "momentum": self.learner.momentum(), "history": self.history}
            self.store.write(self.folder / STATE, lambda temporary: torch.save(state, temporary))
            self.kept_at = time.monotonic()
        figures = dict(zip(("train loss", "validation loss", "validation accuracy"), self.history[-1], strict=True))
        text = json.dumps({"fold": self.fold, "epoch": epoch, "of epochs": self.settings.epochs} | figures)
        self.store.write_text(self.folder / PROGRESS, text)
        if self.report is not None:
            self.report(f"{self.architecture}, fold {self.fold}, epoch {epoch}/{self.settings.epochs}: loss {loss:.3f}")

    def finish(self) -> dict[str, Any]:
        """Write the weights and the record, clear away the state, and return the row of the checkpoints table."""
        weights = self.folder / "weights.safetensors"
        mark = fingerprint(self.description)
        header = {"fingerprint": mark, "training": self.description}
        self.store.write(weights, lambda path: save_weights(self.model, path, header))
        train_losses, validation_losses, validation_accuracies = zip(*self.history, strict=True)
        row = {
            "protocol": self.description["protocol"],
            "architecture": self.architecture,
            "fold": self.fold,
            "weights_path": weights.relative_to(self.store.root).as_posix(),
            "weights_sha256": file_sha256(self.store.at_hand(weights)),
            "epochs": self.settings.epochs,
            "n_parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "n_training": len(self.learner.labels),
            "n_validation": len(self.validation[1]),
            "validation_loss": validation_losses[-1],
            "validation_accuracy": validation_accuracies[-1],
            "train_loss_by_epoch": list(train_losses),
            "validation_loss_by_epoch": list(validation_losses),
            "validation_accuracy_by_epoch": list(validation_accuracies),
            "seed": self.seed,
            "fingerprint": mark,
            "start_sha256": self.description["start"],
        }
        self.store.write_text(self.folder / RECORD, json.dumps(row, indent=2))
        for name in (STATE, PROGRESS):
            self.store.remove(self.folder / name)
        return row


def train_to_the_end(trainings: Sequence[FoldTraining], tick: Callable[[], None] | None = None) -> None:
    """Go through all epochs of all trainings, a step of each in turn: on a GPU they are computed at the same time.

    Args:
        trainings: of one process.
        tick: called after every epoch.
    """
    while going := [training for training in trainings if not training.is_over]:
        for training in going:
            training.begin_epoch()
        for number in range(max(training.learner.steps for training in going)):
            for training in going:
                if number < training.learner.steps:
                    training.learner.step()
        validated = [training.learner.validate(training.validation) for training in going]
        for training, figures in zip(going, validated, strict=True):
            training.end_epoch(figures)
        if tick is not None:
            tick()
