"""A small read-only SQL prompt on the warehouse.

What lives here: reading statements and printing tables (`make sql`). What does not: building the warehouse.
The duckdb package brings no shell of its own; whoever has the `duckdb` program can open the same file with it.

Read-only is meant of the whole machine: DuckDB itself would read any file and write with COPY. Access to files,
extensions and Python variables is switched off for good, and only statements that ask are run: in DuckDB 2.0 COPY may
still write the log beside the warehouse, which the next writer would replay.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.reporting.warehouse import NoWarehouseError

if TYPE_CHECKING:
    import duckdb

WELCOME = """{path}, read-only. End a statement with ; and leave with Ctrl-D or .quit
  show tables;
  from external_metrics where model = 'ensemble' and fold = 'mean' and ci_method = 'patient_bootstrap';
"""
LEAVE = (".quit", ".exit")
CLOSED = {"enable_external_access": "false", "python_enable_replacements": "false", "lock_configuration": "true"}
# MULTI is what PIVOT becomes; CREATE and SET reach temporary tables and variables only.
ASKING = frozenset({"SELECT", "EXPLAIN", "PRAGMA", "SET", "VARIABLE_SET", "MULTI", "CREATE", "DROP"})


class NotReadOnlyError(OlvfError):
    """A statement would do more than ask."""


def open_warehouse(path: Path) -> int:
    """Read SQL statements from standard input, print what each returns, until the end of input.

    Returns:
        The number of statements that failed; 0 at a terminal, where the errors have been seen.

    Raises:
        NoWarehouseError: the file does not exist yet.
    """
    import duckdb

    if not path.exists():
        raise NoWarehouseError(f"{path} does not exist yet; `make demo` makes it")
    asking = sys.stdin.isatty()
    failed = 0
    with duckdb.connect(str(path), read_only=True) as connection:
        for setting, value in CLOSED.items():
            connection.execute(f"SET {setting} = {value}")
        if asking:
            print(WELCOME.format(path=path))  # noqa: T201 - this is the prompt's output
        for statement in _statements(asking):
            try:
                _show(connection, statement)
            except (duckdb.Error, NotReadOnlyError) as error:
                failed += 1
                print(error, file=sys.stderr)  # noqa: T201 - as above
    return 0 if asking else failed


def _show(connection: "duckdb.DuckDBPyConnection", text: str) -> None:
    """Run one statement and print the rows that it returns."""
    import duckdb

    for statement in duckdb.extract_statements(text):
        kind = statement.type.name
        keywords = (start for start, each in duckdb.tokenize(text) if each is duckdb.token_type.keyword)
        copies = any(text.encode()[start : start + 4].lower() == b"copy" for start in keywords)
        if kind not in ASKING or (kind == "EXPLAIN" and copies):
            raise NotReadOnlyError(f"{kind} is not done here: this prompt reads the warehouse and nothing else")
    result = connection.sql(text)
    if result is not None:
        result.show(max_rows=100, max_width=160)


def _statements(asking: bool) -> Iterator[str]:
    """Yield statements without their semicolon. One in a string or a comment ends nothing."""
    text = ""
    while True:
        try:
            line = input(("olvf> " if not text else "  ... ") if asking else "")
        except EOFError:
            if text:
                yield text
            return
        if line.strip() in LEAVE:
            return
        complete, text = _parts(text + line + "\n")
        yield from complete


def _parts(text: str) -> tuple[list[str], str]:
    """Return the statements that a semicolon ends, and the text behind the last one ("" if it says nothing)."""
    import duckdb

    whole, complete, start, says = text.encode(), [], 0, False
    for place, kind in duckdb.tokenize(text):
        if kind is duckdb.token_type.operator and whole[place : place + 1] == b";":
            if says:
                complete.append(whole[start:place].decode())
            start, says = place + 1, False
        else:
            says = says or kind is not duckdb.token_type.comment
    rest = whole[start:].decode()
    return complete, rest if says or "/*" in rest else ""
