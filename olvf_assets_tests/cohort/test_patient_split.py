import re

import polars as pl
import pytest

from olvf_assets.cohort.patient_split import PatientSplitError, part_of, patient_splits
from olvf_assets.cohort.rehearsal import rehearse
from olvf_assets.cohort.settings import CohortSettings
from olvf_assets.orchestration.sql_models import load_models
from olvf_assets.profiles import load_profile

SETTINGS = CohortSettings(test_share=0.2)
COUNTS = {"fresh": 40, "old": 25, "normal": 10}


def cohort(counts: dict[str, int], institution: str = "institution_1", role: str = "development") -> pl.DataFrame:
    """Return two films of five vertebrae per patient; a patient of class c has one c and, if fresh, one old beside."""
    rows = []
    for label, n in counts.items():
        for number in range(n):
            labels = {"L1": label, "L2": "old" if label == "fresh" else "normal", "L3": "normal", "L4": "normal"}
            rows += [
                (institution, role, f"F{label}{number}{view}", f"P{label}{number:03d}", view, level, said)
                for view in ("neutral", "flexion")
                for level, said in labels.items()
            ]
    columns = ["institution", "role", "film_id", "patient_id", "view", "level", "label"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def test_every_development_patient_is_on_exactly_one_side() -> None:
    table = patient_splits(cohort(COUNTS), SETTINGS, 1)
    assert table.height == 75
    assert table["patient_id"].n_unique() == 75
    assert set(table["protocol"]) == {"patient"}
    assert table.filter(role="test")["fold"].null_count() == table.filter(role="test").height
    assert sorted(table.filter(role="train")["fold"].unique()) == [1, 2, 3, 4, 5]


def sides(table: pl.DataFrame) -> dict[tuple[str, str], tuple[str, int | None]]:
    rows = table.select("institution", "patient_id", "role", "fold").rows()
    return {(institution, patient): (role, fold) for institution, patient, role, fold in rows}


def test_shares_are_met_on_average_over_many_patients() -> None:
    table = patient_splits(cohort({"fresh": 2500, "old": 1500, "normal": 1000}), SETTINGS, 1).with_columns(
        stratum=pl.col("patient_id").str.extract(r"^P([a-z]+)")
    )
    for stratum, n in {"fresh": 2500, "old": 1500, "normal": 1000}.items():
        own = table.filter(stratum=stratum)
        four_sd = 4 * (0.2 * 0.8 / n) ** 0.5
        assert own["role"].eq("test").mean() == pytest.approx(0.2, abs=four_sd)
    for n in table.filter(role="train").group_by("fold").len()["len"]:
        assert n == pytest.approx(800, abs=4 * (5000 * 0.16 * 0.84) ** 0.5)


def test_withdrawing_one_patient_moves_nobody() -> None:
    whole = cohort(COUNTS)
    before = sides(patient_splits(whole, SETTINGS, 1))
    for gone in ("Pfresh000", "Pold024", "Pnormal005"):
        after = sides(patient_splits(whole.filter(pl.col("patient_id") != gone), SETTINGS, 1))
        assert after == {patient: side for patient, side in before.items() if patient[1] != gone}


def test_a_patient_or_hospital_more_moves_nobody() -> None:
    before = sides(patient_splits(cohort(COUNTS), SETTINGS, 1))
    grown = pl.concat([cohort(COUNTS | {"fresh": 47}), cohort({"old": 12}, "institution_3")])
    after = sides(patient_splits(grown, SETTINGS, 1))
    assert len(after) == len(before) + 7 + 12
    assert {patient: after[patient] for patient in before} == before


def test_a_patient_labelled_anew_does_not_move() -> None:
    whole = cohort(COUNTS)
    relabelled = whole.with_columns(
        label=pl.when(patient_id="Pfresh003").then(pl.lit("old")).otherwise(pl.col("label"))
    )
    assert patient_splits(relabelled, SETTINGS, 1).equals(patient_splits(whole, SETTINGS, 1))


def test_patients_of_one_name_in_two_hospitals_draw_apart() -> None:
    parts = [
        (part_of("institution_1", f"P{n}", SETTINGS, 1), part_of("institution_3", f"P{n}", SETTINGS, 1))
        for n in range(50)
    ]
    assert sum(here != there for here, there in parts) > 25


def test_another_lot_draws_everyone_anew() -> None:
    other = SETTINGS.model_copy(update={"split_lot": 3})
    assert not patient_splits(cohort(COUNTS), SETTINGS, 1).equals(patient_splits(cohort(COUNTS), other, 1))


@pytest.mark.parametrize("name", ["ci", "demo", "thesis"])
def test_the_lots_of_the_shipped_profiles_give_every_part_each_class_even_after_a_withdrawal(name: str) -> None:
    profile = load_profile(name)
    key = "institution_1"
    tables = rehearse(key, profile.phantom, profile.intake, profile.seed, load_models(), ["cohort_vertebrae"])
    made = tables["cohort_vertebrae"]
    before = sides(patient_splits(made, profile.cohort, profile.seed))
    share = sum(role == "test" for role, _ in before.values()) / len(before)
    assert share == pytest.approx(profile.cohort.test_share, abs=0.07)
    for gone in made["patient_id"].unique().sort()[:10]:
        after = sides(patient_splits(made.filter(pl.col("patient_id") != gone), profile.cohort, profile.seed))
        assert after == {patient: side for patient, side in before.items() if patient[1] != gone}


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_rows() -> None:
    table = cohort(COUNTS)
    shuffled = table.sample(fraction=1.0, shuffle=True, seed=9)
    assert patient_splits(table, SETTINGS, 1).equals(patient_splits(shuffled, SETTINGS, 1))
    assert not patient_splits(table, SETTINGS, 1).equals(patient_splits(table, SETTINGS, 2))


def test_external_patients_have_no_part_in_it() -> None:
    external = cohort({"fresh": 5}, "institution_2", "external")
    with_external = patient_splits(pl.concat([cohort(COUNTS), external]), SETTINGS, 1)
    assert with_external.equals(patient_splits(cohort(COUNTS), SETTINGS, 1))


def test_a_drawing_without_a_class_says_which_one_serves() -> None:
    few = cohort({"fresh": 9, "old": 9})
    with pytest.raises(PatientSplitError) as error:
        patient_splits(few, SETTINGS, 5)
    message = str(error.value)
    assert "18 development patients are too few for a test set and 5 folds" in message
    assert "has no fresh" in message
    assert " 0 fresh" in message
    lot = int(re.search(r"set cohort\.split_lot to (\d+)", message)[1])
    patient_splits(few, SETTINGS.model_copy(update={"split_lot": lot}), 5)


def test_when_no_drawing_serves_the_message_says_so() -> None:
    with pytest.raises(PatientSplitError, match=r"none of the next 200 drawings .* serves: take in more patients"):
        patient_splits(cohort({"fresh": 4, "old": 20, "normal": 5}), SETTINGS, 1)


def test_no_development_patient_is_an_error() -> None:
    with pytest.raises(PatientSplitError, match='role = "development"'):
        patient_splits(cohort({"fresh": 5}, role="external"), SETTINGS, 1)
