import math

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import precision_score, recall_score

from olvf_assets.evaluation import decision, mri, operating
from olvf_assets.evaluation.intervals import improper_rows
from olvf_assets.evaluation.predictions import BrokenPredictionsError, validation_samples
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.tables import DECISION_CURVES, MRI_AVOIDED, OPERATING_POINT_METRICS, OPERATING_POINTS
from olvf_assets.evaluation.temperature import calibration_temperatures
from olvf_assets.foundation.tables import all_reads, ancestors
from olvf_assets.orchestration.graph import all_checks, all_tables
from olvf_assets_tests.evaluation.samples import prediction_rows, study_predictions, validation_predictions

SETTINGS = EvaluationSettings(
    draws=100,
    confidence=0.95,
    min_defined_share=0.5,
    roc_points=50,
    probability_tolerance=1e-4,
    target_sensitivities=(0.8, 0.95),
)
SCORED_TABLES = {"fold_predictions", "ensemble_predictions", "balanced_test_set", "test_metrics", "external_metrics"}


def p_fresh(values: list[float]) -> np.ndarray:
    """Return float (n, 3) with the given probabilities of fresh."""
    fresh = np.array(values)
    return np.stack([(1 - fresh) * 0.6, (1 - fresh) * 0.4, fresh], axis=1)


def points_at(threshold: float, unit: str) -> pl.DataFrame:
    rows = [
        {"protocol": "patient", "model": "ensemble", "fold": "1", "unit": unit, "target_sensitivity": target}
        for target in SETTINGS.target_sensitivities
    ]
    return pl.DataFrame(rows).with_columns(threshold=pl.lit(threshold))


@pytest.mark.parametrize(
    ("target", "threshold"), [(0.2, 0.9), (0.21, 0.8), (0.8, 0.6), (0.81, 0.1), (1.0, 0.1), (0.01, 0.9)]
)
def test_the_threshold_is_the_highest_that_reaches_the_target(target: float, threshold: float) -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.1, 0.95, 0.5, 0.0])
    positive = np.array([True] * 5 + [False] * 3)
    assert operating.threshold_for(scores, positive, target) == threshold


def test_whole_shares_of_positives_are_not_pushed_up_by_rounding() -> None:
    scores = np.arange(100) / 100
    found = operating.threshold_for(scores, np.ones(100, dtype=bool), 0.55)  # 0.55 * 100 is 55.000000000000007
    assert (scores >= found).sum() == 55


def test_without_a_fresh_fracture_there_is_no_threshold_and_what_follows_says_so() -> None:
    rows = validation_predictions(4, seed=1).with_columns(
        label=pl.when((pl.col("fold") == 1) & (pl.col("label") == "fresh")).then(pl.lit("old")).otherwise("label")
    )
    points = operating.operating_points(rows, SETTINGS)
    assert points.filter(pl.col("threshold").is_nan())["fold"].unique().to_list() == ["1"]
    ensemble, _ = study_predictions("external", "institution_2", patients=6, seed=3)
    for table in (
        operating.operating_point_metrics(ensemble, points, SETTINGS, 1),
        mri.mri_avoided(ensemble, points, SETTINGS, 1),
    ):
        first = table.filter(pl.col("fold").is_in(["1", "mean"]))
        assert first["value"].is_nan().all()
        assert first["reason"].unique().to_list() == [operating.NO_THRESHOLD]
        assert table.filter(fold="2")["value"].is_not_nan().any()


def test_operating_points_reach_their_target_on_validation_crops_and_no_higher_one_would() -> None:
    rows = validation_predictions(20, seed=1)
    points = operating.operating_points(rows, SETTINGS)
    assert points.schema == OPERATING_POINTS
    assert len(points) == 5 * 2 * 2
    assert (points["validation_sensitivity"] >= points["target_sensitivity"]).all()
    samples = validation_samples(rows)[2]
    fresh, p = samples.labels == 2, samples.probabilities[0, :, 2]
    row = points.filter(fold="3", unit="vertebra", target_sensitivity=0.8).row(0, named=True)
    assert row["validation_sensitivity"] == pytest.approx(recall_score(fresh, p >= row["threshold"]))
    assert row["validation_specificity"] == pytest.approx(recall_score(~fresh, p < row["threshold"]))
    assert recall_score(fresh, p > row["threshold"]) < 0.8
    assert (row["n_positive"], row["n_negative"]) == (fresh.sum(), (~fresh).sum())


def test_no_test_or_external_film_has_a_part_in_operating_points_and_temperatures() -> None:
    """Not by discipline but by the graph: what these tables rest on holds no scored film."""
    reads = all_reads(all_tables(), all_checks())
    for name in ("operating_points", "calibration_temperatures"):
        assert "validation_predictions" in ancestors(name, reads)
        assert not SCORED_TABLES & set(ancestors(name, reads))
    assert {"operating_points", "ensemble_predictions"} <= set(reads["operating_point_metrics"])


def test_rates_at_the_operating_point_equal_sklearns_and_average_over_the_folds() -> None:
    ensemble, _ = study_predictions("test", "institution_1", patients=20, seed=3)
    points = operating.operating_points(validation_predictions(20, seed=1), SETTINGS)
    table = operating.operating_point_metrics(ensemble, points, SETTINGS, 1)
    assert table.schema == OPERATING_POINT_METRICS
    assert improper_rows(table, "value", 0, 1).is_empty()
    rows = table.filter(unit="vertebra", target_sensitivity=0.8, ci_method="patient_bootstrap")
    recalls, precisions = [], []
    for fold in "12345":
        once = ensemble.filter(model="ensemble", fold=fold, replica=0)
        threshold = points.filter(fold=fold, unit="vertebra", target_sensitivity=0.8)["threshold"].item()
        called, fresh = once["p_fresh"] >= threshold, once["label"] == "fresh"
        recalls.append(recall_score(fresh, called))
        precisions.append(precision_score(fresh, called))
        row = rows.filter(fold=fold, metric="sensitivity").row(0, named=True)
        assert (row["value"], row["threshold"]) == (pytest.approx(recalls[-1]), threshold)
        assert (row["n_positive"], row["n_patients"]) == (fresh.sum(), 20)
    mean = rows.filter(fold="mean")
    assert mean.filter(metric="sensitivity")["value"].item() == pytest.approx(np.mean(recalls))
    assert mean.filter(metric="false_discovery_rate")["value"].item() == pytest.approx(1 - np.mean(precisions))
    assert mean["threshold"].null_count() == len(mean)


def test_a_patient_is_as_fresh_as_the_freshest_vertebra_averaged_over_its_films() -> None:
    """P0: L1 on two films 0.9 and 0.3, L2 0.5, L2 is fresh. P1: L1 0.55, nothing fresh."""
    rows = prediction_rows(
        np.array([1, 1, 2, 0]), p_fresh([0.9, 0.3, 0.5, 0.55]), dataset="external", patients=np.array([0, 0, 0, 1])
    ).with_columns(level=pl.Series(["L1", "L1", "L2", "L1"]))
    (samples,) = operating.ensembles(rows)
    scored = operating.fresh_scores(samples, "patient")
    np.testing.assert_allclose(scored.scores, [[0.6, 0.55]])
    assert scored.fresh.tolist() == [1, 0]
    for threshold, sensitivity, specificity in ((0.58, 1.0, 1.0), (0.55, 1.0, 0.0), (0.61, 0.0, 1.0)):
        table = operating.operating_point_metrics(
            rows, pl.concat([points_at(threshold, "patient"), points_at(0.5, "vertebra")]), SETTINGS, 1
        ).filter(unit="patient", fold="1", ci_method="wald", target_sensitivity=0.8)
        found = dict(table.select("metric", "value").rows())
        assert (found["sensitivity"], found["specificity"]) == (sensitivity, specificity)


def test_mri_avoided_and_missed_of_ten_patients_counted_by_hand() -> None:
    """Ten patients: 4 fresh with 0.9, 0.8, 0.7 and 0.2 (the last with two fresh vertebrae), 6 not fresh."""
    labels = np.array([2, 2, 2, 2, 2, 0, 0, 1, 1, 0, 0])
    p = p_fresh([0.9, 0.8, 0.7, 0.2, 0.1, 0.6, 0.4, 0.3, 0.2, 0.1, 0.0])
    patients = np.array([0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9])
    rows = prediction_rows(labels, p, dataset="external", patients=patients).with_columns(
        level=pl.Series(["L1"] * 4 + ["L2"] + ["L1"] * 6)
    )
    table = mri.mri_avoided(rows, points_at(0.5, "patient"), SETTINGS, 1)
    assert table.schema == MRI_AVOIDED
    assert mri.impossible_rows(table).is_empty()
    found = table.filter(fold="mean", target_sensitivity=0.8)
    values = dict(found.filter(ci_method="patient_bootstrap").select("metric", "value").rows())
    assert values == pytest.approx(
        {
            "mri_avoided_per_100_patients": 60,
            "missed_fresh_patients_per_100_patients": 10,
            "missed_fresh_vertebrae_per_100_patients": 20,
        }
    )
    assert found["prevalence"].unique().to_list() == [0.4]
    assert found["n_fresh_patients"].unique().to_list() == [4]
    wald = found.filter(ci_method="wald", metric="mri_avoided_per_100_patients").row(0, named=True)
    assert wald["ci_high"] - 60 == pytest.approx(100 * 1.959964 * math.sqrt(0.6 * 0.4 / 10), abs=1e-3)
    count = found.filter(ci_method="wald", metric="missed_fresh_vertebrae_per_100_patients").row(0, named=True)
    assert count["reason"] == "a count of vertebrae, not a share of patients"


def test_more_missed_than_fresh_or_more_than_100_in_100_is_found() -> None:
    rows = prediction_rows(np.array([2, 0]), p_fresh([0.1, 0.9]), dataset="external")
    table = mri.mri_avoided(rows, points_at(0.5, "patient"), SETTINGS, 1)
    missed = pl.col("metric") == "missed_fresh_patients_per_100_patients"
    assert mri.impossible_rows(table).is_empty()
    assert len(mri.impossible_rows(table.with_columns(value=pl.when(missed).then(55.0).otherwise("value")))) == 8
    assert len(mri.impossible_rows(table.with_columns(value=pl.when(~missed).then(101.0).otherwise("value")))) == 8


def test_a_fold_without_operating_point_is_refused_with_the_way_out() -> None:
    ensemble, _ = study_predictions("external", "institution_2", patients=4, seed=3)
    points = operating.operating_points(validation_predictions(6, seed=1), SETTINGS).filter(pl.col("fold") != "3")
    with pytest.raises(BrokenPredictionsError, match="of fold 3; materialise validation_predictions"):
        operating.operating_point_metrics(ensemble, points, SETTINGS, 1)


def test_net_benefit_by_hand() -> None:
    """Vickers' formula: 100 crops, 30 fresh, 24 found for 14 false alarms: at 20 %, (24 - 14 / 4) / 100."""
    found = decision.net_benefit(np.array(24), np.array(14), np.array(100), np.array([0.2, 0.5]))
    np.testing.assert_allclose(found, [0.205, 0.10])


def test_decision_curves_equal_a_plain_loop_and_meet_treat_all_where_every_crop_is_called() -> None:
    ensemble, _ = study_predictions("test", "institution_1", patients=15, seed=3)
    temperatures = calibration_temperatures(validation_predictions(10, seed=4))
    curves = decision.decision_curves(ensemble, temperatures, SETTINGS, seed=1)
    assert curves.schema == DECISION_CURVES
    assert curves["threshold"].unique().sort().to_list() == [round(0.01 * i, 2) for i in range(1, 61)]
    once = ensemble.filter(model="ensemble", fold="4", replica=0)
    fresh, p = (once["label"] == "fresh").to_numpy(), once["p_fresh"].to_numpy()
    for row in curves.filter(model="ensemble", fold="4", probabilities="raw").iter_rows(named=True):
        t = row["threshold"]
        called = p >= t
        benefit = ((called & fresh).sum() - (called & ~fresh).sum() * t / (1 - t)) / fresh.size
        assert row["net_benefit"] == pytest.approx(benefit, abs=1e-12)
        treat_all = fresh.mean() - (1 - fresh.mean()) * t / (1 - t)
        assert row["net_benefit_treat_all"] == pytest.approx(treat_all, abs=1e-12)
        if called.all():
            assert benefit == pytest.approx(treat_all, abs=1e-12)
        assert row["ci_low"] <= row["ci_high"]
    folds = curves.filter(model="ensemble", probabilities="temperature_scaled", threshold=0.3)
    by_fold = folds.filter(pl.col("fold") != "mean")["net_benefit"]
    assert folds.filter(fold="mean")["net_benefit"].item() == pytest.approx(by_fold.mean())
