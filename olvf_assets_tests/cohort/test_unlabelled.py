"""Patients whom nobody read, and hospitals without sheets, in the cohort's SQL models."""

from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from olvf_assets.cohort import agreement, baseline
from olvf_assets.cohort.checks import no_hospital_has_lost_its_labels
from olvf_assets.cohort.settings import CohortSettings
from olvf_assets.foundation.tables import TableRun
from olvf_assets.profiles import load_profile
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets_tests.cohort.test_sql_models import (
    AFTER_CROPS,
    HOSPITAL,
    MODELS,
    TESTS,
    broken,
    frames,
    resolved,
    with_models,
)

OTHERS = [name for name in MODELS if name not in AFTER_CROPS]
Frames = dict[str, pl.DataFrame]


def cohort_of(tables: Frames) -> Frames:
    """Return all models; every vertebra that is in the cohort, or unlabelled and scored, has a crop."""
    made = with_models(tables, OTHERS)
    labelled = made["cohort_vertebrae"]
    unlabelled = made["unlabelled_vertebrae"].with_columns(label=pl.lit(None, pl.String)).select(labelled.columns)
    made["vertebra_crops"] = pl.concat([labelled, unlabelled]).with_columns(
        protocol=pl.lit("patient"), crop_id=pl.format("{}-{}", "film_id", "level")
    )
    made["detected_films"] = resolved(made["films"])
    return with_models(made, AFTER_CROPS)


def films_alone() -> Frames:
    made = frames()
    return made | {name: made[name].clear() for name in ("subjects", "reader_labels", "film_conditions")}


def without_readings_of(*patients: str) -> Frames:
    made = frames()
    return made | {"reader_labels": made["reader_labels"].filter(~pl.col("patient_id").is_in(patients))}


def states(tables: Frames, unit: str) -> Counter[tuple[str, str | None]]:
    rows = tables["participant_states"].filter(unit=unit).select("state", "reason").iter_rows()
    return Counter((state, reason) for state, reason in rows)


def test_a_hospital_of_films_alone_has_patients_and_all_its_vertebrae_are_to_be_scored() -> None:
    made = cohort_of(films_alone())
    assert made["patients"].select("in_subjects", "has_reading").unique().rows() == [(False, False)]
    assert set(made["patients"]["patient_id"]) == {
        "P_normal", "P_fresh", "P_crushed", "P_tumour", "P_both", "P_no_film",
    }  # fmt: skip
    assert made["cohort_vertebrae"].height == made["consensus_labels"].height == made["consensus_queue"].height == 0
    assert made["unlabelled_vertebrae"].height == 5 * 6
    assert states(made, "patient") == {("excluded", "no_label"): 5, ("excluded", "no_usable_film"): 1}
    assert states(made, "film") == {
        ("excluded", "no_label"): 6, ("quarantined", "not_lateral"): 1, ("quarantined", "not_dicom"): 1,
        ("quarantined", "corrupt_pixels"): 1,
    }  # fmt: skip
    assert states(made, "vertebra") == {("excluded", "no_label"): 30}
    assert made["participant_flow"].filter(state="used").height == 0
    evidence = made["exclusions"].filter(rule="exclusion_no_label")["evidence"].unique().to_list()
    assert evidence == ["no reading was handed over"]


@pytest.mark.parametrize("name", sorted(TESTS))
@pytest.mark.parametrize("tables", [films_alone(), without_readings_of("P_fresh", "P_no_film")], ids=["films", "some"])
def test_every_rule_holds_where_labels_are_missing(name: str, tables: Frames) -> None:
    expected = 1 if name == "no_question_is_open" and tables["reader_labels"].height else 0
    assert broken(name, cohort_of(tables)) == expected


def test_one_unlabelled_patient_takes_nothing_from_the_others() -> None:
    whole, part = cohort_of(frames()), cohort_of(without_readings_of("P_fresh"))
    others = pl.col("patient_id") != "P_fresh"
    for name in ("consensus_labels", "consensus_queue", "cohort_vertebrae", "exclusions", "participant_states"):
        assert part[name].filter(others).equals(whole[name].filter(others), null_equal=True), name
    own = part["exclusions"].filter(patient_id="P_fresh", unit="patient")
    assert own.select("reason", "evidence").rows() == [("no_label", "not in the sheet readers")]
    # conditions of single images hold without a label, too
    scored = part["unlabelled_vertebrae"].select("film_id", "level").rows()
    assert len(scored) == 10 - 3
    assert ("F_fresh", "L5") not in scored
    assert ("F_fresh_flexed", "L4") not in scored


def test_whoever_is_out_for_another_reason_is_not_said_to_be_out_for_a_missing_label() -> None:
    made = cohort_of(without_readings_of("P_crushed", "P_no_film"))
    reasons = dict(made["participant_states"].filter(unit="patient").select("patient_id", "reason").iter_rows())
    assert reasons["P_crushed"] == "severe_crush"
    assert reasons["P_no_film"] == "no_usable_film"
    assert "P_crushed" not in made["unlabelled_vertebrae"]["patient_id"].to_list()


def test_labels_without_subjects_make_the_same_cohort_with_age_sex_and_dates_unknown() -> None:
    whole, part = cohort_of(frames()), cohort_of(frames() | {"subjects": frames()["subjects"].clear()})
    for name in ("cohort_vertebrae", "exclusions", "participant_states", "participant_flow"):
        assert part[name].equals(whole[name], null_equal=True), name
    assert part["patients"]["in_subjects"].any() is False
    tables = [part[name] for name in ("subjects", "cohort_vertebrae", "consensus_labels", "films")]
    about = baseline.baseline_characteristics(*tables).filter(patient_group="all")
    assert about.filter(characteristic="patients").select("n", "n_total").rows() == [(2, 2)]
    assert about.filter(characteristic="age_years").select("n", "n_total", "mean").rows() == [(0, 2, None)]
    assert about.filter(characteristic="sex")["n"].to_list() == [0, 0]


def test_a_label_whose_patient_has_no_film_is_counted_and_pointed_at() -> None:
    tables = frames() | {"subjects": frames()["subjects"].clear()}
    stranger = tables["reader_labels"].head(2).with_columns(patient_id=pl.lit("P_mistyped"))
    made = cohort_of(tables | {"reader_labels": pl.concat([tables["reader_labels"], stranger])})
    state = made["participant_states"].filter(patient_id="P_mistyped").select("state", "reason").rows()
    assert state == [("excluded", "no_usable_film")]
    assert broken("sheets_name_patients_with_films", made) == 1
    assert not TESTS["sheets_name_patients_with_films"].blocking


def test_unlabelled_patients_count_in_no_agreement() -> None:
    settings = CohortSettings(bootstrap_draws=100)
    none = films_alone()["reader_labels"]
    assert agreement.reader_agreement(none, settings, 1).height == 0
    assert agreement.reader_confusion(none).height == 0
    some = agreement.reader_agreement(without_readings_of("P_fresh")["reader_labels"], settings, 1)
    inter = some.filter(comparison="inter", level="all", weighting="linear")
    assert inter.select("institution", "n_patients", "n_vertebrae").rows() == [(HOSPITAL, 5, 25)]


TWO = pl.DataFrame({"institution": ["one", "two", "far"], "role": ["development", "development", "external"]})
SPLIT = pl.DataFrame({"institution": ["one", "one", "two"], "patient_id": ["P1", "P2", "P3"]})


@pytest.mark.parametrize(
    ("before", "now", "without", "institutions", "lost"),
    [
        (SPLIT, SPLIT, [], TWO, []),
        (SPLIT, SPLIT.head(2), [], TWO, ["two"]),  # its readers.csv is gone
        (SPLIT, SPLIT.head(2), ["two"], TWO, []),  # somebody decided so
        (SPLIT, SPLIT.head(2), [], TWO.head(1), []),  # the hospital itself is gone
        (SPLIT, SPLIT.head(2), [], TWO.with_columns(role=pl.lit("external")), []),
        (SPLIT, SPLIT.slice(1), [], TWO, []),  # a patient of several
        (SPLIT.head(2), SPLIT.head(2), [], TWO, []),  # a hospital that never had labels
        (None, SPLIT.head(2), [], TWO, []),
    ],
)
def test_a_hospital_that_was_learnt_from_does_not_lose_its_labels_unnoticed(
    before: pl.DataFrame | None, now: pl.DataFrame, without: list[str], institutions: pl.DataFrame, lost: list[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    profile = load_profile("ci").model_copy(update={"train_without": tuple(without)})
    run = TableRun(profile, ArtifactStore(tmp_path), tmp_path, stored=lambda name: before)
    found = no_hospital_has_lost_its_labels.find(run, patient_splits=now, institutions=institutions)
    assert found["institution"].to_list() == lost
    assert no_hospital_has_lost_its_labels.blocking
