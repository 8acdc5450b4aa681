"""What an operating point means at a hospital: MRI examinations avoided, and fresh fractures missed for it.

What lives here: table `mri_avoided`. What does not: how the threshold was chosen (`operating.py`).
"""

import numpy as np
import polars as pl

from olvf_assets.evaluation import intervals
from olvf_assets.evaluation.bootstrap import draws_of, over_patients
from olvf_assets.evaluation.operating import (
    NO_THRESHOLD,
    FreshScores,
    called_fresh,
    ensembles,
    fresh_scores,
    scorers_with_thresholds,
    thresholds_of,
)
from olvf_assets.evaluation.predictions import ScoredSamples
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.tables import MRI_AVOIDED

MRI_METRICS = (
    "mri_avoided_per_100_patients",
    "missed_fresh_patients_per_100_patients",
    "missed_fresh_vertebrae_per_100_patients",  # the one that is no share of patients: last
)


def mri_avoided(
    ensemble_predictions: pl.DataFrame, points: pl.DataFrame, settings: EvaluationSettings, seed: int
) -> pl.DataFrame:
    """Return what it means to send only patients called fresh to MRI, per 100 patients of the hospital as it is.

    `mri_avoided_per_100_patients` counts patients called not fresh; `missed_fresh_patients_per_100_patients` those of
    them who do have a fresh fracture, and `missed_fresh_vertebrae_per_100_patients` these patients' fresh fractures.

    Arguments and errors as `operating_point_metrics`.
    """
    frames = [MRI_AVOIDED.to_frame()]
    for samples in ensembles(ensemble_predictions):
        scored = fresh_scores(samples, "patient")
        for target in settings.target_sensitivities:
            thresholds = thresholds_of(samples, points, "patient", target)
            rows = _avoided(samples, scored, thresholds, settings, draws_of(samples, seed))
            frames.append(rows.with_columns(pl.lit(target).alias("target_sensitivity")))
    return pl.concat([frame.select(MRI_AVOIDED.names()).cast(MRI_AVOIDED) for frame in frames])


def impossible_rows(mri_avoided: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of more than 100 patients in 100, and of more missed than are fresh or are spared the MRI."""
    shares = mri_avoided.filter(pl.col("metric") != MRI_METRICS[2])
    too_many = shares.filter(~pl.col("value").is_between(0, 100) & pl.col("value").is_not_nan())
    key = ["protocol", "dataset", "institution", "model", "fold", "target_sensitivity", "ci_method"]
    spared = mri_avoided.filter(pl.col("metric") == MRI_METRICS[0]).select(*key, spared="value")
    missed = mri_avoided.filter(pl.col("metric") == MRI_METRICS[1]).join(spared, on=key, how="left", nulls_equal=True)
    most = pl.min_horizontal("spared", 100 * pl.col("prevalence"))
    return pl.concat([too_many, missed.filter(pl.col("value") > most + 1e-9).drop("spared")])


def _avoided(
    samples: ScoredSamples, scored: FreshScores, thresholds: np.ndarray, settings: EvaluationSettings, draws_seed: int
) -> pl.DataFrame:
    left_out = 1 - called_fresh(scored, thresholds)
    counted = (np.ones_like(scored.fresh), scored.positive, scored.fresh)
    per_patient_of_100 = np.stack([100 * left_out * each for each in counted], axis=-1)

    def figures(sums: np.ndarray) -> np.ndarray:
        return sums / scored.fresh.size  # every draw has as many patients

    entries = samples.entries()
    groups = [at for *_, at in entries]
    value, low, high = over_patients(per_patient_of_100, scored.patients, groups, figures, settings, draws_seed)
    of_shares = intervals.wald(value[:, :2] / 100, np.array(scored.fresh.size), settings.confidence)
    wald_low, wald_high = (np.append(100 * end, np.full((len(end), 1), np.nan), axis=1) for end in of_shares)
    ends = {"wald": (wald_low, wald_high), "patient_bootstrap": (low, high)}
    ids = scorers_with_thresholds(entries, thresholds).join(pl.DataFrame({"metric": MRI_METRICS}), how="cross")
    reason = (
        pl.when(pl.col("value").is_nan())
        .then(pl.lit(NO_THRESHOLD))
        .when(pl.col("ci_low").is_nan() & (pl.col("ci_method") == "wald"))
        .then(pl.lit("a count of vertebrae, not a share of patients"))
        .when(pl.col("ci_low").is_nan())
        .then(pl.lit("one patient cannot be resampled"))
    )
    return pl.concat(
        ids.with_columns(
            *samples.constants(),
            pl.lit(method).alias("ci_method"),
            pl.lit(scored.n_positive / scored.fresh.size).alias("prevalence"),
            pl.lit(scored.n_positive).alias("n_fresh_patients"),
            value=value.ravel(),
            ci_low=lower.ravel(),
            ci_high=upper.ravel(),
        ).with_columns(reason=reason)
        for method, (lower, upper) in ends.items()
    )
