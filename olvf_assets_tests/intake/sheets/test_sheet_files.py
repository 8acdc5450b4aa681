from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xlsxwriter

from olvf_assets.intake.sheets import sheets
from olvf_assets.intake.sheets.files import read_lines
from olvf_assets.intake.sheets.problems import SheetError
from olvf_assets_tests.intake.old_excel import write_xls
from olvf_assets_tests.intake.samples import NAMES, SETTINGS, SUBJECTS, hospital

JAPANESE_SUBJECTS = """患者ID,性別,年齢,撮影日,発症日,MRI撮影日,氏名,備考
A-1,女,７８,2019/4/3,2019/3/22,2019/4/24,山田花子,再診
A-2,男性,93,2014年7月3日,不明,2014-07-01,鈴木一郎,
"""
JAPANESE_READERS = "患者番号,椎体,読影者,読影回,判定,病的骨折\n" + "".join(
    f"{patient},{level},読影医{reader},1回目,{'陳旧性' if level == '第1腰椎' else '正常'},なし\n"
    for patient in ("A-1", "A-2")
    for level in ("第1腰椎", "Ｌ２", "l3", "L4", "L5")
    for reader in "12"
)
JAPANESE_CONDITIONS = "患者ID,高位,撮影体位,除外理由,範囲,椎体高比\nA-2,L1,,高度圧潰,骨折,０．５５\n"
DAY = date(2019, 4, 3)
SUBJECT_CELLS: list[list[Any]] = [
    ["Patient ID", "Sex", "Age_years", "film-date", "onset date", "MRI date"],
    ["00123", "F", 78, DAY, date(2019, 3, 22), date(2019, 4, 24)],
    [4711, "M", 93.0, date(2014, 7, 3), None, date(2014, 7, 1)],
]


def tables(folder: Path) -> list[pl.DataFrame]:
    return [read(folder, NAMES, SETTINGS) for read in (sheets.subjects, sheets.reader_labels, sheets.film_conditions)]


def write_xlsx(path: Path, rows: list[list[Any]], first_row: int = 0) -> None:
    with xlsxwriter.Workbook(path, {"default_date_format": "yyyy/mm/dd"}) as book:
        sheet = book.add_worksheet()
        book.add_worksheet("left empty, as Excel makes them")
        for number, row in enumerate(rows, start=first_row):
            sheet.write_row(number, 0, row)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp932"])
def test_japanese_sheets_of_any_encoding_and_separator_give_the_tables_of_the_english_ones(
    tmp_path: Path, encoding: str, separator: str
) -> None:
    expected = tables(hospital(tmp_path / "english"))
    folder = hospital(tmp_path / "japanese")
    for name, text in (
        ("subjects", JAPANESE_SUBJECTS), ("readers", JAPANESE_READERS), ("conditions", JAPANESE_CONDITIONS),
    ):  # fmt: skip
        (folder / f"{name}.csv").write_bytes(text.replace(",", separator).encode(encoding))
    for table, wanted in zip(tables(folder), expected, strict=True):
        assert table.equals(wanted)


def test_problems_call_a_column_by_the_hospital_s_heading_and_by_its_name(tmp_path: Path) -> None:
    folder = hospital(tmp_path, subjects=JAPANESE_SUBJECTS.replace("A-1,女", "A-1,？"))
    with pytest.raises(SheetError, match=r"row 2, column 性別 \(sex\): '\?' is not allowed; write one of F, M"):
        sheets.subjects(folder, NAMES, SETTINGS)


@pytest.mark.parametrize("ending", ["xlsx", "xls"])
def test_excel_cells_are_read_as_excel_stores_them(tmp_path: Path, ending: str) -> None:
    folder = hospital(tmp_path)
    (folder / "subjects.csv").unlink()
    (write_xlsx if ending == "xlsx" else write_xls)(folder / f"subjects.{ending}", SUBJECT_CELLS)
    rows = {row["patient_id"]: row for row in sheets.subjects(folder, NAMES, SETTINGS).iter_rows(named=True)}
    assert rows[NAMES.patient("00123")] == {
        "institution": "institution_1", "patient_id": NAMES.patient("00123"), "sex": "F", "age_years": 78,
        "film_date": NAMES.shifted("00123", DAY), "onset_to_film_days": 12, "mri_delay_days": 21,
    }  # fmt: skip
    assert rows[NAMES.patient("4711")]["age_years"] == 90
    assert rows[NAMES.patient("4711")]["onset_to_film_days"] is None


def test_rows_of_a_workbook_are_counted_as_excel_shows_them(tmp_path: Path) -> None:
    folder = hospital(tmp_path)
    (folder / "subjects.csv").unlink()
    bad = [SUBJECT_CELLS[0], ["00123", "?", 78, DAY, None, DAY]]
    write_xlsx(folder / "subjects.xlsx", bad, first_row=3)
    with pytest.raises(SheetError, match=r"subjects\.xlsx: 1 problem.*\n  row 5, column sex: '\?' is not allowed"):
        sheets.subjects(folder, NAMES, SETTINGS)


def test_booleans_fractions_and_times_of_a_workbook(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "readers.xlsx", [[True, 0.55, datetime(2019, 4, 3, 12, 30), 1e12, "  ０１ "]])
    assert read_lines(tmp_path / "readers.xlsx") == [
        (1, ["true", "0.55", "2019-04-03 12:30:00", "1000000000000", "01"]),
    ]


def test_a_sheet_as_csv_and_as_excel_is_an_error_that_names_both(tmp_path: Path) -> None:
    folder = hospital(tmp_path)
    write_xlsx(folder / "subjects.xlsx", SUBJECT_CELLS)
    with pytest.raises(SheetError, match=r"subjects\.csv and subjects\.xlsx are both there; keep the one that counts"):
        sheets.subjects(folder, NAMES, SETTINGS)


def test_a_workbook_with_two_filled_worksheets_or_that_is_none_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "subjects.xlsx"
    with xlsxwriter.Workbook(path) as book:
        for name in ("2019", "2020"):
            book.add_worksheet(name).write(0, 0, "patient_id")
    with pytest.raises(SheetError, match="2 of its worksheets are filled; keep one in this file"):
        read_lines(path)
    path.write_bytes(b"not a workbook")
    with pytest.raises(SheetError, match=r"subjects\.xlsx.*\n  the workbook cannot be read \(CalamineError\)"):
        read_lines(path)


def test_an_unknown_encoding_says_what_to_do(tmp_path: Path) -> None:
    folder = hospital(tmp_path)
    sheet = folder / "subjects.csv"
    sheet.write_bytes(b"patient_id,\xff\xff\x80\n")
    with pytest.raises(SheetError, match="neither UTF-8, UTF-16 nor Shift-JIS; save it as 'CSV UTF-8'"):
        sheets.subjects(folder, NAMES, SETTINGS)


def test_an_unclosed_quotation_mark_does_not_swallow_the_rest_of_the_sheet(tmp_path: Path) -> None:
    text = SUBJECTS.replace("A-1,F", 'A-1,"F')
    with pytest.raises(SheetError, match="row 2: has a quotation mark that is not closed"):
        sheets.subjects(hospital(tmp_path, subjects=text), NAMES, SETTINGS)


def test_quoted_cells_may_hold_separators_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "readers.csv"
    path.write_bytes(b'a;"b;b";c\r\n1;"two\r\nlines";3\r\n')
    assert read_lines(path) == [(1, ["a", "b;b", "c"]), (2, ["1", "two\r\nlines", "3"])]
