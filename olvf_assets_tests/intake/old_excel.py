"""A workbook as Excel 97 to 2003 wrote it (.xls), made byte by byte; no program of today writes one.

Cells of one worksheet as BIFF8 records in a compound file of one stream (MS-XLS, MS-CFB).
"""

import struct
from datetime import date
from pathlib import Path

END, FREE, FAT, SECTOR = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD, 512
NUMBER_STYLE, DATE_STYLE = 0, 1


class ShownError(int):
    """The code of an error that a cell shows, such as 0x17 for #REF!."""


class FormulaError(ShownError):
    """The same as the result of a formula."""


def write_xls(path: Path, rows: list[list[str | float | date | None]]) -> None:
    """Write the rows into the first worksheet; dates become day numbers with a date format, as Excel keeps them."""
    path.write_bytes(_compound_file(_workbook(rows)))


def _record(kind: int, content: bytes) -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


def _workbook(rows: list[list[str | float | date | None]]) -> bytes:
    def begin(kind: int) -> bytes:
        return _record(0x0809, struct.pack("<HHHHII", 0x0600, kind, 0, 0, 0, 0))

    styles = b"".join(_record(0x00E0, struct.pack("<HH16x", 0, number_format)) for number_format in (0, 14))
    name = b"Sheet1"
    head = begin(0x0005) + _record(0x0042, struct.pack("<H", 1200)) + styles
    length = len(head) + 4 + 8 + len(name) + 4  # the sheet begins behind its own listing and the end of the globals
    listing = _record(0x0085, struct.pack("<IBBBB", length, 0, 0, len(name), 0) + name)
    size = _record(0x0200, struct.pack("<IIHHH", 0, len(rows), 0, max(map(len, rows)), 0))
    cells = b"".join(_cell(r, c, cell) for r, row in enumerate(rows) for c, cell in enumerate(row) if cell is not None)
    return head + listing + _record(0x000A, b"") + begin(0x0010) + size + cells + _record(0x000A, b"")


def _cell(row: int, column: int, cell: str | float | date) -> bytes:
    if isinstance(cell, FormulaError):
        result = struct.pack("<HHH6BHHIH", row, column, NUMBER_STYLE, 2, 0, cell, 0, 0, 0, 0xFFFF, 0, 0, 3)
        return _record(0x0006, result + struct.pack("<BH", 0x1E, 1))
    if isinstance(cell, ShownError):
        return _record(0x0205, struct.pack("<HHHBB", row, column, NUMBER_STYLE, cell, 1))
    if isinstance(cell, str):
        text = cell.encode("utf-16-le")
        return _record(0x0204, struct.pack("<HHHHB", row, column, NUMBER_STYLE, len(cell), 1) + text)
    if isinstance(cell, date):
        return _record(0x0203, struct.pack("<HHHd", row, column, DATE_STYLE, (cell - date(1899, 12, 30)).days))
    return _record(0x0203, struct.pack("<HHHd", row, column, NUMBER_STYLE, cell))


def _compound_file(stream: bytes) -> bytes:
    stream = stream.ljust(4096, b"\0")  # shorter ones would need a second kind of sectors
    count = -(-len(stream) // SECTOR)
    chain = [FAT, END, *range(3, count + 2), END]
    table = struct.pack(f"<{SECTOR // 4}I", *chain, *[FREE] * (SECTOR // 4 - len(chain)))
    root, book = _entry("Root Entry", 5, 1, END, 0), _entry("Workbook", 2, FREE, 2, len(stream))
    header = struct.pack(
        "<8s16xHHHHH6xIIIIIIIIII", bytes.fromhex("D0CF11E0A1B11AE1"), 0x3E, 3, 0xFFFE, 9, 6,
        0, 1, 1, 0, 4096, END, 0, END, 0, 0,
    )  # fmt: skip
    header = header.ljust(SECTOR, b"\xff")
    return header + table + (root + book).ljust(SECTOR, b"\0") + stream.ljust(count * SECTOR, b"\0")


def _entry(name: str, kind: int, child: int, start: int, size: int) -> bytes:
    letters = (name + "\0").encode("utf-16-le")
    return letters.ljust(64, b"\0") + struct.pack("<HBBIII36xIQ", len(letters), kind, 1, FREE, FREE, child, start, size)
