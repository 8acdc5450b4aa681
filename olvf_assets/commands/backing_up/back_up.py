"""Copying the data folder and Dagster's records to another folder.

What lives here: what is copied and in which order, so that the copy is of one moment. What does not: how it is kept
(`kept`), the way back (`restore`).

Most is copied beside whatever works in the data folder: pictures, films and the tables' files never change under their
names. Then the data folder is held, as a run holds it, while what is new or has changed since is copied: no run is in
the middle of anything then. Image stores are polled all the same, so their account goes first: a film that it calls
held lies in the landing folder, which is copied after it. Databases of SQLite are copied by SQLite itself.
"""

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from olvf_assets.commands.backing_up.kept import (
    BackUp,
    BackUpError,
    BackUpFolder,
    DamagedBackUpError,
    Entry,
    full,
    shown,
)
from olvf_assets.commands.lake_at_home import lake_at_home
from olvf_assets.foundation.errors import MachineError
from olvf_assets.foundation.write_faults import DiskFullError, write_faults_named
from olvf_assets.intake.pacs.pacs_file import PACS_FOLDER
from olvf_assets.intake.privacy.pseudonyms import KEY_FILE, KEY_VARIABLE
from olvf_assets.orchestration.books import books_of
from olvf_assets.orchestration.held import data_folder_of
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.orchestration.run_log import LOGS
from olvf_assets.storage import erasure
from olvf_assets.storage.artifacts import PARTIAL
from olvf_assets.storage.forgotten import add_forgotten, forgotten_in, mark, note_back_up_folder
from olvf_assets.storage.places import CACHE, NOTE, TAKING_BACK
from olvf_assets.storage.remembered import Stamp
from olvf_assets.storage.run_lock import FOLDER as LOCKS
from olvf_assets.storage.run_lock import hold_data_folder
from olvf_assets.storage.traces import SQLITE_LETTERS

DATA, DAGSTER = "data", "dagster"  # how the two roots are called in a back-up
LEFT_OUT = frozenset({LOCKS, LOGS, CACHE, NOTE, TAKING_BACK, "README.md", ".olvf.duckdb.lock"})  # in the data folder
BESIDE_DATABASES = ("-wal", "-shm", "-journal")
DATABASES = (".db", ".sqlite")
Report = Callable[[str], None]


class UnreadableSourceError(MachineError):
    """Something that belongs into a back-up cannot be read."""


@dataclass
class _Copy:
    """One pass over everything.

    Attributes:
        into: where it is copied to.
        known: entries by path that an earlier pass or back-up made; an unchanged file is not read again.
        files, folders: what was found.
        copied: how many files were read.
    """

    into: BackUpFolder
    known: dict[str, Entry]
    files: dict[str, Entry] = field(default_factory=dict)
    folders: dict[str, int] = field(default_factory=dict)
    copied: int = 0

    def take(self, root: Path, name: str, without: frozenset[Path]) -> None:
        """Copy what lies below a root, the accounts of image stores first."""

        def unreadable(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                path = f"{name}/{Path(error.filename).relative_to(root).as_posix()}"
                raise _cannot_be_read(shown(path), error)

        first = root / PACS_FOLDER
        tops = [first, *(each for each in sorted(root.iterdir()) if each != first)]
        for top in tops:
            if top in without or not (top.exists() or top.is_symlink()):
                continue
            if top.is_symlink() or not top.is_dir():
                self._file(top, f"{name}/{top.name}")
                continue
            for folder, below, files in os.walk(top, onerror=unreadable):
                here = Path(folder)
                below[:] = sorted(each for each in below if not _is_passing(here / each) and here / each not in without)
                prefix = f"{name}/{here.relative_to(root).as_posix()}"
                self.folders[prefix] = here.stat().st_mode & 0o777
                links = [each for each in below if (here / each).is_symlink()]
                for each in sorted([*files, *links]):
                    self._file(here / each, f"{prefix}/{each}")

    def _file(self, path: Path, name: str) -> None:
        if _is_passing(path) or (name.endswith(BESIDE_DATABASES) and _is_database(Path(str(path).rpartition("-")[0]))):
            return
        try:
            status = path.lstat()
            if path.is_symlink():
                self.files[name] = Entry("", (0, 0, 0, 0), 0, os.readlink(path))
                return
            if not path.is_file():
                return  # a pipe or socket holds nothing
            stamp = Stamp.of(status)
            known = self.known.get(name)
            if known is None or known.stamp[1:] != stamp[1:] or _has_journal(path) or not self.into.has(known):
                known = self._copied(path, stamp, status.st_mode & 0o777)
                self.copied += 1
            self.files[name] = known
        except FileNotFoundError:
            return  # taken away while others work there
        except OSError as error:
            raise _cannot_be_read(shown(name), error) from None

    def _copied(self, path: Path, stamp: Stamp, mode: int) -> Entry:
        if not _is_database(path):
            sha256 = self.into.take(path)
            return Entry(sha256, (self.into.content(sha256).stat().st_size, *stamp[1:]), mode)
        with (
            write_faults_named(self.into.folder),
            tempfile.TemporaryDirectory(dir=self.into.contents, prefix=PARTIAL) as folder,
        ):
            copy = Path(folder) / "database"
            with closing(sqlite3.connect(copy)) as target:
                with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=60)) as source:
                    source.backup(target)
                target.execute("pragma journal_mode = delete")
            sha256 = self.into.take(copy)
        return Entry(sha256, (self.into.content(sha256).stat().st_size, *stamp[1:]), mode)


def back_up(study: StudyResource, home: Path, folder: Path, *, with_key: bool, keep: int | None, report: Report) -> str:
    """Copy the data folder and Dagster's records, and return the back-up's name.

    Args:
        study: whose data folder.
        home: where Dagster keeps its records.
        folder: where back-ups are kept, on another disk or machine.
        with_key: copy `pseudonym.key`, too.
        keep: remove all but so many of the newest back-ups afterwards.
        report: told what is copied.

    Raises:
        BackUpError: the folder lies in the data folder, or may be read by others.
        BackUpFullError, DiskFullError, WriteFaultError: a disk.
        UnreadableSourceError: something cannot be read, so that the back-up would not be whole.
        DataFolderInUseError: another back-up is made there, or a run is at work and OLVF_WAIT is 0.
        LakeInUseError, ObjectStoreError: the lake lies in an object store, and a run on another machine works there, or
            the store fails.
    """
    folder, data = folder.resolve(), study.data.resolve()
    if folder.is_relative_to(data) or folder.is_relative_to(home.resolve()):
        raise BackUpError(f"{folder} lies in what is copied; name a folder on another disk")
    if not data.is_dir():
        raise BackUpError(f"{data} is not there, so there is nothing to copy; OLVF_DATA names the data folder")
    kept = BackUpFolder(folder)
    with _faults_of(folder):
        kept.make()
        with hold_data_folder(folder, "back-up", wait=False):
            with lake_at_home(study, report) as at_home:
                name = _made(kept, at_home, data, home, with_key=with_key, report=report)
            if keep is not None:
                kept.keep_newest(keep, report)
    return name


def _made(kept: BackUpFolder, study: StudyResource, data: Path, home: Path, *, with_key: bool, report: Report) -> str:
    known = _known(kept, report)
    books, without = books_of(home), _left_out(data, home, with_key=with_key)
    early = _Copy(kept, known)
    early.take(data, DATA, without)
    report(f"{early.copied} of {len(early.files)} files were new or had changed; now the data folder is held")
    with data_folder_of(study, "back-up", report):
        note_back_up_folder(data, kept.folder)
        add_forgotten(kept.folder, forgotten_in(data))
        late = _Copy(kept, {**known, **early.files})
        late.take(data, DATA, without)
        if home.is_dir():
            late.take(home, DAGSTER, frozenset())
        made = BackUp(time.time(), late.files, late.folders, _marks(data / "lake"), books)
        name = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime(made.made_s))
        kept.write(name, made)
    links = sum(each.link is not None for path, each in late.files.items() if path.startswith(DATA))
    size = sum(each.stamp[0] for each in late.files.values())
    report(
        f"back-up {name}: {len(late.files)} files, {size / 1e6:.1f} MB, of which {late.copied} were copied meanwhile"
    )
    if links:
        report(f"{links} symbolic links are kept as links; what they point to is not in the back-up")
    if books != "sqlite":
        report("Dagster's books are in PostgreSQL and not in it: pg_dump copies them (docs/operations.md)")
    if not (data / KEY_FILE).exists():
        if os.environ.get(KEY_VARIABLE):
            report(f"the key for pseudonyms is in {KEY_VARIABLE} and not in the back-up; keep a copy of it elsewhere")
    elif not with_key:
        report(f"{KEY_FILE} is not in it, as asked; without the key patients cannot be linked")
    return name


def _known(kept: BackUpFolder, report: Report) -> dict[str, Entry]:
    """Return the files of the newest back-up."""
    if not kept.names():
        return {}
    try:
        return kept.read(kept.names()[-1]).files
    except DamagedBackUpError as error:
        report(f"{error}; everything is read anew")
        return {}


def _left_out(data: Path, home: Path, *, with_key: bool) -> frozenset[Path]:
    landing = data / "landing"
    half_brought = landing.glob(".*.partial") if landing.is_dir() else ()
    key = () if with_key else (data / KEY_FILE,)
    return frozenset({*(data / each for each in LEFT_OUT), home.resolve(), *half_brought, *key})


def _marks(lake: Path) -> list[str]:
    """Return the marks of every institution and patient of the tables, sorted."""
    names: set[str] = set()
    for table in erasure.tables(lake):
        frame, _ = erasure.read(table)
        for column in ("institution", "patient_id"):
            if frame.schema.get(column) == pl.String:
                names |= set(frame[column].drop_nulls().unique())
    return sorted(map(mark, names))


def _is_passing(path: Path) -> bool:
    return path.name.startswith(PARTIAL) or path.name.startswith("olvf.duckdb.tmp")


def _is_database(path: Path) -> bool:
    if path.suffix not in DATABASES or not path.is_file():
        return False
    with path.open("rb") as handle:
        return handle.read(len(SQLITE_LETTERS)) == SQLITE_LETTERS


def _has_journal(path: Path) -> bool:
    journal = path.with_name(f"{path.name}-wal")
    return path.suffix in DATABASES and journal.exists() and journal.stat().st_size > 0


def _cannot_be_read(what: str, error: OSError) -> UnreadableSourceError:
    return UnreadableSourceError(
        f"{what} cannot be read ({error.strerror}), so there is no new back-up; see to the disk and give this user the "
        "right, and start again: what was copied is not copied again"
    )


@contextmanager
def _faults_of(folder: Path) -> Iterator[None]:
    """Let a full disk leave as what it means for a back-up."""
    try:
        with write_faults_named(folder):
            yield
    except DiskFullError as error:
        if str(folder) in str(error):
            raise full(folder) from None
        raise
