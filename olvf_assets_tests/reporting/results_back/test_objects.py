"""Reports and pictures, read back by highdicom and pydicom, against the tables and the films."""

import re
import zipfile
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ImplicitVRLittleEndian

from olvf_assets.reporting.results_back.equipment import RESEARCH_ONLY
from olvf_assets.reporting.results_back.structured_report import CLASS, CONFIDENCE, PROBABILITIES, SITES
from olvf_assets_tests.intake.samples import COLUMNS, ROWS
from olvf_assets_tests.reporting.results_back.answered import (
    BOXES,
    CLASSIFIERS,
    DETECTOR,
    LEVELS,
    NAMES,
    Answered,
    P,
    named,
)

PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyDate", "StudyTime",
           "StudyID", "ReferringPhysicianName", "StudyInstanceUID", "StudyDescription",
           "SpecificCharacterSet")  # fmt: skip


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Answered:
    made = Answered(tmp_path_factory.mktemp("answered"))
    outcome = made.write()
    assert (dict(outcome.counts), outcome.refused) == ({"new": 3}, [])
    return made


def values(group: Any) -> dict[str, float]:
    return {each.name.value: each.value for each in group.get_measurements()}


def evaluations(group: Any) -> dict[str, str]:
    """Return what a group says in codes; highdicom counts the algorithm's family among these."""
    found = {each.name.meaning: each.value.meaning for each in group.get_qualitative_evaluations()}
    assert found.pop("Algorithm Family") == "Artificial Intelligence"
    return found


def test_the_report_says_of_each_vertebra_what_the_tables_say(answered: Answered) -> None:
    report = hd.sr.srread(answered.file("one", "sr"))
    about_film, *groups = report.content.get_planar_roi_measurement_groups()
    width, height = answered.films["one"].Columns, answered.films["one"].Rows
    assert about_film.roi.value.tolist() == [[0, 0], [width, 0], [width, height], [0, height], [0, 0]]
    assert [group.tracking_identifier for group in groups] == list(LEVELS)
    for group, level in zip(groups, LEVELS, strict=True):
        x0, y0, x1, y1 = BOXES[level]
        assert [site.value for site in group.finding_sites] == [SITES[level]]
        corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
        assert group.roi.value.tolist() == corners
        found = values(group)
        assert found.pop(CONFIDENCE.value) == 0.5
        if level in P:
            said = dict(zip(("normal", "old", "fresh"), P[level], strict=True))
            assert {name: found[code.value] for name, code in PROBABILITIES.items()} == said
            assert found[codes.DCM.Probability.value] == max(P[level])
        else:
            assert found == {}
    judged = [evaluations(group)[CLASS.meaning] for group in groups]
    assert judged == ["Normal", "Fresh osteoporotic fracture", "Not classified"]


def test_the_report_names_the_film_the_picture_the_weights_and_the_use(answered: Answered) -> None:
    report = pydicom.dcmread(answered.file("one", "sr"))
    evidence = [*report.CurrentRequestedProcedureEvidenceSequence, *report.get("PertinentOtherEvidenceSequence", [])]
    used = {item.ReferencedSOPInstanceUID for study in evidence for series in study.ReferencedSeriesSequence
            for item in series.ReferencedSOPSequence}  # fmt: skip
    picture = pydicom.dcmread(answered.file("one", "sc"))
    assert used == {answered.films["one"].SOPInstanceUID, picture.SOPInstanceUID}
    text = report.to_json()
    assert f"weights sha256 {CLASSIFIERS}" in text
    assert f"box found by weights sha256 {DETECTOR}" in text
    assert re.search(r"OLVF \d+\.\d+\.\d+, code of scoring [0-9a-f]{64}", text)
    assert re.search(r"torch \d+\.\d+", text)
    assert RESEARCH_ONLY in report.SeriesDescription
    group, *_ = hd.sr.srread(answered.file("one", "sr")).content.get_planar_roi_measurement_groups()
    assert evaluations(group) == {
        "Intended use": RESEARCH_ONLY, "Whether the lumbar levels could be told": "Levels told",
    }  # fmt: skip
    assert (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag) == (
        "COMPLETE", "UNVERIFIED", "PRELIMINARY",
    )  # fmt: skip


@pytest.mark.parametrize(("name", "said"), [("two", "another naming"), ("three", "no vertebra was found")])
def test_a_film_without_told_levels_has_a_report_that_says_so_and_no_picture(
    answered: Answered, name: str, said: str
) -> None:
    content = hd.sr.srread(answered.file(name, "sr")).content
    assert content.get_image_measurement_groups() == []  # without a region, which OHIF cannot open
    (group,) = content.get_planar_roi_measurement_groups()
    assert said in evaluations(group)["Whether the lumbar levels could be told"]
    assert group.tracking_identifier == "film"
    assert (
        group.roi.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        == answered.films[name].SOPInstanceUID
    )
    assert list(answered.out.glob(f"{answered.ids[name]}.*.sc.dcm")) == []


@pytest.mark.parametrize("kind", ["sr", "sc"])
def test_patient_and_study_are_the_films_in_its_own_character_set(answered: Answered, kind: str) -> None:
    made, film = pydicom.dcmread(answered.file("one", kind)), pydicom.dcmread(answered.landing / "films" / "one.dcm")
    assert {each: made.get(each) for each in PATIENT} == {each: film.get(each) for each in PATIENT}
    assert str(made.PatientName) == "Yamada^Hanako=山田^花子=やまだ^はなこ"
    raw = [pydicom.dcmread(each, stop_before_pixels=True).get_item("PatientName").value
           for each in (answered.file("one", kind), answered.landing / "films" / "one.dcm")]  # fmt: skip
    assert raw[0] == raw[1]
    assert b"\x1b$B" in raw[0]


def test_the_picture_is_the_film_with_its_maps_and_says_what_it_is_not(answered: Answered) -> None:
    picture = pydicom.dcmread(answered.file("one", "sc"))
    assert picture.Modality == "OT"
    assert picture.pixel_array.shape == (ROWS + 2 * 16, COLUMNS, 3)
    assert picture.PatientOrientation == ["P", "F"]
    assert picture.SourceImageSequence[0].ReferencedSOPInstanceUID == answered.films["one"].SOPInstanceUID
    assert "resnet50, fold 3" in picture.DerivationDescription
    assert picture.pixel_array[:16].max() > 30  # the band of text, tiny here
    coloured = np.ptp(picture.pixel_array[16:-16].astype(int), axis=2)
    assert coloured.max() > 100
    assert "PixelSpacing" not in picture


FOREIGN = {
    "utf_8": {"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Müller^Jürgen=山田^太郎"},
    "undeclared_shift_jis": {"SpecificCharacterSet": None, "PatientName": None},
    "no_name": {"SpecificCharacterSet": "ISO_IR 100", "PatientName": ""},
    "odd_sex_and_date": {"PatientSex": "U", "SpecificCharacterSet": "ISO_IR 192", "PatientBirthDate": "1945"},
    "nothing_told": dict.fromkeys(("PatientBirthDate", "AccessionNumber", "StudyID", "StudyTime", "PatientSex")),
}


@pytest.mark.parametrize("case", FOREIGN)
@pytest.mark.filterwarnings("ignore")
def test_whatever_a_header_says_of_the_patient_arrives_byte_for_byte(tmp_path: Path, case: str) -> None:
    one = named("one", **FOREIGN[case])
    if case == "undeclared_shift_jis":
        one.add_new("PatientName", "PN", "山田^花子".encode("cp932"))
    made = Answered(tmp_path, films={"one": one})
    assert made.write().refused == []
    film = pydicom.dcmread(made.landing / "films" / "one.dcm", stop_before_pixels=True)
    for kind in ("sr", "sc"):
        written = pydicom.dcmread(made.file("one", kind), stop_before_pixels=True)
        for keyword in PATIENT:
            before, after = (each.get_item(keyword) if keyword in each else None for each in (film, written))
            raw = [None if each is None else each.value or b"" for each in (before, after)]
            assert raw[1] == raw[0] or (raw[0] is None and raw[1] == b""), keyword
        for keyword in ("PatientBirthDate", "AccessionNumber", "StudyID", "PatientSex", "PatientName"):
            assert keyword in written


def test_a_film_in_an_archive_and_one_whose_meta_header_is_wrong_have_their_objects(tmp_path: Path) -> None:
    """Explicit by its meta header, implicit in truth: pydicom cannot read it, intake can."""
    made = Answered(tmp_path, films={"one": named("one"), "two": named("two")})
    films = made.landing / "films"
    with zipfile.ZipFile(films / "cd.zip", "w") as archive:
        archive.write(films / "one.dcm", "IMAGES/one.dcm")
    (films / "one.dcm").unlink()
    two = pydicom.dcmread(films / "two.dcm")
    two.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    pydicom.dcmwrite(films / "two.dcm", two, implicit_vr=True, little_endian=True)
    content = (films / "two.dcm").read_bytes()
    wrong = content.replace(b"UI\x12\x001.2.840.10008.1.2\0", b"UI\x14\x001.2.840.10008.1.2.1\0", 1)
    (films / "two.dcm").write_bytes(wrong)
    made.take_in()
    assert made.write().refused == []
    for name in ("one", "two"):
        assert str(pydicom.dcmread(made.file(name, "sr")).PatientName) == "Yamada^Hanako=山田^花子=やまだ^はなこ"


def test_no_identifier_is_in_the_lake_in_what_is_said_or_in_a_file_name(answered: Answered) -> None:
    film = answered.films["one"]
    secrets = [str(each).encode() for each in (
        film.PatientID, "Yamada", "Hanako", film.SOPInstanceUID, film.StudyInstanceUID, film.AccessionNumber,
        "19410102", "Suzuki",
    )]  # fmt: skip
    kept = [path for path in (answered.root / "lake" / "results_back").rglob("*") if path.is_file()]
    assert len(kept) == 3
    content = b"".join(path.read_bytes() for path in kept) + "".join(answered.said).encode()
    content += "".join(path.name for path in [*kept, *answered.out.iterdir()]).encode()
    assert [each for each in secrets if each in content] == []
    assert NAMES.film(film.SOPInstanceUID).encode() in content


def test_the_files_are_for_their_owner_alone(answered: Answered) -> None:
    assert {path.stat().st_mode & 0o777 for path in answered.out.iterdir()} == {0o600}
    assert [path.stat().st_mode & 0o777 for path in (answered.out, answered.out.parent)] == [0o700, 0o700]


def test_uids_are_valid_and_keyed(answered: Answered) -> None:
    found: list[Dataset] = [pydicom.dcmread(path) for path in answered.out.iterdir()]
    uids = [each.SOPInstanceUID for each in found] + [each.SeriesInstanceUID for each in found]
    assert len(set(uids)) == len(uids)
    assert all(re.fullmatch(r"2\.25\.[1-9]\d{20,38}", uid) and uid.is_valid for uid in uids)
