"""Schemas of the tables that this room makes.

What lives here: column names and types. What does not: how they are filled.
"""

import polars as pl

VERTEBRA_CROPS = pl.Schema(
    {
        "protocol": pl.String,  # whose detector found the vertebra
        "institution": pl.String,
        "role": pl.String,  # development, external
        "crop_id": pl.String,  # {film_id}-{level}
        "film_id": pl.String,
        "patient_id": pl.String,
        "view": pl.String,
        "level": pl.String,
        "label": pl.String,
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
)
