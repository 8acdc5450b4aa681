import hashlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from olvf_assets.foundation import landing, remembered
from olvf_assets.foundation.landing import (
    EmptyLandingError,
    InstitutionFileError,
    landing_manifest,
    read_institution,
)
from olvf_assets.foundation.remembered import RememberedFacts
from olvf_assets_tests.intake.samples import hospital, manifest, packed


def written(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "institution.toml").write_text(text)
    return folder


def test_an_institution_is_read_with_its_folder_as_key(tmp_path: Path) -> None:
    folder = written(tmp_path / "city_hospital", 'name = "City"\nrole = "external"\ncountry = "Japan"\n')
    institution = read_institution(folder)
    assert (institution.key, institution.name, institution.role) == ("city_hospital", "City", "external")
    assert (institution.country, institution.note) == ("Japan", None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "A"\nrole = "validation"\n', "role 'validation' is unknown; write role = \"external\""),
        ('name = "A"\n', "role is missing"),
        ('name = "A"\nrole = "external"\nroll = "x"\n', "unknown key roll; allowed are name, role, country"),
        ("name = A\n", "not valid TOML"),
        ('name = ""\nrole = "external"\n', "name must be a text in quotes"),
    ],
)
def test_a_wrong_institution_file_is_an_error_that_says_what_to_write(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InstitutionFileError) as error:
        read_institution(written(tmp_path / "institution_9", text))
    assert said in str(error.value)
    assert "institution.toml" in str(error.value)


def test_a_missing_institution_file_and_an_unusable_folder_name_say_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "institution_9").mkdir()
    with pytest.raises(InstitutionFileError, match=r'is missing; write it with two lines: name = "Our hospital"'):
        read_institution(tmp_path / "institution_9")
    with pytest.raises(InstitutionFileError, match="rename it, for example to 'st_mary_s'"):
        read_institution(written(tmp_path / "St. Mary's", 'name = "A"\nrole = "external"\n'))


def test_the_manifest_lists_every_arrived_file_with_size_and_hash(tmp_path: Path) -> None:
    folder = hospital(tmp_path, {"a/one.dcm": b"12345", "two": b""})
    listed = manifest(folder)
    assert listed["path"].to_list() == [
        "conditions.csv", "films/a/one.dcm", "films/two", "institution.toml", "readers.csv", "subjects.csv",
    ]  # fmt: skip
    row = listed.row(1, named=True)
    assert (row["size_bytes"], row["sha256"]) == (5, hashlib.sha256(b"12345").hexdigest())


@pytest.mark.parametrize("name", [".DS_Store", ".hidden/one.dcm", "one.dcm.part", "one.dcm.TMP", "one.dcm~"])
def test_hidden_and_half_copied_files_are_left_for_the_next_run(tmp_path: Path, name: str) -> None:
    assert f"films/{name}" not in manifest(hospital(tmp_path, {"one.dcm": b"1", name: b"2"}))["path"].to_list()


def test_a_file_that_changes_while_it_is_hashed_is_left_out_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hospital(tmp_path, {"one.dcm": b"1", "two.dcm": b"2"})
    digest = hashlib.file_digest

    def copied_to_meanwhile(handle: Any, kind: str) -> Any:
        if handle.name.endswith("two.dcm"):
            Path(handle.name).write_bytes(b"the rest has come")
        return digest(handle, kind)

    monkeypatch.setattr(hashlib, "file_digest", copied_to_meanwhile)
    lines: list[str] = []
    listed = landing_manifest(folder, "institution_1", 1, report=lines.append)
    assert "films/one.dcm" in listed["path"].to_list()
    assert "films/two.dcm" not in listed["path"].to_list()
    assert lines == ["1 files of institution_1 are still being written and wait for the next run"]


def test_an_unchanged_file_is_not_hashed_again_and_a_changed_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed({"in/one": b"1", "in/two": b"2"})
    folder = hospital(tmp_path, {"one.dcm": b"1", "two.dcm": b"2", "all.zip": archive})
    monkeypatch.setattr(remembered, "CLOCK_GRAIN_NS", -1)  # as if every file were old
    hashed: list[str] = []
    really = landing._hash
    monkeypatch.setattr(
        landing, "_hash", lambda folder, path, *rest: hashed.append(path) or really(folder, path, *rest)
    )

    def listed() -> pl.DataFrame:
        hashed.clear()
        return landing_manifest(folder, "institution_1", 1, hashes=RememberedFacts(tmp_path / "h.parquet", str))

    first = listed()
    assert len(hashed) == 8
    assert listed().equals(first)
    assert hashed == []
    (folder / "films" / "two.dcm").write_bytes(b"3")
    (folder / "films" / "three.dcm").write_bytes(b"3")
    again = listed()
    assert hashed == ["films/three.dcm", "films/two.dcm"]
    assert again.equals(landing_manifest(folder, "institution_1", 1))


def test_members_of_an_archive_are_listed_by_themselves_with_their_own_hash(tmp_path: Path) -> None:
    folder = hospital(tmp_path, {"all.zip": packed({"in/one": b"12345", ".hidden": b"x"}), "one": b"12345"})
    listed = {row["path"]: row for row in manifest(folder).iter_rows(named=True)}
    assert {"films/all.zip/in/one", "films/one"} <= set(listed)
    assert "films/all.zip" not in listed
    for path in ("films/all.zip/in/one", "films/one"):
        assert (listed[path]["size_bytes"], listed[path]["sha256"]) == (5, hashlib.sha256(b"12345").hexdigest())


def test_an_empty_landing_folder_and_one_with_sheets_only_are_named_errors(tmp_path: Path) -> None:
    (tmp_path / "institution_9").mkdir()
    with pytest.raises(EmptyLandingError, match="copy the DICOM files to"):
        landing_manifest(tmp_path / "institution_9", "institution_9")
    (tmp_path / "institution_9" / "subjects.csv").write_text("patient_id\n")
    with pytest.raises(EmptyLandingError, match="holds no films \\(1 sheets\\)"):
        landing_manifest(tmp_path / "institution_9", "institution_9")
    with pytest.raises(EmptyLandingError):
        landing_manifest(tmp_path / "nowhere", "nowhere")
