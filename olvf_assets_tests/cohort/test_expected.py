"""Expected counts of exclusions: the committed file, and what a run says when they do not hold."""

from types import SimpleNamespace

import polars as pl
import pytest

from olvf_assets.cohort.__main__ import expected_of_profiles
from olvf_assets.cohort.checks import every_file_has_one_state, exclusions_are_as_many_as_expected
from olvf_assets.cohort.expected import EXPECTED_EXCLUSIONS, counted_exclusions, expected_exclusions
from olvf_assets.cohort.expected import unexpected_exclusions as unexpected
from olvf_assets.intake.landing.landing import LANDING_MANIFEST
from olvf_assets.profiles import load_profile

EXCLUSIONS = pl.DataFrame(
    [("h", "exclusion_all_normal", "all_normal")] * 3 + [("h", "exclusion_crop_condition", "poor_positioning")] * 2,
    schema=["institution", "rule", "reason"],
    orient="row",
)
EXPECTED = counted_exclusions(EXCLUSIONS).select(pl.lit("p").alias("profile"), pl.all())


def found(table: pl.DataFrame) -> list[tuple[object, ...]]:
    return table.select("rule", "reason", "expected", "found").rows()


def test_the_committed_counts_are_those_of_the_profiles() -> None:
    """After a change that is meant: python -m olvf_assets.cohort"""
    assert expected_of_profiles().equals(expected_exclusions())


def test_the_committed_file_holds_every_rule_that_the_thesis_names() -> None:
    thesis = expected_exclusions().filter(profile="thesis", institution="institution_1")
    assert thesis.schema == EXPECTED_EXCLUSIONS
    by_rule = dict(thesis.group_by("rule").agg(pl.col("n").sum()).iter_rows())
    assert by_rule["exclusion_all_normal"] == 93
    assert by_rule["exclusion_severe_crush"] == 5
    assert by_rule["exclusion_crop_condition"] >= 99


def test_as_many_as_expected_is_silent() -> None:
    assert unexpected(EXCLUSIONS, "p", "h", EXPECTED).height == 0


def test_a_difference_names_rule_expected_and_found() -> None:
    assert found(unexpected(EXCLUSIONS.head(2), "p", "h", EXPECTED)) == [
        ("exclusion_all_normal", "all_normal", 3, 2),
        ("exclusion_crop_condition", "poor_positioning", 2, 0),
    ]
    stranger = pl.DataFrame([("h", "exclusion_no_film", "no_usable_film")], schema=EXCLUSIONS.schema, orient="row")
    table = unexpected(pl.concat([EXCLUSIONS, stranger]), "p", "h", EXPECTED)
    assert found(table) == [("exclusion_no_film", "no_usable_film", 0, 1)]
    assert "python -m olvf_assets.cohort" in table["way_out"].item()


@pytest.mark.parametrize(("profile", "institution"), [("q", "h"), ("p", "g")])
def test_what_the_file_does_not_name_is_not_checked(profile: str, institution: str) -> None:
    assert unexpected(EXCLUSIONS.clear(), profile, institution, EXPECTED).height == 0


def test_a_real_hospital_under_a_synthetic_name_is_not_checked() -> None:
    profile = load_profile("ci")
    run = SimpleNamespace(profile=profile, institution="institution_1")
    assert exclusions_are_as_many_as_expected.find(run, EXCLUSIONS.clear()).height > 0
    real = profile.model_copy(update={"phantom": profile.phantom.model_copy(update={"institutions": {}})})
    run = SimpleNamespace(profile=real, institution="institution_1")
    assert exclusions_are_as_many_as_expected.find(run, EXCLUSIONS.clear()).height == 0


def test_each_file_of_the_landing_folder_is_in_one_state() -> None:
    listed = [
        ("films/1.dcm", "candidate", "arrived"),
        ("films/2.dcm", "candidate", "refused"),
        ("films/.3.dcm", "candidate", "ignored"),
        ("films/all.zip", "candidate", "archive"),
        ("subjects.csv", "sheet", "arrived"),
        ("boxes/1.txt", "boxes", "arrived"),
    ]
    rows = [{"path": path, "kind": kind, "state": state} for path, kind, state in listed]
    manifest = pl.DataFrame([dict.fromkeys(LANDING_MANIFEST) | row for row in rows], schema=LANDING_MANIFEST)
    states = pl.DataFrame({"unit": ["film", "film", "patient"], "path": ["films/1.dcm", "films/2.dcm", None]})
    assert every_file_has_one_state.find(None, states, manifest).height == 0
    lost, twice = states.head(1), pl.concat([states, states.head(1)])
    assert every_file_has_one_state.find(None, lost, manifest)["path"].to_list() == ["films/2.dcm"]
    assert every_file_has_one_state.find(None, twice, manifest)["path"].to_list() == ["films/1.dcm"]
    invented = states.with_columns(path=pl.lit("films/3.dcm"))
    assert "films/3.dcm" in every_file_has_one_state.find(None, invented, manifest)["path"].to_list()
