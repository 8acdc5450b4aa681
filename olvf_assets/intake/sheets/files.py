"""A hospital's sheet as rows of text cells, whichever program saved it.

What lives here: which file is the sheet, separators. What does not: encodings (`intake.landing.texts`), Excel
(`workbooks`), what the cells mean (`sheets.reading`, `sheets`).
"""

import csv
import io
import re
import unicodedata
from pathlib import Path
from typing import NamedTuple

from olvf_assets.intake.landing.landing import SHEET_FILE, SHEET_SUFFIXES, Sheet
from olvf_assets.intake.landing.texts import NotTextError, decoded
from olvf_assets.intake.sheets.problems import Problems, quotable
from olvf_assets.intake.sheets.workbooks import workbook_grid

EXCEL_SUFFIXES = (".xlsx", ".xls")
SEPARATORS = (",", ";", "\t")
MOST_BYTES = 64 << 20  # a sheet of a thousand patients has about 1 MB
MOST_CELLS_PER_ROW = 1_000


class SheetFile(NamedTuple):
    """One file of a sheet, and the columns that its name stands for (`reader`, `reading`)."""

    path: Path
    said_by_name: dict[str, str]


class Line(NamedTuple):
    """The cells of one line that is not empty; `number` as a spreadsheet shows it, from 1."""

    number: int
    cells: list[str]


def sheet_files(folder: Path, sheet: Sheet) -> list[SheetFile]:
    """Return the files of a sheet in a landing folder, sorted; several only for readers with a file each.

    Raises:
        SheetError: there is none, or there are two of one name (as CSV and as Excel).
    """
    found: dict[str, list[SheetFile]] = {}
    for path in sorted(folder.iterdir()):
        match = SHEET_FILE.fullmatch(path.name)
        if match and match["sheet"].lower() == sheet and path.is_file():
            said = {name: match[name].lower() for name in ("reader", "reading") if match[name]}
            found.setdefault(path.stem.lower(), []).append(SheetFile(path, said))
    problems = Problems(str(folder / f"{sheet}.csv"))
    if not found:
        endings = ", ".join(SHEET_SUFFIXES[1:])
        what = (
            f"the file is missing (or {sheet} with one of {endings}); with nothing to say it holds its headings alone"
        )
        raise problems.error("", what)
    for files in found.values():
        if len(files) > 1:
            raise problems.error(
                "", f"{' and '.join(each.path.name for each in files)} are both there; keep the one that counts"
            )
    return [files[0] for files in found.values()]


def has_sheet(folder: Path, sheet: Sheet) -> bool:
    """Return whether a landing folder holds a sheet; each may be missing.

    Raises:
        SheetError: it is missing, and a file beside it has nearly its name: nobody would look for it in vain.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SHEET_SUFFIXES and path.is_file())
    known = [match for path in files if (match := SHEET_FILE.fullmatch(path.name))]
    if any(match["sheet"].lower() == sheet for match in known):
        return True
    for path in files:
        if not SHEET_FILE.fullmatch(path.name) and sheet.rstrip("s") in path.stem.lower():
            what = f"{quotable(path.name)!r} has nearly the name of the sheet {sheet}, which is missing; call it"
            raise Problems(str(folder)).error("", f"{what} {sheet}{path.suffix.lower()}, or take it away")
    return False


def read_lines(path: Path) -> list[Line]:
    """Return the lines of a sheet's file that hold anything, cells without spaces around them and in plain width.

    Full-width digits and letters become plain ones and half-width katakana full ones (Unicode NFKC).

    Raises:
        SheetError: unknown encoding, quotes that do not match, a workbook that cannot be read or has several sheets.
    """
    problems = Problems(str(path))
    grid = workbook_grid(path, problems) if path.suffix.lower() in EXCEL_SUFFIXES else _text_grid(path, problems)
    lines = [Line(number, [_plain(cell) for cell in cells]) for number, cells in enumerate(grid, start=1)]
    return [line for line in lines if any(line.cells)]


def loose_lines(path: Path) -> list[Line]:
    """Return what can be told of the lines of a sheet that `read_lines` refuses, for hiding what stands in them.

    Quotes are not believed and letters of an unknown encoding are left out. A refused workbook gives nothing, nor does
    a file of more than 64 MiB.
    """
    if path.suffix.lower() in EXCEL_SUFFIXES or path.stat().st_size > MOST_BYTES:
        return []
    content = path.read_bytes()
    try:
        text = decoded(content)
    except NotTextError:
        text = content.decode("utf-8", errors="ignore") + "\n" + content.decode("cp932", errors="ignore")
    cells = ([_plain(cell) for cell in re.split("[,;\t]", line)] for line in text.replace('"', "").splitlines())
    return [Line(number, line) for number, line in enumerate(cells, start=1) if any(line)]


def _plain(cell: str) -> str:
    return unicodedata.normalize("NFKC", cell).strip()


def _text_grid(path: Path, problems: Problems) -> list[list[str]]:
    if path.stat().st_size > MOST_BYTES:
        raise problems.error("", f"the file has more than {MOST_BYTES >> 20} MiB; keep the table of the patients alone")
    try:
        text = decoded(path.read_bytes())
    except NotTextError:
        what = "the file is neither UTF-8, UTF-16 nor Shift-JIS; save it as 'CSV UTF-8'"
        raise problems.error("", what) from None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=True)
    grid: list[list[str]] = []
    try:
        for cells in reader:
            grid.append(cells)
            if len(cells) > MOST_CELLS_PER_ROW:
                what = f"has {len(cells)} cells, at most {MOST_CELLS_PER_ROW} are read; is it a sheet?"
                raise problems.error(f"row {len(grid)}", what)
    except csv.Error as error:
        what = "has a quotation mark that is not closed, or one within a cell"
        if "field larger" in str(error):
            what = f"has a cell of more than {csv.field_size_limit()} letters; is a quotation mark not closed?"
        raise problems.error(f"row {len(grid) + 1}", what) from None
    return grid


def _separator(text: str) -> str:
    """Return what separates the headings: the most frequent of comma, semicolon and tab outside of quotes."""
    headings = re.sub(r'"[^"]*"', "", text.lstrip().partition("\n")[0])
    return max(SEPARATORS, key=headings.count)
