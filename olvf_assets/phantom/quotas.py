"""Whole numbers that meet a wanted total, mean or spread.

What lives here: arithmetic of quotas, without any patient. What does not: what is dealt by them (`dealing.py`).
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

Key = TypeVar("Key")
CLOSE_ENOUGH = 0.005  # a tenth of what a figure with one decimal can show


def quota(weights: Mapping[Key, float], total: int) -> dict[Key, int]:
    """Return counts that sum to `total` in proportion to the weights (largest remainder), in the mapping's order."""
    everything = sum(weights.values())
    share = {key: weight * total / everything if everything else 0.0 for key, weight in weights.items()}
    counts = {key: int(value) for key, value in share.items()}
    by_remainder = sorted(share, key=lambda key: counts[key] - share[key])
    for key in by_remainder[: total - sum(counts.values())]:
        counts[key] += 1
    return counts


def fit_moments(values: Sequence[float] | np.ndarray, mean: float, deviation: float, low: int, high: int) -> list[int]:
    """Return whole numbers near `values`, in their order, with the wanted mean and standard deviation (n - 1).

    Args:
        values: drawn values; with fewer than two different ones there is no spread to fit, and they are only rounded.
        mean: to be met as nearly as whole numbers allow.
        deviation: likewise.
        low: lower bound, inclusive.
        high: upper bound, inclusive.
    """
    fitted = np.clip(np.asarray(values, dtype=np.float64), low, high)
    if fitted.size < 2 or np.ptp(fitted) == 0:
        return np.rint(fitted).astype(int).tolist()
    for _ in range(50):  # bounds take from the spread what the next turn gives back
        fitted = np.clip(mean + (fitted - fitted.mean()) * deviation / fitted.std(ddof=1), low, high)
    whole = np.rint(fitted)
    n = whole.size
    for _ in range(4 * n):  # one year or day at a time, wherever it helps most
        steps = np.array([[-1.0], [1.0]])
        sums = whole.sum() + steps + np.zeros(n)
        squares = np.square(whole).sum() + 2 * steps * whole + 1
        spread = np.sqrt(np.maximum(squares - sums**2 / n, 0) / (n - 1))
        errors = np.maximum(np.abs(sums / n - mean), np.abs(spread - deviation))
        errors[(whole + steps < low) | (whole + steps > high)] = np.inf
        error = max(abs(whole.mean() - mean), abs(whole.std(ddof=1) - deviation))
        if error < CLOSE_ENOUGH or errors.min() >= error:
            break
        step, where = np.unravel_index(errors.argmin(), errors.shape)
        whole[where] += steps[step, 0]
    return whole.astype(int).tolist()
