"""What is left of somebody in files, whatever their format.

What lives here: the names by which tables, pictures, records and logs know a patient or an institution, and finding
them in bytes, in compressed files, in tables and in SQLite databases. What does not: erasing (`erasure`).
"""

import base64
import binascii
import gzip
import re
import sqlite3
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

# Pseudonyms, hashes (of files, pixels, weights) and UIDs of ours; crop and sample ids begin with a film's.
ID = re.compile(rb"[PF][0-9a-f]{16}(?![0-9a-f])|(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])|2\.25\.\d{1,39}")
SQLITE_LETTERS = b"SQLite format 3\0"
BASE64 = re.compile(rb"[A-Za-z0-9+/]{24,}={0,2}")
# A picture is pixels and nothing else; its name says whose it is.
PIXELS_ONLY = (".png",)


@dataclass(frozen=True)
class Traces:
    """The names of somebody.

    Attributes:
        ids: pseudonyms, hashes and UIDs, in ASCII.
        words: names that stand by themselves: an institution's key, a hospital's patient id. Not shown by `repr`.
    """

    ids: frozenset[str]
    words: frozenset[str] = field(default=frozenset(), repr=False)

    def __post_init__(self) -> None:
        """Prepare the search, which goes over each file once, however many names there are."""
        encoded = [re.escape(word.encode()) for word in sorted(self.words)]
        pattern = rb"(?<![A-Za-z0-9_])(?:" + b"|".join(encoded) + rb")(?![A-Za-z0-9_])" if encoded else None
        object.__setattr__(self, "_words", re.compile(pattern) if pattern else None)

    def are_in(self, content: bytes) -> bool:
        """Return whether any of the names stands in bytes."""
        words: re.Pattern[bytes] | None = self.__dict__["_words"]
        if words is not None and words.search(content):
            return True
        return any(match.group().decode() in self.ids for match in ID.finditer(content))

    def are_in_text(self, text: str) -> bool:
        """Return whether any of the names stands in a text."""
        return self.are_in(text.encode(errors="replace"))

    def are_in_cell(self, cell: Any) -> bool:
        """Return whether any of the names stands in a cell of a database, packed or not."""
        if isinstance(cell, str):
            cell = cell.encode(errors="replace")
        return isinstance(cell, bytes) and any(self.are_in(content) for content in _unpacked(cell))


def files_with(traces: Traces, folders: Iterable[Path], besides: Iterable[Path] = ()) -> Iterator[Path]:
    """Yield every file below the folders that bears one of the names in its path or holds one.

    Args:
        traces: the names.
        folders: where to look; symbolic links are not followed.
        besides: files and folders that are not looked at.
    """
    left_out = set(besides)
    for top in folders:
        for path in sorted(top.rglob("*")):
            if path not in left_out and not left_out & set(path.parents) and _tells(path, top, traces):
                yield path


def _tells(path: Path, top: Path, traces: Traces) -> bool:
    if traces.are_in_text(path.relative_to(top).as_posix()):
        return True
    return path.is_file() and not path.is_symlink() and any(traces.are_in(each) for each in contents(path))


def contents(path: Path) -> Iterator[bytes]:
    """Yield what a file holds: its bytes, and what they unpack to (tables, ZIP members, databases)."""
    if path.suffix in PIXELS_ONLY:
        return
    content = path.read_bytes()
    yield content
    if path.suffix == ".parquet":
        yield table_text(path)
    elif content.startswith(SQLITE_LETTERS):
        yield from _cells_of(path)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                yield info.filename.encode()
                yield archive.read(info)
    else:
        yield from _inflated(content)


def table_text(path: Path) -> bytes:
    """Return every text of a parquet file; b"" for one that cannot be read (its bytes are searched all the same)."""
    try:
        frame = pl.read_parquet(path, hive_partitioning=False)
    except (pl.exceptions.PolarsError, OSError):
        return b""
    return frame_text(frame)


def frame_text(frame: pl.DataFrame) -> bytes:
    """Return every text of a table as JSON."""
    return frame.select(pl.exclude(pl.Binary)).write_ndjson().encode()


def _cells_of(path: Path) -> Iterator[bytes]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.text_factory = bytes
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f"SELECT * FROM {quoted(name.decode())}"):
                for cell in row:
                    if isinstance(cell, bytes):
                        yield from _unpacked(cell)


def quoted(name: str) -> str:
    """Return a name of a table or column as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _unpacked(content: bytes) -> Iterator[bytes]:
    """Yield bytes as they are, and what zlib, gzip or base64 of these made so small; Dagster keeps cursors so."""
    yield content
    yield from _inflated(content)
    for match in BASE64.finditer(content):
        text = match.group().rstrip(b"=")
        try:
            yield from _inflated(base64.b64decode(text + b"=" * (-len(text) % 4)))
        except binascii.Error:
            continue


def _inflated(content: bytes) -> Iterator[bytes]:
    if content[:1] == b"\x78":
        try:
            yield zlib.decompress(content)
        except zlib.error:
            return
    elif content[:2] == b"\x1f\x8b":
        try:
            yield gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            return
