"""Schemas of the tables that the evaluation room makes.

What lives here: column names and types, and the fixed words in those columns. What does not: code that fills them.
"""

import polars as pl
from polars.datatypes import DataTypeClass

from olvf_assets.foundation.vocabulary import CLASSES

PROBABILITIES = tuple(f"p_{each}" for each in CLASSES)
POSITIVE_CLASSES = (*CLASSES, "all")
RATES = (
    "accuracy",
    "sensitivity",
    "specificity",
    "positive_predictive_value",
    "negative_predictive_value",
    "false_positive_rate",
    "false_negative_rate",
    "false_discovery_rate",
    "false_omission_rate",
)
METRICS = (*RATES, "auc")
# What Table 6 of the thesis prints over a quantity, where that is the name of another one.
THESIS_LABELS = {"false_discovery_rate": "false positive rate", "false_omission_rate": "false negative rate"}

_GROUP: dict[str, DataTypeClass] = {"protocol": pl.String, "dataset": pl.String, "institution": pl.String}
_SCORER: dict[str, DataTypeClass] = {"model": pl.String, "fold": pl.String}
_INTERVAL: dict[str, DataTypeClass] = {"ci_low": pl.Float64, "ci_high": pl.Float64}
_COUNTS: dict[str, DataTypeClass] = {"n_positive": pl.Int64, "n_negative": pl.Int64, "n_patients": pl.Int64}

_FIGURES: dict[str, DataTypeClass] = {
    "protocol": pl.String,
    "institution": pl.String,
    **_SCORER,
    "positive_class": pl.String,
    "metric": pl.String,
    "thesis_label": pl.String,
    "value": pl.Float64,
    **_INTERVAL,
    "ci_method": pl.String,
    **_COUNTS,
    "reason": pl.String,
}
METRIC_TABLE = pl.Schema(_FIGURES)
# leaks: what the audit found on the way to these samples, in words; null where nothing leaks
TEST_METRICS = pl.Schema({**_FIGURES, "leaks": pl.String})
EXTERNAL_METRICS = TEST_METRICS

# subgroup is a kind: level, view, device, sex or age_band; subgroup_value one group of that kind
SUBGROUP_METRICS = pl.Schema({**_GROUP, "subgroup": pl.String, "subgroup_value": pl.String, **_FIGURES})

CONFUSION_MATRICES = pl.Schema(
    {
        **_GROUP,
        **_SCORER,
        "actual": pl.String,
        "predicted": pl.String,
        "n": pl.Int64,
    }
)

ROC_CURVES = pl.Schema(
    {
        **_GROUP,
        **_SCORER,
        "positive_class": pl.String,
        "threshold": pl.Float64,
        "false_positive_rate": pl.Float64,
        "true_positive_rate": pl.Float64,
    }
)

CALIBRATION_TEMPERATURES = pl.Schema(
    {
        "protocol": pl.String,
        **_SCORER,
        "temperature": pl.Float64,
        "log_loss_raw": pl.Float64,
        "log_loss_scaled": pl.Float64,
        "n_samples": pl.Int64,
        "n_patients": pl.Int64,
    }
)

# probabilities are `raw`, `temperature_scaled` or, of external institutions, REFITTED
REFITTED = "refitted_at_site"
_PROBABILITY_SCORER: dict[str, DataTypeClass] = {**_GROUP, **_SCORER, "probabilities": pl.String}

CALIBRATION_METRICS = ("expected_calibration_error", "brier_score")
CALIBRATION = pl.Schema(
    {
        **_PROBABILITY_SCORER,
        "positive_class": pl.String,
        "metric": pl.String,
        "value": pl.Float64,
        **_INTERVAL,
        "ci_method": pl.String,
        **_COUNTS,
        "reason": pl.String,
    }
)

# fold is `pooled` for the folds' predictions taken together; n counts each fold's prediction of a crop
RELIABILITY_CURVES = pl.Schema(
    {
        **_PROBABILITY_SCORER,
        "positive_class": pl.String,
        "bin_low": pl.Float64,
        "bin_high": pl.Float64,
        "n": pl.Int64,
        "mean_probability": pl.Float64,
        "observed_share": pl.Float64,
        **_INTERVAL,
        "ci_method": pl.String,
        "reason": pl.String,
    }
)

DECISION_CURVES = pl.Schema(
    {
        **_PROBABILITY_SCORER,
        "positive_class": pl.String,
        "threshold": pl.Float64,
        "net_benefit": pl.Float64,
        **_INTERVAL,
        "ci_method": pl.String,
        "net_benefit_treat_all": pl.Float64,
        "net_benefit_treat_none": pl.Float64,
        **_COUNTS,
        "reason": pl.String,
    }
)

# unit is `vertebra` (a crop) or `patient` (the highest probability of any vertebra)
UNITS = ("vertebra", "patient")
_OPERATING: dict[str, DataTypeClass] = {
    "unit": pl.String,
    "positive_class": pl.String,
    "target_sensitivity": pl.Float64,
    "threshold": pl.Float64,
}
OPERATING_POINTS = pl.Schema(
    {
        "protocol": pl.String,
        **_SCORER,
        **_OPERATING,
        "validation_sensitivity": pl.Float64,
        "validation_specificity": pl.Float64,
        **_COUNTS,
        "reason": pl.String,
    }
)
OPERATING_POINT_METRICS = pl.Schema(
    {
        **_GROUP,
        **_SCORER,
        **_OPERATING,
        "metric": pl.String,
        "value": pl.Float64,
        **_INTERVAL,
        "ci_method": pl.String,
        **_COUNTS,
        "reason": pl.String,
    }
)

OPERATING_POINT_CALLS = pl.Schema(
    {
        **_GROUP,
        "model": pl.String,
        "unit": pl.String,
        "patient_id": pl.String,
        "level": pl.String,  # this and crop_id null for a patient
        "crop_id": pl.String,
        "target_sensitivity": pl.Float64,
        "score": pl.Float64,
        "n_folds": pl.Int64,
        "n_folds_fresh": pl.Int64,
        "called_fresh": pl.Boolean,
        "is_fresh": pl.Boolean,
        "reason": pl.String,
    }
)

MRI_AVOIDED = pl.Schema(
    {
        **_GROUP,
        **_SCORER,
        "target_sensitivity": pl.Float64,
        "metric": pl.String,
        "value": pl.Float64,
        **_INTERVAL,
        "ci_method": pl.String,
        "prevalence": pl.Float64,
        "n_fresh_patients": pl.Int64,
        "n_patients": pl.Int64,
        "reason": pl.String,
    }
)

HUMAN_CEILING = pl.Schema(
    {
        **_GROUP,
        **_SCORER,
        "comparison": pl.String,
        "weighting": pl.String,
        "kappa": pl.Float64,
        **_INTERVAL,
        "band": pl.String,
        "difference": pl.Float64,
        "difference_low": pl.Float64,
        "difference_high": pl.Float64,
        "ci_method": pl.String,
        "n_vertebrae": pl.Int64,
        "n_patients": pl.Int64,
        "reason": pl.String,
    }
)

REVIEW_LIST = pl.Schema(
    {
        **_GROUP,
        "patient_id": pl.String,
        "level": pl.String,
        "view": pl.String,
        "film_id": pl.String,
        "crop_id": pl.String,
        "readers_label": pl.String,
        "predicted": pl.String,
        "n_networks": pl.Int64,
        "n_networks_of_predicted": pl.Int64,
        "p_readers_label": pl.Float64,
        "p_predicted": pl.Float64,
        "image_path": pl.String,
    }
)

# protocol is null for features that hang on no split; unit: film, vertebra or patient; verdict: alike, shifted, far
SITE_SHIFT = pl.Schema(
    {
        "protocol": pl.String,
        "institution": pl.String,
        "feature": pl.String,
        "unit": pl.String,
        "n_site": pl.Int64,
        "n_development": pl.Int64,
        "n_patients": pl.Int64,
        "psi": pl.Float64,
        **_INTERVAL,
        "psi_by_chance": pl.Float64,
        "p_value": pl.Float64,
        "p_holm": pl.Float64,
        "distance": pl.Float64,
        "verdict": pl.String,
        "sentence": pl.String,
    }
)

FRESH_FRACTURES_NEEDED = pl.Schema(
    {
        "protocol": pl.String,
        "institution": pl.String,
        "n_fresh": pl.Int64,
        "n_patients": pl.Int64,
        "sensitivity": pl.Float64,
        **_INTERVAL,
        "target_half_width": pl.Float64,
        "design_effect": pl.Float64,
        "n_fresh_needed": pl.Int64,
        "n_fresh_needed_at_most": pl.Int64,
        "n_fresh_more": pl.Int64,
        "reason": pl.String,
    }
)

FAR_FILMS = pl.Schema(
    {
        "institution": pl.String,
        "film_id": pl.String,
        "patient_id": pl.String,
        "view": pl.String,
        "correlation": pl.Float64,
        "correlation_limit": pl.Float64,
        "image_path": pl.String,
        "nearest_image_path": pl.String,
    }
)

SAMPLE_LINEAGE = pl.Schema(
    {
        "protocol": pl.String,
        "stage": pl.String,  # see lineage.py
        "fold": pl.Int64,
        "institution": pl.String,
        "patient_id": pl.String,
        "film_id": pl.String,
        "crop_id": pl.String,  # null for the detector's pictures
        "sample_id": pl.String,
        "copy": pl.Int64,  # 0: the film or crop itself; 1, 2, ...: augmented copies
        "film_path": pl.String,  # pictures are named by the hash of their pixels
        "crop_path": pl.String,
    }
)

PICTURE_FINGERPRINTS = pl.Schema({"institution": pl.String, "image_path": pl.String, "thumbnail": pl.Binary})

_WAY: dict[str, DataTypeClass] = {
    "protocol": pl.String,
    "kind": pl.String,
    "left_stage": pl.String,
    "right_stage": pl.String,
}

LEAKAGE_AUDIT = pl.Schema(
    {**_WAY, "left_sample": pl.String, "right_sample": pl.String, "n_left": pl.Int64, "detail": pl.String}
)

# n_samples of the n_right samples of the scored stage are concerned
LEAKAGE_SUMMARY = pl.Schema({**_WAY, "n_samples": pl.Int64, "n_right": pl.Int64, "share": pl.Float64})
