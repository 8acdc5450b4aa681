"""What a killed run or a power cut leaves behind in the data folder.

What lives here: putting a Delta table's last commit on the disk, taking back a commit that did not get there, removing
half-written files. What does not: Delta's own format of a sound table (deltalake), pictures and records, which are held
against their content when they are read (`artifacts.py`).
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from olvf_assets.foundation.arrivals import forget_stored
from olvf_assets.foundation.artifacts import ArtifactStore, read_if_whole, remove_partials, sync
from olvf_assets.foundation.run_lock import FOLDER as LOCKS

COMMIT = re.compile(r"\d{20}\.json")
HINT = "_last_checkpoint"  # where Delta's readers begin; they do without it


def tidy_after_crash(data: Path, *, report: Callable[[str], None] = lambda line: None) -> None:
    """Remove what the run before left half-written, and take back table commits that did not reach the disk whole.

    The caller holds the data folder's lock, so no run is at work there.

    Args:
        data: the data folder.
        report: gets a line per table that lost its last commit.
    """
    for folder in ("lake", "reports", LOCKS):
        remove_partials(data / folder)
    for table in sorted((data / "lake" / "tables").glob("*.delta")):
        lost = mend_table(table)
        if lost:
            forget_stored(ArtifactStore(data / "lake"), table.stem)
            report(
                f"table {table.stem}: {lost} commits were cut off when the run before was killed or the power failed; "
                "it is as it was before them, until it is materialised again"
            )


def sync_table(table: Path) -> None:
    """Wait until the files of a table's last commit, and then the commit itself, are on the disk."""
    log = table / "_delta_log"
    commits = _commits(log)
    for file in [*_added(commits[-1], table), commits[-1]]:
        sync(file)
        sync(file.parent)


def mend_table(table: Path) -> int:
    """Take back the newest commits of a table that are not whole, and return how many.

    A commit is whole when every line of it is JSON and the files that it added have the sizes that it says. A table
    without a whole commit, or one that cannot be opened even so, is removed: every table can be made again.
    """
    from deltalake import DeltaTable

    log = table / "_delta_log"
    lost = 0
    for commit in reversed(_commits(log)):
        if read_if_whole(commit, lambda file: _sizes_fit(file, table)):
            break
        commit.unlink()
        lost += 1
    if read_if_whole(log / HINT, lambda hint: json.loads(hint.read_text())) is None:
        (log / HINT).unlink(missing_ok=True)
    whole = read_if_whole(table, lambda folder: DeltaTable(str(folder)).version() >= 0)
    if not whole and (lost or _commits(log)):
        shutil.rmtree(table)
        return lost or 1
    return lost


def _commits(log: Path) -> list[Path]:
    return sorted(file for file in log.iterdir() if COMMIT.fullmatch(file.name)) if log.is_dir() else []


def _added(commit: Path, table: Path) -> Iterator[Path]:
    return (table / unquote(added["path"]) for added in _additions(commit))


def _additions(commit: Path) -> list[dict[str, Any]]:
    actions = [json.loads(line) for line in commit.read_text(encoding="utf-8").splitlines()]
    return [action["add"] for action in actions if "add" in action]


def _sizes_fit(commit: Path, table: Path) -> bool:
    if not commit.stat().st_size:
        return False
    return all((table / unquote(added["path"])).stat().st_size == added["size"] for added in _additions(commit))
