"""An Excel workbook (.xlsx, .xls) as rows of text cells.

What lives here: reading cells, and what the reader of workbooks does not tell: cells that show an error, formulas that
were never calculated, Japanese date formats. What does not: sizes and damage, judged before (`workbook_parts`), text
files and what cells mean (`sheets.files`, `sheets.reading`).
"""

import re
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from olvf_assets.intake.sheets.problems import Problems
from olvf_assets.intake.sheets.workbook_parts import Findings, findings

if TYPE_CHECKING:
    from fastexcel import ExcelReader

FIRST_DAY, FIRST_DAY_1904 = date(1899, 12, 30), date(1904, 1, 1)
FEWEST_DAYS, MOST_DAYS = 61, 73_415  # Excel counts a day too many before March 1900; up to the year 2100
# How the reader calls the errors of an .xls; it tells them from empty cells only here.
ERROR = re.compile(r"Error\((\w+)\)")
SHOWN = {
    "Div0": "#DIV/0!", "NA": "#N/A", "Name": "#NAME?", "Null": "#NULL!", "Num": "#NUM!", "Ref": "#REF!",
    "Value": "#VALUE!", "GettingData": "#GETTING_DATA",
}  # fmt: skip
UNREADABLE = "#UNREADABLE!"


def workbook_grid(path: Path, problems: Problems) -> list[list[str]]:
    """Return the cells of the one filled worksheet as text: dates as YYYY-MM-DD, whole numbers without a point.

    A cell that shows an error holds what it shows ("#REF!"), a formula without a value `workbook_parts.UNCALCULATED`.

    Raises:
        SheetError: not readable, too large, damaged, several filled worksheets.
    """
    import fastexcel

    found = findings(path, problems)
    try:
        book = fastexcel.read_excel(str(path))
        grids = [_grid(book, index) for index in range(len(book.sheet_names))]
    except (fastexcel.FastExcelError, OSError) as error:
        if found.errors:
            (row, _), shown = min(found.errors.items())
            raise problems.error(f"row {row + 1}", f"a cell shows {shown}; correct it and save again") from error
        what = f"the workbook cannot be read ({type(error).__name__}); save it again, without a password"
        raise problems.error("", what) from error
    filled = [grid for grid in grids if any(cell for row in grid for cell in row)]
    if len(filled) > 1:
        raise problems.error("", f"{len(filled)} of its worksheets are filled; keep one in this file")
    return _completed(filled[0] if filled else [], found)


def _grid(book: "ExcelReader", index: int) -> list[list[str]]:
    sheet = book.load_sheet(index, header_row=None, skip_rows=0, dtypes="string")
    if not sheet.total_height:
        return []
    columns, errors = sheet.to_arrow_with_errors()
    grid = [[cell or "" for cell in row] for row in zip(*(each.to_pylist() for each in columns.columns), strict=True)]
    for error in errors.errors if errors is not None else ():
        row, column = error.offset_position
        match = ERROR.search(error.detail)
        grid[row][column] = SHOWN.get(match[1], UNREADABLE) if match else UNREADABLE
    return grid


def _completed(grid: list[list[str]], found: Findings) -> list[list[str]]:
    """Write into the cells what `findings` saw of them; they may lie beyond the last cell that has a value."""
    for (row, column), shown in found.errors.items():
        grid.extend([] for _ in range(row + 1 - len(grid)))
        grid[row].extend("" for _ in range(column + 1 - len(grid[row])))
        grid[row][column] = shown
    first = FIRST_DAY_1904 if found.counts_from_1904 else FIRST_DAY
    for row, column in found.japanese_dates:
        if row < len(grid) and column < len(grid[row]) and re.fullmatch(r"\d{1,5}(?:\.0+)?", grid[row][column]):
            days = int(float(grid[row][column]))
            if FEWEST_DAYS <= days <= MOST_DAYS:
                grid[row][column] = str(first + timedelta(days=days))
    return grid
