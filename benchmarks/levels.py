"""How often the levels of a film are right that looks like none of those learnt from, and whether the margin says so.

Two detectors are trained from random weights on as many phantoms: one of the plain look with the five levels, one of
the wide look with the helper classes. Both are asked about phantoms of the plain, the wide and the withheld look; no
patient is in two of the sets. Per detector and look: `bodies` (share of the drawn levels found at IoU 0.5), `resolved`
(share of films), `right` (four or five levels right and none wrong, or all that a thoracic lateral shows), `wrong`
(resolved with a wrong name), and of the withheld look `said` and `wrong` by bins of the margin.

The whole takes about an hour on two cores. `--quick` says only that it works: few films, small pictures, one epoch.
"""

import argparse
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from olvf_assets.detection.copies import make_detector_copies
from olvf_assets.detection.prediction import detection_candidates
from olvf_assets.detection.resolution import detected_films
from olvf_assets.detection.settings import DetectionSettings
from olvf_assets.detection.tables import BOX_PX
from olvf_assets.detection.training import train_detector
from olvf_assets.foundation.parallel import parallel_map
from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.intake.tables import DRAWN_FILMS
from olvf_assets.phantom.film import annotate, render_film
from olvf_assets.phantom.plan import FilmPlan, PatientPlan, plan_hospital
from olvf_assets.phantom.settings import LookName, PhantomSettings, SyntheticInstitution
from olvf_assets.profiles import load_profile
from olvf_assets.storage.artifacts import ArtifactStore

PIXEL_MM = 0.3
BINS = (-math.inf, 0.0, 0.7, 1.5, 2.3, 3.5, math.inf)
ASKED: dict[LookName, int] = {"plain": 11, "wide": 12, "withheld": 13}  # seeds
LEARNT: tuple[LookName, ...] = ("plain", "wide")
Job = tuple[Path, PatientPlan, FilmPlan, SyntheticInstitution]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few films, small pictures, one epoch")
    parser.add_argument("--json", action="store_true", help="print one flat object as the last line")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
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
        sides = films.select("institution", "patient_id").unique(maintain_order=True).with_row_index("n")
        sides = sides.select(
            "institution", "patient_id", protocol=pl.lit("patient"), role=pl.lit("train"),
            fold=pl.when(pl.col("n") == 0).then(settings.validation_fold).otherwise(settings.validation_fold + 1),
        )  # fmt: skip
        helpers = drawn if look == "wide" else None
        copies = make_detector_copies(films, boxes, sides, store, settings, 1, helpers=helpers)
        model = train_detector(copies, store, settings, 1, report=print)
        for other, (unseen, truth, _) in asked.items():
            found = judged(unseen, truth, model, store, settings)
            figures |= {f"{look}_asked_{other}_{name}": value for name, value in found.items()}
    return figures


def made(
    store: ArtifactStore, look: LookName, count: int, seed: int
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return `films`, `reader_boxes` and `drawn_films` of some phantoms, whose pictures are stored."""
    phantom = load_profile("thesis").phantom
    site = phantom.institutions["institution_1"].model_copy(update={"look": look, "pixel_mm": PIXEL_MM})
    institution = f"{look}_{seed}"
    settings = PhantomSettings(institutions={institution: site})
    jobs = [(store.root, patient, plan, site) for patient in plan_hospital(institution, settings, seed)
            for plan in patient.films][:count]  # fmt: skip
    rows = [row | {"institution": institution} for row in parallel_map(_drawn, jobs, what="films")]
    boxes = [
        {"institution": institution, "film_id": row["film_id"], "level": level} | box
        for row in rows for level, box in row["levels"].items()
    ]  # fmt: skip
    drawn = pl.DataFrame(rows, schema={name: DRAWN_FILMS.get(name, pl.Null) for name in DRAWN_FILMS}, strict=False)
    return pl.DataFrame(rows).drop("levels", "helper_boxes"), pl.DataFrame(boxes), drawn


def _drawn(job: Job) -> dict[str, Any]:
    root, patient, plan, site = job
    film = render_film(patient, plan, site)
    grey, (centre, width) = film.pixels.astype(np.float32), film.window
    picture = (np.clip((grey - centre) / width + 0.5, 0, 1) * 255).astype(np.uint8)
    path, _ = ArtifactStore(root).save_image(255 - picture if plan.monochrome1 else picture)

    def sides(box: tuple[float, float, float, float]) -> dict[str, float]:
        return dict(zip(BOX_PX, box, strict=True))

    return {
        "film_id": plan.stem, "patient_id": patient.patient_id, "image_path": path,
        "width_px": film.pixels.shape[1], "height_px": film.pixels.shape[0],
        "levels": {level: sides(box) for level, box in annotate(film.outlines, film.beam, 1).items()},
        "helper_boxes": [{"vertebra": name} | sides(box) for name, box in annotate(film.helpers, film.beam, 2).items()],
    }  # fmt: skip


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
