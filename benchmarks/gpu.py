"""What a GPU makes of the thesis's own trainings and predictions, beside the loop that a user would write.

Pictures are phantom films drawn on the spot. For each full network of profile `thesis`, at its batch of 4 with Table 4:

- steps a second of a plain timm loop (torch DataLoader with worker processes that read the PNG crops and alter them by
  torchvision), and of the study's own training: `plain` (step by step), `recorded` (a replayed CUDA graph), the same in
  `bfloat16` and without channels-last (`planar`), and `together` (the five folds, recorded, sharing the card);
- `kernels_a_step` and `kernel_ms_a_step` of a plain step, and by kind; `share_of_peak`: floating-point operations a
  second at the best speed over those of a large matrix product in TF32;
- `fifteen_trainings_min`: all folds of all networks with their validations at the best speed (states that are kept
  come on top: 200 MB a fold twice a minute);
- equality: recorded against plain, together against alone, a second run against the first (shares of equal weights) and
  a training and predictions against the CPU (largest differences).

Then YOLOv5x at 640 px (pictures a second of its training at batch 4), and films a second from the stored film to the
probabilities of fifteen networks, by part (crops on one core). `--device cpu --tiny` runs every line of it small: no
minute of a card is for typing errors.
"""

import argparse
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from training import CropFiles

from olvf_assets.classification import networks
from olvf_assets.classification.learner import Learner, Side
from olvf_assets.classification.networks import FractureClassifier, build, load_trained, repeatable, save_weights
from olvf_assets.classification.pixels import packed_pixels
from olvf_assets.classification.predictions import class_probabilities
from olvf_assets.classification.settings import ARCHITECTURES, Architecture, ClassificationSettings
from olvf_assets.classification.training import train_folds
from olvf_assets.crops.crop import crop_vertebrae
from olvf_assets.crops.settings import CropSettings
from olvf_assets.detection import training as detector_training
from olvf_assets.detection.copies import squeeze
from olvf_assets.detection.prediction import candidate_bodies, predict_films
from olvf_assets.foundation.parallel import available_cores, parallel_map
from olvf_assets.foundation.provenance import file_sha256
from olvf_assets.foundation.vocabulary import CLASSES, LEVELS
from olvf_assets.phantom.film import render_film
from olvf_assets.phantom.plan import plan_hospital
from olvf_assets.profiles import load_profile
from olvf_assets.storage.artifacts import ArtifactStore

SITE = "institution_1"
TRAINING, VALIDATION = 5466, 1367  # four fifths and one fifth of the thesis's 6833 crops
DETECTOR_PICTURES = 7160 * 4 // 5
WORKERS = 8
KINDS_OF_TRAINING = ("plain", "recorded", "bfloat16", "planar", "together", "together_bfloat16")
KINDS = {  # the first that fits a kernel's name
    "normalisation": "batch_norm|bn_|batchnorm",
    "convolution": "conv|gemm|xmma|cutlass|cudnn|implicit|sm90|sm80",
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="slim networks and few pictures, to try the script")
    parser.add_argument("--quick", action="store_true", help="as --device cpu --tiny --networks resnet50")
    parser.add_argument("--json", action="store_true", help="print one flat object as the last line")
    parser.add_argument("--parts", default="training,folds,detector,films_to_probabilities", help="comma-separated")
    parser.add_argument("--networks", default=",".join(ARCHITECTURES), help="that are trained, comma-separated")
    parser.add_argument("--kinds", default=",".join(KINDS_OF_TRAINING), help="of training, comma-separated")
    asked = parser.parse_args()
    if asked.quick:
        asked.device, asked.tiny, asked.networks = "cpu", True, "resnet50"
    if asked.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no GPU here; `--device cpu --tiny` tries the script without one")
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, only_on(asked.device):
        bench = Bench(Path(folder), asked.device, tiny=asked.tiny)
        bench.kinds = asked.kinds.split(",")
        bench.architectures = [each for each in ARCHITECTURES if each in asked.networks.split(",")]
        for part in asked.parts.split(","):
            for name, value in getattr(bench, part)():
                figures[name] = float(f"{value:.4g}")
                print(f"{time.perf_counter() - bench.began:6.0f} s  {name:<48}{value:>12.4g}", flush=True)
    if asked.json:
        print(json.dumps(figures))


@contextmanager
def only_on(device: str) -> Iterator[None]:
    """Hide the GPU from the code under test where the CPU was asked for."""
    with patch.object(torch.cuda, "is_available", lambda: device == "cuda"):
        yield


Figures = Iterator[tuple[str, float]]


class Bench:
    """The parts, on pictures made once.

    Args:
        folder: for everything that is written.
        device: `cuda` or `cpu`.
        tiny: slim networks, few pictures and steps.
    """

    def __init__(self, folder: Path, device: str, *, tiny: bool) -> None:
        self.began = time.perf_counter()
        self.architectures = list(ARCHITECTURES)
        self.device, self.tiny = torch.device(device), tiny
        self.kinds = list(KINDS_OF_TRAINING)
        self.store = ArtifactStore(folder / "store")
        self.profile = load_profile("thesis")
        self.settings = self.profile.classification
        if tiny:
            slim = load_profile("ci").classification.networks
            self.settings = self.settings.model_copy(update={"networks": slim, "input_divisor": 4})
        random = {name: each.model_copy(update={"weights": "random"}) for name, each in self.settings.networks.items()}
        self.settings = self.settings.model_copy(update={"networks": random, "epochs": 100})
        self.films, self.crops = self._draw(4 if tiny else 24)
        self.tf32_peak = self._peak()

    def _draw(self, count: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return stored phantom films with the boxes of their vertebrae, and their crops."""
        site = self.profile.phantom.institutions[SITE]
        patients = plan_hospital(SITE, self.profile.phantom, self.profile.seed)
        jobs = [(patient, patient.films[0], site) for patient in patients[:: max(1, len(patients) // count)][:count]]
        about, boxes, vertebrae = [], [], []
        for number, (pixels, outlines, labels) in enumerate(parallel_map(draw, jobs)):
            film = {"institution": SITE, "film_id": f"F{number:03}"}
            height, width = pixels.shape
            path = self.store.save_image(pixels)[0]
            whose = {"patient_id": film["film_id"], "view": "neutral"}
            about.append(film | whose | {"image_path": path, "width_px": width, "height_px": height})
            for level, box in outlines.items():
                corners = dict(zip(("x0_px", "y0_px", "x1_px", "y1_px"), box, strict=True))
                boxes.append(film | {"level": level, "protocol": "patient", "confidence": 0.9} | corners)
                vertebrae.append(film | {"level": level, "label": labels[level], "role": "development"})
        self.boxes = pl.DataFrame(boxes)
        films = pl.DataFrame(about)
        crops = crop_vertebrae(self.boxes, films, self.store, self.profile.crops)
        crops = crops.join(pl.DataFrame(vertebrae), on=["institution", "film_id", "level"])
        return films, crops

    def _peak(self) -> float:
        """Return floating-point operations a second of a large matrix product, in TF32 on a GPU."""
        size = 256 if self.tiny else 8192
        a, b = (torch.randn(size, size, device=self.device) for _ in range(2))
        torch.backends.cuda.matmul.allow_tf32 = True
        seconds = self._best(lambda: a @ b, 5)
        torch.backends.cuda.matmul.allow_tf32 = False
        return 2 * size**3 / seconds

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _best(self, work: Callable[[], Any], repetitions: int) -> float:
        best = float("inf")
        for _ in range(repetitions):
            self._wait()
            start = time.perf_counter()
            work()
            self._wait()
            best = min(best, time.perf_counter() - start)
        return best

    def side(self, count: int, first: int = 0) -> Side:
        """Return `count` crops, those that there are over and over, on the device."""
        packed = np.array(packed_pixels(self.crops, self.store, self.settings.input_divisor))
        places = np.arange(first, first + count) % len(packed)
        labels = np.array([CLASSES.index(label) for label in self.crops["label"]])
        pixels = torch.from_numpy(packed[places])[:, None]
        return pixels.to(self.device), torch.from_numpy(labels[places]).to(self.device)

    def training(self) -> Figures:
        """Yield all figures of the trainings."""
        yield "tf32_peak_tflops", self.tf32_peak / 1e12
        minutes = 0.0
        for architecture in self.architectures:
            figures: dict[str, float] = {}
            for name, value in self._training_of(architecture):
                figures[name] = value
                yield f"{architecture}_{name}", value
            minutes += figures["five_folds_min"]
        yield "fifteen_trainings_min", minutes * len(ARCHITECTURES) / len(self.architectures)

    def _training_of(self, architecture: Architecture) -> Figures:
        steps = 6 if self.tiny else 200
        loop = self._loop(architecture, steps)
        yield "timm_loop_steps_per_s", loop
        rates = {}
        for kind in self.kinds:
            precision = "bfloat16" if "bfloat16" in kind else "float32"
            settings = self.settings.model_copy(update={"precision": precision})
            count = self.settings.folds if "together" in kind else 1
            with planar(kind == "planar"):
                learners = [self._learner(architecture, settings, kind != "plain", n) for n in range(count)]
                rates[kind] = self._pace(learners, steps)
            yield f"{kind}_steps_per_s", rates[kind]
        best = max(rates.values())
        for kind, rate in rates.items():
            yield f"{kind}_over_timm_loop", rate / loop
        (learner,) = self._ready([self._learner(architecture, self.settings, False)])
        with FlopCounterMode(display=False) as counter:
            learner.step()
        operations = counter.get_total_flops() / learner.sizes[0] * self.settings.batch
        yield "gflop_a_step", operations / 1e9
        yield "share_of_peak", operations * best / self.tf32_peak
        yield from self._kernels(learner)
        validation = self.side(48 if self.tiny else VALIDATION)
        validation_s = self._best(lambda: learner.validate(validation), 2)
        yield "validation_s", validation_s
        epoch_s = TRAINING // self.settings.batch / best + validation_s
        yield "five_folds_min", 5 * self.settings.epochs * epoch_s / 60
        yield from self._equality(architecture)

    def _learner(
        self,
        architecture: Architecture,
        settings: ClassificationSettings,
        recorded: bool,
        seed: int = 0,
        count: int = 0,
    ) -> Learner:
        count = count or (96 if self.tiny else TRAINING)
        network = settings.networks[architecture]
        model = build(architecture, network, seed=seed).to(self.device)
        return Learner(model, self.side(count, first=seed), settings, network.learning_rate, recorded=recorded)

    def _ready(self, learners: list[Learner]) -> list[Learner]:
        """Return the learners with all that happens once behind them."""
        with repeatable(tensor_cores=True):
            for learner in learners:
                learner.begin_epoch(0, seed=1)
                for _ in range(6):
                    learner.step()
        self._wait()
        return learners

    def _pace(self, learners: list[Learner], steps: int) -> float:
        """Return steps a second of all learners together, at the batch size of almost all steps of an epoch."""
        with repeatable(tensor_cores=True):
            for learner in learners:
                learner.begin_epoch(0, seed=1)
                learner.sizes = [self.settings.batch] * len(learner.sizes)
            turns = 8
            for turn in range(turns + steps):
                if turn == turns:
                    self._wait()
                    start = time.perf_counter()
                for learner in learners:
                    learner.step()
            self._wait()
        return steps * len(learners) / (time.perf_counter() - start)

    def _loop(self, architecture: Architecture, steps: int) -> float:
        """Return steps a second of what a user would write with timm, torchvision and a DataLoader."""
        import timm

        network = self.settings.networks[architecture]
        arguments = network.arguments
        model = timm.create_model(network.model, num_classes=len(CLASSES), **arguments).to(self.device).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=network.learning_rate, momentum=0.9, nesterov=True)
        batch, turns = self.settings.batch, 8
        places = np.arange((turns + steps) * batch) % len(self.crops)
        files = [str(self.store.path(path)) for path in self.crops["image_path"].to_numpy()[places]]
        labels = torch.tensor([CLASSES.index(label) for label in self.crops["label"].to_numpy()[places]])
        data = CropFiles(files, labels, self.settings)
        loader = DataLoader(
            data,
            batch,
            shuffle=True,
            num_workers=min(WORKERS, available_cores()),
            pin_memory=self.device.type == "cuda",
        )
        for turn, (pictures, answers) in enumerate(loader):
            if turn == turns:
                self._wait()
                start = time.perf_counter()
            inputs = pictures.to(self.device, non_blocking=True).div(255).expand(-1, 3, -1, -1)
            loss = cross_entropy(model(inputs), answers.to(self.device, non_blocking=True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self._wait()
        return steps / (time.perf_counter() - start)

    def _kernels(self, learner: Learner) -> Figures:
        """Yield how many kernels a plain step starts and how long they take, by kind."""
        from torch.profiler import ProfilerActivity, profile

        steps = 3
        on_gpu = self.device.type == "cuda"
        with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as seen:
            for _ in range(steps):
                learner.step()
            self._wait()
        spent = dict.fromkeys([*KINDS, "other"], 0.0)
        events = [each for each in seen.key_averages() if not on_gpu or each.self_device_time_total]
        for event in events:
            taken = event.self_device_time_total if on_gpu else event.self_cpu_time_total
            kind = next((kind for kind, names in KINDS.items() if re.search(names, event.key, re.I)), "other")
            spent[kind] += taken / steps / 1000
        yield "kernels_a_step", sum(event.count for event in events) / steps
        yield "kernel_ms_a_step", sum(spent.values())
        for kind, milliseconds in spent.items():
            yield f"{kind}_ms_a_step", milliseconds

    def _equality(self, architecture: Architecture) -> Figures:
        """Yield shares of equal weights between ways to train, and the largest differences from the CPU."""
        count = 12 if self.tiny else 48
        plain, again = (self._trained(architecture, count, recorded=False) for _ in range(2))
        alone, once_more = (self._trained(architecture, count, recorded=True) for _ in range(2))
        several = [self._learner(architecture, self.settings, True, 0, count) for _ in range(3)]
        self._epochs(several)
        yield "equal_plain_again", equal_share(plain.model, again.model)
        yield "equal_recorded_again", equal_share(alone.model, once_more.model)
        yield "equal_recorded_plain", equal_share(alone.model, plain.model)
        yield "equal_together_alone", min(equal_share(alone.model, each.model) for each in several)
        with patch.object(self, "device", torch.device("cpu")):
            on_cpu = self._learner(architecture, self.settings, False, 0, count)
            self._epochs([on_cpu], epochs=1)
        exact = self._learner(architecture, self.settings, True, 0, count)
        self._epochs([exact], epochs=1, tensor_cores=False)
        tensor_cores = self._learner(architecture, self.settings, True, 0, count)
        self._epochs([tensor_cores], epochs=1)
        loss = on_cpu.mean_loss()
        yield "loss_of_an_epoch", loss
        yield "loss_difference_from_cpu", abs(exact.mean_loss() - loss)
        yield "loss_difference_from_cpu_tf32", abs(tensor_cores.mean_loss() - loss)
        pixels = np.array(packed_pixels(self.crops, self.store, self.settings.input_divisor))[:16]
        model = plain.model.eval()
        here = class_probabilities(model, pixels)
        there = class_probabilities(model.cpu(), pixels)
        yield "probability_difference_from_cpu", float(np.abs(here - there).max())

    def _trained(self, architecture: Architecture, count: int, *, recorded: bool) -> Learner:
        learner = self._learner(architecture, self.settings, recorded, 0, count)
        self._epochs([learner])
        return learner

    def _epochs(self, learners: list[Learner], epochs: int = 3, *, tensor_cores: bool = True) -> None:
        with repeatable(tensor_cores=tensor_cores):
            if learners[0].device.type == "cpu":
                torch.set_num_threads(available_cores())  # an epoch of a full network takes long with one
            for epoch in range(epochs):
                for learner in learners:
                    learner.begin_epoch(epoch, seed=epoch)
                for _ in range(learners[0].steps):
                    for learner in learners:
                        learner.step()
            self._wait()

    def folds(self) -> Figures:
        """Yield seconds of the study's own call for five folds, and whether a second one gives the same table."""
        folds = range(1, self.settings.folds + 1)
        each = 2 * len(folds)
        by_class = [self.crops.filter(label=label) for label in CLASSES]
        samples = pl.concat(own[np.arange(each) % len(own)].with_row_index("number") for own in by_class).with_columns(
            sample_id=pl.format("{}-{}", "label", "number"),
            replica=0,
            fold=pl.col("number").cast(pl.Int64) % len(folds) + 1,
        )
        settings = self.settings.model_copy(update={"epochs": 2})
        tables, seconds = [], []
        for name in ("first", "second"):
            store = ArtifactStore(self.store.root / name)
            for path in samples["image_path"]:
                store.save_image(self.store.load_image(path))
            start = time.perf_counter()
            tables.append(train_folds("resnet50", folds, samples, store, settings, 1))
            seconds.append(time.perf_counter() - start)
        yield "train_folds_s", min(seconds)
        yield "train_folds_equal", float(tables[0].equals(tables[1]))

    def detector(self) -> Figures:
        """Yield pictures a second of the detector's training, and the hours of the thesis's 300 epochs."""
        settings = self.profile.detection.model_copy(update={"weights": "random", "epochs": 3})
        if self.tiny:
            settings = settings.model_copy(update={"model": "yolov5n", "image_px": 64})
        boxes = {film: rows for (film,), rows in self.boxes.partition_by("film_id", as_dict=True).items()}
        rows = []
        for film, path, width, height in self.films.select(
            "film_id", "image_path", "width_px", "height_px"
        ).iter_rows():
            small = self.store.save_image(squeeze(self.store.load_image(path), settings.image_px))[0]
            to_square = np.array([width, height, width, height])
            found = [
                {"level": level, **dict(zip(("x0", "y0", "x1", "y1"), np.clip(box / to_square, 0, 1), strict=True))}
                for level, *box in boxes[film].select("level", "x0_px", "y0_px", "x1_px", "y1_px").iter_rows()
                for box in [np.array(box)]
            ]
            rows.append({"image_path": small, "boxes": found})
        copies = pl.DataFrame(rows * (1 if self.tiny else 4))
        self.weights = self.store.root / "detector.safetensors"
        ends: list[float] = []
        detector_training._train(
            copies, self.weights, self.store, settings, 1, None,
            lambda line: ends.append(time.perf_counter()), lambda figures: None,
        )  # fmt: skip
        pace = len(copies) / min(late - early for early, late in pairwise(ends))
        yield "detector_pictures_per_s", pace
        yield "detector_300_epochs_h", DETECTOR_PICTURES * 300 / pace / 3600

    def films_to_probabilities(self) -> Figures:
        """Yield films a second through detector, crops and fifteen networks."""
        settings = self.profile.detection
        model, image_px = ("yolov5n", 64) if self.tiny else (settings.model, settings.image_px)
        where = {"weights_path": self.weights.name, "weights_sha256": file_sha256(self.weights)}
        table = pl.DataFrame([{"model": model, "image_px": image_px} | where])
        repeated = pl.concat([self.films] * (1 if self.tiny else 4)).with_columns(
            film_id=pl.format("{}-{}", "film_id", pl.int_range(pl.len()))
        )
        search = lambda films: list(predict_films(films, table, self.store, settings, candidate_bodies))  # noqa: E731
        search(repeated.head(4))
        parts = {"detect": self._best(lambda: search(repeated), 1) / len(repeated)}
        with tempfile.TemporaryDirectory() as folder:
            fresh = ArtifactStore(Path(folder))
            for path in self.films["image_path"]:
                fresh.save_image(self.store.load_image(path))
            cut = lambda: crop_vertebrae(self.boxes, self.films, fresh, CropSettings(workers=1))  # noqa: E731
            parts["crop"] = self._best(cut, 1) / len(self.films)
        pixels = packed_pixels(self.crops, self.store, self.settings.input_divisor)
        files: list[tuple[Architecture, Path]] = []
        for architecture in ARCHITECTURES:
            path = self.store.root / f"{architecture}.safetensors"
            save_weights(build(architecture, self.settings.networks[architecture], seed=1), path, {})
            files += [(architecture, path)] * self.settings.folds
        many = np.concatenate([pixels] * (1 if self.tiny else 8))

        def classify() -> None:
            for architecture, path in files:
                trained = load_trained(path, self.settings.networks[architecture]).to(self.device)
                class_probabilities(trained, many)

        parts["classify"] = self._best(classify, 1) / (len(self.films) * len(many) / len(pixels))
        for part, seconds in parts.items():
            yield f"{part}_films_per_s", 1 / seconds
        yield "films_per_s", 1 / sum(parts.values())


Job = tuple[Any, Any, Any]


def draw(job: Job) -> tuple[np.ndarray, dict[str, Any], dict[str, str]]:
    """Return a film as the study stores it (uint8), and box and label by level."""
    patient, plan, site = job
    film = render_film(patient, plan, site)
    centre, width = film.window
    shown = np.clip((film.pixels.astype(np.float32) - centre) / width + 0.5, 0, 1) * 255
    labels = {each.level: each.label for each in patient.vertebrae}
    return shown.astype(np.uint8), {level: film.outlines[level] for level in LEVELS if level in film.outlines}, labels


@contextmanager
def planar(wanted: bool) -> Iterator[None]:
    """Build networks without channels-last."""
    if not wanted:
        yield
        return

    def three_planes(pictures: torch.Tensor) -> torch.Tensor:
        return (pictures * (1 / 255)).expand(-1, 3, -1, -1).contiguous()

    def to_planes(model: FractureClassifier, *args: Any, **kwargs: Any) -> FractureClassifier:
        moved: FractureClassifier = torch.nn.Module.to(model, *args, **kwargs)
        for parameter in moved.parameters():
            parameter.data = parameter.data.contiguous()
        return moved

    with patch.object(networks, "_three_channels", three_planes), patch.object(FractureClassifier, "to", to_planes):
        yield


def equal_share(one: torch.nn.Module, other: torch.nn.Module) -> float:
    """Return which share of the weights is the same to the bit."""
    pairs = list(zip(one.parameters(), other.parameters(), strict=True))
    equal = sum(int((a.cpu() == b.cpu()).sum()) for a, b in pairs)
    return equal / sum(a.numel() for a, _ in pairs)


if __name__ == "__main__":
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # repeatable matrix products
    main()
