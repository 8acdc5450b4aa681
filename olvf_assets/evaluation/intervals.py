"""Intervals: the thesis's normal approximation, Hanley and McNeil's and DeLong's for the AUC, percentiles of draws.

What lives here: arithmetic on arrays, and the rule that every table of figures with intervals keeps. What does not:
classes, models.
"""

from typing import Any

import numpy as np
import polars as pl


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


def delong_components(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return DeLong's structural components, by mid-ranks (Sun and Xu, IEEE Signal Process. Lett. 2014;21:1389-1393).

    Args:
        scores: float (models, samples).
        positive: bool (samples,).

    Returns:
        float64 (models, positives): the share of negatives each positive wins against, ties counting half; and
        float64 (models, negatives): the share of positives each negative loses against. NaN if there are none to
        compare with.
    """
    from scipy.stats import rankdata

    above, below = scores[:, positive], scores[:, ~positive]
    n_positive, n_negative = above.shape[1], below.shape[1]
    ranks = rankdata(scores, axis=1)
    beaten = ranks[:, positive] - rankdata(above, axis=1)
    beating = n_positive - (ranks[:, ~positive] - rankdata(below, axis=1))
    return share(beaten, np.full_like(beaten, n_negative)), share(beating, np.full_like(beating, n_positive))


def delong(
    of_positives: np.ndarray, of_negatives: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the AUC and low and high of its interval after DeLong et al. (Biometrics 1988;44:837-845), within 0 to 1.

    Averaging components of several models first gives the averaged AUC with its own variance: components are linear in
    the models, so the correlation between models is in it.

    Args:
        of_positives: float64 (rows, positives), see `delong_components`.
        of_negatives: float64 (rows, negatives).
        confidence: coverage.

    Returns:
        float64 (rows,) each; all NaN if there is no positive or no negative, the interval NaN if there are fewer than
        two of either.
    """
    undefined = np.full(len(of_positives), np.nan)
    n_positive, n_negative = of_positives.shape[1], of_negatives.shape[1]
    if min(n_positive, n_negative) == 0:
        return undefined, undefined, undefined
    auc = of_positives.mean(axis=1)
    if min(n_positive, n_negative) == 1:
        return auc, undefined, undefined
    variance = of_positives.var(axis=1, ddof=1) / n_positive + of_negatives.var(axis=1, ddof=1) / n_negative
    return (auc, *_symmetric(auc, np.sqrt(variance), confidence))


def patient_weights(n_patients: int, draws: int, seed: int) -> np.ndarray:
    """Return float64 (draws, patients): how often each patient is in each resample of as many patients."""
    if n_patients == 0:
        return np.zeros((draws, 0))
    generator = np.random.default_rng(seed)
    return generator.multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=draws).astype(np.float64)


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


def improper_rows(figures: pl.DataFrame, column: str, lowest: float, highest: float) -> pl.DataFrame:
    """Return the rows that no table of figures may hold: out of range, upside down, null, or NaN without a `reason`.

    Args:
        figures: a table with `column`, ci_low, ci_high and reason.
        column: the figure.
        lowest: the least it may be, and an end of its interval.
        highest: the most.
    """
    names = (column, "ci_low", "ci_high")
    missing = pl.any_horizontal(*(pl.col(name).is_nan() for name in names))
    null = pl.any_horizontal(*(pl.col(name).is_null() for name in names))
    slack = 1e-9  # of sums of floating-point numbers
    outside = pl.any_horizontal(
        *(pl.col(name).is_not_nan() & ~pl.col(name).is_between(lowest - slack, highest + slack) for name in names)
    )
    upside_down = pl.all_horizontal(pl.col("ci_low", "ci_high").is_not_nan()) & (pl.col("ci_low") > pl.col("ci_high"))
    return figures.filter(null | outside | upside_down | (missing & pl.col("reason").is_null()))


def _symmetric(value: np.ndarray, error: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    from scipy.stats import norm

    reach = norm.ppf((1 + confidence) / 2) * error
    return np.clip(value - reach, 0, 1), np.clip(value + reach, 0, 1)
