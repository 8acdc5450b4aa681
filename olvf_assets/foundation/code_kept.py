"""What functions are made of, kept from one process to the next.

What lives here: the file of it, which lies where Python keeps compiled modules, and for what state of the program it
holds. What does not: finding it out (`code_identity.py`).

It holds for one state of everything that the answer rests on: each text and data file of the package by content, and
the versions of all libraries that are installed. When one byte of that changes, all is found out anew (2 s).
"""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

INSTALLED = (".dist-info", ".egg-info")  # folders that name a distribution with its version
Found = tuple[dict[str, str], dict[str, str], list[str]]  # digests by name, versions by distribution, settings


class KeptCode:
    """What is known of functions, by key.

    Args:
        file: where it is kept; None: in this process only.
        state: of the program, see `state_of`.
    """

    def __init__(self, file: Path | None = None, state: str = "") -> None:
        self._file, self._state, self._new = file, state, False
        self._known = self._kept()

    def find(self, key: str) -> Found | None:
        """Return what is known under a key, None if nothing is."""
        return self._known.get(key)

    def note(self, key: str, found: Found) -> None:
        """Note what was found out, for this process; `save` keeps it for others."""
        self._known[key], self._new = found, True

    def save(self) -> None:
        """Keep what was noted for later processes; where the file cannot be written, they find it out themselves."""
        if self._file is None or not self._new:
            return
        self._known = {**self._kept(), **self._known}  # another process may have kept more since this one began
        text = json.dumps({"state": self._state, "known": self._known})
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            unfinished = self._file.with_suffix(f".{os.getpid()}")
            unfinished.write_text(text, encoding="utf-8")
            os.replace(unfinished, self._file)
        self._new = False

    def _kept(self) -> dict[str, Found]:
        """Return what processes have kept of this state of the program."""
        if self._file is None:
            return {}
        found: Any = None
        with suppress(OSError, ValueError):  # absent, damaged or another user's: all is found out anew
            found = json.loads(self._file.read_text(encoding="utf-8"))
        holds = isinstance(found, dict) and found.get("state") == self._state
        known: dict[str, Found] = found["known"] if holds else {}
        return known


def file_beside(module: str) -> Path:
    """Return a place for a file beside where Python would keep the compiled module of this path."""
    return Path(cache_from_source(module)).with_suffix(".json")


def state_of(texts: Mapping[str, str], data_files: Mapping[str, bytes]) -> str:
    """Return a digest of a package and of the libraries at hand.

    Args:
        texts: its modules by name.
        data_files: other files of it, by path.
    """
    digest = hashlib.sha256(sys.version.encode())
    for name, content in [*sorted((name, text.encode()) for name, text in texts.items()), *sorted(data_files.items())]:
        digest.update(f"\n{name} {len(content)}\n".encode())
        digest.update(content)
    for folder in filter(os.path.isdir, sys.path):
        digest.update("\n".join(sorted(name for name in os.listdir(folder) if name.endswith(INSTALLED))).encode())
    return digest.hexdigest()
