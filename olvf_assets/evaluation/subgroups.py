"""The ensembles' figures in groups of samples: by level, view, device, sex and age.

What lives here: which group a sample is in, and `subgroup_metrics`. What does not: the figures (`metric_tables.py`).
"""

from itertools import pairwise

import polars as pl

from olvf_assets.evaluation.bootstrap import draws_of
from olvf_assets.evaluation.metric_tables import metric_rows
from olvf_assets.evaluation.predictions import scored_samples
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.tables import SUBGROUP_METRICS
from olvf_assets.foundation.vocabulary import LEVELS

SUBGROUPS = ("level", "view", "device", "sex", "age_band")
UNKNOWN = "unknown"


def subgroup_metrics(
    ensemble_predictions: pl.DataFrame,
    vertebra_crops: pl.DataFrame,
    films: pl.DataFrame,
    subjects: pl.DataFrame,
    settings: EvaluationSettings,
    seed: int,
) -> pl.DataFrame:
    """Return the rows of `metric_tables.metric_table` for each group of samples, models' fold `mean` alone.

    All five levels are listed, with NaN and the reason where a level has no crop; of the other kinds, the groups that
    occur. Patients are resampled within the group: those with at least one crop in it.

    Args:
        ensemble_predictions: table of that name.
        vertebra_crops: tells each crop's film and view.
        films: tells each film's device, column `detector`.
        subjects: tells each patient's sex and age.
        settings: draws, confidence, min_defined_share, age_band_edges_years.
        seed: the profile's seed.

    Raises:
        BrokenPredictionsError: see `scored_samples`.
    """
    groups = groups_of_crops(vertebra_crops, films, subjects, settings.age_band_edges_years)
    frames = [SUBGROUP_METRICS.to_frame()]
    for samples in scored_samples(ensemble_predictions):
        own = groups.filter(pl.col("institution") == samples.institution).drop("institution")
        about = samples.about.join(own, on="crop_id", how="left", maintain_order="left")
        for kind in SUBGROUPS:
            member_of = about[kind].fill_null(UNKNOWN)
            for group in LEVELS if kind == "level" else member_of.unique().sort():
                part = samples.only((member_of == group).to_numpy())
                rows = metric_rows(part, part.means(), settings, draws_of(samples, seed, kind, group))
                ids = {"dataset": samples.dataset, "subgroup": kind, "subgroup_value": group}
                frames.append(rows.with_columns(**{name: pl.lit(value) for name, value in ids.items()}))
    return pl.concat([frame.select(SUBGROUP_METRICS.names()) for frame in frames])


def groups_of_crops(
    vertebra_crops: pl.DataFrame, films: pl.DataFrame, subjects: pl.DataFrame, age_band_edges_years: tuple[int, ...]
) -> pl.DataFrame:
    """Return institution, crop_id, view, device, sex and age_band of every crop, null where the sheets are silent."""
    edges = sorted(age_band_edges_years)
    names = [f"under {edges[0]}", *(f"{low}-{high - 1}" for low, high in pairwise(edges)), f"{edges[-1]} and over"]
    band = pl.col("age_years").cut(edges, labels=names, left_closed=True).cast(pl.String)
    devices = films.select("institution", "film_id", device="detector")
    people = subjects.select("institution", "patient_id", "sex", age_band=band)
    return (
        vertebra_crops.select("institution", "crop_id", "film_id", "patient_id", "view")
        .unique()  # protocols share crops
        .join(devices, on=["institution", "film_id"], how="left")
        .join(people, on=["institution", "patient_id"], how="left")
        .drop("film_id", "patient_id")
    )
