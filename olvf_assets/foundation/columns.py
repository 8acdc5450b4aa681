"""What the columns of tables mean: one text for each, shown in Dagster's UI and kept as a comment in the warehouse.

What lives here: finding a column's text. What does not: the texts. They stand beside the schemas, in each room's
`columns.toml`, and those of names that mean the same in several rooms in this room's. A text is written once: a table's
own section goes before its room's names, and these before the common ones; an SQL model may say its own in its header.

An SQL model's header also names its columns with their polars types, in the order of its SELECT:
`-- columns: film_id String, n_films Int64` (several lines add up), and `-- column n_films: films of the patient`.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import polars as pl

from olvf_assets.foundation.errors import OlvfError

COMMON = "foundation"
TEXTS_FILE = "columns.toml"
NAMED = re.compile(r"^--\s*columns:\s*(.+)$", re.MULTILINE)
TEXT = re.compile(r"^--\s*column (\w+):\s*(.+)$", re.MULTILINE)
TYPES = ("String", "Int64", "Float64", "Boolean", "Date")
Texts = Mapping[str, str | Mapping[str, str]]


class ColumnTextError(OlvfError):
    """The columns of a table are not described as they must be."""


def column_texts(room: str, table: str, names: Iterable[str], own: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the text of each of a table's columns, by name; one that nobody has described is left out.

    Args:
        room: the table's room, a folder of this package.
        table: its name.
        names: its columns.
        own: texts that go before all others.

    Raises:
        ColumnTextError: a file of texts cannot be read as TOML, or `own` describes a column that is not there.
    """
    names = list(names)
    if strangers := set(own or ()) - set(names):
        raise ColumnTextError(f"table {table} describes {', '.join(sorted(strangers))}, which it does not have")
    of_room = texts_of(room)
    section = of_room.get(table, {})
    sources = [own or {}, section if isinstance(section, Mapping) else {}, of_room, texts_of(COMMON)]
    found = {name: next((each[name] for each in sources if isinstance(each.get(name), str)), None) for name in names}
    return {name: str(text) for name, text in found.items() if text is not None}


@cache
def texts_of(room: str) -> Texts:
    """Return what a room's `columns.toml` says: texts by column, and by table those of its own columns.

    Raises:
        ColumnTextError: it is no TOML.
    """
    path = Path(__file__).resolve().parents[1] / room / TEXTS_FILE
    try:
        return MappingProxyType(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return MappingProxyType({})
    except tomllib.TOMLDecodeError as error:
        raise ColumnTextError(f"{path}: {error}") from error


def declared_columns(query: str, where: Path) -> tuple[pl.Schema, dict[str, str]]:
    """Return the columns that an SQL model's header names, with their types, and the texts that stand there.

    Raises:
        ColumnTextError: the header names no columns, one twice, or one without a type that is known here.
    """
    named = [tuple(each.split()) for line in NAMED.findall(query) for each in line.split(",")]
    wrong = [" ".join(each) for each in named if len(each) != 2 or each[1] not in TYPES]
    if wrong or not named or len({each[0] for each in named}) != len(named):
        raise ColumnTextError(
            f"{where}: the header needs '-- columns: name Type, ...', each once, of the types {', '.join(TYPES)}"
            + (f"; cannot be read: {', '.join(wrong)}" if wrong else "")
        )
    return pl.Schema({name: getattr(pl, dtype) for name, dtype in named}), dict(TEXT.findall(query))
