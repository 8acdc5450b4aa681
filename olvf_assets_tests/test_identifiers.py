"""No name, number, date or free text of a patient leaves intake, wherever the hospital had put it."""

import pydicom
import pytest

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.intake.landing.institution_file import read_institution
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.intake.sheets import sheets
from olvf_assets_tests.planted_faults import NOT_STOPPED, STOPPED
from olvf_assets_tests.planted_hospital import IDENTIFIER, PATIENT_IDS, fields
from olvf_assets_tests.planted_intake import KEY, Intake


def test_every_field_of_the_hospital_holds_an_identifier(intake: Intake) -> None:
    folder = intake.data / "landing" / "clinic"
    assert len(list(fields())) > 1500
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in (".xlsx", ".toml") and path.name != "classes.txt":
            shown = str(path.relative_to(folder)).encode() + path.read_bytes()
            assert IDENTIFIER.search(shown), path
    film = pydicom.dcmread(next(folder.rglob("*.dcm")))
    assert IDENTIFIER.search(film.RequestAttributesSequence[0].RequestAttributesSequence[0].PatientComments.encode())


def test_films_sheets_and_boxes_came_through(intake: Intake) -> None:
    of_clinic = {"institution": "clinic"}
    assert intake.table("films").filter(**of_clinic).height == 3
    assert intake.table("subjects").filter(**of_clinic).height == 3
    assert set(intake.table("reader_labels")["institution"]) == {"clinic", *NOT_STOPPED}
    assert set(intake.table("reader_boxes").filter(**of_clinic)["box_format"]) == {"yolo", "voc", "coco"}
    assert sorted(intake.table("quarantine").filter(**of_clinic)["reason"]) == [
        "box_without_film", "colour", "not_dicom", "not_lateral", "not_radiograph", "not_spine",
    ]  # fmt: skip


def test_the_bad_sheet_stopped_its_hospital_with_row_column_and_value(intake: Intake) -> None:
    said = intake.said.decode()
    assert "bad_sheet is left out of this run" in said
    assert "column label: 'frehs' is not allowed; write one of normal, old, fresh" in said
    assert "column pathological: 'no ******' is not allowed; write one of 0, 1" in said


@pytest.mark.parametrize("institution", STOPPED)
def test_each_fault_stops_its_hospital_and_is_named_without_what_the_file_says(
    intake: Intake, institution: str
) -> None:
    assert f"{institution} is left out of this run" in intake.said.decode()
    folder, names = intake.data / "landing" / institution, Pseudonymiser(institution, KEY.encode())
    with pytest.raises(OlvfError) as caught:
        (read_institution(folder), sheets.subjects(folder, names, IntakeSettings()))
    assert STOPPED[institution][1] in str(caught.value)
    assert not IDENTIFIER.search(str(caught.value).encode())


def test_no_identifier_is_in_anything_that_intake_leaves_behind(intake: Intake) -> None:
    found = {name: match.group() for name, text in intake.left_behind() if (match := IDENTIFIER.search(text))}
    assert found == {}


def test_no_date_of_a_patient_is_in_a_table(intake: Intake) -> None:
    names = [path.stem for path in (intake.data / "lake" / "tables").glob("*.delta")]
    text = "\n".join(intake.table(name).write_ndjson() for name in names)
    assert len(intake.dates) >= 2 * len(PATIENT_IDS)
    assert [day for day in intake.dates if day in text] == []


def test_shifted_dates_stand_in_headers_and_subjects(intake: Intake) -> None:
    both = intake.table("films").join(intake.table("subjects"), on=["institution", "patient_id"], suffix="_sheet")
    assert both["film_date_sheet"].null_count() == 0
    assert both.filter(institution="clinic")["film_date"].n_unique() == 3  # one planted day, three shifts
