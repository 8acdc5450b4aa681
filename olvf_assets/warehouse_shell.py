"""A small read-only SQL prompt on the warehouse.

What lives here: reading statements and printing tables (`make sql`). What does not: building the warehouse.
The duckdb package brings no shell of its own; whoever has the `duckdb` program can open the same file with it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from olvf_assets.reporting.warehouse import NoWarehouseError

WELCOME = """{path}, read-only. End a statement with ; and leave with Ctrl-D or .quit
  show tables;
  from external_metrics where model = 'ensemble' and fold = 'mean' and ci_method = 'patient_bootstrap';
"""


def open_warehouse(path: Path) -> None:
    """Read SQL statements from standard input and print what they return, until the end of input.

    Raises:
        NoWarehouseError: the file does not exist yet.
    """
    import duckdb

    if not path.exists():
        raise NoWarehouseError(f"{path} does not exist yet; `make demo` makes it")
    asking = sys.stdin.isatty()
    with duckdb.connect(str(path), read_only=True) as connection:
        if asking:
            print(WELCOME.format(path=path))  # noqa: T201 - this is the prompt's output
        for statement in _statements(asking):
            try:
                result = connection.sql(statement)
            except duckdb.Error as error:
                print(error, file=sys.stderr)  # noqa: T201 - as above
                continue
            if result is not None:
                result.show(max_rows=100, max_width=160)


def _statements(asking: bool) -> Iterator[str]:
    text = ""
    while True:
        try:
            line = input(("olvf> " if not text else "  ... ") if asking else "")
        except EOFError:
            if text.strip():
                yield text
            return
        if line.strip() in (".quit", ".exit"):
            return
        text += line + "\n"
        if line.rstrip().endswith(";"):
            yield text
            text = ""
