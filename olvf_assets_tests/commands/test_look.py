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
    ("sheet", "table"),
    [("readers.csv", "reader_labels"), ("subjects.csv", "subjects"), ("institution.toml", "institutions")],
)
def test_a_missing_sheet_is_told_before_anything_is_copied(source: Path, landing: Path, sheet: str, table: str) -> None:
    (source / sheet).unlink()
    (stop,) = [line for line in look(source).stops if line.startswith(f"{table}: ")]
    assert Path(sheet).stem in stop


def test_several_things_that_stop_a_hospital_are_told_at_once(source: Path, landing: Path) -> None:
    for sheet in ("readers.csv", "subjects.csv"):
        (source / sheet).unlink()
    found = look(source)
    assert [line.split(":")[0] for line in found.stops][:2] == ["subjects", "reader_labels"]
    assert "not looked at, for what stops the hospital comes before: dicom_headers" in found.found
    assert "this stops the hospital:" in found.described()


def test_a_dry_run_copies_nothing_and_its_status_says_whether_something_stops_it(
    source: Path, landing: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = said(monkeypatch, capsys, str(source), "--dry-run")
    assert status == 0
    assert "films by their headers: 3 would be taken in" in text
    (source / "readers.csv").unlink()
    assert said(monkeypatch, capsys, str(source), "--dry-run")[0] == 1
    status, text = said(monkeypatch, capsys, str(source))
    assert status == 1
    assert "nothing was copied; mend the folder, or say --yes" in text
    assert not (landing / "institution_3").exists()
    status, text = said(monkeypatch, capsys, str(source), "--yes")
    assert status == 0
    assert "institution_3 is registered" in text
    assert (landing / "institution_3" / "subjects.csv").exists()
