"""Results of films in a real Orthanc: sent by the command, twice, corrected, read back."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import highdicom as hd
import pydicom
import pytest

from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.orchestration.returning import send_results
from olvf_assets.reporting.results_back.hospital import unsent
from olvf_assets_tests.intake.pacs.peers import SITE, write_site
from olvf_assets_tests.reporting.results_back.answered import LEVELS, Answered
from olvf_assets_tests.servers.orthanc import PASSWORD, USER, RunningOrthanc

REPORT, PICTURE = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.7"


@pytest.fixture
def orthanc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningOrthanc]:
    monkeypatch.setenv("OLVF_PACS_INSTITUTION_7_USER", USER)
    monkeypatch.setenv("OLVF_PACS_INSTITUTION_7_PASSWORD", PASSWORD)
    running = RunningOrthanc(tmp_path / "orthanc")
    yield running
    running.kill()


def held(orthanc: RunningOrthanc) -> dict[str, list[bytes]]:
    """Return every object that the store holds, by its class."""
    found: dict[str, list[bytes]] = {}
    for each in orthanc.get("/instances"):
        answer = orthanc.session.get(f"{orthanc.url}/instances/{each}/file", headers={"Accept-Encoding": "identity"})
        uid = pydicom.dcmread(BytesIO(answer.content), stop_before_pixels=True).SOPClassUID
        found.setdefault(str(uid), []).append(answer.content)
    return found


@pytest.mark.parametrize("way", ["dimse", "dicomweb"])
def test_results_lie_in_their_films_studies_once_and_corrected_ones_beside(
    tmp_path: Path, orthanc: RunningOrthanc, way: str
) -> None:
    answered = Answered(tmp_path, place=f"landing/{SITE}")
    orthanc.upload(*answered.films.values())
    write_site(tmp_path, **{way: orthanc.by_dimse() if way == "dimse" else orthanc.by_web()})
    study = StudyResource(profile_name="ci", data_folder=str(tmp_path))
    answered.write()
    files = unsent(tmp_path, answered.store, SITE)
    assert send_results(SITE, study, report=answered.said.append).faults == []
    assert answered.said[-1] == f"4 of 4 files are in the image store of {SITE}"
    assert unsent(tmp_path, answered.store, SITE) == []
    assert send_results(SITE, study, report=answered.said.append).faults == []
    assert answered.said[-1] == "nothing is to be sent"
    found = held(orthanc)
    assert (len(found[REPORT]), len(found[PICTURE])) == (3, 1)
    contents = [pydicom.dcmread(file) for file in files]
    assert {each.SOPInstanceUID for each in contents} == {
        pydicom.dcmread(BytesIO(each)).SOPInstanceUID for each in (*found[REPORT], *found[PICTURE])
    }
    assert orthanc.get("/statistics")["CountStudies"] == len(answered.films)
    assert orthanc.get("/statistics")["CountPatients"] == len({film.PatientID for film in answered.films.values()})
    answered.predict("L1", p_normal=0.4, p_old=0.5)
    answered.write()
    assert send_results(SITE, study, report=answered.said.append).faults == []
    assert {kind: len(each) for kind, each in held(orthanc).items() if kind in (REPORT, PICTURE)} == {
        REPORT: 4, PICTURE: 2,
    }  # fmt: skip


def test_the_store_gives_back_the_report_that_it_was_given(tmp_path: Path, orthanc: RunningOrthanc) -> None:
    answered = Answered(tmp_path, place=f"landing/{SITE}")
    orthanc.upload(*answered.films.values())
    write_site(tmp_path, dimse=orthanc.by_dimse())
    answered.write()
    study = StudyResource(profile_name="ci", data_folder=str(tmp_path))
    send_results(SITE, study, report=answered.said.append)
    reports = [pydicom.dcmread(BytesIO(each)) for each in held(orthanc)[REPORT]]
    film = answered.films["one"]
    (of_one,) = [each for each in reports if each.StudyInstanceUID == film.StudyInstanceUID]
    sent = pydicom.dcmread(answered.file("one", "sr"))
    assert of_one == sent
    assert str(of_one.PatientName) == "Yamada^Hanako=山田^花子=やまだ^はなこ"
    (tmp_path / "back.dcm").write_bytes(
        next(each for each in held(orthanc)[REPORT] if sent.SOPInstanceUID.encode() in each)
    )
    groups = hd.sr.srread(tmp_path / "back.dcm").content.get_planar_roi_measurement_groups()
    assert [group.tracking_identifier for group in groups] == ["film", *LEVELS]
