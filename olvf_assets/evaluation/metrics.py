"""One-vs-rest metrics of three classes, and the metric tables.

What lives here: the rates of a two-by-two table, the area under the ROC curve, and `test_metrics` / `external_metrics`.
What does not: how an interval is made (`intervals.py`), curves (`roc.py`), matrices (`confusion.py`).
"""

from typing import Any

import numpy as np
import polars as pl

from olvf_assets.evaluation import intervals
from olvf_assets.evaluation.predictions import ScoredSamples, scored_samples, stacked_predictions
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.tables import METRIC_TABLE, METRICS, POSITIVE_CLASSES
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import CLASSES

COUNTS = ("tp", "fp", "fn", "tn")


def rates(tp: Any, fp: Any, fn: Any, tn: Any) -> dict[str, Any]:
    """Return every rate of a two-by-two table under its own name.

    Beware when comparing with the thesis: its Table 6 prints the false discovery rate as "false positive rate" and the
    false omission rate as "false negative rate".

    Args:
        tp: true positives; like the others, numbers or arrays that broadcast.
        fp: false positives.
        fn: false negatives.
        tn: true negatives.

    Returns:
        float64 numbers or arrays by name; NaN where the denominator is 0.
    """
    tp, fp, fn, tn = (np.asarray(count, dtype=np.float64) for count in (tp, fp, fn, tn))
    return {
        "accuracy": intervals.share(tp + tn, tp + fp + fn + tn),
        "sensitivity": intervals.share(tp, tp + fn),
        "specificity": intervals.share(tn, tn + fp),
        "positive_predictive_value": intervals.share(tp, tp + fp),
        "negative_predictive_value": intervals.share(tn, tn + fn),
        "false_positive_rate": intervals.share(fp, fp + tn),
        "false_negative_rate": intervals.share(fn, fn + tp),
        "false_discovery_rate": intervals.share(fp, fp + tp),
        "false_omission_rate": intervals.share(fn, fn + tn),
    }


def outcomes(predicted: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which of the four outcomes each sample is when each class in turn is the positive one.

    Args:
        predicted: integer (..., samples), index into CLASSES.
        labels: integer (samples,), index into CLASSES.

    Returns:
        bool (..., samples, 3, 4): positive class in the order of CLASSES, outcome in the order of COUNTS.
    """
    classes = np.arange(len(CLASSES))
    said = predicted[..., None] == classes
    true = np.broadcast_to(labels[:, None] == classes, said.shape)
    return np.stack([said & true, said & ~true, ~said & true, ~said & ~true], axis=-1)


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Return the chance that a positive sample scores above a negative one, ties counting half (Mann–Whitney).

    Args:
        scores: float (..., samples).
        positive: bool (samples,).

    Returns:
        float64 (...), NaN where one side is empty.
    """
    from scipy.stats import rankdata

    n_positive = int(positive.sum())
    n_negative = positive.size - n_positive
    ranks = rankdata(scores, axis=-1)[..., positive]
    wins = ranks.sum(axis=-1) - n_positive * (n_positive + 1) / 2
    return intervals.share(wins, n_positive * n_negative)


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
    """Return accuracy, sensitivity, specificity, false discovery and omission rate and AUC, one figure a row.

    A model with folds has a row for each fold and a row `mean`: the plain average of the folds' values, NaN as soon as
    one fold's value is. Class `all` is the plain mean of the three one-vs-rest values; its n_positive and n_negative
    are the sums over the classes.

    ci_method `wald` follows the thesis (Table 6): all samples, replicas included, taken as independent. Per class a
    normal-approximation interval with n = positives (sensitivity), negatives (specificity), all samples (accuracy),
    predicted positives (false discovery) or predicted negatives (false omission); Hanley and McNeil (1982) for the AUC;
    `all` averages the three intervals. For `mean`, the interval is that of the averaged value with one fold's n (the
    average n, where n depends on the predictions): five folds score the same samples and add no new ones.

    ci_method `patient_bootstrap` counts each crop once (replica 0) and resamples patients with all their crops; low and
    high are percentiles of the same figure, be it a fold's, a `mean` or an `all`, computed in each draw. All models,
    folds and metrics of an institution share the draws. The value is the one on the original crops.

    Args:
        predictions: one dataset's rows, columns `predictions.SCORED`.
        settings: draws, confidence, min_defined_share.
        seed: the profile's seed.

    Raises:
        BrokenPredictionsError: see `scored_samples`.
    """
    frames = [METRIC_TABLE.to_frame()]
    for samples, originals in zip(
        scored_samples(predictions), scored_samples(predictions, originals_only=True), strict=True
    ):
        draws_seed = derive_seed(seed, "patient_bootstrap", samples.protocol, samples.institution)
        frames.append(_rows(samples, "wald", *_wald(samples, settings)))
        frames.append(_rows(originals, "patient_bootstrap", *_bootstrap(originals, settings, draws_seed)))
    return pl.concat(frames)


def metrics_out_of_range(metrics: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of a metric table whose value or interval is outside 0 to 1, or whose interval is upside down."""
    defined = pl.col("value").is_not_nan()
    outside = pl.any_horizontal(
        *((pl.col(c).is_not_nan() & ~pl.col(c).is_between(0, 1)) for c in ("value", "ci_low", "ci_high"))
    )
    return metrics.filter(defined & (outside | (pl.col("ci_low") > pl.col("ci_high"))) | pl.col("value").is_null())


def _metrics_of(
    ensemble: pl.DataFrame, folds: pl.DataFrame, dataset: str, settings: EvaluationSettings, seed: int
) -> pl.DataFrame:
    predictions = stacked_predictions(ensemble, folds).filter(pl.col("dataset") == dataset)
    return metric_table(predictions, settings, seed)


def _entries(samples: ScoredSamples) -> list[tuple[str, str, list[int]]]:
    """Return the rows of the table as (model, fold, positions to average over)."""
    single = [(model, fold, [i]) for i, (model, fold) in enumerate(samples.models)]
    return single + [(model, "mean", positions) for model, positions in samples.folds_of_models()]


def _averaged(values: np.ndarray, samples: ScoredSamples) -> np.ndarray:
    """Return float (entries, ...) from float (models, ...)."""
    return np.stack([values[positions].mean(axis=0) for _, _, positions in _entries(samples)])


def _point_estimates(samples: ScoredSamples) -> tuple[np.ndarray, np.ndarray]:
    """Return values float (models, 3, 6), metrics in the order of METRICS, and counts int (models, 3, 4)."""
    counts = outcomes(samples.predicted, samples.labels).sum(axis=1)
    by_name = rates(*np.moveaxis(counts, -1, 0))
    by_name["auc"] = np.stack(
        [area_under_curve(samples.probabilities[:, :, c], samples.labels == c) for c in range(len(CLASSES))], axis=1
    )
    return np.stack([by_name[name] for name in METRICS], axis=-1), counts


def _wald(samples: ScoredSamples, settings: EvaluationSettings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values, counts = _point_estimates(samples)
    values = _averaged(values, samples)
    tp, fp, fn, tn = np.moveaxis(_averaged(counts.astype(np.float64), samples), -1, 0)
    n_by_name = {
        "accuracy": tp + fp + fn + tn,
        "sensitivity": tp + fn,
        "specificity": tn + fp,
        "false_discovery_rate": tp + fp,
        "false_omission_rate": tn + fn,
    }
    low, high = np.empty_like(values), np.empty_like(values)
    for m, name in enumerate(METRICS):
        if name == "auc":
            interval = intervals.hanley_mcneil(values[..., m], tp + fn, tn + fp, settings.confidence)
        else:
            interval = intervals.wald(values[..., m], n_by_name[name], settings.confidence)
        low[..., m], high[..., m] = interval
    return _with_all(values), _with_all(low), _with_all(high)


def _bootstrap(
    samples: ScoredSamples, settings: EvaluationSettings, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values, _ = _point_estimates(samples)
    weights = intervals.patient_weights(int(samples.patients[-1]) + 1, settings.draws, seed)
    of_patients = intervals.per_patient(outcomes(samples.predicted, samples.labels), samples.patients)
    counts = np.einsum("dp,mpk->mdk", weights, of_patients.reshape(*of_patients.shape[:2], -1), optimize=True)
    by_name = rates(*np.moveaxis(counts.reshape(len(samples.models), settings.draws, len(CLASSES), len(COUNTS)), -1, 0))
    by_name["auc"] = np.stack(
        [
            intervals.resampled_auc(samples.probabilities[:, :, c], samples.labels == c, samples.patients, weights)
            for c in range(len(CLASSES))
        ],
        axis=-1,
    )
    drawn = np.stack([by_name[name] for name in METRICS], axis=-1)
    drawn = _with_all(_averaged(drawn, samples))
    values = _with_all(_averaged(values, samples))
    low, high = intervals.percentile_interval(drawn, settings.confidence, settings.min_defined_share, axis=1)
    undefined = np.isnan(values)
    return values, np.where(undefined, np.nan, low), np.where(undefined, np.nan, high)


def _with_all(values: np.ndarray) -> np.ndarray:
    """Return float (..., 4, metrics) from float (..., 3, metrics): the classes and their mean."""
    return np.concatenate([values, values.mean(axis=-2, keepdims=True)], axis=-2)


def _rows(samples: ScoredSamples, method: str, value: np.ndarray, low: np.ndarray, high: np.ndarray) -> pl.DataFrame:
    entries = pl.DataFrame([entry[:2] for entry in _entries(samples)], schema=["model", "fold"], orient="row")
    positives = np.bincount(samples.labels, minlength=len(CLASSES))
    negatives = samples.labels.size - positives
    classes = pl.DataFrame(
        {
            "positive_class": POSITIVE_CLASSES,
            "n_positive": [*positives.tolist(), int(positives.sum())],
            "n_negative": [*negatives.tolist(), int(negatives.sum())],
        }
    )
    ids = entries.join(classes, how="cross").join(pl.DataFrame({"metric": METRICS}), how="cross")
    return (
        ids.with_columns(
            pl.lit(samples.protocol).alias("protocol"),
            pl.lit(samples.institution).alias("institution"),
            pl.lit(method).alias("ci_method"),
            value=value.ravel(),
            ci_low=low.ravel(),
            ci_high=high.ravel(),
        )
        .select(METRIC_TABLE.names())
        .cast(METRIC_TABLE)
    )
