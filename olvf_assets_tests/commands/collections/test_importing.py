"""How an import goes about its work: licence, places, kills, copies."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from olvf_assets import __main__ as door
from olvf_assets.commands.collections import importing
from olvf_assets.commands.collections.importing import KINDS, CollectionError
from olvf_assets.commands.collections.planned import Options
from olvf_assets.commands.hospitals import look_at_hospital
from olvf_assets.intake.landing.institution_file import read_institution
from olvf_assets_tests.commands.collections.made_up import csv_text, imported, png, write


@pytest.fixture
def download(tmp_path: Path) -> Path:
    """Return a download of three lateral films."""
    files = {f"LA/{n:04d}-F-050Y1.png": png(str(n)) for n in range(1, 4)}
    labels = {f"LA/{n:04d}-F-050Y1.csv": csv_text() for n in range(1, 4)}
    return write(tmp_path / "download", files | labels)


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["olvf_assets", "import", *arguments])
    status = door.main()
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def test_the_door_knows_every_kind() -> None:
    assert set(door.COLLECTIONS) == set(KINDS)


def test_a_command_asks_for_the_licence_and_its_folder_is_one_that_can_be_added(
    data: Path, download: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("builtins.input", lambda question: "no")
    status, text = said(monkeypatch, capsys, "buu-lspine", str(download))
    assert status == 1
    assert "end user licence" in text
    assert not (download.parent / "buu_lspine").exists()
    monkeypatch.setattr("builtins.input", lambda question: "yes")
    status, text = said(monkeypatch, capsys, "buu-lspine", str(download), "--institution", "thai_films")
    assert status == 0
    folder = download.parent / "thai_films"
    assert f"make add-hospital NAME=thai_films FROM={folder}" in text
    institution = read_institution(folder)
    assert (institution.role, institution.collection) == ("external", KINDS["buu-lspine"].title)
    assert institution.licence == KINDS["buu-lspine"].licence
    found = look_at_hospital("thai_films", folder, report=lambda line: None)
    assert found.stops == []
    assert "films by their headers: 3 would be taken in, 0 refused" in found.found
    assert "  box files: 3" in found.found


def test_accepting_needs_no_question_and_pictures_carry_their_own_terms(
    data: Path, download: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr("builtins.input")
    into, terms = str(tmp_path / "out" / "mine"), 'CC0 "as is" 無料 😀'
    options = ("--accept-licence", "--licence", terms, "--role", "development", "--into", into, "--lateral")
    status, _ = said(monkeypatch, capsys, "pictures", str(download), *options)
    assert status == 0
    assert (read_institution(Path(into)).licence, read_institution(Path(into)).role) == (terms, "development")
    record = json.loads((Path(into) / ".import.json").read_text())
    assert [each["source"] for each in record["films"]] == [f"LA/000{n}-F-050Y1.png" for n in (1, 2, 3)]


def test_places_that_cannot_be(download: Path, tmp_path: Path, data: Path) -> None:
    for source, target, match in (
        (tmp_path / "nothing", tmp_path / "out", "is no folder"),
        (download, download / "out", "lie in each other"),
        (download, tmp_path, "exists"),
        (download, data / "landing" / "buu", "lies among taken in hospitals"),
        (write(tmp_path / "empty", {"a.docx": b"x"}), tmp_path / "out", "no file of it can become a film"),
        (write(tmp_path / "front", {"AP/0001-F-050Y0.png": png("1")}), tmp_path / "out", r"\(frontal 1\)"),
        (write(tmp_path / "bad", {"LA/0001-F-050Y1.png": b"x"}), tmp_path / "out", "not_a_picture 1"),
    ):
        with pytest.raises(CollectionError, match=match):
            imported("buu-lspine", source, target)
    with pytest.raises(CollectionError, match="is no imported collection"):
        imported("buu-lspine", download, tmp_path / "out", apart_from=(download,))
    assert not (tmp_path / "out").exists()


def test_equal_pictures_are_one_film(download: Path, tmp_path: Path) -> None:
    write(download, {"LA/0009-M-060Y1.png": png("2")})
    found = imported("buu-lspine", download, tmp_path / "hospital")
    assert found.films == 3
    assert [(each.path, each.reason, each.detail) for each in found.skipped if each.reason == "same_picture"] == [
        ("LA/0009-M-060Y1.png", "same_picture", "pixel by pixel LA/0002-F-050Y1.png")
    ]
    assert len((tmp_path / "hospital" / "subjects.csv").read_text().splitlines()) == 4


def test_an_import_that_was_broken_off_goes_on_and_leaves_nothing_of_the_first_try(
    download: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "hospital"

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importing, "_institution", broken)
    with pytest.raises(KeyboardInterrupt):
        imported("buu-lspine", download, target)
    monkeypatch.undo()
    assert not target.exists()
    partial = tmp_path / ".hospital.partial"
    before = {path.name: path.stat().st_mtime_ns for path in partial.rglob("*.dcm")}
    assert len(before) == 3
    (download / "LA" / "0003-F-050Y1.png").unlink()
    (download / "LA" / "0002-F-050Y1.png").write_bytes(png("changed"))
    found = imported("buu-lspine", download, target)
    assert not partial.exists()
    after = {path.name: path.stat().st_mtime_ns for path in target.rglob("*.dcm")}
    assert sorted(after) == ["0001-F-050Y1.dcm", "0002-F-050Y1.dcm"]
    assert after["0001-F-050Y1.dcm"] == before["0001-F-050Y1.dcm"]
    assert after["0002-F-050Y1.dcm"] != before["0002-F-050Y1.dcm"]
    assert found.films == 2
    assert sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir()) == [
        ".import.json",
        ".import_skipped.csv",
        "boxes/LA/0001-F-050Y1.txt",
        "boxes/LA/0002-F-050Y1.txt",
        "boxes/classes.txt",
        "films/LA/0001-F-050Y1.dcm",
        "films/LA/0002-F-050Y1.dcm",
        "institution.toml",
        "subjects.csv",
    ]


def test_a_key_that_can_be_none_is_told_before_the_work(
    data: Path, download: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = said(
        monkeypatch, capsys, "buu-lspine", str(download), "--accept-licence", "--institution", "My Films"
    )
    assert status == 1
    assert "--institution My Films: use lower-case letters" in text
    assert sorted(path.name for path in download.parent.iterdir()) == ["download", "home"]


def test_silent_films_say_nothing_of_their_view_and_frontal_ones_are_there(download: Path, tmp_path: Path) -> None:
    write(download, {"AP/0001-F-050Y0.png": png("front"), "AP/0001-F-050Y0.csv": csv_text()})
    found = imported("buu-lspine", download, tmp_path / "hospital", Options(silent=True))
    assert (found.films, found.drawn_films, found.skipped) == (4, 3, [])
    for path in (tmp_path / "hospital").rglob("*.dcm"):
        film = pydicom.dcmread(path)
        assert [
            name for name in ("ViewCodeSequence", "BodyPartExamined", "AnatomicRegionSequence") if name in film
        ] == []


def test_long_and_odd_names_become_films_all_the_same(tmp_path: Path) -> None:
    names = ("x" * 245, "胸腰椎 " * 12, "a\\b", "é" * 100)
    source = write(tmp_path / "download", {f"{name}.png": png(str(n)) for n, name in enumerate(names)})
    found = imported("pictures", source, tmp_path / "hospital")
    assert (found.films, found.skipped) == (4, [])
    ids = [str(pydicom.dcmread(path).PatientID) for path in (tmp_path / "hospital").rglob("*.dcm")]
    assert len(set(ids)) == 4
    assert max(map(len, ids)) <= 64
    assert not [each for each in ids if "\\" in each]


def test_the_same_download_gives_the_same_bytes(download: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        imported("buu-lspine", download, tmp_path / name)
    one, two = (sorted((tmp_path / name).rglob("*.dcm")) for name in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_a_film_says_what_is_known_and_no_more(download: Path, tmp_path: Path) -> None:
    imported("buu-lspine", download, tmp_path / "hospital")
    film = pydicom.dcmread(sorted((tmp_path / "hospital").rglob("*.dcm"))[0])
    assert (film.PatientID, film.PatientSex, film.PatientAge) == ("BUU-0001", "F", "050Y")
    assert (film.ConversionType, film.ContentQualification, film.Modality) == ("WSD", "RESEARCH", "RG")
    unknown = ("PixelSpacing", "ImagerPixelSpacing", "BurnedInAnnotation", "StudyDate", "Manufacturer", "WindowCenter")
    assert [name for name in unknown if name in film] == []


def test_loading_the_door_costs_no_picture_library() -> None:
    code = "import sys, olvf_assets.__main__; print([n for n in ('PIL', 'cv2', 'torch') if n in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert "PIL" not in found.stdout
