import numpy as np
import polars as pl
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from olvf_assets.evaluation import metric_tables, roc
from olvf_assets.evaluation.confusion import confusion_matrices
from olvf_assets.evaluation.predictions import probabilities_sum_to_one, stacked_predictions
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.tables import CONFUSION_MATRICES, ROC_CURVES
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets_tests.evaluation.samples import prediction_rows, study_predictions

SETTINGS = EvaluationSettings(
    draws=10, confidence=0.95, min_defined_share=0.5, roc_points=200, probability_tolerance=1e-4
)


def area(false, true) -> float:
    return float(np.trapezoid(true, false))


def test_confusion_matrices_equal_sklearn_and_count_every_sample():
    ensemble, folds = study_predictions("test", "institution_1", patients=12, seed=3)
    matrices = confusion_matrices(stacked_predictions(ensemble, folds))
    assert matrices.schema == CONFUSION_MATRICES
    assert len(matrices) == 21 * 9
    samples = ensemble.filter(model="ensemble", fold="3")
    expected = confusion_matrix(samples["label"], samples["predicted"], labels=list(CLASSES))
    found = matrices.filter(model="ensemble", fold="3").pivot("predicted", index="actual", values="n")
    assert found["actual"].to_list() == list(CLASSES)
    np.testing.assert_array_equal(found.select(CLASSES).to_numpy(), expected)


def test_curve_points_have_sklearns_area_and_drop_only_points_on_a_line():
    generator = np.random.default_rng(0)
    positive = generator.random(400) < 0.3
    scores = np.round(generator.normal(size=400) + positive, 1)
    false, true, threshold = roc.curve_points(scores, positive)
    full_false, full_true, full_threshold = roc_curve(positive, scores, drop_intermediate=False)
    assert area(false, true) == pytest.approx(roc_auc_score(positive, scores), rel=1e-12)
    every = dict(zip(full_threshold, zip(full_false, full_true, strict=True), strict=True))
    for f, t, at in zip(false[1:], true[1:], threshold[1:], strict=True):
        assert (f, t) == pytest.approx(every[at])
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert len(false) < len(every)


def test_perfect_scores_are_three_points_and_constant_scores_are_the_diagonal():
    positive = np.array([True] * 4 + [False] * 6)
    false, true, _ = roc.curve_points(np.linspace(1, 0, 10), positive)
    assert list(zip(false, true, strict=True)) == [(0, 0), (0, 1), (1, 1)]
    false, true, _ = roc.curve_points(np.full(10, 0.3), positive)
    assert list(zip(false, true, strict=True)) == [(0, 0), (1, 1)]


def test_thinning_to_200_points_moves_the_area_by_less_than_a_ten_thousandth():
    generator = np.random.default_rng(0)
    positive = generator.random(6000) < 0.4
    points = roc.curve_points(generator.normal(size=6000) + positive, positive)
    assert len(points[0]) > 1000
    false, true, _ = roc.thinned(points, 200)
    assert len(false) == 200
    assert area(false, true) == pytest.approx(area(points[0], points[1]), abs=1e-4)
    assert (np.diff(false) >= 0).all()
    assert (np.diff(true) >= 0).all()


def test_average_curve_has_the_mean_area_and_lies_at_the_mean_height():
    generator = np.random.default_rng(0)
    positive = generator.random(80) < 0.4
    curves = [roc.curve_points(np.round(generator.normal(size=80) + positive, 1), positive) for _ in range(5)]
    false, true, _ = roc.average_curve(curves)
    assert area(false, true) == pytest.approx(np.mean([area(f, t) for f, t, _ in curves]), rel=1e-12)
    perfect = (np.array([0, 0, 1.0]), np.array([0, 1, 1.0]), np.full(3, np.nan))
    diagonal = (np.array([0, 1.0]), np.array([0, 1.0]), np.full(2, np.nan))
    step = roc.average_curve([perfect, diagonal])
    assert list(zip(step[0], step[1], strict=True)) == [(0, 0), (0, 0.5), (1, 1)]


def test_curves_have_the_area_of_the_bootstrap_rows_of_the_metric_table():
    ensemble, folds = study_predictions("test", "institution_1", patients=25, seed=3)
    predictions = stacked_predictions(ensemble, folds)
    curves = roc.roc_curves(predictions, SETTINGS)
    assert curves.schema == ROC_CURVES
    table = metric_tables.metric_table(predictions, SETTINGS, 0).filter(metric="auc", ci_method="patient_bootstrap")
    ids = ["model", "fold", "positive_class"]
    assert curves.select(ids).n_unique() == 25 * 3
    for key, points in curves.group_by(ids, maintain_order=True):
        found = area(points["false_positive_rate"], points["true_positive_rate"])
        expected = table.filter(*(pl.col(name) == value for name, value in zip(ids, key, strict=True)))["value"][0]
        assert found == pytest.approx(expected, abs=1e-6)


def test_a_class_without_positives_has_no_curve():
    labels = np.array([0, 1, 0, 1])
    curves = roc.roc_curves(prediction_rows(labels, np.eye(3)[[0, 1, 1, 1]]), SETTINGS)
    assert set(curves["positive_class"]) == {"normal", "old"}


def test_rows_that_are_no_probabilities_are_found():
    labels = np.array([0, 1, 2, 0, 0])
    p = np.array([[0.2, 0.3, 0.5], [0.5, 0.5, 0.5], [1.5, -0.5, 0.0], [np.nan, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]])
    rows = prediction_rows(labels, p.astype(np.float32))
    found = probabilities_sum_to_one(rows, 1e-4)
    assert found["sample_id"].to_list() == rows["sample_id"].to_list()[1:4]
    missing = rows.with_columns(p_old=pl.lit(None, dtype=pl.Float32))
    assert len(probabilities_sum_to_one(missing, 1e-4)) == 5
