import hashlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from olvf_assets.intake.landing import landing
from olvf_assets.intake.landing.landing import EmptyLandingError, landing_manifest
from olvf_assets.storage import remembered
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.remembered import RememberedFacts
from olvf_assets_tests.intake.samples import hospital, manifest, packed


def test_the_manifest_lists_every_arrived_file_with_size_and_hash(tmp_path: Path) -> None:
    folder = hospital(tmp_path, {"a/one.dcm": b"12345", "two": b""})
    listed = manifest(folder)
    assert listed["path"].to_list() == [
        "conditions.csv", "films/a/one.dcm", "films/two", "institution.toml", "readers.csv", "subjects.csv",
    ]  # fmt: skip
    row = listed.row(1, named=True)
    assert (row["size_bytes"], row["sha256"]) == (5, hashlib.sha256(b"12345").hexdigest())


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        (".DS_Store", "hidden"),
        (".hidden/one.dcm", "hidden"),
        ("one.dcm.part", "half_copied"),
        ("one.dcm.TMP", "half_copied"),
        ("one.dcm~", "backup_copy"),
        ("Thumbs.db", "of_the_system"),
        ("__MACOSX/one.dcm", "of_the_system"),
    ],
)
def test_what_is_left_alone_is_listed_with_the_rule_and_not_read(tmp_path: Path, name: str, rule: str) -> None:
    listed = manifest(hospital(tmp_path, {"one.dcm": b"1", name: b"2"}))
    row = listed.row(by_predicate=pl.col("path") == f"films/{name}", named=True)
    assert (row["state"], row["reason"], row["sha256"]) == ("ignored", rule, None)


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
    states = dict(listed.select("path", "reason").iter_rows())
    assert (states["films/one.dcm"], states["films/two.dcm"]) == (None, "still_changing")
    assert listed.filter(path="films/two.dcm")["sha256"].to_list() == [None]
    assert lines == ["1 files of institution_1 are still being written and wait for the next run"]


def test_an_unchanged_file_is_not_hashed_again_and_a_changed_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed({"in/one": b"1", "in/two": b"2"})
    folder = hospital(tmp_path, {"one.dcm": b"1", "two.dcm": b"2", "all.zip": archive})
    monkeypatch.setattr(remembered, "CLOCK_GRAIN_NS", -1)  # as if every file were old
    hashed: list[str] = []
    really, really_apart = landing._hash, landing.read_apart
    monkeypatch.setattr(landing, "_hash", lambda folder, file: hashed.append(file.path) or really(folder, file))
    monkeypatch.setattr(
        landing, "read_apart", lambda read, members: hashed.extend(map(str, members)) or really_apart(read, members)
    )

    def listed() -> pl.DataFrame:
        hashed.clear()
        hashes = RememberedFacts(ArtifactStore(tmp_path), "h.parquet", str)
        return landing_manifest(folder, "institution_1", 1, hashes=hashes)

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
    assert listed["films/all.zip"]["state"] == "archive"
    assert listed["films/all.zip/.hidden"]["reason"] == "hidden"
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
