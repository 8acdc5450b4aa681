"""Schemas of the tables that the reporting room makes.

What lives here: column names and types. What does not: how pictures are drawn.
"""

import polars as pl

from olvf_assets.foundation.vocabulary import PROTOCOLS

REPORT_FIGURES = pl.Schema(
    {
        "figure": pl.String,
        "title": pl.String,
        "caption": pl.String,
        "path": pl.String,  # relative to the folder of the report
        "sha256": pl.String,
    }
)

# difference: this run's value less the thesis's; verdict: inside, outside, not_comparable
THESIS_COMPARISON = pl.Schema(
    {
        "figure": pl.String,
        "group": pl.String,
        "place": pl.String,
        "thesis": pl.Float64,
        "thesis_low": pl.Float64,
        "thesis_high": pl.Float64,
        **{
            f"{name}_{protocol}": pl.String if name in ("verdict", "reason") else pl.Float64
            for protocol in PROTOCOLS
            for name in ("value", "low", "high", "difference", "verdict", "reason")
        },
    }
)

WORKLIST = pl.Schema(
    {
        "protocol": pl.String,
        "dataset": pl.String,
        "institution": pl.String,
        "crop_id": pl.String,
        "film_id": pl.String,
        "patient_id": pl.String,
        "view": pl.String,
        "level": pl.String,
        "label": pl.String,
        "p_normal": pl.Float64,
        "p_old": pl.Float64,
        "p_fresh": pl.Float64,
        "predicted": pl.String,
        "doubt": pl.Float64,
        "n_networks_of_predicted": pl.Int64,
        "n_folds_call_fresh": pl.Int64,
        "target_sensitivity": pl.Float64,
        "x0_px": pl.Float64,
        "y0_px": pl.Float64,
        "x1_px": pl.Float64,
        "y1_px": pl.Float64,
        "scale": pl.Float64,
        "pad_left_px": pl.Int64,
        "pad_top_px": pl.Int64,
        "width_px": pl.Int64,  # of the film
        "height_px": pl.Int64,
        "image_path": pl.String,
        "map_path": pl.String,
        "film_path": pl.String,
    }
)

WORKLIST_PAGES = pl.Schema(
    {
        "institution": pl.String,
        "path": pl.String,  # of the page, relative to the folder of the report
        "sha256": pl.String,
        "n_films": pl.Int64,
        "n_films_judged": pl.Int64,
        "n_vertebrae": pl.Int64,
        "n_predicted_fresh": pl.Int64,
    }
)

WAREHOUSE = pl.Schema({"table": pl.String, "n_rows": pl.Int64})

# What results that go back are made of: tables by the names of `findings_of`.
RESULTS_FROM = {
    **{name: name for name in ("films", "dicom_headers", "detected_films", "detections")},
    "crops": "detected_crops",
    "predictions": "ensemble_predictions",
    "maps": "crop_attention",
}
