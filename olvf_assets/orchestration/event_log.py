"""Dagster's event log, kept quick while a run writes to it.

What lives here: one open connection to each file that the events of a run go to, or to the server. What does not: any
event.

Dagster sets up an engine of SQLAlchemy and opens a connection for every event and every question, and closes it again.
A new engine composes the text of each statement anew, which takes longer than the statement itself; the last one to
close a SQLite file empties the journal into it and waits for the disk: of 35 such waits that a step without any work
costs, half are these. Nothing of it is needed while a run goes on, and every event is on the disk as before.

With PostgreSQL it connects and logs in for every event and question. One connection is kept instead, and made anew
where the server was started again; while it is down, Dagster's own tries go on for some seconds as before.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster import DagsterInstance

if TYPE_CHECKING:
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
    from sqlalchemy.engine import Connection, Engine


@contextmanager
def held_event_log(instance: DagsterInstance, run_id: str) -> Iterator[None]:
    """Have the place of a run's events open for as long as this lasts; a kind that is not known here is left alone.

    Args:
        instance: where the events go.
        run_id: of the run whose first event is stored already.
    """
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage

    storage = instance.event_log_storage
    if hasattr(storage, "postgres_url"):
        with ExitStack() as held:
            for each in (storage, instance.run_storage):
                if hasattr(each, "postgres_url"):
                    held.enter_context(_held_connection(each))
            yield
        return
    if not isinstance(storage, SqliteEventLogStorage):
        yield
        return
    shards = [name for name in (INDEX_SHARD_NAME, run_id) if Path(storage.path_for_shard(name)).exists()]
    engines = {name: _engine(storage, name) for name in shards}
    connect_anew = storage._connect

    @contextmanager
    def connect(shard: str) -> "Iterator[Connection]":
        if shard not in engines:
            with connect_anew(shard) as connection:
                yield connection
            return
        with storage._db_lock, engines[shard].begin() as connection:
            yield connection

    try:
        for name, engine in engines.items():
            with connect_anew(name), engine.begin() as connection:  # Dagster looks at an older release's file first
                connection.exec_driver_sql("select count(*) from sqlite_master").scalar()  # only now is the file open
        storage._connect = connect  # type: ignore[method-assign]
        yield
    finally:
        storage._connect = connect_anew  # type: ignore[method-assign]
        for engine in engines.values():
            engine.dispose()


@contextmanager
def _held_connection(storage: Any) -> Iterator[None]:
    """Let a PostgreSQL storage keep its connection between two uses."""
    from sqlalchemy import create_engine

    before = storage._engine
    kept = create_engine(
        storage.postgres_url,
        isolation_level="AUTOCOMMIT",
        pool_size=1,
        max_overflow=-1,
        pool_pre_ping=True,  # one that the server has closed meanwhile is made anew
    )
    storage._engine = kept
    try:
        yield
    finally:
        storage._engine = before
        kept.dispose()


def _engine(storage: "SqliteEventLogStorage", shard: str) -> "Engine":
    """Return an engine that keeps its one connection, which whoever has the storage's lock may use."""
    from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
    from sqlalchemy import create_engine
    from sqlalchemy.pool import QueuePool

    return create_engine(
        storage.conn_string_for_shard(shard),
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
    )
