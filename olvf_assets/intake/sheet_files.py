"""A hospital's sheet as rows of text cells, whichever program saved it.

What lives here: which file is the sheet, encodings (UTF-8, UTF-16, Shift-JIS), separators, Excel workbooks. What does
not: what the cells mean (`sheet_reading`, `sheets`).
"""

import codecs
import csv
import io
import re
import unicodedata
from pathlib import Path
from typing import NamedTuple

from olvf_assets.foundation.landing import SHEET_FILE, SHEET_SUFFIXES, Sheet
from olvf_assets.intake.sheet_problems import Problems

EXCEL_SUFFIXES = (".xlsx", ".xls")
SEPARATORS = (",", ";", "\t")
BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# What CP932 makes of bytes that stand for nothing.
NO_LETTERS = re.compile("[\x80-\x9f\uf8f0-\uf8f3]")


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


def read_lines(path: Path) -> list[Line]:
    """Return the lines of a sheet's file that hold anything, cells without spaces around them and in plain width.

    Full-width digits and letters become plain ones and half-width katakana full ones (Unicode NFKC).

    Raises:
        SheetError: unknown encoding, quotes that do not match, a workbook that cannot be read or has several sheets.
    """
    problems = Problems(str(path))
    grid = _excel_grid(path, problems) if path.suffix.lower() in EXCEL_SUFFIXES else _text_grid(path, problems)
    lines = [Line(number, [_plain(cell) for cell in cells]) for number, cells in enumerate(grid, start=1)]
    return [line for line in lines if any(line.cells)]


def _plain(cell: str) -> str:
    return unicodedata.normalize("NFKC", cell).strip()


def _text_grid(path: Path, problems: Problems) -> list[list[str]]:
    text = _decoded(path.read_bytes(), problems)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=True)
    grid: list[list[str]] = []
    try:
        grid.extend(reader)
    except csv.Error:
        what = "has a quotation mark that is not closed, or one within a cell"
        raise problems.error(f"row {len(grid) + 1}", what) from None
    return grid


def _decoded(content: bytes, problems: Problems) -> str:
    """Return the text of a file. Shift-JIS is Microsoft's CP932, as Japanese Excel writes it."""
    marked = [encoding for mark, encoding in BYTE_ORDER_MARKS.items() if content.startswith(mark)]
    if not marked and b"\0" in content:  # UTF-16 without a mark: separators and line ends have a zero byte
        marked = ["utf-16-le" if content[1::2].count(0) > content[::2].count(0) else "utf-16-be"]
    for encoding in marked or ("utf-8", "cp932"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not NO_LETTERS.search(text):
            return text
    raise problems.error("", "the file is neither UTF-8, UTF-16 nor Shift-JIS; save it as 'CSV UTF-8'")


def _separator(text: str) -> str:
    """Return what separates the headings: the most frequent of comma, semicolon and tab outside of quotes."""
    headings = re.sub(r'"[^"]*"', "", text.lstrip().partition("\n")[0])
    return max(SEPARATORS, key=headings.count)


def _excel_grid(path: Path, problems: Problems) -> list[list[str]]:
    """Return the cells of a workbook as text: dates as YYYY-MM-DD, whole numbers without a point."""
    import polars as pl
    from fastexcel import FastExcelError

    try:
        sheets = pl.read_excel(
            path, sheet_id=0, has_header=False, infer_schema_length=0,
            drop_empty_rows=False, drop_empty_cols=False, raise_if_empty=False,
            read_options={"skip_rows": 0},  # keep empty rows above the headings, so that rows are counted as Excel does
        )  # fmt: skip
    except (FastExcelError, OSError) as error:
        what = f"the workbook cannot be read ({type(error).__name__}); save it again, without a password"
        raise problems.error("", what) from error
    filled = [frame for frame in sheets.values() if frame.height]
    if len(filled) > 1:
        raise problems.error("", f"{len(filled)} of its worksheets are filled; keep one in this file")
    return [[cell or "" for cell in row] for frame in filled for row in frame.iter_rows()]
