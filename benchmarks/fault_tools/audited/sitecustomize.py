"""A disk that fails, or a machine that dies, at a chosen write of Python: `interposer.c` where there is no compiler.

Python imports this module at the start of every process that has its folder in PYTHONPATH, spawned workers included.
It counts what Python's own audit events say of files below $FAULT_ROOT (made, renamed, folders) and calls of fsync, in
the page that `disk.py` shares. What does not live here: writes of Rust and C libraries, which Python does not see.
"""

import fcntl
import mmap
import os
import signal
import struct
import sys
from typing import Any

LAYOUT = struct.Struct("=QQiiii488s")  # as in disk.py, which such a process may not be able to import
KILL, FAIL, HOLD = 1, 2, 3
MAKES = os.O_CREAT | os.O_TRUNC


class _Page:
    """The shared page, and what it says of the next call."""

    def __init__(self, file: str, root: str) -> None:
        self.root = root.rstrip("/") + "/"
        self.handle = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        self.page = mmap.mmap(self.handle, LAYOUT.size)

    def due(self, call: str, path: Any) -> None:
        """Count one call; kill the group or raise where that is due."""
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str | os.PathLike):
            return
        full = os.path.abspath(os.fspath(path))
        if not full.startswith(self.root):
            return
        fcntl.flock(self.handle, fcntl.LOCK_EX)
        count, at, action, error, lasting, group, where = LAYOUT.unpack(self.page[:])
        count += 1
        strikes = action and (count == at or (count > at and lasting))
        if strikes and count == at:
            where = f"{call} {full[len(self.root) - 1 :]}".encode()[:487]
        self.page[:] = LAYOUT.pack(count, at, action, error, lasting, group, where)
        fcntl.flock(self.handle, fcntl.LOCK_UN)
        if strikes and action == KILL:
            os.killpg(group, signal.SIGKILL)
        if strikes and action == HOLD:
            os.killpg(group, signal.SIGSTOP)
        if strikes and action == FAIL:
            raise OSError(error, os.strerror(error), full)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take an event of `sys.addaudithook`."""
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & MAKES:
            self.due("open", arguments[0])
        elif event in ("os.rename", "os.link"):
            self.due("rename", arguments[1])
        elif event == "os.mkdir" and not os.path.isdir(arguments[0]):
            self.due("mkdir", arguments[0])


def _begin() -> None:
    file, root = os.environ.get("FAULT_CONTROL"), os.environ.get("FAULT_ROOT")
    if not file or not root:
        return
    page = _Page(file, root)
    sync = os.fsync

    def fsync(handle: Any) -> None:
        number = handle if isinstance(handle, int) else handle.fileno()
        page.due("sync", os.readlink(f"/proc/self/fd/{number}"))
        sync(handle)

    os.fsync = fsync
    sys.addaudithook(page.audit)


_begin()
