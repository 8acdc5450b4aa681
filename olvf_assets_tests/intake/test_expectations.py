import errno
import posixpath
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from olvf_assets.foundation.errors import MachineError
from olvf_assets.foundation.tables import TableRun
from olvf_assets.intake.assets import expectation_results
from olvf_assets.intake.data_docs import build_data_docs, page_names
from olvf_assets.intake.expectations import NoSuiteError, validate
from olvf_assets.intake.sheets.sheets import reader_labels, subjects
from olvf_assets.intake.tables import READER_BOXES
from olvf_assets.profiles import load_profile
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.records import files_digest
from olvf_assets_tests.disks import failing_disk
from olvf_assets_tests.intake.samples import NAMES, SETTINGS, boxes, film, headers, hospital


@pytest.fixture(scope="module")
def good_tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    """Return the tables that have a suite, of a hospital with two refused files and boxes in one film."""
    root = tmp_path_factory.mktemp("good")
    folder = hospital(root, {"one.dcm": film(), "ap.dcm": film("ap", ViewPosition="AP"), "n.dcm": b"no"})
    (folder / "boxes").mkdir()
    (folder / "boxes" / "one.txt").write_text("0 0.5 0.5 0.2 0.2\n1 0.5 0.8 0.2 0.2\n")
    return {
        "dicom_headers": headers(folder),
        "subjects": subjects(folder, NAMES, SETTINGS),
        "reader_labels": reader_labels(folder, NAMES, SETTINGS),
        "reader_boxes": boxes(folder, root).reader_boxes,
    }


def broken_columns(outcome: object) -> set[tuple[str, str]]:
    return {(failure["expectation"], failure["column"]) for failure in outcome.failures}  # type: ignore[attr-defined]


def test_good_tables_pass_and_refused_headers_are_not_looked_at(good_tables: dict[str, pl.DataFrame]) -> None:
    for name, table in good_tables.items():
        outcome = validate(name, table)
        assert outcome.success, outcome.failures
        assert outcome.n_expectations > 10


def test_a_consensus_has_no_second_reading(good_tables: dict[str, pl.DataFrame]) -> None:
    table = good_tables["reader_labels"].with_columns(
        reader=pl.when(reader="1", level="L3").then(pl.lit("consensus")).otherwise("reader"),
        reading=pl.when(reader="1", level="L3").then(2).otherwise("reading"),
    )
    (failure,) = validate("reader_labels", table).failures
    assert (failure["column"], failure["n_rows"]) == ("reading", 2)
    assert {(row["reader"], row["level"]) for row in failure["rows"]} == {("consensus", "L3")}


def test_data_docs_say_of_every_expectation_whether_it_is_met(
    good_tables: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    patient = good_tables["subjects"]["patient_id"][0]
    tables = good_tables | {"subjects": good_tables["subjects"].with_columns(sex=pl.lit("Yamada"))}
    folder = tmp_path / "reports" / "data_docs"
    table = build_data_docs(tables, folder, SETTINGS)
    assert set(table["table_name"]) == set(tables)
    failed = table.filter(~pl.col("success"))
    assert failed.select("table_name", "expectation", "column", "n_rows", "n_unexpected").rows() == [
        ("subjects", "expect_column_values_to_be_in_set", "sex", 2, 2),
    ]
    assert table.filter(table_name="dicom_headers", column="film_id")["n_rows"].unique().to_list() == [1]

    pages = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.html")}
    counts = dict(table.group_by("table_name").len().iter_rows())
    for name in tables:
        met = counts[name] - (name == "subjects")
        assert f"<td>{name}</td><td>{met} of {counts[name]}</td>" in pages["index.html"]
    assert sorted(pages) == sorted(page_names(tables))
    for name, page in pages.items():
        for link in re.findall(r'(?:href|src)="([^"#][^"]*)"', page):
            assert posixpath.normpath(posixpath.join(posixpath.dirname(name), link)) in pages
        assert "Yamada" not in page
        assert patient not in page
        assert not re.search(r"""(src|href)=["']https?:|url\(['"]?https?:|<script""", page)

    again = build_data_docs(tables, folder, SETTINGS)
    assert again.equals(table)
    assert len(list(folder.rglob("*.html"))) == len(pages)
    assert [each.name for each in folder.parent.iterdir()] == ["data_docs"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 9, 10, 11])
def test_a_disk_that_fails_under_the_pages_is_named_and_the_pages_before_stay(
    good_tables: dict[str, pl.DataFrame], tmp_path: Path, number: int, at: int
) -> None:
    """At any of their writes: folders, pages, waiting for the disk, names."""
    tables = {"reader_boxes": good_tables["reader_boxes"]}
    folder = tmp_path / "reports" / "data_docs"
    build_data_docs(tables, folder, SETTINGS)
    before = {page: (folder / page).read_text() for page in page_names(tables)}
    with failing_disk(tmp_path, number, at) as disk, pytest.raises(MachineError, match="start the same command again"):
        build_data_docs(tables, folder, SETTINGS)
    assert disk.struck
    assert {page: (folder / page).read_text() for page in page_names(tables)} == before


def test_a_fault_of_the_drawing_library_is_not_swallowed(
    good_tables: dict[str, pl.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own builder of sites logs an error of any page and goes on without the page."""
    from great_expectations.render.view import DefaultJinjaPageView

    def fail(view: object, document: object, **how: object) -> str:
        raise RuntimeError("a page that cannot be drawn")

    monkeypatch.setattr(DefaultJinjaPageView, "render", fail)
    with pytest.raises(RuntimeError, match="cannot be drawn"):
        build_data_docs({"subjects": good_tables["subjects"]}, tmp_path / "data_docs", SETTINGS)
    assert not (tmp_path / "data_docs").exists()


@pytest.mark.parametrize("page", page_names(["subjects", "reader_boxes"]))
def test_a_page_that_is_lost_later_is_missed(tmp_path: Path, page: str) -> None:
    """Then expectation_results is made again, as for the first page."""
    run = TableRun(profile=load_profile("ci"), store=ArtifactStore(tmp_path / "lake"), data=tmp_path)
    assert expectation_results.beside is not None
    pages = expectation_results.beside(run, pl.DataFrame())
    for each in pages:
        each.parent.mkdir(parents=True, exist_ok=True)
        each.write_text("page")
    whole = files_digest(ArtifactStore(tmp_path), pl.DataFrame(), pages)
    (tmp_path / "reports" / "data_docs" / page).unlink()
    assert (
        files_digest(ArtifactStore(tmp_path), pl.DataFrame(), expectation_results.beside(run, pl.DataFrame())) != whole
    )


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
    row = dict.fromkeys(READER_BOXES.names(), 5.0) | {
        "institution": "i", "film_id": "F" + "0" * 16, "level": "L1", "box_format": "voc",
    }  # fmt: skip
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


def test_only_a_picture_that_was_made_a_film_may_have_no_spacing(good_tables: dict[str, pl.DataFrame]) -> None:
    lost = good_tables["dicom_headers"].with_columns(pixel_mm=pl.lit(None, pl.Float64))
    assert ("pixel_mm" in {column for _, column in broken_columns(validate("dicom_headers", lost))}) is True
    said = lost.with_columns(pixel_mm_source=pl.lit("unknown"))
    assert validate("dicom_headers", said).success
