"""Table 3's copies beside imgaug called picture by picture as its README shows; everything in one run on one machine.

`ten_copies_over_imgaug`: pictures a second of `augment` over those of an imgaug `Sequential` of the six augmenters
with the same seeds, one thread each, on 640 x 640 pictures; `crops_over_imgaug` the same on crops of 166 x 140. The
pixels are compared (`largest_difference`, grey levels). `with_all_cores_over_imgaug`: ten copies of films by as many
processes as there are cores, as the table `detector_copies` makes them, PNG files included on both sides. Floor: the
random numbers alone, which must be imgaug's (`random_numbers_share`). `--quick`: fewer pictures.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from olvf_assets.detection.augmentation import augment, draw_strengths, operators_seed
from olvf_assets.detection.settings import AugmentationRanges
from olvf_assets.foundation.parallel import parallel_map
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.places import PROJECT

sys.path.insert(0, str(PROJECT))  # the tests are not installed; they know how to ask imgaug
from olvf_assets_tests.detection.test_augmentation import by_imgaug

RANGES = AugmentationRanges()
COPIES = 10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer pictures")
    parser.add_argument("--json", action="store_true", help="print one flat object as the last line")
    asked = parser.parse_args()
    figures = measure(films=4 if asked.quick else 16, stored_films=8 if asked.quick else 100)
    for name, value in figures.items():
        print(f"{name:<32}{value:>10.4g}")
    if asked.json:
        print(json.dumps(figures))


def measure(films: int, stored_films: int) -> dict[str, float]:
    """Return the ratios; the best of three counts, both sides taking turns."""
    cv2.setNumThreads(1)
    figures: dict[str, float] = {}
    largest = 0
    for name, shape in (("ten_copies", (640, 640)), ("crops", (140, 166))):
        pictures = [np.random.default_rng(n).integers(0, 256, shape, dtype=np.uint8) for n in range(films)]
        (own_s, own), (other_s, other) = in_turns(
            3, partial(copies, augment, pictures), partial(copies, by_imgaug, pictures)
        )
        largest = max([largest, *(int(cv2.absdiff(a, b).max()) for a, b in zip(own, other, strict=True))])
        figures[f"{name}_over_imgaug"] = round(other_s / own_s, 2)
        figures[f"{name}_per_s"] = round(films * COPIES / own_s, 1)
        if name == "ten_copies":
            ((numbers_s, _),) = in_turns(3, partial(random_numbers, films * COPIES, shape))
            figures["random_numbers_share"] = round(numbers_s / own_s, 2)
    figures["largest_difference"] = largest
    with tempfile.TemporaryDirectory() as folder:
        (all_s, _), (one_s, _) = in_turns(
            1,
            lambda: parallel_map(
                partial(stored, augment, f"{folder}/a"), range(stored_films), workers=os.cpu_count() or 1
            ),
            lambda: [stored(by_imgaug, f"{folder}/b", number) for number in range(stored_films)],
        )
    figures["with_all_cores_over_imgaug"] = round(one_s / all_s, 2)
    return figures


def copies(function: Callable[..., np.ndarray], pictures: list[np.ndarray]) -> list[np.ndarray]:
    """Return ten copies of each picture."""
    return [function(each, COPIES * n + k, RANGES) for n, each in enumerate(pictures) for k in range(COPIES)]


def stored(function: Callable[..., np.ndarray], folder: str, number: int) -> None:
    """Make ten copies of one film and store them."""
    store = ArtifactStore(Path(folder))
    picture = np.random.default_rng(number).integers(0, 256, (640, 640), dtype=np.uint8)
    for each in copies(function, [picture]):
        store.save_image(each)


def random_numbers(count: int, shape: tuple[int, int]) -> None:
    """Draw what the dropout and the noise of so many copies need."""
    for seed in range(count):
        generator = np.random.Generator(np.random.SFC64(operators_seed(seed)))
        generator.random(shape)
        generator.normal(0, draw_strengths(seed, RANGES).noise * 255, shape)


def in_turns(repetitions: int, *functions: Callable[[], Any]) -> list[tuple[float, Any]]:
    """Return the shortest time in seconds and the result of each function, called in turns."""
    best: list[tuple[float, Any]] = [(float("inf"), None) for _ in functions]
    for _ in range(repetitions):
        for number, function in enumerate(functions):
            start = time.perf_counter()
            result = function()
            best[number] = min(best[number], (time.perf_counter() - start, result), key=lambda each: each[0])
    return best


if __name__ == "__main__":
    main()
