"""A few small drawn films and their tables, for the tests of detection and crops."""

from pathlib import Path

import numpy as np
import polars as pl

from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.storage.artifacts import ArtifactStore

HEIGHT_PX, WIDTH_PX = 240, 200


def draw_films(root: Path, patients: dict[str, list[str]]) -> tuple[ArtifactStore, pl.DataFrame, pl.DataFrame]:
    """Return a store with one film per patient, `films` and `reader_boxes`.

    Args:
        root: of the store.
        patients: patient ids of each institution.
    """
    store = ArtifactStore(root)
    films, boxes = [], []
    for institution, ids in patients.items():
        for number, patient_id in enumerate(ids):
            rng = np.random.default_rng(len(films))
            pixels = rng.integers(20, 60, (HEIGHT_PX, WIDTH_PX)).astype(np.uint8)
            left = 40 + 10 * (number % 6)
            for index, level in enumerate(LEVELS):
                top = 20 + 42 * index
                pixels[top : top + 32, left : left + 50] += np.uint8(90 + 20 * index)
                corners = {"x0_px": left, "y0_px": top, "x1_px": left + 50, "y1_px": top + 32}
                boxes.append(
                    {"institution": institution, "film_id": f"F{patient_id}", "level": level}
                    | {name: float(value) for name, value in corners.items()}
                )
            path, digest = store.save_image(pixels)
            films.append(
                {
                    "institution": institution,
                    "film_id": f"F{patient_id}",
                    "patient_id": patient_id,
                    "view": "neutral",
                    "image_path": path,
                    "pixel_sha256": digest,
                    "width_px": WIDTH_PX,
                    "height_px": HEIGHT_PX,
                }
            )
    return store, pl.DataFrame(films), pl.DataFrame(boxes)


def split_patients(folds: dict[str, int | None], protocol: str = "patient") -> pl.DataFrame:
    """Return `patient_splits` of institution_1; fold None means a test patient."""
    rows = [
        {
            "protocol": protocol,
            "institution": "institution_1",
            "patient_id": patient_id,
            "role": "test" if fold is None else "train",
            "fold": fold,
        }
        for patient_id, fold in folds.items()
    ]
    return pl.DataFrame(rows, schema_overrides={"fold": pl.Int64})
