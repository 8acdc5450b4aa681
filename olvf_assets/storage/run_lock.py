"""One run at a time in a data folder, and which runs are alive.

What lives here: two kinds of lock files under `<data>/.runs`. `data_folder.lock` is held by the run (or command) that
works in the folder; `<run id>.lock` by every run from its beginning to the end of its process, also while it waits for
the first. The kernel frees both when their process ends, however it ends, so a lock tells the truth after `kill -9` and
a reboot. What does not: Dagster (`orchestration/lost_runs.py` reports the runs that are gone).
"""

import errno
import fcntl
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeVar

from olvf_assets.foundation.errors import MachineError
from olvf_assets.foundation.write_faults import write_fault, write_faults_named
from olvf_assets.storage.artifacts import PARTIAL, read_if_whole, read_json

FOLDER = ".runs"
FOLDER_LOCK = "data_folder.lock"
POLL_S = 1.0
REMIND_S = 60.0
_held: set[int] = set()
Taken = TypeVar("Taken")


class DataFolderInUseError(MachineError):
    """Another run or command works in the data folder."""


class DataFolderLockError(MachineError):
    """The data folder's file system or rights do not allow a lock."""


class Holder(NamedTuple):
    """Who holds a data folder, for whoever waits."""

    run_id: str
    pid: int
    host: str
    command: str
    since: str

    def __str__(self) -> str:
        """Return one line without any path."""
        return f"{self.run_id} ({self.command}, process {self.pid} on {self.host}, since {self.since})"


UNKNOWN = Holder("a run that has not said its name", 0, "this or another host", "unknown command", "an unknown time")


@contextmanager
def hold_data_folder(
    data: Path, run_id: str, *, wait: bool, report: Callable[[str], None] = lambda line: None
) -> Iterator[Holder | None]:
    """Hold a data folder for the time of a `with` block; yield whoever held it last and died in it, else None.

    Args:
        data: the data folder.
        run_id: the run, or the command, that holds it; shown to whoever waits.
        wait: whether to wait for whoever holds it, or to raise.
        report: told who holds it when waiting begins and every minute after that.

    Raises:
        DataFolderInUseError: someone holds it, and `wait` is false.
        DataFolderLockError: its file system knows no locks, or the lock file may not be written.
        DiskFullError, WriteFaultError: the disk.
    """
    file = data / FOLDER / FOLDER_LOCK
    descriptor = _opened(file)
    try:
        _take(descriptor, file, data, wait=wait, report=report)
        died = _holder(file) if os.fstat(descriptor).st_size else None
        try:
            with write_faults_named(file):
                _write_holder(descriptor, run_id)
            yield died
        finally:
            with suppress(OSError):  # whoever finds a name here takes its bearer for killed, and looks for his leavings
                os.truncate(descriptor, 0)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        _close(descriptor)


def keep_run_lock(data: Path, run_id: str) -> None:
    """Hold a run's own lock until this process ends.

    The lock is taken before the file bears its name, so that nobody ever finds it free while the run is alive.

    Raises:
        DataFolderLockError, DiskFullError, WriteFaultError: as in `hold_data_folder`.
    """
    file = _run_lock(data, run_id)
    unnamed = file.with_name(f"{PARTIAL}{os.getpid()}-{threading.get_ident()}")
    descriptor = _opened(unnamed)
    try:
        _take(descriptor, unnamed, data, wait=False)
        with write_faults_named(file):
            _write_holder(descriptor, run_id)
            os.replace(unnamed, file)
    except BaseException:
        _close(descriptor)
        with suppress(OSError):  # rubbish until the next run tidies
            unnamed.unlink()
        raise


def is_alive(data: Path, run_id: str) -> bool:
    """Return whether the process of a run that has called `keep_run_lock` still lives; a dead run's file is removed.

    Raises:
        DataFolderLockError, DiskFullError, WriteFaultError: as in `hold_data_folder`.
    """
    file = _run_lock(data, run_id)
    if not file.exists():
        return False
    descriptor = _opened(file)
    try:
        _take(descriptor, file, data, wait=False)
        with write_faults_named(file):
            file.unlink(missing_ok=True)
    except DataFolderInUseError:
        return True
    finally:
        _close(descriptor)
    return False


def remove_dead_locks(data: Path) -> None:
    """Remove the lock files of runs whose processes have ended, however they ended."""
    for file in (data / FOLDER).glob("*.lock"):
        if file.name != FOLDER_LOCK:
            is_alive(data, file.stem)


def _run_lock(data: Path, run_id: str) -> Path:
    return data / FOLDER / f"{run_id}.lock"


def _opened(file: Path) -> int:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if (fault := write_fault(file, error)) is not None and error.errno not in (errno.EACCES, errno.EPERM):
            raise fault from None
        raise DataFolderLockError(
            f"{file} cannot be opened ({error.strerror}); give this user the right to write there: two runs in one "
            "data folder would spoil each other's tables"
        ) from None
    _held.add(descriptor)
    return descriptor


def _close(descriptor: int) -> None:
    _held.discard(descriptor)
    os.close(descriptor)


def _close_in_child() -> None:
    """Let a forked child hold no lock of its parent's: it may outlive it."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_close_in_child)


def _take(
    descriptor: int, file: Path, data: Path, *, wait: bool, report: Callable[[str], None] = lambda line: None
) -> None:
    def tried() -> tuple[bool | None, Holder]:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None, _holder(file)
        except OSError as error:
            raise DataFolderLockError(
                f"{file}: this file system cannot lock files ({error.strerror}), and two runs in one data folder would "
                "spoil each other's tables; set OLVF_DATA to a folder on a local disk, or mount the share with locks"
            ) from None
        return True, UNKNOWN

    taken_from_others(tried, str(data), DataFolderInUseError, wait=wait, report=report)


def taken_from_others(
    tried: Callable[[], tuple[Taken | None, Holder]],
    what: str,
    in_use_error: type[MachineError],
    *,
    wait: bool,
    report: Callable[[str], None],
) -> Taken:
    """Return what shows that something was taken, once whoever holds it has let it go.

    Args:
        tried: returns that, or None and who holds it.
        what: is held, for the messages.
        in_use_error: raised where somebody holds it and `wait` is false.
        wait: whether to wait.
        report: told who holds it when waiting begins and every minute after that.
    """
    pause, reminded_s = threading.Event(), -REMIND_S
    while True:
        found, holder = tried()
        if found is not None:
            return found
        in_use = f"{what} is in use by {holder}"
        if not wait:
            raise in_use_error(f"{in_use}; start again when it has ended, or without OLVF_WAIT=0 to wait")
        if time.monotonic() - reminded_s >= REMIND_S:
            report(f"{in_use}; this run waits for its end (with OLVF_WAIT=0 it would give up instead)")
            reminded_s = time.monotonic()
        pause.wait(POLL_S)


def _holder(file: Path) -> Holder:
    """Return what the lock file says; whoever took the lock this very moment may not have written it yet."""
    return read_if_whole(file, lambda found: Holder(**read_json(found))) or UNKNOWN


def this_process(run_id: str) -> Holder:
    """Return what is said of this process to whoever waits for it."""
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]
    since = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
    return Holder(run_id, os.getpid(), socket.gethostname(), command, since)


def _write_holder(descriptor: int, run_id: str) -> None:
    text = json.dumps(this_process(run_id)._asdict())
    os.truncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)
    os.fsync(descriptor)  # after a power cut, too, it shall be known that someone was at work
