"""What an asset or a check is, before Dagster sees it.

What lives here: `table` and `check`, the two decorators of every room's `assets.py` and `checks.py`, and `TableRun`,
what a body is told. What does not: Dagster; `orchestration/views.py` turns these descriptions into the two views of the
graph.
"""

import inspect
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from olvf_assets.foundation.columns import column_texts
from olvf_assets.foundation.errors import OlvfError

if TYPE_CHECKING:
    from olvf_assets.profiles import Profile
    from olvf_assets.storage.artifacts import ArtifactStore

Dimension = Literal["institution", "fold"]
POLARS = ("polars",)
# What Dagster's UI knows of a table
ROWS, PARTITION_ROWS, COLUMN_SCHEMA = "dagster/row_count", "dagster/partition_row_count", "dagster/column_schema"
OWN_SECONDS = "own_work_seconds"  # time in the table's own function, as against storage, checks and Dagster
UNCHANGED = "olvf/unchanged"  # of a table, or a partition, that was not written again
Outside = Callable[["TableRun"], object]
Frames = Mapping[str, pl.DataFrame]
Takes = Callable[..., Frames]
Beside = Callable[["TableRun", pl.DataFrame], list[Path]]


class FrameToStore(pl.DataFrame):
    """A table on its way to the lake.

    Args:
        frame: its rows.
        lies_there: it lies in the lake already, row for row.
        told_of_parts: gives what Dagster is to be told of its partitions, once it is stored.
    """

    def __init__(self, frame: pl.DataFrame, *, lies_there: bool, told_of_parts: Callable[[], Iterable[Any]]) -> None:
        super().__init__(frame)
        self.lies_there, self.told_of_parts = lies_there, told_of_parts


class TableContractError(OlvfError):
    """A body returned a table whose columns or types are not the promised ones."""


def _to_nobody(said: object) -> None:
    """Take what is said and answer nothing; a run that speaks to nobody may be handed to another process."""


@dataclass(frozen=True)
class TableRun:
    """What the body of a table or check knows about the run it is part of.

    Attributes:
        profile: every number the study may vary.
        store: pictures and long work under the lake root.
        data: the data folder (landing/, lake/, reports/, olvf.duckdb).
        institution: the institution to make, in a table kept per institution; else "".
        folds: the folds to make, in a table kept per fold; else empty.
        report: shows a line of progress.
        observe: shows figures of unfinished work on the table's page in Dagster's UI, now.
        notes: what to show beside the materialisation in Dagster's UI.
        stored: a table as it lies in the lake, or None. For checks alone: what a table is made of, it names as reads.
        forced: whoever started the run wants the table made again, whatever stands.
        again: why what is made now may be another next time with nothing changed: it is made again then.
        began_ns: when this table (or this institution of it) was begun, in ns since 1970.
    """

    profile: "Profile"
    store: "ArtifactStore"
    data: Path
    institution: str = ""
    folds: tuple[int, ...] = ()
    report: Callable[[str], None] = _to_nobody
    observe: Callable[[dict[str, Any]], None] = _to_nobody
    notes: dict[str, Any] = field(default_factory=dict)
    stored: Callable[[str], pl.DataFrame | None] = _to_nobody
    forced: bool = False
    again: list[str] = field(default_factory=list)
    began_ns: int = field(default_factory=time.time_ns)

    @property
    def seed(self) -> int:
        """Return the profile's seed."""
        return self.profile.seed


def learnt_from(run: TableRun, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of a table of all institutions without those that the profile trains without."""
    return frame.filter(~pl.col("institution").is_in(list(run.profile.train_without)))


@dataclass(frozen=True)
class Check:
    """A rule over a table. `find` returns the rows that break it; no rows means the rule holds."""

    name: str
    table: str
    find: Callable[..., pl.DataFrame]
    reads: tuple[str, ...]
    blocking: bool
    description: str
    outside: "Outside | None" = None


@dataclass(frozen=True)
class Table:
    """A table of the lake and how to make it.

    Attributes:
        name: the asset's name, which is the table's name in the lake and the warehouse.
        make: `make(run, **tables)` returns the rows for `run.institution`, `run.folds` or everything.
        reads: the tables it needs, as named in its signature.
        by: the partition column, or None.
        schema: promised columns and types.
        room: the room it belongs to, shown as the group.
        pool: the concurrency pool it takes, e.g. `gpu`.
        learns: what is learnt from is chosen here: it is not made while a development hospital is left out.
        pictures: columns that hold paths of pictures to show: one, and one of a map to lay over it.
        kinds: what it is made with, at most three, shown as badges: `polars`, `duckdb`, `torch`, ...
        columns: what each column means, by name.
        column_sources: for SQL models, each column's source columns as (table, column).
        takes: `takes(**tables)` returns by name what `make` takes of the tables that it needs, where that is less than
            all of them, so that nothing else of them counts: figures of labelled samples stand when others arrive.
        outside: returns, as content and JSON-able, what `make` looks at beside tables, settings and what a table names
            by its hash: weights to start from, for example.
        beside: returns the files that `make` writes and no column that ends in `_path` names.
        always: made in every run, to see whether the world has changed; equal rows are not written again.
    """

    name: str
    make: Callable[..., pl.DataFrame]
    reads: tuple[str, ...]
    by: Dimension | None
    schema: pl.Schema
    room: str
    description: str
    pool: str | None = None
    learns: bool = False
    kinds: tuple[str, ...] = POLARS
    pictures: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    column_sources: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    takes: "Takes | None" = None
    outside: "Outside | None" = None
    beside: "Beside | None" = None
    always: bool = False

    def taken(self, frames: Frames) -> dict[str, pl.DataFrame]:
        """Return of tables, by name, what `make` takes of them."""
        needed = {name: frames[name] for name in self.reads}
        return needed if self.takes is None else {**needed, **self.takes(**needed)}

    def conform(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return `frame` with the promised columns in the promised order and types.

        Raises:
            TableContractError: a column is missing, unexpected or cannot hold the promised type.
        """
        if set(frame.columns) != set(self.schema):
            missing, unexpected = set(self.schema) - set(frame.columns), set(frame.columns) - set(self.schema)
            raise TableContractError(f"table {self.name}: missing {sorted(missing)}, unexpected {sorted(unexpected)}")
        try:
            return frame.select(self.schema.names()).cast(self.schema)
        except pl.exceptions.PolarsError as error:
            raise TableContractError(f"table {self.name}: {error}") from error


def table(
    *,
    schema: pl.Schema,
    by: Dimension | None = None,
    pool: str | None = None,
    learns: bool = False,
    kinds: tuple[str, ...] = POLARS,
    pictures: tuple[str, ...] = (),
    takes: Takes | None = None,
    outside: Outside | None = None,
    beside: Beside | None = None,
    always: bool = False,
) -> Callable[[Callable[..., pl.DataFrame]], Table]:
    """Describe a table by the function that makes it: `def name(run, upstream_a, upstream_b) -> pl.DataFrame`."""

    def describe(make: Callable[..., pl.DataFrame]) -> Table:
        name, room = make.__name__, make.__module__.split(".")[1]
        about, columns = inspect.getdoc(make) or "", column_texts(room, make.__name__, schema.names())
        return Table(
            name, make, _tables_read(make), by, schema, room, about, pool, learns, kinds, pictures, columns,
            takes=takes, outside=outside, beside=beside, always=always,
        )  # fmt: skip

    return describe


def check(*, table: str, blocking: bool = True) -> Callable[[Callable[..., pl.DataFrame]], Check]:
    """Describe a rule over `table` by a function that returns the rows that break it."""

    def describe(find: Callable[..., pl.DataFrame]) -> Check:
        return Check(find.__name__, table, find, _tables_read(find), blocking, inspect.getdoc(find) or "")

    return describe


def all_reads(tables: Sequence[Table], checks: Sequence[Check]) -> dict[str, list[str]]:
    """Return, for each table, the names of the other tables that it or one of its checks reads, sorted."""
    reads = {each.name: set(each.reads) for each in tables}
    for each in checks:
        reads[each.table].update(each.reads)
    return {name: sorted(found - {name}) for name, found in reads.items()}


def ancestors(name: str, reads: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names of all tables that `name` rests on, sorted; `reads` as `all_reads` gives it."""
    found: set[str] = set()
    todo = list(reads[name])
    while todo:
        upstream = todo.pop()
        if upstream not in found:
            found.add(upstream)
            todo.extend(reads[upstream])
    return sorted(found)


def descendants(name: str, reads: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names of all tables that rest on `name`, sorted; `reads` as `all_reads` gives it."""
    return sorted(each for each in reads if name in ancestors(each, reads))


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Sort by every plain column: the lake keeps rows in no order, and equal tables must give equal results."""
    plain = [name for name, dtype in frame.schema.items() if not dtype.is_nested()]
    return frame.sort(plain) if plain else frame


def _tables_read(function: Callable[..., pl.DataFrame]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)[1:]
