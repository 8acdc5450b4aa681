"""Decision curves: is it better to act on the probability of a fresh fracture than on everybody or on nobody.

What lives here: net benefit over thresholds (table `decision_curves`). What does not: its picture (reporting), and one
chosen threshold (`operating.py`).

After Vickers and Elkin (Med. Decis. Making 2006;26:565-574): with threshold probability t, net benefit = true
positives / n - false positives / n · t / (1 - t). Treating nobody has net benefit 0.
"""

import numpy as np
import polars as pl

from olvf_assets.evaluation.bootstrap import draws_of, over_patients
from olvf_assets.evaluation.intervals import share
from olvf_assets.evaluation.predictions import ScoredSamples, scored_samples, scorers
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.tables import DECISION_CURVES
from olvf_assets.evaluation.temperature import raw_and_scaled
from olvf_assets.foundation.vocabulary import CLASSES

FRESH = CLASSES.index("fresh")


def decision_curves(
    ensemble_predictions: pl.DataFrame, temperatures: pl.DataFrame, settings: EvaluationSettings, seed: int
) -> pl.DataFrame:
    """Return the net benefit per crop of calling `fresh` what has at least the threshold probability, each crop once.

    Thresholds are probabilities, so the temperature-scaled curve is the one to act on; the raw one shows what
    miscalibration costs.

    Args:
        ensemble_predictions: table of that name.
        temperatures: table `calibration_temperatures`.
        settings: the thresholds, and those of the bootstrap over patients.
        seed: the profile's seed.

    Raises:
        BrokenPredictionsError: see `scored_samples` and `raw_and_scaled`.
    """
    steps = int(np.floor(settings.highest_decision_threshold / settings.decision_threshold_step + 1e-9))
    thresholds = np.round(np.arange(1, steps + 1) * settings.decision_threshold_step, 9)
    frames = [DECISION_CURVES.to_frame()]
    for whole in scored_samples(ensemble_predictions):
        for name, samples in raw_and_scaled(whole.originals(), temperatures):
            curve = _curve(samples, thresholds, settings, draws_of(samples, seed))
            frames.append(curve.with_columns(probabilities=pl.lit(name)))
    return pl.concat([frame.select(DECISION_CURVES.names()).cast(DECISION_CURVES) for frame in frames])


def net_benefit(
    true_positives: np.ndarray, false_positives: np.ndarray, n: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """Return the net benefit per sample; counts broadcast against `thresholds` on the last axis. NaN where n is 0."""
    return np.asarray(share(true_positives - false_positives * thresholds / (1 - thresholds), n))


def _curve(samples: ScoredSamples, thresholds: np.ndarray, settings: EvaluationSettings, seed: int) -> pl.DataFrame:
    fresh = samples.labels == FRESH
    called = samples.probabilities[:, :, FRESH, None] >= thresholds
    true = called & fresh[:, None]
    per_sample = np.stack([true, called & ~true, np.ones_like(called)], axis=-1)

    def figures(sums: np.ndarray) -> np.ndarray:
        return net_benefit(sums[..., 0], sums[..., 1], sums[..., 2], thresholds)

    entries = samples.entries()
    value, low, high = over_patients(per_sample, samples.patients, [at for *_, at in entries], figures, settings, seed)
    n_positive = int(fresh.sum())
    n_negative = fresh.size - n_positive
    everybody = net_benefit(np.array(n_positive), np.array(n_negative), np.array(fresh.size), thresholds)
    points = pl.DataFrame({"threshold": thresholds, "net_benefit_treat_all": everybody})
    one_patient = pl.when(pl.col("ci_low").is_nan()).then(pl.lit("one patient cannot be resampled"))
    return (
        scorers(entries)
        .join(points, how="cross")
        .with_columns(
            *samples.constants(),
            pl.lit("fresh").alias("positive_class"),
            pl.lit("patient_bootstrap").alias("ci_method"),
            pl.lit(0.0).alias("net_benefit_treat_none"),
            pl.lit(n_positive).alias("n_positive"),
            pl.lit(n_negative).alias("n_negative"),
            net_benefit=value.ravel(),
            ci_low=low.ravel(),
            ci_high=high.ravel(),
        )
        .with_columns(reason=one_patient)
    )
