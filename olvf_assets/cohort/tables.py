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

READER_CONFUSION = pl.Schema(
    {
        "institution": pl.String,
        "comparison": pl.String,
        "level": pl.String,
        "first_label": pl.String,
        "second_label": pl.String,
        "n_vertebrae": pl.Int64,
        "n_patients": pl.Int64,
    }
)

BASELINE_CHARACTERISTICS = pl.Schema(
    {
        "institution": pl.String,
        "characteristic": pl.String,
        "category": pl.String,
        "patient_group": pl.String,
        "unit": pl.String,
        "n": pl.Int64,
        "n_total": pl.Int64,
        "mean": pl.Float64,
        "sd": pl.Float64,
        "test": pl.String,
        "p_value": pl.Float64,
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
