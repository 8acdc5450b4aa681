"""What the parts of an .xlsx file tell before it is read: whether it may be read, and what its reader keeps to itself.

What lives here: sizes of the archive's members and of the worksheets, cells that show errors, formulas without a value,
Japanese date formats, the day that dates count from. What does not: cells (`workbooks`), what they mean (`sheets`).
"""

import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from olvf_assets.foundation.errors import is_of_the_machine
from olvf_assets.intake.sheets.problems import Problems

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MOST_BYTES = 256 << 20  # of all members, unpacked; a sheet of a thousand patients has about 1 MB
MOST_MEMBERS = 2_000
LAST_ROW, LAST_COLUMN = 200_000, 1_000
CHUNK = 1 << 20
UNCALCULATED = "#UNCALCULATED!"  # a formula that another program wrote, which no spreadsheet has calculated yet
# Excel's own formats of Japan (ECMA-376 18.8.30) but the two of times; the reader takes these cells for numbers.
JAPANESE_DATES = {*range(27, 32), *range(34, 37), *range(50, 59)}
NO_CODE = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|general|e[+-]', re.IGNORECASE)
REFERENCE = re.compile(r"([A-Z]{1,3})(\d{1,7})")
BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, ParseError, EOFError, RuntimeError, ValueError, LookupError,
    OSError,
)  # fmt: skip


@dataclass
class Findings:
    """What the parts tell; rows and columns from 0.

    Attributes:
        errors: what cells show instead of a value, by (row, column).
        japanese_dates: (row, column) of numbers that Excel shows as dates of Japan.
        counts_from_1904: the first day is 1 January 1904 (Excel of old Macintoshes).
    """

    errors: dict[tuple[int, int], str] = field(default_factory=dict)
    japanese_dates: list[tuple[int, int]] = field(default_factory=list)
    counts_from_1904: bool = False


def findings(path: Path, problems: Problems) -> Findings:
    """Return what the parts of a workbook tell; nothing of one that is no archive (.xls).

    Raises:
        SheetError: damaged, too large, a cell far beyond any table.
    """
    found = Findings()
    if not zipfile.is_zipfile(path):
        return found
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, problems)
            styles = _date_styles(archive)
            found.counts_from_1904 = any(
                each.get("date1904") in ("1", "true") for each in _elements(archive, "workbook.xml", "workbookPr")
            )
            for name in archive.namelist():
                if "worksheets/" in name.lower() and name.lower().endswith(".xml"):
                    _look_at_cells(archive, name, styles, found, problems)
    except BROKEN as error:
        if isinstance(error, OSError) and is_of_the_machine(error):
            raise
        what = f"the workbook is damaged ({type(error).__name__}); save it again, without a password"
        raise problems.error("", what) from None
    return found


def _check_members(archive: zipfile.ZipFile, problems: Problems) -> None:
    """Unpack every member once, piece by piece: the sizes that an archive states may be lies."""
    if len(archive.infolist()) > MOST_MEMBERS:
        raise problems.error("", f"the workbook has more than {MOST_MEMBERS} parts; save it again")
    left = MOST_BYTES
    for member in archive.infolist():
        with archive.open(member) as stream:
            while chunk := stream.read(CHUNK):
                left -= len(chunk)
                if left < 0:
                    what = f"the workbook unpacks to more than {MOST_BYTES >> 20} MiB; save the table alone"
                    raise problems.error("", what)


def _look_at_cells(
    archive: zipfile.ZipFile, name: str, date_styles: set[str], found: Findings, problems: Problems
) -> None:
    row = column = -1
    for element in _walk(archive, name, ("row", "c"), starts=("row",)):
        if _tag(element) == "row":
            row, column = _number(element.get("r"), row + 2) - 1, -1
            continue
        match = REFERENCE.fullmatch(element.get("r") or "")
        column = _column(match[1]) if match else column + 1
        row = int(match[2]) - 1 if match else row
        parts = {_tag(each): each for each in element}
        if not parts:
            continue
        if row >= LAST_ROW or column >= LAST_COLUMN:
            what = f"holds something in column {column + 1}, far beyond any table of patients; delete it and save again"
            raise problems.error(f"row {row + 1}", what)
        value = parts["v"].text if "v" in parts else None
        if element.get("t") == "e":
            found.errors[row, column] = (value or "#VALUE!").strip()
        elif "f" in parts and not value and element.get("t") != "str":
            found.errors[row, column] = UNCALCULATED
        elif element.get("s") in date_styles and element.get("t", "n") == "n":
            found.japanese_dates.append((row, column))


def _date_styles(archive: zipfile.ZipFile) -> set[str]:
    """Return the numbers of cell styles that show a date of Japan."""
    formats = {
        each.get("numFmtId"): each.get("formatCode") or "" for each in _elements(archive, "styles.xml", "numFmt")
    }
    dates = {each for each, code in formats.items() if re.search(r"[gey]", NO_CODE.sub("", code), re.IGNORECASE)}
    dates |= {str(each) for each in JAPANESE_DATES} - formats.keys()
    of_cells = next(iter(_elements(archive, "styles.xml", "cellXfs")), ())
    return {str(number) for number, style in enumerate(of_cells) if style.get("numFmtId") in dates}


def _elements(archive: zipfile.ZipFile, ending: str, tag: str) -> "list[Element]":
    names = [name for name in archive.namelist() if name.lower() == f"xl/{ending}"]
    return [each for name in names for each in _parsed(archive, name) if _tag(each) == tag]


def _parsed(archive: zipfile.ZipFile, name: str) -> "Iterator[Element]":
    from defusedxml.ElementTree import parse

    with archive.open(name) as stream:
        yield from parse(stream, forbid_dtd=True).iter()


def _walk(archive: zipfile.ZipFile, name: str, tags: tuple[str, ...], starts: tuple[str, ...]) -> "Iterator[Element]":
    """Yield elements at their end (those of `starts`: at their beginning), forgetting rows that are done."""
    from defusedxml.ElementTree import iterparse

    with archive.open(name) as stream:
        for event, element in iterparse(stream, events=("start", "end"), forbid_dtd=True):
            tag = _tag(element)
            if tag in tags and (event == "start") == (tag in starts):
                yield element
            elif event == "end" and tag in starts:
                element.clear()


def _tag(element: "Element") -> str:
    return str(element.tag).rpartition("}")[2]


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and re.fullmatch(r"\d{1,7}", text) else otherwise


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1
