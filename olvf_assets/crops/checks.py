"""Rules over the crops.

What lives here: functions that return the rows that break a rule. What does not: Dagster.
"""

import polars as pl

from olvf_assets.foundation.tables import TableRun, check


@check(table="vertebra_crops")
def every_crop_is_of_the_cohort(
    run: TableRun, vertebra_crops: pl.DataFrame, cohort_vertebrae: pl.DataFrame
) -> pl.DataFrame:
    """No crop is of an excluded vertebra, and none appears twice."""
    image = ["institution", "film_id", "level"]
    strangers = vertebra_crops.join(cohort_vertebrae, on=[*image, "patient_id", "label"], how="anti")
    repeated = vertebra_crops.filter(pl.struct("protocol", *image).is_duplicated())
    return pl.concat([strangers, repeated])


@check(table="vertebra_crops", blocking=False)
def most_vertebrae_were_detected(
    run: TableRun, vertebra_crops: pl.DataFrame, cohort_vertebrae: pl.DataFrame
) -> pl.DataFrame:
    """Look here when more than a tenth of the vertebra images of a hospital were not found by the detector."""
    wanted = cohort_vertebrae.join(pl.DataFrame({"protocol": run.profile.protocols}), how="cross")
    missed = wanted.join(vertebra_crops, on=["protocol", "institution", "film_id", "level"], how="anti")
    return missed.filter(pl.len().over("protocol") > 0.1 * len(cohort_vertebrae))
