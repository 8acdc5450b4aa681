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
from olvf_assets.storage.artifacts import ArtifactStore, read_json, stamp

FOLDER = "made"
FILE_COLUMN = "_path"  # a column that ends so names files of the lake


class Records:
    """The records of a lake.

    Args:
        store: of the lake.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def find(self, table: str, part: str) -> Record | None:
        """Return the record of a part, None if there is none that can be read."""
        return self._store.read(self._file(table, part), lambda file: _record(read_json(file)))

    def keep(self, table: str, part: str, record: Record) -> None:
        """Keep the record of a part that lies in the lake now."""
        self._store.write_text(self._file(table, part), json.dumps(asdict(record), sort_keys=True, default=str))

    def forget(self, table: str, part: str) -> None:
        """Take a record back: its part is made again."""
        self._store.remove(self._file(table, part))

    def parts(self, table: str) -> list[str]:
        """Return the parts of a table that have a record, sorted."""
        return [file.stem for file in self._store.files(f"{FOLDER}/{table}", "*.json")]

    def _file(self, table: str, part: str) -> str:
        return f"{FOLDER}/{table}/{part}.json"


def files_digest(store: ArtifactStore, frame: pl.DataFrame, beside: Iterable[Path] = ()) -> str:
    """Return a digest of sizes and times of the files that a table names or that were written beside it.

    Args:
        store: of the lake, which the columns that end in `_path` are relative to.
        frame: the table.
        beside: further files, of this machine.
    """
    named = {
        path for name, dtype in frame.schema.items() if name.endswith(FILE_COLUMN) and dtype == pl.String
        for path in frame[name].drop_nulls().unique()
    }  # fmt: skip
    stamps = [f"{path} {said}" for path, said in sorted(store.stamps(named).items())]
    stamps += [f"{path.name} {stamp(path)}" for path in sorted(beside)]
    return hashlib.sha256("\n".join(stamps).encode()).hexdigest()


def _record(found: dict[str, Any]) -> Record:
    findings = {name: Finding(*each) for name, each in found.pop("findings").items()}
    basis, checked = _basis(found.pop("basis")), found.pop("checked")
    return Record(basis, None if checked is None else _basis(checked), findings=findings, **found)


def _basis(found: dict[str, Any]) -> Basis:
    return Basis(Ingredients(**found.pop("ingredients")), **found)
