"""What a site is described by: a long table of films, patients, vertebrae and what detector and networks say of them.

What lives here: which features there are and where they come from. What does not: comparing sites (`site_shift.py`).
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

FEATURES = pl.Schema(
    {
        "institution": pl.String,
        "patient_id": pl.String,
        "protocol": pl.String,  # null for what hangs on no split
        "feature": pl.String,
        "unit": pl.String,  # film, vertebra, patient
        "value": pl.Float64,  # of a numeric feature
        "category": pl.String,  # of another
    }
)
FILM = ["institution", "film_id"]


def site_features(
    films: pl.DataFrame,
    subjects: pl.DataFrame,
    picture_fingerprints: pl.DataFrame,
    detected_films: pl.DataFrame,
    detections: pl.DataFrame,
    ensemble_predictions: pl.DataFrame,
) -> pl.DataFrame:
    """Return the features of all institutions, columns `FEATURES`; what is not known of a film or patient is left out.

    Of development hospitals the networks' word is that on the held-out test crops, each once; labels are compared on
    the same crops.

    Args:
        films: `films`.
        subjects: `subjects`.
        picture_fingerprints: thumbnails, for the grey levels.
        detected_films: whether levels could be told, and how surely.
        detections: the boxes that were found.
        ensemble_predictions: what the networks say, and the labels where there are any.
    """
    shown = _with_grey_levels(films, picture_fingerprints).with_columns(
        field_width_mm=pl.col("width_px") * pl.col("pixel_mm"), field_height_mm=pl.col("height_px") * pl.col("pixel_mm")
    )
    of_films = films.select(*FILM, "patient_id")
    searched = detected_films.join(of_films, on=FILM).rename({"state": "levels_found", "margin": "levels_margin"})
    found = detections.join(of_films, on=FILM).rename({"confidence": "detector_confidence"})
    judged = ensemble_predictions.filter(
        pl.col("replica") == 0, pl.col("model") == "ensemble_of_15", pl.col("dataset").is_in(["test", "external"])
    )
    numbers = ["mean_grey", "grey_spread", "pixel_mm", "field_width_mm", "field_height_mm", "kvp"]
    return pl.concat(
        [
            _long(shown, "film", numbers=numbers, categories=["detector", "view"]),
            _long(subjects, "patient", numbers=["age_years"], categories=["sex"]),
            _long(searched, "film", numbers=["levels_margin"], categories=["levels_found"]),
            _long(found, "vertebra", numbers=["detector_confidence"], categories=["level"]),
            _long(judged, "vertebra", numbers=["p_fresh"], categories=["predicted", "label"]),
        ]
    )


def _with_grey_levels(films: pl.DataFrame, picture_fingerprints: pl.DataFrame) -> pl.DataFrame:
    thumbnails = films.join(picture_fingerprints, on=["institution", "image_path"])
    greys = [np.frombuffer(each, np.uint8) for each in thumbnails["thumbnail"]]
    return thumbnails.with_columns(
        pl.Series("mean_grey", [float(each.mean()) for each in greys], pl.Float64),
        pl.Series("grey_spread", [float(each.std()) for each in greys], pl.Float64),
    )


def _long(table: pl.DataFrame, unit: str, *, numbers: Sequence[str], categories: Sequence[str]) -> pl.DataFrame:
    protocol = pl.col("protocol") if "protocol" in table.columns else pl.lit(None, pl.String)
    about = [pl.col("institution", "patient_id"), protocol.alias("protocol")]
    frames = [FEATURES.to_frame()]
    for name in (*numbers, *categories):
        column = pl.col(name).cast(pl.Float64 if name in numbers else pl.String)
        empty = pl.lit(None, pl.String if name in numbers else pl.Float64)
        value, category = (column, empty) if name in numbers else (empty, column)
        rows = table.select(
            *about,
            feature=pl.lit(name),
            unit=pl.lit(unit),
            value=value,
            category=category,
        )
        known = pl.col("value").is_finite() | pl.col("category").is_not_null()
        frames.append(rows.filter(known).select(FEATURES.names()))
    return pl.concat(frames)
