"""The metric tables: `test_metrics`, `external_metrics`, and the rows that `subgroup_metrics` is made of.

What lives here: values of every model, fold, class and metric with intervals of each kind, and why one is missing. What
does not: the arithmetic (`metrics.py`, `intervals.py`), which samples belong together (`predictions.py`).
"""

from collections.abc import Sequence

import numpy as np
import polars as pl

from olvf_assets.evaluation import intervals
from olvf_assets.evaluation.bootstrap import draws_of, patient_interval, resampled_auc, resampled_sums
from olvf_assets.evaluation.metrics import area_under_curve, denominators, outcomes, rates
from olvf_assets.evaluation.predictions import (
    Entry,
    ScoredSamples,
    class_counts,
    scored_samples,
    scorers,
    stacked_predictions,
)
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.tables import METRIC_TABLE, METRICS, RATES, THESIS_LABELS
from olvf_assets.foundation.vocabulary import CLASSES

Estimate = tuple[np.ndarray, np.ndarray, np.ndarray]  # value, low, high: float64 (entries, 4 classes, metrics)


def internal_metrics(
    ensemble_predictions: pl.DataFrame, fold_predictions: pl.DataFrame, settings: EvaluationSettings, seed: int
) -> pl.DataFrame:
    """Return the metric table of the development institutions' held-out test set (see `metric_table`)."""
    return _metrics_of(ensemble_predictions, fold_predictions, "test", settings, seed)


def external_metrics(
    ensemble_predictions: pl.DataFrame, fold_predictions: pl.DataFrame, settings: EvaluationSettings, seed: int
) -> pl.DataFrame:
    """Return the metric table of the external institutions (see `metric_table`)."""
    return _metrics_of(ensemble_predictions, fold_predictions, "external", settings, seed)


def metric_table(predictions: pl.DataFrame, settings: EvaluationSettings, seed: int) -> pl.DataFrame:
    """Return every rate and the AUC, one figure a row.

    A model with folds has a row for each fold and a row `mean`: the plain average of the folds' values, NaN as soon as
    one fold's value is. Class `all` is the plain mean of the three one-vs-rest values; its n_positive and n_negative
    are the sums over the classes. Where a value or interval is NaN, `reason` says why.

    ci_method `wald` follows the thesis (Table 6): all samples, replicas included, taken as independent. Per class a
    normal-approximation interval with n = the rate's denominator; Hanley and McNeil (1982) for the AUC; `all` averages
    the three intervals. For `mean`, the interval is that of the averaged value with one fold's n (the average n, where
    n depends on the predictions): five folds score the same samples and add no new ones.

    ci_method `patient_bootstrap` counts each crop once (replica 0) and resamples patients with all their crops; low and
    high are percentiles of the same figure, be it a fold's, a `mean` or an `all`, computed in each draw. All models,
    folds and metrics of an institution share the draws. The value is the one on the original crops.

    ci_method `delong` (DeLong, DeLong and Clarke-Pearson, Biometrics 1988;44:837-845) is of the AUC alone, each crop
    once, crops taken as independent; for `mean` it is that of the averaged AUC, correlation of the folds included. It
    compares one class with the rest, so `all` has no such interval.

    Args:
        predictions: one dataset's rows, columns `predictions.SCORED`.
        settings: draws, confidence, min_defined_share.
        seed: the profile's seed.

    Raises:
        BrokenPredictionsError: see `scored_samples`.
    """
    groups = scored_samples(predictions)
    frames = [metric_rows(samples, samples.entries(), settings, draws_of(samples, seed)) for samples in groups]
    return pl.concat([METRIC_TABLE.to_frame(), *frames])


def metric_rows(
    samples: ScoredSamples, entries: Sequence[Entry], settings: EvaluationSettings, draws_seed: int
) -> pl.DataFrame:
    """Return the rows of `metric_table` of some entries of one group of samples, which may be empty."""
    originals = samples.originals()
    bootstrapped = patient_bootstrap(originals, entries, settings, draws_seed)
    frames = [
        _rows(samples, entries, "wald", METRICS, wald(samples, entries, settings)),
        _rows(originals, entries, "patient_bootstrap", METRICS, bootstrapped),
        _rows(originals, entries, "delong", ("auc",), delong(originals, entries, settings)),
    ]
    return pl.concat(frames).with_columns(reason=_reason(settings)).select(METRIC_TABLE.names()).cast(METRIC_TABLE)


def wald(samples: ScoredSamples, entries: Sequence[Entry], settings: EvaluationSettings) -> Estimate:
    """Return values and the thesis's intervals of all METRICS, every sample taken as independent."""
    values, counts = _point_estimates(samples)
    values, counts = averaged(values, entries), averaged(counts, entries)
    tp, fp, fn, tn = np.moveaxis(counts, -1, 0)
    wholes = denominators(tp, fp, fn, tn)
    n = np.stack([wholes[name] for name in RATES], axis=-1)
    ends = intervals.wald(values[..., :-1], n, settings.confidence)
    auc_ends = intervals.hanley_mcneil(values[..., -1], tp + fn, tn + fp, settings.confidence)
    low, high = (np.append(end, auc[..., None], axis=-1) for end, auc in zip(ends, auc_ends, strict=True))
    return _with_all(values), _with_all(low), _with_all(high)


def patient_bootstrap(
    samples: ScoredSamples, entries: Sequence[Entry], settings: EvaluationSettings, draws_seed: int
) -> Estimate:
    """Return values and bootstrap intervals over patients of all METRICS."""
    values, _ = _point_estimates(samples)
    values = _with_all(averaged(values, entries))
    weights = intervals.patient_weights(samples.n_patients, settings.draws, draws_seed)
    counts = resampled_sums(outcomes(samples.predicted, samples.labels), samples.patients, weights)
    by_name = rates(*np.moveaxis(counts, -1, 0))
    by_name["auc"] = np.stack(
        [
            resampled_auc(samples.probabilities[:, :, c], samples.labels == c, samples.patients, weights)
            for c in range(len(CLASSES))
        ],
        axis=-1,
    )
    drawn = np.stack([by_name[name] for name in METRICS], axis=-1)
    drawn = _with_all(averaged(drawn, entries))
    return (values, *patient_interval(values, drawn, samples.n_patients, settings))


def delong(samples: ScoredSamples, entries: Sequence[Entry], settings: EvaluationSettings) -> Estimate:
    """Return values and DeLong's intervals of the AUC; the interval of `all` is NaN."""
    shape = (len(entries), len(CLASSES), 1)
    values, low, high = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    for c in range(len(CLASSES)):
        components = intervals.delong_components(samples.probabilities[:, :, c], samples.labels == c)
        of_positives, of_negatives = (averaged(each, entries) for each in components)
        values[:, c, 0], low[:, c, 0], high[:, c, 0] = intervals.delong(of_positives, of_negatives, settings.confidence)
    none = np.full((len(entries), 1, 1), np.nan)
    return _with_all(values), np.append(low, none, axis=1), np.append(high, none, axis=1)


def averaged(values: np.ndarray, entries: Sequence[Entry]) -> np.ndarray:
    """Return float64 (entries, ...) from (models, ...): the mean over each entry's models."""
    return np.stack([values[positions].mean(axis=0) for _, _, positions in entries])


def _metrics_of(
    ensemble: pl.DataFrame, folds: pl.DataFrame, dataset: str, settings: EvaluationSettings, seed: int
) -> pl.DataFrame:
    predictions = stacked_predictions(ensemble, folds).filter(pl.col("dataset") == dataset)
    return metric_table(predictions, settings, seed)


def _point_estimates(samples: ScoredSamples) -> tuple[np.ndarray, np.ndarray]:
    """Return values float64 (models, 3, metrics), in the order of METRICS, and counts int64 (models, 3, 4)."""
    counts = outcomes(samples.predicted, samples.labels).sum(axis=1)
    by_name = rates(*np.moveaxis(counts, -1, 0))
    by_name["auc"] = np.stack(
        [area_under_curve(samples.probabilities[:, :, c], samples.labels == c) for c in range(len(CLASSES))], axis=1
    )
    return np.stack([by_name[name] for name in METRICS], axis=-1), counts


def _with_all(values: np.ndarray) -> np.ndarray:
    """Return float64 (..., 4, metrics) from float64 (..., 3, metrics): the classes and their mean."""
    return np.append(values, values.mean(axis=-2, keepdims=True), axis=-2)


def _rows(
    samples: ScoredSamples, entries: Sequence[Entry], method: str, metrics: Sequence[str], estimate: Estimate
) -> pl.DataFrame:
    value, low, high = estimate
    ids = scorers(entries).join(class_counts(samples), how="cross").join(pl.DataFrame({"metric": metrics}), how="cross")
    return ids.with_columns(
        *samples.constants(),
        pl.lit(method).alias("ci_method"),
        thesis_label=pl.col("metric").replace_strict(THESIS_LABELS, default=None, return_dtype=pl.String),
        value=value.ravel(),
        ci_low=low.ravel(),
        ci_high=high.ravel(),
    )


def _reason(settings: EvaluationSettings) -> pl.Expr:
    """Return why a value or, if that is there, its interval is NaN; null where both are given."""
    undefined, without_interval = pl.col("value").is_nan(), pl.col("ci_low").is_nan()
    metric, is_all = pl.col("metric"), pl.col("positive_class") == "all"
    by_delong = pl.col("ci_method") == "delong"
    no_positive, no_negative = pl.col("n_positive") == 0, pl.col("n_negative") == 0
    of_predicted = ["positive_predictive_value", "false_discovery_rate"]
    return (
        pl.when(no_positive & no_negative)
        .then(pl.lit("no sample"))
        .when(undefined & is_all)
        .then(pl.lit("undefined for at least one class"))
        .when(undefined & no_positive & metric.is_in(["sensitivity", "false_negative_rate", "auc"]))
        .then(pl.lit("no positive sample"))
        .when(undefined & no_negative & metric.is_in(["specificity", "false_positive_rate", "auc"]))
        .then(pl.lit("no negative sample"))
        .when(undefined & metric.is_in(of_predicted))
        .then(pl.lit("never predicted, in at least one fold"))
        .when(undefined)
        .then(pl.lit("predicted for every sample, in at least one fold"))
        .when(without_interval & by_delong & is_all)
        .then(pl.lit("DeLong's variance is of one class against the rest"))
        .when(without_interval & by_delong)
        .then(pl.lit("fewer than two positive or two negative samples"))
        .when(without_interval & (pl.col("n_patients") < 2))
        .then(pl.lit("one patient cannot be resampled"))
        .when(without_interval)
        .then(pl.lit(f"defined in fewer than {settings.min_defined_share:.0%} of the draws"))
    )
