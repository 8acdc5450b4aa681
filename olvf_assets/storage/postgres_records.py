"""Dagster's records in PostgreSQL, searched and erased.

What lives here: what `erasure` does with SQLite files, for a server. What does not: whom to erase
(`commands.forgetting`), where the server is (`orchestration/books.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from olvf_assets.foundation.errors import MachineError
from olvf_assets.storage.traces import Traces

if TYPE_CHECKING:
    from sqlalchemy import Engine, Table

ROWS_AT_ONCE = 1000
CHANGED_AT_ONCE = 500


class PostgresError(MachineError):
    """The server that keeps Dagster's records cannot be asked."""


def erase_from_postgres(url: str, traces: Traces) -> int:
    """Erase what Dagster noted of somebody: runs that mention him with all their events, and single records.

    Args:
        url: of the database, as SQLAlchemy writes it.
        traces: his names.

    Returns:
        The number of runs that were erased.

    Raises:
        PostgresError: the server cannot be reached or does not let this user.
    """
    from sqlalchemy import delete

    with _database(url) as (engine, tables):
        runs = {row["run_id"] for _, row in _rows(engine, tables) if row.get("run_id") and _tells(row, traces)}
        for table in tables:
            key = table.c["id"]
            gone = [row["id"] for _, row in _rows(engine, [table]) if row.get("run_id") in runs or _tells(row, traces)]
            with engine.begin() as connection:
                for first in range(0, len(gone), CHANGED_AT_ONCE):
                    connection.execute(delete(table).where(key.in_(gone[first : first + CHANGED_AT_ONCE])))
            if gone:  # written anew: the pages in which they stood go
                with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                    connection.exec_driver_sql(f'VACUUM FULL "{table.name}"')
    return len(runs)


def tables_with(url: str, traces: Traces) -> list[str]:
    """Return the names of the tables that mention somebody, sorted.

    Raises:
        PostgresError: as `erase_from_postgres`.
    """
    with _database(url) as (engine, tables):
        return sorted({table.name for table, row in _rows(engine, tables) if _tells(row, traces)})


@contextmanager
def _database(url: str) -> "Iterator[tuple[Engine, list[Table]]]":
    from sqlalchemy import MetaData, create_engine
    from sqlalchemy.exc import SQLAlchemyError

    engine = create_engine(url)
    try:
        known = MetaData()
        known.reflect(engine)
        yield engine, [table for table in known.sorted_tables[::-1] if "id" in table.c]
    except SQLAlchemyError as error:
        said = type(error).__name__  # its text may repeat rows, or the password
        raise PostgresError(
            f"PostgreSQL could not be asked for Dagster's records ({said}); is the server up?"
        ) from None
    finally:
        engine.dispose()


def _rows(engine: "Engine", tables: "list[Table]") -> "Iterator[tuple[Table, dict[str, Any]]]":
    for table in tables:
        with engine.connect().execution_options(yield_per=ROWS_AT_ONCE) as connection:
            for row in connection.execute(table.select()).mappings():
                yield table, dict(row)


def _tells(row: dict[str, Any], traces: Traces) -> bool:
    return any(traces.are_in_cell(bytes(cell) if isinstance(cell, memoryview) else cell) for cell in row.values())
