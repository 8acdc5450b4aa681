"""Predictions as arrays: the one door through which tables of probabilities enter the evaluation.

What lives here: putting ensemble and single-network predictions in one table, refusing broken ones, and the arrays that
metrics, confusion matrices and ROC curves are computed from. What does not: any figure.
"""

from dataclasses import dataclass
from itertools import groupby

import numpy as np
import polars as pl

from olvf_assets.evaluation.tables import PROBABILITIES
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.vocabulary import CLASSES

GROUP = ("protocol", "dataset", "institution")
SCORED = (*GROUP, "model", "fold", "sample_id", "patient_id", "label", "replica", *PROBABILITIES)


class BrokenPredictionsError(OlvfError):
    """A table of predictions has duplicate, missing or meaningless rows."""


@dataclass(frozen=True)
class ScoredSamples:
    """What every network or ensemble said about the same samples of one protocol, dataset and institution.

    Attributes:
        protocol, dataset, institution: where the samples come from.
        models: (model, fold) of each scorer, sorted; length M.
        patients: int64 (N,), 0-based number of each sample's patient, non-decreasing.
        labels: int64 (N,), index into CLASSES.
        probabilities: float64 (M, N, 3), last axis in the order of CLASSES.
    """

    protocol: str
    dataset: str
    institution: str
    models: tuple[tuple[str, str], ...]
    patients: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """Return int64 (M, N): the most probable class; of equals, the first in CLASSES."""
        return self.probabilities.argmax(axis=2)

    def folds_of_models(self) -> list[tuple[str, list[int]]]:
        """Return each model with the positions of its folds in `models`; a model whose one fold is `mean` is left out.

        The average over these positions is the model's row `mean` (thesis: score each fold, then average).
        """
        numbered = enumerate(self.models)
        groups = [(model, list(rows)) for model, rows in groupby(numbered, key=lambda row: row[1][0])]
        return [(model, [i for i, _ in rows]) for model, rows in groups if [fold for _, (_, fold) in rows] != ["mean"]]


def stacked_predictions(ensemble_predictions: pl.DataFrame, fold_predictions: pl.DataFrame) -> pl.DataFrame:
    """Return ensembles and single networks in one table: an architecture is a model like any other, folds are text."""
    single = fold_predictions.rename({"architecture": "model"}).with_columns(pl.col("fold").cast(pl.String))
    return pl.concat([ensemble_predictions.select(SCORED), single.select(SCORED)], how="vertical_relaxed")


def scored_samples(predictions: pl.DataFrame, *, originals_only: bool = False) -> list[ScoredSamples]:
    """Return the arrays of `predictions`, one `ScoredSamples` for each protocol, dataset and institution, sorted.

    Args:
        predictions: one row per model, fold and sample with the columns of `SCORED`.
        originals_only: keep only replica 0 of each crop, so that no crop counts twice.

    Raises:
        BrokenPredictionsError: an unknown label, a probability that is no number, a sample scored twice by one model
            and fold, or folds that scored different samples.
    """
    rows = predictions.select(SCORED).sort(*GROUP, "patient_id", "sample_id", "model", "fold")
    if originals_only:
        rows = rows.filter(pl.col("replica") == 0)
    _refuse_meaningless(rows)
    return [_arrays(part) for part in rows.partition_by(*GROUP, maintain_order=True)]


def probabilities_sum_to_one(predictions: pl.DataFrame, tolerance: float) -> pl.DataFrame:
    """Return the rows whose class probabilities are no probabilities: outside 0 to 1, or with a sum other than 1.

    Args:
        predictions: any table with the columns p_normal, p_old, p_fresh.
        tolerance: allowed distance of the sum from 1.
    """
    each = [pl.col(name).fill_null(float("nan")) for name in PROBABILITIES]
    outside = pl.any_horizontal(*(~p.is_between(0, 1) | p.is_nan() for p in each))
    return predictions.filter(outside | ((pl.sum_horizontal(*each) - 1).abs() > tolerance))


def _refuse_meaningless(rows: pl.DataFrame) -> None:
    unknown = set(rows["label"].unique().to_list()) - set(CLASSES)
    if unknown:
        raise BrokenPredictionsError(f"predictions, column label: {sorted(map(str, unknown))} are none of {CLASSES}")
    no_number = rows.filter(pl.any_horizontal(*((pl.col(p).is_null() | pl.col(p).is_nan()) for p in PROBABILITIES)))
    if len(no_number):
        sample = no_number["sample_id"][0]
        raise BrokenPredictionsError(
            f"predictions: {len(no_number)} rows, the first {sample}, hold a probability that is no number; "
            "materialise fold_predictions again"
        )
    key = [*GROUP, "model", "fold", "sample_id"]
    if rows.select(key).is_duplicated().any():
        sample = rows.filter(rows.select(key).is_duplicated())["sample_id"][0]
        raise BrokenPredictionsError(f"predictions: {sample} is scored twice by one model and fold")


def _arrays(part: pl.DataFrame) -> ScoredSamples:
    by_model = part.sort("model", "fold", maintain_order=True).partition_by("model", "fold", maintain_order=True)
    first = by_model[0]
    for each in by_model:
        if not each["sample_id"].equals(first["sample_id"]):
            raise BrokenPredictionsError(
                f"predictions of {part['institution'][0]}: {each['model'][0]} fold {each['fold'][0]} and "
                f"{first['model'][0]} fold {first['fold'][0]} scored different samples; "
                "materialise fold_predictions of all folds again"
            )
    labels = first["label"].replace_strict(list(CLASSES), range(len(CLASSES)), return_dtype=pl.Int64)
    return ScoredSamples(
        protocol=first["protocol"][0],
        dataset=first["dataset"][0],
        institution=first["institution"][0],
        models=tuple((each["model"][0], each["fold"][0]) for each in by_model),
        patients=first["patient_id"].rle_id().cast(pl.Int64).to_numpy(),
        labels=labels.to_numpy(),
        probabilities=np.stack([each.select(PROBABILITIES).to_numpy().astype(np.float64) for each in by_model]),
    )
