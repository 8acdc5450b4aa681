"""Reading a hospital's sheets row by row, collecting every problem before saying so.

What lives here: finding the columns, rows of cells by column, and the parsers of single cells. What does not: files and
encodings (`sheets.files`), synonyms (`sheets.words`), which columns a sheet has and what they mean (`sheets`).
"""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from olvf_assets.intake.landing.landing import SHEET_FILE, Sheet
from olvf_assets.intake.privacy.harmless_words import is_harmless
from olvf_assets.intake.sheets.files import Line, SheetFile, loose_lines, read_lines, sheet_files
from olvf_assets.intake.sheets.problems import Problems, SheetError
from olvf_assets.intake.sheets.words import HEADINGS, UNKNOWN_DAY, heading, word
from olvf_assets.intake.sheets.workbook_parts import UNCALCULATED

# Year first, as ISO 8601 and Japanese Excel write it; a workbook's date comes with its midnight.
DATE = re.compile(r"(\d{4})(?:[-/.]|年 ?)(\d{1,2})(?:[-/.]|月 ?)(\d{1,2})日?(?:[ T]0{1,2}:00(?::00(?:\.0+)?)?)?")
ERA_DATE = re.compile(
    r"(明治|大正|昭和|平成|令和|[MTSHR])[ .]?(\d{1,2}|元)(?:[-/.]|年 ?)(\d{1,2})(?:[-/.]|月 ?)(\d{1,2})日?",
    re.IGNORECASE,
)
# The first day of each era that a patient of today can name, and the letter that stands for it.
ERAS = {
    "S": ("昭和", date(1926, 12, 25)), "H": ("平成", date(1989, 1, 8)), "R": ("令和", date(2019, 5, 1)),
}  # fmt: skip
COMPACT_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})")
FIRST_YEAR = 1900
# What a spreadsheet shows in place of a value: #REF!, #N/A, ##### (too narrow), Err:502 (LibreOffice).
CELL_ERROR = re.compile(r"#[A-Z][A-Z0-9/_]*[!?]|#N/A|#NV|#GETTING_DATA|#+|Err:\d{3}", re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    """One line of a sheet.

    Attributes:
        place: "row 3", with the file's name before it when the sheet has several files.
        cells: by column, without spaces around them.
        headings: by column, how messages call it where that is not its name: "性別 (sex)".
    """

    place: str
    cells: dict[str, str]
    headings: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, column: str) -> str:
        """Return a cell; empty when the line or the sheet does not have it."""
        return self.cells.get(column, "")

    def at(self, column: str) -> str:
        """Return where a cell stands, for messages: "row 3, column 性別 (sex)"."""
        return f"{self.place}, column {self.headings.get(column, column)}"


@dataclass(frozen=True)
class SheetRows:
    """The rows of a sheet, from one file or several, and where to note what is wrong with them."""

    name: str
    rows: list[Row]
    problems: Problems


def read_sheet(folder: Path, sheet: Sheet, required: Callable[[Collection[str]], Collection[str]]) -> SheetRows:
    """Return the lines of a sheet that are not empty.

    Args:
        folder: the landing folder.
        sheet: which sheet.
        required: given the columns that a file has, returns those it must have.

    Raises:
        SheetError: no file or two of one name, unreadable, a required column is missing or stands there twice, a line
            has too many cells, a cell contradicts the file's name.
    """
    files = sheet_files(folder, sheet)
    names = [each.path.name for each in files]
    problems = Problems(str(folder / names[0]) if len(files) == 1 else f"{folder}: {', '.join(names)}")
    rows = [row for each in files for row in _rows(each, required, problems, several=len(files) > 1)]
    problems.raise_if_any()
    return SheetRows(", ".join(names), rows, problems)


def _rows(
    file: SheetFile, required: Callable[[Collection[str]], Collection[str]], problems: Problems, *, several: bool
) -> Iterator[Row]:
    prefix = f"{file.path.name}, " if several else ""
    lines = read_lines(file.path)
    first = lines[0] if lines else Line(1, [])
    columns = [heading(cell) for cell in first.cells]
    if not _check_columns(f"{prefix}row {first.number}", columns, file.said_by_name, required, problems):
        return
    named = zip(columns, first.cells, strict=True)
    renamed = {name: f"{cell} ({name})" for name, cell in named if name.lower() != cell.lower()}
    for line in lines[1:]:
        cells = dict(zip(columns, line.cells, strict=False))
        row = Row(f"{prefix}row {line.number}", cells, renamed)
        for column in (name for name, cell in cells.items() if name in HEADINGS and CELL_ERROR.fullmatch(cell)):
            problems.add(row.at(column), None, _shown_error(cells[column]))
        if any(line.cells[len(columns) :]):
            what = f"has {len(line.cells)} cells for {len(columns)} columns; is a separator too many?"
            problems.add(row.place, None, what)
        for column, said in file.said_by_name.items():
            if word(column, cells.get(column) or said) != said:
                problems.add(row.at(column), row[column], f"is not what the file's name says ({said})")
            cells[column] = said
        yield row


def _shown_error(cell: str) -> str:
    if cell == UNCALCULATED:
        return "holds a formula that was never calculated; open the workbook in Excel and save it"
    return f"shows {cell[:16]}, which is an error of the spreadsheet and no value; correct the cell or empty it"


def _check_columns(
    place: str,
    columns: list[str],
    said_by_name: Collection[str],
    required: Callable[[Collection[str]], Collection[str]],
    problems: Problems,
) -> bool:
    missing = [name for name in required(columns) if name not in columns and name not in said_by_name]
    if missing and not set(columns) & set(HEADINGS):
        # Without a known heading this may be a patient's row, which no message may repeat.
        problems.add(place, None, f"no heading is known; write the headings there, among them {', '.join(missing)}")
    elif missing:
        found = ", ".join(name for name in columns if name in HEADINGS)  # any other may be a patient's
        problems.add(place, None, f"column {', '.join(missing)} is missing (found: {found})")
    twice = sorted({name for name in columns if name in HEADINGS and columns.count(name) > 1})
    if twice:
        problems.add(place, None, f"column {', '.join(twice)} stands there twice, maybe under two headings")
    return not missing and not twice


def one_of(row: Row, column: str, allowed: Collection[str], problems: Problems, default: str = "") -> str | None:
    """Return the allowed word that the cell stands for (an empty one for `default`), else note the problem."""
    value = word(column, row[column] or default)
    if value in allowed:
        return value
    problems.add(row.at(column), row[column], f"is not allowed; write one of {', '.join(allowed)}")
    return None


def whole_number(row: Row, column: str, bounds: tuple[int, int], problems: Problems) -> int | None:
    """Return the cell as an integer within bounds (inclusive), else note the problem."""
    value = row[column]
    if re.fullmatch(r"-?\d{1,9}(?:\.0+)?", value) and bounds[0] <= int(float(value)) <= bounds[1]:
        return int(float(value))
    problems.add(row.at(column), value, f"is not a whole number from {bounds[0]} to {bounds[1]}")
    return None


def day(row: Row, column: str, problems: Problems, *, may_be_empty: bool) -> date | None:
    """Return the cell as a date, else note the problem; its digits are not repeated in the message."""
    value = row[column]
    if may_be_empty and (not value or value.casefold() in UNKNOWN_DAY):
        return None
    if match := ERA_DATE.fullmatch(value):
        return _day_of_era(match, row.at(column), problems)
    match = DATE.fullmatch(value) or COMPACT_DATE.fullmatch(value)
    if not match:
        shape = re.sub(r"\d", "#", value)[:20]
        what = "(digits hidden) is not a date; write YYYY-MM-DD"
        if re.fullmatch(r"\d{5}(?:\.\d+)?", value):
            what += " (it looks like a day number of Excel: format the cells as dates and save again)"
        problems.add(row.at(column), shape, what)
        return None
    year, month, day_of_month = map(int, match.groups())
    return _day(year, month, day_of_month, row.at(column), problems)


def _day(year: int, month: int, day_of_month: int, where: str, problems: Problems) -> date | None:
    try:
        named = date(year, month, day_of_month)
    except ValueError:
        problems.add(where, None, "names a day that no calendar has; write YYYY-MM-DD")
        return None
    if named > date.today() + timedelta(days=1):
        problems.add(where, None, "lies in the future; write the day as YYYY-MM-DD")
        return None
    if year < FIRST_YEAR:
        problems.add(where, None, f"names a year before {FIRST_YEAR}; write YYYY-MM-DD")
        return None
    return named


def _day_of_era(match: re.Match[str], where: str, problems: Problems) -> date | None:
    """Return a day that is counted by Japanese eras; one outside of its era is a slip of the pen."""
    found = [era for letter, era in ERAS.items() if match[1].upper() in (letter, era[0])]
    if not found:
        problems.add(where, None, "counts by an era before Showa; write YYYY-MM-DD")
        return None
    name, first = found[0]
    year = first.year - 1 + (1 if match[2] == "元" else int(match[2]))
    later = [begin for _, begin in ERAS.values() if begin > first]
    # Sheets go on counting the old era to the end of the year in which it ended.
    outside = bool(later) and year > min(later).year
    day = None if outside else _day(year, int(match[3]), int(match[4]), where, problems)
    if outside or (day is not None and day < first):
        problems.add(where, None, f"names a day outside of its era ({name} began on {first}); write YYYY-MM-DD")
        return None
    return day


def patient_ids_in_sheets(folder: Path) -> set[str]:
    """Return every cell under a heading for patient ids in the sheets of a landing folder, however faulty they are."""
    return {cell for lines in _lines_of_sheets(folder) for cell in _ids(lines) or ()} - {""}


def identifiers_in_sheets(folder: Path) -> set[str]:
    """Return what must be hidden of the sheets of a landing folder: patient ids; every cell where no heading tells."""
    found: set[str] = set()
    for lines in _lines_of_sheets(folder):
        ids = _ids(lines)
        cells = (cell for line in lines for cell in line.cells)
        found.update(ids if ids is not None else (each for each in cells if not (each.isalpha() and is_harmless(each))))
    return found - {""}


def _lines_of_sheets(folder: Path) -> Iterator[list[Line]]:
    """Yield the lines of each file that is named like a sheet; one that cannot be read has none."""
    for path in sorted(folder.iterdir()):
        if SHEET_FILE.fullmatch(path.name) and path.is_file():
            try:
                yield read_lines(path)
            except SheetError:
                yield loose_lines(path)


def _ids(lines: list[Line]) -> set[str] | None:
    """Return the cells below the headings for patient ids, which may stand below a title; None: no such heading."""
    for number, line in enumerate(lines):
        columns = [column for column, cell in enumerate(line.cells) if heading(cell) == "patient_id"]
        if columns:
            below = lines[number + 1 :]
            return {line.cells[column] for line in below for column in columns if column < len(line.cells)}
    return None
