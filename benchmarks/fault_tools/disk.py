"""A disk that fails, or a machine that dies, at a chosen write.

What lives here: telling `interposer.c` or `audited/sitecustomize.py` when to strike, through a page of memory that all
processes of a trial share. What does not: what is tried (`benchmarks/faults.py`), and what is right afterwards
(`trials.py`).
"""

import errno
import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Literal

Action = Literal["nothing", "kill", "hold", "enospc", "eio"]
LAYOUT = struct.Struct("=QQiiii488s")  # struct control of interposer.c
ACTIONS = {
    "nothing": (0, 0, 0),
    "kill": (1, 0, 0),
    "enospc": (2, errno.ENOSPC, 1),
    "eio": (2, errno.EIO, 0),
    "hold": (3, 0, 0),
}


class AuditedDisk:
    """Everything below one folder, as Python's audit events see it, for processes started with `environment`.

    Args:
        root: the folder whose writes count.
        scratch: where the shared page lies; outside `root`.
    """

    sees = "what Python writes"

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root = root.resolve()
        self.page_file = scratch / "control"
        self.page_file.write_bytes(bytes(LAYOUT.size))
        with self.page_file.open("r+b") as handle:
            self._page = mmap.mmap(handle.fileno(), LAYOUT.size)

    def environment(self, given: dict[str, str]) -> dict[str, str]:
        """Return the environment of a process whose writes count."""
        folders = [str(Path(__file__).with_name("audited")), *filter(None, [given.get("PYTHONPATH")])]
        return {**given, **self._page_named, "PYTHONPATH": os.pathsep.join(folders)}

    @property
    def _page_named(self) -> dict[str, str]:
        return {"FAULT_CONTROL": str(self.page_file), "FAULT_ROOT": str(self.root)}

    def set(self, action: Action, at: int = 0, group: int = 0) -> None:
        """Count from nought, and do `action` at write number `at` (from 1).

        `kill` ends process group `group`, `hold` stops it until it gets SIGCONT; `enospc` lasts, as a full disk does;
        `eio` happens once.
        """
        number, error, lasting = ACTIONS[action]
        self._page[:] = LAYOUT.pack(0, at, number, error, lasting, group, b"")

    @property
    def count(self) -> int:
        """Return the writes since `set`."""
        return int(LAYOUT.unpack(self._page[:])[0])

    @property
    def where(self) -> str:
        """Return the call and the path below `root` that was struck; empty when none was."""
        text: bytes = LAYOUT.unpack(self._page[:])[6]
        return text.split(b"\0", 1)[0].decode(errors="replace")


class FaultyDisk(AuditedDisk):
    """The same below Python, so that writes of Rust and C libraries count too. Needs a C compiler."""

    sees = "what Python, Rust and C write"

    def __init__(self, root: Path, scratch: Path) -> None:
        super().__init__(root, scratch)
        self.library = scratch / "interposer.so"
        source = Path(__file__).with_name("interposer.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", self.library, source, "-ldl"], check=True)

    def environment(self, given: dict[str, str]) -> dict[str, str]:
        """Return the environment of a process whose writes count."""
        return {**given, **self._page_named, "LD_PRELOAD": str(self.library)}


def disk_below(root: Path, scratch: Path) -> AuditedDisk:
    """Return a disk as thorough as this machine allows."""
    return (FaultyDisk if shutil.which("cc") else AuditedDisk)(root, scratch)
