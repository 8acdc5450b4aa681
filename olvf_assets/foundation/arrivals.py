"""Which landing folders hold something that has not been taken in yet.

What lives here: the state of a folder, the state that each stored table of an institution was made from, and the
decision which institutions are due. What does not: reading any file, and Dagster (`automation.py` asks this module).

An institution is taken in when all its tables, and those that close a run (metrics, report, warehouse), are stored and
were made from the state that its folder is in now. The state is noted only after the table is in the lake, so a run
that dies on the way leaves its institution due.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from olvf_assets.foundation.artifacts import ArtifactStore, read_if_whole, read_json, write_atomically
from olvf_assets.foundation.errors import MachineError, OlvfError
from olvf_assets.foundation.institution_file import KEY_PATTERN
from olvf_assets.foundation.landing_walk import walk_files
from olvf_assets.foundation.remembered import Stamp

# Longer than the pause between two files of a network copy; a day's films of a hospital arrive within minutes.
SETTLE_S = 60.0
SETTLE_VARIABLE = "OLVF_SETTLE_S"
LONGEST_SETTLING_S = 86400.0
FOLDER_STATE = "state of the landing folder"  # the note by which the table of arrived files says what it was made from


class InstitutionKeyError(OlvfError):
    """A name cannot be an institution's key."""


class SettlingTimeError(MachineError):
    """The site's settling time is no number of seconds."""


class LandingUnreadableError(MachineError):
    """The folder of landing folders may not be read."""


class Arrivals(NamedTuple):
    """What waits under `landing`.

    Attributes:
        due: {institution: state} of the folders to take in.
        waiting: {institution: for what it waits, in words} of the folders that are not to be taken in yet.
        problems: a line per thing that somebody should see to; without any name but institution keys.
    """

    due: dict[str, str]
    waiting: dict[str, str]
    problems: list[str]


def settling_time() -> float:
    """Return for how many seconds a landing folder must have been unchanged: the site's OLVF_SETTLE_S, or 60.

    Raises:
        SettlingTimeError: that is no number of seconds from 0 to a day.
    """
    said = os.environ.get(SETTLE_VARIABLE, "").strip() or str(SETTLE_S)
    try:
        seconds = float(said)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_SETTLING_S:
        raise SettlingTimeError(
            f"{SETTLE_VARIABLE}={said}: give the seconds for which a landing folder must be unchanged before it is "
            f"taken in, 0 to {LONGEST_SETTLING_S:.0f}; unset it for {SETTLE_S:.0f}"
        )
    return seconds


def landing_folders(landing: Path) -> list[str]:
    """Return the keys of all institutions that have a folder under `landing`, sorted.

    Raises:
        LandingUnreadableError: this user may not look there.
    """
    return [name for name in _folders(landing) if KEY_PATTERN.fullmatch(name)]


def odd_folders(landing: Path) -> str | None:
    """Return a line about folders whose names cannot be keys, if there are any. It repeats no name: who knows whose."""
    odd = [name for name in _folders(landing) if not KEY_PATTERN.fullmatch(name)]
    if not odd:
        return None
    return (
        f"{len(odd)} folders under data/landing are not taken in: their names are no institution keys (lower-case "
        "letters, digits and _, starting with a letter); rename them. To see them: "
        f"ls data/landing | grep -vxE '{KEY_PATTERN.pattern}'"
    )


def checked_key(name: str) -> str:
    """Return `name` if it can be an institution's key; it will be part of file paths and of Delta's predicates.

    Raises:
        InstitutionKeyError: it cannot.
    """
    if not KEY_PATTERN.fullmatch(name):
        raise InstitutionKeyError(
            "this partition's name cannot be an institution's key (lower-case letters, digits and _, starting with a "
            "letter); delete the partition in the UI, rename the folder under data/landing, and register it: "
            "python -m olvf_assets register"
        )
    return name


def folder_state(folder: Path) -> str:
    """Return a hash of the names, sizes, times and inodes of all files that have arrived in one landing folder."""
    return _state(_stamps(folder))


def _state(stamps: list[tuple[str, Stamp]]) -> str:
    listing = hashlib.sha256()
    for path, stamp in stamps:
        listing.update(f"{path}\x1f{stamp}\n".encode())
    return listing.hexdigest()


def record_stored(
    store: ArtifactStore, institution: str, table: str, *, state: str | None = None, reads: Iterable[str] = ()
) -> None:
    """Note what an institution's rows of a table were made from, now that they are in the lake.

    Args:
        store: where the notes are.
        institution: its key.
        table: the table's name.
        state: of the landing folder; None means that of the tables in `reads`, if they all have the same.
        reads: the institution's tables that this one was made from; with none and no state, the note is taken back.
    """
    states = _states(store, institution)
    found = {states.get(name) for name in reads} if state is None else {state}
    known = found.pop() if len(found) == 1 else None
    if known is None:
        states.pop(table, None)
    else:
        states[table] = known
    _write(store.path(f"arrivals/{institution}.stored.json"), states)


def forget_stored(store: ArtifactStore, table: str) -> None:
    """Take back every institution's note of a table that is not in the lake any more as it was noted."""
    for file in sorted(store.path("arrivals").glob("*.stored.json")):
        states = read_if_whole(file, read_json) or {}
        if states.pop(table, None) is not None:
            _write(file, states)


def institutions_due(
    landing: Path, store: ArtifactStore, tables: Sequence[str], *, now_s: float, settle_s: float
) -> Arrivals:
    """Return which folders changed since they were taken in and have settled, and what somebody should see to.

    Args:
        landing: the folder of landing folders.
        store: where tables and notes are.
        tables: every table that is kept per institution, and those that close a run.
        now_s: the time now, in seconds since 1970.
        settle_s: how long a folder must have been unchanged, so that a copy in progress is left alone.
    """
    due, waiting, problems = {}, {}, []
    if (odd := odd_folders(landing)) is not None:
        problems.append(odd)
    for institution in landing_folders(landing):
        try:
            stamps = _stamps(landing / institution)
            current = _state(stamps)
        except (OSError, OlvfError) as error:  # taken away this moment, or locked: the others are not to suffer
            problems.append(f"data/landing/{institution} cannot be read ({type(error).__name__}); see to its rights")
            continue
        if not stamps:
            waiting[institution] = "it is empty"
        elif _is_taken_in(store, institution, tables, current):
            continue
        elif (left_s := _seconds_left(stamps, now_s, settle_s)) > 0:
            waiting[institution] = (
                f"something came {settle_s - left_s:.0f} s ago; taken in after {settle_s:.0f} s of quiet"
            )
        else:
            due[institution] = current
    return Arrivals(due, waiting, problems)


def _folders(landing: Path) -> list[str]:
    try:
        return sorted(each.name for each in landing.iterdir() if not each.name.startswith(".") and each.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise LandingUnreadableError(f"{landing} cannot be read ({error.strerror}); give this user the right") from None


def _stamps(folder: Path) -> list[tuple[str, Stamp]]:
    return sorted((file.path, file.stamp) for file in walk_files(folder) if file.state == "arrived")


def _seconds_left(stamps: list[tuple[str, Stamp]], now_s: float, settle_s: float) -> float:
    """Return how long until a folder has been unchanged for long enough, by ctime, which no copying program sets.

    One far in the future is older than the clock's last setting.
    """
    return settle_s - min(abs(now_s - stamp.ctime_ns / 1e9) for _, stamp in stamps)


def _is_taken_in(store: ArtifactStore, institution: str, tables: Sequence[str], current: str) -> bool:
    states = _states(store, institution)
    return all(
        states.get(name) == current and store.path(f"tables/{name}.delta/_delta_log").is_dir() for name in tables
    )


def _states(store: ArtifactStore, institution: str) -> dict[str, str]:
    return read_if_whole(store.path(f"arrivals/{institution}.stored.json"), read_json) or {}


def _write(file: Path, states: dict[str, str]) -> None:
    write_atomically(file, lambda temporary: temporary.write_text(json.dumps(states, indent=1, sort_keys=True)))
