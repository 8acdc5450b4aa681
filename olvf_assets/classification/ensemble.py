"""The ensemble: class probabilities summed over networks, the highest sum wins.

What lives here: the three networks of a fold (`ensemble`, as in the thesis) and all fifteen (`ensemble_of_15`), and the
refusal of incomplete or doubled members. What does not: figures of merit (the evaluation room). Light: no torch.
"""

import hashlib
from functools import cache

import polars as pl

from olvf_assets.classification.settings import ARCHITECTURES
from olvf_assets.classification.tables import ENSEMBLE_PREDICTIONS
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.vocabulary import CLASSES

PROBABILITIES = [f"p_{name}" for name in CLASSES]
SAMPLE = ["protocol", "dataset", "institution", "sample_id"]
ABOUT = ["crop_id", "patient_id", "level", "label", "replica", "image_path"]


class EnsembleError(OlvfError):
    """The predictions to be summed are doubled, or some members are missing."""


def ensemble_predictions(fold_predictions: pl.DataFrame, folds: int) -> pl.DataFrame:
    """Return table `ensemble_predictions`; probabilities are summed, then divided by the number of networks.

    Args:
        fold_predictions: table `fold_predictions`, all folds.
        folds: how many folds there must be.

    Raises:
        EnsembleError: a sample has a network twice, or not all three networks of all folds.
    """
    refuse_incomplete(fold_predictions, folds)
    per_fold = _summed(fold_predictions, ["fold"], len(ARCHITECTURES)).with_columns(
        pl.lit("ensemble").alias("model"), pl.col("fold").cast(pl.String)
    )
    of_all = _summed(fold_predictions, [], len(ARCHITECTURES) * folds).with_columns(
        pl.lit("ensemble_of_15").alias("model"), pl.lit("mean").alias("fold")
    )
    table = pl.concat([per_fold.select(list(ENSEMBLE_PREDICTIONS)), of_all.select(list(ENSEMBLE_PREDICTIONS))])
    return table.cast(ENSEMBLE_PREDICTIONS).sort("protocol", "dataset", "institution", "model", "fold", "sample_id")


def refuse_incomplete(fold_predictions: pl.DataFrame, folds: int) -> None:
    """Raise `EnsembleError` unless every sample has each architecture of each fold exactly once."""
    network = ["architecture", "fold"]
    doubled = fold_predictions.filter(pl.struct(SAMPLE + network).is_duplicated())
    if not doubled.is_empty():
        row = doubled.row(0, named=True)
        raise EnsembleError(
            f"fold_predictions: sample {row['sample_id']} has {row['architecture']} of fold {row['fold']} more than "
            "once; materialise fold_predictions again"
        )
    wanted = {(architecture, fold) for architecture in ARCHITECTURES for fold in range(1, folds + 1)}
    is_member = pl.col("architecture").is_in(ARCHITECTURES) & pl.col("fold").is_between(1, folds)
    counts = fold_predictions.group_by(SAMPLE, maintain_order=True).agg(pl.len(), is_member.sum().alias("members"))
    odd = counts.filter((pl.col("members") != len(wanted)) | (pl.col("len") != len(wanted)))
    if not odd.is_empty():
        row = odd.select(SAMPLE).row(0, named=True)
        found = set(fold_predictions.filter(**row).select(network).iter_rows())
        missing = ", ".join(f"{architecture} of fold {fold}" for architecture, fold in sorted(wanted - found))
        unknown = ", ".join(f"{architecture} of fold {fold}" for architecture, fold in sorted(found - wanted))
        raise EnsembleError(
            f"fold_predictions: sample {row['sample_id']} ({row['dataset']}, {row['institution']}) lacks [{missing}] "
            f"and has beyond the {len(wanted)} members [{unknown}]; materialise fold_predictions for every fold"
        )


def _summed(predictions: pl.DataFrame, extra: list[str], members: int) -> pl.DataFrame:
    """Add up the members of each sample, in the fixed order of architecture and fold, and name the winner."""
    keys = SAMPLE + extra
    ordered = predictions.sort([*keys, "architecture", "fold"])
    sums = ordered[PROBABILITIES].to_numpy().reshape(-1, members, len(CLASSES)).sum(axis=1)
    table = ordered.gather_every(members).select(keys + ABOUT)
    judges = pl.DataFrame({str(each): ordered["weights_sha256"].gather_every(members, each) for each in range(members)})
    few = judges.unique()  # samples are many, sets of networks one or two
    few = few.with_columns(judged_by=pl.Series([members_sha256(each) for each in few.iter_rows()], dtype=pl.String))
    judged_by = judges.join(few, on=judges.columns, how="left", maintain_order="left")["judged_by"]
    winners = [CLASSES[index] for index in sums.argmax(axis=1)]
    columns = [pl.Series(name, sums[:, index] / members) for index, name in enumerate(PROBABILITIES)]
    return table.with_columns(*columns, pl.Series("predicted", winners, pl.String), judged_by.alias("weights_sha256"))


@cache
def members_sha256(weights: tuple[str, ...]) -> str:
    """Return what `weights_sha256` says of an ensemble: the sha256 of its members', by architecture, then fold."""
    return hashlib.sha256("\n".join(weights).encode()).hexdigest()
