"""Schemas of the tables that the evaluation room makes.

What lives here: column names and types, and the fixed words in those columns. What does not: code that fills them.
"""

import polars as pl

from olvf_assets.foundation.vocabulary import CLASSES

PROBABILITIES = tuple(f"p_{each}" for each in CLASSES)
POSITIVE_CLASSES = (*CLASSES, "all")
METRICS = ("accuracy", "sensitivity", "specificity", "false_discovery_rate", "false_omission_rate", "auc")
CI_METHODS = ("wald", "patient_bootstrap")

METRIC_TABLE = pl.Schema(
    {
        "protocol": pl.String,
        "institution": pl.String,
        "model": pl.String,
        "fold": pl.String,
        "positive_class": pl.String,
        "metric": pl.String,
        "value": pl.Float64,
        "ci_low": pl.Float64,
        "ci_high": pl.Float64,
        "ci_method": pl.String,
        "n_positive": pl.Int64,
        "n_negative": pl.Int64,
    }
)
TEST_METRICS = METRIC_TABLE
EXTERNAL_METRICS = METRIC_TABLE

CONFUSION_MATRICES = pl.Schema(
    {
        "protocol": pl.String,
        "dataset": pl.String,
        "institution": pl.String,
        "model": pl.String,
        "fold": pl.String,
        "actual": pl.String,
        "predicted": pl.String,
        "n": pl.Int64,
    }
)

ROC_CURVES = pl.Schema(
    {
        "protocol": pl.String,
        "dataset": pl.String,
        "institution": pl.String,
        "model": pl.String,
        "fold": pl.String,
        "positive_class": pl.String,
        "threshold": pl.Float64,
        "false_positive_rate": pl.Float64,
        "true_positive_rate": pl.Float64,
    }
)
