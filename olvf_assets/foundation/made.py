"""Whether a table, or a part of it, must be made again: the one rule.

What lives here: what a table was made of and what of that has changed since, and digests of tables. What does not: how
a table is made (`tables.py`), where the records lie (`storage/records.py`), a table's parts in a run
(`orchestration/parts.py`), Dagster.

A part (one institution, one fold, or the whole of a table that has neither) is made of the content of the tables that
it reads (of what it takes of them, where it says so), of its code and the libraries behind it (`code_identity.py`), of
the settings that were read (`settings.py`), of what it looked at beside that (`Table.outside`), and of tables that it
looked up by itself. While all of this is as it was, and the rows in the lake and the files that they name are those
that were made, it stands. What its checks found rests on the like of the checks; where only that has changed, the rows
stand and are held against the checks again.
The record is written after the rows: what a killed run leaves is made again.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import polars as pl

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.settings import Settings, setting_digest

WHOLE = "all"  # the part of a table that has no parts
FORCE_VARIABLE = "OLVF_FORCE"
SHOWN_REASONS = 3
_SEEDS = (20_220_401, 716)


class NoSuchTableError(OlvfError):
    """A table that is asked for does not exist."""


@dataclass(frozen=True)
class Ingredients:
    """What can be told of rows before they are made, or of checks before they are asked; every value is a digest.

    Attributes:
        code: by name of the function, class or constant.
        libraries: versions by distribution.
        reads: by table.
        outside: what it looks at beside tables and settings, by who looks.
    """

    code: dict[str, str]
    libraries: dict[str, str]
    reads: dict[str, str]
    outside: dict[str, str]


class Finding(NamedTuple):
    """What a check found in a part: how many rows break it, the first in words, and some of them as a table."""

    breaking: int
    first: str = ""
    shown: str = ""


@dataclass(frozen=True)
class Basis:
    """What something rests on.

    Attributes:
        ingredients: see `Ingredients`.
        settings: {path: digest} of those that were read.
        looked_up: {table: digest} of those that were looked up meanwhile.
    """

    ingredients: Ingredients
    settings: dict[str, str] = field(default_factory=dict)
    looked_up: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """What a part was made of, and what came of it.

    Attributes:
        basis: what its rows rest on.
        checked: what the findings rest on, beside the rows; None where nothing is checked.
        made: digest of the rows as they were made.
        rows: digest of the rows as they lie in the lake, which keeps fewer types.
        files: digest of the files that the rows name, and of those written beside them.
        notes: what was shown beside the materialisation.
        findings: by check.
    """

    basis: Basis
    checked: Basis | None
    made: str
    rows: str
    files: str
    notes: dict[str, Any] = field(default_factory=dict)
    findings: dict[str, Finding] = field(default_factory=dict)


def changes(basis: Basis, now: Ingredients, profile: Settings, lookup: Callable[[str], str]) -> Iterator[str]:
    """Yield, in words, each thing that something rests on and that is another now.

    Args:
        basis: what it rests on.
        now: its ingredients now.
        profile: the settings now.
        lookup: gives the digest of a table as it lies in the lake.
    """
    then = basis.ingredients
    yield from _differences("code of", then.code, now.code)
    yield from _differences("library", then.libraries, now.libraries, shown=True)
    yield from _differences("table", then.reads, now.reads)
    yield from _differences("", then.outside, now.outside)
    settings = {path: setting_digest(profile, path) for path in basis.settings}
    yield from _differences("setting", basis.settings, settings)
    looked_up = {name: lookup(name) for name in basis.looked_up}
    yield from _differences("table", basis.looked_up, looked_up)


def first_reasons(reasons: Sequence[str]) -> str:
    """Return the first few reasons why something is made again, and how many there are beside them, as a line."""
    more = f" and {len(reasons) - SHOWN_REASONS} more" if len(reasons) > SHOWN_REASONS else ""
    return f"{'; '.join(reasons[:SHOWN_REASONS])}{more}"


def frame_digest(frame: pl.DataFrame | None) -> str:
    """Return a digest of a table's columns, types and rows in any order; of nothing for None."""
    if frame is None:
        return "absent"
    digest = hashlib.sha256(json.dumps([(name, str(dtype)) for name, dtype in frame.schema.items()]).encode())
    if frame.width and frame.height:
        rows = pl.DataFrame({str(seed): frame.hash_rows(seed) for seed in _SEEDS})
        digest.update(rows.sort(rows.columns).to_numpy().tobytes())
    return digest.hexdigest()


def text_digest(value: object) -> str:
    """Return a digest of a JSON-able value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def forced(tables: Iterable[str]) -> frozenset[str]:
    """Return the tables that `OLVF_FORCE=table,…` wants made again whatever the rule says.

    Raises:
        NoSuchTableError: it names one that does not exist.
    """
    asked = {name.strip() for name in os.environ.get(FORCE_VARIABLE, "").split(",")} - {""}
    if unknown := sorted(asked - set(tables)):
        raise NoSuchTableError(
            f"{FORCE_VARIABLE}={','.join(unknown)}: there is no such table; write names with commas between"
        )
    return frozenset(asked)


def _differences(what: str, then: dict[str, str], now: dict[str, str], *, shown: bool = False) -> Iterator[str]:
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            values = f" ({then.get(name, 'none')}, now {now.get(name, 'none')})" if shown else ""
            state = "is new" if name not in then else "is not used any more" if name not in now else "has changed"
            yield f"{what} {name} {state}{values}".strip()
