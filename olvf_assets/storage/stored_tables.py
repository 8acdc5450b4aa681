"""Tables of the lake, for whoever reads them beside Dagster.

What lives here: whether a table is there, which version of it, its rows. What does not: writing (`lake.py`), tables in
an object store (`remote_tables.py`), mending what a power cut left (`crash.py`).
"""

from pathlib import Path

import polars as pl

from olvf_assets.storage.delta_log import commits, is_there

SUFFIX = ".delta"
Version = tuple[str, str]


class StoredTables:
    """The Delta tables of a lake.

    Args:
        base: the folder that they lie in, or its address in an object store.
    """

    def __init__(self, base: str) -> None:
        self.base = base

    def is_there(self, name: str) -> bool:
        """Return whether a table was ever written."""
        return is_there(self._folder(name))

    def version(self, name: str) -> Version | None:
        """Return what tells the versions of a table apart, None if it has none."""
        found = commits(self._folder(name))
        if not found:
            return None
        status = found[-1].stat()
        return found[-1].name, f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"

    def read(self, name: str) -> pl.DataFrame:
        """Return the rows of a table."""
        return pl.read_delta(self.address(name))

    def address(self, name: str) -> str:
        """Return where a table lies, for deltalake."""
        return f"{self.base}/{name}{SUFFIX}"

    def sizes(self, name: str) -> dict[str, int]:
        """Return the bytes of each file of a table, by its path there."""
        folder = self._folder(name)
        return {
            path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()
        }

    def _folder(self, name: str) -> Path:
        return Path(self.base) / f"{name}{SUFFIX}"
