import math

import polars as pl
import pytest
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from olvf_assets.evaluation.needed import ASSUMED, NO_DESIGN_EFFECT, NOTHING_KNOWN, fresh_fractures_needed, wilson_n
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.tables import EXTERNAL_METRICS, FRESH_FRACTURES_NEEDED

SETTINGS = EvaluationSettings(
    draws=100, confidence=0.95, min_defined_share=0.5, roc_points=50, probability_tolerance=1e-4
)
ROLES = {"institution_1": "development", "institution_2": "external", "institution_3": "external"}
Z = float(norm.ppf(0.975))


def sensitivity(institution: str, value: float, low: float, high: float, n_fresh: int) -> pl.DataFrame:
    """One row as the metric tables have it, and one of another method that is not to be taken."""
    row = {
        "protocol": "patient",
        "institution": institution,
        "model": "ensemble",
        "fold": "mean",
        "positive_class": "fresh",
        "metric": "sensitivity",
        "value": value,
        "ci_low": low,
        "ci_high": high,
        "ci_method": "patient_bootstrap",
        "n_positive": n_fresh,
        "n_negative": 100,
        "n_patients": 30,
    }
    wald = row | {"ci_method": "wald", "value": 0.1, "ci_low": 0.0, "ci_high": 0.2}
    return pl.DataFrame([row, wald, row | {"fold": "1", "value": 0.2}], schema=EXTERNAL_METRICS)


def needed_at(site: str, *theirs: pl.DataFrame, internal: float = 0.9) -> dict:
    ours = sensitivity("institution_1", internal, 0.8, 0.95, 50)
    table = fresh_fractures_needed(ours, pl.concat([EXTERNAL_METRICS.to_frame(), *theirs]), ROLES, SETTINGS)
    assert table.schema == FRESH_FRACTURES_NEEDED
    assert table["institution"].to_list() == ["institution_2", "institution_3"]
    return table.row(by_predicate=pl.col("institution") == site, named=True)


@pytest.mark.parametrize("half_width", [0.02, 0.05, 0.2])
@pytest.mark.parametrize("proportion", [0.0, 0.1, 0.5, 0.77, 1.0])
def test_at_that_n_statsmodels_wilson_interval_is_as_wide(proportion, half_width):
    n = wilson_n(proportion, half_width, Z)
    low, high = proportion_confint(proportion * n, n, method="wilson")
    assert (high - low) / 2 == pytest.approx(half_width, rel=1e-9)


def test_as_independent_fractures_need_as_many_as_wilson_says_and_half_of_it_at_half_the_variance():
    half = Z * math.sqrt(0.8 * 0.2 / 40)
    row = needed_at("institution_2", sensitivity("institution_2", 0.8, 0.8 - half, 0.8 + half, 40))
    assert row["design_effect"] == pytest.approx(1)
    assert row["n_fresh_needed"] == math.ceil(wilson_n(0.8, 0.05, Z)) == 245
    assert (row["n_fresh"], row["n_fresh_more"], row["reason"]) == (40, 205, None)
    assert row["n_fresh_needed_at_most"] == math.ceil(wilson_n(0.8 - half, 0.05, Z))
    narrow = half / math.sqrt(2)
    clustered = needed_at("institution_2", sensitivity("institution_2", 0.8, 0.8 - narrow, 0.8 + narrow, 40))
    assert clustered["design_effect"] == pytest.approx(0.5)
    assert clustered["n_fresh_needed"] == math.ceil(wilson_n(0.8, 0.05, Z) / 2)


def test_where_the_interval_holds_a_half_that_is_the_worst_case():
    row = needed_at("institution_2", sensitivity("institution_2", 0.6, 0.4, 0.8, 20))
    assert row["n_fresh_needed_at_most"] == math.ceil(row["design_effect"] * wilson_n(0.5, 0.05, Z))
    assert row["n_fresh_needed_at_most"] > row["n_fresh_needed"]


def test_enough_is_enough():
    half = 0.02
    row = needed_at("institution_2", sensitivity("institution_2", 0.8, 0.8 - half, 0.8 + half, 2000))
    assert row["n_fresh_needed"] < 2000
    assert row["n_fresh_more"] == 0


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_where_all_or_none_were_found_the_bootstrap_knows_no_width_and_it_is_said(value):
    row = needed_at("institution_2", sensitivity("institution_2", value, value, value, 5))
    assert (row["design_effect"], row["reason"]) == (1.0, NO_DESIGN_EFFECT)
    assert row["n_fresh_needed"] == math.ceil(wilson_n(value, 0.05, Z)) == 35


def test_a_hospital_without_labels_assumes_the_internal_sensitivity():
    row = needed_at("institution_3", internal=0.9)
    assert (row["n_fresh"], row["sensitivity"], row["ci_low"], row["reason"]) == (0, None, None, ASSUMED)
    assert row["n_fresh_needed"] == row["n_fresh_more"] == math.ceil(wilson_n(0.9, 0.05, Z))


def test_where_no_fresh_fracture_is_known_anywhere_nothing_is_guessed():
    nan = float("nan")
    row = needed_at("institution_2", sensitivity("institution_2", nan, nan, nan, 0), internal=nan)
    assert (row["n_fresh_needed"], row["n_fresh_more"], row["reason"]) == (None, None, NOTHING_KNOWN)
