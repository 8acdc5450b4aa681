"""Plain SQL files as tables and checks.

What lives here: reading `dbt_like_sql/`. What does not: any query, what a query reads (`sql_lineage`), running it
(`storage/sql.py`).

A model's header says what it is: `-- description: …`, `-- partitioned by: institution | none`, `-- group: <room>`, and
what columns it has (see `foundation/columns.py`).
A file in `tests/` says `-- checks: <table>` and returns the rows that break its rule.
"""

import re
from collections.abc import Callable
from pathlib import Path

import polars as pl

from olvf_assets.foundation.columns import column_texts, declared_columns
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.tables import Check, Dimension, Table, TableRun
from olvf_assets.orchestration.sql_lineage import Lineages
from olvf_assets.storage.sql import SQL_FOLDER, run_query

LAYERS = ("staging", "intermediate", "marts")
SQL = ("duckdb", "sql")
HEADER = re.compile(r"^--\s*(description|partitioned by|group|checks|severity|pictures):\s*(.+)$", re.MULTILINE)


class SqlModelError(OlvfError):
    """An SQL model's header or text cannot be used."""


def load_models(folder: Path = SQL_FOLDER) -> list[Table]:
    """Return one table per file of `staging/`, `intermediate/` and `marts/`, in that order, each layer sorted."""
    lineages = Lineages(folder)
    return [_model(path, lineages) for layer in LAYERS for path in sorted((folder / layer).glob("*.sql"))]


def load_tests(folder: Path = SQL_FOLDER) -> list[Check]:
    """Return one check per file of `tests/`."""
    lineages = Lineages(folder)
    return [_test(path, lineages) for path in sorted((folder / "tests").glob("*.sql"))]


def _model(path: Path, lineages: Lineages) -> Table:
    query = path.read_text(encoding="utf-8")
    header = dict(HEADER.findall(query))
    by: Dimension | None
    match header.get("partitioned by", "").strip():
        case "institution":
            by = "institution"
        case "none":
            by = None
        case other:
            raise SqlModelError(f"{path}: '-- partitioned by:' is {other!r}; write 'institution' or 'none'")
    if "description" not in header or "group" not in header:
        raise SqlModelError(f"{path}: the header needs '-- description:' and '-- group:' lines")
    room = header["group"].strip()
    schema, own_texts = declared_columns(query, path)
    lineage = lineages.of(query)
    return Table(
        name=path.stem,
        make=_runner(query),
        reads=lineage.reads,
        by=by,
        schema=schema,
        room=room,
        description=header["description"].strip(),
        kinds=SQL,
        pictures=tuple(header.get("pictures", "").split()),
        columns=column_texts(room, path.stem, schema.names(), own_texts),
        column_sources=lineage.column_sources,
    )


def _test(path: Path, lineages: Lineages) -> Check:
    query = path.read_text(encoding="utf-8")
    header = dict(HEADER.findall(query))
    if "checks" not in header:
        raise SqlModelError(f"{path}: the header needs '-- checks: <table>'")
    blocking = header.get("severity", "error").strip() == "error"
    description = header.get("description", path.stem.replace("_", " ")).strip()
    reads = lineages.of(query).reads
    return Check(path.stem, header["checks"].strip(), _runner(query), reads, blocking, description)


def _runner(text: str) -> Callable[..., pl.DataFrame]:
    query = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))

    def run_model(run: TableRun, **frames: pl.DataFrame) -> pl.DataFrame:
        return run_query(query, frames)

    return run_model
