"""Operating points: from which probability on a fracture is called fresh, and what that costs and saves.

What lives here: thresholds chosen on validation predictions (`operating_points`), and the rates they give on films that
had no part in the choice (`operating_point_metrics`). What does not: the MRI examinations they save (`mri.py`), benefit
over all thresholds (`decision.py`).

Two units, each with thresholds of its own: a `vertebra` is one crop and its p_fresh; a `patient` is the highest p_fresh
of any vertebra, averaged over the vertebra's films, and is fresh if any scored vertebra is.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from olvf_assets.evaluation import intervals
from olvf_assets.evaluation.bootstrap import draws_of, over_patients, per_patient
from olvf_assets.evaluation.metrics import denominators, rates
from olvf_assets.evaluation.predictions import (
    BrokenPredictionsError,
    Entry,
    ScoredSamples,
    scored_samples,
    scorers,
    validation_samples,
)
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.tables import OPERATING_POINT_METRICS, OPERATING_POINTS, RATES, UNITS
from olvf_assets.foundation.vocabulary import CLASSES

FRESH = CLASSES.index("fresh")
NO_THRESHOLD = "no fresh fracture in the validation fold of at least one network"


@dataclass(frozen=True)
class FreshScores:
    """How fresh each unit looks to each model, and whether it is.

    Attributes:
        scores: float64 (models, units).
        fresh: int64 (units,): fresh vertebrae in the unit; 0 or 1 for a vertebra.
        patients: int64 (units,), as in `ScoredSamples`.
    """

    scores: np.ndarray
    fresh: np.ndarray
    patients: np.ndarray

    @property
    def positive(self) -> np.ndarray:
        """Return bool (units,)."""
        return self.fresh > 0

    @property
    def n_positive(self) -> int:
        """Return how many units are fresh."""
        return int(self.positive.sum())


def fresh_scores(samples: ScoredSamples, unit: str) -> FreshScores:
    """Return the scores of each `vertebra` (crop) or `patient`; see the module's head. No replicas, please."""
    if unit == "vertebra":
        fresh = (samples.labels == FRESH).astype(np.int64)
        return FreshScores(samples.probabilities[:, :, FRESH], fresh, samples.patients)
    vertebrae = samples.by_vertebra()
    starts = np.flatnonzero(np.diff(vertebrae.patients, prepend=-1))
    highest = np.maximum.reduceat(vertebrae.probabilities[:, :, FRESH], starts, axis=1)
    fresh = per_patient(vertebrae.labels == FRESH, vertebrae.patients, axis=0).astype(np.int64)
    return FreshScores(highest, fresh, np.arange(starts.size))


def threshold_for(scores: np.ndarray, positive: np.ndarray, target_sensitivity: float) -> float:
    """Return the highest threshold at which at least `target_sensitivity` of the positives score that much or more.

    Args:
        scores: float (units,).
        positive: bool (units,).
        target_sensitivity: above 0, up to 1.

    Returns:
        One of the positives' scores; NaN if there is no positive.
    """
    ranked = np.sort(scores[positive])[::-1]
    if not ranked.size:
        return float("nan")
    needed = int(np.ceil(target_sensitivity * ranked.size - 1e-9))
    return float(ranked[max(needed, 1) - 1])


def operating_points(validation_predictions: pl.DataFrame, settings: EvaluationSettings) -> pl.DataFrame:
    """Return the threshold of each fold's ensemble for each unit and target sensitivity, from validation crops alone.

    Raises:
        BrokenPredictionsError: see `predictions.validation_samples`.
    """
    rows = []
    for samples in validation_samples(validation_predictions):
        ((model, fold),) = samples.models
        for unit in UNITS:
            scored = fresh_scores(samples, unit)
            for target in settings.target_sensitivities:
                threshold = threshold_for(scored.scores[0], scored.positive, target)
                called = scored.scores[0] >= threshold
                rows.append(
                    {
                        "protocol": samples.protocol,
                        "model": model,
                        "fold": fold,
                        "unit": unit,
                        "positive_class": "fresh",
                        "target_sensitivity": target,
                        "threshold": threshold,
                        "validation_sensitivity": intervals.share(*_part(called, scored.positive)),
                        "validation_specificity": intervals.share(*_part(~called, ~scored.positive)),
                        "n_positive": scored.n_positive,
                        "n_negative": scored.fresh.size - scored.n_positive,
                        "n_patients": samples.n_patients,
                        "reason": NO_THRESHOLD if np.isnan(threshold) else None,
                    }
                )
    return pl.DataFrame(rows, schema=OPERATING_POINTS)


def operating_point_metrics(
    ensemble_predictions: pl.DataFrame, points: pl.DataFrame, settings: EvaluationSettings, seed: int
) -> pl.DataFrame:
    """Return the rates of `fresh` at each fold's own threshold, and their mean over the folds; each crop once.

    ci_method `wald` takes units as independent, `patient_bootstrap` resamples patients, as in the metric tables.

    Args:
        ensemble_predictions: table of that name; model `ensemble` alone has operating points.
        points: table `operating_points`.
        settings: target_sensitivities, and those of the bootstrap.
        seed: the profile's seed.

    Raises:
        BrokenPredictionsError: a fold has no operating point, or see `scored_samples`.
    """
    frames = [OPERATING_POINT_METRICS.to_frame()]
    for samples in ensembles(ensemble_predictions):
        for unit in UNITS:
            scored = fresh_scores(samples, unit)
            for target in settings.target_sensitivities:
                thresholds = thresholds_of(samples, points, unit, target)
                rows = _rates(samples, scored, thresholds, settings, draws_of(samples, seed))
                constants = {"unit": unit, "positive_class": "fresh", "target_sensitivity": target}
                frames.append(rows.with_columns(*(pl.lit(value).alias(name) for name, value in constants.items())))
    schema = OPERATING_POINT_METRICS
    return pl.concat([frame.select(schema.names()).cast(schema) for frame in frames])


def ensembles(ensemble_predictions: pl.DataFrame) -> list[ScoredSamples]:
    """Return what the folds' ensembles, which alone have operating points, said about each crop once."""
    return [samples.originals().of_model("ensemble") for samples in scored_samples(ensemble_predictions)]


def thresholds_of(samples: ScoredSamples, points: pl.DataFrame, unit: str, target: float) -> np.ndarray:
    """Return float64 (models, 1): each fold's threshold.

    Raises:
        BrokenPredictionsError: a fold has none.
    """
    chosen = points.filter(
        pl.col("protocol") == samples.protocol, pl.col("unit") == unit, pl.col("target_sensitivity") == target
    )
    by_scorer = {(model, fold): value for model, fold, value in chosen.select("model", "fold", "threshold").iter_rows()}
    missing = [fold for model, fold in samples.models if (model, fold) not in by_scorer]
    if missing:
        raise BrokenPredictionsError(
            f"operating_points, protocol {samples.protocol}, unit {unit}: none for sensitivity {target} of fold "
            f"{', '.join(missing)}; materialise validation_predictions of all folds and operating_points again"
        )
    return np.array([by_scorer[scorer] for scorer in samples.models])[:, None]


def called_fresh(scored: FreshScores, thresholds: np.ndarray) -> np.ndarray:
    """Return float64 (models, units): 1 if called fresh, 0 if not, NaN without a threshold."""
    return np.where(np.isnan(thresholds), np.nan, scored.scores >= thresholds)


def scorers_with_thresholds(entries: list[Entry], thresholds: np.ndarray) -> pl.DataFrame:
    """Return columns model, fold and threshold, a row for each entry; null for `mean`: each fold has its own."""
    single = [float(thresholds[at[0], 0]) if fold != "mean" else None for _, fold, at in entries]
    return scorers(entries).with_columns(pl.Series("threshold", single, dtype=pl.Float64))


def _part(chosen: np.ndarray, among: np.ndarray) -> tuple[int, int]:
    return int((chosen & among).sum()), int(among.sum())


def _rates(
    samples: ScoredSamples, scored: FreshScores, thresholds: np.ndarray, settings: EvaluationSettings, draws_seed: int
) -> pl.DataFrame:
    called, positive = called_fresh(scored, thresholds), scored.positive
    outcomes = (called * positive, called * ~positive, (1 - called) * positive, (1 - called) * ~positive)
    per_sample = np.stack(outcomes, axis=-1)

    def figures(sums: np.ndarray) -> np.ndarray:
        by_name = rates(*np.moveaxis(sums, -1, 0))
        return np.stack([by_name[name] for name in RATES], axis=-1)

    entries = samples.entries()
    groups = [at for *_, at in entries]
    value, low, high = over_patients(per_sample, scored.patients, groups, figures, settings, draws_seed)
    counts = np.stack([per_sample.sum(axis=1)[at].mean(axis=0) for at in groups])
    wholes = denominators(*np.moveaxis(counts, -1, 0))
    n = np.stack([wholes[name] for name in RATES], axis=-1)
    ids = scorers_with_thresholds(entries, thresholds).join(pl.DataFrame({"metric": RATES}), how="cross")
    ends = {"wald": intervals.wald(value, n, settings.confidence), "patient_bootstrap": (low, high)}
    reason = (
        pl.when(pl.lit(bool(np.isnan(thresholds).any())) & pl.col("value").is_nan())
        .then(pl.lit(NO_THRESHOLD))
        .when(pl.col("value").is_nan())
        .then(pl.lit("the rate's denominator is 0, in at least one fold"))
        .when(pl.col("ci_low").is_nan())
        .then(pl.lit(f"one patient, or defined in fewer than {settings.min_defined_share:.0%} of the draws"))
    )
    return pl.concat(
        ids.with_columns(
            *samples.constants(),
            pl.lit(method).alias("ci_method"),
            pl.lit(scored.n_positive).alias("n_positive"),
            pl.lit(scored.fresh.size - scored.n_positive).alias("n_negative"),
            value=value.ravel(),
            ci_low=lower.ravel(),
            ci_high=upper.ravel(),
        ).with_columns(reason=reason)
        for method, (lower, upper) in ends.items()
    )
