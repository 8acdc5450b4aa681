import numpy as np
import pytest

from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.phantom.plan import PatientPlan, plan_hospital
from olvf_assets.phantom.readers import Reading, linear_kappa, read_patients
from olvf_assets.phantom.settings import PhantomSettings, ReaderAgreement

THESIS = ReaderAgreement()


@pytest.fixture(scope="module")
def cohort(full_scale: PhantomSettings) -> tuple[PatientPlan, ...]:
    return plan_hospital("institution_1", full_scale, 5)


@pytest.fixture(scope="module")
def readings(cohort: tuple[PatientPlan, ...]) -> list[Reading]:
    return read_patients(cohort, THESIS)


def kappa(rows: list[Reading], left: tuple[str, int], right: tuple[str, int]) -> float:
    said = {(row.patient_id, row.level, row.reader, row.reading): CLASSES.index(row.label) for row in rows}
    table = np.zeros((3, 3), dtype=int)
    for (patient, level, *who), label in said.items():
        if tuple(who) == left and (patient, level, *right) in said:
            table[label, said[patient, level, *right]] += 1
    return linear_kappa(table)


def test_kappa_with_linear_weights_of_a_published_table() -> None:
    # SAS/STAT, PROC FREQ, "Skin Condition": 0.5082
    assert linear_kappa(np.array([[10, 4, 1, 0], [5, 10, 12, 2], [2, 4, 12, 5], [0, 2, 6, 13]])) == pytest.approx(
        0.5082, abs=5e-5
    )
    assert linear_kappa(np.diag([5, 0, 0])) == 1.0


def test_the_readers_agree_as_well_as_is_set(readings: list[Reading]) -> None:
    assert kappa(readings, ("1", 1), ("2", 1)) == pytest.approx(0.801, abs=0.002)
    assert kappa(readings, ("1", 1), ("1", 2)) == pytest.approx(0.821, abs=0.01)
    assert kappa(readings, ("2", 1), ("2", 2)) == pytest.approx(0.861, abs=0.01)
    assert len({row.patient_id for row in readings if row.reader == "consensus"}) == 141


def test_both_readers_err_and_mistake_every_class_for_every_other(
    readings: list[Reading], cohort: tuple[PatientPlan, ...]
) -> None:
    truth = {(each.patient_id, v.level): v.label for each in cohort for v in each.vertebrae}
    for reader in ("1", "2"):
        wrong = {
            (truth[row.patient_id, row.level], row.label)
            for row in readings
            if row.reader == reader and row.reading == 1 and row.label != truth[row.patient_id, row.level]
        }
        assert len(wrong) == 6


def test_the_consensus_restores_the_reference_standard(
    readings: list[Reading], cohort: tuple[PatientPlan, ...]
) -> None:
    truth = {(each.patient_id, v.level): v.label for each in cohort for v in each.vertebrae}
    first: dict[tuple[str, str], dict[str, str]] = {key: {} for key in truth}
    for row in readings:
        if row.reading == 1:
            first[row.patient_id, row.level][row.reader] = row.label
    for key, rows in first.items():
        agreed = rows["1"] == rows["2"]
        assert ("consensus" in rows) == (not agreed)
        assert (rows["1"] if agreed else rows["consensus"]) == truth[key]


def test_only_the_chosen_patients_are_read_twice(tiny: PhantomSettings) -> None:
    patients = plan_hospital("institution_1", tiny, 3)
    rows = read_patients(patients, tiny.institutions["institution_1"].readers)
    assert {row.patient_id for row in rows if row.reading == 2} == {each.patient_id for each in patients if each.reread}
    assert len({each.patient_id for each in patients if each.reread}) == 2
    assert len([row for row in rows if row.reading == 2]) == 2 * 2 * 5


def test_the_same_patients_give_the_same_readings_in_the_order_of_the_sheet(tiny: PhantomSettings) -> None:
    patients = plan_hospital("institution_1", tiny, 3)
    rows = read_patients(patients, THESIS)
    assert rows == read_patients(patients, THESIS)
    keys = [(row.patient_id, row.level, row.reader, row.reading) for row in rows]
    assert keys == sorted(keys)


def test_readers_without_errors_never_need_a_consensus(tiny: PhantomSettings) -> None:
    perfect = ReaderAgreement(normal_as_fractured=0, fresh_missed=0, old_missed=0, age_confused=0)
    rows = read_patients(plan_hospital("institution_1", tiny, 3), perfect)
    assert {row.reader for row in rows} == {"1", "2"}


def test_a_hospital_without_patients_has_no_readings() -> None:
    assert read_patients((), THESIS) == []
