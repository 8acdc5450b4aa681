"""Reading a hospital's CSV sheets row by row, collecting every problem before saying so.

What lives here: the CSV dialect, the parsers of single cells, and `SheetError`. What does not: which columns a sheet
has and what they mean (`sheets`), drawn boxes (`boxes`).
"""

import csv
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.landing import CONDITIONS_FILE, READERS_FILE, SUBJECTS_FILE

SHOWN_PROBLEMS = 20
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class SheetError(OlvfError):
    """A sheet holds something that is not allowed; nothing of it was loaded. Lists the first problems with rows."""


@dataclass
class Problems:
    """What is wrong with one sheet so far."""

    file: Path
    lines: list[str] = field(default_factory=list)

    def add(self, row: int | None, column: str | None, value: str | None, way_out: str) -> None:
        """Note a problem. `row` counts from 1 with the header line as 1, as spreadsheets show it."""
        where = ", ".join(part for part in (f"row {row}" if row else "", f"column {column}" if column else "") if part)
        shown = "" if value is None else f"{value!r} "
        self.lines.append(f"{where + ': ' if where else ''}{shown}{way_out}")

    def raise_if_any(self) -> None:
        """Raise `SheetError` with the first problems, if there are any."""
        if not self.lines:
            return
        count = len(self.lines)
        listed = "\n".join(f"  {line}" for line in self.lines[:SHOWN_PROBLEMS])
        more = f"\n  ... and {count - SHOWN_PROBLEMS} more" if count > SHOWN_PROBLEMS else ""
        raise SheetError(
            f"{self.file}: {count} problem{'s' if count > 1 else ''}; nothing of this sheet was loaded. "
            f"Correct it and start again.\n{listed}{more}"
        )


@dataclass(frozen=True)
class Row:
    """One line of a sheet: its number as a spreadsheet shows it, and its cells without spaces around them."""

    number: int
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        """Return a cell; empty when the line or the sheet does not have it."""
        return self.cells.get(column, "")


def read_rows(problems: Problems, required: Collection[str]) -> list[Row]:
    """Return the non-empty lines of the CSV sheet `problems.file`.

    Raises:
        SheetError: the file is missing, is not UTF-8, lacks a required column, or a line has too many cells.
    """
    text = _text_of(problems)
    lines = csv.reader(text.splitlines(keepends=True))
    columns = [name.strip().lower() for name in next(lines, [])]
    missing = [name for name in required if name not in columns]
    if missing:
        hint = "; the sheet is separated by semicolons, save it with commas" if ";" in "".join(columns) else ""
        found = ", ".join(columns)[:200] or "none"
        problems.add(1, None, None, f"column {', '.join(missing)} is missing (found: {found}){hint}")
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        problems.add(1, None, None, f"column {', '.join(twice)} stands there twice")
    problems.raise_if_any()
    rows = list(_rows(lines, columns, problems))
    problems.raise_if_any()
    return rows


def _text_of(problems: Problems) -> str:
    if not problems.file.is_file():
        problems.add(None, None, None, "the file is missing; without anything to say it holds the header line alone")
        problems.raise_if_any()
    try:
        return problems.file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        problems.add(None, None, None, "the file is not UTF-8; save it as 'CSV UTF-8'")
        problems.raise_if_any()
        raise


def _rows(lines: Iterator[list[str]], columns: list[str], problems: Problems) -> Iterator[Row]:
    for number, cells in enumerate(lines, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(columns):
            problems.add(number, None, None, f"has {len(cells)} cells for {len(columns)} columns; is a comma too many?")
        yield Row(number, {name: cell.strip() for name, cell in zip(columns, cells, strict=False)})


def one_of(row: Row, column: str, allowed: Collection[str], problems: Problems) -> str | None:
    """Return the cell if it is one of the allowed words, else note the problem."""
    value = row[column]
    if value in allowed:
        return value
    problems.add(row.number, column, value, f"is not allowed; write one of {', '.join(allowed)}")
    return None


def whole_number(row: Row, column: str, bounds: tuple[int, int], problems: Problems) -> int | None:
    """Return the cell as an integer within bounds (inclusive), else note the problem."""
    value = row[column]
    if re.fullmatch(r"-?\d{1,9}", value) and bounds[0] <= int(value) <= bounds[1]:
        return int(value)
    problems.add(row.number, column, value, f"is not a whole number from {bounds[0]} to {bounds[1]}")
    return None


def day(row: Row, column: str, problems: Problems, *, may_be_empty: bool) -> date | None:
    """Return the cell as a date, else note the problem; its digits are not repeated in the message."""
    value = row[column]
    if not value and may_be_empty:
        return None
    if DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            problems.add(row.number, column, None, "names a day that no calendar has; write YYYY-MM-DD")
            return None
    shape = re.sub(r"\d", "#", value)[:20]
    problems.add(row.number, column, shape, "(digits hidden) is not a date; write YYYY-MM-DD")
    return None


def patient_ids_in_sheets(folder: Path) -> set[str]:
    """Return every patient id in the sheets of a landing folder, for hiding them; unreadable sheets give none."""
    found: set[str] = set()
    for name in (SUBJECTS_FILE, READERS_FILE, CONDITIONS_FILE):
        try:
            found.update(row["patient_id"] for row in read_rows(Problems(folder / name), ["patient_id"]))
        except SheetError:
            continue
    return found - {""}
