"""The warehouse: `olvf.duckdb`, built anew and put in place by a rename.

What lives here: writing tables into a DuckDB file that no reader ever waits for, and reading them back. What does not:
which tables there are; the caller names them. DuckDB allows one writing process and then no reader, so the file in
place is never opened for writing (dagster issues 16248 and 18746).
"""

import fcntl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from olvf_assets.foundation.errors import MachineError, OlvfError
from olvf_assets.foundation.write_faults import write_fault
from olvf_assets.storage.artifacts import put_in_place

if TYPE_CHECKING:
    import duckdb

TableSource = pl.DataFrame | Path | Callable[[], pl.DataFrame]


class NoWarehouseError(OlvfError):
    """There is no warehouse, or it does not hold a table."""


class WarehouseNotWrittenError(MachineError):
    """The warehouse could not be written; the one in place, if any, is untouched."""


def build_warehouse(
    tables: Mapping[str, TableSource],
    path: Path,
    table_comments: Mapping[str, str] | None = None,
    column_comments: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, int]:
    """Write `tables` to `<path>.tmp` in the same folder and rename it to `path`.

    Readers that hold the old file open keep it; whoever opens `path` later sees all of the new one. What a killed run
    left behind is replaced. Two builders at once wait for each other.

    Args:
        tables: by name, a frame, a function that returns one, or the folder of a Delta table; read one at a time.
        path: e.g. `data/olvf.duckdb`.
        table_comments: text for some of the tables, kept as DuckDB comments.
        column_comments: by table, a text for some of its columns, kept likewise.

    Returns:
        The number of rows of each table.

    Raises:
        WarehouseNotWrittenError: a table cannot be read or the folder cannot be written.
        DiskFullError: no room is left on the disk.
        WriteFaultError: the disk or its file system refuses.
    """
    import duckdb

    temporary = path.with_name(path.name + ".tmp")
    rows: dict[str, int] = {}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _only_builder(path):
            _remove(temporary)
            with duckdb.connect(str(temporary)) as connection:
                connection.begin()  # each statement by itself would be written to the disk by itself
                for name, source in sorted(tables.items()):
                    frame = _frame(name, source)
                    about = (table_comments or {}).get(name)
                    _write(connection, name, frame, about, (column_comments or {}).get(name, {}))
                    rows[name] = len(frame)
                connection.commit()
            # A log that someone's writing session left beside the old file must not be replayed onto the new one.
            path.with_name(path.name + ".wal").unlink(missing_ok=True)
            put_in_place(temporary, path)
    except (OSError, duckdb.Error) as error:
        if (fault := write_fault(path, error)) is not None:
            raise fault from error
        raise WarehouseNotWrittenError(
            f"{path}: {error}; the folder must be writable and no program may hold {temporary.name} open"
        ) from error
    return rows


def read_table(path: Path, name: str) -> pl.DataFrame:
    """Return one table of the warehouse, opened read-only.

    Raises:
        NoWarehouseError: the file or the table is not there.
    """
    import duckdb

    if not path.exists():
        raise NoWarehouseError(f"{path} does not exist yet; `make demo` makes it")
    with duckdb.connect(str(path), read_only=True) as connection:
        if (name,) not in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            raise NoWarehouseError(f"{path} has no table {name}; materialise the asset and the warehouse again")
        frame = pl.from_arrow(connection.sql(f"SELECT * FROM {_quoted(name)}").to_arrow_table())
    assert isinstance(frame, pl.DataFrame)
    return frame


@contextmanager
def _only_builder(path: Path) -> Iterator[None]:
    """Hold the builders' lock; the kernel frees it when the process ends, however it ends."""
    with open(path.with_name(f".{path.name}.lock"), "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _remove(temporary: Path) -> None:
    for each in (temporary, temporary.with_name(temporary.name + ".wal")):
        each.unlink(missing_ok=True)


def _frame(name: str, source: TableSource) -> pl.DataFrame:
    if isinstance(source, pl.DataFrame):
        return source
    try:
        return pl.read_delta(str(source)) if isinstance(source, Path) else source()
    except Exception as error:
        raise WarehouseNotWrittenError(f"table {name}: cannot be read ({error}); materialise it again") from error


def _write(
    connection: "duckdb.DuckDBPyConnection",
    name: str,
    frame: pl.DataFrame,
    table_comment: str | None,
    column_comments: Mapping[str, str],
) -> None:
    table = _quoted(name)
    # DuckDB's own type for a column of nulls is no type that other programs know.
    typed = frame.with_columns(pl.selectors.by_dtype(pl.Null).cast(pl.String))
    connection.register("incoming", typed.to_arrow())
    connection.execute(f"CREATE TABLE {table} AS SELECT * FROM incoming")
    connection.unregister("incoming")
    if table_comment:
        connection.execute(f"COMMENT ON TABLE {table} IS {_text(table_comment)}")
    for column in frame.columns:
        if column in column_comments:
            comment = _text(column_comments[column])
            connection.execute(f"COMMENT ON COLUMN {table}.{_quoted(column)} IS {comment}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
