"""The tables this room makes.

What lives here: one `pl.Schema` per table, named like the table. What does not: the rows.
"""

import polars as pl
from polars.datatypes import DataTypeClass

_CROP: dict[str, DataTypeClass] = {
    "crop_id": pl.String,
    "patient_id": pl.String,
    "institution": pl.String,
    "level": pl.String,
    "label": pl.String,
}

_PROBABILITIES: dict[str, DataTypeClass] = {"p_normal": pl.Float64, "p_old": pl.Float64, "p_fresh": pl.Float64}

# role is `train` or `test`; fold is the one in which the crop validates, null in the test set and in protocol `thesis`,
# whose folds are of replicas and stand in the training set
SPLITS = pl.Schema({"protocol": pl.String, **_CROP, "role": pl.String, "fold": pl.Int64, "image_path": pl.String})

# replica 0 is the crop itself
BALANCED_TEST_SET = pl.Schema(
    {
        "protocol": pl.String,
        "sample_id": pl.String,
        **_CROP,
        "fold": pl.Int64,
        "replica": pl.Int64,
        "image_path": pl.String,
    }
)
BALANCED_TRAINING_SET = BALANCED_TEST_SET

_CHECKPOINT: dict[str, DataTypeClass | pl.DataType] = {
    "protocol": pl.String,
    "architecture": pl.String,
    "fold": pl.Int64,
    "weights_path": pl.String,
    "weights_sha256": pl.String,
    "epochs": pl.Int64,
    "n_parameters": pl.Int64,
    "n_training": pl.Int64,
    "n_validation": pl.Int64,
    "validation_loss": pl.Float64,
    "validation_accuracy": pl.Float64,
    "train_loss_by_epoch": pl.List(pl.Float64),
    "validation_loss_by_epoch": pl.List(pl.Float64),
    "validation_accuracy_by_epoch": pl.List(pl.Float64),
    "seed": pl.Int64,
    "fingerprint": pl.String,
    "start_sha256": pl.String,  # of the weights that training started from; `random` without any
}
CHECKPOINTS = pl.Schema(_CHECKPOINT)
RESNET50_CHECKPOINTS = DENSENET161_CHECKPOINTS = RESNEXT50_CHECKPOINTS = CHECKPOINTS

TRAINING_CURVES = pl.Schema(
    {
        "protocol": pl.String,
        "architecture": pl.String,
        "fold": pl.Int64,
        "epoch": pl.Int64,  # from 1
        "train_loss": pl.Float64,
        "validation_loss": pl.Float64,
        "validation_accuracy": pl.Float64,
    }
)

_SAMPLE: dict[str, DataTypeClass] = {
    "sample_id": pl.String,
    "crop_id": pl.String,
    "patient_id": pl.String,
    "level": pl.String,
    "label": pl.String,
    "replica": pl.Int64,
    **_PROBABILITIES,
}

# What figures hang on: the picture (named by the hash of its pixels), and the weights that judged it; an ensemble's are
# the sha256 of its members' in the order of architecture and fold.
_MADE_FROM: dict[str, DataTypeClass] = {"image_path": pl.String, "weights_sha256": pl.String}

# What the networks say, whatever the label: of the test set, and of all crops of patients whom no split names
CROP_SCORES = pl.Schema(
    {
        "protocol": pl.String,
        "institution": pl.String,
        "architecture": pl.String,
        "fold": pl.Int64,
        "sample_id": pl.String,
        "crop_id": pl.String,
        "patient_id": pl.String,
        "level": pl.String,
        "replica": pl.Int64,
        **_PROBABILITIES,
        **_MADE_FROM,
    }
)

# dataset is `test` (internal, balanced), `external` (label null: unlabelled), `unlabelled` (of development hospitals),
# in VALIDATION_PREDICTIONS `validation`
FOLD_PREDICTIONS = pl.Schema(
    {
        "protocol": pl.String,
        "dataset": pl.String,
        "institution": pl.String,
        "architecture": pl.String,
        "fold": pl.Int64,
        **_SAMPLE,
        **_MADE_FROM,
    }
)

VALIDATION_PREDICTIONS = FOLD_PREDICTIONS

# fold is "1".."5" for model `ensemble` and "mean" for `ensemble_of_15`
ENSEMBLE_PREDICTIONS = pl.Schema(
    {
        "protocol": pl.String,
        "dataset": pl.String,
        "institution": pl.String,
        "model": pl.String,
        "fold": pl.String,
        **_SAMPLE,
        "predicted": pl.String,
        **_MADE_FROM,
    }
)

_PATIENT: dict[str, DataTypeClass] = {
    "protocol": pl.String,
    "dataset": pl.String,
    "institution": pl.String,
    "model": pl.String,
    "fold": pl.String,
    "patient_id": pl.String,
}

VERTEBRA_PREDICTIONS = pl.Schema(
    {**_PATIENT, "level": pl.String, "label": pl.String, "n_films": pl.Int64, **_PROBABILITIES, "predicted": pl.String}
)

PATIENT_PREDICTIONS = pl.Schema(
    {
        **_PATIENT,
        "n_vertebrae": pl.Int64,
        "any_fresh": pl.Boolean,
        "predicted_any_fresh": pl.Boolean,
        "highest_p_fresh": pl.Float64,
        "likeliest_level": pl.String,  # of the vertebra with the highest p_fresh
    }
)
