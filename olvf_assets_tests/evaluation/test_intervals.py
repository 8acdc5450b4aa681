import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from olvf_assets.evaluation import intervals, metric_tables
from olvf_assets.evaluation.bootstrap import resampled_auc
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets_tests.evaluation.samples import noisy_probabilities, prediction_rows


def test_wald_equals_statsmodels_also_at_the_edges():
    counts, n = np.array([0, 1, 37, 99, 100]), np.array([100, 100, 80, 100, 100])
    low, high = intervals.wald(counts / n, n, 0.95)
    expected_low, expected_high = proportion_confint(counts, n, alpha=0.05, method="normal")
    np.testing.assert_allclose(low, expected_low, atol=1e-12)
    np.testing.assert_allclose(high, expected_high, atol=1e-12)


def test_hanley_mcneil_equals_its_formula_worked_by_hand():
    # area 0.893 of 51 positives and 58 negatives: Q1 0.80668, Q2 0.84252, standard error 0.03251
    low, high = intervals.hanley_mcneil(np.array(0.893), np.array(51), np.array(58), 0.95)
    assert (high - low) / 2 / 1.959964 == pytest.approx(0.03251, abs=0.00001)
    assert (high + low) / 2 == pytest.approx(0.893)


def test_intervals_of_nothing_are_nan():
    assert np.isnan(intervals.wald(np.array([np.nan]), np.array([0.0]), 0.95)).all()
    assert np.isnan(intervals.hanley_mcneil(np.array([np.nan]), np.array([0.0]), np.array([5.0]), 0.95)).all()


def test_weighted_auc_equals_sklearn_on_copied_samples_with_ties():
    generator = np.random.default_rng(2)
    patients = np.sort(generator.integers(0, 20, size=90))
    patients = np.unique(patients, return_inverse=True)[1]
    positive = generator.random(90) < 0.4
    scores = np.round(generator.random((2, 90)) + 0.3 * positive, 1)
    weights = intervals.patient_weights(patients.max() + 1, 30, seed=5)
    found = resampled_auc(scores, positive, patients, weights)
    for draw, weight in enumerate(weights.astype(int)):
        copies = np.repeat(np.arange(90), weight[patients])
        for model in range(2):
            expected = roc_auc_score(positive[copies], scores[model][copies])
            assert found[model, draw] == pytest.approx(expected, rel=1e-12)


def psi(above: float, below: float) -> float:
    return 1.0 if above > below else 0.5 if above == below else 0.0


def plain_delong(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUCs and their covariance as equations 3 to 6 of DeLong et al. (1988) have it, pair by pair."""
    cases, controls = scores[:, positive], scores[:, ~positive]
    m, n = cases.shape[1], controls.shape[1]
    kernel = np.array([[[psi(x, y) for y in ys] for x in xs] for xs, ys in zip(cases, controls, strict=True)])
    theta = kernel.mean(axis=(1, 2))
    v10, v01 = kernel.mean(axis=2) - theta[:, None], kernel.mean(axis=1) - theta[:, None]
    return theta, v10 @ v10.T / (m - 1) / m + v01 @ v01.T / (n - 1) / n


def test_delong_equals_the_paper_written_out_for_each_model_and_for_their_mean():
    generator = np.random.default_rng(6)
    positive = generator.random(60) < 0.4
    scores = np.round(generator.normal(size=(3, 60)) + generator.normal(size=60) + positive, 1)
    theta, covariance = plain_delong(scores, positive)
    of_positives, of_negatives = intervals.delong_components(scores, positive)
    auc, low, high = intervals.delong(of_positives, of_negatives, 0.95)
    np.testing.assert_allclose(auc, [roc_auc_score(positive, each) for each in scores], rtol=1e-12)
    np.testing.assert_allclose(auc, theta, rtol=1e-12)
    reach = 1.959963984540054 * np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(low, theta - reach, rtol=1e-12)
    np.testing.assert_allclose(high, np.minimum(theta + reach, 1), rtol=1e-12)
    averaged = [each.mean(axis=0, keepdims=True) for each in (of_positives, of_negatives)]
    (auc,), (low,), _ = intervals.delong(*averaged, 0.95)
    assert auc == pytest.approx(theta.mean(), rel=1e-12)
    assert (auc - low) / 1.959963984540054 == pytest.approx(np.sqrt(covariance.mean()), rel=1e-12)


@pytest.mark.filterwarnings("error")
def test_delong_without_or_with_one_positive_has_no_interval():
    scores = np.array([[0.1, 0.5, 0.9]])
    for positive, value in (([False] * 3, np.nan), ([True] * 3, np.nan), ([False, False, True], 1.0)):
        auc, low, high = intervals.delong(*intervals.delong_components(scores, np.array(positive)), 0.95)
        np.testing.assert_array_equal([auc[0], low[0], high[0]], [value, np.nan, np.nan])


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({}, False),
        ({"value": 1.2}, True),
        ({"value": None}, True),
        ({"ci_low": 0.8, "ci_high": 0.6}, True),
        ({"ci_low": -0.1}, True),
        ({"value": float("nan")}, True),
        ({"value": float("nan"), "reason": "no positive sample"}, False),
        ({"ci_low": float("nan")}, True),
    ],
)
def test_rows_that_no_table_of_figures_may_hold_are_found(change, broken):
    row = {"value": 0.5, "ci_low": 0.4, "ci_high": 0.6, "reason": None, **change}
    schema = {"value": pl.Float64, "ci_low": pl.Float64, "ci_high": pl.Float64, "reason": pl.String}
    assert len(intervals.improper_rows(pl.DataFrame([row], schema=schema), "value", 0, 1)) == broken


def test_percentiles_equal_nanpercentile_and_too_few_defined_draws_give_nan():
    drawn = np.random.default_rng(0).random((3, 101))
    drawn[0, :7] = np.nan
    drawn[1, :60] = np.nan
    drawn[2] = np.nan
    low, high = intervals.percentile_interval(drawn, 0.9, 0.5, axis=1)
    np.testing.assert_allclose([low[0], high[0]], np.nanpercentile(drawn[0], [5, 95]))
    assert np.isnan([low[1:], high[1:]]).all()


def test_patient_bootstrap_equals_a_plain_loop_over_the_same_draws():
    generator = np.random.default_rng(4)
    patients = np.repeat(np.arange(15), 4)
    labels = generator.integers(0, 3, size=60)
    frames = [
        prediction_rows(labels, noisy_probabilities(labels, 1.0, generator), fold=str(fold), patients=patients)
        for fold in (1, 2)
    ]
    settings = EvaluationSettings(
        draws=60, confidence=0.9, min_defined_share=0.5, roc_points=200, probability_tolerance=1e-4
    )
    table = metric_tables.metric_table(pl.concat(frames), settings, seed=11)
    seed = derive_seed(11, "patient_bootstrap", "patient", "institution_1")
    drawn: dict[tuple[str, str], list[float]] = {}
    for weight in intervals.patient_weights(15, 60, seed).astype(int):
        members = np.repeat(np.arange(60), weight[patients])
        for metric in ("sensitivity", "false_discovery_rate", "auc"):
            by_class = []
            for c, name in enumerate(CLASSES):
                values = [_figure(metric, frame[members], c, name) for frame in frames]
                by_class.append(np.mean(values))
                drawn.setdefault((metric, name), []).append(by_class[-1])
            drawn.setdefault((metric, "all"), []).append(np.mean(by_class))
    for (metric, name), values in drawn.items():
        row = table.filter(fold="mean", ci_method="patient_bootstrap", metric=metric, positive_class=name)
        expected = np.nanpercentile(values, [5, 95])
        np.testing.assert_allclose(row.select("ci_low", "ci_high").row(0), expected, rtol=1e-12)


def _figure(metric, frame, c, name):
    p = frame.select("p_normal", "p_old", "p_fresh").to_numpy()
    actual, said = frame["label"].to_numpy() == name, p.argmax(axis=1) == c
    if metric == "auc":
        return roc_auc_score(actual, p[:, c])
    if metric == "sensitivity":
        return (actual & said).sum() / actual.sum()
    return (said & ~actual).sum() / said.sum()


def test_patient_bootstrap_covers_clustered_data_where_wald_does_not():
    """200 studies of 30 patients whose ten crops are right or wrong together: nominal coverage 95 %."""
    generator = np.random.default_rng(9)
    settings = EvaluationSettings(
        draws=200, confidence=0.95, min_defined_share=0.5, roc_points=200, probability_tolerance=1e-4
    )
    covered = {"wald": 0, "patient_bootstrap": 0}
    patients = np.repeat(np.arange(30), 10)
    labels = np.zeros(300, dtype=int)
    for study in range(200):
        right = (generator.random(30) < 0.7)[patients]
        p = np.where(right[:, None], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1])
        table = metric_tables.metric_table(prediction_rows(labels, p, patients=patients), settings, seed=study)
        rows = table.filter(fold="1", metric="sensitivity", positive_class="normal")
        for row in rows.iter_rows(named=True):
            covered[row["ci_method"]] += row["ci_low"] <= 0.7 <= row["ci_high"]
    assert covered["patient_bootstrap"] / 200 >= 0.88
    assert covered["wald"] / 200 < 0.6
