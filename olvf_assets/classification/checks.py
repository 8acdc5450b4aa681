"""Rules over the classifiers' tables.

What lives here: functions that return the rows that break a rule. What does not: Dagster.
"""

import polars as pl

from olvf_assets.foundation.tables import TableRun, check


@check(table="splits")
def no_patient_is_on_two_sides(run: TableRun, splits: pl.DataFrame) -> pl.DataFrame:
    """Every patient is in the test set or in exactly one fold."""
    sides = splits.group_by("protocol", "institution", "patient_id").agg(
        pl.struct("role", "fold").n_unique().alias("sides")
    )
    return sides.filter(pl.col("sides") > 1)


@check(table="splits")
def folds_partition_the_training_set(run: TableRun, splits: pl.DataFrame) -> pl.DataFrame:
    """Every training crop has one fold of 1 to 5, no test crop has one, and no crop appears twice."""
    repeated = splits.filter(pl.struct("protocol", "crop_id").is_duplicated())
    folds = run.profile.classification.folds
    is_test = pl.col("role") == "test"
    misplaced = splits.filter(
        (is_test & pl.col("fold").is_not_null()) | (~is_test & ~pl.col("fold").is_between(1, folds).fill_null(False))
    )
    return pl.concat([repeated, misplaced])


@check(table="balanced_training_set")
def no_replica_leaves_its_side(
    run: TableRun, balanced_training_set: pl.DataFrame, splits: pl.DataFrame
) -> pl.DataFrame:
    """Every training sample is a copy of a training crop, in that crop's fold."""
    training = splits.filter(role="train").select("protocol", "crop_id", "fold")
    return balanced_training_set.join(training, on=["protocol", "crop_id", "fold"], how="anti")


@check(table="ensemble_predictions")
def every_sample_is_predicted(
    run: TableRun, ensemble_predictions: pl.DataFrame, balanced_test_set: pl.DataFrame, vertebra_crops: pl.DataFrame
) -> pl.DataFrame:
    """No sample of the test set and no external crop is without a prediction."""
    external = vertebra_crops.filter(role="external").select("crop_id").with_columns(dataset=pl.lit("external"))
    test = balanced_test_set.select("crop_id").with_columns(dataset=pl.lit("test"))
    wanted = pl.concat([external, test]).unique()
    return wanted.join(ensemble_predictions, on=["dataset", "crop_id"], how="anti")
