import os
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from olvf_assets.intake.landing.file_names import text_of
from olvf_assets.intake.landing.landing import landing_manifest
from olvf_assets.intake.privacy import safe_paths
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.intake.privacy.safe_paths import path_names
from olvf_assets.intake.sheets.sheets import subjects
from olvf_assets.storage import remembered
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.remembered import RememberedFacts
from olvf_assets_tests.intake.samples import (
    NAMES,
    SETTINGS,
    boxes,
    film,
    headers,
    hospital,
    manifest,
    packed,
    pixels,
    read_in_this_process,
)

REAL = Pseudonymiser("institution_1", b"a secret of the hospital")
TELLING = {
    "A-1/YAMADA_20190403.dcm": film("one"),
    "A-2/IM0001.dcm": film("two", "A-2"),
    "taro/20190403.dcm": b"not dicom",
    "B77012_visit.dcm": film("x", "B77012", PatientName="Suzuki^Hana"),
    "notes 2019-04-03.txt": b"not dicom either",
    film("three").SOPInstanceUID: film("three"),
}


def test_file_names_of_a_synthetic_hospital_stay_as_they_are(tmp_path: Path) -> None:
    names = path_names(hospital(tmp_path, TELLING), NAMES)
    assert names.shown("films/A-1/YAMADA_20190403.dcm") == "films/A-1/YAMADA_20190403.dcm"


def test_ids_names_and_dates_vanish_from_file_names_of_a_real_hospital(tmp_path: Path) -> None:
    folder = hospital(tmp_path, TELLING)
    (folder / "boxes").mkdir()
    (folder / "boxes" / "YAMADA_20190403.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    drawn = boxes(folder, tmp_path, REAL)
    tables = [
        manifest(folder, REAL), headers(folder, REAL), pixels(folder, tmp_path, names=REAL),
        subjects(folder, REAL, SETTINGS), drawn.reader_boxes, drawn.unmatched_boxes,
    ]  # fmt: skip
    text = "\n".join(table.drop("sha256", strict=False).write_csv() for table in tables).casefold()
    for identifier in ("a-1", "a-2", "yamada", "taro", "suzuki", "b77012", "20190403", "2019-04-03"):
        assert identifier not in text
    assert film("three").SOPInstanceUID not in text
    assert drawn.reader_boxes["film_id"].to_list() == [REAL.film(film("one").SOPInstanceUID)]


FAULTY_SHEETS = {
    "two files of one name": {
        "subjects.csv": b"patient_id,sex\n0815,female\n", "subjects.tsv": b"patient_id\tsex\n0815\tfemale\n",
    },
    "a column twice": {"conditions.csv": b"patient_id,ID,condition\n0815,0815,tumour\n"},
    "a title above the headings": {"subjects.csv": b"List of spring,,\npatient_id,sex,age\n0815,female,70\n"},
    "no headings": {"readers_1.csv": b"0815,L1,fresh\n0816,L2,old\n"},
    "a quotation mark that is not closed": {"subjects.csv": b'patient_id,sex\n"0815,female\n0816,male\n'},
    "no known encoding": {"subjects.csv": b"patient_id,sex\n0815,\xff\x80\xa0\n"},
    "an error in a cell": {"subjects.csv": b"patient_id,sex\n0815,#REF!\n"},
}  # fmt: skip


@pytest.mark.parametrize("sheets", FAULTY_SHEETS.values(), ids=FAULTY_SHEETS.keys())
def test_patient_ids_that_stand_in_a_faulty_sheet_alone_vanish_as_well(
    tmp_path: Path, sheets: dict[str, bytes]
) -> None:
    folder = hospital(tmp_path, {"0815/fresh.dcm": film("one", "other")})
    for name in ("subjects.csv", "conditions.csv", "readers.csv"):
        (folder / name).unlink(missing_ok=True)
    for name, content in sheets.items():
        (folder / name).write_bytes(content)
    (shown,) = [each for each in path_names(folder, REAL).shown_by_real.values() if each.endswith(".dcm")]
    assert re.fullmatch(r"films/x[a-p]{8}/fresh\.dcm", shown)


@pytest.mark.parametrize(
    "raw", [b"\x8eR\x93c/\x8eR\x93c_fresh.dcm", b"\xff\xfe/fresh_\x81.dcm"], ids=["Shift-JIS", "none"]
)
def test_films_whose_names_are_no_utf_8_are_taken_in_under_hidden_names(tmp_path: Path, raw: bytes) -> None:
    folder = hospital(tmp_path, {"fresh.dcm": film("one", SpecificCharacterSet="ISO_IR 192", PatientName="山田")})
    place = folder / "films" / os.fsdecode(raw)
    place.parent.mkdir()
    (folder / "films" / "fresh.dcm").rename(place)
    shown = pixels(folder, tmp_path, names=REAL)
    assert shown.select("refusal").to_series().to_list() == [None]
    assert re.fullmatch(r"films/x[a-p]{8}/(x[a-p]{8}|x[a-p]{8}_fresh)(\.dcm)?", shown["path"].item())
    assert headers(folder, NAMES)["path"].item() == f"films/{text_of(os.fsdecode(raw))}"


def test_harmless_names_stay_readable_and_every_shown_name_leads_back_to_its_file(tmp_path: Path) -> None:
    folder = hospital(tmp_path, TELLING)
    names = path_names(folder, REAL)
    listed = manifest(folder, REAL)["path"].to_list()
    assert {"subjects.csv", "institution.toml"} <= set(listed)
    assert any(path.startswith("films/") and path.endswith("/IM0001.dcm") for path in listed)
    assert len(set(listed)) == len(listed)
    assert all((folder / names.real(path)).is_file() for path in listed)


def test_films_are_found_and_decoded_behind_their_shown_names(tmp_path: Path) -> None:
    table = pixels(hospital(tmp_path, TELLING), tmp_path, names=REAL)
    assert table["refusal"].null_count() == 3
    assert ArtifactStore(tmp_path / "lake").load_image(table["image_path"][0]).dtype == np.uint8


def test_names_that_become_equal_stay_apart(tmp_path: Path) -> None:
    folder = hospital(tmp_path, {"yamada.dcm": film("one"), "YAMADA.dcm": film("two", "A-2")})
    listed = [path for path in manifest(folder, REAL)["path"] if path.startswith("films/")]
    assert len(set(listed)) == 2
    assert headers(folder, REAL)["refusal"].null_count() == 2


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("films/Series 2/IM0001.dcm", "films/Series 2/IM0001.dcm"),
        ("films/L-SPINE_LAT.dcm", "films/L-SPINE_LAT.dcm"),
        ("films/腰椎側面 1.dcm", None),
        ("films/kobayashi.dcm", None),
        ("films/小林花子.dcm", None),
        ("boxes/kobayashi.xml", None),
        ("boxes/export/classes.txt", "boxes/export/classes.txt"),
        ("readers_2.xlsx", "readers_2.xlsx"),
    ],
)
def test_words_that_are_in_no_header_stay_only_when_they_are_harmless(
    tmp_path: Path, name: str, shown: str | None
) -> None:
    folder = hospital(tmp_path, {"one.dcm": film("one")})
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"anything")
    found = path_names(folder, REAL).shown(name)
    if shown is not None:
        assert found == shown
    else:
        top, _, rest = found.partition("/")
        assert top == name.partition("/")[0]
        assert re.fullmatch(r"x[a-p]{8}( 1)?\.(dcm|xml)", rest)


def test_names_inside_archives_are_made_safe_as_well(tmp_path: Path) -> None:
    archive = packed({"YAMADA_TARO/IM0001": film("one"), "A-2.dcm": film("two", "A-2")})
    folder = hospital(tmp_path, {"A-1_20190403.zip": archive})
    table = headers(folder, REAL)
    assert table["refusal"].null_count() == 2
    assert all(path.startswith("films/x") and ".zip/" in path for path in table["path"])
    assert not re.search("yamada|taro|a-1|a-2|2019", "".join(table["path"]).casefold())


def test_headers_of_unchanged_files_are_not_read_again_for_the_names_in_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hospital(tmp_path, TELLING)
    monkeypatch.setattr(remembered, "CLOCK_GRAIN_NS", -1)  # as if every file were old
    read: list[str] = []
    read_in_this_process(monkeypatch)
    really = safe_paths._header_digests
    monkeypatch.setattr(safe_paths, "_header_digests", lambda path, **given: read.append(path) or really(path, **given))
    kept = tmp_path / "identifiers.parquet"

    def names() -> dict[str, str]:
        read.clear()
        facts = RememberedFacts(ArtifactStore(kept.parent), kept.name, REAL.film)
        return safe_paths.path_names(folder, REAL, facts).shown_by_real

    first = names()
    assert len(read) == 6
    assert names() == first == path_names(folder, REAL).shown_by_real
    read.clear()
    # A patient named in an old header is hidden in the name of a new file, though that header is not read again.
    (folder / "films" / "Suzuki.txt").write_text("no film")
    again = names()
    assert read == ["films/Suzuki.txt"]
    assert again["films/Suzuki.txt"].startswith("films/x")
    content = pl.read_parquet(kept).write_csv().casefold()
    for identifier in ("yamada", "suzuki", "b77012", "20190403", "a-1"):
        assert identifier not in content


def test_a_file_that_arrives_while_others_are_listed_waits_for_the_next_run(tmp_path: Path) -> None:
    folder = hospital(tmp_path, TELLING)
    known = path_names(folder, REAL)
    (folder / "films" / "Sato.dcm").write_bytes(b"late")
    lines: list[str] = []
    listed = landing_manifest(folder, "institution_1", 1, show=known.shown, report=lines.append)
    assert "Sato" not in "".join(listed["path"])
    assert lines == ["1 files of institution_1 are still being written and wait for the next run"]
