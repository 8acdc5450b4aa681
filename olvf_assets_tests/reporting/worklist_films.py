"""Films, crops and predictions of a made-up external hospital, small enough to know every figure of its worklist."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from olvf_assets.classification.settings import ARCHITECTURES
from olvf_assets.classification.tables import FOLD_PREDICTIONS
from olvf_assets.crops.tables import VERTEBRA_CROPS
from olvf_assets.reporting.worklist import worklist
from olvf_assets.storage.artifacts import ArtifactStore

FOLDS = 5
WIDTH, HEIGHT = 90, 120
CROP_WIDTH, CROP_HEIGHT = 20, 16
# film: {level: (p_normal, p_old, p_fresh)}; FD has no vertebra
FILMS: dict[str, dict[str, tuple[float, float, float]]] = {
    "FA": {"L1": (0.9, 0.06, 0.04), "L2": (0.1, 0.2, 0.7)},
    "FB": {"L1": (0.34, 0.36, 0.3)},
    "FC": {"L1": (0.02, 0.03, 0.95), "L5": (0.6, 0.3, 0.1)},
    "FD": {},
}


class Hospital(NamedTuple):
    store: ArtifactStore
    films: pl.DataFrame
    detected_films: pl.DataFrame
    crops: pl.DataFrame
    predictions: pl.DataFrame
    maps: pl.DataFrame
    points: pl.DataFrame

    def worklist(self) -> pl.DataFrame:
        return worklist(self.predictions, self.crops, self.films, self.maps, self.points, FOLDS)


def made_up_hospital(root: Path, films: dict[str, dict[str, tuple[float, float, float]]] = FILMS) -> Hospital:
    """Return tables and pictures; two of the fifteen networks always say normal, and no fold 5 has a threshold."""
    store, random = ArtifactStore(root), np.random.default_rng(1)
    tables: dict[str, list[dict]] = {name: [] for name in ("films", "states", "crops", "predictions", "maps")}
    where = {"protocol": "patient", "institution": "institution_2"}
    for film, levels in films.items():
        path, _ = store.save_image(random.integers(0, 255, (HEIGHT, WIDTH), np.uint8))
        about = {"institution": "institution_2", "film_id": film, "patient_id": f"P{film}", "view": "neutral"}
        doubt = "ViewPosition LL, but the picture looks frontal" if film == "FB" else None
        film_row = {**about, "view_doubt": doubt, "image_path": path, "width_px": WIDTH, "height_px": HEIGHT}
        tables["films"].append(film_row)
        tables["states"].append({**where, "film_id": film, "state": "resolved" if levels else "ambiguous"})
        for number, (level, p) in enumerate(levels.items()):
            crop_path, crop_sha256 = store.save_image(random.integers(0, 255, (CROP_HEIGHT, CROP_WIDTH), np.uint8))
            levels_of_map = np.zeros((CROP_HEIGHT, CROP_WIDTH), np.uint8)
            levels_of_map[:, 2:] = random.integers(1, 256, (CROP_HEIGHT, CROP_WIDTH - 2), np.uint8)
            crop = {
                **where,
                **about,
                "crop_id": f"{film}-{level}",
                "level": level,
                "label": "old",
                "image_path": crop_path,
            }
            tables["crops"].append(
                {**dict.fromkeys(VERTEBRA_CROPS), **crop, "pixel_sha256": crop_sha256, "role": "external", "x0_px": 9.0}
                | {"y0_px": 12.0 + 40 * number, "x1_px": 45.0, "y1_px": 44.0 + 40 * number, "scale": 0.5}
                | {"pad_left_px": 2, "pad_top_px": 0}
            )  # fmt: skip
            tables["maps"].append({**crop, "map_path": store.save_image(levels_of_map)[0]})
            for fold in range(1, FOLDS + 1):
                for architecture in ARCHITECTURES:
                    odd = fold == 1 and architecture != "resnet50"
                    chances = dict(zip(("p_normal", "p_old", "p_fresh"), (1.0, 0.0, 0.0) if odd else p, strict=True))
                    tables["predictions"].append(
                        {**dict.fromkeys(FOLD_PREDICTIONS), **crop, "dataset": "external", "fold": fold, "replica": 0}
                        | {"architecture": architecture, "sample_id": f"{film}-{level}-r0", "weights_sha256": "w"}
                        | chances
                    )  # fmt: skip
    points = [
        {"protocol": "patient", "model": "ensemble", "fold": str(fold), "unit": unit, "positive_class": "fresh"}
        | {"target_sensitivity": target, "threshold": None if fold == 5 else threshold}
        for fold in range(1, FOLDS + 1)
        for unit, target, threshold in (("vertebra", 0.8, 0.9), ("vertebra", 0.95, 0.25), ("patient", 0.95, 0.0))
    ]
    predictions = pl.DataFrame(tables["predictions"], infer_schema_length=None)
    crops = pl.DataFrame(tables["crops"], infer_schema_length=None)
    return Hospital(
        store,
        pl.DataFrame(tables["films"]),
        pl.DataFrame(tables["states"]),
        crops.select(list(VERTEBRA_CROPS)).cast(VERTEBRA_CROPS),
        predictions.select(list(FOLD_PREDICTIONS)).cast(FOLD_PREDICTIONS),
        pl.DataFrame(tables["maps"]),
        pl.DataFrame(points, infer_schema_length=None),
    )
