"""Where Dagster keeps its books.

What lives here: telling PostgreSQL from SQLite files. What does not: what is done with them (`storage`, `commands`).
"""

from dagster import DagsterInstance


def postgres_url() -> str | None:
    """Return the address of the database in which the instance of DAGSTER_HOME keeps runs and events, with its secret.

    None: they are SQLite files below DAGSTER_HOME.
    """
    with DagsterInstance.get() as instance:
        return getattr(instance.run_storage, "postgres_url", None)
