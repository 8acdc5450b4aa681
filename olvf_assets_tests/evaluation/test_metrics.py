import math

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from olvf_assets.evaluation import metric_tables, metrics
from olvf_assets.evaluation.intervals import improper_rows
from olvf_assets.evaluation.predictions import BrokenPredictionsError, scored_samples, stacked_predictions
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.tables import METRIC_TABLE, METRICS
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets_tests.evaluation.samples import noisy_probabilities, one_hot, prediction_rows, study_predictions

SETTINGS = EvaluationSettings(
    draws=200, confidence=0.95, min_defined_share=0.9, roc_points=200, probability_tolerance=1e-4
)

# One confusion matrix of 5 x 640 test crops (rows: actual normal, old, fresh) that has the pooled counts of
# facts.md: TP 1104, 807, 778 and TN 1871, 2009, 2008 (2009 here: with 2008 the three sums of errors disagree by one).
POOLED = np.array([[1104, 9, 27], [89, 807, 124], [100, 162, 778]])
TABLE_6 = {
    "accuracy": (0.894, 0.930, 0.880, 0.871),
    "sensitivity": (0.836, 0.968, 0.791, 0.748),
    "specificity": (0.920, 0.908, 0.922, 0.930),
    "false_discovery_rate": (0.161, 0.146, 0.175, 0.163),
    "false_omission_rate": (0.077, 0.019, 0.096, 0.115),
}
TABLE_6_INTERVALS = {
    "accuracy": (0.870, 0.917),
    "sensitivity": (0.790, 0.882),
    "specificity": (0.894, 0.946),
    "false_discovery_rate": (0.111, 0.211),
    "false_omission_rate": (0.053, 0.100),
}


def thesis_predictions() -> pl.DataFrame:
    """Deal the pooled matrix out to five folds of the same 228 + 204 + 208 test crops."""
    labels = np.repeat([0, 1, 2], POOLED.sum(axis=1) // 5)
    frames = []
    for fold in range(5):
        predicted = np.concatenate([np.repeat([0, 1, 2], row)[fold::5] for row in POOLED])
        frames.append(prediction_rows(labels, one_hot(predicted), fold=str(fold + 1)))
    return pl.concat(frames)


def one(table: pl.DataFrame, **where: str) -> dict:
    return table.filter(*(pl.col(name) == value for name, value in where.items())).row(0, named=True)


@pytest.mark.parametrize(
    ("index", "tp", "tn", "positives"), [(0, 1104, 1871, 1140), (1, 807, 2009, 1020), (2, 778, 2008, 1040)]
)
def test_counts_pooled_over_five_folds_give_every_rate_of_table_6(index, tp, tn, positives):
    found = metrics.rates(tp, 3200 - positives - tn, positives - tp, tn)
    for name, printed in TABLE_6.items():
        assert found[name] == pytest.approx(printed[index + 1], abs=0.00051), name


def test_mean_of_the_folds_gives_table_6_with_its_intervals_for_all():
    table = metric_tables.metric_table(thesis_predictions(), SETTINGS, 0).filter(ci_method="wald", fold="mean")
    for name, printed in TABLE_6.items():
        for positive_class, value in zip(("all", *CLASSES), printed, strict=True):
            row = one(table, metric=name, positive_class=positive_class)
            assert row["value"] == pytest.approx(value, abs=0.00051), (name, positive_class)
        low, high = TABLE_6_INTERVALS[name]
        row = one(table, metric=name, positive_class="all")
        assert row["ci_low"] == pytest.approx(low, abs=0.0011), name
        assert row["ci_high"] == pytest.approx(high, abs=0.0011), name


def test_rates_of_a_hand_made_table():
    found = metrics.rates(8, 2, 4, 6)
    assert found == pytest.approx(
        {
            "accuracy": 0.7,
            "sensitivity": 8 / 12,
            "specificity": 0.75,
            "positive_predictive_value": 0.8,
            "negative_predictive_value": 0.6,
            "false_positive_rate": 0.25,
            "false_negative_rate": 4 / 12,
            "false_discovery_rate": 0.2,
            "false_omission_rate": 0.4,
        }
    )


@pytest.mark.filterwarnings("error")
def test_rates_without_a_denominator_are_nan_and_arrays_keep_their_shape():
    found = metrics.rates(0, 0, 0, 5)
    assert [name for name, value in found.items() if math.isnan(value)] == [
        "sensitivity",
        "positive_predictive_value",
        "false_negative_rate",
        "false_discovery_rate",
    ]
    assert all(math.isnan(value) for value in metrics.rates(0, 0, 0, 0).values())
    arrays = metrics.rates(np.array([[1, 0]]), np.array([[1, 0]]), np.array([[3, 0]]), np.array([[5, 2]]))
    np.testing.assert_array_equal(arrays["false_discovery_rate"], [[0.5, np.nan]])


def test_area_under_curve_equals_sklearn_with_ties():
    generator = np.random.default_rng(1)
    positive = generator.random(300) < 0.3
    scores = np.round(generator.normal(size=(4, 300)) + positive, 1)
    expected = [roc_auc_score(positive, each) for each in scores]
    np.testing.assert_allclose(metrics.area_under_curve(scores, positive), expected, rtol=1e-12)


def test_area_under_curve_without_positives_is_nan():
    assert np.isnan(metrics.area_under_curve(np.array([0.1, 0.9]), np.array([False, False])))


def test_external_table_equals_sklearn_and_the_two_methods_agree_on_values():
    ensemble, folds = study_predictions("external", "institution_2", patients=40, seed=3)
    table = metric_tables.external_metrics(ensemble, folds, SETTINGS, seed=7)
    samples = folds.filter(architecture="resnet50", fold=4)
    for name in CLASSES:
        expected = roc_auc_score(samples["label"] == name, samples[f"p_{name}"])
        for method in ("wald", "patient_bootstrap"):
            where = {"model": "resnet50", "fold": "4", "metric": "auc", "ci_method": method}
            assert one(table, positive_class=name, **where)["value"] == pytest.approx(expected, rel=1e-12)
    wide = table.pivot("ci_method", index=["model", "fold", "positive_class", "metric"], values="value")
    assert wide.filter((pl.col("wald") - pl.col("patient_bootstrap")).abs() > 1e-12).is_empty()


def test_table_has_every_model_fold_class_and_metric_once_in_the_contract_columns():
    ensemble, folds = study_predictions("test", "institution_1", patients=12, seed=3)
    table = metric_tables.internal_metrics(ensemble, folds, SETTINGS, seed=7)
    assert table.schema == METRIC_TABLE
    entries = set(table.select("model", "fold").unique().rows())
    by_fold = ("ensemble", "densenet161", "resnet50", "resnext50")
    assert entries == {(m, f) for m in by_fold for f in ("1", "2", "3", "4", "5", "mean")} | {
        ("ensemble_of_15", "mean")
    }
    assert len(table) == 25 * 4 * (len(METRICS) * 2 + 1)
    ids = ["model", "fold", "positive_class", "metric", "ci_method"]
    assert not table.select(ids).is_duplicated().any()
    assert improper_rows(table, "value", 0, 1).is_empty()


def test_bootstrap_rows_count_each_crop_once_and_wald_rows_count_replicas():
    ensemble, folds = study_predictions("test", "institution_1", patients=12, seed=3)
    table = metric_tables.internal_metrics(ensemble, folds, SETTINGS, seed=7)
    samples = folds.filter(architecture="resnet50", fold=1)
    for method, counted in (("wald", samples), ("patient_bootstrap", samples.filter(replica=0))):
        best = counted.select(pl.concat_list("p_normal", "p_old", "p_fresh").list.arg_max()).to_series().to_numpy()
        actual = counted["label"].to_numpy() == "old"
        where = {"model": "resnet50", "fold": "1", "positive_class": "old", "ci_method": method}
        row = one(table, metric="accuracy", **where)
        assert row["value"] == pytest.approx(np.mean((best == 1) == actual))
        assert (row["n_positive"], row["n_negative"]) == (actual.sum(), (~actual).sum())


def test_all_is_the_mean_of_the_classes_and_mean_is_the_mean_of_the_folds():
    ensemble, folds = study_predictions("external", "institution_2", patients=30, seed=5)
    table = metric_tables.external_metrics(ensemble, folds, SETTINGS, seed=7).filter(model="ensemble", metric="auc")
    for method in ("wald", "patient_bootstrap"):
        rows = table.filter(ci_method=method)
        fold_2 = rows.filter(fold="2")
        classes = fold_2.filter(pl.col("positive_class") != "all")
        assert one(fold_2, positive_class="all")["value"] == pytest.approx(classes["value"].mean())
        assert one(fold_2, positive_class="all")["n_negative"] == 2 * 150
        fresh = rows.filter(positive_class="fresh")
        folds_mean = fresh.filter(pl.col("fold") != "mean")["value"].mean()
        assert one(fresh, fold="mean")["value"] == pytest.approx(folds_mean)


def test_a_class_that_is_never_predicted_has_nan_discovery_rate_and_keeps_its_sensitivity():
    labels = np.array([0, 0, 1, 2, 1, 0])
    predicted = np.array([0, 0, 1, 1, 1, 1])
    table = metric_tables.metric_table(prediction_rows(labels, one_hot(predicted)), SETTINGS, 0)
    for method in ("wald", "patient_bootstrap"):
        rows = table.filter(ci_method=method, fold="1")
        for positive_class in ("fresh", "all"):
            row = one(rows, metric="false_discovery_rate", positive_class=positive_class)
            assert all(math.isnan(row[name]) for name in ("value", "ci_low", "ci_high"))
        assert one(rows, metric="sensitivity", positive_class="fresh")["value"] == 0
        assert one(rows, metric="false_discovery_rate", positive_class="old")["value"] == 0.5


def test_a_class_absent_from_a_hospital_gives_nan_and_no_crash():
    labels = np.array([0, 1, 0, 1])
    table = metric_tables.metric_table(prediction_rows(labels, one_hot(np.array([0, 1, 1, 1]))), SETTINGS, 0)
    fresh = table.filter(positive_class="fresh", fold="mean", ci_method="wald")
    assert dict(fresh.filter(pl.col("value").is_nan()).select("metric", "reason").rows()) == {
        "sensitivity": "no positive sample",
        "false_negative_rate": "no positive sample",
        "positive_predictive_value": "never predicted, in at least one fold",
        "false_discovery_rate": "never predicted, in at least one fold",
        "auc": "no positive sample",
    }
    assert fresh.filter(pl.col("value").is_not_nan())["reason"].null_count() == len(METRICS) - 5
    auc = one(table, positive_class="all", fold="mean", metric="auc", ci_method="wald")
    assert auc["reason"] == "undefined for at least one class"
    assert improper_rows(table, "value", 0, 1).is_empty()


def test_one_patient_has_values_but_no_interval_over_patients():
    labels = np.array([0, 1, 2, 2])
    rows = prediction_rows(labels, one_hot(np.array([0, 1, 2, 1])), patients=np.zeros(4, dtype=int))
    table = metric_tables.metric_table(rows, SETTINGS, 0)
    row = one(table, fold="1", metric="sensitivity", positive_class="fresh", ci_method="patient_bootstrap")
    assert (row["value"], row["reason"]) == (0.5, "one patient cannot be resampled")
    assert math.isnan(row["ci_low"])
    row = one(table, fold="1", metric="auc", positive_class="old", ci_method="delong")
    assert (row["value"], row["reason"]) == (pytest.approx(5 / 6), "fewer than two positive or two negative samples")


@pytest.mark.filterwarnings("error")
def test_no_sample_at_all_gives_nan_with_the_reason():
    (samples,) = scored_samples(prediction_rows(np.array([0, 1]), one_hot(np.array([0, 1]))))
    empty = samples.only(np.array([False, False]))
    table = metric_tables.metric_rows(empty, empty.means(), SETTINGS, 0)
    assert len(table) == 4 * (len(METRICS) * 2 + 1)
    assert table.select(pl.col("value", "ci_low", "ci_high").is_nan().all()).row(0) == (True, True, True)
    assert table["reason"].unique().to_list() == ["no sample"]
    assert table["n_patients"].unique().to_list() == [0]


def test_quantities_have_their_own_names_and_the_thesis_label_where_it_is_another():
    table = metric_tables.metric_table(thesis_predictions(), SETTINGS, 0)
    labelled = dict(table.drop_nulls("thesis_label").select("metric", "thesis_label").unique().rows())
    assert labelled == {
        "false_discovery_rate": "false positive rate",
        "false_omission_rate": "false negative rate",
    }
    normal = table.filter(fold="mean", positive_class="normal", ci_method="wald")
    true_rate, labelled_rate = one(normal, metric="false_positive_rate"), one(normal, metric="false_discovery_rate")
    assert true_rate["value"] == pytest.approx(1 - 0.908, abs=0.00051)
    assert labelled_rate["value"] == pytest.approx(0.146, abs=0.00051)


def test_delong_rows_are_of_the_auc_and_all_says_why_it_has_no_interval():
    ensemble, folds = study_predictions("external", "institution_2", patients=30, seed=5)
    table = metric_tables.external_metrics(ensemble, folds, SETTINGS, seed=7)
    delong = table.filter(ci_method="delong", model="ensemble", fold="mean")
    assert delong["metric"].unique().to_list() == ["auc"]
    for name in (*CLASSES, "all"):
        row = one(delong, positive_class=name)
        same = one(table, ci_method="wald", model="ensemble", fold="mean", metric="auc", positive_class=name)
        assert row["value"] == pytest.approx(same["value"], rel=1e-12)
        assert math.isnan(row["ci_low"]) == (name == "all")
        assert row["reason"] == ("DeLong's variance is of one class against the rest" if name == "all" else None)


def test_same_seed_gives_the_same_table_and_row_order_does_not_matter():
    ensemble, folds = study_predictions("external", "institution_2", patients=10, seed=5)
    table = metric_tables.external_metrics(ensemble, folds, SETTINGS, seed=7)
    again = metric_tables.external_metrics(
        ensemble.sample(fraction=1, shuffle=True, seed=1), folds.reverse(), SETTINGS, 7
    )
    assert again.equals(table)
    other = metric_tables.external_metrics(ensemble, folds, SETTINGS, seed=8)
    assert not other.equals(table)


def test_predictions_of_no_sample_give_an_empty_table():
    ensemble, folds = study_predictions("external", "institution_2", patients=10, seed=5)
    table = metric_tables.internal_metrics(ensemble, folds, SETTINGS, seed=7)
    assert table.is_empty()
    assert table.schema == METRIC_TABLE


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda rows: pl.concat([rows, rows.head(1)]), "scored twice"),
        (lambda rows: rows.slice(1), "different samples"),
        (lambda rows: rows.with_columns(p_old=pl.lit(float("nan"))), "no number"),
        (lambda rows: rows.with_columns(label=pl.lit("healthy")), "healthy"),
    ],
)
def test_broken_predictions_are_refused(spoil, message):
    ensemble, folds = study_predictions("external", "institution_2", patients=4, seed=5)
    with pytest.raises(BrokenPredictionsError, match=message):
        metric_tables.metric_table(spoil(stacked_predictions(ensemble, folds)), SETTINGS, 0)


def test_better_probabilities_give_a_higher_auc():
    labels = np.tile([0, 1, 2], 100)
    generator = np.random.default_rng(0)
    values = []
    for skill in (0.0, 1.0, 3.0):
        rows = prediction_rows(labels, noisy_probabilities(labels, skill, generator))
        table = metric_tables.metric_table(rows, SETTINGS, 0)
        values.append(one(table, metric="auc", positive_class="all", fold="1", ci_method="wald")["value"])
    assert values[0] == pytest.approx(0.5, abs=0.06)
    assert values[0] < values[1] < values[2]
