"""A back-up folder: every content once, and a list of files for each back-up.

What lives here: the layout (`contents/` by hash, one `<when>.json` a back-up), reading, checking and removing back-ups.
What does not: what is copied (`back_up`), the way back (`restore`).

A back-up is there when its list is, and the list is written last: a copying that was killed leaves contents that the
next one finds. The lists name a hospital's files as the hospital does, and contents may hold the key: the folder is
its owner's alone (mode 700).
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from olvf_assets.foundation.errors import MachineError, OlvfError
from olvf_assets.foundation.write_faults import write_faults_named
from olvf_assets.storage.artifacts import PARTIAL, remove_partials, write_atomically

LAYOUT = 1
CHUNK_BYTES = 2**20
LIST_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z\.json")
SHA256 = re.compile(r"[0-9a-f]{64}")
LANDING = "data/landing/"


class BackUpError(OlvfError):
    """A back-up cannot be made or found as asked."""


class DamagedBackUpError(BackUpError):
    """A back-up is not what was written."""


class BackUpFullError(MachineError):
    """There is no room for the back-up; those that were finished are as they were."""


@dataclass(frozen=True)
class Entry:
    """One file of a back-up.

    Attributes:
        sha256: of its content.
        stamp: size, mtime and ctime in nanoseconds and inode when it was copied, by which it is known to be unchanged.
        mode: its rights.
        link: where it points to, of a symbolic link, which has no content.
    """

    sha256: str
    stamp: tuple[int, int, int, int]
    mode: int
    link: str | None = None


@dataclass(frozen=True)
class BackUp:
    """One back-up.

    Attributes:
        made_s: when it was made, in seconds since 1970.
        files: by path, which begins with `data/` or `dagster/`.
        folders: rights by path.
        marks: of everyone whose rows its tables hold (`storage.forgotten.mark`).
        books: where Dagster kept its records: `sqlite`, which are in it, or `postgres`, which are not.
    """

    made_s: float
    files: dict[str, Entry]
    folders: dict[str, int]
    marks: list[str] = field(default_factory=list)
    books: str = "sqlite"


class BackUpFolder:
    """The folder that back-ups are kept in.

    Args:
        folder: its path.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.contents = folder / "contents"

    def make(self) -> None:
        """Make the folder, its owner's alone.

        Raises:
            BackUpError: others may read the one that is there.
            OSError: it cannot be made.
        """
        if not self.folder.exists():
            self.folder.mkdir(mode=0o700, parents=True)
        elif self.folder.stat().st_mode & 0o077:
            raise BackUpError(
                f"{self.folder} may be read by others; it will hold all that the data folder does, the key included. "
                f"Run: chmod 700 {self.folder}"
            )
        self.contents.mkdir(exist_ok=True)
        remove_partials(self.folder)

    def names(self) -> list[str]:
        """Return the names of the back-ups there are, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(
            each.name.removesuffix(".json") for each in self.folder.iterdir() if LIST_NAME.fullmatch(each.name)
        )

    def read(self, name: str) -> BackUp:
        """Return a back-up.

        Raises:
            BackUpError: there is none of this name.
            DamagedBackUpError: its list is not what was written.
        """
        file = self.folder / f"{name}.json"
        if name not in self.names():
            there = ", ".join(self.names()) or "none"
            raise BackUpError(f"{self.folder} holds no back-up {name}; there are: {there}")
        try:
            said = json.loads(file.read_bytes())
            digest = said.pop("digest")
            layout = said.pop("layout")
            files = {path: Entry(**{**each, "stamp": tuple(each["stamp"])}) for path, each in said.pop("files").items()}
            found = BackUp(files=files, **said)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._damaged_list(name) from None
        if layout != LAYOUT:
            raise BackUpError(f"{file} was written by another release of this program (layout {layout}); use that one")
        if digest != _digest(found) or not all(map(_is_plain, [*found.files, *found.folders])):
            raise self._damaged_list(name)
        return found

    def write(self, name: str, made: BackUp) -> None:
        """Write a back-up's list, which makes it one.

        Raises:
            DiskFullError, WriteFaultError: the disk.
        """
        text = json.dumps({**asdict(made), "layout": LAYOUT, "digest": _digest(made)}, sort_keys=True)

        def write(file: Path) -> None:
            file.touch(mode=0o600)
            file.write_text(text, encoding="utf-8")

        write_atomically(self.folder / f"{name}.json", write)

    def content(self, sha256: str) -> Path:
        """Return where a content lies."""
        return self.contents / sha256[:2] / sha256

    def has(self, entry: Entry) -> bool:
        """Return whether an entry's content is there, in its size."""
        file = self.content(entry.sha256)
        return file.is_file() and file.stat().st_size == entry.stamp[0]

    def take(self, source: Path) -> str:
        """Copy a file's content unless it is there, and return its hash.

        Raises:
            OSError: it cannot be read.
            DiskFullError, WriteFaultError: the disk of the back-up.
        """
        with source.open("rb") as handle:
            sha256 = hashed(handle)
            place = self.content(sha256)
            if place.is_file() and place.stat().st_size == os.fstat(handle.fileno()).st_size:
                return sha256
            handle.seek(0)
            found = hashlib.sha256()

            def write(file: Path) -> None:
                with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o400), "wb") as out:
                    for chunk in _chunks(handle):
                        found.update(chunk)
                        out.write(chunk)

            staged = self.contents / f"{PARTIAL}{sha256}"
            write_atomically(staged, write)  # a file that is written while it is read has another hash now
            sha256 = found.hexdigest()
            with write_faults_named(staged):
                self.content(sha256).parent.mkdir(exist_ok=True)
                os.replace(staged, self.content(sha256))
        return sha256

    def damaged(self, name: str) -> list[str]:
        """Return the files of a back-up whose content is missing or not what was written; such contents are removed."""
        wrong: dict[str, bool] = {}
        made = self.read(name)
        for sha256 in {each.sha256 for each in made.files.values() if each.link is None}:
            file = self.content(sha256)
            wrong[sha256] = not file.is_file() or hash_of(file) != sha256
            if wrong[sha256]:
                file.unlink(missing_ok=True)
        return [path for path, each in sorted(made.files.items()) if each.link is None and wrong[each.sha256]]

    def keep_newest(self, count: int, report: Callable[[str], None]) -> None:
        """Remove all back-ups but the newest, and every content that none of those names.

        Raises:
            DamagedBackUpError: a list that stays cannot be read, so that it is not known what it needs.
        """
        for name in self.names()[:-count]:
            (self.folder / f"{name}.json").unlink()
        needed = {each.sha256 for name in self.names() for each in self.read(name).files.values()}
        gone = [file for file in self.contents.rglob("*") if file.is_file() and file.name not in needed]
        freed = sum(file.stat().st_size for file in gone)
        for file in gone:
            file.unlink()
        report(f"{len(self.names())} back-ups are kept; {freed / 1e6:.1f} MB that only older ones held are removed")

    def _damaged_list(self, name: str) -> DamagedBackUpError:
        others = ", ".join(each for each in self.names() if each != name) or "none"
        return DamagedBackUpError(f"{self.folder / name}.json is damaged and of no use; remove it. Others: {others}")


def check_all(folder: Path, report: Callable[[str], None]) -> int:
    """Read every content of every back-up and return how many files are damaged.

    Damaged contents are removed, so that the next back-up copies them anew where the file is still as it was.

    Raises:
        BackUpError: there is no back-up.
    """
    kept = BackUpFolder(folder.resolve())
    if not kept.names():
        raise BackUpError(f"{folder} holds no back-up")
    damaged = 0
    for name in kept.names():
        try:
            found = kept.damaged(name)
        except DamagedBackUpError as error:
            report(str(error))
            damaged += 1
            continue
        damaged += len(found)
        report(f"{name}: " + (f"{len(found)} files are damaged: {_some(found)}" if found else "whole"))
    return damaged


def _some(paths: list[str]) -> str:
    listed = ", ".join(sorted({shown(path) for path in paths})[:5])
    return f"{listed} …" if len(paths) > 5 else listed


def full(folder: Path) -> BackUpFullError:
    """Return what is raised where the disk of a back-up folder is full."""
    return BackUpFullError(
        f"no room is left on the disk of {folder}; the back-ups there are whole. Make room, for example with a smaller "
        "--keep, and start again: what was copied is not copied again"
    )


def shown(path: str) -> str:
    """Return a path of a back-up for a message: of what a hospital handed over, its folder only."""
    if path.startswith(LANDING):
        return f"a file of {'/'.join(path.split('/')[:3])}"
    return path


def hashed(handle: BinaryIO) -> str:
    """Return the SHA-256 of the rest of an open file."""
    found = hashlib.sha256()
    for chunk in _chunks(handle):
        found.update(chunk)
    return found.hexdigest()


def hash_of(file: Path) -> str:
    """Return the SHA-256 of a file."""
    with file.open("rb") as handle:
        return hashed(handle)


def _chunks(handle: BinaryIO) -> Iterator[bytes]:
    while chunk := handle.read(CHUNK_BYTES):
        yield chunk


def _digest(made: BackUp) -> str:
    said: dict[str, Any] = asdict(made)
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _is_plain(path: str) -> bool:
    parts = path.split("/")
    return parts[0] in ("data", "dagster") and all(part not in ("", ".", "..") for part in parts)
