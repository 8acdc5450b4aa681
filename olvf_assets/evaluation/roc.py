"""ROC curves as tables.

What lives here: curve points, the average curve of the folds, thinning. What does not: the picture (reporting).
"""

import numpy as np
import polars as pl

from olvf_assets.evaluation.predictions import ScoredSamples, scored_samples
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.tables import ROC_CURVES
from olvf_assets.foundation.vocabulary import CLASSES

Points = tuple[np.ndarray, np.ndarray, np.ndarray]


def roc_curves(predictions: pl.DataFrame, settings: EvaluationSettings) -> pl.DataFrame:
    """Return the one-vs-rest ROC curves of every model and fold, and each model's average curve (fold `mean`).

    Each crop counts once (replica 0), as in the `patient_bootstrap` rows of the metric tables, whose AUC is the area
    under these points. A class without positives or without negatives has no curve.

    Args:
        predictions: columns `predictions.SCORED`.
        settings: roc_points.

    Returns:
        Points from (0, 0) to (1, 1) in drawing order. A sample is called positive when its probability is at least
        `threshold`; null at (0, 0), which lies above every probability, and on average curves.

    Raises:
        BrokenPredictionsError: see `scored_samples`.
    """
    groups = [samples.originals() for samples in scored_samples(predictions)]
    return pl.concat([ROC_CURVES.to_frame(), *(frame for group in groups for frame in _curves(group, settings))])


def curve_points(scores: np.ndarray, positive: np.ndarray) -> Points:
    """Return the corners of one ROC curve: false positive rate, true positive rate, threshold (NaN at the first point).

    Equal scores are one step. Points on the line between their neighbours are dropped: exactly, on whole counts.

    Args:
        scores: float (samples,).
        positive: bool (samples,), with both kinds present.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), ranked.size - 1)
    true = np.concatenate([[0], np.cumsum(positive[order])[last]])
    false = np.concatenate([[0], last + 1]) - true
    threshold = np.concatenate([[np.nan], ranked[last]])
    turn = np.diff(false)[:-1] * np.diff(true)[1:] - np.diff(true)[:-1] * np.diff(false)[1:]
    keep = np.concatenate([[True], turn != 0, [True]])
    return false[keep] / false[-1], true[keep] / true[-1], threshold[keep]


def average_curve(curves: list[Points]) -> Points:
    """Return the curve of the mean true positive rate at each false positive rate; thresholds are NaN.

    Taken on both sides of every step of every curve, so that its area is exactly the mean of the curves' areas.
    """
    grid = np.unique(np.concatenate([false for false, _, _ in curves]))
    sides = np.mean([_both_sides(false, true, grid) for false, true, _ in curves], axis=0)
    true = np.concatenate([[0.0], sides.T.ravel(), [1.0]])
    false = np.concatenate([[0.0], np.repeat(grid, 2), [1.0]])
    keep = np.append(True, (np.diff(false) != 0) | (np.diff(true) != 0))
    return false[keep], true[keep], np.full(int(keep.sum()), np.nan)


def thinned(points: Points, most: int) -> Points:
    """Return at most `most` points of a curve, dropping in turn the point whose loss changes the area least.

    After Visvalingam and Whyatt (1993).
    """
    false, true, threshold = points
    kept = list(range(false.size))
    areas = _corner_areas(false, true, np.arange(false.size))
    while len(kept) > most:
        gone = int(np.argmin(areas))
        del kept[gone]
        areas = np.delete(areas, gone)
        for near in (gone - 1, gone):
            if 0 < near < len(kept) - 1:
                areas[near] = _corner_areas(false, true, np.array(kept[near - 1 : near + 2]))[1]
    return false[kept], true[kept], threshold[kept]


def _corner_areas(false: np.ndarray, true: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the triangle area of each inner point with its neighbours; infinite at both ends."""
    dx, dy = np.diff(false[at]), np.diff(true[at])
    areas = np.full(at.size, np.inf)
    areas[1:-1] = np.abs(dx[:-1] * dy[1:] - dy[:-1] * dx[1:]) / 2
    return areas


def _both_sides(false: np.ndarray, true: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Return float (2, grid): the curve's height just left and just right of each grid point."""
    steps, first = np.unique(false, return_index=True)
    bottom = true[first]
    top = true[np.append(first[1:], false.size) - 1]
    at = np.searchsorted(steps, grid, side="right") - 1
    after = np.minimum(at + 1, steps.size - 1)
    width = np.where(after > at, steps[after] - steps[at], 1.0)
    between = top[at] + (bottom[after] - top[at]) * (grid - steps[at]) / width
    on_step = steps[at] == grid
    return np.stack([np.where(on_step, bottom[at], between), np.where(on_step, top[at], between)])


def _curves(samples: ScoredSamples, settings: EvaluationSettings) -> list[pl.DataFrame]:
    frames = []
    for c, name in enumerate(CLASSES):
        positive = samples.labels == c
        if positive.all() or not positive.any():
            continue
        curves = [curve_points(scores, positive) for scores in samples.probabilities[:, :, c]]
        for model, fold, at in samples.entries():
            curve = curves[at[0]] if len(at) == 1 else average_curve([curves[i] for i in at])
            false, true, threshold = thinned(curve, settings.roc_points)
            ids = (samples.protocol, samples.dataset, samples.institution, model, fold, name)
            points = pl.DataFrame(
                {"threshold": threshold, "false_positive_rate": false, "true_positive_rate": true}
            ).with_columns(pl.col("threshold").fill_nan(None))
            constants = [pl.lit(value).alias(column) for column, value in zip(ROC_CURVES, ids, strict=False)]
            frames.append(points.with_columns(*constants).select(ROC_CURVES.names()))
    return frames
