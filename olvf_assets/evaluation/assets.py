"""Assets of the evaluation: metric tables and curves, calibration, operating points, the readers as yardstick.

What lives here: names, dependencies. What does not: how anything is computed.
"""

import polars as pl

from olvf_assets.evaluation.labelled import labelled, labelled_external, labelled_test
from olvf_assets.evaluation.tables import (
    CALIBRATION,
    CALIBRATION_TEMPERATURES,
    CONFUSION_MATRICES,
    DECISION_CURVES,
    EXTERNAL_METRICS,
    FAR_FILMS,
    FRESH_FRACTURES_NEEDED,
    HUMAN_CEILING,
    LEAKAGE_AUDIT,
    LEAKAGE_SUMMARY,
    MRI_AVOIDED,
    OPERATING_POINT_CALLS,
    OPERATING_POINT_METRICS,
    OPERATING_POINTS,
    PICTURE_FINGERPRINTS,
    RELIABILITY_CURVES,
    REVIEW_LIST,
    ROC_CURVES,
    SAMPLE_LINEAGE,
    SITE_SHIFT,
    SUBGROUP_METRICS,
    TEST_METRICS,
)
from olvf_assets.foundation.tables import TableRun, table
from olvf_assets.storage.kept_answers import KeptAnswers


@table(schema=SAMPLE_LINEAGE)
def sample_lineage(
    run: TableRun,
    detector_copies: pl.DataFrame,
    detector_model: pl.DataFrame,
    balanced_training_set: pl.DataFrame,
    validation_predictions: pl.DataFrame,
    fold_predictions: pl.DataFrame,
    vertebra_crops: pl.DataFrame,
    films: pl.DataFrame,
) -> pl.DataFrame:
    """What every sample of every stage derives from: patient, film, crop, copy, pictures."""
    from olvf_assets.evaluation.firewall import lineage

    evolved = detector_model.filter(pl.col("generation").is_not_null())["protocol"]
    return lineage.sample_lineage(
        detector_copies,
        detector_model,
        balanced_training_set,
        validation_predictions,
        fold_predictions,
        vertebra_crops,
        films,
        evolved=tuple(evolved),
    )


@table(schema=PICTURE_FINGERPRINTS, by="institution", kinds=("polars", "opencv"))
def picture_fingerprints(run: TableRun, films: pl.DataFrame, detected_crops: pl.DataFrame) -> pl.DataFrame:
    """A thumbnail of every film and crop, by which near-duplicates under other names are found."""
    from olvf_assets.evaluation.firewall import fingerprints

    with KeptAnswers.of(run, "picture_fingerprints") as kept:
        return fingerprints.picture_fingerprints(films, detected_crops, run.store, kept=kept, report=run.report)


@table(schema=SITE_SHIFT, kinds=("polars", "numpy"))
def site_shift(
    run: TableRun,
    institutions: pl.DataFrame,
    films: pl.DataFrame,
    subjects: pl.DataFrame,
    picture_fingerprints: pl.DataFrame,
    detected_films: pl.DataFrame,
    detections: pl.DataFrame,
    ensemble_predictions: pl.DataFrame,
) -> pl.DataFrame:
    """How far each external hospital's films, patients, detections and predictions are from development's."""
    from olvf_assets.evaluation.site_features import site_features
    from olvf_assets.evaluation.site_shift import site_shift

    features = site_features(films, subjects, picture_fingerprints, detected_films, detections, ensemble_predictions)
    roles = dict(institutions.select("institution", "role").iter_rows())
    return site_shift(features, roles, run.profile.evaluation, run.seed)


@table(schema=FAR_FILMS, pictures=("image_path",), kinds=("polars", "scipy"))
def far_films(
    run: TableRun, institutions: pl.DataFrame, films: pl.DataFrame, picture_fingerprints: pl.DataFrame
) -> pl.DataFrame:
    """Films of external hospitals that look like no development film, the farthest first."""
    from olvf_assets.evaluation import site_shift

    roles = dict(institutions.select("institution", "role").iter_rows())
    return site_shift.far_films(films, picture_fingerprints, roles)


@table(schema=LEAKAGE_AUDIT)
def leakage_audit(
    run: TableRun, sample_lineage: pl.DataFrame, picture_fingerprints: pl.DataFrame, institutions: pl.DataFrame
) -> pl.DataFrame:
    """Everything that scored samples share with what was learnt or chosen from."""
    from olvf_assets.evaluation.firewall import leakage

    least = run.profile.evaluation.near_duplicate_correlation
    return leakage.leakage_audit(sample_lineage, picture_fingerprints, institutions, least)


@table(schema=LEAKAGE_SUMMARY)
def leakage_summary(run: TableRun, leakage_audit: pl.DataFrame, sample_lineage: pl.DataFrame) -> pl.DataFrame:
    """How many scored samples each kind of leak concerns; any under protocol patient stops the metric tables."""
    from olvf_assets.evaluation.firewall import leakage

    return leakage.leakage_summary(leakage_audit, sample_lineage)


@table(schema=TEST_METRICS, takes=labelled_test, kinds=("polars", "numpy", "scipy"))
def test_metrics(
    run: TableRun,
    ensemble_predictions: pl.DataFrame,
    fold_predictions: pl.DataFrame,
    leakage_summary: pl.DataFrame,
) -> pl.DataFrame:
    """One-vs-rest metrics with 95 % intervals on the held-out test set of the development institutions."""
    from olvf_assets.evaluation import metric_tables
    from olvf_assets.evaluation.firewall import leakage

    found = metric_tables.internal_metrics(ensemble_predictions, fold_predictions, run.profile.evaluation, run.seed)
    _note_accuracy(run, found)
    return leakage.stamped(found, leakage_summary, "test")


@table(schema=EXTERNAL_METRICS, takes=labelled_external, kinds=("polars", "numpy", "scipy"))
def external_metrics(
    run: TableRun,
    ensemble_predictions: pl.DataFrame,
    fold_predictions: pl.DataFrame,
    leakage_summary: pl.DataFrame,
) -> pl.DataFrame:
    """One-vs-rest metrics with 95 % intervals on each external hospital."""
    from olvf_assets.evaluation import metric_tables
    from olvf_assets.evaluation.firewall import leakage

    found = metric_tables.external_metrics(ensemble_predictions, fold_predictions, run.profile.evaluation, run.seed)
    _note_accuracy(run, found)
    return leakage.stamped(found, leakage_summary, "external")


@table(schema=FRESH_FRACTURES_NEEDED)
def fresh_fractures_needed(
    run: TableRun, test_metrics: pl.DataFrame, external_metrics: pl.DataFrame, institutions: pl.DataFrame
) -> pl.DataFrame:
    """How many more fresh fractures each external hospital must hand over for a narrow sensitivity."""
    from olvf_assets.evaluation import needed

    roles = dict(institutions.select("institution", "role").iter_rows())
    return needed.fresh_fractures_needed(test_metrics, external_metrics, roles, run.profile.evaluation)


@table(schema=SUBGROUP_METRICS, takes=labelled, kinds=("polars", "numpy", "scipy"))
def subgroup_metrics(
    run: TableRun,
    ensemble_predictions: pl.DataFrame,
    vertebra_crops: pl.DataFrame,
    films: pl.DataFrame,
    subjects: pl.DataFrame,
) -> pl.DataFrame:
    """The ensembles' metrics by level, view, device, sex and age band."""
    from olvf_assets.evaluation import subgroups

    settings = run.profile.evaluation
    return subgroups.subgroup_metrics(ensemble_predictions, vertebra_crops, films, subjects, settings, run.seed)


@table(schema=CONFUSION_MATRICES, takes=labelled, kinds=("polars", "numpy"))
def confusion_matrices(run: TableRun, ensemble_predictions: pl.DataFrame) -> pl.DataFrame:
    """How many samples of each class were called what, per fold, dataset and institution."""
    from olvf_assets.evaluation import confusion

    return confusion.confusion_matrices(ensemble_predictions)


@table(schema=ROC_CURVES, takes=labelled, kinds=("polars", "numpy"))
def roc_curves(run: TableRun, ensemble_predictions: pl.DataFrame) -> pl.DataFrame:
    """One-vs-rest ROC curves of the ensembles."""
    from olvf_assets.evaluation import roc

    return roc.roc_curves(ensemble_predictions, run.profile.evaluation)


@table(schema=CALIBRATION_TEMPERATURES, kinds=("polars", "scipy"))
def calibration_temperatures(run: TableRun, validation_predictions: pl.DataFrame) -> pl.DataFrame:
    """The temperature of each fold's ensemble, fitted on its validation crops."""
    from olvf_assets.evaluation import temperature

    return temperature.calibration_temperatures(validation_predictions)


@table(schema=CALIBRATION, takes=labelled, kinds=("polars", "numpy"))
def calibration(
    run: TableRun, ensemble_predictions: pl.DataFrame, calibration_temperatures: pl.DataFrame
) -> pl.DataFrame:
    """Calibration error and Brier score of the ensembles, as they are and temperature-scaled."""
    from olvf_assets.evaluation import calibration

    return calibration.calibration(ensemble_predictions, calibration_temperatures, run.profile.evaluation, run.seed)


@table(schema=RELIABILITY_CURVES, takes=labelled, kinds=("polars", "numpy"))
def reliability_curves(
    run: TableRun, ensemble_predictions: pl.DataFrame, calibration_temperatures: pl.DataFrame
) -> pl.DataFrame:
    """Predicted probability against observed share, per class, as it is and temperature-scaled."""
    from olvf_assets.evaluation import calibration

    return calibration.reliability_curves(
        ensemble_predictions, calibration_temperatures, run.profile.evaluation, run.seed
    )


@table(schema=DECISION_CURVES, takes=labelled, kinds=("polars", "numpy"))
def decision_curves(
    run: TableRun, ensemble_predictions: pl.DataFrame, calibration_temperatures: pl.DataFrame
) -> pl.DataFrame:
    """Net benefit of acting on the probability of a fresh fracture, against acting on all or none."""
    from olvf_assets.evaluation import decision

    return decision.decision_curves(ensemble_predictions, calibration_temperatures, run.profile.evaluation, run.seed)


@table(schema=OPERATING_POINTS, kinds=("polars", "numpy"))
def operating_points(run: TableRun, validation_predictions: pl.DataFrame) -> pl.DataFrame:
    """From which probability on a vertebra or patient is called fresh, chosen on validation crops alone."""
    from olvf_assets.evaluation import operating

    return operating.operating_points(validation_predictions, run.profile.evaluation)


@table(schema=OPERATING_POINT_METRICS, takes=labelled, kinds=("polars", "numpy"))
def operating_point_metrics(
    run: TableRun, ensemble_predictions: pl.DataFrame, operating_points: pl.DataFrame
) -> pl.DataFrame:
    """The rates of fresh on test and external films at the operating points chosen before."""
    from olvf_assets.evaluation import operating

    return operating.operating_point_metrics(ensemble_predictions, operating_points, run.profile.evaluation, run.seed)


@table(schema=OPERATING_POINT_CALLS)
def operating_point_calls(
    run: TableRun,
    ensemble_predictions: pl.DataFrame,
    patient_predictions: pl.DataFrame,
    operating_points: pl.DataFrame,
) -> pl.DataFrame:
    """Which crops and patients are called fresh at each operating point, also those that nobody labelled."""
    from olvf_assets.evaluation import calls

    return calls.operating_point_calls(ensemble_predictions, patient_predictions, operating_points)


@table(schema=MRI_AVOIDED, takes=labelled, kinds=("polars", "numpy"))
def mri_avoided(run: TableRun, ensemble_predictions: pl.DataFrame, operating_points: pl.DataFrame) -> pl.DataFrame:
    """MRI examinations avoided per 100 patients of each hospital, and the fresh fractures missed for it."""
    from olvf_assets.evaluation import mri

    return mri.mri_avoided(ensemble_predictions, operating_points, run.profile.evaluation, run.seed)


@table(schema=HUMAN_CEILING, takes=labelled, kinds=("polars", "numpy"))
def human_ceiling(run: TableRun, ensemble_predictions: pl.DataFrame, consensus_labels: pl.DataFrame) -> pl.DataFrame:
    """Kappa of the ensembles with the consensus beside kappa between the readers, on the same vertebrae."""
    from olvf_assets.evaluation import human

    return human.human_ceiling(ensemble_predictions, consensus_labels, run.profile.evaluation, run.seed)


@table(schema=REVIEW_LIST, takes=labelled, pictures=("image_path",))
def review_list(
    run: TableRun,
    ensemble_predictions: pl.DataFrame,
    fold_predictions: pl.DataFrame,
    consensus_labels: pl.DataFrame,
    vertebra_crops: pl.DataFrame,
) -> pl.DataFrame:
    """Crops on which both readers agree and every network disagrees with them."""
    from olvf_assets.evaluation import human

    return human.review_list(ensemble_predictions, fold_predictions, consensus_labels, vertebra_crops)


def _note_accuracy(run: TableRun, metrics: pl.DataFrame) -> None:
    rows = metrics.filter(
        model="ensemble", fold="mean", positive_class="all", metric="accuracy", ci_method="wald"
    ).iter_rows(named=True)
    for row in rows:
        run.notes[f"accuracy {row['institution']}, protocol {row['protocol']}"] = row["value"]
