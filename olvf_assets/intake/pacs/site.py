"""A site's image store as a whole: the way into this station for commands, schedules and whoever sends results back.

What lives here: opening a site and doing one thing with it. What does not: how (the modules beside, which are loaded by
the first call that needs them: the code location loads this one at its start).
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from olvf_assets.intake.landing.institution_file import read_institution
from olvf_assets.intake.pacs.errors import PacsError
from olvf_assets.intake.pacs.pacs_file import PACS_FILE, PACS_FOLDER, Pacs, pacs_sites, read_pacs
from olvf_assets.intake.pacs.state import FATES, State
from olvf_assets.intake.privacy.pseudonyms import pseudonymiser
from olvf_assets.storage.artifacts import remove_partials
from olvf_assets.storage.run_lock import hold_data_folder

__all__ = ["due_sites", "pacs_sites", "poll_site", "send_to_store", "site_status", "site_told", "test_site"]

if TYPE_CHECKING:
    from olvf_assets.intake.pacs.answers import ImageStore
    from olvf_assets.intake.pacs.orthanc import Feed
    from olvf_assets.intake.pacs.polling import Poll

Report = Callable[[str], None]
EARLY_S = 30.0  # a schedule that ticks a little early still finds a site due
SENSOR_READINGS = 1


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


class Told(NamedTuple):
    """What the change feed of a site has told.

    Attributes:
        waiting: series that are not fetched yet.
        run_key: changes whenever other series, or others of them, are ready to be fetched; None if none is.
    """

    waiting: int
    run_key: str | None


def test_site(data: Path, institution: str) -> list[str]:
    """Return a line for each thing of a site's connection that was tried and works.

    Raises:
        PacsError: says which does not, and the way out.
    """
    pacs = read_pacs(data, institution)
    with _opened(pacs) as (store, feed):
        return [*store.test(), *(feed.test() if feed else [])]


def poll_site(
    data: Path,
    institution: str,
    *,
    held_elsewhere: Iterable[str] = (),
    whole: bool = False,
    again: bool = False,
    wait: bool = True,
    now: Callable[[], float] = time.time,
    pause: Callable[[float], object] = _wait,
    report: Report = lambda line: None,
) -> "Poll":
    """Fetch what is new in a site's image store into its landing folder.

    Args:
        data: the data folder.
        institution: the site's key; no synthetic hospital.
        held_elsewhere: pseudonyms of the site's films in the lake, whichever way they came.
        whole: look through all days.
        again: fetch also what was fetched before and has been taken away since.
        wait: wait once for series that are still arriving.
        now: gives seconds since 1970.
        pause: waits some seconds.
        report: shows a line of progress.

    Raises:
        PacsError: no connection, or the store fails; what was fetched stays, and the next poll goes on there.
        InstitutionFileError: the landing folder does not say who the site is.
        PseudonymKeyError: no key.
        DataFolderInUseError: another poll of the site is at work.
        DiskFullError, WriteFaultError: the disk.
    """
    from olvf_assets.intake.pacs.polling import Poller
    from olvf_assets.intake.pacs.received import FROM_PACS

    pacs = read_pacs(data, institution)
    landing = data / "landing" / institution
    read_institution(landing)
    names = pseudonymiser(institution, False, data)
    with (
        hold_data_folder(pacs.folder, "a poll of this site", wait=False),
        closing(State(pacs.folder)) as state,
        _noted(state, now),
        _opened(pacs) as (store, feed),
    ):
        remove_partials(landing / FROM_PACS)
        poller = Poller(pacs, store, feed, state, landing, names, frozenset(held_elsewhere), now, pause, report)
        return poller.poll(whole=whole, again=again, wait=wait)


def send_to_store(
    data: Path, institution: str, files: Sequence[Path], report: Report = lambda line: None
) -> dict[Path, str | None]:
    """Store DICOM files in a site's image store, by C-STORE or STOW-RS, and return what became of each.

    Args:
        data: the data folder.
        institution: the site's key.
        files: DICOM files with file meta information.
        report: shows a line of progress.

    Returns:
        None by file that is stored (one that was stored before counts), else why it is not, for a person to read.

    Raises:
        PacsError: no connection, or it broke off: nothing is known of the files after the first. Sending all of them
            again doubles nothing, since a store knows an object by its SOP instance UID.
    """
    from olvf_assets.foundation.parallel import reported
    from olvf_assets.intake.pacs.errors import NotStoredError

    def sent() -> Iterator[tuple[Path, str | None]]:
        for file in files:
            try:
                store.send(file.read_bytes())
            except NotStoredError as error:
                yield file, str(error)
            else:
                yield file, None

    with _opened(read_pacs(data, institution)) as (store, _):
        return dict(reported(sent(), len(files), "objects", report))


def due_sites(data: Path, *, now_s: float) -> tuple[list[str], list[str]]:
    """Return the sites that are due by their `every_minutes`, and a line per site that cannot or could not be.

    Args:
        data: the data folder.
        now_s: seconds since 1970.
    """
    due, problems = [], []
    for institution in pacs_sites(data):
        try:
            pacs = read_pacs(data, institution)
            with closing(State(pacs.folder)) as state:
                last_s, failed = state.seconds("last_try"), state.said("last_reason")
        except PacsError as error:
            problems.append(str(error))
            continue
        if failed is not None:
            problems.append(f"{institution}: the last poll failed: {failed}")
        waited_s = None if last_s is None else abs(now_s - last_s)  # a clock that was set back delays nothing
        if pacs.every_minutes and (waited_s is None or waited_s >= pacs.every_minutes * 60 - EARLY_S):
            due.append(institution)
    return due, problems


def last_successes(data: Path) -> dict[str, float]:
    """Return when each site that is polled by itself was polled with success last, in seconds since 1970.

    One that never was counts from when its `pacs.toml` was written. A site whose file or account cannot be read counts
    from then, too: it is not polled either.
    """
    found = {}
    for institution in pacs_sites(data):
        file = data / PACS_FOLDER / institution / PACS_FILE
        try:
            found[institution] = file.stat().st_mtime
            pacs = read_pacs(data, institution)
            if not pacs.every_minutes:
                del found[institution]
                continue
            with closing(State(pacs.folder)) as state:
                found[institution] = state.seconds("last_success") or found[institution]
        except (PacsError, OSError):
            continue
    return found


def site_told(data: Path, institution: str) -> Told | None:
    """Return what a site's change feed has told since it was last read; None if the site has none.

    Raises:
        PacsError: the feed cannot be read; nothing of it is lost by that.
    """
    from olvf_assets.intake.pacs.orthanc import Feed

    pacs = read_pacs(data, institution)
    if pacs.orthanc is None:
        return None
    with closing(State(pacs.folder)) as state, closing(Feed(pacs)) as feed:
        feed.read(state, SENSOR_READINGS)
        told = feed.told(state, pacs.what.modalities)
    ready = sorted(f"{each.orthanc_id} {each.version}" for each in told if each.stable)
    return Told(len(told), hashlib.sha256("\n".join(ready).encode()).hexdigest()[:16] if ready else None)


def site_status(data: Path, institution: str, now: Callable[[], float] = time.time) -> list[str]:
    """Return lines that say how a site stands: last success, last failure, how many instances of each fate, next poll.

    Raises:
        PacsFileError: `pacs.toml` is missing or not understood.
    """
    pacs = read_pacs(data, institution)
    with closing(State(pacs.folder)) as state:
        success, last_try = state.seconds("last_success"), state.seconds("last_try")
        lines = [f"last success: {_moment(success)}"]
        if (failed := state.seconds("last_failure")) is not None:
            lines.append(f"last failure: {_moment(failed)}: {state.said('last_reason')}")
        lines += [f"{fate}: {n} ({FATES[fate]})" for fate, n in state.counts().items()]
        lines += [f"  {n} x {reason}" for reason, n in state.reasons().items()]
        if pacs.orthanc is not None:
            lines.append(f"told of by the change feed and not fetched yet: {len(state.feed())} series")
    if not pacs.every_minutes:
        return [*lines, "next: by hand only (every_minutes = 0)"]
    due_s = None if last_try is None else last_try + pacs.every_minutes * 60
    when = "as soon as `make ui` runs" if due_s is None or due_s <= now() else f"{_moment(due_s)}, while `make ui` runs"
    return [*lines, f"next: {when}"]


@contextmanager
def _opened(pacs: Pacs) -> Iterator[tuple["ImageStore", "Feed | None"]]:
    from olvf_assets.intake.pacs.dicomweb import WebStore
    from olvf_assets.intake.pacs.dimse import DimseStore
    from olvf_assets.intake.pacs.orthanc import Feed

    with ExitStack() as opened:
        store = opened.enter_context(closing(DimseStore(pacs) if pacs.dimse else WebStore(pacs)))
        feed = opened.enter_context(closing(Feed(pacs))) if pacs.orthanc else None
        yield store, feed


@contextmanager
def _noted(state: State, now: Callable[[], float]) -> Iterator[None]:
    """Keep a failure before anything is asked (no credentials, say), so that `status` tells of it."""
    try:
        yield
    except PacsError as error:
        state.note(last_try=now(), last_failure=now(), last_reason=str(error))
        raise


def _moment(seconds: float | None) -> str:
    return "never" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
