"""Where Dagster keeps its books.

What lives here: telling PostgreSQL from SQLite files. What does not: what is done with them (`storage`, `commands`).
"""

from pathlib import Path
from typing import Literal

from dagster import DagsterInstance

Books = Literal["sqlite", "postgres"]


def books_of(home: Path) -> Books:
    """Return where the `dagster.yaml` of a home says that runs and events are kept."""
    import yaml

    try:
        said = yaml.safe_load((home / "dagster.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return "sqlite"
    return "postgres" if isinstance(said, dict) and "postgres" in (said.get("storage") or {}) else "sqlite"


def postgres_url(home: Path) -> str | None:
    """Return the address of the database in which runs and events are kept, with its secret; None: in files.

    Args:
        home: Dagster's.
    """
    if books_of(home) == "sqlite":
        return None
    with DagsterInstance.from_config(str(home)) as instance:
        return getattr(instance.run_storage, "postgres_url", None)
