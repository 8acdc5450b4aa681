"""A disk that fails, or a machine that dies, at a chosen write.

What lives here: compiling `interposer.c` and telling it when to strike, through a page of memory that all processes of
a trial share. What does not: what is tried (`benchmarks/faults.py`) and what is right afterwards (`trials.py`).
"""

import errno
import mmap
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Literal

Action = Literal["nothing", "kill", "enospc", "eio"]
LAYOUT = struct.Struct("=QQiiii488s")  # struct control of interposer.c
ACTIONS = {"nothing": (0, 0, 0), "kill": (1, 0, 0), "enospc": (2, errno.ENOSPC, 1), "eio": (2, errno.EIO, 0)}


class FaultyDisk:
    """Everything below one folder, for the processes that are started with `environment`.

    Args:
        root: the folder whose writes count.
        scratch: where the compiled library and the shared page lie; outside `root`.
    """

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root = root.resolve()
        self.library = scratch / "interposer.so"
        self.page_file = scratch / "control"
        source = Path(__file__).with_name("interposer.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", self.library, source, "-ldl"], check=True)
        self.page_file.write_bytes(bytes(LAYOUT.size))
        with self.page_file.open("r+b") as handle:
            self._page = mmap.mmap(handle.fileno(), LAYOUT.size)

    @staticmethod
    def available() -> bool:
        """Return whether there is a C compiler."""
        return shutil.which("cc") is not None

    @property
    def environment(self) -> dict[str, str]:
        """Return what a process must be started with."""
        return {
            "LD_PRELOAD": str(self.library),
            "FAULT_CONTROL": str(self.page_file),
            "FAULT_ROOT": str(self.root),
        }

    def set(self, action: Action, at: int = 0, group: int = 0) -> None:
        """Count from nought, and do `action` at write number `at` (from 1).

        `kill` ends process group `group`; `enospc` lasts, as a full disk does; `eio` happens once.
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
