"""A disk that fails at a chosen write of this process, for tests.

What lives here: `failing_disk`, which lets the n-th call that changes something below a folder end with an error of the
system. What does not: writes of Rust and C libraries, which `benchmarks/faults.py` strikes.
"""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHANGING = ["mkdir", "rename", "replace", "link", "unlink", "rmdir", "fsync", "pwrite", "write", "truncate"]
MAKES = os.O_CREAT | os.O_TRUNC


@dataclass
class Disk:
    """What happened on it.

    Attributes:
        count: changing calls so far.
        struck: the call that failed; empty: none yet.
    """

    count: int = 0
    struck: str = ""


@contextmanager
def failing_disk(root: Path, number: int, at: int) -> Iterator[Disk]:
    """Let call number `at` (from 1) that changes anything below `root` fail, once, with an error number of the system.

    Args:
        root: the folder.
        number: such as errno.EIO.
        at: which call.
    """
    disk = Disk()

    def due(call: str, path: object) -> None:
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        if not isinstance(path, str | os.PathLike) or not Path(os.path.abspath(path)).is_relative_to(root):
            return
        disk.count += 1
        if disk.count == at:
            disk.struck = f"{call} {Path(path).name}"
            raise OSError(number, os.strerror(number), str(path))

    def failing(name: str) -> Callable[..., Any]:
        sound = getattr(os, name)

        def call(path: Any, *given: Any, **named: Any) -> Any:
            changes_nothing = name == "mkdir" and os.path.isdir(path)
            if not changes_nothing:
                due(name, path)
            return sound(path, *given, **named)

        return call

    def open_file(path: Any, mode: str = "r", *given: Any, **named: Any) -> Any:
        if set(mode) & set("wxa+"):
            due("open", path)
        return sound_io(path, mode, *given, **named)

    def open_descriptor(path: Any, flags: int, *given: Any, **named: Any) -> int:
        if flags & MAKES:
            due("open", path)
        return sound_os(path, flags, *given, **named)

    sound_io, sound_os = io.open, os.open
    with pytest.MonkeyPatch.context() as patch:
        for name in CHANGING:
            patch.setattr(os, name, failing(name))
        patch.setattr(os, "open", open_descriptor)
        patch.setattr(io, "open", open_file)
        patch.setattr("builtins.open", open_file)
        yield disk
