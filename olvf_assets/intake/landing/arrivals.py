"""Which landing folders hold something that has not been taken in yet.

What lives here: the state of a folder, and the decision which institutions are due. What does not: the notes that this
is held against (`storage/taken_in.py`), reading any file, and Dagster (`orchestration/automation.py` asks this module).
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from olvf_assets.foundation.errors import MachineError, OlvfError
from olvf_assets.intake.landing.landing_walk import walk_files
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.landing_folders import landing_folders, odd_folders
from olvf_assets.storage.remembered import Stamp
from olvf_assets.storage.taken_in import is_known, is_taken_in

# Longer than the pause between two files of a network copy; a day's films of a hospital arrive within minutes.
SETTLE_S = 60.0
SETTLE_VARIABLE = "OLVF_SETTLE_S"
LONGEST_SETTLING_S = 86400.0


class SettlingTimeError(MachineError):
    """The site's settling time is no number of seconds."""


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


def folder_state(folder: Path) -> str:
    """Return a hash of the names, sizes, times and inodes of all files that have arrived in one landing folder."""
    return _state(_stamps(folder))


def newest_film_s(folder: Path) -> float | None:
    """Return when the newest of what may be films came into a folder, in seconds since 1970; None: there is none.

    By ctime, which no copying program sets; a folder that was restored or moved counts as arrived then.

    Raises:
        OSError, LandingUnreadableError: it cannot be read.
    """
    came = [stamp.ctime_ns for stamp in _films(_stamps(folder))]
    return max(came) / 1e9 if came else None


def _state(stamps: list[tuple[str, Stamp]]) -> str:
    listing = hashlib.sha256()
    for path, stamp in stamps:
        listing.update(f"{path}\x1f{stamp}\n".encode())
    return listing.hexdigest()


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
        elif not _films(stamps) and not is_known(store, institution):
            waiting[institution] = "no film has come yet"  # a new site, connected and waiting for its image store
        elif is_taken_in(store, institution, tables, current):
            continue
        elif (left_s := _seconds_left(stamps, now_s, settle_s)) > 0:
            waiting[institution] = (
                f"something came {settle_s - left_s:.0f} s ago; taken in after {settle_s:.0f} s of quiet"
            )
        else:
            due[institution] = current
    return Arrivals(due, waiting, problems)


def _stamps(folder: Path) -> list[tuple[str, Stamp]]:
    return sorted((file.path, file.stamp) for file in walk_files(folder) if file.state == "arrived")


def _films(stamps: list[tuple[str, Stamp]]) -> list[Stamp]:
    """Return the stamps of what may be films."""
    from olvf_assets.intake.landing.landing import kind_of

    return [stamp for path, stamp in stamps if kind_of(path) == "candidate"]


def _seconds_left(stamps: list[tuple[str, Stamp]], now_s: float, settle_s: float) -> float:
    """Return how long until a folder has been unchanged for long enough, by ctime, which no copying program sets.

    One far in the future is older than the clock's last setting.
    """
    return settle_s - min(abs(now_s - stamp.ctime_ns / 1e9) for _, stamp in stamps)
