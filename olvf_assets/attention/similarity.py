"""How alike two sets of maps of the same pictures are.

What lives here: the figures that `gradcam_agreement` and `gradcam_sanity` share. What does not: whose maps they are.
"""

from typing import Any

import numpy as np


def similarity(first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """Return how well the section means of two sets of maps agree, averaged over the pictures.

    Per picture the correlation of its two vectors of section means (`pearson`), and of their ranks (`spearman`); then
    the mean over pictures. Maps of any two pictures have something in common, such as a bright middle, so
    `spearman_other_image` gives the same figure for each picture of the first set and the next picture of the second:
    only what lies above it is agreement about the picture.

    Args:
        first: float64, shape (pictures, sections).
        second: likewise, the same pictures in the same order.

    Returns:
        The columns n_images, n_compared (pictures whose sections differ in both maps; a map of zeros correlates with
        nothing), pearson, spearman, spearman_other_image and reason; NaN with a reason where nothing can be compared.
    """
    from scipy.stats import rankdata

    vary = _varies(first) & _varies(second)
    first, second = first[vary], second[vary]
    first_ranks, second_ranks = rankdata(first, axis=1), rankdata(second, axis=1)
    count = int(vary.sum())
    return {
        "n_images": len(vary),
        "n_compared": count,
        "pearson": _mean_correlation(first, second),
        "spearman": _mean_correlation(first_ranks, second_ranks),
        "spearman_other_image": _mean_correlation(first_ranks, np.roll(second_ranks, -1, axis=0), fewest=2),
        "reason": None if count else "no image whose sections differ in both maps",
    }


def _varies(values: np.ndarray) -> np.ndarray:
    return np.ptp(values, axis=1) > 1e-9 * np.abs(values).max(axis=1)  # more than rounding leaves of a flat map


def _mean_correlation(first: np.ndarray, second: np.ndarray, fewest: int = 1) -> float:
    if len(first) < fewest:
        return float("nan")
    left, right = _standardised(first), _standardised(second)
    return float((left * right).mean(axis=1).mean())


def _standardised(values: np.ndarray) -> np.ndarray:
    centred = values - values.mean(axis=1, keepdims=True)
    return centred / centred.std(axis=1, keepdims=True)
