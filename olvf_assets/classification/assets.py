"""Assets of the classifiers: splits, balanced sets, fifteen networks, predictions, ensemble.

What lives here: names, dependencies, partitions. What does not: how anything is done.
"""

import polars as pl

from olvf_assets.classification.settings import Architecture
from olvf_assets.classification.tables import (
    BALANCED_TEST_SET,
    BALANCED_TRAINING_SET,
    CHECKPOINTS,
    CROP_SCORES,
    ENSEMBLE_PREDICTIONS,
    FOLD_PREDICTIONS,
    PATIENT_PREDICTIONS,
    SPLITS,
    TRAINING_CURVES,
    VALIDATION_PREDICTIONS,
    VERTEBRA_PREDICTIONS,
)
from olvf_assets.foundation.tables import TableRun, learnt_from, table
from olvf_assets.storage.kept_answers import KeptAnswers


def start_weights(run: TableRun) -> dict[str, str | None]:
    """Return the hash of the file that each architecture starts from."""
    from olvf_assets.classification.provenance import start_sha256

    return {name: start_sha256(network) for name, network in run.profile.classification.networks.items()}


@table(schema=SPLITS, learns=True)
def splits(run: TableRun, vertebra_crops: pl.DataFrame, patient_splits: pl.DataFrame) -> pl.DataFrame:
    """Which development crop is held out, and in which fold each other one validates, in each protocol."""
    from olvf_assets.classification.splits import make_splits

    return make_splits(learnt_from(run, vertebra_crops), patient_splits, run.profile.classification, run.seed)


@table(schema=BALANCED_TEST_SET, kinds=("polars", "imgaug", "opencv"), pictures=("image_path",))
def balanced_test_set(run: TableRun, splits: pl.DataFrame) -> pl.DataFrame:
    """The held-out crops, old and fresh ones replicated until the classes balance."""
    from olvf_assets.classification import replication

    settings = run.profile.classification
    return replication.balanced_test_set(
        splits,
        run.store,
        run.profile.detection.augmentation,
        run.seed,
        given=settings.replication.test,
        report=run.report,
    )


@table(schema=BALANCED_TRAINING_SET, kinds=("polars", "imgaug", "opencv"), pictures=("image_path",))
def balanced_training_set(run: TableRun, splits: pl.DataFrame) -> pl.DataFrame:
    """The training crops, replicated likewise, with the fold in which each sample validates."""
    from olvf_assets.classification import replication

    settings = run.profile.classification
    return replication.balanced_training_set(
        splits,
        run.store,
        run.profile.detection.augmentation,
        run.seed,
        folds=settings.folds,
        given=settings.replication.train,
        report=run.report,
    )


@table(schema=CHECKPOINTS, by="fold", pool="gpu", kinds=("torch", "timm"), outside=start_weights)
def resnet50_checkpoints(run: TableRun, balanced_training_set: pl.DataFrame) -> pl.DataFrame:
    """ResNet-50, trained once per fold."""
    return _trained(run, "resnet50", balanced_training_set)


@table(schema=CHECKPOINTS, by="fold", pool="gpu", kinds=("torch", "timm"), outside=start_weights)
def densenet161_checkpoints(run: TableRun, balanced_training_set: pl.DataFrame) -> pl.DataFrame:
    """DenseNet-161, trained once per fold."""
    return _trained(run, "densenet161", balanced_training_set)


@table(schema=CHECKPOINTS, by="fold", pool="gpu", kinds=("torch", "timm"), outside=start_weights)
def resnext50_checkpoints(run: TableRun, balanced_training_set: pl.DataFrame) -> pl.DataFrame:
    """ResNeXt-50 (32x4d), trained once per fold."""
    return _trained(run, "resnext50", balanced_training_set)


@table(schema=TRAINING_CURVES)
def training_curves(
    run: TableRun,
    resnet50_checkpoints: pl.DataFrame,
    densenet161_checkpoints: pl.DataFrame,
    resnext50_checkpoints: pl.DataFrame,
) -> pl.DataFrame:
    """Loss and accuracy of every network after every epoch."""
    from olvf_assets.classification import curves

    return curves.training_curves([resnet50_checkpoints, densenet161_checkpoints, resnext50_checkpoints])


@table(schema=CROP_SCORES, by="institution", pool="gpu", kinds=("torch", "timm"), outside=start_weights)
def crop_scores(
    run: TableRun,
    resnet50_checkpoints: pl.DataFrame,
    densenet161_checkpoints: pl.DataFrame,
    resnext50_checkpoints: pl.DataFrame,
    balanced_training_set: pl.DataFrame,
    balanced_test_set: pl.DataFrame,
    patient_splits: pl.DataFrame,
    detected_crops: pl.DataFrame,
) -> pl.DataFrame:
    """Class probabilities of every network for the test set and all crops of patients whom nothing was learnt from.

    No label of an external hospital has a part in it: labels that come later are joined in fold_predictions.
    """
    from olvf_assets.classification.predictions import predict
    from olvf_assets.classification.replication import samples_to_score

    checkpoints = pl.concat([resnet50_checkpoints, densenet161_checkpoints, resnext50_checkpoints])
    held_out = balanced_test_set.filter(institution=run.institution)
    free = samples_to_score(detected_crops, patient_splits)
    settings = run.profile.classification
    with KeptAnswers.of(run, "crop_scores") as kept:
        found = pl.concat(
            predict(
                own,
                samples.filter(protocol=own["protocol"][0]),
                dataset,
                balanced_training_set,
                run.store,
                settings,
                run.seed,
                run.report,
                kept,
            )
            for own in checkpoints.sort("protocol").partition_by("protocol")
            for dataset, samples in (("test", held_out), ("further", free))
        )
    return found.select(CROP_SCORES.names())


@table(schema=FOLD_PREDICTIONS, by="institution")
def fold_predictions(
    run: TableRun, crop_scores: pl.DataFrame, balanced_test_set: pl.DataFrame, vertebra_crops: pl.DataFrame
) -> pl.DataFrame:
    """Class probabilities of every network beside the labels: the held-out test set, external and unlabelled crops."""
    from olvf_assets.classification import labelled

    return labelled.fold_predictions(crop_scores, balanced_test_set, vertebra_crops)


@table(schema=VALIDATION_PREDICTIONS, by="fold", pool="gpu", kinds=("torch", "timm"), outside=start_weights)
def validation_predictions(
    run: TableRun,
    resnet50_checkpoints: pl.DataFrame,
    densenet161_checkpoints: pl.DataFrame,
    resnext50_checkpoints: pl.DataFrame,
    balanced_training_set: pl.DataFrame,
) -> pl.DataFrame:
    """Class probabilities of every network for the crops of the fold that it was not trained on, each crop once."""
    from olvf_assets.classification.predictions import predict_validation

    checkpoints = pl.concat([resnet50_checkpoints, densenet161_checkpoints, resnext50_checkpoints])
    return predict_validation(
        checkpoints, balanced_training_set, run.store, run.profile.classification, run.seed, run.report
    )


@table(schema=ENSEMBLE_PREDICTIONS)
def ensemble_predictions(run: TableRun, fold_predictions: pl.DataFrame) -> pl.DataFrame:
    """Summed probabilities of each fold's three networks and of all fifteen; the highest sum wins."""
    from olvf_assets.classification import ensemble

    return ensemble.ensemble_predictions(fold_predictions, run.profile.classification.folds)


@table(schema=VERTEBRA_PREDICTIONS)
def vertebra_predictions(run: TableRun, ensemble_predictions: pl.DataFrame) -> pl.DataFrame:
    """The ensembles' word on each vertebra: its lateral, flexion and extension views merged."""
    from olvf_assets.classification import merging

    return merging.vertebra_predictions(ensemble_predictions)


@table(schema=PATIENT_PREDICTIONS)
def patient_predictions(run: TableRun, vertebra_predictions: pl.DataFrame) -> pl.DataFrame:
    """The ensembles' word on each patient: whether any vertebra is fresh."""
    from olvf_assets.classification import merging

    return merging.patient_predictions(vertebra_predictions)


def _trained(run: TableRun, architecture: Architecture, samples: pl.DataFrame) -> pl.DataFrame:
    from olvf_assets.classification.training import train_folds

    checkpoints = pl.concat(
        train_folds(
            architecture, run.folds, own, run.store, run.profile.classification, run.seed, run.report, run.observe
        )
        for own in samples.sort("protocol", "sample_id").partition_by("protocol")
    )
    for row in checkpoints.iter_rows(named=True):
        run.notes[f"{row['protocol']}, fold {row['fold']} validation accuracy"] = row["validation_accuracy"]
    return checkpoints
