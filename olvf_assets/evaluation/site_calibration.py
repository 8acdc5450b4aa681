"""Calibration refitted on a hospital's own patients, each patient measured by a fit that did not see him.

What lives here: the fit and the dealing of patients. What does not: how well calibrated the outcome is
(`calibration.py`), the temperatures fitted on development (`temperature.py`).

Fitted are one slope for the logarithms of the probabilities and an offset for each class but the first (bias-corrected
temperature scaling: Alexandari, Kundaje and Shrikumar, ICML 2020): the offsets follow a hospital's own mix of classes,
which a temperature cannot.
"""

from dataclasses import replace

import numpy as np

from olvf_assets.evaluation.predictions import ScoredSamples
from olvf_assets.evaluation.temperature import HIGHEST, LOWEST, SMALLEST_PROBABILITY
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import CLASSES

PARTS = 5
FARTHEST_OFFSET = 10.0
TOO_FEW = f"too few patients to refit: with one of {PARTS} parts held out, the others lack a class"


def refitted_at_site(samples: ScoredSamples, seed: int) -> ScoredSamples | None:
    """Return the samples with probabilities refitted on the same hospital's other patients; None: see `TOO_FEW`.

    Patients are dealt to five parts, alike in the classes they have. Each part's probabilities come from the fit to the
    other four, one fit for every scorer.

    Args:
        samples: of one hospital, each crop once.
        seed: the profile's seed.
    """
    part = dealt_parts(samples, derive_seed(seed, "refitted_at_site", samples.institution))[samples.patients]
    log_p = np.log(np.maximum(samples.probabilities, SMALLEST_PROBABILITY))
    found = np.empty_like(samples.probabilities)
    for held_out in range(PARTS):
        inside = part == held_out
        if np.unique(samples.labels[~inside]).size < len(CLASSES):
            return None
        for m, each in enumerate(log_p):
            slope, offsets = fitted(each[~inside], samples.labels[~inside])
            found[m, inside] = _softmax(slope * each[inside] + offsets)
    return replace(samples, probabilities=found)


def dealt_parts(samples: ScoredSamples, seed: int) -> np.ndarray:
    """Return the part, 0 to 4, of each patient: int64 (patients,). Patients of the same classes go round the parts."""
    has = np.zeros((samples.n_patients, len(CLASSES)), dtype=np.int64)
    has[samples.patients, samples.labels] = 1
    shuffled = np.random.default_rng(seed).permutation(samples.n_patients)
    rarest_first = np.lexsort([*(1 - has[shuffled, c] for c in np.argsort(-has.sum(axis=0), kind="stable"))])
    part = np.empty(samples.n_patients, dtype=np.int64)
    part[shuffled[rarest_first]] = np.arange(samples.n_patients) % PARTS
    return part


def fitted(log_probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Return slope and offsets (classes,), the first 0, of the lowest log loss; the problem is convex.

    The slope stays between those of the highest and the lowest temperature, offsets within 10 either way.

    Args:
        log_probabilities: float64 (samples, classes).
        labels: int64 (samples,), each class at least once.
    """
    from scipy.optimize import minimize

    truth = np.eye(len(CLASSES))[labels]

    def loss(free: np.ndarray) -> tuple[float, np.ndarray]:
        p = _softmax(free[0] * log_probabilities + np.append(0.0, free[1:]))
        error = (p - truth) / labels.size
        slopes = np.append((error * log_probabilities).sum(), error.sum(axis=0)[1:])
        of_label = np.maximum(p[np.arange(labels.size), labels], SMALLEST_PROBABILITY)
        return float(-np.log(of_label).mean()), slopes

    start = np.append(1.0, np.zeros(len(CLASSES) - 1))
    bounds = [(1 / HIGHEST, 1 / LOWEST), *[(-FARTHEST_OFFSET, FARTHEST_OFFSET)] * (len(CLASSES) - 1)]
    best = minimize(loss, start, jac=True, method="TNC", bounds=bounds).x
    return float(best[0]), np.append(0.0, best[1:])


def _softmax(logits: np.ndarray) -> np.ndarray:
    from scipy.special import softmax

    return np.asarray(softmax(logits, axis=-1))
