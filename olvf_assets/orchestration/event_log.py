"""Dagster's event log on SQLite, kept quick while a run writes to it.

What lives here: one idle connection to each file that the events of a run go to. What does not: any event.

Dagster opens a connection for every event and closes it again. The last one to close a SQLite file empties the
journal into it and waits for the disk each time: of 35 such waits that a step without any work costs, half are these.
Nothing of it is needed while somebody has the file open, and every event is on the disk as before.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from dagster import DagsterInstance


@contextmanager
def held_event_log(instance: DagsterInstance, run_id: str) -> Iterator[None]:
    """Have the SQLite files of a run's events open for as long as this lasts; another kind of event log is left alone.

    Args:
        instance: where the events go.
        run_id: of the run whose first event is stored already.
    """
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME, SqliteEventLogStorage

    storage = instance.event_log_storage
    with ExitStack() as held:
        if isinstance(storage, SqliteEventLogStorage):
            for shard in (INDEX_SHARD_NAME, run_id):
                if (path := Path(storage.path_for_shard(shard))).exists():
                    connection = sqlite3.connect(path, check_same_thread=False)
                    held.enter_context(closing(connection))
                    connection.execute("select count(*) from sqlite_master").fetchone()  # only now is the file open
        yield
