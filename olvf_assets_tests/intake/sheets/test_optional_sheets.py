"""Hospitals that do not hand over every sheet: what is missing takes away only what needs it."""

from pathlib import Path

import pytest

from olvf_assets.intake.headers.headers import dicom_headers as read_headers
from olvf_assets.intake.sheets import sheets
from olvf_assets.intake.sheets.enrolled import nearly_enrolled, refuse_strangers
from olvf_assets.intake.sheets.problems import SheetError
from olvf_assets.intake.tables import FILM_CONDITIONS, READER_LABELS, SUBJECTS
from olvf_assets_tests.intake.samples import CONDITIONS, NAMES, READERS, SETTINGS, headers, hospital, manifest

A1, A2 = NAMES.patient("A-1"), NAMES.patient("A-2")


def without(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / f"{name}.csv").unlink()
    return folder


def test_each_sheet_may_be_missing_and_its_table_then_has_no_row(tmp_path: Path) -> None:
    folder = without(hospital(tmp_path), "subjects", "readers", "conditions")
    assert sheets.subjects(folder, NAMES, SETTINGS).equals(SUBJECTS.to_frame())
    assert sheets.reader_labels(folder, NAMES, SETTINGS).equals(READER_LABELS.to_frame())
    assert sheets.film_conditions(folder, NAMES, SETTINGS).equals(FILM_CONDITIONS.to_frame())


@pytest.mark.parametrize("text", [READERS.split("\n")[0] + "\n", "patient_id,reader,L1,L2,L3,L4,L5\n"])
def test_a_sheet_of_headings_alone_says_nothing_of_anybody(tmp_path: Path, text: str) -> None:
    assert sheets.reader_labels(hospital(tmp_path, readers=text), NAMES, SETTINGS).height == 0


def test_a_patient_whom_nobody_read_yet_stops_nothing(tmp_path: Path) -> None:
    text = "".join(line for line in READERS.splitlines(keepends=True) if not line.startswith("A-2"))
    table = sheets.reader_labels(hospital(tmp_path, readers=text), NAMES, SETTINGS)
    assert table["patient_id"].unique().to_list() == [A1]
    assert table.height == 10


def test_labels_need_no_sheet_of_subjects(tmp_path: Path) -> None:
    folder = without(hospital(tmp_path), "subjects")
    assert set(sheets.reader_labels(folder, NAMES, SETTINGS)["patient_id"]) == {A1, A2}
    assert sheets.film_conditions(folder, NAMES, SETTINGS)["patient_id"].to_list() == [A2]
    # A-2's film may still be on its way: that is counted, see SQL model exclusion_no_film
    refuse_strangers(folder, NAMES, {A1})


def test_films_of_anybody_are_taken_in_where_there_is_no_sheet_of_subjects(tmp_path: Path) -> None:
    folder = without(hospital(tmp_path), "subjects", "readers", "conditions")
    found = read_headers(folder, manifest(folder), None, NAMES, SETTINGS)
    assert found["refusal"].null_count() == 2
    only_a1 = read_headers(folder, manifest(folder), {A1}, NAMES, SETTINGS)
    assert only_a1.filter(patient_id=A2)["refusal"].to_list() == ["unknown_patient"]
    assert headers(folder)["refusal"].null_count() == 2


@pytest.mark.parametrize(("in_sheet", "of_film"), [("4711", "0004711"), ("4711.0", "0004711"), ("ab-7", "AB-7")])
def test_ids_that_a_spreadsheet_changed_get_the_hint_without_a_sheet_of_subjects_too(
    tmp_path: Path, in_sheet: str, of_film: str
) -> None:
    folder = without(hospital(tmp_path, readers=READERS.replace("A-1", in_sheet)), "subjects")
    with pytest.raises(
        SheetError, match=r"readers\.csv.*\n.*row 2, column patient_id.*is in the films with other"
    ) as caught:
        refuse_strangers(folder, NAMES, {NAMES.patient(of_film), A2})
    assert "4711" not in str(caught.value).replace(NAMES.patient(in_sheet), "")
    (folder / "readers.csv").unlink()
    (folder / "conditions.csv").write_text(CONDITIONS.replace("A-2", in_sheet))
    with pytest.raises(SheetError, match=r"conditions\.csv.*\n.*is in the films with other leading zeros"):
        refuse_strangers(folder, NAMES, {NAMES.patient(of_film), A2})


def test_a_sheet_that_speaks_of_other_patients_than_the_films_stops_its_hospital(tmp_path: Path) -> None:
    folder = hospital(tmp_path)
    stranger = {NAMES.patient("B-1")}
    refuse_strangers(folder, NAMES, stranger)  # who takes part the sheet subjects says
    (folder / "subjects.csv").unlink()
    with pytest.raises(SheetError, match="none of the 2 patients of this sheet has a film"):
        refuse_strangers(folder, NAMES, stranger)
    refuse_strangers(folder, NAMES, set())  # no film can be read: that is said elsewhere
    (folder / "readers.csv").unlink()
    refuse_strangers(folder, NAMES, stranger)  # a single condition is soon of a film that is still to come


@pytest.mark.parametrize("name", ["reader.csv", "Readers (1).csv", "2024_readers.xlsx", "Reader 1.txt"])
def test_a_file_that_is_nearly_called_like_a_missing_sheet_is_not_passed_over(tmp_path: Path, name: str) -> None:
    folder = hospital(tmp_path)
    (folder / "readers.csv").rename(folder / name)
    with pytest.raises(
        SheetError, match=r"has nearly the name of the sheet readers, which is missing; call it readers"
    ):
        sheets.reader_labels(folder, NAMES, SETTINGS)
    (folder / "readers.csv").write_text(READERS)
    assert sheets.reader_labels(folder, NAMES, SETTINGS).height == 20


def test_a_sheet_that_is_there_and_faulty_still_stops_its_hospital(tmp_path: Path) -> None:
    folder = without(
        hospital(tmp_path, readers=READERS.replace("old", "odl", 1), conditions=CONDITIONS + "A-1,L9,,x,y,\n")
    )
    with pytest.raises(SheetError, match="row 2, column label"):
        sheets.reader_labels(folder, NAMES, SETTINGS)
    with pytest.raises(SheetError, match="row 3, column level"):
        sheets.film_conditions(folder, NAMES, SETTINGS)
    (folder / "subjects.csv").write_text("patient_id,sex,age_years,film_date,onset_date,mri_date\n")
    with pytest.raises(SheetError, match="the sheet names no patient"):
        sheets.subjects(folder, NAMES, SETTINGS)
    assert nearly_enrolled(folder, NAMES) == set()
