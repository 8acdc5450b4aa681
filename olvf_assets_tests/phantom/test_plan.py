from collections import Counter

import numpy as np
import pytest

from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.phantom.plan import PatientPlan, plan_hospital
from olvf_assets.phantom.settings import PhantomSettings
from olvf_assets.phantom.signs import SEVERE_LOSS


@pytest.fixture(scope="module")
def cohort(full_scale: PhantomSettings) -> tuple[PatientPlan, ...]:
    return plan_hospital("institution_1", full_scale, 5)


def excluded(patient: PatientPlan) -> bool:
    return any(each.scope == "fracture" for each in patient.conditions) or any(
        each.pathological for each in patient.vertebrae
    )


def test_the_full_cohort_has_the_patients_of_the_thesis(cohort: tuple[PatientPlan, ...]) -> None:
    assert len(cohort) == 523
    kinds = Counter((each.leading, excluded(each)) for each in cohort)
    assert kinds == {
        ("normal", False): 93, ("fresh", False): 280, ("old", False): 135, ("fresh", True): 12, ("old", True): 3,
    }  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_the_counts_of_the_full_cohort_do_not_hang_on_the_seed(full_scale: PhantomSettings, seed: int) -> None:
    patients = plan_hospital("institution_1", full_scale, seed)
    used = [each for each in patients if each.leading != "normal" and not excluded(each)]
    images = Counter(
        (vertebra.label, vertebra.level)
        for patient in used
        for film in patient.films
        for vertebra in patient.vertebrae
        if not any(each.level == vertebra.level and each.view == film.view for each in patient.conditions)
    )
    counts = full_scale.institutions["institution_1"].images
    assert sum(len(each.films) for each in used) == counts.films
    for label, levels in {"normal": counts.normal, "old": counts.old, "fresh": counts.fresh}.items():
        assert {level: images[label, level] for level in LEVELS} == levels


def test_a_smaller_hospital_gets_its_share_of_films_and_images(full_scale: PhantomSettings) -> None:
    site = full_scale.institutions["institution_1"].model_copy(
        update={
            "patients_normal": 0,
            "patients_fresh": 56,
            "patients_old": 27,
            "excluded_fresh": {},
            "excluded_old": {},
        }
    )
    patients = plan_hospital("institution_1", PhantomSettings(institutions={"institution_1": site}), 3)
    films = [(patient, film) for patient in patients for film in patient.films]
    labels = Counter(vertebra.label for patient, _ in films for vertebra in patient.vertebrae)
    assert len(films) == round(716 / 5)
    assert abs(labels["fresh"] - 521 / 5) <= 5
    assert abs(labels["old"] - 676 / 5) <= 7


def test_no_patient_loses_the_last_image_of_the_leading_fracture(cohort: tuple[PatientPlan, ...]) -> None:
    for patient in cohort:
        if patient.leading == "normal" or excluded(patient):
            continue
        leading = {each.level for each in patient.vertebrae if each.label == patient.leading}
        shown = {(level, film.view) for film in patient.films for level in film.levels if level in leading}
        assert shown - {(each.level, each.view) for each in patient.conditions}


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
    days = [(each.film_date - each.onset_date).days for each in fresh if each.onset_date and not excluded(each)]
    assert min(days) >= 0
    assert sum(each <= 14 for each in days) == 200


@pytest.mark.parametrize(("leading", "mean", "deviation"), [("fresh", 78.5, 11.4), ("old", 77.1, 9.3)])
def test_ages_of_the_used_patients_are_those_of_the_thesis(
    cohort: tuple[PatientPlan, ...], leading: str, mean: float, deviation: float
) -> None:
    ages = [each.age_years for each in cohort if each.leading == leading and not excluded(each)]
    assert np.mean(ages) == pytest.approx(mean, abs=0.049)
    assert np.std(ages, ddof=1) == pytest.approx(deviation, abs=0.049)
    assert max(Counter(ages).values()) < 0.15 * len(ages)  # no heap at the oldest
