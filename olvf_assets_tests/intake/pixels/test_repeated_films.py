"""One film under two names, or two films under one: nobody is preferred because of the path he lies under."""

from pathlib import Path

import numpy as np
import polars as pl
from pydicom.uid import RLELossless

from olvf_assets.intake.headers.headers import dicom_headers
from olvf_assets_tests.intake.samples import NAMES, SETTINGS, film, headers, hospital, manifest, pixels


def refusals(table: pl.DataFrame) -> dict[str, str | None]:
    return {Path(path).stem: refusal for path, refusal in table.select("path", "refusal").iter_rows()}


def test_one_instance_under_two_patients_is_refused_under_both(tmp_path: Path) -> None:
    old, corrected = film("one", "A-1"), film("one", "A-2")
    table = headers(hospital(tmp_path, {"a.dcm": old, "b.dcm": corrected, "c.dcm": film("three")}))
    assert refusals(table) == {"a": "several_patients", "b": "several_patients", "c": None}
    assert table["refusal_detail"].drop_nulls().n_unique() == 1
    assert NAMES.patient("A-1") in table["refusal_detail"][0]
    assert "A-1" not in table["refusal_detail"][0].replace(NAMES.patient("A-1"), "")


def test_a_third_copy_and_a_patient_whom_no_sheet_knows_count_too(tmp_path: Path) -> None:
    films = {"a.dcm": film("one", "A-1"), "b.dcm": film("one", "A-1"), "c.dcm": film("one", "B-77")}
    assert set(refusals(headers(hospital(tmp_path, films))).values()) == {"several_patients"}


def test_a_file_that_is_refused_itself_still_says_that_the_patient_is_in_doubt(tmp_path: Path) -> None:
    films = {"a.dcm": film("one", "A-1"), "b.dcm": film("one", "A-2", ViewPosition="AP")}
    assert refusals(headers(hospital(tmp_path, films))) == {"a": "several_patients", "b": "not_lateral"}


def test_one_picture_under_two_instances_and_two_patients_is_refused_under_both(tmp_path: Path) -> None:
    again = film("one", "A-2", SOPInstanceUID="1.2.3.999")
    table = pixels(hospital(tmp_path, {"a.dcm": film("one", "A-1"), "b.dcm": again}), tmp_path)
    assert refusals(table) == {"a": "several_patients", "b": "several_patients"}
    assert table["image_path"].null_count() == 2


def test_the_same_exposure_with_another_window_and_syntax_is_known_again(tmp_path: Path) -> None:
    again = film("one", "A-2", SOPInstanceUID="1.2.3.999", WindowCenter=7000, WindowWidth=9000)
    again.compress(RLELossless, generate_instance_uid=False)
    table = pixels(hospital(tmp_path, {"a.dcm": film("one", "A-1"), "b.dcm": again}), tmp_path)
    assert refusals(table) == {"a": "several_patients", "b": "several_patients"}


def test_versions_of_one_instance_that_differ_in_what_the_study_uses_are_all_refused(tmp_path: Path) -> None:
    corrected = film("one", StudyDate="20200101")
    table = headers(hospital(tmp_path, {"a.dcm": film("one"), "b.dcm": corrected, "c.dcm": film("three")}))
    assert refusals(table) == {"a": "several_versions", "b": "several_versions", "c": None}
    spaced = film("one", ImagerPixelSpacing=[0.2, 0.2])
    table = headers(hospital(tmp_path / "other", {"a.dcm": film("one"), "b.dcm": spaced}))
    assert refusals(table) == {"a": "several_versions", "b": "several_versions"}


def test_versions_of_one_instance_with_other_pixels_are_all_refused(tmp_path: Path) -> None:
    turned = film("one", PixelData=np.flip(film("one").pixel_array, 1).tobytes())
    folder = hospital(tmp_path, {"a.dcm": film("one"), "b.dcm": turned})
    assert refusals(headers(folder)) == {"a": None, "b": "duplicate"}
    assert refusals(pixels(folder, tmp_path)) == {"a": "several_versions"}


def test_a_compressed_version_with_equal_pixels_is_a_duplicate(tmp_path: Path) -> None:
    packed = film("one")
    packed.compress(RLELossless, generate_instance_uid=False)
    folder = hospital(tmp_path, {"a.dcm": film("one"), "b.dcm": packed})
    assert refusals(headers(folder)) == {"a": None, "b": "duplicate"}
    assert refusals(pixels(folder, tmp_path)) == {"a": None}


def test_one_film_in_two_hospitals_is_a_film_of_each(tmp_path: Path) -> None:
    folder = hospital(tmp_path)
    here = headers(folder)
    other = type(NAMES)("institution_2", NAMES.key, synthetic=True)
    patients = {other.patient("A-1"), other.patient("A-2")}
    there = dicom_headers(folder, manifest(folder, other), patients, other, SETTINGS)
    assert there["refusal"].to_list() == [None, None]
    assert here["film_id"].equals(there["film_id"])
    assert not set(here["patient_id"]) & set(there["patient_id"])
