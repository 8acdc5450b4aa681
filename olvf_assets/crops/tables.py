"""Schemas of the tables that this room makes.

What lives here: column names and types. What does not: how they are filled.
"""

import polars as pl
from polars.datatypes import DataTypeClass

_PICTURE: dict[str, DataTypeClass] = {
    "image_path": pl.String,
    "pixel_sha256": pl.String,
    "x0_px": pl.Float64,  # the rectangle that was cut, whole pixels of the film
    "y0_px": pl.Float64,
    "x1_px": pl.Float64,
    "y1_px": pl.Float64,
    "confidence": pl.Float64,
    "scale": pl.Float64,  # crop pixels per film pixel
    "pad_left_px": pl.Int64,
    "pad_top_px": pl.Int64,
    "detector_sha256": pl.String,  # of the weights that found it
}

# protocol: whose detector found the vertebra. Nothing in it comes of a label.
DETECTED_CROPS = pl.Schema(
    {
        "protocol": pl.String,
        "institution": pl.String,
        "crop_id": pl.String,  # {film_id}-{level}
        "film_id": pl.String,
        "patient_id": pl.String,
        "view": pl.String,
        "level": pl.String,
        **_PICTURE,
    }
)

VERTEBRA_CROPS = pl.Schema(
    {
        "protocol": pl.String,
        "institution": pl.String,
        "role": pl.String,  # development, external
        "crop_id": pl.String,
        "film_id": pl.String,
        "patient_id": pl.String,
        "view": pl.String,
        "level": pl.String,
        "label": pl.String,  # null: unlabelled
        **_PICTURE,
    }
)
