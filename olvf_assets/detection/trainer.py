"""Ultralytics' detection trainer, fed from a table and resumable to the bit.

What lives here: the subclasses of ultralytics' dataset and trainer. What does not: when to train, where the result
goes (`training.py`). Imported only after `prepare_ultralytics`.

Why not ultralytics' own resume: it keeps half-precision averaged weights only and no random state, so a run that was
killed would end with another detector than one that was not. Here every epoch starts from a seed of its own, and the
state after each epoch is kept in full precision.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from ultralytics.data.augment import Compose, RandomPerspective
from ultralytics.data.dataset import YOLODataset
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils.loss import v8DetectionLoss
from ultralytics.utils.torch_utils import init_seeds

from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.storage.artifacts import ArtifactStore

Report = Callable[[str], None]
# image_file: absolute path; boxes: as in `detector_copies`, those of helper classes last; taught: as there
Copy = dict[str, Any]


class OnBlack(RandomPerspective):
    """Changes of geometry that leave black where ultralytics leaves grey: beyond a film's field there is no light."""

    def apply_image(self, labels: dict[str, Any], params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Warp `img` (height, width, 1)."""
        assert params is not None
        labels["img"] = cv2.warpAffine(labels["img"], params["M"][:2], dsize=params["size"], borderValue=0)[..., None]
        labels["resized_shape"] = labels["img"].shape[:2]
        return labels


class CopiesDataset(YOLODataset):
    """Rows of `detector_copies` as ultralytics wants them: no label files, no cache files."""

    def __init__(self, copies: list[Copy], classes: list[str], image_px: int, **options: Any) -> None:
        self.copies = copies
        self.classes = classes
        self.image_px = image_px
        super().__init__(img_path="", imgsz=image_px, **options)

    def get_img_files(self, img_path: str | list[str]) -> list[str]:
        """Return the absolute paths of the pictures, in the table's order."""
        return [copy["image_file"] for copy in self.copies]

    def get_labels(self) -> list[dict[str, Any]]:
        """Return one ultralytics label per picture: classes (n, 1), boxes (n, 4) as centre and size, in shares."""
        labels = []
        for copy in self.copies:
            corners = np.array([[box[k] for k in ("x0", "y0", "x1", "y1")] for box in copy["boxes"]], np.float32)
            centres = np.hstack([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]])
            labels.append(
                {
                    "im_file": copy["image_file"],
                    "shape": (self.image_px, self.image_px),
                    "cls": np.array([[self.classes.index(box["level"])] for box in copy["boxes"]], np.float32),
                    "bboxes": centres,
                    "segments": [],
                    "keypoints": None,
                    "normalized": True,
                    "bbox_format": "xywh",
                }
            )
        return labels

    def build_transforms(self, hyp: Any) -> Compose:
        """Return ultralytics' transforms with `OnBlack` in the place of its changes of geometry."""
        transforms = super().build_transforms(hyp)
        if self.augment:
            geometry = transforms[0]
            place = next(i for i, step in enumerate(geometry.tolist()) if isinstance(step, RandomPerspective))
            old = geometry[place]
            geometry[place] = OnBlack(old.degrees, old.translate, old.scale, old.shear, 0.0, old.size)
        return transforms


class TaughtLoss(v8DetectionLoss):
    """Ultralytics' loss, deaf to what a picture cannot teach: helper classes that nobody drew in its film."""

    bce: Any  # ultralytics types it as the class that it is before

    def __init__(self, model: torch.nn.Module, copies: list[Copy], classes: list[str]) -> None:
        super().__init__(model)
        self.taught = {
            copy["image_file"]: torch.tensor([name in LEVELS or name in copy["taught"] for name in classes])
            for copy in copies
        }
        self.every_class, self.bce = self.bce, self._of_taught_classes
        self.mask = torch.ones(1, 1, len(classes))

    def __call__(self, preds: Any, batch: dict[str, Any]) -> Any:
        """Return the loss of a batch and its parts."""
        taught = torch.stack([self.taught[file] for file in batch["im_file"]])
        self.mask = taught[:, None].to(self.device)
        return super().__call__(preds, batch)

    def _of_taught_classes(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy (pictures, places, classes), 0 where a class is not taught."""
        return self.every_class(scores, targets) * self.mask


class LevelTrainer(DetectionTrainer):
    """Trains on `copies`, keeps its state in `state_file` after each epoch, goes on from there if it exists.

    Args:
        copies: training pictures.
        helpers: classes beside the levels.
        store: where pictures and the state lie.
        state_file: the state's path there.
        seed: decides every random choice.
        threads: CPU threads (ultralytics would leave one core idle).
        accumulate: batches whose gradients make one optimizer step; an epoch's rest makes a step, too.
        report: gets one line per epoch.
        observe: gets each epoch's figures.
        overrides: ultralytics' arguments.
    """

    # Ultralytics fills these on its way and types them as what they are before: None.
    model: Any
    ema: Any
    optimizer: Any
    scheduler: Any
    tloss: Any

    def __init__(
        self,
        copies: list[Copy],
        helpers: list[str],
        store: ArtifactStore,
        state_file: Path,
        seed: int,
        threads: int,
        accumulate: int,
        report: Report,
        observe: Callable[[dict[str, Any]], None],
        overrides: dict[str, Any],
    ) -> None:
        self.copies = copies
        self.classes = [*LEVELS, *helpers]
        self.store, self.state_file = store, state_file
        self.run_seed = seed
        self.threads = threads
        self.batches_per_step = accumulate
        self.report = report
        self.observe = observe
        self.batches_done = 0
        self.losses: list[float] = []
        super().__init__(overrides=overrides)
        self.add_callback("on_pretrain_routine_end", LevelTrainer.load_state)
        self.add_callback("on_train_epoch_start", LevelTrainer.seed_epoch)

    def get_dataset(self) -> dict[str, Any]:
        """Return ultralytics' data description: grey pictures, five levels and the helper classes."""
        names = dict(enumerate(self.classes))
        return {"train": "train", "val": "val", "nc": len(names), "names": names, "channels": 1, "path": ""}

    def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> CopiesDataset:
        """Return the training pictures; for validation, which happens elsewhere, a first one to satisfy the loader."""
        copies = self.copies if mode == "train" else self.copies[:1]
        return CopiesDataset(
            copies,
            self.classes,
            self.args.imgsz,
            data=self.data,
            augment=mode == "train",
            hyp=self.args,
            batch_size=batch,
        )

    def _build_train_pipeline(self) -> None:
        super()._build_train_pipeline()
        self.accumulate = 1  # `optimizer_step` counts batches itself, so that an epoch ends with nothing left over

    def optimizer_step(self) -> None:
        """Step once per `batches_per_step` batches and at the end of the epoch."""
        self.batches_done += 1
        if self.batches_done % self.batches_per_step == 0 or self.batches_done == len(self.train_loader):
            super().optimizer_step()

    def _do_train(self) -> None:
        """Train, unless the earlier run was killed between its last epoch and the writing of the weights."""
        state = self._read_state()
        if state is not None and state["epoch"] + 1 == self.epochs:
            self._setup_train()
        else:
            super()._do_train()

    def _read_state(self) -> dict[str, Any] | None:
        return self.store.read(
            self.state_file, lambda file: torch.load(file, map_location=self.device, weights_only=True)
        )

    def seed_epoch(self) -> None:
        """Start an epoch whose order, geometry and worker seeds depend on the seed and the epoch's number only."""
        epoch_seed = derive_seed(self.run_seed, "epoch", self.epoch)
        init_seeds(epoch_seed % 2**31, deterministic=True)
        self.train_loader.generator.manual_seed(epoch_seed)
        self.train_loader.dataset.buffer.clear()  # pictures that mosaic may draw from
        self.train_loader.reset()
        self.batches_done = 0

    def load_state(self) -> None:
        """Set threads and memory layout and, if an earlier run left its state, go on after its last finished epoch."""
        torch.set_num_threads(self.threads)
        self.model.to(memory_format=torch.channels_last)  # a fifth quicker on a CPU, too
        if len(self.classes) > len(LEVELS):
            self.model.criterion = TaughtLoss(self.model, self.copies, self.classes)
        state = self._read_state()
        if state is None:
            return
        self.model.load_state_dict(state["model"])
        self.ema.ema.load_state_dict(state["average"])
        self.ema.updates = state["updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.losses = state["losses"]
        self.start_epoch = state["epoch"] + 1
        self.scheduler.last_epoch = self.start_epoch - 1
        self.report(f"detector: going on after epoch {self.start_epoch}/{self.epochs}")

    def save_model(self) -> bool:
        """Keep the state after an epoch (called by ultralytics in place of its own checkpoint)."""
        self.losses.append(float(sum(float(value) for value in self.tloss.values())))
        state = {
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "average": self.ema.ema.state_dict(),
            "updates": self.ema.updates,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "losses": self.losses,
        }
        self.store.write(self.state_file, lambda temporary: torch.save(state, temporary))
        self.report(f"detector: epoch {self.epoch + 1}/{self.epochs}, loss {self.losses[-1]:.3f}")
        self.observe({"epoch": self.epoch + 1, "of epochs": self.epochs, "train loss": self.losses[-1]})
        return True

    def validate(self) -> tuple[dict[str, float], float]:
        """Choose nothing by validation: the last epoch counts, so validation films stay unseen."""
        return {}, 0.0

    def final_eval(self) -> None:
        """Do nothing: `metrics.py` measures."""

    def save_metrics(self, metrics: dict[str, float]) -> None:
        """Write no CSV: losses are part of `detector_model`."""
