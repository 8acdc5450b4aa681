"""Films out of an image store that speaks DICOMweb, and what it can do wrong."""

import gzip
import json
import ssl
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import JPEGLSLossless

from olvf_assets.intake.pacs import connection_guard, dicomweb, web
from olvf_assets.intake.pacs.errors import (
    PacsCredentialsError,
    PacsError,
    StoreFailedError,
    StoreLacksServiceError,
    StoreRefusesUsError,
    StoreTlsError,
    StoreUnreachableError,
    TooLargeError,
    TooManyAnswersError,
)
from olvf_assets.intake.pacs.pacs_file import read_pacs
from olvf_assets.intake.pacs.site import send_to_store, site_status
from olvf_assets.intake.pacs.site import test_site as tried_out
from olvf_assets_tests.intake.pacs.peers import SITE, films_of, free_port, poll, study_film, tls_files, write_site
from olvf_assets_tests.intake.pacs.web_peer import Answer, WebPeer, basic

PASSWORD = "Hänako-1945"


def test_films_come_as_they_are_stored_and_only_once(tmp_path: Path) -> None:
    films = [study_film(f"film {number}", study=number // 2) for number in range(6)]
    films[0].compress(JPEGLSLossless)
    with WebPeer(films) as peer:
        write_site(tmp_path, dicomweb=peer.settings())
        assert tried_out(tmp_path, SITE)[1:] == ["QIDO-RS is answered"]
        first, second = poll(tmp_path), poll(tmp_path)
        assert (first.fetched, first.counts["held"], second.fetched) == (6, 6, 0)
        assert {headers.get("Accept-Encoding") for _, headers in peer.asked} == {"identity"}
    came = {film.SOPInstanceUID: film for film in map(pydicom.dcmread, map(BytesIO, films_of(tmp_path).values()))}
    assert {uid: film.PixelData for uid, film in came.items()} == {
        each.SOPInstanceUID: each.PixelData for each in films
    }
    assert came[films[0].SOPInstanceUID].file_meta.TransferSyntaxUID == JPEGLSLossless


def test_many_answers_come_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicomweb, "PAGE", 3)
    with WebPeer([study_film(f"film {number}", study=number) for number in range(10)]) as peer:
        write_site(tmp_path, dicomweb=peer.settings())
        assert poll(tmp_path).fetched == 10


def login(monkeypatch: pytest.MonkeyPatch, **secrets: str) -> None:
    for name, said in secrets.items():
        monkeypatch.setenv(f"OLVF_PACS_INSTITUTION_7_{name.upper()}", said)


def test_name_and_password_or_a_token_let_us_in_and_are_shown_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    login(monkeypatch, user="spine", password=PASSWORD, token="a.b.c-" + PASSWORD.replace("ä", "a"))
    with WebPeer([study_film("one")], login=basic("spine", PASSWORD)) as peer:
        folder = write_site(tmp_path, dicomweb=peer.settings(login="basic"))
        assert poll(tmp_path).fetched == 1
        peer.login = f"Bearer a.b.c-{PASSWORD.replace('ä', 'a')}"
        with pytest.raises(StoreRefusesUsError, match="does not accept our login") as caught:
            poll(tmp_path)
        write_site(tmp_path, dicomweb=peer.settings(login="token"))
        assert poll(tmp_path).fetched == 0
    shown = [str(caught.value), repr(read_pacs(tmp_path, SITE)), caplog.text, *site_status(tmp_path, SITE)]
    shown += [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()]
    assert not any("1945" in each or basic("spine", PASSWORD) in each for each in shown)


def test_a_password_goes_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    login(monkeypatch, user="spine", password=PASSWORD)
    with WebPeer() as other, WebPeer() as peer:
        peer.change = lambda path, answer: (302, {"Location": f"{other.url}{path}"}, b"")
        write_site(tmp_path, dicomweb=peer.settings(login="basic"))
        monkeypatch.setenv("HTTP_PROXY", other.url)
        monkeypatch.setenv("http_proxy", other.url)
        with pytest.raises(StoreLacksServiceError, match="sends us elsewhere; write its own address"):
            poll(tmp_path)
        assert other.asked == []
        assert len(peer.asked) == 1


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (401, StoreRefusesUsError, "does not accept our login; see to login in [dicomweb]"),
        (403, StoreRefusesUsError, "knows us and does not allow this"),
        (404, StoreLacksServiceError, "has no such service or object (HTTP 404); is url in [dicomweb] right?"),
        (500, StoreFailedError, "failed (HTTP 500); its log says why"),
        (503, StoreFailedError, "failed (HTTP 503)"),
        (413, TooManyAnswersError, "has more answers than it gives"),
    ],
)
def test_what_a_status_means_is_said(tmp_path: Path, status: int, error: type[PacsError], said: str) -> None:
    with WebPeer(change=lambda path, answer: (status, {}, b"Yamada^Hanako")) as peer:
        write_site(tmp_path, dicomweb=peer.settings())
        for ask in (lambda: tried_out(tmp_path, SITE), lambda: poll(tmp_path)):
            with pytest.raises(error) as caught:
                ask()
            assert said in str(caught.value)
            assert "Yamada" not in str(caught.value)


def test_a_store_that_is_not_there_is_told(tmp_path: Path) -> None:
    write_site(tmp_path, dicomweb={"url": f"http://127.0.0.1:{free_port()}/dicom-web"})
    with pytest.raises(StoreUnreachableError, match="cannot be connected to, or the connection broke off"):
        tried_out(tmp_path, SITE)
    write_site(tmp_path, dicomweb={"url": "https://no-such-host.invalid/dicom-web"})
    with pytest.raises(StoreUnreachableError):
        tried_out(tmp_path, SITE)


def test_certificates_are_checked_and_ours_is_shown(tmp_path: Path) -> None:
    certificate, key = tls_files(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificate)
    context.load_cert_chain(certificate, key)
    with WebPeer([study_film("one")], tls=context) as peer:
        write_site(tmp_path, dicomweb=peer.settings())
        with pytest.raises(StoreTlsError, match=r"TLS fails \(self.signed certificate\); see to ca_file"):
            poll(tmp_path)
        write_site(tmp_path, dicomweb=peer.settings(), tls={"ca_file": str(certificate)})
        assert poll(tmp_path).fetched == 1
        context.verify_mode = ssl.CERT_REQUIRED
        with pytest.raises((StoreTlsError, StoreUnreachableError)):
            poll(tmp_path)
        ours = {"ca_file": str(certificate), "certificate": str(certificate), "key": str(key)}
        write_site(tmp_path, dicomweb=peer.settings(), tls=ours)
        assert poll(tmp_path).counts["held"] == 1
        key.chmod(0o640)
        with pytest.raises(PacsCredentialsError, match="chmod 600"):
            poll(tmp_path)


@pytest.mark.parametrize(
    ("body", "counted"),
    [
        (b"<html>log in first</html>", 0),
        (b'{"a": 1}', 1),
        (b"[" * 100_000, 0),
        (b"\xff\xfe\x00", 0),
        (b'[1, "two", null, {"0020000D": 5}]', 1),
        (b'[{"0020000D": {"vr": "UI", "Value": ["../../../etc/passwd"]}}]', 1),
        (b'[{"0020000D": {"vr": "UI", "Value": [{"a": 1}]}}, {"0020000D": {"vr": "UI", "Value": "1.2"}}]', 1),
        (b'[{"0020000D": {"vr": "UI", "Value": ["1.2", "1.3"]}}]', 1),
    ],
)
def test_an_answer_that_is_none_is_an_error_or_counted(tmp_path: Path, body: bytes, counted: int) -> None:
    def hostile(path: str, answer: Answer) -> Answer:
        return (200, {"Content-Type": "application/dicom+json"}, body) if "/studies?" in path else answer

    with WebPeer([study_film("one")], change=hostile) as peer:
        write_site(tmp_path, dicomweb=peer.settings())
        if counted:
            assert sum(poll(tmp_path).odd.values()) >= counted
        else:
            with pytest.raises(StoreFailedError, match="not what DICOMweb promises"):
                poll(tmp_path)
    assert films_of(tmp_path) == {}


def film_answer(answer: Answer, **changes: Any) -> Answer:
    status, headers, body = answer
    return changes.get("status", status), headers | changes.get("headers", {}), changes.get("body", body)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"body": b"<html>log in first</html>", "headers": {"Content-Type": "text/html"}}, "StoreFailed"),
        ({"body": b"--a-boundary-0f3c\r\nContent-Type: application/dicom\r\n\r\nhalf a fi"}, "StoreFailed"),
        ({"body": b""}, "StoreFailed"),
        ({"body": b"not DICOM", "headers": {"Content-Type": "application/dicom"}}, "not_dicom"),
        ({"body": b"\0" * 128 + b"DICM", "headers": {"Content-Type": "application/dicom"}}, "not_dicom"),
        ({"status": 404}, "StoreLacksService"),
    ],
)
def test_a_film_that_is_none_is_laid_aside_or_asked_for_again(tmp_path: Path, changes: dict, reason: str) -> None:
    films = [study_film("good"), study_film("bad", study=2)]

    def hostile(path: str, answer: Answer) -> Answer:
        return film_answer(answer, **changes) if path.endswith(f"/instances/{films[1].SOPInstanceUID}") else answer

    with WebPeer(films, change=hostile) as peer:
        folder = write_site(tmp_path, dicomweb=peer.settings())
        found = poll(tmp_path)
        assert (found.fetched, found.counts["failed"], found.reasons) == (1, 1, {reason: 1})
        assert len(list(folder.glob("refused/*"))) == (reason == "not_dicom")
        peer.change = lambda path, answer: answer
        assert poll(tmp_path).counts["held"] == 2


def test_an_object_of_another_class_than_the_store_said_is_laid_aside_for_good(tmp_path: Path) -> None:
    film, report = study_film("one"), study_film("one", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")

    def hostile(path: str, answer: Answer) -> Answer:
        buffer = BytesIO()
        report.save_as(buffer, enforce_file_format=True)
        return (200, {"Content-Type": "application/dicom"}, buffer.getvalue()) if "/instances/" in path else answer

    with WebPeer([film], change=hostile) as peer:
        folder = write_site(tmp_path, dicomweb=peer.settings())
        found = poll(tmp_path)
        assert (found.fetched, found.counts["refused"], found.reasons) == (0, 1, {"other_class": 1})
        (aside,) = folder.glob("refused/*")
        assert aside.stat().st_mode & 0o077 == 0
        before = len(peer.asked)
        poll(tmp_path)
        assert not any("/instances/" in path for path, _ in peer.asked[before:])


def test_gigantic_answers_and_bombs_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "LARGEST_ANSWER_BYTES", 100_000)
    bomb = gzip.compress(b" " * 5_000_000)
    packed = {"Content-Type": "application/dicom+json", "Content-Encoding": "gzip"}
    plain = {"Content-Type": "application/dicom+json"}
    with WebPeer([study_film("one")]) as peer:
        write_site(tmp_path, dicomweb=peer.settings())
        for headers, body in ((plain, b" " * 200_000), (packed, bomb)):
            peer.change = lambda path, answer, headers=headers, body=body: (200, headers, body)
            with pytest.raises(TooLargeError, match="more than any film holds"):
                poll(tmp_path)


def test_a_film_larger_than_any_is_not_taken_but_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "LARGEST_BYTES", 50_000)
    big = study_film("big", study=2, Rows=400, Columns=400, PixelData=bytes(320_000))
    with WebPeer([study_film("small"), big]) as peer:
        write_site(tmp_path, dicomweb=peer.settings())
        found = poll(tmp_path)
    assert (found.fetched, found.reasons) == (1, {"TooLarge": 1})
    assert connection_guard.LARGEST_BYTES > 200_000_000


def test_an_answer_cut_off_by_the_network_is_no_film_and_comes_next(tmp_path: Path) -> None:
    films = [study_film("one")]

    def cut(path: str, answer: Answer) -> Answer:
        if "/instances/" not in path:
            return answer
        return answer[0], answer[1] | {"Content-Length": str(len(answer[2]))}, answer[2][:1_000]

    with WebPeer(films, change=cut) as peer:
        write_site(tmp_path, dicomweb=peer.settings(timeout_s=0.5))
        with pytest.raises(StoreUnreachableError):
            poll(tmp_path)
        assert films_of(tmp_path) == {}
        peer.change = lambda path, answer: answer
        assert poll(tmp_path).fetched == 1


def test_results_are_stored_by_stow(tmp_path: Path) -> None:
    files = [tmp_path / "one.dcm", tmp_path / "two.dcm"]
    for file in files:
        study_film(file.stem, Rows=1000, Columns=1000, PixelData=bytes(2_000_000)).save_as(
            file, enforce_file_format=True
        )
    failed = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [49442]}}]}}

    def second_fails(path: str, answer: Answer) -> Answer:
        return answer if len(peer.stored) < 2 else (200, answer[1], json.dumps(failed).encode())

    with WebPeer(change=second_fails) as peer:
        write_site(tmp_path, dicomweb=peer.settings())
        found = send_to_store(tmp_path, SITE, files)
    assert found[files[0]] is None
    assert "did not store an object (reason 0xc122)" in str(found[files[1]])
    assert [len(each.PixelData) for each in peer.stored] == [2_000_000, 2_000_000]
