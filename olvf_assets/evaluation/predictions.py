"""Predictions as arrays: the one door through which tables of probabilities enter the evaluation.

What lives here: putting ensemble and single-network predictions in one table, refusing broken ones, and the arrays that
metrics, confusion matrices and ROC curves are computed from. What does not: any figure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from olvf_assets.evaluation.tables import POSITIVE_CLASSES, PROBABILITIES
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.vocabulary import CLASSES, LEVELS

GROUP = ("protocol", "dataset", "institution")
ABOUT = ("sample_id", "crop_id", "patient_id", "level", "replica")
SCORED = (*GROUP, "model", "fold", *ABOUT, "label", *PROBABILITIES)

Entry = tuple[str, str, list[int]]


class BrokenPredictionsError(OlvfError):
    """A table of predictions has duplicate, missing or meaningless rows."""


@dataclass(frozen=True)
class ScoredSamples:
    """What every network or ensemble said about the same samples of one protocol, dataset and institution.

    Attributes:
        protocol, dataset, institution: where the samples come from.
        models: (model, fold) of each scorer, sorted; length M.
        about: the columns of ABOUT, N rows, sorted by patient_id.
        patients: int64 (N,), 0-based number of each sample's patient, non-decreasing, none left out.
        labels: int64 (N,), index into CLASSES.
        probabilities: float64 (M, N, 3), last axis in the order of CLASSES.
    """

    protocol: str
    dataset: str
    institution: str
    models: tuple[tuple[str, str], ...]
    about: pl.DataFrame
    patients: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def n_patients(self) -> int:
        """Return how many patients the samples come from."""
        return int(self.patients[-1]) + 1 if self.patients.size else 0

    @property
    def predicted(self) -> np.ndarray:
        """Return int64 (M, N): the most probable class; of equals, the first in CLASSES."""
        return self.probabilities.argmax(axis=2)

    def constants(self) -> list[pl.Expr]:
        """Return the columns protocol, dataset, institution and n_patients, the same in every row about the samples."""
        values = {
            "protocol": self.protocol,
            "dataset": self.dataset,
            "institution": self.institution,
            "n_patients": self.n_patients,
        }
        return [pl.lit(value).alias(name) for name, value in values.items()]

    def entries(self) -> list[Entry]:
        """Return (model, fold, positions in `models` to average over) of each row of a table of figures.

        Every scorer by itself, and for each model with folds the entry `mean` (thesis: score each fold, then average).
        A model whose one fold is `mean` already has no other.
        """
        single = [(model, fold, [i]) for i, (model, fold) in enumerate(self.models)]
        of_model = {model: [i for i, (each, _) in enumerate(self.models) if each == model] for model, _ in self.models}
        averaged = [(model, "mean", at) for model, at in of_model.items() if (model, "mean") not in self.models]
        return single + averaged

    def means(self) -> list[Entry]:
        """Return those of `entries` whose fold is `mean`."""
        return [entry for entry in self.entries() if entry[1] == "mean"]

    def only(self, chosen: np.ndarray) -> "ScoredSamples":
        """Return the chosen samples, maybe none; `chosen`: bool (N,)."""
        return replace(
            self,
            about=self.about.filter(pl.Series(chosen, dtype=pl.Boolean)),
            patients=np.unique(self.patients[chosen], return_inverse=True)[1],
            labels=self.labels[chosen],
            probabilities=self.probabilities[:, chosen],
        )

    def originals(self) -> "ScoredSamples":
        """Return replica 0 of each crop, so that no crop counts twice."""
        return self.only((self.about["replica"] == 0).to_numpy())

    def of_model(self, name: str) -> "ScoredSamples":
        """Return what the folds of one model said, maybe none."""
        at = [i for i, (model, _) in enumerate(self.models) if model == name]
        return replace(self, models=tuple(self.models[i] for i in at), probabilities=self.probabilities[at])

    def by_vertebra(self) -> "ScoredSamples":
        """Return one sample a vertebra, its probabilities averaged over its films (lateral, flexion, extension).

        The label is one of the vertebra, not of the film, so all its films agree on it.
        """
        if not self.patients.size:
            return self
        level = self.about["level"].replace_strict(list(LEVELS), range(len(LEVELS)), return_dtype=pl.Int64).to_numpy()
        key = self.patients * len(LEVELS) + level
        order = np.argsort(key, kind="stable")
        starts = np.flatnonzero(np.diff(key[order], prepend=-1))
        films = np.diff(starts, append=key.size)
        first = order[starts]
        return replace(
            self,
            about=self.about[first],
            patients=self.patients[first],
            labels=self.labels[first],
            probabilities=np.add.reduceat(self.probabilities[:, order], starts, axis=1) / films[:, None],
        )


def scorers(entries: Sequence[Entry]) -> pl.DataFrame:
    """Return columns model and fold, a row for each entry."""
    return pl.DataFrame([entry[:2] for entry in entries], schema={"model": pl.String, "fold": pl.String}, orient="row")


def class_counts(samples: ScoredSamples) -> pl.DataFrame:
    """Return columns positive_class, n_positive and n_negative: the classes, then `all` with the sums over them."""
    positives = np.bincount(samples.labels, minlength=len(CLASSES))
    negatives = samples.labels.size - positives
    columns = {"n_positive": positives, "n_negative": negatives}
    return pl.DataFrame(
        {"positive_class": POSITIVE_CLASSES, **{name: [*n.tolist(), int(n.sum())] for name, n in columns.items()}}
    )


def stacked_predictions(ensemble_predictions: pl.DataFrame, fold_predictions: pl.DataFrame) -> pl.DataFrame:
    """Return ensembles and single networks in one table: an architecture is a model like any other, folds are text."""
    single = fold_predictions.rename({"architecture": "model"}).with_columns(pl.col("fold").cast(pl.String))
    return pl.concat([ensemble_predictions.select(SCORED), single.select(SCORED)], how="vertical_relaxed")


def scored_samples(predictions: pl.DataFrame) -> list[ScoredSamples]:
    """Return the arrays of `predictions`, one `ScoredSamples` for each protocol, dataset and institution, sorted.

    Samples without a label (null) have no part in any figure; an institution without labelled samples has no row.

    Args:
        predictions: one row per model, fold and sample with the columns of `SCORED`.

    Raises:
        BrokenPredictionsError: an unknown label, a probability that is no number, a sample scored twice by one model
            and fold, or folds that scored different samples.
    """
    labelled = predictions.filter(pl.col("label").is_not_null())
    rows = labelled.select(SCORED).sort(*GROUP, "patient_id", "sample_id", "model", "fold")
    _refuse_meaningless(rows)
    return [_arrays(part) for part in rows.partition_by(*GROUP, maintain_order=True)]


def validation_samples(validation_predictions: pl.DataFrame) -> list[ScoredSamples]:
    """Return what each fold's ensemble said about its own validation crops: one `ScoredSamples` a protocol and fold.

    Crops of all development institutions are taken together, as they were in training: institution is `development`,
    and patients are told apart by institution too.

    Args:
        validation_predictions: table of that name, replica 0 only.

    Raises:
        BrokenPredictionsError: as `scored_samples`, or a crop was not scored by every network of its fold.
    """
    keys = ["protocol", "fold", "institution", "sample_id"]
    rows = validation_predictions.sort(*keys, "architecture")
    networks = rows["architecture"].n_unique()
    counts = rows.group_by(keys).agg(pl.col("architecture").n_unique().alias("networks"), pl.len())
    odd = counts.filter((pl.col("networks") != networks) | (pl.col("len") != networks))
    if len(odd):
        row = odd.row(0, named=True)
        raise BrokenPredictionsError(
            f"validation_predictions: {row['sample_id']} of fold {row['fold']} is scored {row['len']} times by "
            f"{row['networks']} of {networks} networks; materialise validation_predictions again"
        )
    if rows.is_empty():
        return []
    summed = rows.select(PROBABILITIES).to_numpy().reshape(-1, networks, len(CLASSES)).mean(axis=1)
    pooled = rows.gather_every(networks).with_columns(
        pl.Series(name, summed[:, c]) for c, name in enumerate(PROBABILITIES)
    )
    pooled = pooled.with_columns(
        patient_id=pl.concat_str("institution", "patient_id", separator="/"),
        sample_id=pl.concat_str("institution", "sample_id", separator="/"),
        institution=pl.lit("development"),
        model=pl.lit("ensemble"),
        fold=pl.col("fold").cast(pl.String),
    )
    parts = pooled.partition_by("protocol", "fold", maintain_order=True)
    return [samples for part in parts for samples in scored_samples(part)]


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
        about=first.select(ABOUT),
        patients=first["patient_id"].rle_id().cast(pl.Int64).to_numpy(),
        labels=labels.to_numpy(),
        probabilities=np.stack([each.select(PROBABILITIES).to_numpy().astype(np.float64) for each in by_model]),
    )
