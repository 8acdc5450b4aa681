import os
import time
import zipfile
from pathlib import Path

import polars as pl
import pytest

from olvf_assets.intake.landing.second_walk import files_in_archive, paths_found, unlisted_paths
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.intake.privacy.safe_paths import PathNames, path_names
from olvf_assets_tests.intake.samples import NAMES, film, hospital, manifest, packed

REAL = Pseudonymiser("institution_1", b"a key of a real hospital")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A landing folder with everything that has a rule, and more."""
    archive = packed({"in/one": film("a"), "in/.hidden": b"x", "in/d/": b""})
    whole = hospital(tmp_path, {"one.dcm": film("one"), "all.zip": archive, "half.part": b"1", ".git/config": b"2"})
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "two.dcm").write_bytes(b"3")
    (whole / "films" / "linked").symlink_to(tmp_path / "store")
    (whole / "films" / "back").symlink_to(whole)
    (whole / "films" / "nothing").symlink_to("nowhere")
    os.mkfifo(whole / "pipe")
    return whole


def unlisted(folder: Path, listed: pl.DataFrame, names: Pseudonymiser = NAMES) -> list[dict[str, str]]:
    return unlisted_paths(folder, listed, path_names(folder, names), names, time.time_ns() + 1).to_dicts()


@pytest.mark.parametrize("names", [NAMES, REAL], ids=["synthetic", "real"])
def test_both_walks_find_the_same(folder: Path, names: Pseudonymiser) -> None:
    assert unlisted(folder, manifest(folder, names), names) == []
    assert len(list(paths_found(folder))) == len(manifest(folder).filter(~pl.col("path").str.contains("all.zip/")))


@pytest.mark.parametrize("lost", ["films/one.dcm", "films/half.part", "films/nothing", "films/back/", "pipe"])
def test_a_path_that_the_manifest_lost_is_found(folder: Path, lost: str) -> None:
    listed = manifest(folder).filter(pl.col("path") != lost)
    assert [row["path"] for row in unlisted(folder, listed)] == [lost]


def test_a_file_that_a_lost_archive_member_leaves_is_counted(folder: Path) -> None:
    listed = manifest(folder).filter(pl.col("path") != "films/all.zip/in/one")
    assert unlisted(folder, listed) == [
        {"path": "films/all.zip", "detail": "holds 2 files, of which 1 are listed"},
    ]


def test_a_file_of_a_real_hospital_without_a_name_is_shown_by_a_pseudonym(folder: Path) -> None:
    names = PathNames({}, {}, synthetic=False)
    rows = unlisted_paths(folder, manifest(folder, REAL).clear(), names, REAL, time.time_ns() + 1)
    assert REAL.film("films/one.dcm") in rows["path"].to_list()
    assert not rows["path"].str.contains("one").any()


def test_what_came_after_the_manifest_was_begun_waits(folder: Path) -> None:
    listed = manifest(folder)
    (folder / "films" / "new.dcm").write_bytes(b"1")
    assert unlisted_paths(folder, listed, path_names(folder, NAMES), NAMES, 0).is_empty()
    assert [row["path"] for row in unlisted(folder, listed)] == ["films/new.dcm"]


def test_files_of_an_archive_are_counted_from_its_bytes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.comment = b"PK packed on Monday"
        for name in ("a", "b/c", "b/d"):
            archive.writestr(name, b"1")
        archive.mkdir("e")
    assert files_in_archive(tmp_path / "a.zip") == 3
    (tmp_path / "b.zip").write_bytes(b"no archive")
    assert files_in_archive(tmp_path / "b.zip") is None
