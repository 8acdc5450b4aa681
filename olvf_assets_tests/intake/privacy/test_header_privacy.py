from datetime import date

import pytest
from pydicom import Dataset

from olvf_assets.intake.privacy.header_privacy import detector_name, film_date, shown_code
from olvf_assets.intake.settings import DETECTOR_WORDS
from olvf_assets_tests.intake.samples import NAMES, film


@pytest.mark.parametrize(
    ("changes", "day"),
    [
        ({}, date(2019, 4, 3)),
        ({"AcquisitionDate": "20190405", "ContentDate": "20190404"}, date(2019, 4, 5)),
        ({"AcquisitionDate": "", "ContentDate": "20190404"}, date(2019, 4, 4)),
        ({"StudyDate": None, "SeriesDate": "20190402"}, date(2019, 4, 2)),
    ],
)
def test_the_film_s_day_is_the_image_s_before_the_study_s_and_moves_as_the_patient_s_dates(
    changes: dict[str, str | None], day: date
) -> None:
    assert film_date(film(**changes), NAMES) == NAMES.shifted("A-1", day)


@pytest.mark.parametrize("changes", [{"StudyDate": None}, {"StudyDate": "00010101"}, {"PatientID": ""}])
def test_without_a_day_or_a_patient_there_is_none(changes: dict[str, str | None]) -> None:
    assert film_date(film(**changes), NAMES) is None


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("CALNEO Smart C77", "CALNEO Smart C77"),
        ("CALNEO C 1717", "CALNEO C 1717"),
        ("DR-ID 1200", "DR-ID 1200"),
        ("AeroDR P-31", "AeroDR P-31"),
        ("CALNEO Yamada", "unlisted"),
        ("山田", "unlisted"),
        ("CALNEO 4711007", "unlisted"),
        ("CXDI-401C Wireless", "CXDI-401C Wireless"),
        ("DX-D 300", "DX-D 300"),
        ("DRX-1", "DRX-1"),
        ("CXDI 1945-03-04", "unlisted"),
        ("CXDI 4 3 45", "unlisted"),
        ("CXDI 1945", "unlisted"),
        ("Y A M A D A  H A N A K O", "unlisted"),
        ("C", "unlisted"),
        ("CALNEO C", "unlisted"),
        ("CALNEO C77 090-1234-5678", "unlisted"),
        ("CALNEO ＳＭＡＲＴ 山", "unlisted"),
        ("---", "unlisted"),
    ],
)
def test_a_detector_is_named_by_words_of_detectors_only(model: str, shown: str) -> None:
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.ManufacturerModelName = model
    assert detector_name(header, DETECTOR_WORDS) == shown


def test_a_header_without_a_model_names_no_detector() -> None:
    assert detector_name(Dataset(), DETECTOR_WORDS) is None


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("CT", "CT"),
        ("PALETTE COLOR", "PALETTECOLOR"),
        ("c-spine", "CSPINE"),
        ("YAMADA", "a term that DICOM does not define"),
        ("小林", "a term that DICOM does not define"),
        ("", "empty"),
    ],
)
def test_coded_values_are_shown_only_when_dicom_defines_them(code: str, shown: str) -> None:
    assert shown_code(code) == shown
