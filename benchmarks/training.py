"""Training and prediction of the classifiers beside the bare network, as ratios of one run.

For each network, slim (profile `demo`) and full (profile `thesis`), one thread on a CPU:

- `<network>_over_bare_step`: pictures a second of the study's own epoch (packed pixels, Table 4 augmentation, step,
  loss, and the epoch's share of keeping the state) over those of forward, backward and step alone on float tensors
  that lie in memory;
- `<network>_over_loader_loop`: over those of the loop that a user would write: a torch DataLoader that reads the PNG
  crops and torchvision's RandomAffine and ColorJitter, in the same thread;
- `<network>_share_of_peak`: floating-point operations a second of the bare step (torch's counter) over those of a large
  matrix product: how far from the floor the network itself is.

`inference_over_bare_forward` (fifteen slim networks) and `full_inference_over_bare_forward`: seconds from films to the
ensemble (films read, vertebrae cut, networks read and asked, probabilities summed) over the sum of the bare forward
passes; lower is better. `loading_peak_mib`: the largest memory of a process that packs and loads 6833 crops of
166 x 140.

A GPU is measured by `gpu.py`. `--quick`: slim networks only.
"""

import argparse
import json
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from olvf_assets.classification import ensemble, predictions
from olvf_assets.classification.learner import Learner
from olvf_assets.classification.networks import build, load_trained, repeatable, save_weights
from olvf_assets.classification.pixels import packed_pixels
from olvf_assets.classification.settings import ARCHITECTURES, Architecture, ClassificationSettings
from olvf_assets.crops.crop import crop_vertebrae
from olvf_assets.crops.settings import CropSettings
from olvf_assets.foundation.vocabulary import CLASSES, LEVELS
from olvf_assets.profiles import load_profile
from olvf_assets.storage.artifacts import ArtifactStore, write_atomically

HEIGHT, WIDTH = 140, 166
FULL_SCALE = 6833
FOLDS = 5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="slim networks only; under a minute")
    parser.add_argument("--json", action="store_true", help="print one flat object as the last line")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), quick=asked.quick)
    for name, value in figures.items():
        print(f"{name:<44}{value:>12.4g}")
    if asked.json:
        print(json.dumps(figures))


def measure(folder: Path, *, quick: bool) -> dict[str, float]:
    """Return all figures."""
    figures: dict[str, float] = {}
    # pictures of an epoch: about those of the demo; four fifths of the thesis's 6833
    sizes = (("slim", "demo", 256, 1070, 7), ("full", "thesis", 16, FULL_SCALE * 4 // 5, 3))
    for size, profile, pictures, epoch_pictures, repetitions in sizes:
        if size == "full" and quick:
            continue
        settings = load_profile(profile).classification
        for architecture in ARCHITECTURES:
            name = f"{size}_{architecture}"
            print(name, flush=True)
            figures |= {
                f"{name}_{key}": value
                for key, value in training_figures(
                    architecture, settings, pictures, epoch_pictures, repetitions, folder
                ).items()
            }
    figures |= inference_figures(folder / "slim", "demo", films=8 if quick else 40, rounds=3)
    if not quick:
        full = inference_figures(folder / "full", "thesis", films=4, rounds=1)
        figures |= {f"full_{name}": value for name, value in full.items()}
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        figures["loading_peak_mib"] = pool.apply(
            loading_peak_mib, (str(folder / "loading"), 1000 if quick else FULL_SCALE)
        )
    return figures


def training_figures(
    architecture: Architecture,
    settings: ClassificationSettings,
    pictures: int,
    epoch_pictures: int,
    repetitions: int,
    folder: Path,
) -> dict[str, float]:
    """Return the ratios of one network; the best of `repetitions` counts, all sides taking turns."""
    network = settings.networks[architecture].model_copy(update={"weights": "random"})
    store = ArtifactStore(folder / "store")
    samples = made_up_samples(store, pictures)
    pixels = packed_pixels(samples, store, settings.input_divisor)[:, None]
    labels = torch.arange(pictures) % len(CLASSES)
    model = build(architecture, network, seed=1)
    side = (torch.from_numpy(np.array(pixels)), labels)
    learner = Learner(model, side, settings, peak=1e-4)
    optimizer = learner.optimizer
    batches = torch.tensor_split(torch.arange(pictures), pictures // settings.batch)
    ready = [(side[0][batch].float(), labels[batch]) for batch in batches]
    loader = DataLoader(
        CropFiles([str(store.path(path)) for path in samples["image_path"]], labels, settings),
        batch_size=settings.batch,
        shuffle=True,
    )

    def bare() -> None:
        step_through(model, optimizer, ready, settings)

    def ours() -> None:
        learner.begin_epoch(0, seed=1)
        for _ in range(learner.steps):
            learner.step()

    def keep() -> None:
        state = {"model": model.state_dict(), "momentum": learner.momentum()}
        write_atomically(folder / "state.pt", lambda temporary: torch.save(state, temporary))

    def loop() -> None:
        step_through(model, optimizer, loader, settings)

    with repeatable():
        model.train()
        bare()
        bare_s, ours_s, loop_s, keep_s = in_turns(repetitions, bare, ours, loop, keep)
        ours_s += keep_s * pictures / epoch_pictures
        with FlopCounterMode(display=False) as counter:
            step_through(model, optimizer, ready[:1], settings)
        operations = counter.get_total_flops() * len(ready)
        square = torch.rand(1024, 1024)
        (product_s,) = in_turns(repetitions, lambda: square @ square)
    peak = 2 * 1024**3 / product_s
    return {
        "over_bare_step": round(bare_s / ours_s, 3),
        "over_loader_loop": round(loop_s / ours_s, 2),
        "pictures_per_s": round(pictures / ours_s, 2),
        "share_of_peak": round(operations / bare_s / peak, 3),
    }


def step_through(model: Any, optimizer: Any, batches: Any, settings: ClassificationSettings) -> None:
    """Train on ready batches: forward, backward, step."""
    for pictures, labels in batches:
        loss = cross_entropy(model(pictures), labels, label_smoothing=settings.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


class CropFiles(Dataset):
    """PNG crops with Table 4 by torchvision, one by one, as a user's own loop would read them."""

    def __init__(self, files: list[str], labels: torch.Tensor, settings: ClassificationSettings) -> None:
        from torchvision.transforms import v2

        ranges = settings.augmentation
        self.files, self.labels = files, labels
        size = (-(-HEIGHT // settings.input_divisor), -(-WIDTH // settings.input_divisor))
        self.change = v2.Compose(
            [
                v2.Resize(size, antialias=True),
                v2.RandomAffine(ranges.rotation_deg, scale=ranges.scale, interpolation=v2.InterpolationMode.BILINEAR),
                v2.ColorJitter(ranges.brightness, (1 / ranges.contrast, ranges.contrast)),
            ]
        )

    def __len__(self) -> int:
        """Return how many crops there are."""
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return one altered picture, float (1, height_px, width_px), and its class."""
        import cv2

        picture = torch.from_numpy(cv2.imread(self.files[index], cv2.IMREAD_GRAYSCALE))[None]
        return self.change(picture).float(), self.labels[index]


def inference_figures(folder: Path, profile: str, films: int, rounds: int) -> dict[str, float]:
    """Return how much longer it takes from films to the ensemble than the networks' forward passes alone."""
    settings = load_profile(profile).classification
    random = {name: each.model_copy(update={"weights": "random"}) for name, each in settings.networks.items()}
    store = ArtifactStore(folder)
    rng = np.random.default_rng(1)
    rows, boxes = [], []
    for number in range(films):
        film = rng.integers(0, 256, (2032, 1693)).astype(np.uint8)
        about = {"institution": "institution_2", "film_id": f"F{number:03}"}
        whose = {"patient_id": about["film_id"], "view": "neutral"}
        rows.append(about | whose | {"image_path": store.save_image(film)[0]})
        for k, level in enumerate(LEVELS):
            top = 200.0 + 330 * k
            boxes.append(about | {"level": level, "x0_px": 600.0, "y0_px": top, "x1_px": 1000.0, "y1_px": top + 290})
    found = pl.DataFrame(boxes).with_columns(protocol=pl.lit("patient"), confidence=0.9)
    networks = [(name, fold) for name in ARCHITECTURES for fold in range(1, FOLDS + 1)]
    files = {}
    for name, fold in networks:
        files[name, fold] = folder / f"{name}-{fold}.safetensors"
        save_weights(build(name, random[name], seed=fold), files[name, fold], {})
    workers = CropSettings(workers=1)

    def whole() -> None:
        crops = crop_vertebrae(found, pl.DataFrame(rows), store, workers).with_columns(label=pl.lit("old"))
        shutil.rmtree(folder / "work", ignore_errors=True)  # what was packed before
        pixels = packed_pixels(crops, store, settings.input_divisor)
        tables = []
        for name, fold in networks:
            model = load_trained(files[name, fold], settings.networks[name])
            p = predictions.class_probabilities(model, pixels)
            tables.append(
                crops.select("protocol", "institution", "crop_id", "patient_id", "level", "label").with_columns(
                    dataset=pl.lit("external"), sample_id="crop_id", replica=0, architecture=pl.lit(name),
                    fold=pl.lit(fold), **{f"p_{c}": pl.Series(p[:, k]) for k, c in enumerate(CLASSES)},
                )
            )  # fmt: skip
        ensemble.ensemble_predictions(pl.concat(tables), FOLDS)

    crops = crop_vertebrae(found, pl.DataFrame(rows), store, workers).with_columns(label=pl.lit("old"))
    pixels = torch.from_numpy(np.array(packed_pixels(crops, store, settings.input_divisor)))[:, None].float()
    models = [load_trained(files[name, fold], settings.networks[name]) for name, fold in networks]

    @torch.inference_mode()
    def bare() -> None:
        for model in models:
            for batch in pixels.split(predictions.BATCH):
                model(batch)

    with repeatable():
        whole_s, bare_s = in_turns(rounds, whole, bare)
    return {
        "inference_over_bare_forward": round(whole_s / bare_s, 2),
        "inference_films_per_s": round(films / whole_s, 2),
    }


def loading_peak_mib(folder: str, crops: int) -> float:
    """Return the largest memory of this process while it packs and loads so many crops, MiB."""
    store = ArtifactStore(Path(folder))
    samples = made_up_samples(store, crops)
    pixels = packed_pixels(samples, store, 1)
    torch.from_numpy(np.array(pixels))
    status = Path("/proc/self/status").read_text()  # ru_maxrss would count what the parent took before
    return round(int(status.split("VmHWM:")[1].split()[0]) / 1024, 1)


def made_up_samples(store: ArtifactStore, count: int) -> pl.DataFrame:
    """Return samples with pictures of noise."""
    rng = np.random.default_rng(1)
    paths = [store.save_image(rng.integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8))[0] for _ in range(count)]
    return pl.DataFrame({"image_path": paths})


def in_turns(repetitions: int, *functions: Callable[[], Any]) -> list[float]:
    """Return the shortest time in seconds of each function, called in turns."""
    best = [float("inf")] * len(functions)
    for _ in range(repetitions):
        for number, function in enumerate(functions):
            start = time.perf_counter()
            function()
            best[number] = min(best[number], time.perf_counter() - start)
    return best


if __name__ == "__main__":
    main()
