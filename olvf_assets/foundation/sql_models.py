"""Plain SQL files as tables and checks.

What lives here: reading `dbt_like_sql/`, finding what a query reads and where its columns come from (sqlglot), and
running it with DuckDB over polars frames. What does not: any query.

A model's header says what it is: `-- description: …`, `-- partitioned by: institution | none`, `-- group: <room>`, and
what columns it has (see `columns`).
A file in `tests/` says `-- checks: <table>` and returns the rows that break its rule.
"""

import re
from collections.abc import Callable
from pathlib import Path

import polars as pl

from olvf_assets.foundation.columns import column_texts, declared_columns
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.tables import Check, Dimension, Table, TableRun

SQL_FOLDER = Path(__file__).resolve().parents[2] / "dbt_like_sql"
LAYERS = ("staging", "intermediate", "marts")
SQL = ("duckdb", "sql")
HEADER = re.compile(r"^--\s*(description|partitioned by|group|checks|severity|pictures):\s*(.+)$", re.MULTILINE)


class SqlModelError(OlvfError):
    """An SQL model's header or text cannot be used."""


def load_models(folder: Path = SQL_FOLDER) -> list[Table]:
    """Return one table per file of `staging/`, `intermediate/` and `marts/`, in that order, each layer sorted."""
    return [_model(path) for layer in LAYERS for path in sorted((folder / layer).glob("*.sql"))]


def load_tests(folder: Path = SQL_FOLDER) -> list[Check]:
    """Return one check per file of `tests/`."""
    return [_test(path) for path in sorted((folder / "tests").glob("*.sql"))]


def run_query(query: str, frames: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the result of `query` over polars frames, each visible under its name."""
    import duckdb

    with duckdb.connect() as connection:
        for name, frame in frames.items():
            connection.register(name, frame.to_arrow())
        return connection.sql(query).pl()


def tables_read(query: str) -> tuple[str, ...]:
    """Return the names of the tables that `query` reads, sorted, common table expressions aside."""
    import sqlglot
    from sqlglot import expressions

    tree = sqlglot.parse_one(query, dialect="duckdb")
    named = {expression.alias for expression in tree.find_all(expressions.CTE)}
    return tuple(sorted({each.name for each in tree.find_all(expressions.Table) if each.name} - named))


def column_sources(query: str) -> dict[str, list[tuple[str, str]]]:
    """Return, for each output column of `query`, the (table, column) pairs it is computed from, where SQL tells."""
    from sqlglot import expressions
    from sqlglot.errors import SqlglotError
    from sqlglot.lineage import lineage

    try:
        roots = lineage(None, query, schema={}, dialect="duckdb")
    except SqlglotError:
        return {}  # where the SQL leaves a column's table open there is no lineage to show; the table's own stands
    sources = {}
    for column, root in roots.items():
        leaves = {
            (node.source.name, node.name.split(".")[-1].strip('"'))
            for node in root.walk()
            if not node.downstream and isinstance(node.source, expressions.Table)
        }
        if leaves:
            sources[column] = sorted(leaves)
    return sources


def _model(path: Path) -> Table:
    query = path.read_text()
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
    return Table(
        name=path.stem,
        make=_runner(query),
        reads=tables_read(query),
        by=by,
        schema=schema,
        room=room,
        description=header["description"].strip(),
        kinds=SQL,
        pictures=tuple(header.get("pictures", "").split()),
        columns=column_texts(room, path.stem, schema.names(), own_texts),
        column_sources=column_sources(query),
    )


def _test(path: Path) -> Check:
    query = path.read_text()
    header = dict(HEADER.findall(query))
    if "checks" not in header:
        raise SqlModelError(f"{path}: the header needs '-- checks: <table>'")
    blocking = header.get("severity", "error").strip() == "error"
    description = header.get("description", path.stem.replace("_", " ")).strip()
    return Check(path.stem, header["checks"].strip(), _runner(query), tables_read(query), blocking, description)


def _runner(query: str) -> Callable[..., pl.DataFrame]:
    def run_model(run: TableRun, **frames: pl.DataFrame) -> pl.DataFrame:
        return run_query(query, frames)

    return run_model
