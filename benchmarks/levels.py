"""How often the levels of a film are right that looks like none of those learnt from, and whether the margin says so.

Two detectors are trained from random weights on as many phantoms: one of the plain look with the five levels, one of
the wide look with the helper classes. Both are asked about phantoms of the plain, the wide and the withheld look; no
patient is in two of the sets. Per detector and look: `bodies` (share of the drawn levels found at IoU 0.5), `resolved`
(share of films), `right` (four or five levels right and none wrong, or all that a thoracic lateral shows), `wrong`
(resolved with a wrong name), and of the withheld look `said` and `wrong` by bins of the margin.

The whole takes about an hour on two cores. `--quick` says only that it works: few films, small pictures, one epoch.
`--shipped` trains nothing: the detector that ships is asked, beside the three looks about patients of the withheld
look who all have four or six lumbar vertebrae or a transitional one (`variants`), in a few minutes.
"""

import argparse
import json
import math
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from olvf_assets.detection.copies import make_detector_copies
from olvf_assets.detection.phantom_films import all_train, phantom_films
from olvf_assets.detection.prediction import detection_candidates
from olvf_assets.detection.resolution import detected_films
from olvf_assets.detection.settings import DetectionSettings
from olvf_assets.detection.shipped import shipped_model
from olvf_assets.detection.tables import BOX_PX
from olvf_assets.detection.training import train_detector
from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.phantom.settings import LookName, PhantomSettings
from olvf_assets.profiles import load_profile
from olvf_assets.storage.artifacts import ArtifactStore

PIXEL_MM = 0.3
BINS = (-math.inf, 0.0, 0.7, 1.5, 2.3, 3.5, math.inf)
ASKED: dict[LookName, int] = {"plain": 11, "wide": 12, "withheld": 13}  # seeds
LEARNT: tuple[LookName, ...] = ("plain", "wide")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few films, small pictures, one epoch")
    parser.add_argument("--json", action="store_true", help="print one flat object as the last line")
    parser.add_argument("--shipped", action="store_true", help="ask the detector that ships, train none")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if asked.shipped:
            figures = measure_shipped(Path(folder), 12 if asked.quick else 250)
        else:
            figures = measure(Path(folder), quick=asked.quick)
    for name, value in figures.items():
        print(f"{name:<48}{value:>10}")
    if asked.json:
        print(json.dumps(figures))


def measure(folder: Path, *, quick: bool) -> dict[str, float]:
    """Return the figures by name."""
    learn, ask = (16, 6) if quick else (900, 250)
    changes = {"image_px": 64, "epochs": 1} if quick else {"image_px": 256, "epochs": 10}
    settings = load_profile("demo").detection.model_copy(update={"copies": 0, "keep_original": True, **changes})
    store = ArtifactStore(folder / "lake")
    asked = {look: made(store, look, ask, seed) for look, seed in ASKED.items()}
    figures: dict[str, float] = {}
    for look in LEARNT:
        films, boxes, drawn = made(store, look, learn, 21)
        sides = all_train(films, settings.validation_fold)
        helpers = drawn if look == "wide" else None
        copies = make_detector_copies(films, boxes, sides, store, settings, 1, helpers=helpers)
        model = train_detector(copies, store, settings, 1, report=print)
        for other, (unseen, truth, _) in asked.items():
            found = judged(unseen, truth, model, store, settings)
            figures |= {f"{look}_asked_{other}_{name}": value for name, value in found.items()}
    return figures


def measure_shipped(folder: Path, count: int) -> dict[str, float]:
    """Return the figures of the detector that ships, by name."""
    store = ArtifactStore(folder / "lake")
    model, settings = shipped_model(store, ("patient",)), load_profile("pretrained").detection
    asked = {look: made(store, look, count, seed) for look, seed in ASKED.items()}
    sets: dict[str, tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]] = {**asked}
    sets["variants"] = made(store, "withheld", count // 4, 14, variant_share=1.0)
    return {
        f"shipped_asked_{name}_{figure}": value
        for name, (films, truth, _) in sets.items()
        for figure, value in judged(films, truth, model, store, settings).items()
    }


def made(
    store: ArtifactStore, look: LookName, count: int, seed: int, *, variant_share: float = 0.04
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return `films`, `reader_boxes` and `drawn_films` of some phantoms, whose pictures are stored."""
    site = load_profile("thesis").phantom.institutions["institution_1"]
    site = site.model_copy(update={"look": look, "pixel_mm": PIXEL_MM, "variant_share": variant_share})
    institution = f"{look}_{seed}"
    return phantom_films(store, institution, PhantomSettings(institutions={institution: site}), seed, count)


def judged(
    films: pl.DataFrame, truth: pl.DataFrame, model: pl.DataFrame, store: ArtifactStore, settings: DetectionSettings
) -> dict[str, float]:
    """Return how right a detector is about films."""
    candidates = detection_candidates(films, model, store, settings)
    told = detected_films(candidates, films, model, settings)
    found, states, margins, wrongs = [], [], [], []
    for row in told.iter_rows(named=True):
        own = truth.filter(film_id=row["film_id"])
        levels = {each["level"]: np.array([each[end] for end in BOX_PX]) for each in own.iter_rows(named=True)}
        bodies = candidates.filter(film_id=row["film_id"]).sort("candidate").select(BOX_PX).to_numpy()
        found += [max((overlap(box, body) for body in bodies), default=0.0) > 0.5 for box in levels.values()]
        right = [
            each["level"] in levels and overlap(levels[each["level"]], bodies[each["candidate"]]) > 0.3
            for each in row["labelling"]
        ]
        wrong, enough = not all(right), sum(right) >= min(len(levels), len(LEVELS) - 1)
        states.append((row["state"] == "resolved", row["state"] == "resolved" and enough and not wrong,
                       row["state"] == "resolved" and wrong))  # fmt: skip
        if row["labelling"]:
            margins.append(math.inf if row["margin"] is None else row["margin"])
            wrongs.append(wrong)
    resolved, right_films, wrong_films = np.array(states).mean(axis=0).round(3).tolist()
    figures = {"bodies": float(np.mean(found).round(3)), "resolved": resolved, "right": right_films,
               "wrong": wrong_films}  # fmt: skip
    for number in range(len(BINS) - 1):
        inside = [(margin, wrong) for margin, wrong in zip(margins, wrongs, strict=True)
                  if BINS[number] <= margin < BINS[number + 1]]  # fmt: skip
        if inside:
            said = np.mean([1 / (1 + math.exp(min(margin, 50))) for margin, _ in inside])
            figures[f"bin_{number}_films"] = len(inside)
            figures[f"bin_{number}_said"] = round(float(said), 3)
            figures[f"bin_{number}_wrong"] = round(float(np.mean([wrong for _, wrong in inside])), 3)
    return figures


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Return the intersection over union of two boxes."""
    sides = np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None)
    shared = float(sides.prod())
    return shared / float((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - shared)


if __name__ == "__main__":
    main()
