"""Which crops train and which test.

What lives here: `make_splits`: in protocol `patient` every development crop has the role and fold of its patient, in
protocol `thesis` crops are drawn class by class; and the rules that a split must keep. What does not: the assignment of
patients (the cohort room makes it once for all rooms), the folds of protocol `thesis` (`replication.py`).
"""

import math

import numpy as np
import polars as pl

from olvf_assets.classification.settings import ClassificationSettings
from olvf_assets.classification.tables import SPLITS
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import CLASSES


class SplitError(OlvfError):
    """The patient-level split does not fit the crops."""


def make_splits(
    vertebra_crops: pl.DataFrame, patient_splits: pl.DataFrame, settings: ClassificationSettings, seed: int
) -> pl.DataFrame:
    """Return `splits`: one row per protocol and development crop.

    Args:
        vertebra_crops: table `vertebra_crops`, all institutions; only labelled crops of role `development` are split.
        patient_splits: table `patient_splits`.
        settings: folds, numbered from 1; test_share of protocol `thesis`.
        seed: the profile's seed.

    Raises:
        SplitError: there is nothing to split, a patient has no side or two sides, a role or fold is impossible, or a
            class is missing from the test set or from the training or validation side of a fold.
    """
    labelled = pl.col("label").is_not_null()
    crops = vertebra_crops.filter(pl.col("role") == "development", labelled).drop("role")
    if crops.is_empty():
        raise SplitError(
            "vertebra_crops has no labelled crop of a development institution; materialise the crops of one first"
        )
    if patient_splits.is_empty():
        raise SplitError(
            "patient_splits is empty: the development patients are too few to train classifiers on (see the note of "
            "its last materialisation), or it is of before they came; take in more patients and materialise it again"
        )
    _refuse_impossible_sides(patient_splits, settings.folds)
    parts = [
        _by_patient(part, patient_splits, settings) if protocol == "patient" else _by_crop(part, settings, seed)
        for (protocol,), part in crops.group_by("protocol", maintain_order=True)
    ]
    return pl.concat(part.select(list(SPLITS)).cast(SPLITS) for part in parts).sort("protocol", "crop_id")


def _by_patient(crops: pl.DataFrame, patient_splits: pl.DataFrame, settings: ClassificationSettings) -> pl.DataFrame:
    sides = patient_splits.select("institution", "patient_id", "role", "fold")
    split = crops.join(sides, on=["institution", "patient_id"], how="left")
    lost = split.filter(pl.col("role").is_null())["patient_id"].unique().sort()
    if len(lost):
        raise SplitError(
            f"patient_splits: {len(lost)} patients with development crops have no side "
            f"({', '.join(lost[:5])}); materialise patient_splits again"
        )
    _refuse_missing_classes(split, "patient", settings.folds)
    return split


def _by_crop(crops: pl.DataFrame, settings: ClassificationSettings, seed: int) -> pl.DataFrame:
    """Hold out `test_share` of each class, rounded half up (thesis: 228, 68 and 52 of 2284, 676 and 521)."""
    parts = []
    for label in CLASSES:
        own = crops.filter(label=label).sort("institution", "crop_id")
        lots = np.random.default_rng(derive_seed(seed, "splits", "thesis", label)).permutation(own.height)
        n_test = math.floor(settings.test_share * own.height + 0.5)
        if not 0 < n_test < own.height:
            raise SplitError(
                f"splits, protocol thesis: {own.height} {label} crops are too few to hold out {settings.test_share} of "
                "them; take in more patients or change classification.test_share"
            )
        role = pl.when(pl.Series(lots < n_test)).then(pl.lit("test")).otherwise(pl.lit("train"))
        parts.append(own.with_columns(role=role, fold=pl.lit(None, pl.Int64)))
    return pl.concat(parts)


def _refuse_impossible_sides(patient_splits: pl.DataFrame, folds: int) -> None:
    twice = patient_splits.filter(pl.struct("protocol", "institution", "patient_id").is_duplicated())
    if not twice.is_empty():
        name = twice["patient_id"].min()
        raise SplitError(f"patient_splits: patient {name!s} has more than one row; materialise patient_splits again")
    fits = (
        pl.when(pl.col("role") == "train").then(pl.col("fold").is_between(1, folds)).otherwise(pl.col("fold").is_null())
    )
    wrong = patient_splits.filter(~(pl.col("role").is_in(["train", "test"]) & fits.fill_null(False)))
    if not wrong.is_empty():
        row = wrong.row(0, named=True)
        raise SplitError(
            f"patient_splits: patient {row['patient_id']} has role {row['role']!r} and fold {row['fold']}; "
            f"role train needs a fold from 1 to {folds} (classification.folds), role test none"
        )


def _refuse_missing_classes(split: pl.DataFrame, protocol: str, folds: int) -> None:
    sides = {"the test set": pl.col("role") == "test"}
    for fold in range(1, folds + 1):
        sides[f"the training side of fold {fold}"] = (pl.col("role") == "train") & (pl.col("fold") != fold)
        sides[f"the validation side of fold {fold}"] = pl.col("fold") == fold
    for side, condition in sides.items():
        present = set(split.filter(condition)["label"])
        missing = [name for name in CLASSES if name not in present]
        if missing:
            raise SplitError(
                f"splits, protocol {protocol}: no {' and no '.join(missing)} vertebra in {side}; the cohort is too "
                "small for this many folds: take in more patients or lower classification.folds"
            )
