import numpy as np
import polars as pl
import pytest
from scipy.special import softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from olvf_assets.evaluation import calibration, temperature
from olvf_assets.evaluation.intervals import improper_rows
from olvf_assets.evaluation.predictions import BrokenPredictionsError, validation_samples
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.tables import CALIBRATION, CALIBRATION_TEMPERATURES, PROBABILITIES, RELIABILITY_CURVES
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets_tests.evaluation.samples import FOLDS, prediction_rows, study_predictions, validation_predictions

SETTINGS = EvaluationSettings(
    draws=100, confidence=0.95, min_defined_share=0.5, roc_points=50, probability_tolerance=1e-4, calibration_bins=8
)


def overconfident(n: int, factor: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from a softmax, and that softmax with its logits multiplied by `factor`."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(n, 3), scale=1.5)
    labels = np.array([generator.choice(3, p=p) for p in softmax(logits, axis=1)])
    return labels, softmax(logits * factor, axis=1)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.5])
def test_the_temperature_that_was_put_in_is_found(factor: float) -> None:
    labels, probabilities = overconfident(4000, factor, seed=1)
    found = temperature.fitted_temperature(probabilities, labels)
    assert found == pytest.approx(factor, rel=0.06)
    grid = np.linspace(found * 0.8, found * 1.25, 41)
    losses = [sklearn_log_loss(labels, temperature.scaled(probabilities, each)) for each in grid]
    best = temperature.log_loss(temperature.scaled(probabilities, found), labels)
    assert best <= min(losses) + 1e-9


def test_temperature_1_changes_nothing_and_none_changes_the_winner() -> None:
    _, probabilities = overconfident(50, 1.0, seed=2)
    np.testing.assert_allclose(temperature.scaled(probabilities, 1.0), probabilities, rtol=1e-9)
    for each in (0.3, 4.0):
        changed = temperature.scaled(probabilities, each)
        np.testing.assert_array_equal(changed.argmax(axis=1), probabilities.argmax(axis=1))
        np.testing.assert_allclose(changed.sum(axis=1), 1)
    certain = temperature.scaled(np.array([[1.0, 0.0, 0.0]]), 2.0)
    assert np.isfinite(certain).all()


def test_each_folds_temperature_is_fitted_on_its_own_validation_ensemble() -> None:
    rows = validation_predictions(12, seed=4)
    table = temperature.calibration_temperatures(rows.sample(fraction=1, shuffle=True, seed=1))
    assert table.schema == CALIBRATION_TEMPERATURES
    assert table["fold"].to_list() == [str(fold) for fold in FOLDS]
    assert (table["log_loss_scaled"] <= table["log_loss_raw"]).all()
    own = rows.filter(fold=3).sort("sample_id").group_by("sample_id", maintain_order=True)
    ensemble = own.agg(pl.col(*PROBABILITIES).mean(), pl.col("label").first())
    labels = ensemble["label"].replace_strict(list(CLASSES), [0, 1, 2]).to_numpy()
    probabilities = ensemble.select(PROBABILITIES).to_numpy()
    row = table.filter(fold="3").row(0, named=True)
    assert row["temperature"] == pytest.approx(temperature.fitted_temperature(probabilities, labels), rel=1e-5)
    assert row["log_loss_raw"] == pytest.approx(sklearn_log_loss(labels, probabilities))
    assert (row["n_samples"], row["n_patients"]) == (60, 12)


def test_a_validation_crop_that_one_network_did_not_score_is_refused() -> None:
    rows = validation_predictions(4, seed=4)
    with pytest.raises(BrokenPredictionsError, match=r"V10000-r0 of fold 1 is scored 2 times by 2 of 3 networks"):
        validation_samples(rows.filter(~((pl.col("architecture") == "resnet50") & (pl.col("crop_id") == "V10000"))))


def test_patients_of_two_hospitals_are_told_apart_in_validation() -> None:
    rows = validation_predictions(4, seed=4).filter(fold=1)
    both = pl.concat([rows, rows.with_columns(institution=pl.lit("institution_9"))])
    (samples,) = validation_samples(both)
    assert (samples.n_patients, samples.labels.size) == (8, 40)


def figure(table: pl.DataFrame, **where: str) -> float:
    return float(table.filter(**where)["value"].item())


def test_calibration_error_and_brier_score_equal_plain_code_and_sklearn() -> None:
    ensemble, _ = study_predictions("test", "institution_1", patients=20, seed=3)
    temperatures = temperature.calibration_temperatures(validation_predictions(10, seed=4))
    table = calibration.calibration(ensemble, temperatures, SETTINGS, seed=1)
    assert table.schema == CALIBRATION
    assert len(table) == (7 + 6) * 4 * 2
    assert improper_rows(table, "value", 0, 1).is_empty()
    once = ensemble.filter(model="ensemble", fold="2", replica=0)
    raw = once.select(PROBABILITIES).to_numpy()
    t = temperatures.filter(fold="2")["temperature"].item()
    for name, p in (("raw", raw), ("temperature_scaled", temperature.scaled(raw, t))):
        errors = []
        for c, positive_class in enumerate(CLASSES):
            y = (once["label"] == positive_class).to_numpy()
            where = {"model": "ensemble", "fold": "2", "probabilities": name, "positive_class": positive_class}
            expected = brier_score_loss(y, p[:, c])
            assert figure(table, metric="brier_score", **where) == pytest.approx(expected, rel=1e-9)
            bins = np.minimum((p[:, c] * 8).astype(int), 7)
            inside = [bins == b for b in range(8) if (bins == b).any()]
            errors.append(sum(m.mean() * abs(p[m, c].mean() - y[m].mean()) for m in inside))
            found = figure(table, metric="expected_calibration_error", **where)
            assert found == pytest.approx(errors[-1], rel=1e-9)
        where["positive_class"] = "all"
        assert figure(table, metric="expected_calibration_error", **where) == pytest.approx(np.mean(errors), rel=1e-9)


def test_scaling_by_the_temperature_put_in_halves_the_calibration_error_at_least() -> None:
    labels, probabilities = overconfident(3000, 3.0, seed=5)
    rows = prediction_rows(labels, probabilities)
    temperatures = pl.DataFrame({"protocol": "patient", "model": "ensemble", "fold": "1", "temperature": 3.0})
    table = calibration.calibration(rows, temperatures, SETTINGS, seed=1)
    where = {"metric": "expected_calibration_error", "positive_class": "all", "fold": "mean"}
    raw, scaled = (figure(table, probabilities=name, **where) for name in ("raw", "temperature_scaled"))
    assert scaled < 0.03 < raw / 2


def test_a_fold_without_temperature_is_refused_with_the_way_out() -> None:
    ensemble, _ = study_predictions("test", "institution_1", patients=4, seed=3)
    temperatures = temperature.calibration_temperatures(validation_predictions(5, seed=4).filter(pl.col("fold") != 4))
    with pytest.raises(BrokenPredictionsError, match="fold 4; materialise validation_predictions"):
        calibration.calibration(ensemble, temperatures, SETTINGS, seed=1)


def test_reliability_curves_equal_sklearns_on_the_pooled_folds_and_list_empty_bins() -> None:
    ensemble, _ = study_predictions("external", "institution_2", patients=20, seed=3)
    temperatures = temperature.calibration_temperatures(validation_predictions(10, seed=4))
    curves = calibration.reliability_curves(ensemble, temperatures, SETTINGS, seed=1)
    assert curves.schema == RELIABILITY_CURVES
    assert len(curves) == (2 + 1 + 2) * 3 * 8  # scorers raw, scaled and refitted; classes; bins
    assert improper_rows(curves, "observed_share", 0, 1).is_empty()
    pooled = ensemble.filter(model="ensemble")
    for name in CLASSES:
        observed, predicted = calibration_curve(pooled["label"] == name, pooled[f"p_{name}"], n_bins=8)
        found = curves.filter(model="ensemble", fold="pooled", probabilities="raw", positive_class=name)
        assert found["n"].sum() == len(pooled)
        filled = found.filter(pl.col("n") > 0).sort("bin_low")
        np.testing.assert_allclose(filled["observed_share"], observed)
        np.testing.assert_allclose(filled["mean_probability"], predicted)
        empty = found.filter(n=0)
        assert set(empty["reason"]) <= {"no crop in this bin"}
        assert empty["observed_share"].is_nan().all()
