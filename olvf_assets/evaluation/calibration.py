"""Whether a probability means what it says: reliability curves, calibration error and Brier score.

What lives here: tables `calibration` and `reliability_curves`, for probabilities as they are, temperature-scaled and,
of external hospitals, refitted on their own other patients. What does not: the temperatures (`temperature.py`), the
refit (`site_calibration.py`), the picture (reporting).
"""

import numpy as np
import polars as pl

from olvf_assets.evaluation.bootstrap import draws_of, over_patients
from olvf_assets.evaluation.intervals import share
from olvf_assets.evaluation.predictions import ScoredSamples, class_counts, scored_samples, scorers
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.site_calibration import TOO_FEW, refitted_at_site
from olvf_assets.evaluation.tables import CALIBRATION, CALIBRATION_METRICS, REFITTED, RELIABILITY_CURVES
from olvf_assets.evaluation.temperature import raw_and_scaled
from olvf_assets.foundation.vocabulary import CLASSES


def calibration(
    ensemble_predictions: pl.DataFrame, temperatures: pl.DataFrame, settings: EvaluationSettings, seed: int
) -> pl.DataFrame:
    """Return expected calibration error and Brier score of the ensembles, each crop once.

    Per class, one against the rest: the calibration error is the mean over equal bins of |mean probability - observed
    share|, weighted by the crops in the bin; the Brier score the mean squared distance from 0 or 1. `all` is the mean
    of the three (Brier's own sum over the classes is three times that). A resample puts noise into every bin, so the
    calibration error's interval lies high, in small groups above the value itself. Probabilities `refitted_at_site` are
    there for external hospitals alone; their interval takes the fits as given. Where there are too few patients to hold
    any out, the rows say so.

    Args:
        ensemble_predictions: table of that name.
        temperatures: table `calibration_temperatures`.
        settings: calibration_bins, and those of the bootstrap over patients.
        seed: the profile's seed.

    Raises:
        BrokenPredictionsError: see `scored_samples` and `raw_and_scaled`.
    """
    frames = [CALIBRATION.to_frame()]
    for whole in scored_samples(ensemble_predictions):
        for name, samples, missing in _before_and_after(whole, temperatures, seed):
            figures = _figures(samples, settings, draws_of(samples, seed))
            frames.append(_without(figures, missing).with_columns(probabilities=pl.lit(name)))
    return pl.concat([frame.select(CALIBRATION.names()).cast(CALIBRATION) for frame in frames])


def reliability_curves(
    ensemble_predictions: pl.DataFrame, temperatures: pl.DataFrame, settings: EvaluationSettings, seed: int
) -> pl.DataFrame:
    """Return, per class and bin of probability, the mean probability and the share that was of the class.

    The folds' ensembles are pooled (fold `pooled`): a bin of one fold holds a handful of crops. The interval of the
    observed share is over resampled patients. Bins without a crop are there, with n = 0 and NaN; a hospital that is too
    small to be refitted has no such curve.

    Arguments and errors as `calibration`.
    """
    frames = [RELIABILITY_CURVES.to_frame()]
    for whole in scored_samples(ensemble_predictions):
        for name, samples, missing in _before_and_after(whole, temperatures, seed):
            for model in sorted({model for model, _ in samples.models}) if missing is None else ():
                curve = _curve(samples.of_model(model), settings, draws_of(samples, seed))
                frames.append(curve.with_columns(probabilities=pl.lit(name)))
    return pl.concat([frame.select(RELIABILITY_CURVES.names()).cast(RELIABILITY_CURVES) for frame in frames])


def in_bins(probabilities: np.ndarray, bins: int) -> np.ndarray:
    """Return bool (..., bins): which of the equal parts of 0 to 1 each probability is in; 1 itself is in the last."""
    at = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    return np.asarray(at[..., None] == np.arange(bins))


def _before_and_after(
    whole: ScoredSamples, temperatures: pl.DataFrame, seed: int
) -> list[tuple[str, ScoredSamples, str | None]]:
    """Return kinds of probabilities, each with the samples that have them or (unchanged) the reason why they do not."""
    samples = whole.originals()
    found: list[tuple[str, ScoredSamples, str | None]] = [
        (name, each, None) for name, each in raw_and_scaled(samples, temperatures)
    ]
    if whole.dataset != "external":
        return found
    refitted = refitted_at_site(samples, seed)
    return [*found, (REFITTED, refitted or samples, None if refitted else TOO_FEW)]


def _without(figures: pl.DataFrame, missing: str | None) -> pl.DataFrame:
    if missing is None:
        return figures
    nothing = [pl.lit(float("nan")).alias(name) for name in ("value", "ci_low", "ci_high")]
    return figures.with_columns(*nothing, reason=pl.lit(missing))


def _figures(samples: ScoredSamples, settings: EvaluationSettings, draws_seed: int) -> pl.DataFrame:
    bins = settings.calibration_bins
    probabilities = samples.probabilities
    error = probabilities - np.eye(len(CLASSES))[samples.labels]
    of_bins = in_bins(probabilities, bins) * error[..., None]
    once = np.ones_like(error)
    per_sample = np.concatenate([of_bins, np.stack([error**2, once], axis=-1)], axis=-1)

    def figures(sums: np.ndarray) -> np.ndarray:
        distance = np.abs(sums[..., :bins]).sum(axis=-1)
        by_class = np.stack([share(part, sums[..., -1]) for part in (distance, sums[..., bins])], axis=-1)
        return np.append(by_class, by_class.mean(axis=-2, keepdims=True), axis=-2)

    entries = samples.entries()
    value, low, high = over_patients(
        per_sample, samples.patients, [at for *_, at in entries], figures, settings, draws_seed
    )
    one_patient = pl.when(pl.col("ci_low").is_nan()).then(pl.lit("one patient cannot be resampled"))
    return (
        scorers(entries)
        .join(class_counts(samples), how="cross")
        .join(pl.DataFrame({"metric": CALIBRATION_METRICS}), how="cross")
        .with_columns(
            *samples.constants(),
            pl.lit("patient_bootstrap").alias("ci_method"),
            value=value.ravel(),
            ci_low=low.ravel(),
            ci_high=high.ravel(),
        )
        .with_columns(reason=one_patient)
    )


def _curve(samples: ScoredSamples, settings: EvaluationSettings, draws_seed: int) -> pl.DataFrame:
    bins = settings.calibration_bins
    inside = in_bins(samples.probabilities, bins)
    true = np.eye(len(CLASSES))[samples.labels][..., None]
    folds = np.stack([inside, inside * samples.probabilities[..., None], inside * true], axis=-1)
    pooled = folds.sum(axis=0, keepdims=True)
    n, of_probability, _ = np.moveaxis(pooled.sum(axis=(0, 1)), -1, 0)
    value, low, high = over_patients(
        pooled, samples.patients, [[0]], lambda sums: share(sums[..., 2], sums[..., 0]), settings, draws_seed
    )
    model, fold = samples.models[0]
    edges = np.linspace(0, 1, bins + 1)
    ids = pl.DataFrame({"positive_class": CLASSES}).join(
        pl.DataFrame({"bin_low": edges[:-1], "bin_high": edges[1:]}), how="cross"
    )
    few = f"filled in fewer than {settings.min_defined_share:.0%} of the draws"
    reason = (
        pl.when(pl.col("n") == 0)
        .then(pl.lit("no crop in this bin"))
        .when(pl.col("ci_low").is_nan())
        .then(pl.lit("one patient cannot be resampled" if samples.n_patients < 2 else few))
    )
    return ids.with_columns(
        *samples.constants(),
        pl.lit("patient_bootstrap").alias("ci_method"),
        pl.lit(model).alias("model"),
        pl.lit("pooled" if len(samples.models) > 1 else fold).alias("fold"),
        n=n.ravel(),
        mean_probability=share(of_probability, n).ravel(),
        observed_share=value.ravel(),
        ci_low=low.ravel(),
        ci_high=high.ravel(),
    ).with_columns(reason=reason)
