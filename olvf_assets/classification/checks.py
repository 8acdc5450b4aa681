"""Rules over the classifiers' tables.

What lives here: functions that return the rows that break a rule. What does not: Dagster.
"""

import polars as pl

from olvf_assets.foundation.tables import TableRun, check, learnt_from


@check(table="splits")
def no_patient_is_on_two_sides(run: TableRun, splits: pl.DataFrame) -> pl.DataFrame:
    """Every patient is in the test set or in exactly one fold; protocol `thesis` does without this rule."""
    sides = (
        splits.filter(protocol="patient")
        .group_by("protocol", "institution", "patient_id")
        .agg(pl.struct("role", "fold").n_unique().alias("sides"))
    )
    return sides.filter(pl.col("sides") > 1)


@check(table="splits")
def folds_partition_the_training_set(run: TableRun, splits: pl.DataFrame) -> pl.DataFrame:
    """Every training crop has one fold (in protocol `thesis` its samples do), no test crop, and none appears twice."""
    repeated = splits.filter(pl.struct("protocol", "institution", "crop_id").is_duplicated())
    folds = run.profile.classification.folds
    without = (pl.col("role") == "test") | (pl.col("protocol") == "thesis")
    misplaced = splits.filter(
        (without & pl.col("fold").is_not_null()) | (~without & ~pl.col("fold").is_between(1, folds).fill_null(False))
    )
    return pl.concat([repeated, misplaced])


@check(table="splits")
def splits_are_of_the_crops_at_hand(run: TableRun, splits: pl.DataFrame, vertebra_crops: pl.DataFrame) -> pl.DataFrame:
    """Every labelled development crop is split, under its patient and label in the cohort, and no other crop is."""
    crop = ["protocol", "institution", "crop_id", "patient_id", "level", "label"]
    labelled = learnt_from(run, vertebra_crops).filter(pl.col("label").is_not_null(), role="development")
    crops = labelled.select(crop)
    return pl.concat([splits.select(crop).join(crops, on=crop, how="anti"), crops.join(splits, on=crop, how="anti")])


@check(table="balanced_training_set")
def no_replica_leaves_its_side(
    run: TableRun, balanced_training_set: pl.DataFrame, splits: pl.DataFrame
) -> pl.DataFrame:
    """Every training sample is a copy of a training crop; in protocol `patient`, in that crop's fold."""
    crop = ["protocol", "institution", "crop_id"]
    training = splits.filter(role="train").select(*crop, crop_fold="fold", is_training=True)
    return balanced_training_set.join(training, on=crop, how="left").filter(
        pl.col("is_training").is_null()
        | pl.col("fold").is_null()
        | ((pl.col("protocol") == "patient") & pl.col("fold").ne_missing(pl.col("crop_fold")))
    )


@check(table="ensemble_predictions")
def every_sample_is_predicted(
    run: TableRun, ensemble_predictions: pl.DataFrame, balanced_test_set: pl.DataFrame, vertebra_crops: pl.DataFrame
) -> pl.DataFrame:
    """No sample of the test set, no external crop and no unlabelled one is without a prediction."""
    crop = ["protocol", "institution", "crop_id"]
    external = vertebra_crops.filter(role="external").select(*crop, dataset=pl.lit("external"))
    unlabelled = vertebra_crops.filter(pl.col("label").is_null(), role="development")
    unlabelled = unlabelled.select(*crop, dataset=pl.lit("unlabelled"))
    test = balanced_test_set.select(*crop, dataset=pl.lit("test"))
    wanted = pl.concat([external, unlabelled, test]).unique()
    return wanted.join(ensemble_predictions, on=[*crop, "dataset"], how="anti")
