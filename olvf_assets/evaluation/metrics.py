"""One-vs-rest figures of three classes, as arithmetic on arrays.

What lives here: the rates of a two-by-two table and the area under the ROC curve. What does not: tables of them
(`metric_tables.py`), how an interval is made (`intervals.py`), curves (`roc.py`), matrices (`confusion.py`).
"""

from typing import Any

import numpy as np

from olvf_assets.evaluation.intervals import share
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
    wholes = denominators(tp, fp, fn, tn)
    parts = {
        "accuracy": tp + tn,
        "sensitivity": tp,
        "specificity": tn,
        "positive_predictive_value": tp,
        "negative_predictive_value": tn,
        "false_positive_rate": fp,
        "false_negative_rate": fn,
        "false_discovery_rate": fp,
        "false_omission_rate": fn,
    }
    return {name: share(part, wholes[name]) for name, part in parts.items()}


def denominators(tp: Any, fp: Any, fn: Any, tn: Any) -> dict[str, Any]:
    """Return what each of `rates` is a share of; arguments as there."""
    return {
        "accuracy": tp + fp + fn + tn,
        "sensitivity": tp + fn,
        "specificity": tn + fp,
        "positive_predictive_value": tp + fp,
        "negative_predictive_value": tn + fn,
        "false_positive_rate": tn + fp,
        "false_negative_rate": tp + fn,
        "false_discovery_rate": tp + fp,
        "false_omission_rate": tn + fn,
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
    return share(wins, n_positive * n_negative)
