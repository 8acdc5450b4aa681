import re
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from olvf_assets.intake.sheets import sheets, workbook_parts
from olvf_assets.intake.sheets.files import read_lines
from olvf_assets.intake.sheets.problems import SheetError
from olvf_assets_tests.intake.old_excel import FormulaError, ShownError, write_xls
from olvf_assets_tests.intake.samples import NAMES, SETTINGS, SUBJECTS, hospital

HEADINGS = ["patient_id", "sex", "age_years", "film_date", "onset_date", "mri_date"]
DAY = date(2019, 4, 3)
CODES = {
    "#NULL!": 0x00, "#DIV/0!": 0x07, "#VALUE!": 0x0F, "#REF!": 0x17, "#NAME?": 0x1D, "#NUM!": 0x24, "#N/A": 0x2A,
}  # fmt: skip


def book(path: Path, *rows: list[Any], date_1904: bool = False, formats: dict[int, Any] | None = None) -> Path:
    """Write a workbook; texts that begin with "=" are formulas, `formats` are those of columns."""
    with xlsxwriter.Workbook(path, {"date_1904": date_1904, "default_date_format": "yyyy/mm/dd"}) as made:
        sheet = made.add_worksheet("Yamada")
        given = {column: made.add_format({"num_format": shown}) for column, shown in (formats or {}).items()}
        for number, row in enumerate(rows):
            for column, cell in enumerate(row):
                if isinstance(cell, tuple):
                    sheet.write_formula(number, column, cell[0], None, cell[1])
                elif isinstance(cell, date):
                    sheet.write_datetime(number, column, cell, given.get(column))
                elif cell is not None:
                    sheet.write(number, column, cell)
    return path


def changed(path: Path, part: str, change: Callable[[bytes], bytes]) -> Path:
    """Change one part of a workbook."""
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    assert change(parts[part]) != parts[part]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in parts.items():
            new.writestr(name, change(content) if name == part else content)
    return path


def subjects_error(folder: Path) -> str:
    with pytest.raises(SheetError) as caught:
        sheets.subjects(folder, NAMES, SETTINGS)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = hospital(tmp_path)
    (made / "subjects.csv").unlink()
    return made


@pytest.mark.parametrize("shown", [*CODES, "#SPILL!", "#CALC!", "#GETTING_DATA", "#FIELD!", "#BLOCKED!"])
def test_a_cell_that_shows_an_error_is_no_empty_cell(folder: Path, shown: str) -> None:
    book(folder / "subjects.xlsx", HEADINGS, ["A-1", "F", 78, DAY, ("=1/0", "#REF!"), DAY], ["A-2", "F", 9, DAY, None])
    if shown != "#REF!":
        changed(folder / "subjects.xlsx", "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"#REF!", shown.encode()))
    message = subjects_error(folder)
    assert f"shows {shown}" in message
    assert "row 2" in message


@pytest.mark.parametrize("kind", [ShownError, FormulaError])
@pytest.mark.parametrize("shown", CODES)
def test_an_error_in_an_old_workbook_is_named(folder: Path, shown: str, kind: type[ShownError]) -> None:
    write_xls(folder / "subjects.xls", [HEADINGS, ["A-1", "F", 78, DAY, DAY, kind(CODES[shown])]])
    message = subjects_error(folder)
    assert f"row 2, column mri_date: shows {shown}, which is an error of the spreadsheet" in message


@pytest.mark.parametrize("shown", ["#REF!", "#N/A", "#DIV/0!", "#NAME?", "########", "Err:502", "＃Ｎ／Ａ", "#n/a"])
def test_an_error_that_was_saved_as_text_is_named(tmp_path: Path, shown: str) -> None:
    message = subjects_error(hospital(tmp_path, subjects=SUBJECTS.replace("2019-03-22", shown)))
    assert "row 2, column onset_date: shows " in message


def test_an_error_in_a_column_that_is_not_read_is_left_alone(folder: Path) -> None:
    book(folder / "subjects.xlsx", [*HEADINGS, "備考"], ["A-1", "F", 78, DAY, DAY, DAY, ("=1/0", "#DIV/0!")])
    assert sheets.subjects(folder, NAMES, SETTINGS).height == 1


def test_an_error_beyond_the_last_value_of_a_row_or_a_sheet_is_seen(folder: Path) -> None:
    book(folder / "subjects.xlsx", HEADINGS, ["A-1", "F", 78, DAY, None, ("=1/0", "#N/A")])
    assert "row 2, column mri_date: shows #N/A" in subjects_error(folder)


def test_a_formula_that_was_never_calculated_is_no_empty_cell(folder: Path) -> None:
    book(folder / "subjects.xlsx", HEADINGS, ["A-1", "F", 78, DAY, ("=D2-3", 0), DAY])
    changed(folder / "subjects.xlsx", "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"</f><v>0</v>", b"</f>"))
    assert "row 2, column onset_date: holds a formula that was never calculated" in subjects_error(folder)


def test_a_formula_that_gives_an_empty_text_is_an_empty_cell(folder: Path) -> None:
    book(folder / "subjects.xlsx", HEADINGS, ["A-1", "F", 78, DAY, ("=MID(A2,9,1)", "gone"), DAY])
    changed(folder / "subjects.xlsx", "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"gone", b""))
    assert sheets.subjects(folder, NAMES, SETTINGS)["onset_to_film_days"].to_list() == [None]


@pytest.mark.parametrize("place", [(1_048_575, 16_383), (1_048_575, 0), (0, 16_383), (200_000, 3)])
def test_a_cell_far_beyond_the_table_is_refused_before_reading(tmp_path: Path, place: tuple[int, int]) -> None:
    with xlsxwriter.Workbook(tmp_path / "readers.xlsx") as made:
        sheet = made.add_worksheet()
        sheet.write_row(0, 0, HEADINGS)
        sheet.write(*place, "Yamada")
    changed(
        tmp_path / "readers.xlsx",
        "xl/worksheets/sheet1.xml",
        lambda xml: re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1:F2"', xml),
    )
    with pytest.raises(SheetError, match="far beyond any table of patients") as caught:
        read_lines(tmp_path / "readers.xlsx")
    assert f"row {place[0] + 1}:" in str(caught.value)
    assert "Yamada" not in str(caught.value)


def test_a_workbook_that_unpacks_to_very_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook_parts, "MOST_BYTES", 4 << 20)
    path = book(tmp_path / "readers.xlsx", HEADINGS)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as made:
        made.writestr("xl/media/image1.bin", bytes(5 << 20))
    assert path.stat().st_size < 20_000
    with pytest.raises(SheetError, match="unpacks to more than 4 MiB"):
        read_lines(path)


@pytest.mark.parametrize("damage", ["cut", "byte", "dtd", "xml"])
def test_a_damaged_workbook_is_an_error_of_that_sheet(tmp_path: Path, damage: str) -> None:
    path = book(tmp_path / "readers.xlsx", HEADINGS, ["A-1", "F", 78, DAY, DAY, DAY])
    content = path.read_bytes()
    entities = b'<!DOCTYPE x [<!ENTITY a "b">]><worksheet'
    if damage == "cut":
        path.write_bytes(content[:-400])
    elif damage == "byte":
        path.write_bytes(content[:300] + bytes([content[300] ^ 255]) + content[301:])
    elif damage == "dtd":
        changed(path, "xl/worksheets/sheet1.xml", lambda xml: xml.replace(b"<worksheet", entities))
    else:
        changed(path, "xl/worksheets/sheet1.xml", lambda xml: xml[: len(xml) // 2])
    with pytest.raises(SheetError, match=r"the workbook (is damaged|cannot be read)"):
        read_lines(path)


@pytest.mark.parametrize(
    "shown", [27, 28, 30, 31, 36, 50, 57, 58, 14, "gggee", 'ggge"年"m"月"d"日"', "[$-411]ge.m.d;@"]
)
@pytest.mark.parametrize("date_1904", [False, True])
def test_dates_in_formats_of_japan_are_read(folder: Path, shown: Any, date_1904: bool) -> None:
    rows = (HEADINGS, ["A-1", "F", 78, DAY, date(2019, 3, 22), date(2019, 4, 24)])
    book(folder / "subjects.xlsx", *rows, date_1904=date_1904, formats=dict.fromkeys((3, 4, 5), shown))
    row = sheets.subjects(folder, NAMES, SETTINGS).row(0, named=True)
    assert row["film_date"] == NAMES.shifted("A-1", DAY)
    assert (row["onset_to_film_days"], row["mri_delay_days"], row["age_years"]) == (12, 21, 78)
