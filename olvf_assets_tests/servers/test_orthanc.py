"""A real image store, Orthanc, filled with phantom films: taken out by every way, killed in between, given back to."""

import copy
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless, generate_uid

from olvf_assets.intake.pacs.errors import (
    PacsError,
    StoreRefusesUsError,
    StoreTlsError,
    StoreUnreachableError,
)
from olvf_assets.intake.pacs.site import poll_site, send_to_store, site_told
from olvf_assets.intake.pacs.site import test_site as tried_out
from olvf_assets.phantom.dicom import make_dataset
from olvf_assets_tests.intake.pacs.peers import SITE, films_of, poll, tls_files, write_site
from olvf_assets_tests.intake.phantom_films import cases
from olvf_assets_tests.servers.orthanc import PASSWORD, STABLE_AGE_S, USER, RunningOrthanc

DAY = "20260310"


@pytest.fixture(scope="module")
def film() -> Dataset:
    """A small lateral film of the phantom."""
    (case,) = cases(1, 20261127, ("neutral",), modality="DX", pixel_mm=0.4)
    return make_dataset(case.film, case.patient, case.plan, case.site)


@pytest.fixture(autouse=True)
def logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLVF_PACS_INSTITUTION_7_USER", USER)
    monkeypatch.setenv("OLVF_PACS_INSTITUTION_7_PASSWORD", PASSWORD)


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[RunningOrthanc]:
    running = RunningOrthanc(tmp_path / "orthanc")
    yield running
    running.kill()


def films(film: Dataset, count: int, *, study: str = "study", per_study: int = 2, first: int = 0) -> list[Dataset]:
    """Return films of the phantom under names of their own, with a Japanese patient's name."""
    found = []
    for number in range(first, first + count):
        each = copy.deepcopy(film)
        group = f"{study} {number // per_study}"
        each.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
        each.PatientName = "Yamada^Hanako=山田^花子"
        each.StudyInstanceUID, each.SeriesInstanceUID = (
            generate_uid(entropy_srcs=[group]),
            generate_uid(entropy_srcs=[group, "s"]),
        )
        each.SOPInstanceUID = each.file_meta.MediaStorageSOPInstanceUID = generate_uid(
            entropy_srcs=[study, str(number)]
        )
        each.StudyDate, each.InstanceNumber = DAY, number + 1
        found.append(each)
    return found


def came(data: Path) -> dict[str, Dataset]:
    found = [pydicom.dcmread(BytesIO(content)) for content in films_of(data).values()]
    assert len({each.SOPInstanceUID for each in found}) == len(found)
    return {str(each.SOPInstanceUID): each for each in found}


@pytest.mark.parametrize("way", ["get", "move", "web"])
def test_films_come_as_they_are_stored_once_and_the_late_one_next(
    tmp_path: Path, orthanc: RunningOrthanc, film: Dataset, way: str
) -> None:
    stored = films(film, 8)
    for each, syntax in zip(stored, (RLELossless, JPEGLSLossless, JPEG2000Lossless), strict=False):
        each.compress(syntax, generate_instance_uid=False)
    orthanc.upload(*stored)
    reach = {
        "get": {"dimse": orthanc.by_dimse()},
        "move": {"dimse": orthanc.by_move()},
        "web": {"dicomweb": orthanc.by_web()},
    }[way]
    write_site(tmp_path, **reach)
    assert len(tried_out(tmp_path, SITE)) >= 2
    assert (poll(tmp_path).fetched, poll(tmp_path).fetched) == (8, 0)
    found = came(tmp_path)
    assert {uid: each.PixelData for uid, each in found.items()} == {
        each.SOPInstanceUID: each.PixelData for each in stored
    }
    assert [found[each.SOPInstanceUID].file_meta.TransferSyntaxUID for each in stored] == [
        each.file_meta.TransferSyntaxUID for each in stored
    ]
    assert {str(each.PatientName) for each in found.values()} == {"Yamada^Hanako=山田^花子"}
    late = films(film, 1, first=40)
    late[0].StudyInstanceUID, late[0].SeriesInstanceUID = stored[0].StudyInstanceUID, stored[0].SeriesInstanceUID
    orthanc.upload(*late)
    assert (poll(tmp_path).fetched, poll(tmp_path).fetched) == (1, 0)
    assert len(came(tmp_path)) == 9


@pytest.mark.parametrize("way", ["get", "move", "web"])
def test_a_store_that_is_killed_in_the_middle_loses_and_doubles_nothing(
    tmp_path: Path, orthanc: RunningOrthanc, film: Dataset, way: str
) -> None:
    stored = films(film, 20)
    orthanc.upload(*stored)
    reach = {
        "get": {"dimse": orthanc.by_dimse()},
        "move": {"dimse": orthanc.by_move()},
        "web": {"dicomweb": orthanc.by_web()},
    }[way]
    write_site(tmp_path, **reach)

    def kill_at_half(line: str) -> None:
        if line.startswith("10/20"):
            orthanc.kill()

    with pytest.raises(StoreUnreachableError):
        poll(tmp_path, report=kill_at_half)
    assert len(came(tmp_path)) == 10
    with pytest.raises(StoreUnreachableError):
        poll(tmp_path)
    orthanc.start()
    found = poll(tmp_path)
    assert (found.fetched, found.counts["held"], found.counts["waiting"]) == (10, 20, 0)
    assert set(came(tmp_path)) == {each.SOPInstanceUID for each in stored}


def test_our_own_process_is_killed_and_the_next_poll_goes_on(
    tmp_path: Path, orthanc: RunningOrthanc, film: Dataset
) -> None:
    stored = films(film, 30)
    orthanc.upload(*stored)
    write_site(tmp_path, dimse=orthanc.by_dimse())
    given = os.environ | {"OLVF_DATA": str(tmp_path), "DAGSTER_HOME": str(tmp_path), "OLVF_PROFILE": "ci"}
    command = [sys.executable, "-m", "olvf_assets", "pacs", SITE, "poll"]
    with subprocess.Popen(command, env=given, stdout=subprocess.PIPE, text=True) as polling:
        assert polling.stdout is not None
        for line in polling.stdout:
            if line.startswith("9/30"):
                polling.send_signal(signal.SIGKILL)
    assert polling.returncode == -signal.SIGKILL
    before = len(came(tmp_path))
    assert 9 <= before < 30
    found = poll(tmp_path)
    assert (found.fetched, found.counts["held"]) == (30 - before, 30)
    assert set(came(tmp_path)) == {each.SOPInstanceUID for each in stored}


def wait_until_stable(orthanc: RunningOrthanc) -> None:
    pause = threading.Event()
    for _ in range(100):
        if all(orthanc.get(f"/series/{each}")["IsStable"] for each in orthanc.get("/series")):
            return
        pause.wait(STABLE_AGE_S / 5)
    raise TimeoutError("a series never became stable")


def test_the_change_feed_tells_of_everything_also_after_a_kill(
    tmp_path: Path, orthanc: RunningOrthanc, film: Dataset
) -> None:
    write_site(tmp_path, dimse=orthanc.by_dimse(), orthanc=orthanc.feed(), what={"settle_s": 600.0})
    assert tried_out(tmp_path, SITE)[-1].endswith("can be read")
    assert site_told(tmp_path, SITE) == (0, None)
    poll(tmp_path)
    stored = films(film, 6)
    orthanc.upload(*stored)
    told = site_told(tmp_path, SITE)
    assert told is not None
    assert told.waiting == 3
    orthanc.kill()  # before any series is stable: no StableSeries is ever told
    orthanc.start()
    wait_until_stable(orthanc)
    kinds = [change["ChangeType"] for change in orthanc.get("/changes?limit=1000")["Changes"]]
    assert "NewSeries" in kinds
    told = site_told(tmp_path, SITE)
    assert told is not None
    assert told.run_key is not None
    assert poll(tmp_path, wait=False).fetched == 6
    assert site_told(tmp_path, SITE) == (0, None)
    late = films(film, 1, first=40)
    late[0].StudyInstanceUID, late[0].SeriesInstanceUID = stored[0].StudyInstanceUID, stored[0].SeriesInstanceUID
    orthanc.upload(*late)
    wait_until_stable(orthanc)
    assert site_told(tmp_path, SITE) not in ((0, None), told)
    assert poll(tmp_path, wait=False).fetched == 1
    assert len(came(tmp_path)) == 7


def test_what_the_store_refuses_is_said(
    tmp_path: Path, orthanc: RunningOrthanc, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_site(tmp_path, dimse=orthanc.by_dimse(called_ae="ANOTHER"))
    with pytest.raises(StoreRefusesUsError, match="is not called 'ANOTHER'"):
        tried_out(tmp_path, SITE)
    write_site(tmp_path, dimse=orthanc.by_dimse(calling_ae="STRANGER"))
    for ask in (tried_out, poll_site):
        with pytest.raises(PacsError, match="STRANGER"):
            ask(tmp_path, SITE)
    write_site(tmp_path, dicomweb=orthanc.by_web())
    assert tried_out(tmp_path, SITE)[-1] == "QIDO-RS is answered"
    monkeypatch.setenv("OLVF_PACS_INSTITUTION_7_PASSWORD", "wrong")
    with pytest.raises(StoreRefusesUsError, match="does not accept our login"):
        poll_site(tmp_path, SITE)
    write_site(tmp_path, dicomweb=orthanc.by_web(login="none"))
    with pytest.raises(StoreRefusesUsError, match="does not accept our login"):
        poll_site(tmp_path, SITE)
    write_site(tmp_path, dicomweb=orthanc.by_web(url=f"{orthanc.url}/nowhere"))
    monkeypatch.setenv("OLVF_PACS_INSTITUTION_7_PASSWORD", PASSWORD)
    with pytest.raises(PacsError, match=r"has no such service or object \(HTTP 404\); is url in \[dicomweb\] right"):
        tried_out(tmp_path, SITE)


@pytest.mark.parametrize("way", ["dimse", "dicomweb"])
def test_results_go_back_and_double_nothing(tmp_path: Path, orthanc: RunningOrthanc, film: Dataset, way: str) -> None:
    files = []
    for number, each in enumerate(films(film, 3)):
        files.append(tmp_path / f"{number}.dcm")
        each.save_as(files[-1], enforce_file_format=True)
    write_site(tmp_path, **{way: orthanc.by_dimse() if way == "dimse" else orthanc.by_web()})
    for _ in range(2):
        assert send_to_store(tmp_path, SITE, files) == dict.fromkeys(files)
    assert orthanc.get("/statistics")["CountInstances"] == 3


def test_connections_are_encrypted_and_both_sides_show_certificates(tmp_path: Path, film: Dataset) -> None:
    """By DIMSE only: Debian's Orthanc 1.10.1 crashes at the first connection to its own HTTPS."""
    certificate, key = tls_files(tmp_path)
    orthanc = RunningOrthanc(
        tmp_path / "orthanc",
        DicomTlsEnabled=True,
        DicomTlsCertificate=str(certificate),
        DicomTlsPrivateKey=str(key),
        DicomTlsTrustedCertificates=str(certificate),
        DicomTlsRemoteCertificateRequired=True,
    )
    try:
        orthanc.upload(*films(film, 2))
        trusting = {"ca_file": str(certificate)}
        for tls, error in (({}, StoreTlsError), (trusting, PacsError)):
            write_site(tmp_path, dimse=orthanc.by_dimse(tls=True), tls=tls)
            with pytest.raises(error):
                poll(tmp_path)
        ours = trusting | {"certificate": str(certificate), "key": str(key)}
        write_site(tmp_path, dimse=orthanc.by_dimse(tls=True), tls=ours, orthanc=orthanc.feed())
        assert poll(tmp_path).fetched == 2
    finally:
        orthanc.kill()
