"""What an SQL text reads and where its columns come from, as sqlglot finds it.

What lives here: the finding, and the file `dbt_like_sql/lineage.json` that ships what was found, because sqlglot takes
longer for all texts than everything else that the code location does at its start. What does not: models and checks
(`sql_models`).

The file knows a text by its hash and a finding by sqlglot's version: a text or a sqlglot that it does not know is
looked at anew, as is every text when the file is lost or damaged. A test holds the file against sqlglot.
"""

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

LINEAGE_FILE = "lineage.json"


@dataclass(frozen=True)
class Lineage:
    """Where the rows of a query come from.

    Attributes:
        reads: the names of the tables that it reads, sorted, common table expressions aside.
        column_sources: for each output column the (table, column) pairs it is computed from, where SQL tells.
    """

    reads: tuple[str, ...]
    column_sources: dict[str, list[tuple[str, str]]]


class Lineages:
    """The lineage of SQL texts: as shipped beside them, else as sqlglot finds it.

    Args:
        folder: of SQL files; its `lineage.json`, if there is a sound one of the installed sqlglot, is read at once.
    """

    def __init__(self, folder: Path) -> None:
        self._shipped = _shipped(folder / LINEAGE_FILE)

    def of(self, query: str) -> Lineage:
        """Return what a query reads and where its columns come from."""
        return self._shipped.get(text_hash(query)) or find_lineage(query)


def find_lineage(query: str) -> Lineage:
    """Return what sqlglot finds in a query, which it parses once."""
    import sqlglot
    from sqlglot import expressions

    tree = sqlglot.parse_one(query, dialect="duckdb")
    named = {expression.alias for expression in tree.find_all(expressions.CTE)}
    reads = {each.name for each in tree.find_all(expressions.Table) if each.name} - named
    return Lineage(tuple(sorted(reads)), _column_sources(tree))


def text_hash(query: str) -> str:
    """Return 64 hex digits that change with anything in a query but the comment lines above it."""
    lines = query.splitlines()
    while lines and (lines[0].startswith("--") or not lines[0].strip()):
        lines.pop(0)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def lineage_file(folder: Path) -> str:
    """Return the text of `lineage.json` for all SQL files below a folder, each on a line of its own."""
    found = []
    for path in sorted(folder.rglob("*.sql")):
        query = path.read_text(encoding="utf-8")
        lineage = find_lineage(query)
        entry = {"hash": text_hash(query), "reads": lineage.reads, "column_sources": lineage.column_sources}
        found.append(f"{json.dumps(path.relative_to(folder).as_posix())}: {json.dumps(entry)}")
    return f'{{\n"sqlglot": {json.dumps(version("sqlglot"))},\n"files": {{\n' + ",\n".join(found) + "\n}\n}\n"


def _shipped(path: Path) -> dict[str, Lineage]:
    """Return the lineages of a file by the hash of their text; none if it is not sound or of another sqlglot."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if said["sqlglot"] != version("sqlglot"):
            return {}
        return {
            entry["hash"]: Lineage(
                tuple(entry["reads"]),
                {
                    column: [(table, name) for table, name in sources]
                    for column, sources in entry["column_sources"].items()
                },
            )
            for entry in said["files"].values()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _column_sources(tree: "Expr") -> dict[str, list[tuple[str, str]]]:
    from sqlglot import expressions
    from sqlglot.errors import SqlglotError
    from sqlglot.lineage import lineage

    try:
        roots = lineage(None, tree, schema={}, dialect="duckdb")
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
