"""Whoever controls a store, the network or a line of `pacs.toml` and means harm: what he writes, reaches, holds up."""

import gzip
import io
import json
import os
import re
import zipfile
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from olvf_assets.intake.pacs import dicomweb, web
from olvf_assets.intake.pacs.credentials import tls_context
from olvf_assets.intake.pacs.errors import (
    PacsCredentialsError,
    PacsError,
    PacsFileError,
    StoreFailedError,
    TooManyAnswersError,
)
from olvf_assets.intake.pacs.pacs_file import read_pacs
from olvf_assets.intake.pacs.site import send_to_store, site_told
from olvf_assets_tests.intake.pacs.peers import SITE, Peer, films_of, poll, study_film, write_site
from olvf_assets_tests.intake.pacs.web_peer import BOUNDARY, Answer, WebPeer

WHAT = "[what]\nsince = 2026-01-01\n"


def by_web(url: str) -> str:
    return f"[dicomweb]\nurl = {json.dumps(url)}\n{WHAT}"


def by_dimse(*, host: str = "pacs", port: str = "104", ae: str = "STORE", more: str = "", what: str = WHAT) -> str:
    return f"[dimse]\nhost = {json.dumps(host)}\nport = {port}\ncalled_ae = {json.dumps(ae)}\n{more}\n{what}\n"


ADDRESSES = (
    "file:///etc/passwd", "gopher://pacs.example", "javascript:alert(1)", "//pacs.example", "pacs.example", "https://",
    "https:///etc/passwd", "https://pacs.example\\@evil.example", "https://good@evil.example",
    "https://pacs.example/\r\nX-Header: 1", "https://pacs.example/\tx", "https://pacs.example/ x",
    "https://pacs.example/\u2028", "https://pacs.\u0435xample/", "https://[::1", "https://pacs.example:99999/",
    "https://pacs.example:0/", "https://pacs.example/?a=1", "https://pacs.example/#a", "http://10.0.0.1/",
    "http://localhost.evil.example/", "http://127.0.0.1.evil.example/", "http://0/", "http://2130706433/",
    "https://" + "a" * 9_000,
)  # fmt: skip
WHAT_NOBODY_MEANS = {
    "addresses": [by_web(url) for url in ADDRESSES],
    "hosts": [
        by_dimse(host=host)
        for host in ("a b", "a/b", "a\nb", "a\0b", "", "a;b", "$(id)", "a" * 300, "\u0430", "user@host", "-\u200b")
    ],
    "AE titles": [
        by_dimse(ae=ae) for ae in ("A\\B", "A\nB", "A\0", " A", "A ", "A" * 17, "\u5c71", "\x1b[2J", "A\x7f")
    ],
    "ports": [
        by_dimse(port=port)
        for port in ("true", "104.0", "1e3", "[104]", "-1", "2026-01-01", "nan", "0x10000", "9" * 5000)
    ],
    "days": [
        by_dimse(what=f"[what]\nsince = {since}\n")
        for since in ("2026-01-01T00:00:00", "2026-01-01T00:00:00Z", "12:00:00", "20260101", '"x"', "[]", "{}")
    ],
    "times": [
        by_dimse(more=f"timeout_s = {said}") for said in ("nan", "inf", "-inf", "1e308", "0", '"60"', "true", "1e-400")
    ],
    "wishes": [
        by_dimse() + said
        for said in (
            'modalities = ["CR\\n"]', 'modalities = "CR"', 'modalities = [["CR"]]', 'modalities = ["*"]',
            'modalities = ["C?"]', 'modalities = ["CR\\\\DX"]', 'body_parts = ["\\u0000"]', "stations = [1]",
            'stations = ["A\\u0000"]', 'stations = ["' + "A" * 2_000 + '"]', "max_per_poll = 1e3", "max_per_poll = 0",
            "settle_s = nan", "settle_s = inf", '__class__ = "x"', 'model_config = "x"',
        )
    ],
    "forms": [
        f'institution = "../x"\nfolder = "/etc"\n{WHAT}', f'dimse = "x"\n{WHAT}', f"[[dimse]]\n{WHAT}", "what = 1\n",
        "\0", "\ufeff\ufeff", "a.b.c.d = 1\na = 2\n", ".".join("a" * 9_000) + " = 1\n", 'x = """' + "\n" * 9_000,
        "\n".join(f"k{number} = 1" for number in range(1_800)), f'"{chr(0x202e)}evil" = 1',
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", WHAT_NOBODY_MEANS)
def test_what_nobody_means_is_refused_and_never_quoted(tmp_path: Path, kind: str) -> None:
    folder, taken = write_site(tmp_path), []
    for content in WHAT_NOBODY_MEANS[kind]:
        (folder / "pacs.toml").write_text(content, encoding="utf-8")
        try:
            read_pacs(tmp_path, SITE)
        except PacsFileError as error:
            said = str(error)
            assert said.isprintable()
            assert len(said) < 1_000, said[:200]
            assert not any(word in said for word in ("evil", "passwd", "javascript", "X-Header"))
        else:
            taken.append(content[:100])
    assert taken == []


@pytest.mark.parametrize("what", ["pipe", "folder", "endless"])
def test_a_settings_file_that_is_no_file_holds_nobody_up(tmp_path: Path, what: str) -> None:
    file = write_site(tmp_path) / "pacs.toml"
    file.unlink()
    if what == "pipe":
        os.mkfifo(file)
    elif what == "folder":
        file.mkdir()
    else:
        file.symlink_to("/dev/zero")
    with pytest.raises(PacsFileError, match=r"pacs\.toml"):
        read_pacs(tmp_path, SITE)


@pytest.mark.parametrize(
    "name", ["a\0b", "a" * 5_000, "/etc/shadow", "..", "../../../etc/passwd", "/dev/zero", "pipe", ""]
)
@pytest.mark.parametrize("key", ["ca_file", "key"])
def test_a_certificate_that_is_none_is_refused_and_not_quoted(tmp_path: Path, name: str, key: str) -> None:
    folder = write_site(tmp_path)
    os.mkfifo(folder / "pipe")
    tls = f"[tls]\nca_file = {json.dumps(name)}\n"
    if key == "key":
        (folder / "a.pem").write_text("no certificate")
        tls = f'[tls]\ncertificate = "a.pem"\nkey = {json.dumps(name)}\n'
    (folder / "pacs.toml").write_text(by_dimse(more="tls = true") + tls)
    with pytest.raises((PacsCredentialsError, PacsFileError)) as caught:
        tls_context(read_pacs(tmp_path, SITE))
    assert "root:" not in str(caught.value)
    assert len(str(caught.value)) < 1_000


def as_json(said: Any) -> Answer:
    return 200, {"Content-Type": "application/dicom+json"}, json.dumps(said).encode()


def an_answer(**elements: str) -> dict[str, Any]:
    tags = {keyword: tag for tag, keyword in dicomweb.READ.items()}
    return {tags[keyword]: {"vr": "UI", "Value": [said]} for keyword, said in elements.items()}


def test_answers_without_an_end_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicomweb, "MOST_ANSWERS", 600)
    asked: list[str] = []

    def endless(path: str, answer: Answer) -> Answer:
        asked.append(path)
        return as_json([an_answer(StudyInstanceUID=f"1.2.{len(asked)}.{number}") for number in range(500)])

    def at_once(path: str, answer: Answer) -> Answer:
        return as_json([an_answer(StudyInstanceUID=f"1.2.{number}") for number in range(20_000)])

    for hostile in (endless, at_once):
        with WebPeer(change=hostile) as peer:
            write_site(tmp_path, dicomweb=peer.settings())
            with pytest.raises(TooManyAnswersError, match="over 600 answers; raise since"):
                poll(tmp_path)
    assert len(asked) < 200  # by shorter and shorter periods, and then no more


def test_the_same_answers_over_and_over_end(tmp_path: Path) -> None:
    def hostile(path: str, answer: Answer) -> Answer:
        if "/studies?" not in path:
            return answer
        return as_json([an_answer(StudyInstanceUID="1.2.826.1", StudyDate="20260310")] * 700)

    with WebPeer([study_film("one")], change=hostile) as peer:
        write_site(tmp_path, dicomweb=peer.settings())
        assert poll(tmp_path).fetched == 1
        assert len(peer.asked) < 60


@pytest.mark.parametrize(
    "body",
    [
        b'[{"0020000D": {"vr": "UI", "Value": [' + b"9" * 5_000 + b"]}}]",
        b'[{"0020000D": {"vr": "UI", "Value": [1e999]}}]',
        b'[{"0020000D": {"vr": "UI", "Value": [NaN]}}]',
        b'{"0020000D": ' * 20_000,
        b'[{"0020000D": {"vr": "UI", "Value": ["1.2"], "Value": ["../../x"]}}]',
        json.dumps([an_answer(StudyInstanceUID="1.2.3\n")]).encode("utf-16"),
        '[{"0020000D": {"vr": "UI", "Value": ["山田"]}}]'.encode("shift_jis"),
        b'["' + b"\\ud800" * 1_000 + b'"]',
        json.dumps([an_answer(StudyInstanceUID="1.2.826.1/../../instances")]).encode(),
        json.dumps([an_answer(StudyInstanceUID="1.2.826.1?limit=1")]).encode(),
        json.dumps([an_answer(StudyInstanceUID="1.2.826.1%2f..")]).encode(),
        json.dumps([an_answer(StudyInstanceUID="1.2.826.1\r\nHost: evil")]).encode(),
        json.dumps([an_answer(StudyInstanceUID="１.２.３")]).encode(),
    ],
)
def test_answers_that_are_none_reach_no_path_and_no_file(tmp_path: Path, body: bytes) -> None:
    def hostile(path: str, answer: Answer) -> Answer:
        return (200, {"Content-Type": "application/dicom+json"}, body) if "/studies?" in path else answer

    with WebPeer([study_film("one")], change=hostile) as peer:
        write_site(tmp_path, dicomweb=peer.settings())
        with suppress(StoreFailedError):
            assert sum(poll(tmp_path).odd.values()) >= 1
        assert {path.split("?")[0] for path, _ in peer.asked} == {"/dicom-web/studies"}
    assert films_of(tmp_path) == {}


@pytest.mark.parametrize(
    ("level", "elements"),
    [
        ("series", {"StudyInstanceUID": "1.2.826.99", "SeriesInstanceUID": "1.2.826.99.1"}),
        ("instances", {"SeriesInstanceUID": "1.2.826.99.1", "SOPInstanceUID": "1.2.826.99.1.1"}),
        ("instances", {"SOPInstanceUID": "../../../../etc/cron.d/x"}),
        ("instances", {"SOPInstanceUID": "1.2.3", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11"}),
        ("instances", {"SOPInstanceUID": "1.2.3", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1"}),
    ],
)
def test_answers_about_something_else_are_counted_and_not_fetched(
    tmp_path: Path, level: str, elements: dict[str, str]
) -> None:
    def hostile(path: str, answer: Answer) -> Answer:
        asked = f"/{level}?" in path and "offset=0" in path
        return as_json([an_answer(**elements), *json.loads(answer[2])]) if asked else answer

    with WebPeer([study_film("one")], change=hostile) as peer:
        write_site(tmp_path, dicomweb=peer.settings())
        found = poll(tmp_path)
        assert (found.fetched, sum(found.odd.values())) == (1, 1)
        assert not any("1.2.826.99" in path or "/instances/1.2.3" in path for path, _ in peer.asked)


@pytest.mark.parametrize("charset", ["ISO_IR 999", "x\\y", "ISO 2022 IR 87\\ISO_IR 13", "utf-16", "idna"])
def test_answers_in_a_character_set_that_is_none_are_read_all_the_same(tmp_path: Path, charset: str) -> None:
    def hostile(answer: Dataset) -> Dataset:
        answer.SpecificCharacterSet = charset.split("\\")
        return answer

    with Peer([study_film("one")], answer=hostile) as peer:
        write_site(tmp_path, dimse=peer.settings())
        assert poll(tmp_path).fetched == 1


def file_of(film: Dataset) -> bytes:
    buffer = BytesIO()
    film.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def as_film(content: bytes, **headers: str) -> Answer:
    return 200, {"Content-Type": "application/dicom"} | headers, content


def other_instance(film: Dataset) -> Answer:
    return as_film(file_of(study_film("another")))


def meta_only_says_so(film: Dataset) -> Answer:
    """The file's own header is of another object than its file meta information says."""
    other = study_film("another")
    other.file_meta.MediaStorageSOPInstanceUID = film.SOPInstanceUID
    other.preamble, buffer = b"\0" * 128, BytesIO()
    other.save_as(buffer)
    return as_film(buffer.getvalue())


def report(film: Dataset) -> Answer:
    return as_film(file_of(study_film("one", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33")))


def pdf(film: Dataset) -> Answer:
    return as_film(
        file_of(study_film("one", SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1", EncapsulatedDocument=b"%PDF"))
    )


def plain_pdf(film: Dataset) -> Answer:
    return 200, {"Content-Type": "application/pdf"}, b"%PDF-1.4"


def archive(film: Dataset) -> Answer:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as writer:
        writer.writestr("../../../evil.dcm", file_of(film))
    return as_film(packed.getvalue())


def deflated_bomb(film: Dataset) -> Answer:
    """Half a megabyte that unfolds to half a gigabyte, in DICOM's deflated transfer syntax."""
    meta = study_film("one").file_meta
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    buffer = BytesIO()
    pydicom.filewriter.write_file_meta_info(buffer, meta, enforce_standard=False)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    zeros = bytes(1 << 20)
    packed = b"".join(packer.compress(zeros) for _ in range(1 << 9)) + packer.flush()
    return as_film(b"\0" * 128 + b"DICM" + buffer.getvalue() + packed)


def half(film: Dataset) -> Answer:
    return as_film(file_of(film)[:300])


def nothing(film: Dataset) -> Answer:
    return as_film(b"")


def parts_with_paths(film: Dataset) -> Answer:
    """Several parts, of which each says where it wants to lie."""
    head = "Content-Type: application/dicom\r\nContent-Location: ../../../evil\r\n"
    head += 'Content-Disposition: attachment; filename="../../../evil.dcm"\r\n'
    parts = [file_of(study_film("another")), file_of(film)]
    body = b"".join(f"--{BOUNDARY}\r\n{head}\r\n".encode() + part + b"\r\n" for part in parts)
    kind = f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'
    return 200, {"Content-Type": kind}, body + f"--{BOUNDARY}--\r\n".encode()


def no_boundary(film: Dataset) -> Answer:
    return 200, {"Content-Type": 'multipart/related; boundary="(.*)+$"'}, file_of(film)


@pytest.mark.parametrize(
    ("hostile", "reasons"),
    [
        (other_instance, {"other_uid"}),
        (meta_only_says_so, {"other_uid"}),
        (report, {"other_class"}),
        (pdf, {"other_class"}),
        (plain_pdf, {"StoreFailed"}),
        (archive, {"not_dicom"}),
        (deflated_bomb, {"not_dicom"}),
        (half, {"not_dicom"}),
        (nothing, {"not_dicom"}),
        (parts_with_paths, {"other_uid"}),
        (no_boundary, {"StoreFailed"}),
    ],
)
def test_what_is_not_the_film_that_was_asked_for_never_reaches_the_landing_folder(
    tmp_path: Path, hostile: Any, reasons: set[str]
) -> None:
    films = [study_film("one"), study_film("good", study=2)]

    def change(path: str, answer: Answer) -> Answer:
        return hostile(films[0]) if path.endswith(f"/instances/{films[0].SOPInstanceUID}") else answer

    with WebPeer(films, change=change) as peer:
        folder = write_site(tmp_path / "data", dicomweb=peer.settings())
        found = poll(tmp_path / "data")
    assert (found.fetched, set(found.reasons)) == (1, reasons)
    (content,) = films_of(tmp_path / "data").values()
    assert pydicom.dcmread(BytesIO(content)).SOPInstanceUID == films[1].SOPInstanceUID
    assert all(
        re.fullmatch(r"(not_dicom|other_uid|other_class)-F[0-9a-f]+\.dcm", each.name)
        for each in folder.glob("refused/*")
    )
    assert {path.name for path in tmp_path.iterdir()} == {"data"}
    assert list(tmp_path.rglob("*evil*")) == []


def test_a_film_that_is_sent_packed_is_not_unpacked_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "LARGEST_BYTES", 1_000_000)
    films = [study_film("one"), study_film("good", study=2)]
    bomb = gzip.compress(bytes(20_000_000))

    def change(path: str, answer: Answer) -> Answer:
        packed = as_film(bomb, **{"Content-Encoding": "gzip"})
        return packed if path.endswith(f"/instances/{films[0].SOPInstanceUID}") else answer

    with WebPeer(films, change=change) as peer:
        write_site(tmp_path, dicomweb=peer.settings())
        found = poll(tmp_path)
    assert (found.fetched, found.reasons) == (1, {"TooLarge": 1})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "place", ["http://127.0.0.1:{}/dicom-web/x", "//127.0.0.1:{}/x", "file:///etc/passwd", "ftp://127.0.0.1"]
)
def test_nobody_is_followed_elsewhere(tmp_path: Path, status: int, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLVF_PACS_INSTITUTION_7_TOKEN", "a-token")
    with WebPeer([study_film("one")]) as other, WebPeer([study_film("one")]) as peer:
        peer.change = lambda path, answer: (status, {"Location": place.format(other.port)}, b"")
        write_site(tmp_path, dicomweb=peer.settings(login="token"))
        with pytest.raises(PacsError):
            poll(tmp_path)
        assert other.asked == []
    assert films_of(tmp_path) == {}


ODD: tuple[Any, ...] = (None, 5, -1, 1.5, True, "", "x" * 5_000, "../../x", [], [[]], {}, {"a": {}}, ["1.2.3"])
SERIES_ID = "-".join(["0123abcd"] * 5)


@pytest.mark.parametrize(
    "key", ["MainDicomTags", "ParentStudy", "LastUpdate", "Instances", "IsStable", "Modality", "StudyDate"]
)
def test_a_change_feed_that_says_odd_things_of_a_series_stops_no_other_site(tmp_path: Path, key: str) -> None:
    for odd in ODD:
        series: dict[str, Any] = {
            "MainDicomTags": {"Modality": "DX"}, "ParentStudy": SERIES_ID, "LastUpdate": "1", "Instances": ["a"],
            "IsStable": True,
        }  # fmt: skip
        study: dict[str, Any] = {"MainDicomTags": {"StudyInstanceUID": "1.2.826.1", "StudyDate": "20260310"}}
        if key in series:
            series[key] = odd
        elif key == "Modality":
            series["MainDicomTags"] = {key: odd}
        else:
            study["MainDicomTags"][key] = odd
        resources = {f"/series/{SERIES_ID}": series, f"/studies/{SERIES_ID}": study}
        changes = [{"Seq": 1, "ChangeType": "NewSeries", "ID": SERIES_ID, "ResourceType": "Series"}]
        with WebPeer(changes=changes, resources=resources) as peer:
            write_site(tmp_path, dicomweb=peer.settings(), orthanc={"url": peer.url})
            (tmp_path / "pacs" / SITE / "state.sqlite").unlink(missing_ok=True)
            with suppress(PacsError):
                found = site_told(tmp_path, SITE)
                assert found is not None
                assert found.waiting in (0, 1)


@pytest.mark.parametrize("where", ["sequence", "item", "reason", "whole"])
def test_an_odd_answer_to_what_was_sent_is_a_file_that_was_not_stored(tmp_path: Path, where: str) -> None:
    file = tmp_path / "one.dcm"
    study_film("one").save_as(file, enforce_file_format=True)
    for odd in ODD:
        said: Any = {
            "sequence": {"00081198": {"vr": "SQ", "Value": odd}},
            "item": {"00081198": {"vr": "SQ", "Value": [odd]}},
            "reason": {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [odd]}}]}},
            "whole": odd,
        }[where]
        with WebPeer(change=lambda path, answer, said=said: as_json(said)) as peer:
            write_site(tmp_path, dicomweb=peer.settings())
            with suppress(PacsError):
                (told,) = send_to_store(tmp_path, SITE, [file]).values()
                assert told is None or "did not store" in told or "not what DICOMweb promises" in told
