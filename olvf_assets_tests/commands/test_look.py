"""A hospital's folder looked at before it is copied."""

import shutil
import sys
from pathlib import Path

import pytest

from olvf_assets import __main__ as door
from olvf_assets.commands.hospitals import look_at_hospital
from olvf_assets.commands.look import Look
from olvf_assets.phantom import __main__ as phantom


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("from") / "hospital"
    phantom.main(["--out", str(folder), "--patients", "3"])
    return folder


@pytest.fixture
def source(hospital: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(hospital, tmp_path / "source"))


@pytest.fixture
def landing(data: Path) -> Path:
    return data / "landing"


def look(source: Path) -> Look:
    return look_at_hospital("institution_3", source, report=lambda line: None)


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["olvf_assets", "add-hospital", "institution_3", *arguments])
    status = door.main()
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def test_a_sound_folder_is_counted_and_nothing_is_written(source: Path, landing: Path) -> None:
    before = sorted((path.relative_to(source), path.stat().st_mtime_ns) for path in source.rglob("*"))
    found = look(source)
    assert found.stops == []
    assert "  files that may be films: 3" in found.found
    assert "films by their headers: 3 would be taken in, 0 refused" in found.found
    assert "subjects: 3 patients" in found.found
    assert not [line for line in found.found if "without a film" in line]
    assert found.described().endswith("nothing stops it")
    assert not landing.exists() or list(landing.iterdir()) == []
    assert not (landing.parent / "pseudonym.key").exists()
    assert before == sorted((path.relative_to(source), path.stat().st_mtime_ns) for path in source.rglob("*"))


def test_refused_films_are_counted_by_reason_with_the_first(source: Path, landing: Path) -> None:
    films = sorted(source.rglob("*.dcm"))
    films[0].write_bytes(b"no film at all" * 100)
    (films[1].parent / "empty.dcm").write_bytes(b"")
    found = look(source)
    assert found.stops == []
    assert "films by their headers: 2 would be taken in, 2 refused" in found.found
    (refused,) = [line for line in found.found if line.startswith("  refused: ")]
    assert refused.startswith("  refused: not_dicom 2 (first: not a DICOM file: ")
    assert "  1 of them without a film that would be taken in" in found.found


@pytest.mark.parametrize(
    ("sheet", "takes_away"),
    [
        ("readers", "no readers.csv, or no row in it: films will be scored, no accuracy"),
        ("subjects", "no subjects.csv, or no row in it: whoever has a film takes part; age, sex and the days to onset"),
        ("conditions", "no conditions.csv, or no row in it: no vertebra is left out for a crush"),
    ],
)
def test_a_missing_sheet_stops_nothing_and_is_told_with_what_it_takes_away(
    source: Path, landing: Path, sheet: str, takes_away: str
) -> None:
    (source / f"{sheet}.csv").unlink()
    found = look(source)
    assert found.stops == []
    assert [line for line in found.missing if line.startswith(takes_away)]
    assert found.described().endswith("nothing stops it")


def test_films_alone_are_taken_in_and_all_that_is_missing_is_told(source: Path, landing: Path) -> None:
    for path in source.iterdir():
        if path.suffix == ".csv":
            path.unlink()
    shutil.rmtree(source / "boxes")
    found = look(source)
    assert "films by their headers: 3 would be taken in, 0 refused" in found.found
    assert [line.partition(":")[0] for line in found.missing] == [
        "no subjects.csv, or no row in it", "no readers.csv, or no row in it", "no conditions.csv, or no row in it",
        "no drawn boxes",
    ]  # fmt: skip
    assert found.stops == []


def test_patients_whose_labels_are_still_to_come_are_counted(source: Path, landing: Path) -> None:
    header, *rows = (source / "readers.csv").read_text().splitlines()
    first = rows[0].split(",")[0]
    (source / "readers.csv").write_text("\n".join([header, *(row for row in rows if row.split(",")[0] != first)]))
    found = look(source)
    assert "1 of 3 patients without a reading: scored, counted in no figure" in found.missing
    assert found.stops == []


def test_a_development_hospital_without_labels_is_told_that_nothing_is_learnt(source: Path, landing: Path) -> None:
    (source / "institution.toml").write_text('name = "A"\nrole = "development"\n')
    (source / "readers.csv").unlink()
    (line,) = [line for line in look(source).missing if "readers.csv" in line]
    assert line.endswith("films will be scored, no accuracy, and nothing is learnt from them")


def test_films_are_looked_at_although_a_sheet_of_labels_is_faulty(source: Path, landing: Path) -> None:
    readers = (source / "readers.csv").read_text()
    (source / "readers.csv").write_text(readers.replace("normal", "nromal"))
    found = look(source)
    assert [line.split(":")[0] for line in found.stops] == ["reader_labels"]
    assert "films by their headers: 3 would be taken in, 0 refused" in found.found
    assert not [line for line in found.missing if "readers" in line]


def test_labels_of_other_patients_than_the_films_stop_a_hospital_without_subjects(source: Path, landing: Path) -> None:
    header, *rows = (source / "readers.csv").read_text().splitlines()
    (source / "readers.csv").write_text("\n".join([header, *(f"x{row}" for row in rows)]))
    (source / "subjects.csv").unlink()
    (source / "conditions.csv").unlink()
    (stop,) = look(source).stops
    assert "none of the 3 patients of this sheet has a film" in stop


def test_a_sheet_in_another_place_is_pointed_at(source: Path, landing: Path) -> None:
    (source / "sheets").mkdir()
    (source / "readers.csv").rename(source / "sheets" / "readers.csv")
    found = look(source)
    assert [line for line in found.missing if line.startswith("1 files look like sheets and are read as none")]


def test_a_missing_description_stops_a_hospital(source: Path, landing: Path) -> None:
    (source / "institution.toml").unlink()
    (stop,) = [line for line in look(source).stops if line.startswith("institutions: ")]
    assert "institution.toml is missing" in stop


def test_several_things_that_stop_a_hospital_are_told_at_once(source: Path, landing: Path) -> None:
    (source / "subjects.csv").write_text("patient_id,sex\n")
    (source / "institution.toml").unlink()
    found = look(source)
    stopped = [line.split(":")[0] for line in found.stops]
    assert stopped == ["institutions", "subjects", "reader_labels", "film_conditions"]
    left_out = "dicom_headers"
    assert f"not looked at, for what stops the hospital comes before: {left_out}" in found.found
    assert "this stops the hospital:" in found.described()


def test_a_dry_run_copies_nothing_and_its_status_says_whether_something_stops_it(
    source: Path, landing: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = said(monkeypatch, capsys, str(source), "--dry-run")
    assert status == 0
    assert "films by their headers: 3 would be taken in" in text
    (source / "readers.csv").write_text("patient_id,reader\n")
    assert said(monkeypatch, capsys, str(source), "--dry-run")[0] == 1
    status, text = said(monkeypatch, capsys, str(source))
    assert status == 1
    assert "nothing was copied; mend the folder, or say --yes" in text
    assert not (landing / "institution_3").exists()
    status, text = said(monkeypatch, capsys, str(source), "--yes")
    assert status == 0
    assert "institution_3 is registered" in text
    assert (landing / "institution_3" / "subjects.csv").exists()
