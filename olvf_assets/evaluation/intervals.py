"""Intervals: the thesis's normal approximation, Hanley and McNeil's for the AUC, and the bootstrap over patients.

What lives here: arithmetic on arrays. What does not: tables, classes, models.
"""

from typing import Any

import numpy as np

MOST_CELLS_AT_ONCE = 4_000_000


def share(part: Any, whole: Any) -> Any:
    """Return `part / whole` as float64, NaN (never 0, never a warning) where `whole` is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.true_divide(part, whole)
    return np.where(np.asarray(whole) == 0, np.nan, ratio)[()]


def wald(value: np.ndarray, n: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Return low and high of the normal-approximation interval of a proportion, kept within 0 to 1.

    The same as statsmodels' `proportion_confint(value * n, n, method="normal")`.

    Args:
        value: proportions.
        n: what they are proportions of, same shape.
        confidence: coverage, e.g. 0.95.
    """
    return _symmetric(value, np.sqrt(share(value * (1 - value), n)), confidence)


def hanley_mcneil(
    auc: np.ndarray, n_positive: np.ndarray, n_negative: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return low and high of the AUC's interval after Hanley and McNeil (Radiology 1982;143:29–36), within 0 to 1."""
    q1 = auc / (2 - auc)
    q2 = 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (n_positive - 1) * (q1 - auc**2) + (n_negative - 1) * (q2 - auc**2)
    return _symmetric(auc, np.sqrt(np.maximum(share(spread, n_positive * n_negative), 0)), confidence)


def patient_weights(n_patients: int, draws: int, seed: int) -> np.ndarray:
    """Return float64 (draws, patients): how often each patient is in each resample of as many patients."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=draws).astype(np.float64)


def per_patient(values: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Return the sums of `values` (models, samples, ...) over each patient's samples: float64 (models, patients, ...).

    Args:
        values: numbers, second axis samples.
        patients: int (samples,), 0-based and non-decreasing.
    """
    starts = np.flatnonzero(np.diff(patients, prepend=-1))
    return np.add.reduceat(values.astype(np.float64), starts, axis=1)


def resampled_auc(scores: np.ndarray, positive: np.ndarray, patients: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the AUC of every model in every resample of patients, ties counting half.

    A sample counts as often as its patient was drawn; all sums are of whole and half numbers, so the result is exactly
    that of copying the drawn patients' samples.

    Args:
        scores: float (models, samples).
        positive: bool (samples,).
        patients: int (samples,), 0-based.
        weights: float64 (draws, patients).

    Returns:
        float64 (models, draws), NaN in draws without a positive or without a negative.
    """
    step = max(1, MOST_CELLS_AT_ONCE // max(1, positive.size))
    found = np.empty((scores.shape[0], weights.shape[0]))
    for start in range(0, weights.shape[0], step):
        part = slice(start, start + step)
        positives = weights[part][:, patients[positive]]
        negatives = weights[part][:, patients[~positive]]
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        for m, score in enumerate(scores):
            order = np.argsort(score[~positive], kind="stable")
            below = np.concatenate([np.zeros((len(pairs), 1)), np.cumsum(negatives[:, order], axis=1)], axis=1)
            ranked = score[~positive][order]
            lost = np.searchsorted(ranked, score[positive], side="left")
            not_won = np.searchsorted(ranked, score[positive], side="right")
            wins = (positives * (below[:, lost] + below[:, not_won])).sum(axis=1) / 2
            found[m, part] = share(wins, pairs)
    return found


def percentile_interval(
    drawn: np.ndarray, confidence: float, min_defined_share: float, axis: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return low and high percentiles of `drawn` along `axis` over the draws in which the figure is defined.

    NaN where fewer than `min_defined_share` of the draws (or none) are defined. Linear interpolation between draws, as
    `numpy.nanpercentile`, which is slow on arrays that hold NaN.
    """
    ordered = np.sort(drawn, axis=axis)
    defined = np.count_nonzero(~np.isnan(drawn), axis=axis, keepdims=True)
    given = (defined > 0) & (defined >= min_defined_share * drawn.shape[axis])

    def at(fraction: float) -> np.ndarray:
        place = np.maximum(defined - 1, 0) * fraction
        floor = np.floor(place).astype(np.int64)
        ceiling = np.ceil(place).astype(np.int64)
        lower = np.take_along_axis(ordered, floor, axis=axis)
        upper = np.take_along_axis(ordered, ceiling, axis=axis)
        return np.where(given, lower + (upper - lower) * (place - floor), np.nan).squeeze(axis)

    tail = (1 - confidence) / 2
    return at(tail), at(1 - tail)


def _symmetric(value: np.ndarray, error: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    from scipy.stats import norm

    reach = norm.ppf((1 + confidence) / 2) * error
    return np.clip(value - reach, 0, 1), np.clip(value + reach, 0, 1)
