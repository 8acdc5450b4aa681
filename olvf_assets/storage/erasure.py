"""Erasing from the data folder and from Dagster's own records, so that nothing can be brought back.

What lives here: tables without some rows and without a history, work, pictures, databases. What does not: whom to erase
and what is too old (`commands.forgetting`), finding what is left (`traces`).

A table that loses rows is written anew beside the old one and takes its place: a new Delta table has no old versions,
no log and no statistics that could tell of what was there.
"""

import fcntl
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import closing, contextmanager
from pathlib import Path

import polars as pl

from olvf_assets.foundation.errors import MachineError
from olvf_assets.foundation.write_faults import write_faults_named
from olvf_assets.storage import artifacts
from olvf_assets.storage.traces import SQLITE_LETTERS, Traces, contents, frame_text, quoted

PICTURE = re.compile(rb"images/[0-9a-f]{2}/([0-9a-f]{64})\.png")
PARTIAL = ".partial-"
LOCK = ".runs/data_folder.lock"  # the one that runs hold


class DataFolderBusyError(MachineError):
    """A run or another command works in the data folder."""


class DatabaseBusyError(MachineError):
    """Dagster's records are open in another program."""


@contextmanager
def data_folder_held(data: Path) -> Iterator[None]:
    """Hold the data folder as a run does. The lock file says nothing of the command: it would name the patient.

    Raises:
        DataFolderBusyError: someone else holds it.
        DiskFullError, WriteFaultError: the disk, or this user's rights.
    """
    file = data / LOCK
    with write_faults_named(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = file.open("a")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataFolderBusyError(f"a run or command works in {data}; start again when it has ended") from None
        yield


def tables(lake: Path) -> Iterator[Path]:
    """Yield the folder of every Delta table, sorted."""
    yield from sorted((lake / "tables").glob("*.delta"))


def read(table: Path) -> tuple[pl.DataFrame, list[str]]:
    """Return the current rows of a Delta table and the columns it is partitioned by; no rows for a damaged one."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        return pl.read_delta(str(table)), DeltaTable(str(table)).metadata().partition_columns
    except (DeltaError, pl.exceptions.PolarsError, OSError):
        return pl.DataFrame(), []


def replace(table: Path, rows: pl.DataFrame, partition_by: list[str]) -> None:
    """Put a table of these rows in the place of another, without a history; without rows, nothing stays."""
    new, old = (table.with_name(f"{PARTIAL}{kind}-{table.name}") for kind in ("new", "old"))
    for each in (new, old):
        shutil.rmtree(each, ignore_errors=True)
    with write_faults_named(table):
        if rows.height:
            rows.write_delta(str(new), delta_write_options={"partition_by": partition_by} if partition_by else {})
            table.rename(old)
            new.rename(table)
            shutil.rmtree(old)
        else:
            shutil.rmtree(table)


def pictures_in(content: bytes) -> set[str]:
    """Return the hashes of all pictures whose path stands in bytes."""
    return {match.group(1).decode() for match in PICTURE.finditer(content)}


def pictures_of(frame: pl.DataFrame) -> set[str]:
    """Return the hashes of all pictures that a table names."""
    return pictures_in(frame_text(frame)) if frame.height else set()


def work_folders(lake: Path) -> Iterator[Path]:
    """Yield the folder or file of every piece of long work, sorted."""
    for kind in sorted((lake / "work").glob("*")):
        if kind.is_dir():
            yield from sorted(kind.iterdir())


def holds(work: Path, found: Callable[[bytes], bool]) -> bool:
    """Return whether something is found in any file of a piece of work."""
    files = [work] if work.is_file() else [each for each in sorted(work.rglob("*")) if each.is_file()]
    return any(found(content) for file in files for content in contents(file))


def pictures_of_work(work: Path) -> set[str]:
    """Return the hashes of all pictures that a piece of work names."""
    files = [work] if work.is_file() else [each for each in sorted(work.rglob("*")) if each.is_file()]
    small = (each for each in files if each.suffix in (".json", ".parquet"))
    return {picture for file in small for content in contents(file) for picture in pictures_in(content)}


def unused_pictures(lake: Path, used: Set[str]) -> list[Path]:
    """Return every picture that is not among the used ones, by the hash of its pixels."""
    return [path for path in sorted((lake / "images").rglob("*.png")) if path.stem not in used]


def remove(path: Path) -> int:
    """Remove a file or folder if it is there, and return how many bytes that freed.

    Raises:
        WriteFaultError: the disk, its file system or this user's rights do not let it be removed.
    """
    if path.is_dir() and not path.is_symlink():
        freed = sum(each.lstat().st_size for each in path.rglob("*") if not each.is_dir())
    else:
        freed = path.lstat().st_size if path.exists() or path.is_symlink() else 0
    artifacts.remove(path)
    return freed


def erase_records(home: Path, traces: Traces) -> int:
    """Erase what Dagster noted of somebody: runs that mention him with all their events and output, and single records.

    Returns:
        The number of runs that were erased.

    Raises:
        DatabaseBusyError: a program such as `make ui` has the databases open.
    """
    databases = [path for path in sorted(home.rglob("*.db")) if _is_database(path)]
    runs: set[str] = set()
    for path in databases:
        if _each_run_has_a_file(path) and traces.are_in(b"\n".join(contents(path))):
            runs.add(path.stem)
        else:
            runs |= _runs_that_mention(path, traces)
    for path in databases:
        if path.stem in runs:
            for each in path.parent.glob(f"{path.name}*"):
                each.unlink()
        else:
            _erase_rows(path, traces, runs)
    for run_id in runs:
        remove(home / "storage" / run_id)
    logs = [each for each in home.rglob("*") if each.is_file() and not each.is_symlink() and each not in databases]
    for each in logs:
        if traces.are_in_text(each.name) or any(traces.are_in(content) for content in contents(each)):
            each.unlink()
    return len(runs)


def _is_database(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(len(SQLITE_LETTERS)) == SQLITE_LETTERS


def _each_run_has_a_file(path: Path) -> bool:
    return re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", path.stem) is not None


def _rows(connection: sqlite3.Connection) -> Iterator[tuple[str, list[str], int, tuple[object, ...]]]:
    """Yield (table, columns, rowid, cells) of every row of a database."""
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for name in names:
        if name.startswith("sqlite_"):
            continue
        found = connection.execute(f"SELECT rowid, * FROM {quoted(name)}")
        columns = [each[0] for each in found.description][1:]
        for rowid, *cells in found:
            yield name, columns, rowid, tuple(cells)


def _runs_that_mention(path: Path, traces: Traces) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {
            str(cells[columns.index("run_id")])
            for _, columns, _, cells in _rows(connection)
            if "run_id" in columns and cells[columns.index("run_id")] and any(map(traces.are_in_cell, cells))
        }


def _erase_rows(path: Path, traces: Traces, runs: Iterable[str]) -> None:
    """Erase the rows that mention somebody or one of the runs, and the pages in which they stood."""
    gone = set(runs)
    try:
        with closing(sqlite3.connect(path, timeout=10)) as connection:
            hit = [
                (name, rowid)
                for name, _, rowid, cells in _rows(connection)
                if any(cell in gone for cell in cells if isinstance(cell, str)) or any(map(traces.are_in_cell, cells))
            ]
            for name, rowid in hit:
                connection.execute(f"DELETE FROM {quoted(name)} WHERE rowid = ?", (rowid,))
            connection.commit()
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        raise DatabaseBusyError(
            f"{path.name}: {error}; end `make ui` and whatever else has Dagster's records open, and start again"
        ) from None
