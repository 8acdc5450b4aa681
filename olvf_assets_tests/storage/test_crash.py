"""What a killed run or a power cut leaves behind in the lake."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from olvf_assets.storage import crash
from olvf_assets.storage.artifacts import ArtifactStore, UnreadableStoreError, read_json
from olvf_assets.storage.crash import mend_table, sync_table, tidy_after_crash
from olvf_assets.storage.delta_log import is_there
from olvf_assets.storage.taken_in import record_stored


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table per institution with three commits."""
    folder = tmp_path / "lake" / "tables" / "films.delta"
    write(folder, {"institution": ["a", "b"], "n": [1, 2]})
    write(folder, {"institution": ["a"], "n": [10]}, "institution = 'a'")
    write(folder, {"institution": ["b"], "n": [20]}, "institution = 'b'")
    return folder


def write(folder: Path, columns: dict[str, list[object]], predicate: str | None = None) -> None:
    options = {"partition_by": ["institution"], **({"predicate": predicate} if predicate else {})}
    pl.DataFrame(columns).write_delta(str(folder), mode="overwrite", delta_write_options=options)


def rows(folder: Path) -> list[tuple[object, ...]]:
    return sorted(pl.read_delta(str(folder)).select("institution", "n").rows())


def commit(folder: Path, version: int) -> Path:
    return folder / "_delta_log" / f"{version:020}.json"


def newest_part(folder: Path) -> Path:
    return max(folder.rglob("*.parquet"), key=lambda file: file.stat().st_mtime_ns)


TEARS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "cut": lambda whole: whole[: len(whole) // 2],
    "zeros": lambda whole: bytes(len(whole)),
    "a line lost its end": lambda whole: whole[:-5],
}


@pytest.mark.parametrize("tear", TEARS.values(), ids=TEARS.keys())
def test_a_torn_commit_is_taken_back(table: Path, tear: Callable[[bytes], bytes]) -> None:
    log = commit(table, 2)
    log.write_bytes(tear(log.read_bytes()))
    assert mend_table(table) == 1
    assert rows(table) == [("a", 10), ("b", 2)]
    write(table, {"institution": ["b"], "n": [30]}, "institution = 'b'")
    assert rows(table) == [("a", 10), ("b", 30)]


@pytest.mark.parametrize("tear", [TEARS["empty"], TEARS["cut"]], ids=["empty", "cut"])
def test_a_commit_whose_file_is_torn_is_taken_back(table: Path, tear: Callable[[bytes], bytes]) -> None:
    part = newest_part(table)
    part.write_bytes(tear(part.read_bytes()))
    assert mend_table(table) == 1
    assert rows(table) == [("a", 10), ("b", 2)]


def test_a_commit_whose_file_never_came_is_taken_back(table: Path) -> None:
    newest_part(table).unlink()
    assert mend_table(table) == 1
    assert rows(table) == [("a", 10), ("b", 2)]


def test_several_torn_commits_are_taken_back(table: Path) -> None:
    for version in (1, 2):
        commit(table, version).write_bytes(b"")
    assert mend_table(table) == 2
    assert rows(table) == [("a", 1), ("b", 2)]


def test_a_table_without_a_whole_commit_is_removed_and_can_be_made_again(table: Path) -> None:
    for version in (0, 1, 2):
        commit(table, version).write_bytes(b"")
    assert mend_table(table) == 3
    with pytest.raises(TableNotFoundError):
        DeltaTable(str(table))
    write(table, {"institution": ["a"], "n": [1]})
    assert rows(table) == [("a", 1)]


LEFTOVERS = {
    "folder alone": [],
    "empty log": ["_delta_log/"],
    "rows without a log": ["part-0.parquet"],
    "rows and an empty log": ["_delta_log/", "part-0.parquet"],
    "a commit under a temporary name": ["_delta_log/_commit_1f.json.tmp", "institution=a/part-0.parquet"],
}


@pytest.mark.parametrize("left", LEFTOVERS.values(), ids=LEFTOVERS.keys())
def test_a_table_whose_first_writing_was_killed_is_no_table_and_is_removed(tmp_path: Path, left: list[str]) -> None:
    table = tmp_path / "lake" / "tables" / "films.delta"
    table.mkdir(parents=True)
    for name in left:
        if name.endswith("/"):
            (table / name).mkdir()
        else:
            (table / name).parent.mkdir(parents=True, exist_ok=True)
            (table / name).write_bytes(b"PAR1")
    assert not is_there(table)
    lines: list[str] = []
    tidy_after_crash(tmp_path, ArtifactStore(tmp_path / "lake"), report=lines.append)
    assert not table.exists()
    assert len(lines) == 1
    assert "table films: 1 commits were cut off" in lines[0]
    write(table, {"institution": ["a"], "n": [1]})
    assert is_there(table)
    assert rows(table) == [("a", 1)]


def test_a_table_of_which_only_a_checkpoint_is_left_is_there(table: Path) -> None:
    DeltaTable(str(table)).create_checkpoint()
    for version in (0, 1, 2):
        commit(table, version).unlink()
    assert is_there(table)
    mend_table(table)
    assert rows(table) == [("a", 10), ("b", 20)]


@pytest.mark.parametrize("hint", ["", "{", "\0\0"])
def test_a_torn_hint_of_a_checkpoint_is_removed(table: Path, hint: str) -> None:
    DeltaTable(str(table)).create_checkpoint()
    (table / "_delta_log" / "_last_checkpoint").write_text(hint)
    assert mend_table(table) == 0
    assert rows(table) == [("a", 10), ("b", 20)]


def test_a_torn_checkpoint_is_removed_where_all_commits_are_there(table: Path) -> None:
    DeltaTable(str(table)).create_checkpoint()
    (torn,) = (table / "_delta_log").glob("*.checkpoint.parquet")
    torn.write_bytes(torn.read_bytes()[:100])
    assert mend_table(table) == 0
    assert rows(table) == [("a", 10), ("b", 20)]


def test_a_table_that_does_not_open_for_another_reason_is_kept(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash, "_opens", lambda table: False)
    with pytest.raises(UnreadableStoreError, match="cannot be opened although its commits are whole"):
        mend_table(table)
    assert rows(table) == [("a", 10), ("b", 20)]


def test_a_commit_that_the_disk_does_not_give_is_kept(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(commit: Path, table: Path) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(crash, "_sizes_fit", fails)
    with pytest.raises(UnreadableStoreError, match="cannot be read \\(Input/output error\\)"):
        mend_table(table)
    assert rows(table) == [("a", 10), ("b", 20)]


def test_a_sound_table_is_left_as_it_is(table: Path) -> None:
    DeltaTable(str(table)).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    before = sorted((path, path.stat().st_mtime_ns) for path in table.rglob("*"))
    assert mend_table(table) == 0
    assert sorted((path, path.stat().st_mtime_ns) for path in table.rglob("*")) == before


def test_after_a_crash_the_lake_is_tidied_and_what_lost_a_commit_is_said_and_due(table: Path, tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "lake")
    for name in ("films", "subjects"):
        record_stored(store, "b", name, state="state")
    commit(table, 2).write_bytes(b"")
    for place in ("lake/images/00", "lake/work/x/y", "reports", "lake/arrivals"):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / ".partial-0").write_text("half")
    lines: list[str] = []
    tidy_after_crash(tmp_path, ArtifactStore(tmp_path / "lake"), report=lines.append)
    assert len(lines) == 1
    assert lines[0].startswith("table films: 1 commits were cut off when the run before was killed or the power failed")
    assert read_json(tmp_path / "lake" / "arrivals" / "b.stored.json") == {"subjects": "state"}
    assert list(tmp_path.rglob(".partial-*")) == []


def test_the_files_of_a_commit_are_on_the_disk_before_the_commit(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(Path(f"/proc/self/fd/{number}").resolve().name))
    sync_table(table)
    added = [json.loads(line)["add"]["path"] for line in commit(table, 2).read_text().splitlines() if '"add"' in line]
    assert synced == [Path(added[0]).name, "institution=b", commit(table, 2).name, "_delta_log"]
