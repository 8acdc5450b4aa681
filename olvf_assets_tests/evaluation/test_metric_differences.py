"""SQL model `site_metric_differences`: the interval of a difference from the intervals of both sides."""

import polars as pl
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from olvf_assets.evaluation.tables import EXTERNAL_METRICS
from olvf_assets.orchestration.sql_models import load_models

MODEL = {model.name: model for model in load_models()}["site_metric_differences"]


def figure(value: float, low: float, high: float, **other: object) -> dict[str, object]:
    shared = {
        "protocol": "patient", "institution": "institution_1", "model": "ensemble", "fold": "mean",
        "positive_class": "fresh", "metric": "sensitivity", "ci_method": "patient_bootstrap", "n_patients": 20,
    }  # fmt: skip
    return shared | {"value": value, "ci_low": low, "ci_high": high} | other


def differences(ours: list[dict[str, object]], theirs: list[dict[str, object]]) -> list[dict[str, object]]:
    frames = {
        "test_metrics": pl.DataFrame(ours, schema=EXTERNAL_METRICS),
        "external_metrics": pl.DataFrame(
            [row | {"institution": "institution_2"} for row in theirs], schema=EXTERNAL_METRICS
        ),
    }
    return MODEL.make(None, **frames).to_dicts()  # type: ignore[arg-type]


@pytest.mark.parametrize(("hits", "of", "others", "of_others"), [(56, 70, 48, 80), (9, 10, 3, 10), (10, 10, 0, 20)])
def test_from_wilson_intervals_it_is_newcombes_interval(hits, of, others, of_others):
    theirs, ours = (
        figure(n / whole, *proportion_confint(n, whole, method="wilson"))
        for n, whole in ((hits, of), (others, of_others))
    )
    (row,) = differences([ours], [theirs])
    low, high = confint_proportions_2indep(hits, of, others, of_others, method="newcomb")
    assert row["difference"] == pytest.approx(hits / of - others / of_others)
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    assert row["verdict"] == "higher"
    assert (row["institution"], row["development_institution"]) == ("institution_2", "institution_1")


def test_verdicts_and_what_is_missing():
    ours = [figure(0.9, 0.85, 0.95), figure(0.9, 0.85, 0.95, metric="auc"), figure(0.9, 0.8, 1.0, metric="accuracy")]
    nan = float("nan")
    theirs = [
        figure(0.7, 0.6, 0.8),
        figure(0.88, 0.8, 0.96, metric="auc"),
        figure(nan, nan, nan, metric="accuracy", reason="no fresh crop"),
    ]
    rows = {row["metric"]: row for row in differences(ours, theirs)}
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "accuracy": None,
        "auc": "open",
        "sensitivity": "lower",
    }
    assert rows["accuracy"]["reason"] == "there: no fresh crop"


def test_each_development_hospital_is_a_side_of_its_own_and_other_methods_and_folds_have_no_part():
    ours = [
        figure(0.9, 0.85, 0.95),
        figure(0.8, 0.75, 0.85, institution="institution_9"),
        figure(0.5, 0.4, 0.6, ci_method="wald"),
        figure(0.5, 0.4, 0.6, fold="1"),
    ]
    rows = differences(ours, [figure(0.7, 0.6, 0.8), figure(0.1, 0, 0.2, ci_method="wald")])
    assert [(row["development_institution"], round(row["difference"], 6)) for row in rows] == [
        ("institution_1", -0.2),
        ("institution_9", -0.1),
    ]
