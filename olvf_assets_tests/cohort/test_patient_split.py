import polars as pl
import pytest

from olvf_assets.cohort.patient_split import PatientSplitError, patient_splits
from olvf_assets.cohort.settings import CohortSettings

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


def test_the_test_set_and_the_folds_are_stratified_by_the_rarest_class() -> None:
    table = patient_splits(cohort(COUNTS), SETTINGS, 1).with_columns(
        stratum=pl.col("patient_id").str.extract(r"^P([a-z]+)")
    )
    assert dict(table.filter(role="test").group_by("stratum").len().iter_rows()) == {"fresh": 8, "old": 5, "normal": 2}
    per_fold = table.filter(role="train").group_by("fold", "stratum").len()
    for stratum, expected in {"fresh": 32, "old": 20, "normal": 8}.items():
        sizes = per_fold.filter(stratum=stratum)["len"].to_list()
        assert sum(sizes) == expected
        assert max(sizes) - min(sizes) <= 1
    sizes = table.filter(role="train").group_by("fold").len()["len"]
    assert sizes.to_list() == [12] * 5


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_rows() -> None:
    table = cohort(COUNTS)
    shuffled = table.sample(fraction=1.0, shuffle=True, seed=9)
    assert patient_splits(table, SETTINGS, 1).equals(patient_splits(shuffled, SETTINGS, 1))
    assert not patient_splits(table, SETTINGS, 1).equals(patient_splits(table, SETTINGS, 2))


def test_external_patients_have_no_part_in_it() -> None:
    external = cohort({"fresh": 5}, "institution_2", "external")
    with_external = patient_splits(pl.concat([cohort(COUNTS), external]), SETTINGS, 1)
    assert with_external.equals(patient_splits(cohort(COUNTS), SETTINGS, 1))


def test_two_development_hospitals_are_stratified_apart() -> None:
    both = pl.concat([cohort(COUNTS), cohort(COUNTS, "institution_3")])
    table = patient_splits(both, SETTINGS, 1)
    assert table.height == 150
    tests = table.filter(role="test").group_by("institution").len()
    assert dict(tests.iter_rows()) == {"institution_1": 15, "institution_3": 15}


def test_too_few_patients_of_a_class_is_an_error_with_counts() -> None:
    with pytest.raises(PatientSplitError) as error:
        patient_splits(cohort({"fresh": 4, "old": 20, "normal": 5}), SETTINGS, 1)
    message = str(error.value)
    assert "29 development patients are too few for a test set and 5 folds" in message
    assert "has no fresh" in message
    assert "0 fresh" in message
    assert "take in more patients" in message


def test_no_development_patient_is_an_error() -> None:
    with pytest.raises(PatientSplitError, match='role = "development"'):
        patient_splits(cohort({"fresh": 5}, role="external"), SETTINGS, 1)
