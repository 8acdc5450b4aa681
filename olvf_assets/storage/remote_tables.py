"""Tables of a lake in an object store, for whoever reads them beside Dagster.

What lives here: whether a table is there, which version of it, its rows; and writing that is tried again. What does
not: how a table is written (`lake.py`), the store (`object_store.py`).
"""

import polars as pl

from olvf_assets.storage.delta_log import CHECKPOINT, COMMIT
from olvf_assets.storage.object_store import opened, patiently
from olvf_assets.storage.stored_tables import SUFFIX, StoredTables, Version


class RemoteTables(StoredTables):
    """The Delta tables of a lake in an object store.

    Args:
        base: the address that they lie below.
        lake: that of the lake.
    """

    def __init__(self, base: str, lake: str) -> None:
        super().__init__(base)
        self._lake = lake

    def is_there(self, name: str) -> bool:
        """Return whether a table was ever written."""
        return any(COMMIT.fullmatch(file) or CHECKPOINT.fullmatch(file) for file, _ in self._log(name))

    def version(self, name: str) -> Version | None:
        """Return what tells the versions of a table apart, None if it has none."""
        return max((each for each in self._log(name) if COMMIT.fullmatch(each[0])), default=None)

    def read(self, name: str) -> pl.DataFrame:
        """Return the rows of a table."""
        opened(self._lake)  # sets what polars and deltalake are to know
        return patiently(lambda: super(RemoteTables, self).read(name), self._lake)

    def sizes(self, name: str) -> dict[str, int]:
        """Return the bytes of each file of a table, by its path there."""
        return {file: size for file, size, _ in self._listed(f"{name}{SUFFIX}/")}

    def _log(self, name: str) -> list[tuple[str, str]]:
        """Return (name, what changes whenever it does) of each file of a table's log."""
        return [(file, f"{size} {mark}") for file, size, mark in self._listed(f"{name}{SUFFIX}/_delta_log/")]

    def _listed(self, folder: str) -> list[tuple[str, int, str]]:
        """Return (path there, bytes, mark of its version) of each file below a folder of the tables'."""
        import obstore

        prefix = f"{self.base.removeprefix(self._lake).strip('/')}/{folder}"

        def listed() -> list[tuple[str, int, str]]:
            parts = obstore.list(opened(self._lake), prefix=prefix)
            return [
                (each["path"].removeprefix(prefix), each["size"], each["e_tag"] or "unnamed")
                for part in parts
                for each in part
            ]

        return patiently(listed, self._lake)
