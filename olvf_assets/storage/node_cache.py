"""What a machine keeps of an object store, so that it need not be fetched again.

What lives here: a folder of copies, bounded: whoever was used last stays. What does not: fetching and whether a copy is
still what the store holds (`cached_store.py`).

Everything here lies in the store, so it may go at any time, but what a living process has opened by its path: the names
of these stand in a file that the process keeps locked. The kernel frees the lock however the process ends.
"""

import fcntl
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from olvf_assets.foundation.errors import MachineError
from olvf_assets.foundation.write_faults import write_faults_named

LIMIT_VARIABLE, LIMIT_GIB = "OLVF_CACHE_GIB", 20.0
KEPT_SHARE = 0.8  # of the limit, once it was passed
LOOK_AFTER_SHARE, LOOK_AFTER_S = 0.05, 60  # of the limit, by this process; since any process looked
LEFT_BEHIND_S = 86_400  # what passes at this age is of a killed process
MARKS, USERS, PASSING, LOCK, BEGUN = ".marks", ".users", ".passing", ".lock", ".begun"


class CacheLimitError(MachineError):
    """The bound of the cache is no number."""


class NodeCache:
    """Copies below a folder of this machine.

    Args:
        root: the folder.
        limit_bytes: the most that they may take; None: what `OLVF_CACHE_GIB` says.
    """

    def __init__(self, root: Path, limit_bytes: int | None = None) -> None:
        self.root = root
        self.limit_bytes = _limit() if limit_bytes is None else limit_bytes
        self._grown = 0
        self._mine: IO[str] | None = None
        self._guard = threading.Lock()

    def begin(self, word: str) -> None:
        """Go on with what is here if it was begun with the same word, else begin anew with nothing."""
        begun = self.root / BEGUN
        with self._lock(fcntl.LOCK_EX):
            if begun.exists() and begun.read_text(encoding="utf-8") == word:
                return
            for each in self.root.iterdir():
                if each.name not in (LOCK, USERS, PASSING):
                    self.drop(each.name)
            begun.write_text(word, encoding="utf-8")

    def mark(self, name: str) -> str | None:
        """Return which version of a file the copy is, None if there is no copy as it was noted."""
        try:
            mark, size, mtime_ns = (self.root / MARKS / name).read_text(encoding="utf-8").split()
            status = (self.root / name).stat()
        except (OSError, ValueError):
            return None
        return mark if (str(status.st_size), str(status.st_mtime_ns)) == (size, mtime_ns) else None

    @contextmanager
    def passing(self, name: str) -> Iterator[Path]:
        """Yield a path for a file that is no copy yet; it ends as the name does, and is removed unless it was taken.

        Raises:
            DiskFullError, WriteFaultError: this machine's disk.
        """
        folder = self.root / PASSING / uuid.uuid4().hex
        try:
            with write_faults_named(self.root / name):
                folder.mkdir(parents=True)
                yield folder / Path(name).name
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def take(self, temporary: Path, name: str, mark: str | None) -> None:
        """Let a finished file be the copy of a name.

        Args:
            temporary: it, in the same file system.
            name: below the root.
            mark: of its version; None: nobody will ask for it.
        """
        status = temporary.stat()
        path, note = self.root / name, self.root / MARKS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(temporary, path)
        if mark is not None:
            note.parent.mkdir(parents=True, exist_ok=True)
            with self.passing(name) as passing:
                passing.write_text(f"{mark} {status.st_size} {status.st_mtime_ns}", encoding="utf-8")
                os.replace(passing, note)
        self._grown += status.st_size
        if self._grown > LOOK_AFTER_SHARE * self.limit_bytes or self._unlooked_s() > LOOK_AFTER_S:
            self._grown = 0
            self.make_room()

    def used(self, name: str) -> None:
        """Note that a copy was used now."""
        path = self.root / name
        with suppress(OSError):  # gone, or not ours: it is fetched again when it is needed
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))

    def drop(self, name: str) -> None:
        """Remove a copy, or a folder of them."""
        for path in (self.root / MARKS / name, self.root / name):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def hold(self, name: str) -> None:
        """Let a copy, which need not be there yet, stay as long as this process lives."""
        with self._lock(fcntl.LOCK_SH), self._guard:  # nothing is removed meanwhile, and it is seen afterwards
            if self._mine is None:
                folder = self.root / USERS
                folder.mkdir(parents=True, exist_ok=True)
                self._mine = (folder / uuid.uuid4().hex).open("a", encoding="utf-8")
                fcntl.flock(self._mine, fcntl.LOCK_EX)
            self._mine.write(f"{name}\n")
            self._mine.flush()

    def make_room(self) -> int:
        """Remove the copies used longest ago, if all of them take more than the limit; return how many went."""
        with self._lock(fcntl.LOCK_SH) as lock:
            os.utime(lock)
        for left in (self.root / PASSING).glob("*"):
            with suppress(FileNotFoundError):
                if time.time() - left.lstat().st_mtime > LEFT_BEHIND_S:
                    shutil.rmtree(left, ignore_errors=True)
        found = sorted(self._copies())
        excess = sum(size for _, size, _ in found) - self.limit_bytes
        if excess <= 0:
            return 0
        excess += round((1 - KEPT_SHARE) * self.limit_bytes)
        gone = 0
        with self._lock(fcntl.LOCK_EX):
            in_use = self._in_use()
            for _, size, name in found:
                if excess <= 0:
                    break
                if name not in in_use:
                    self.drop(name)
                    excess, gone = excess - size, gone + 1
        return gone

    def _copies(self) -> Iterator[tuple[int, int, str]]:
        """Yield (last use in ns, bytes, name) of every copy."""
        for folder, folders, files in os.walk(self.root):
            if Path(folder) == self.root:
                folders[:] = [each for each in folders if each not in (MARKS, USERS, PASSING)]
            for each in files:
                path = Path(folder) / each
                name = path.relative_to(self.root).as_posix()
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue
                if name.startswith("images/") or (self.root / MARKS / name).exists():
                    yield status.st_atime_ns, status.st_size, name

    def _in_use(self) -> set[str]:
        found: set[str] = set()
        for file in (self.root / USERS).glob("*"):
            with file.open(encoding="utf-8") as handle:
                try:
                    fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    found.update(handle.read().splitlines())
                else:
                    file.unlink(missing_ok=True)
        return found

    @contextmanager
    def _lock(self, kind: int) -> Iterator[Path]:
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / LOCK).open("a") as handle:
            fcntl.flock(handle, kind)
            yield self.root / LOCK

    def _unlooked_s(self) -> float:
        """Return how long nobody has looked at how much there is, in seconds."""
        try:
            return time.time() - (self.root / LOCK).stat().st_mtime
        except FileNotFoundError:
            return float("inf")


def _limit() -> int:
    said = os.environ.get(LIMIT_VARIABLE) or LIMIT_GIB
    try:
        return round(float(said) * 2**30)
    except (ValueError, OverflowError):
        raise CacheLimitError(f"{LIMIT_VARIABLE} is no number of GiB; write one such as {LIMIT_GIB:g}") from None
