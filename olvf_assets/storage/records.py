"""Of what each part of a table was made, kept in the lake beside the tables.

What lives here: the records' files, and digests of the files that a table names. What does not: what a record says and
what follows from it (`foundation/made.py`).
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from olvf_assets.foundation.made import Basis, Finding, Ingredients, Record
from olvf_assets.storage.artifacts import read_if_whole, read_json, remove, write_atomically

FOLDER = "made"
FILE_COLUMN = "_path"  # a column that ends so names files of the lake


class Records:
    """The records of a lake.

    Args:
        lake: its folder.
    """

    def __init__(self, lake: Path) -> None:
        self._folder = lake / FOLDER

    def find(self, table: str, part: str) -> Record | None:
        """Return the record of a part, None if there is none that can be read."""
        return read_if_whole(self._file(table, part), lambda file: _record(read_json(file)))

    def keep(self, table: str, part: str, record: Record) -> None:
        """Keep the record of a part that lies in the lake now."""
        text = json.dumps(asdict(record), sort_keys=True, default=str)
        write_atomically(self._file(table, part), lambda file: file.write_text(text, encoding="utf-8"))

    def forget(self, table: str, part: str) -> None:
        """Take a record back: its part is made again."""
        remove(self._file(table, part))

    def parts(self, table: str) -> list[str]:
        """Return the parts of a table that have a record, sorted."""
        return sorted(file.stem for file in (self._folder / table).glob("*.json"))

    def _file(self, table: str, part: str) -> Path:
        return self._folder / table / f"{part}.json"


def files_digest(root: Path, frame: pl.DataFrame, beside: Iterable[Path] = ()) -> str:
    """Return a digest of sizes and times of the files that a table names or that were written beside it.

    Args:
        root: of the lake, which the columns that end in `_path` are relative to.
        frame: the table.
        beside: further files.
    """
    named = {
        path for name, dtype in frame.schema.items() if name.endswith(FILE_COLUMN) and dtype == pl.String
        for path in frame[name].drop_nulls().unique()
    }  # fmt: skip
    stamps = [f"{path} {_stamp(root / path)}" for path in sorted(named)]
    stamps += [f"{path.name} {_stamp(path)}" for path in sorted(beside)]
    return hashlib.sha256("\n".join(stamps).encode()).hexdigest()


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "absent"
    return f"{status.st_size} {status.st_mtime_ns}"


def _record(found: dict[str, Any]) -> Record:
    findings = {name: Finding(*each) for name, each in found.pop("findings").items()}
    basis, checked = _basis(found.pop("basis")), found.pop("checked")
    return Record(basis, None if checked is None else _basis(checked), findings=findings, **found)


def _basis(found: dict[str, Any]) -> Basis:
    return Basis(Ingredients(**found.pop("ingredients")), **found)
