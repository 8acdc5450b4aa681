"""Rules over the crops.

What lives here: functions that return the rows that break a rule. What does not: Dagster.
"""

import polars as pl

from olvf_assets.foundation.tables import TableRun, check


@check(table="vertebra_crops")
def every_crop_is_of_the_cohort(
    run: TableRun, vertebra_crops: pl.DataFrame, cohort_vertebrae: pl.DataFrame, unlabelled_vertebrae: pl.DataFrame
) -> pl.DataFrame:
    """No crop is of an excluded vertebra, none is under another label than its vertebra, and none appears twice."""
    from olvf_assets.crops.of_cohort import scored_vertebrae

    image = ["institution", "film_id", "level"]
    known = scored_vertebrae(cohort_vertebrae, unlabelled_vertebrae)
    strangers = vertebra_crops.join(known, on=[*image, "patient_id", "label"], how="anti", nulls_equal=True)
    repeated = vertebra_crops.filter(pl.struct("protocol", *image).is_duplicated())
    return pl.concat([strangers, repeated])


@check(table="vertebra_crops", blocking=False)
def most_vertebrae_were_detected(
    run: TableRun, vertebra_crops: pl.DataFrame, cohort_vertebrae: pl.DataFrame, unlabelled_vertebrae: pl.DataFrame
) -> pl.DataFrame:
    """Look here when more than a tenth of the vertebra images of a hospital were not found by the detector."""
    from olvf_assets.crops.of_cohort import scored_vertebrae

    images = scored_vertebrae(cohort_vertebrae, unlabelled_vertebrae)
    wanted = images.join(pl.DataFrame({"protocol": run.profile.protocols}), how="cross")
    missed = wanted.join(vertebra_crops, on=["protocol", "institution", "film_id", "level"], how="anti")
    return missed.filter(pl.len().over("protocol") > 0.1 * len(images))
