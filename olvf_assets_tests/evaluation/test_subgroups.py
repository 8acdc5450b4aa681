import numpy as np
import polars as pl
import pytest

from olvf_assets.evaluation import metric_tables
from olvf_assets.evaluation.intervals import improper_rows
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.subgroups import groups_of_crops, subgroup_metrics
from olvf_assets.evaluation.tables import METRICS, SUBGROUP_METRICS
from olvf_assets_tests.evaluation.samples import study_predictions

SETTINGS = EvaluationSettings(
    draws=100, confidence=0.95, min_defined_share=0.5, roc_points=50, probability_tolerance=1e-4
)
LEVELS_WITH_CROPS = ("L1", "L2", "L3", "L4")


@pytest.fixture(scope="module")
def ensemble() -> pl.DataFrame:
    ensemble, _ = study_predictions("test", "institution_1", patients=20, seed=3)
    number = pl.col("crop_id").str.slice(1, 5).cast(pl.Int64)
    return ensemble.with_columns(level=pl.format("L{}", number % len(LEVELS_WITH_CROPS) + 1))


@pytest.fixture(scope="module")
def attributes(ensemble: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Two devices by turns of the patient, one patient of unknown sex and age, ages 60, 61, ..."""
    crops = ensemble.select("institution", "crop_id", "patient_id", "level").unique().sort("crop_id")
    patient = pl.col("patient_id").str.slice(1).cast(pl.Int64)
    views = pl.when(pl.col("level") == "L2").then(pl.lit("flexion")).otherwise(pl.lit("neutral"))
    crops = crops.with_columns(film_id=pl.format("F{}", patient), view=views)
    people = crops.select("institution", "patient_id", "film_id").unique().sort("patient_id")
    sexes = pl.when(patient % 3 == 0).then(pl.lit("M")).otherwise(pl.lit("F"))
    subjects = people.with_columns(sex=sexes, age_years=60 + patient).filter(patient != 5)
    films = people.with_columns(detector=pl.when(patient % 2 == 0).then(pl.lit("CsI")).otherwise(pl.lit("GOS")))
    return {"vertebra_crops": crops, "films": films, "subjects": subjects}


@pytest.fixture(scope="module")
def table(ensemble: pl.DataFrame, attributes: dict[str, pl.DataFrame]) -> pl.DataFrame:
    return subgroup_metrics(ensemble, **attributes, settings=SETTINGS, seed=1)


def test_groups_are_those_of_films_and_sheets(table: pl.DataFrame) -> None:
    assert table.schema == SUBGROUP_METRICS
    found = table.group_by("subgroup").agg(pl.col("subgroup_value").unique().sort())
    assert dict(found.rows()) == {
        "level": ["L1", "L2", "L3", "L4", "L5"],
        "view": ["flexion", "neutral"],
        "device": ["CsI", "GOS"],
        "sex": ["F", "M", "unknown"],
        "age_band": ["65-74", "75-84", "under 65", "unknown"],
    }
    assert set(table.select("model", "fold").unique().rows()) == {("ensemble", "mean"), ("ensemble_of_15", "mean")}
    groups = 5 + 2 + 2 + 3 + 4
    assert len(table) == groups * 2 * 4 * (2 * len(METRICS) + 1)
    assert improper_rows(table, "value", 0, 1).is_empty()


def test_a_groups_values_are_those_of_its_samples_alone(
    table: pl.DataFrame, ensemble: pl.DataFrame, attributes: dict[str, pl.DataFrame]
) -> None:
    film = attributes["films"].filter(detector="GOS")
    members = attributes["vertebra_crops"].join(film, on="film_id", how="semi")["crop_id"].to_list()
    expected = metric_tables.metric_table(ensemble.filter(pl.col("crop_id").is_in(members)), SETTINGS, seed=1)
    ids = ["model", "fold", "positive_class", "metric", "ci_method"]
    found = table.filter(subgroup="device", subgroup_value="GOS").sort(ids)
    expected = expected.filter(fold="mean").sort(ids)
    same = ["value", "n_positive", "n_negative", "n_patients", "reason"]
    assert found.select(same).equals(expected.select(same), null_equal=True)
    exact = pl.col("ci_method") != "patient_bootstrap"
    ends = ["ci_low", "ci_high"]
    assert found.filter(exact).select(ends).equals(expected.filter(exact).select(ends))


def test_sizes_of_groups_add_up_and_an_empty_level_says_so(table: pl.DataFrame) -> None:
    where = {"model": "ensemble", "positive_class": "old", "metric": "sensitivity", "ci_method": "wald"}
    rows = table.filter(**where)
    sums = rows.group_by("subgroup").agg(pl.col("n_positive", "n_negative").sum())
    assert sums.select("n_positive", "n_negative").n_unique() == 1
    empty = rows.filter(subgroup_value="L5").row(0, named=True)
    assert np.isnan(empty["value"])
    assert (empty["reason"], empty["n_patients"]) == ("no sample", 0)


def test_bands_begin_at_their_edge() -> None:
    crops = pl.DataFrame({"institution": "i", "crop_id": list("abcd"), "film_id": "f", "view": "neutral"})
    crops = crops.with_columns(patient_id="crop_id")
    subjects = crops.select("institution", "patient_id", sex=pl.lit("F"), age_years=pl.Series([64, 65, 84, 85]))
    films = pl.DataFrame({"institution": ["i"], "film_id": ["f"], "detector": ["CsI"]})
    found = groups_of_crops(crops, films, subjects, (85, 65)).sort("crop_id")
    assert found["age_band"].to_list() == ["under 65", "65-84", "65-84", "85 and over"]
