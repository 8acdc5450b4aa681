"""Facts about files that are not worked out again while the files stay as they are.

What lives here: `RememberedFacts`, one parquet file of facts by key and stamp. What does not: what the facts are
(hashes in `intake.landing`, identifiers in `intake.privacy.safe_paths`).

A fact holds as long as size, times and inode of its file do, as git decides it. A file that changed less than two
seconds before it was looked at could change again within the clock's grain, so its fact is not kept.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import polars as pl

from olvf_assets.storage.artifacts import ArtifactStore

CLOCK_GRAIN_NS = 2_000_000_000
_SCHEMA = pl.Schema(
    {
        "key": pl.String,
        "size": pl.Int64,
        "mtime_ns": pl.Int64,
        "ctime_ns": pl.Int64,
        "inode": pl.UInt64,
        "fact": pl.String,
    }
)


class Stamp(NamedTuple):
    """What changes whenever a file does. Programs that copy set mtime as they like; ctime is the kernel's own."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Stamp":
        """Return the stamp of a file from its status."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


class RememberedFacts:
    """One text per file, kept in a parquet file.

    Args:
        store: of the lake; None remembers nothing.
        file: where in it.
        name_of: turns a path into its key; must not let a reader of the file guess the path of a real hospital.
    """

    def __init__(self, store: ArtifactStore | None, file: str, name_of: Callable[[str], str]) -> None:
        self.store, self.file, self.name_of = store, file, name_of

    def facts(
        self,
        stamps: Sequence[tuple[str, Stamp]],
        find: Callable[[list[str]], list[str | None]],
    ) -> list[str | None]:
        """Return the fact of every (path, stamp), asking `find` for the paths that are not remembered.

        None is a fact that could not be found; it is not kept. Files that are not asked for are forgotten.
        """
        asked = pl.DataFrame(
            [(self.name_of(path), *stamp) for path, stamp in stamps],
            schema={name: dtype for name, dtype in _SCHEMA.items() if name != "fact"},
            orient="row",
        )
        known = asked.join(self._kept(), on=asked.columns, how="left", maintain_order="left")["fact"].to_list()
        missing = [place for place, fact in enumerate(known) if fact is None]
        now_ns = time.time_ns()
        found = find([stamps[place][0] for place in missing]) if missing else []
        for place, fact in zip(missing, found, strict=True):
            known[place] = fact
        self._keep(asked.with_columns(pl.Series("fact", known, pl.String)), now_ns, changed=bool(missing))
        return known

    def _kept(self) -> pl.DataFrame:
        kept = None
        if self.store is not None:  # of another version, or damaged: everything is worked out again
            kept = self.store.read(self.file, lambda file: pl.read_parquet(file).cast(_SCHEMA).unique(["key"]))
        return pl.DataFrame(schema=_SCHEMA) if kept is None else kept

    def _keep(self, facts: pl.DataFrame, now_ns: int, *, changed: bool) -> None:
        if self.store is None or not changed:
            return
        # either side of now: a clock that was set back leaves files of the future, which are no younger for that
        settled = pl.col("fact").is_not_null() & ((pl.col("ctime_ns") - now_ns).abs() > CLOCK_GRAIN_NS)
        self.store.write(self.file, facts.filter(settled).write_parquet)
