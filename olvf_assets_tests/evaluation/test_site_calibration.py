from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from olvf_assets.evaluation import calibration, temperature
from olvf_assets.evaluation.intervals import improper_rows
from olvf_assets.evaluation.predictions import ScoredSamples, scored_samples
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.site_calibration import PARTS, TOO_FEW, dealt_parts, fitted, refitted_at_site
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets_tests.evaluation.samples import prediction_rows, study_predictions, validation_predictions

SETTINGS = EvaluationSettings(
    draws=100, confidence=0.95, min_defined_share=0.5, roc_points=50, probability_tolerance=1e-4
)


def drawn_with(slope: float, offsets: tuple[float, float, float], n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from softmax(slope x log p + offsets), and p."""
    generator = np.random.default_rng(seed)
    p = softmax(generator.normal(size=(n, 3), scale=1.5), axis=1)
    true = softmax(slope * np.log(p) + np.array(offsets), axis=1)
    return np.array([generator.choice(3, p=each) for each in true]), p


def rows_of(labels: np.ndarray, probabilities: np.ndarray) -> pl.DataFrame:
    """An external hospital's rows, five crops a patient."""
    patients = np.arange(len(labels)) // 5
    return prediction_rows(labels, probabilities, dataset="external", institution="institution_2", patients=patients)


def one_hospital(labels: np.ndarray, probabilities: np.ndarray) -> ScoredSamples:
    (samples,) = scored_samples(rows_of(labels, probabilities))
    return samples


@pytest.mark.parametrize(("slope", "offsets"), [(1.0, (0, 0, 0)), (0.4, (0, 1.0, -0.7)), (2.5, (0, -0.5, 2.0))])
def test_slope_and_offsets_that_were_put_in_are_found(slope, offsets):
    labels, p = drawn_with(slope, offsets, 20_000, seed=1)
    found, of_classes = fitted(np.log(p), labels)
    assert found == pytest.approx(slope, rel=0.06)
    np.testing.assert_allclose(of_classes, offsets, atol=0.12)


def test_for_two_classes_the_fit_is_the_logistic_regression_of_the_log_odds():
    labels, p = drawn_with(0.6, (0, 0.8, -30), 600, seed=2)
    labels[0] = 2  # never drawn: one of it keeps the class there and, with probability ~0, apart from the others
    p = np.column_stack([p[:, :2] / p[:, :2].sum(axis=1, keepdims=True), np.full(len(p), 1e-12)])
    p[0] = (0, 0, 1)
    two = labels < 2
    odds = np.log(p[two, 1] / p[two, 0])[:, None]
    reference = LogisticRegression(C=np.inf, tol=1e-10).fit(odds, labels[two])
    slope, offsets = fitted(np.log(np.maximum(p, 1e-12)), labels)
    assert slope == pytest.approx(reference.coef_.item(), rel=1e-3)
    assert offsets[1] == pytest.approx(reference.intercept_.item(), abs=2e-3)


def test_nothing_beats_the_fit_on_its_own_samples():
    labels, p = drawn_with(0.5, (0, 1, -1), 400, seed=3)
    slope, offsets = fitted(np.log(p), labels)

    def loss(slope: float, offsets: np.ndarray) -> float:
        return log_loss(labels, softmax(slope * np.log(p) + offsets, axis=1))

    best = loss(slope, offsets)
    generator = np.random.default_rng(4)
    assert best < loss(1.0, np.zeros(3))
    for _ in range(200):
        other = np.append(0, offsets[1:] + generator.normal(size=2, scale=0.1))
        assert loss(slope * np.exp(generator.normal() * 0.1), other) >= best - 1e-7


def test_a_patients_own_label_never_reaches_his_own_probabilities():
    labels, p = drawn_with(0.5, (0, 1, -1), 300, seed=5)
    samples = one_hospital(labels, p)
    before = refitted_at_site(samples, seed=7)
    patient = 11
    own = samples.patients == patient
    turned = samples.labels.copy()
    turned[own] = turned[own][::-1]  # the same classes, so that he is dealt to the same part
    after = refitted_at_site(replace(samples, labels=turned), seed=7)
    part = dealt_parts(samples, 1)
    np.testing.assert_array_equal(part, dealt_parts(replace(samples, labels=turned), 1))
    np.testing.assert_array_equal(before.probabilities[:, own], after.probabilities[:, own])
    assert not np.array_equal(before.probabilities, after.probabilities)


def test_the_parts_are_alike_in_size_and_in_each_class_and_hang_on_the_seed():
    labels, p = drawn_with(1, (0, 0, -1.5), 500, seed=6)
    samples = one_hospital(labels, p)
    part = dealt_parts(samples, seed=1)
    assert np.bincount(part).tolist() == [20] * PARTS
    rarest = np.unique(samples.patients[samples.labels == 2])
    assert np.ptp(np.bincount(part[rarest], minlength=PARTS)) <= 1
    np.testing.assert_array_equal(part, dealt_parts(samples, seed=1))
    assert not np.array_equal(part, dealt_parts(samples, seed=2))


def test_the_refit_takes_away_a_shift_of_the_class_mix_that_a_temperature_cannot():
    labels, p = drawn_with(1, (0, 2.0, -2.0), 3000, seed=8)
    rows = rows_of(labels, p)
    temperatures = pl.DataFrame({"protocol": "patient", "model": "ensemble", "fold": "1", "temperature": 1.0})
    table = calibration.calibration(rows, temperatures, SETTINGS, seed=1)
    error = {
        row["probabilities"]: row["value"]
        for row in table.filter(metric="expected_calibration_error", positive_class="all", fold="mean").to_dicts()
    }
    assert error["raw"] == pytest.approx(error["temperature_scaled"])
    assert error["refitted_at_site"] < 0.03 < error["raw"] / 4
    curves = calibration.reliability_curves(rows, temperatures, SETTINGS, seed=1)
    assert curves["probabilities"].unique().sort().to_list() == ["raw", "refitted_at_site", "temperature_scaled"]


def test_figures_of_the_refit_are_there_for_external_hospitals_alone():
    temperatures = temperature.calibration_temperatures(validation_predictions(10, seed=4))
    ours, _ = study_predictions("test", "institution_1", patients=20, seed=3)
    theirs, _ = study_predictions("external", "institution_2", patients=20, seed=3)
    table = calibration.calibration(pl.concat([ours, theirs]), temperatures, SETTINGS, seed=1)
    assert improper_rows(table, "value", 0, 1).is_empty()
    refitted = table.filter(probabilities="refitted_at_site")
    assert refitted["dataset"].unique().to_list() == ["external"]
    raw = table.filter(probabilities="raw", dataset="external")
    assert refitted.drop("probabilities", "value", "ci_low", "ci_high", "reason").equals(
        raw.drop("probabilities", "value", "ci_low", "ci_high", "reason")
    )


@pytest.mark.parametrize("fresh_patients", [0, 1])
def test_a_hospital_that_is_too_small_says_so_and_has_no_curve(fresh_patients):
    labels = np.tile([0, 1, 0, 1, 0], 20)
    labels[: 5 * fresh_patients] = 2
    labels[5 * fresh_patients] = 0
    samples = one_hospital(labels, np.full((100, 3), 1 / 3))
    assert refitted_at_site(samples, seed=1) is None
    rows = rows_of(labels, np.full((100, 3), 1 / 3))
    temperatures = pl.DataFrame({"protocol": "patient", "model": "ensemble", "fold": "1", "temperature": 1.0})
    refitted = calibration.calibration(rows, temperatures, SETTINGS, seed=1).filter(probabilities="refitted_at_site")
    assert refitted["value"].is_nan().all()
    assert set(refitted["reason"]) == {TOO_FEW}
    assert len(refitted) == 2 * 2 * (len(CLASSES) + 1)
    curves = calibration.reliability_curves(rows, temperatures, SETTINGS, seed=1)
    assert "refitted_at_site" not in set(curves["probabilities"])
