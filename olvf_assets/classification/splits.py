"""From the patients' sides to the crops' sides.

What lives here: `make_splits`, which gives every development crop the role and fold of its patient, and the rules that
a split must keep. What does not: the assignment of patients (the cohort room makes it once for all rooms).
"""

import polars as pl

from olvf_assets.classification.tables import SPLITS
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.vocabulary import CLASSES


class SplitError(OlvfError):
    """The patient-level split does not fit the crops."""


def make_splits(vertebra_crops: pl.DataFrame, patient_splits: pl.DataFrame, folds: int) -> pl.DataFrame:
    """Return `splits`: one row per protocol and development crop.

    Args:
        vertebra_crops: table `vertebra_crops`, all institutions; only role `development` is split.
        patient_splits: table `patient_splits`.
        folds: how many folds the training patients must lie in, numbered from 1.

    Raises:
        SplitError: there is nothing to split, a patient has no side or two sides, a role or fold is impossible, or a
            class is missing from the test set or from the training or validation side of a fold.
    """
    crops = vertebra_crops.filter(pl.col("role") == "development").drop("role")
    if crops.is_empty():
        raise SplitError("vertebra_crops has no crop of a development institution; materialise the crops of one first")
    if patient_splits.is_empty():
        raise SplitError("patient_splits is empty; materialise it again after the cohort of a development institution")
    _refuse_impossible_sides(patient_splits, folds)
    sides = patient_splits.select("protocol", "institution", "patient_id", "role", "fold")
    parts = []
    for (protocol,), part in sides.group_by("protocol", maintain_order=True):
        joined = crops.join(part, on=["institution", "patient_id"], how="left")
        lost = joined.filter(pl.col("role").is_null())
        if not lost.is_empty():
            names = lost["patient_id"].unique().sort().to_list()
            raise SplitError(
                f"patient_splits, protocol {protocol!s}: {len(names)} patients with development crops have no side "
                f"({', '.join(names[:5])}); materialise patient_splits again"
            )
        _refuse_missing_classes(joined, str(protocol), folds)
        parts.append(joined.select(list(SPLITS)))
    return pl.concat(parts).cast(SPLITS).sort("protocol", "crop_id")


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
