import polars as pl
import pytest
from scipy import stats

from olvf_assets.cohort.baseline import baseline_characteristics
from olvf_assets.cohort.tables import BASELINE_CHARACTERISTICS
from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.intake.tables import SUBJECTS

AGES = {"F1": 80, "F2": 70, "F3": 78, "O1": 60, "O2": 66, "N": 50, "U": 40}


def study() -> dict[str, pl.DataFrame]:
    """Three fresh patients, two with old fractures, one all normal (not in the cohort), one undecided (in it)."""
    labels = {"F1": "fofnn", "F2": "fnnnn", "F3": "nfnnn", "O1": "oonnn", "O2": "nonnn", "N": "nnnnn", "U": "?nnnn"}
    words = {"f": "fresh", "o": "old", "n": "normal", "?": None}
    onset = {"F1": 0, "F2": 14, "F3": 15}
    subjects = [("h", one, "F" if one < "O" else "M", age, None, onset.get(one), 3) for one, age in AGES.items()]
    consensus = [
        ("h", one, level, words[letter], one == "F1" and level == "L1")
        for one, letters in labels.items()
        for level, letter in zip(LEVELS, letters, strict=True)
    ]
    films = [("h", f"film {one}", one, "neutral", None if one == "F1" else "A") for one in labels]
    cohort = [
        ("h", f"film {one}", one, level, words[letter])
        for one, letters in labels.items()
        for level, letter in zip(LEVELS, letters, strict=True)
        if one != "N" and letter != "?" and not (one == "F1" and level == "L1")
    ]
    keys = ["institution", "film_id", "patient_id"]
    return {
        "subjects": pl.DataFrame(subjects, schema=SUBJECTS, orient="row"),
        "cohort_vertebrae": pl.DataFrame(cohort, schema=[*keys, "level", "label"], orient="row"),
        "consensus_labels": pl.DataFrame(
            consensus, schema=["institution", "patient_id", "level", "label", "pathological"], orient="row"
        ),
        "films": pl.DataFrame(films, schema=[*keys, "view", "detector"], orient="row"),
    }


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    return baseline_characteristics(**study())


def counts(table: pl.DataFrame, characteristic: str, group: str) -> dict[str, tuple[int, int]]:
    rows = table.filter(characteristic=characteristic, patient_group=group)
    return {category: (n, total) for category, n, total in rows.select("category", "n", "n_total").iter_rows()}


def test_patients_are_grouped_by_their_freshest_fracture(table: pl.DataFrame) -> None:
    assert table.schema == BASELINE_CHARACTERISTICS
    assert [counts(table, "patients", group)["all"][0] for group in ("fresh", "old", "all")] == [3, 2, 6]
    assert counts(table, "sex", "fresh") == {"F": (3, 3), "M": (0, 3)}


def test_a_fracture_by_tumour_makes_nobody_a_fresh_patient() -> None:
    tables = study()
    tables["consensus_labels"] = tables["consensus_labels"].with_columns(pathological=pl.col("patient_id") == "F2")
    tables["consensus_labels"] = tables["consensus_labels"].filter(
        ~((pl.col("patient_id") == "F1") & (pl.col("label") == "fresh"))
    )
    table = baseline_characteristics(**tables)
    assert [counts(table, "patients", group)["all"][0] for group in ("fresh", "old", "all")] == [1, 3, 6]


def test_age_has_mean_deviation_and_welch_s_test(table: pl.DataFrame) -> None:
    fresh = table.filter(characteristic="age_years", patient_group="fresh").row(0, named=True)
    assert (fresh["mean"], fresh["sd"]) == (pytest.approx(76), pytest.approx(28**0.5))
    everybody = table.filter(characteristic="age_years", patient_group="all").row(0, named=True)
    expected = stats.ttest_ind([80, 70, 78], [60, 66], equal_var=False).pvalue
    assert everybody["p_value"] == pytest.approx(expected)
    assert everybody["test"] == "welch_t"
    assert table["p_value"].null_count() == table.height - 1


def test_early_films_are_of_those_whose_onset_is_known(table: pl.DataFrame) -> None:
    assert counts(table, "film_within_14_days_of_onset", "fresh")["true"] == (2, 3)
    assert counts(table, "film_within_14_days_of_onset", "old")["true"] == (0, 0)


def test_fractures_are_counted_per_vertebra_and_images_as_the_cohort_holds_them(table: pl.DataFrame) -> None:
    assert counts(table, "fresh_fractures", "fresh")["L1"] == (1, 3)  # that of F1 is pathological
    assert counts(table, "old_fractures", "all")["L2"] == (3, 4)
    assert counts(table, "normal_images", "old") == {
        "L1": (1, 7), "L2": (0, 7), "L3": (2, 7), "L4": (2, 7), "L5": (2, 7)
    }  # fmt: skip


def test_films_are_counted_by_view_and_detector(table: pl.DataFrame) -> None:
    assert counts(table, "detector", "all") == {"A": (5, 6), "not named": (1, 6)}
    assert counts(table, "view", "old")["neutral"] == (2, 2)


def test_one_patient_a_group_has_no_deviation_and_no_test() -> None:
    few = study()
    few["cohort_vertebrae"] = few["cohort_vertebrae"].filter(pl.col("patient_id").is_in(["F2", "O1"]))
    table = baseline_characteristics(**few)
    assert table.filter(characteristic="age_years")["p_value"].null_count() == 3
    assert table.filter(characteristic="age_years", patient_group="old")["sd"].item() is None


def test_an_empty_cohort_has_no_rows() -> None:
    empty = {name: frame.clear() for name, frame in study().items()}
    assert baseline_characteristics(**empty).height == 0
