import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from olvf_assets.intake.expectations import NoSuiteError, validate
from olvf_assets.intake.sheets import reader_labels, subjects
from olvf_assets.intake.tables import READER_BOXES
from olvf_assets_tests.intake.samples import NAMES, SETTINGS, boxes, film, headers, hospital


def broken_columns(outcome: object) -> set[tuple[str, str]]:
    return {(failure["expectation"], failure["column"]) for failure in outcome.failures}  # type: ignore[attr-defined]


def test_good_tables_pass_and_refused_headers_are_not_looked_at(tmp_path: Path) -> None:
    folder = hospital(tmp_path, {"one.dcm": film(), "ap.dcm": film("ap", ViewPosition="AP"), "n.dcm": b"no"})
    (folder / "boxes").mkdir()
    (folder / "boxes" / "one.txt").write_text("0 0.5 0.5 0.2 0.2\n1 0.5 0.8 0.2 0.2\n")
    for name, table in {
        "dicom_headers": headers(folder),
        "subjects": subjects(folder, NAMES, SETTINGS),
        "reader_labels": reader_labels(folder, NAMES, SETTINGS),
        "reader_boxes": boxes(folder, tmp_path).reader_boxes,
    }.items():
        outcome = validate(name, table)
        assert outcome.success, outcome.failures
        assert outcome.n_expectations > 10


def test_an_empty_table_of_boxes_passes() -> None:
    assert validate("reader_boxes", pl.DataFrame(schema=READER_BOXES)).success


def test_failing_rows_are_listed_by_id(tmp_path: Path) -> None:
    table = subjects(hospital(tmp_path), NAMES, SETTINGS).with_columns(
        sex=pl.when(pl.col("age_years") == 78).then(pl.lit("X")).otherwise("sex")
    )
    outcome = validate("subjects", table)
    assert not outcome.success
    (failure,) = outcome.failures
    assert (failure["expectation"], failure["column"]) == ("expect_column_values_to_be_in_set", "sex")
    assert failure["rows"] == [{"institution": "institution_1", "patient_id": NAMES.patient("A-1")}]
    assert failure["n_rows"] == 1


def test_a_patient_twice_breaks_uniqueness_and_only_twenty_rows_are_listed(tmp_path: Path) -> None:
    table = subjects(hospital(tmp_path), NAMES, SETTINGS)
    outcome = validate("subjects", pl.concat([table] * 15))
    (failure,) = outcome.failures
    assert failure["expectation"] == "expect_compound_columns_to_be_unique"
    assert (failure["n_rows"], len(failure["rows"])) == (30, 20)


def test_unknown_classes_levels_and_raw_patient_ids_are_caught(tmp_path: Path) -> None:
    table = reader_labels(hospital(tmp_path), NAMES, SETTINGS)
    outcome = validate("reader_labels", table.with_columns(label=pl.lit("healed"), patient_id=pl.lit("A-1")))
    assert ("expect_column_values_to_be_in_set", "label") in broken_columns(outcome)
    assert ("expect_column_values_to_match_regex", "patient_id") in broken_columns(outcome)


def test_a_missing_column_is_a_failure_not_a_crash(tmp_path: Path) -> None:
    outcome = validate("subjects", subjects(hospital(tmp_path), NAMES, SETTINGS).drop("sex"))
    assert "expect_table_columns_to_match_set" in {failure["expectation"] for failure in outcome.failures}


def test_boxes_must_have_positive_size(tmp_path: Path) -> None:
    row = dict.fromkeys(READER_BOXES.names(), 5.0) | {"institution": "i", "film_id": "F" + "0" * 16, "level": "L1"}
    outcome = validate("reader_boxes", pl.DataFrame([row], schema=READER_BOXES))
    assert broken_columns(outcome) == {
        ("expect_column_pair_values_a_to_be_greater_than_b", "x0_px, x1_px"),
        ("expect_column_pair_values_a_to_be_greater_than_b", "y0_px, y1_px"),
    }


def test_an_unknown_table_name_is_a_named_error() -> None:
    with pytest.raises(NoSuiteError, match="there are dicom_headers, subjects"):
        validate("films", pl.DataFrame())


def test_nothing_is_written_to_the_home_or_working_folder_and_nothing_is_printed(tmp_path: Path) -> None:
    program = (
        "import polars as pl; from olvf_assets.intake.expectations import validate; "
        "from olvf_assets.intake.tables import READER_BOXES; "
        "validate('reader_boxes', pl.DataFrame(schema=READER_BOXES))"
    )
    project = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PYTHONPATH": str(project), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, list(tmp_path.iterdir())) == ("", [])
    assert "Calculating" not in done.stderr
