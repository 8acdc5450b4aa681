"""What was fetched from a site's image store, what waits, how far was asked: `data/pacs/<institution>/state.sqlite`.

What lives here: the file, written whole or not at all (SQLite's transactions). What does not: what follows from it
(`polling`).

Instances and series stand in it by marks, digests of their keyed pseudonyms; no name, number or UID of a patient's, and
none of the lake's pseudonyms: a patient who was forgotten there is not fetched again all the same. The file may be
lost: what was fetched is known by the names of the films in the landing folder, and all days are asked for
anew.
"""

import errno
import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Literal, NamedTuple

from olvf_assets.foundation.write_faults import write_faults_named
from olvf_assets.storage.artifacts import PARTIAL

STATE_FILE = "state.sqlite"
Fate = Literal["held", "waiting", "failed", "refused"]
FATES: Mapping[Fate, str] = {
    "held": "in the landing folder, or taken in before",
    "waiting": "seen in the store and not fetched yet",
    "failed": "could not be fetched so far; tried again with each poll",
    "refused": "given up: what came is no film, or it cannot be fetched; looked at again when all days are",
}
_TABLES = """
create table if not exists notes (name text primary key, said text not null);
create table if not exists instances (
    film text primary key, series text not null, fate text not null, reason text not null default '',
    tries integer not null default 0
);
create table if not exists series (
    series text primary key, contents text not null, since_s real not null, settled integer not null default 0
);
create table if not exists feed (orthanc_id text primary key);
"""


def mark(pseudonym: str) -> str:
    """Return what stands in the file for an instance or series with a keyed pseudonym."""
    return hashlib.sha256(f"of an image store|{pseudonym}".encode()).hexdigest()[:32]


class Known(NamedTuple):
    """What is known of one instance."""

    fate: Fate
    reason: str = ""
    tries: int = 0


class State:
    """The state of one site.

    Args:
        folder: where the file lies.

    Raises:
        DiskFullError, WriteFaultError: the disk.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / STATE_FILE
        with write_faults_named(self.file), _faults_of_the_disk():
            folder.mkdir(parents=True, exist_ok=True)
            self._database = self._opened()

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Change several things together: all of them are kept when the block ends, none if it fails."""
        with write_faults_named(self.file), _faults_of_the_disk(), self._database:
            yield self._database

    def instances(self) -> dict[str, Known]:
        """Return what is known of each instance, by its mark."""
        rows = self._database.execute("select film, fate, reason, tries from instances")
        return {film: Known(fate, reason, tries) for film, fate, reason, tries in rows}

    def counts(self) -> dict[Fate, int]:
        """Return how many instances there are of each fate."""
        found = dict(self._database.execute("select fate, count(*) from instances group by fate").fetchall())
        return {fate: found.get(fate, 0) for fate in FATES}

    def reasons(self) -> dict[str, int]:
        """Return how many instances could not be had, by reason."""
        rows = self._database.execute(
            "select reason, count(*) from instances where fate in ('failed', 'refused') group by reason order by reason"
        )
        return dict(rows.fetchall())

    def note_instances(self, series: str, known: Mapping[str, Known]) -> None:
        """Keep what has become of instances of a series, by mark, all together."""
        with self.change() as database:
            database.executemany(
                "insert or replace into instances values (?, ?, ?, ?, ?)",
                [(film, series, each.fate, each.reason, each.tries) for film, each in known.items()],
            )

    def settling_since(self, series: str, contents: str, now_s: float) -> float:
        """Return since when a series has been as it is, and note that it is so now.

        Args:
            series: its mark.
            contents: a digest of what it holds.
            now_s: seconds since 1970; a sighting in the future, by a clock that was set back since, counts as now.
        """
        row = self._database.execute("select contents, since_s from series where series = ?", (series,)).fetchone()
        if row is not None and row[0] == contents and row[1] <= now_s:
            return float(row[1])
        with self.change() as database:
            database.execute("insert or replace into series values (?, ?, ?, 0)", (series, contents, now_s))
        return now_s

    def forget_unseen(self, seen: Iterable[str]) -> int:
        """Forget what was to be fetched and is not in the store any more, and return how many instances that were.

        Args:
            seen: the marks of all that is in the store.
        """
        with self.change() as database:
            database.execute("create temporary table seen (film text primary key)")
            database.executemany("insert or ignore into seen values (?)", [(film,) for film in seen])
            gone = database.execute(
                "delete from instances where fate in ('waiting', 'failed') and film not in (select film from seen)"
            )
            database.execute("drop table seen")
            return gone.rowcount

    def settle(self, series: str, count: int) -> None:
        """Note that all of a series is held, with so many instances."""
        with self.change() as database:
            database.execute("update series set settled = ? where series = ?", (count, series))

    def settled(self) -> dict[str, int]:
        """Return the number of instances of each series of which all is held."""
        return dict(self._database.execute("select series, settled from series where settled > 0").fetchall())

    def note(self, **notes: str | float | None) -> None:
        """Keep facts by name; None takes one back."""
        with self.change() as database:
            for name, said in notes.items():
                database.execute("delete from notes where name = ?", (name,))
                if said is not None:
                    database.execute("insert into notes values (?, ?)", (name, str(said)))

    def said(self, name: str) -> str | None:
        """Return a fact, None if there is none."""
        row = self._database.execute("select said from notes where name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def seconds(self, name: str) -> float | None:
        """Return a fact that is a time, in seconds since 1970."""
        said = self.said(name)
        return None if said is None else float(said)

    def day(self, name: str) -> date | None:
        """Return a fact that is a day."""
        said = self.said(name)
        return None if said is None else date.fromisoformat(said)

    def feed(self) -> list[str]:
        """Return the series that a change feed told of and that are not fetched yet, as the store names them."""
        return [row[0] for row in self._database.execute("select orthanc_id from feed order by orthanc_id")]

    def note_feed(self, *, add: Iterable[str] = (), remove: Iterable[str] = (), last: int | None = None) -> None:
        """Keep what a change feed told, and how far it was read, together."""
        with self.change() as database:
            database.executemany("insert or ignore into feed values (?)", [(each,) for each in add])
            database.executemany("delete from feed where orthanc_id = ?", [(each,) for each in remove])
            if last is not None:
                database.execute("insert or replace into notes values ('feed_read_to', ?)", (str(last),))

    def _opened(self) -> sqlite3.Connection:
        os.close(os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            return _connected(self.file)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            self.file.replace(self.file.with_name(f"{PARTIAL}damaged-{STATE_FILE}"))
            os.close(os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600))
            return _connected(self.file)


@contextmanager
def _faults_of_the_disk() -> Iterator[None]:
    """Let what SQLite says of disk and rights leave a `with` block as the system would say it."""
    try:
        yield
    except sqlite3.OperationalError as error:
        said = str(error)
        number = errno.ENOSPC if "full" in said else errno.EIO if "I/O" in said else errno.EACCES
        raise OSError(number, os.strerror(number)) from error


def _connected(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, timeout=30.0)
    database.execute("pragma synchronous = full")
    database.executescript(_TABLES)
    database.execute("select count(*) from instances").fetchone()
    return database
