"""What a killed run or a power cut leaves behind in the data folder.

What lives here: putting a Delta table's last commit on the disk, taking back a commit that did not get there, removing
half-written files. What does not: Delta's own format of a sound table (deltalake), pictures and records, which are held
against their content when they are read (`artifacts.py`).
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from olvf_assets.foundation.write_faults import write_faults_named
from olvf_assets.storage.artifacts import ArtifactStore, UnreadableStoreError, read_if_whole, remove_partials, sync
from olvf_assets.storage.delta_log import commits, is_there, log_of
from olvf_assets.storage.run_lock import FOLDER as LOCKS
from olvf_assets.storage.taken_in import forget_stored

FIRST_COMMIT = f"{0:020}.json"
HINT = "_last_checkpoint"  # where Delta's readers begin; they do without it


def tidy_after_crash(data: Path, store: ArtifactStore, *, report: Callable[[str], None] = lambda line: None) -> None:
    """Remove what the run before left half-written, and take back table commits that did not reach the disk whole.

    The caller holds the data folder's lock, so no run is at work there.

    Args:
        data: the data folder.
        store: of the lake. An object store keeps what it has confirmed, so that nothing of it is looked at.
        report: gets a line per table that lost its last commit.
    """
    for folder in ("lake", "reports", LOCKS):
        remove_partials(data / folder)
    for table in sorted((data / "lake" / "tables").glob("*.delta")):
        lost = mend_table(table)
        if lost:
            forget_stored(store, table.stem)
            report(
                f"table {table.stem}: {lost} commits were cut off when the run before was killed or the power failed; "
                "it is as it was before them, until it is materialised again"
            )


def sync_table(table: Path) -> None:
    """Wait until the files of a table's last commit, and then the commit itself, are on the disk."""
    commit = commits(table)[-1]
    for file in [*_added(commit, table), commit]:
        sync(file)
        sync(file.parent)


def mend_table(table: Path) -> int:
    """Take back the newest commits of a table that are not whole, and return how many; the first may be missing.

    A commit is whole when every line of it is JSON and the files that it added have the sizes that it says. A table
    without a whole commit is removed, also one that was being written for the first time: every table can be made
    again. A checkpoint is a shortcut past the commits; one that cannot be read is removed where all commits are there.

    Raises:
        UnreadableStoreError: a file may not or cannot be read, or the table cannot be opened although its commits are
            whole. Nothing sound is taken away for that: disk or memory may be at fault.
        WriteFaultError: the disk or its file system lets nothing be removed.
    """
    log = log_of(table)
    with write_faults_named(table):
        there = is_there(table)
        lost = _take_back(table)
        if not there or (lost and not commits(table)):
            shutil.rmtree(table)
            return max(lost, 1)
        if read_if_whole(log / HINT, lambda hint: json.loads(hint.read_text())) is None:
            (log / HINT).unlink(missing_ok=True)
    if commits(table) and not _opens(table):
        if (log / FIRST_COMMIT).exists():
            with write_faults_named(table):
                for shortcut in (log / HINT, *log.glob("*.checkpoint*.parquet")):
                    shortcut.unlink(missing_ok=True)
        if not _opens(table):
            raise UnreadableStoreError(
                f"{table} cannot be opened although its commits are whole; look at disk and memory of this machine and "
                "start again. If it stays so, remove this folder and materialise the table again"
            )
    return lost


def _take_back(table: Path) -> int:
    lost = 0
    for commit in reversed(commits(table)):
        if _is_whole(commit, table):
            break
        commit.unlink()
        lost += 1
    return lost


def _is_whole(commit: Path, table: Path) -> bool:
    try:
        return _sizes_fit(commit, table)
    except (ValueError, KeyError, TypeError, FileNotFoundError):
        return False
    except OSError as error:
        raise UnreadableStoreError(f"{commit} cannot be read ({error.strerror}); see to the disk") from error


def _opens(table: Path) -> bool:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        return DeltaTable(str(table)).version() >= 0
    except (DeltaError, OSError):
        return False


def _added(commit: Path, table: Path) -> Iterator[Path]:
    return (table / unquote(added["path"]) for added in _additions(commit))


def _additions(commit: Path) -> list[dict[str, Any]]:
    actions = [json.loads(line) for line in commit.read_text(encoding="utf-8").splitlines()]
    return [action["add"] for action in actions if "add" in action]


def _sizes_fit(commit: Path, table: Path) -> bool:
    if not commit.stat().st_size:
        return False
    return all((table / unquote(added["path"])).stat().st_size == added["size"] for added in _additions(commit))
