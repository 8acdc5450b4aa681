"""Schemas of the tables that the room `cohort` makes in Python. SQL models carry theirs in their SELECT."""

import polars as pl

READER_AGREEMENT = pl.Schema(
    {
        "institution": pl.String,
        "comparison": pl.String,
        "level": pl.String,
        "weighting": pl.String,
        "kappa": pl.Float64,
        "ci_low": pl.Float64,
        "ci_high": pl.Float64,
        "band": pl.String,
        "n_patients": pl.Int64,
        "n_vertebrae": pl.Int64,
    }
)

PATIENT_SPLITS = pl.Schema(
    {
        "protocol": pl.String,
        "institution": pl.String,
        "patient_id": pl.String,
        "role": pl.String,
        "fold": pl.Int64,
    }
)
