"""How far trainings are that other processes do.

What lives here: reading what they leave in their folders, and showing it. What does not: training (`training.py`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from olvf_assets.storage.artifacts import ArtifactStore, read_json

RECORD = "checkpoint.json"  # the row of a finished training
PROGRESS = "progress.json"  # the last finished epoch, while training goes on


class Progress:
    """The last epochs of trainings that other processes do, read from their folders.

    Args:
        store: where they lie.
        folders: of the trainings, see `_train`.
        observe: gets one value a figure, named by fold, whenever there is something new.
        report: gets a line such as "37/150 epochs" then.
    """

    def __init__(
        self,
        store: ArtifactStore,
        folders: Sequence[Path],
        observe: Callable[[dict[str, Any]], None],
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.store = store
        self.folders, self.files = folders, [folder / PROGRESS for folder in folders]
        self.observe, self.report = observe, report
        self.shown: dict[str, Any] = {}

    def show(self) -> None:
        """Show the figures if there are others than the last time."""
        epochs = [epoch for file in self.files if (epoch := self.store.read(file, read_json)) is not None]
        figures = {f"fold {epoch['fold']} {name}": value for epoch in epochs for name, value in epoch.items()}
        if figures != self.shown:
            self.observe(figures)
            self.shown = figures
            if self.report is not None and epochs:
                of_each: int = epochs[0]["of epochs"]
                finished = sum(self.store.exists(folder / RECORD) for folder in self.folders)
                done = finished * of_each + sum(epoch["epoch"] for epoch in epochs)
                self.report(f"{done}/{len(self.folders) * of_each} epochs")
