"""The bootstrap over patients: figures that are functions of sums over samples, drawn again with their patients.

What lives here: sums and areas in every resample, and the interval they give. What does not: which figure it is.

Resamples are never copied out: a sample counts as often as its patient was drawn, so every draw of every figure comes
from matrix products of the draws with each patient's sums, and all sums are those that copying would give.
"""

from collections.abc import Callable, Sequence

import numpy as np

from olvf_assets.evaluation.intervals import patient_weights, percentile_interval, share
from olvf_assets.evaluation.predictions import ScoredSamples
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.foundation.seeds import derive_seed


def draws_of(samples: ScoredSamples, seed: int, *names: str) -> int:
    """Return the seed of the draws of a group of samples, the same for all its tables; `names` tell parts apart."""
    return derive_seed(seed, "patient_bootstrap", samples.protocol, samples.institution, *names)


def over_patients(
    per_sample: np.ndarray,
    patients: np.ndarray,
    groups: Sequence[list[int]],
    figures: Callable[[np.ndarray], np.ndarray],
    settings: EvaluationSettings,
    draws_seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return value, low and high of figures of sums over samples, float64 (groups, ...) each.

    Args:
        per_sample: numbers (models, samples, ...) to be summed over the samples.
        patients: int64 (samples,), as in `ScoredSamples`.
        groups: positions of models over which the figures are averaged.
        figures: makes figures (models, draws, ...) from sums (models, draws, ...).
        settings: draws, confidence, min_defined_share.
        draws_seed: see `draws_of`.
    """
    n_patients = int(patients[-1]) + 1 if patients.size else 0

    def averaged(weights: np.ndarray) -> np.ndarray:
        made = figures(resampled_sums(per_sample, patients, weights))
        return np.stack([made[positions].mean(axis=0) for positions in groups])

    value = averaged(np.ones((1, n_patients)))[:, 0]
    drawn = averaged(patient_weights(n_patients, settings.draws, draws_seed))
    return (value, *patient_interval(value, drawn, n_patients, settings))


def patient_interval(
    value: np.ndarray, drawn: np.ndarray, n_patients: int, settings: EvaluationSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Return low and high (entries, ...) of `drawn` (entries, draws, ...).

    NaN where `value` (entries, ...) is, where too few draws are defined, and for a single patient, who is the same in
    every draw.
    """
    low, high = percentile_interval(drawn, settings.confidence, settings.min_defined_share, axis=1)
    missing = np.isnan(value) | (n_patients < 2)
    return np.where(missing, np.nan, low), np.where(missing, np.nan, high)


def resampled_sums(values: np.ndarray, patients: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the sums of `values` over the samples of every resample: float64 (models, draws, ...).

    Args:
        values: numbers (models, samples, ...).
        patients: int64 (samples,), 0-based and non-decreasing.
        weights: float64 (draws, patients).
    """
    models, _, *rest = values.shape
    of_patients = per_patient(values, patients).reshape(models, weights.shape[1], int(np.prod(rest)))
    return np.matmul(weights, of_patients).reshape(models, len(weights), *rest)


def per_patient(values: np.ndarray, patients: np.ndarray, axis: int = 1) -> np.ndarray:
    """Return the sums of `values` over each patient's samples: float64, patients in place of samples along `axis`."""
    starts = np.flatnonzero(np.diff(patients, prepend=-1))
    if not starts.size:
        return values.astype(np.float64)
    return np.add.reduceat(values.astype(np.float64), starts, axis=axis)


def resampled_auc(scores: np.ndarray, positive: np.ndarray, patients: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the AUC of every model in every resample of patients, ties counting half.

    With `wins[p, q]` the pairs that patient p's positives win against patient q's negatives, the numerator of a draw w
    is the quadratic form w·wins·w: a pair of samples counts as often as both patients were drawn.

    Args:
        scores: float (models, samples).
        positive: bool (samples,).
        patients: int64 (samples,), 0-based and non-decreasing.
        weights: float64 (draws, patients).

    Returns:
        float64 (models, draws), NaN in draws without a positive or without a negative.
    """
    found = np.full((len(scores), len(weights)), np.nan)
    if positive.all() or not positive.any():
        return found
    of_positives = weights[:, np.unique(patients[positive])]
    of_negatives = weights[:, np.unique(patients[~positive])]
    n_positives = np.bincount(patients[positive], minlength=weights.shape[1])
    n_negatives = np.bincount(patients[~positive], minlength=weights.shape[1])
    pairs = (weights @ n_positives) * (weights @ n_negatives)
    for m, score in enumerate(scores):
        above, below = score[positive][:, None], score[~positive][None, :]
        won = (above > below).astype(np.float64) + (above >= below)
        wins = per_patient(per_patient(won, patients[positive], axis=0), patients[~positive], axis=1) / 2
        found[m] = share(((of_positives @ wins) * of_negatives).sum(axis=1), pairs)
    return found
