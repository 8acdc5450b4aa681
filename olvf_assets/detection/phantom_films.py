"""Phantoms as the tables that a detector learns from and is asked about, without a landing folder between.

What lives here: films of a synthetic hospital rendered, windowed and stored, with their drawn boxes. What does not:
training (`training.py`), which phantoms the weights that ship are made from (profile `weights`), intake's way from
DICOM to a picture (room `intake`).
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from olvf_assets.detection.tables import BOX_PX
from olvf_assets.foundation.parallel import parallel_map
from olvf_assets.intake.tables import DRAWN_FILMS
from olvf_assets.phantom.film import annotate, render_film
from olvf_assets.phantom.plan import FilmPlan, PatientPlan, plan_hospital
from olvf_assets.phantom.settings import PhantomSettings, SyntheticInstitution
from olvf_assets.storage.artifacts import ArtifactStore

Job = tuple[Path, PatientPlan, FilmPlan, SyntheticInstitution]


def phantom_films(
    store: ArtifactStore, institution: str, settings: PhantomSettings, seed: int, count: int | None = None
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return what of `films`, `reader_boxes` and `drawn_films` detection needs, of a synthetic hospital.

    Args:
        store: where the pictures go.
        institution: one of `settings.institutions`.
        settings: the synthetic hospitals.
        seed: of the hospital.
        count: of films at most, the first patients' first; None: all.
    """
    site = settings.institutions[institution]
    jobs = [(store.root, patient, plan, site) for patient in plan_hospital(institution, settings, seed)
            for plan in patient.films][:count]  # fmt: skip
    rows = [row | {"institution": institution} for row in parallel_map(_drawn, jobs, what="films")]
    boxes = [
        {"institution": institution, "film_id": row["film_id"], "level": level} | box
        for row in rows for level, box in row["levels"].items()
    ]  # fmt: skip
    drawn = pl.DataFrame(rows, schema={name: DRAWN_FILMS.get(name, pl.Null) for name in DRAWN_FILMS}, strict=False)
    return pl.DataFrame(rows).drop("levels", "helper_boxes"), pl.DataFrame(boxes), drawn


def all_train(films: pl.DataFrame, validation_fold: int) -> pl.DataFrame:
    """Return `patient_splits` in which every patient trains but the first, who validates (`copies` wants one)."""
    patients = films.select("institution", "patient_id").unique(maintain_order=True).with_row_index("n")
    return patients.select(
        "institution", "patient_id", protocol=pl.lit("patient"), role=pl.lit("train"),
        fold=pl.when(pl.col("n") == 0).then(validation_fold).otherwise(validation_fold + 1),
    )  # fmt: skip


def _drawn(job: Job) -> dict[str, Any]:
    root, patient, plan, site = job
    film = render_film(patient, plan, site)
    grey, (centre, width) = film.pixels.astype(np.float32), film.window
    picture = (np.clip((grey - centre) / width + 0.5, 0, 1) * 255).astype(np.uint8)
    path, _ = ArtifactStore(root).save_image(255 - picture if plan.monochrome1 else picture)

    def sides(box: tuple[float, float, float, float]) -> dict[str, float]:
        return dict(zip(BOX_PX, box, strict=True))

    return {
        "film_id": plan.stem, "patient_id": patient.patient_id, "variant": patient.variant, "image_path": path,
        "width_px": film.pixels.shape[1], "height_px": film.pixels.shape[0],
        "levels": {level: sides(box) for level, box in annotate(film.outlines, film.beam, 1).items()},
        "helper_boxes": [{"vertebra": name} | sides(box) for name, box in annotate(film.helpers, film.beam, 2).items()],
    }  # fmt: skip
