from collections import Counter

import numpy as np
import pytest

from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.phantom.plan import PatientPlan, plan_hospital, quota
from olvf_assets.phantom.readers import read_patients
from olvf_assets.phantom.settings import PhantomSettings, ReaderErrors
from olvf_assets.phantom.signs import SEVERE_LOSS


@pytest.fixture(scope="module")
def cohort(full_scale: PhantomSettings) -> tuple[PatientPlan, ...]:
    return plan_hospital("institution_1", full_scale, 5)


def excluded(patient: PatientPlan) -> bool:
    return any(each.scope == "fracture" for each in patient.conditions) or any(
        each.pathological for each in patient.vertebrae
    )


def test_quota_is_exact_in_total_and_follows_the_weights() -> None:
    assert Counter(quota({"a": 2, "b": 1, "c": 1}, 8)) == {"a": 4, "b": 2, "c": 2}
    assert len(quota({"a": 1, "b": 1, "c": 1}, 10)) == 10
    assert quota({"a": 1.0}, 0) == []


def test_the_full_cohort_has_the_patients_of_the_thesis(cohort: tuple[PatientPlan, ...]) -> None:
    assert len(cohort) == 523
    kinds = Counter((each.leading, excluded(each)) for each in cohort)
    assert kinds == {
        ("normal", False): 93, ("fresh", False): 280, ("old", False): 135, ("fresh", True): 12, ("old", True): 3,
    }  # fmt: skip


def test_the_full_cohort_has_about_the_films_and_vertebra_images_of_the_thesis(cohort: tuple[PatientPlan, ...]) -> None:
    used = [each for each in cohort if each.leading != "normal" and not excluded(each)]
    films = [(patient, film) for patient in used for film in patient.films]
    dropped = sum(len({(each.level, each.view) for each in patient.conditions}) for patient in used)
    images = Counter(
        vertebra.label
        for patient, film in films
        for vertebra in patient.vertebrae
        if not any(each.level == vertebra.level and each.view == film.view for each in patient.conditions)
    )
    assert abs(len(films) - 716) <= 10
    assert abs(dropped - 99) <= 3
    assert images.total() == 5 * len(films) - dropped
    for label, expected in {"normal": 2284, "old": 676, "fresh": 521}.items():
        assert abs(images[label] - expected) < 0.1 * expected


def test_the_same_seed_gives_the_same_plan_and_another_seed_another(tiny: PhantomSettings) -> None:
    assert plan_hospital("institution_1", tiny, 1) == plan_hospital("institution_1", tiny, 1)
    assert plan_hospital("institution_1", tiny, 1) != plan_hospital("institution_1", tiny, 2)


def test_an_institution_without_patients_is_planned_as_empty(tiny: PhantomSettings) -> None:
    none = {"patients_normal": 0, "patients_fresh": 0, "patients_old": 0, "excluded_fresh": {}, "excluded_old": {}}
    site = tiny.institutions["institution_1"].model_copy(update=none)
    assert plan_hospital("institution_1", PhantomSettings(institutions={"institution_1": site}), 1) == ()


def test_every_patient_has_five_vertebrae_and_the_fracture_that_names_them(cohort: tuple[PatientPlan, ...]) -> None:
    for patient in cohort:
        labels = [each.label for each in patient.vertebrae]
        assert [each.level for each in patient.vertebrae] == list(LEVELS)
        if patient.leading == "normal":
            assert set(labels) == {"normal"}
        else:
            assert patient.leading in labels
        assert patient.leading != "old" or "fresh" not in labels


def test_only_severe_crush_exceeds_the_genant_limit_and_its_ratio_is_written_down(
    cohort: tuple[PatientPlan, ...],
) -> None:
    for patient in cohort:
        severe = {each.level: each.height_ratio for each in patient.conditions if each.condition == "severe_crush"}
        for vertebra in patient.vertebrae:
            assert (vertebra.signs.loss > SEVERE_LOSS) == (vertebra.level in severe)
        assert all(ratio is not None and ratio < 0.6 for ratio in severe.values())


def test_levels_outside_a_thoracic_film_are_written_down_as_badly_placed(cohort: tuple[PatientPlan, ...]) -> None:
    thoracic = [each for each in cohort if any(film.view == "thoracic" for film in each.films)]
    assert len(thoracic) > 15
    for patient in thoracic:
        rows = {(each.level, each.condition) for each in patient.conditions if each.view == "thoracic"}
        assert {("L4", "poor_positioning"), ("L5", "poor_positioning")} <= rows


def test_a_fresh_patient_with_unknown_onset_has_no_onset_date_and_others_have(cohort: tuple[PatientPlan, ...]) -> None:
    fresh = [each for each in cohort if each.leading == "fresh"]
    unknown = [each for each in fresh if each.onset_date is None]
    assert len(unknown) == 2
    assert all(each.conditions[0].condition == "onset_unknown" for each in unknown)
    days = [(each.film_date - each.onset_date).days for each in fresh if each.onset_date is not None]
    assert min(days) >= 0
    assert np.mean(np.array(days) <= 14) == pytest.approx(200 / 280, abs=0.06)


def test_ages_follow_the_thesis(cohort: tuple[PatientPlan, ...]) -> None:
    ages = [each.age_years for each in cohort if each.leading == "fresh"]
    assert np.mean(ages) == pytest.approx(78.5, abs=2.0)
    assert np.std(ages) == pytest.approx(11.4, abs=2.0)


def test_the_consensus_restores_the_reference_standard(cohort: tuple[PatientPlan, ...]) -> None:
    truth = {(each.patient_id, v.level): v.label for each in cohort for v in each.vertebrae}
    first: dict[tuple[str, str], dict[str, str]] = {key: {} for key in truth}
    for row in read_patients(cohort, (ReaderErrors(), ReaderErrors())):
        if row.reading == 1:
            first[row.patient_id, row.level][row.reader] = row.label
    for key, rows in first.items():
        agreed = rows["1"] == rows["2"]
        assert ("consensus" in rows) == (not agreed)
        assert (rows["1"] if agreed else rows["consensus"]) == truth[key]


def test_readers_disagree_about_as_often_as_in_the_thesis(cohort: tuple[PatientPlan, ...]) -> None:
    site_readers = (ReaderErrors(), ReaderErrors())
    patients = {row.patient_id for row in read_patients(cohort, site_readers) if row.reader == "consensus"}
    assert 100 <= len(patients) <= 220


def test_only_the_chosen_patients_are_read_twice(tiny: PhantomSettings) -> None:
    patients = plan_hospital("institution_1", tiny, 3)
    rows = read_patients(patients, tiny.institutions["institution_1"].readers)
    assert {row.patient_id for row in rows if row.reading == 2} == {each.patient_id for each in patients if each.reread}
    assert len({each.patient_id for each in patients if each.reread}) == 2
    assert len([row for row in rows if row.reading == 2]) == 2 * 2 * 5


def test_readers_without_errors_never_need_a_consensus(tiny: PhantomSettings) -> None:
    perfect = ReaderErrors(normal_as_fractured=0, fresh_missed=0, old_missed=0, age_confused=0)
    rows = read_patients(plan_hospital("institution_1", tiny, 3), (perfect, perfect))
    assert {row.reader for row in rows} == {"1", "2"}
