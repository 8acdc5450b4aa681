from pathlib import Path
from typing import Any

import polars as pl
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from olvf_assets.intake.headers import reading as header_reading
from olvf_assets.intake.headers.dicom_files import DicomFile, read_dicom
from olvf_assets.intake.headers.headers import NoKnownPatientError, dicom_headers, require_a_known_patient
from olvf_assets.intake.headers.known import KnownHeaders
from olvf_assets.intake.headers.reading import read_header
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.intake.sheets.enrolled import nearly_enrolled
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets_tests.intake.samples import (
    NAMES,
    SETTINGS,
    content_of,
    film,
    headers,
    hospital,
    manifest,
    packed,
    read_in_this_process,
    write,
)


def refusal_of(tmp_path: Path, dataset: Dataset) -> tuple[Any, Any]:
    row = read_header(write(dataset, tmp_path / "film.dcm"), NAMES, SETTINGS)
    return row["refusal"], row["refusal_detail"]


def test_a_good_film_gives_geometry_and_pseudonyms(tmp_path: Path) -> None:
    row = headers(hospital(tmp_path)).row(0, named=True)
    assert row["refusal"] is None
    assert (row["rows"], row["columns"], row["pixel_mm"], row["bits_stored"]) == (40, 30, 0.15, 14)
    assert (row["photometric"], row["kvp"], row["sid_mm"], row["detector"]) == ("MONOCHROME2", 85, 1100, "CALNEO MT")
    assert row["patient_id"] == NAMES.patient("A-1")
    assert row["film_id"] == NAMES.film(film("one").SOPInstanceUID)
    assert row["view"] == "neutral"


def test_nothing_that_names_the_patient_is_in_the_table(tmp_path: Path) -> None:
    text = headers(hospital(tmp_path)).write_csv()
    for identifier in ("A-1", "Yamada", "Taro", "1941", "2019-04-03", "20190403", "ACC9", film("one").SOPInstanceUID):
        assert identifier not in text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Modality": "CT"}, "not_radiograph"),
        ({"Modality": "SR", "Rows": None}, "not_radiograph"),
        ({"ViewPosition": "AP"}, "not_lateral"),
        ({"ViewPosition": None, "PatientOrientation": ["L", "F"]}, "not_lateral"),
        ({"ViewPosition": None, "SeriesDescription": "L-SPINE AP"}, "not_lateral"),
        ({"ViewPosition": None, "SeriesDescription": "腰椎 正面", "SpecificCharacterSet": "ISO_IR 192"}, "not_lateral"),
        ({"BodyPartExamined": "CHEST"}, "not_spine"),
        ({"BodyPartExamined": "CSPINE"}, "not_spine"),
        ({"NumberOfFrames": 2}, "multi_frame"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "colour"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour"),
        ({"ImagerPixelSpacing": None}, "no_pixel_spacing"),
        ({"ImagerPixelSpacing": [0, 0]}, "no_pixel_spacing"),
        ({"ImagerPixelSpacing": [5, 5]}, "no_pixel_spacing"),
        ({"ImagerPixelSpacing": [0.15, 0.2]}, "non_square_pixels"),
        ({"PatientID": ""}, "missing_patient_id"),
        ({"BitsStored": None}, "bad_header"),
        ({"BitsAllocated": 32}, "bad_header"),
        ({"BitsAllocated": 8}, "bad_header"),
        ({"HighBit": 15}, "bad_header"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "for_processing"),
        ({"ImagerPixelSpacing": [0.15, 0.15], "PixelSpacing": [0.3, 0.3]}, "contradictory_spacing"),
        ({"Rows": None}, "bad_header"),
        ({"BurnedInAnnotation": "YES"}, "burned_in_annotation"),
        ({"SOPInstanceUID": None}, "no_instance_uid"),
    ],
)
def test_a_film_that_cannot_be_used_is_refused_with_its_reason(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    dataset = film(**changes)
    if reason == "no_instance_uid":
        dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    refusal, detail = refusal_of(tmp_path, dataset)
    assert refusal == reason
    assert detail


def test_a_picture_too_small_to_hold_a_spine_is_refused(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"min_side_mm": 100.0})
    row = read_header(write(film(), tmp_path / "film.dcm"), NAMES, settings)
    assert (row["refusal"], row["refusal_detail"]) == ("too_small", "the shorter side is 4 mm; at least 100")


@pytest.mark.parametrize(
    "changes",
    [
        {"ViewPosition": "RL"},
        {"ViewPosition": None, "PatientOrientation": ["P", "F"]},
        {"ViewPosition": None, "SeriesDescription": "L-Spine Lateral"},
        {"ViewPosition": None, "SeriesDescription": "L-Spine Lat_Flexion"},
        {"BodyPartExamined": "L SPINE"},
        {"BodyPartExamined": None},
        {"Modality": "CR"},
        {"ImagerPixelSpacing": None, "PixelSpacing": [0.15, 0.15]},
    ],
)
def test_lateral_lumbar_films_are_accepted_however_they_say_it(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert refusal_of(tmp_path, film(**changes)) == (None, None)


def test_a_view_code_is_believed_when_there_is_no_view_position(tmp_path: Path) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "399067008", "SCT", "lateral projection"
    assert refusal_of(tmp_path, film(ViewPosition=None, ViewCodeSequence=[code])) == (None, None)
    code.CodeValue, code.CodeMeaning = "399348003", "antero-posterior projection"
    assert refusal_of(tmp_path, film(ViewPosition=None, ViewCodeSequence=[code]))[0] == "not_lateral"


@pytest.mark.parametrize(
    ("changes", "view"),
    [
        ({"SeriesDescription": "L-SPINE LAT"}, "neutral"),
        ({"SeriesDescription": "L-SPINE LAT FLEXION"}, "flexion"),
        ({"ProtocolName": "lumbar flex"}, "flexion"),
        ({"SeriesDescription": "L-SPINE LAT EXT"}, "extension"),
        ({"SeriesDescription": "Extension"}, "extension"),
        ({"SeriesDescription": "LOWER EXTREMITY TABLE"}, "neutral"),
        ({"BodyPartExamined": "TSPINE"}, "thoracic"),
        ({"BodyPartExamined": None, "SeriesDescription": "T-SPINE LAT"}, "thoracic"),
        ({"BodyPartExamined": "TLSPINE"}, "neutral"),
    ],
)
def test_the_view_follows_the_words_of_the_header(tmp_path: Path, changes: dict[str, Any], view: str) -> None:
    row = read_header(write(film(**changes), tmp_path / "film.dcm"), NAMES, SETTINGS)
    assert (row["refusal"], row["view"]) == (None, view)


def test_text_named_dcm_and_an_empty_file_are_not_dicom_and_the_others_go_on(tmp_path: Path) -> None:
    folder = hospital(tmp_path, {"good.dcm": film(), "notes.dcm": b"see you on Monday", "empty": b""})
    table = headers(folder)
    assert dict(table.select("path", "refusal").iter_rows()) == {
        "films/empty": "not_dicom", "films/good.dcm": None, "films/notes.dcm": "not_dicom",
    }  # fmt: skip


@pytest.mark.parametrize("kept", [-1, -2000, 600, 400])
def test_a_truncated_film_is_found_without_reading_its_pixels(tmp_path: Path, kept: int) -> None:
    folder = hospital(tmp_path, {"good.dcm": film(), "cut.dcm": content_of(film("cut"))[:kept]})
    table = headers(folder)
    assert table["refusal"].to_list() == ["truncated", None]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_uncompressed_syntaxes_are_measured_correctly(tmp_path: Path, syntax: pydicom.uid.UID) -> None:
    dataset = film()
    dataset.file_meta.TransferSyntaxUID = syntax
    content = content_of(dataset)
    (tmp_path / "whole.dcm").write_bytes(content)
    (tmp_path / "cut.dcm").write_bytes(content[:-1])
    assert read_header(tmp_path / "whole.dcm", NAMES, SETTINGS)["refusal"] is None
    assert read_header(tmp_path / "cut.dcm", NAMES, SETTINGS)["refusal"] == "truncated"


def test_a_syntax_without_decoder_is_refused_by_name(tmp_path: Path) -> None:
    dataset = film()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
    dataset.PixelData = pydicom.encaps.encapsulate([b"1234"])
    dataset["PixelData"].is_undefined_length = True
    refusal, detail = refusal_of(tmp_path, dataset)
    assert refusal == "unsupported_transfer_syntax"
    assert "MPEG2" in detail


@pytest.mark.parametrize(
    ("in_film", "in_sheet"),
    [("0004711", "4711"), ("4711", "0004711"), ("0004711", "4711.0"), ("AB-7", "ab-7"), ("0004711", "４７１１")],
)
def test_a_patient_who_lost_leading_zeros_on_the_way_is_refused_with_that_hint(
    tmp_path: Path, in_film: str, in_sheet: str
) -> None:
    sheet = f"patient_id,sex,age_years,film_date,onset_date,mri_date\n{in_sheet},F,78,2019-04-03,2019-03-22,\n"
    folder = hospital(tmp_path, {"x.dcm": film("x", in_film)}, subjects=sheet)
    near = nearly_enrolled(folder, NAMES)
    found = dicom_headers(
        folder, manifest(folder), {NAMES.patient(in_sheet)}, NAMES, SETTINGS, near_patients=lambda: near
    )
    assert found["refusal"].to_list() == ["unknown_patient"]
    assert "other leading zeros" in found["refusal_detail"].item()
    assert "4711" not in found["refusal_detail"].item()
    with pytest.raises(NoKnownPatientError, match=r"none of 1 usable films.*other leading zeros"):
        require_a_known_patient(found)


def test_a_hospital_is_taken_in_when_one_patient_is_known_or_no_film_is_usable(tmp_path: Path) -> None:
    require_a_known_patient(headers(hospital(tmp_path / "a", {"x.dcm": film("x", "B-77"), "one.dcm": film("one")})))
    require_a_known_patient(headers(hospital(tmp_path / "b", {"x.dcm": b"no film"})))


def test_a_patient_who_is_not_in_the_subjects_sheet_is_refused_by_pseudonym(tmp_path: Path) -> None:
    table = headers(hospital(tmp_path, {"stranger.dcm": film("x", "B-77")}))
    assert table["refusal"].to_list() == ["unknown_patient"]
    assert "B-77" not in table["refusal_detail"].item()
    assert NAMES.patient("B-77") in table["refusal_detail"].item()


def test_the_second_file_of_one_instance_is_a_duplicate(tmp_path: Path) -> None:
    again = film("one", KVP=90)
    table = headers(hospital(tmp_path, {"a.dcm": film("one"), "b.dcm": film("one"), "c.dcm": again}))
    assert table["refusal"].to_list() == [None, "duplicate", "duplicate"]
    assert table["refusal_detail"].to_list()[1:] == [
        "the same file as films/a.dcm", "the same SOP instance in other bytes as films/a.dcm",
    ]  # fmt: skip


def test_a_refused_file_does_not_make_a_good_one_a_duplicate(tmp_path: Path) -> None:
    table = headers(hospital(tmp_path, {"a.dcm": film("one", ViewPosition="AP"), "b.dcm": film("one")}))
    assert table["refusal"].to_list() == ["not_lateral", None]


def test_implausible_exposure_values_become_null_instead_of_stopping_the_film(tmp_path: Path) -> None:
    row = read_header(write(film(KVP=0, DistanceSourceToDetector=None), tmp_path / "a.dcm"), NAMES, SETTINGS)
    assert (row["refusal"], row["kvp"], row["sid_mm"]) == (None, None, None)


def test_a_header_that_is_silent_about_the_view_leaves_it_to_the_picture(tmp_path: Path) -> None:
    row = read_header(write(film(ViewPosition=None, BodyPartExamined=None), tmp_path / "a.dcm"), NAMES, SETTINGS)
    assert (row["refusal"], row["view"], row["view_source"], row["body_part"], row["bending"]) == (
        None, None, None, None, "unknown",
    )  # fmt: skip


def test_the_view_comes_with_its_source_and_evidence(tmp_path: Path) -> None:
    row = read_header(write(film(SeriesDescription="L-SPINE LAT FLEXION"), tmp_path / "a.dcm"), NAMES, SETTINGS)
    assert (row["view"], row["view_source"], row["body_part"], row["body_part_source"]) == (
        "flexion", "header", "lumbar", "header",
    )  # fmt: skip
    assert row["view_evidence"] == "ViewPosition LL, description reads as lateral"
    assert row["body_part_evidence"] == "BodyPartExamined LSPINE, description reads as lumbar spine"


def test_films_in_an_archive_are_taken_in_as_if_unpacked(tmp_path: Path) -> None:
    archive = packed(
        {"0001/IM0001": film("one"), "0002/IM0001": film("two", "A-2"), "DICOMDIR": b"no", "a.zip": packed({})}
    )
    folder = hospital(tmp_path, {"export.zip": archive, "same.dcm": film("one")})
    before = sorted(path.name for path in folder.rglob("*"))
    table = headers(folder)
    assert dict(table.select("path", "refusal").iter_rows()) == {
        "films/export.zip/0001/IM0001": None, "films/export.zip/0002/IM0001": None,
        "films/export.zip/DICOMDIR": "not_dicom", "films/export.zip/a.zip": "archive_not_opened",
        "films/same.dcm": "duplicate",
    }  # fmt: skip
    assert table["sha256"][0] == table["sha256"][4]
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_an_archive_or_the_one_member_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    whole = packed({"one": film("one"), "two": film("two", "A-2")})
    damaged = whole[:400] + bytes(each ^ 255 for each in whole[400:420]) + whole[420:]  # within the first member
    bad = {"a.zip": whole[:-40], "b.zip": packed({"../one": b"1"}), "c.zip": b"", "d.zip": packed({}), "e.zip": damaged,
           "f": packed({"one": b"1"})}  # fmt: skip
    table = headers(hospital(tmp_path, {**bad, "good.dcm": film()}))
    assert dict(table.select(pl.col("path").str.strip_prefix("films/"), "refusal").iter_rows()) == {
        "a.zip": "broken_archive", "b.zip": "unsafe_archive", "c.zip": "broken_archive", "d.zip": "archive_not_opened",
        "e.zip/one": "damaged_member", "e.zip/two": None, "f": "archive_not_opened", "good.dcm": None,
    }  # fmt: skip


def test_a_dicomdir_and_a_data_set_without_file_header_are_named_for_what_they_are(tmp_path: Path) -> None:
    listing = pydicom.data.get_testdata_file("DICOMDIR", download=False)
    assert isinstance(listing, str)
    bare = content_of(film())
    bare = bare[bare.index(b"\x08\x00\x16\x00UI") :]
    folder = hospital(tmp_path, {"DICOMDIR": Path(listing).read_bytes(), "bare": bare, "IM0001": film()})
    assert headers(folder)["refusal"].to_list() == ["dicomdir", None, "no_file_header"]


class Reader:
    """Counts the headers that are parsed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.read = 0, read_dicom
        monkeypatch.setattr(header_reading, "read_dicom", self)
        read_in_this_process(monkeypatch)

    def __call__(self, *arguments: Any, **options: Any) -> DicomFile:
        self.count += 1
        return self.read(*arguments, **options)

    def since_last_asked(self) -> int:
        count, self.count = self.count, 0
        return count


def test_ten_new_films_cost_ten_headers_and_none_cost_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = hospital(tmp_path, {f"{number}.dcm": film(str(number)) for number in range(5)} | {"text": b"no"})
    known = KnownHeaders(ArtifactStore(tmp_path / "lake"), NAMES, SETTINGS)
    reader = Reader(monkeypatch)
    first = headers(folder, known=known)
    assert reader.since_last_asked() == 6
    assert headers(folder, known=known).equals(first)
    assert reader.since_last_asked() == 0
    for number in range(10, 20):
        write(film(str(number)), folder / "films" / f"{number}.dcm")
    (folder / "films" / "0.dcm").rename(folder / "films" / "moved.dcm")
    again = headers(folder, known=known)
    assert reader.since_last_asked() == 10
    assert again.equals(headers(folder))


def test_other_settings_another_key_and_refusals_of_the_moment_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsupported = film("x")
    unsupported.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
    unsupported.PixelData = pydicom.encaps.encapsulate([b"1234"])
    unsupported["PixelData"].is_undefined_length = True
    folder = hospital(tmp_path, {"one.dcm": film("one"), "x.dcm": unsupported})
    store = ArtifactStore(tmp_path / "lake")
    headers(folder, known=KnownHeaders(store, NAMES, SETTINGS))
    reader = Reader(monkeypatch)
    headers(folder, known=KnownHeaders(store, NAMES, SETTINGS))
    assert reader.since_last_asked() == 1
    wider = SETTINGS.model_copy(update={"kvp_range": (1.0, 2.0)})
    assert headers(folder, settings=wider, known=KnownHeaders(store, NAMES, wider))["kvp"].to_list() == [None, None]
    other = Pseudonymiser("institution_1", b"another key of some length", synthetic=True)
    assert headers(folder, other, known=KnownHeaders(store, other, SETTINGS))["patient_id"][0] == other.patient("A-1")
    assert reader.since_last_asked() == 4
