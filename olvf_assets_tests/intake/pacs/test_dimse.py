"""Films out of an image store that speaks DICOM's own protocol, and everything that can go wrong on the way."""

import struct
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless, RLELossless

from olvf_assets.intake.pacs import connection_guard
from olvf_assets.intake.pacs.errors import (
    PacsError,
    StoreFailedError,
    StoreRefusesUsError,
    StoreTlsError,
    StoreUnreachableError,
    TooLargeError,
)
from olvf_assets.intake.pacs.site import send_to_store, site_status
from olvf_assets.intake.pacs.site import test_site as tried_out
from olvf_assets_tests.intake.pacs.peers import (
    SITE,
    Peer,
    films_of,
    free_port,
    poll,
    silent_server,
    study_film,
    tls_files,
    write_site,
)

Silent = Callable[[bytes], int]


@pytest.fixture
def silent() -> Iterator[Silent]:
    """Return a function that opens a port where nothing but some bytes is said, and returns it."""
    listeners = []

    def listen(content: bytes = b"") -> int:
        listener, port = silent_server(content)
        listeners.append(listener)
        return port

    yield listen
    for each in listeners:
        each.close()


def uids_of(data: Path) -> list[str]:
    return sorted(str(pydicom.dcmread(BytesIO(content)).SOPInstanceUID) for content in films_of(data).values())


def test_films_come_by_c_get_as_they_are_stored_and_only_once(tmp_path: Path) -> None:
    films = [study_film(f"film {number}", study=number // 2) for number in range(6)]
    films[0].compress(RLELossless)
    films[1].compress(JPEGLSLossless)
    with Peer(films) as peer:
        write_site(tmp_path, dimse=peer.settings())
        assert tried_out(tmp_path, SITE)[1:] == ["C-ECHO is answered", "C-FIND is answered", "C-GET is offered"]
        first, second = poll(tmp_path), poll(tmp_path)
    assert (first.fetched, first.counts["held"], second.fetched, second.counts["held"]) == (6, 6, 0, 6)
    came = {film.SOPInstanceUID: film for film in map(pydicom.dcmread, map(BytesIO, films_of(tmp_path).values()))}
    assert {uid: film.PixelData for uid, film in came.items()} == {
        film.SOPInstanceUID: film.PixelData for film in films
    }
    syntaxes = [came[film.SOPInstanceUID].file_meta.TransferSyntaxUID for film in films]
    assert syntaxes == [film.file_meta.TransferSyntaxUID for film in films]
    assert syntaxes[:2] == [RLELossless, JPEGLSLossless]


def test_file_names_and_account_hold_nothing_that_the_store_said(tmp_path: Path) -> None:
    films = [study_film("one"), study_film("two", study=2)]
    with Peer(films) as peer:
        folder = write_site(tmp_path, dimse=peer.settings())
        poll(tmp_path)
    names = [name.removesuffix(".dcm") for name in films_of(tmp_path)]
    assert not any(name.encode() in (folder / "state.sqlite").read_bytes() for name in names)
    said = (folder / "state.sqlite").read_bytes() + " ".join(names).encode()
    for each in ("1.2.826", films[0].SOPInstanceUID, "P1", "Yamada", "ACC90017"):
        assert each.encode() not in said
    assert (folder / "state.sqlite").stat().st_mode & 0o077 == 0


def test_films_come_by_c_move_to_the_port_that_listens(tmp_path: Path) -> None:
    films = [study_film("one"), study_film("two", study=2)]
    films[0].compress(RLELossless)
    with Peer(films, move_to=free_port()) as peer:
        move = peer.settings(retrieve="move", own_address="127.0.0.1", own_port=peer.move_to)
        write_site(tmp_path, dimse=move)
        assert tried_out(tmp_path, SITE)[-1] == "C-MOVE is offered"
        assert poll(tmp_path).fetched == 2
        assert uids_of(tmp_path) == sorted(film.SOPInstanceUID for film in films)
        peer.films.append(study_film("three", study=3))
        peer.move_to = 0
        with pytest.raises(StoreRefusesUsError, match="register it there with the address of this machine and port"):
            poll(tmp_path)


def test_a_second_instance_that_comes_late_comes_with_the_next_poll_and_what_is_known_is_not_asked_again(
    tmp_path: Path,
) -> None:
    with Peer([study_film("one"), study_film("other", study=2)]) as peer:
        write_site(tmp_path, dimse=peer.settings())
        assert poll(tmp_path).fetched == 2
        peer.asked.clear()
        peer.films.append(study_film("late"))
        assert poll(tmp_path).fetched == 1
        assert peer.asked.count("IMAGE") == 1
        peer.asked.clear()
        assert poll(tmp_path).fetched == 0
        assert peer.asked.count("IMAGE") == 0
    assert len(films_of(tmp_path)) == 3


def test_only_what_was_asked_for_comes(tmp_path: Path) -> None:
    films = [
        study_film("lumbar"),
        study_film("chest", study=2, BodyPartExamined="CHEST"),
        study_film("silent", study=3, BodyPartExamined=""),
        study_film("ct", study=4, Modality="CT"),
        study_film("old", study=5, day="20260228"),
        study_film("elsewhere", study=6, StationName="XR9"),
        study_film("future", study=7, day="20990101"),
        study_film("another class", study=8, SOPClassUID="1.2.840.10008.5.1.4.1.1.7"),
    ]
    with Peer(films) as peer:
        what = {"body_parts": ["L SPINE", "LSPINE"], "stations": ["XR1"]}
        write_site(tmp_path, dimse=peer.settings(), what=what)
        found = poll(tmp_path)
    assert uids_of(tmp_path) == sorted(films[place].SOPInstanceUID for place in (0, 2, 6))
    assert found.odd == {"an instance of a class that holds no film": 1}


def test_a_store_that_gives_few_answers_at_once_is_asked_by_shorter_periods(tmp_path: Path) -> None:
    films = [study_film(f"film {day}", study=day, day=f"202603{day:02}") for day in range(1, 31)]
    with Peer(films, limit=3) as peer:
        write_site(tmp_path, dimse=peer.settings())
        assert poll(tmp_path).fetched == 30


def test_a_store_that_dies_in_the_middle_loses_and_doubles_nothing(tmp_path: Path) -> None:
    films = [study_film(f"film {number}", study=number) for number in range(5)]
    port = free_port()
    sent: list[Dataset] = []

    def dying(dataset: Dataset) -> Dataset:
        sent.append(dataset)
        if len(sent) == 3:
            for each in peer._server.active_associations:  # as kill -9 does
                each.dul.socket.socket.close()
        return dataset

    with Peer(films, port=port, sent=dying) as peer:
        write_site(tmp_path, dimse=peer.settings())
        with pytest.raises(StoreUnreachableError, match="broke off"):
            poll(tmp_path)
    assert len(films_of(tmp_path)) == 2
    with pytest.raises(StoreUnreachableError, match="cannot be connected to"):
        poll(tmp_path)
    assert any("last failure" in line and "cannot be connected to" in line for line in site_status(tmp_path, SITE))
    with Peer(films, port=port) as peer:
        found = poll(tmp_path)
    assert (found.fetched, found.counts["held"], found.counts["waiting"]) == (3, 5, 0)
    assert uids_of(tmp_path) == sorted(film.SOPInstanceUID for film in films)
    assert not any("last failure" in line for line in site_status(tmp_path, SITE))


def test_the_same_instance_in_two_series_comes_once(tmp_path: Path) -> None:
    films = [study_film("same"), study_film("same", series=2, KVP=99)]
    with Peer(films) as peer:
        write_site(tmp_path, dimse=peer.settings())
        assert poll(tmp_path).fetched == 1
        assert poll(tmp_path).fetched == 0
    assert uids_of(tmp_path) == [films[0].SOPInstanceUID]


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"called_ae": "ANOTHER"}, StoreRefusesUsError, "is not called 'ANOTHER'; correct called_ae"),
        ({"calling_ae": "STRANGER"}, StoreRefusesUsError, "does not know AE title 'STRANGER'; register it there"),
        ({"port": 1}, StoreUnreachableError, "cannot be connected to (Connection refused)"),
        ({"host": "no-such-host.invalid"}, StoreUnreachableError, "cannot be connected to"),
        ({"tls": True}, StoreTlsError, "TLS fails"),
    ],
)
def test_why_there_is_no_connection_is_said(tmp_path: Path, changes: dict, error: type[PacsError], said: str) -> None:
    with Peer([study_film("one")]) as peer:
        write_site(tmp_path, dimse=peer.settings(**changes))
        for ask in (tried_out, lambda data, _: poll(data)):
            with pytest.raises(error) as caught:
                ask(tmp_path, SITE)
            assert said in str(caught.value)


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x02\0\xff\xff\xff\xff" + bytes(20_000)])
def test_a_port_where_no_store_is_is_told(tmp_path: Path, silent: Silent, says: bytes) -> None:
    port = silent(says)
    write_site(tmp_path, dimse={"host": "127.0.0.1", "port": port, "called_ae": "STORE", "timeout_s": 0.5})
    with pytest.raises((StoreUnreachableError, TooLargeError)):
        tried_out(tmp_path, SITE)


def test_connections_are_encrypted_where_the_site_says_so(tmp_path: Path) -> None:
    import ssl

    certificate, key = tls_files(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with Peer([study_film("one")], tls=context) as peer:
        write_site(tmp_path, dimse=peer.settings(tls=True))
        with pytest.raises(StoreTlsError, match=r"self.signed certificate"):
            poll(tmp_path)
        write_site(tmp_path, dimse=peer.settings(tls=True), tls={"ca_file": "../../store.pem"})
        assert poll(tmp_path).fetched == 1
        write_site(tmp_path, dimse=peer.settings())
        with pytest.raises(StoreUnreachableError, match="tls = true"):
            tried_out(tmp_path, SITE)


def test_the_store_must_show_a_certificate_when_it_connects_to_us(tmp_path: Path) -> None:
    import ssl

    certificate, key = tls_files(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with Peer([study_film("one")], tls=context, move_to=free_port()) as peer:
        move = peer.settings(tls=True, retrieve="move", own_address="127.0.0.1", own_port=peer.move_to)
        write_site(tmp_path, dimse=move, tls={"ca_file": "../../store.pem"})
        with pytest.raises(PacsError, match="needs certificate and key"):
            poll(tmp_path)
        tls = {"ca_file": "../../store.pem", "certificate": "../../store.pem", "key": "../../store.key"}
        write_site(tmp_path, dimse=move, tls=tls)
        with pytest.raises(PacsError):  # the peer sends without TLS
            poll(tmp_path)
    assert films_of(tmp_path) == {}


@pytest.mark.parametrize(
    "uid", ["../../../etc/passwd", "1.2.3/4", "", "1.2.3 4", "1" * 65, "1.2\x00.3", "..", "1.2.\\3"]
)
def test_an_answer_without_a_usable_uid_is_counted_and_hinders_no_other(tmp_path: Path, uid: str) -> None:
    def hostile(answer: Dataset) -> Dataset:
        keyword = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
        if answer.get("StudyInstanceUID") == "1.2.826.2":
            if uid:
                answer.add_new(keyword[answer.QueryRetrieveLevel], "LO", uid)
            else:
                del answer[keyword[answer.QueryRetrieveLevel]]
        return answer

    with Peer([study_film("good"), study_film("bad", study=2)], answer=hostile) as peer:
        write_site(tmp_path, dimse=peer.settings())
        found = poll(tmp_path)
    assert found.fetched == 1
    assert sum(found.odd.values()) >= 1
    assert len(films_of(tmp_path)) == 1


def other_uid(dataset: Dataset) -> Dataset:
    changed = pydicom.dcmread(BytesIO(as_file(dataset)))
    changed.SOPInstanceUID = "1.2.3.4.5"
    return changed


def as_file(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_an_object_with_another_uid_than_was_asked_for_is_laid_aside_and_asked_for_again(tmp_path: Path) -> None:
    def hostile(dataset: Dataset) -> Dataset:
        return other_uid(dataset) if dataset.StudyInstanceUID == "1.2.826.2" else dataset

    films = [study_film("good"), study_film("bad", study=2)]
    with Peer(films, sent=hostile) as peer:
        folder = write_site(tmp_path, dimse=peer.settings())
        found = poll(tmp_path)
        assert (found.fetched, found.counts["failed"], found.reasons) == (1, 1, {"other_uid": 1})
        assert [path.name.split("-")[0] for path in (folder / "refused").iterdir()] == ["other_uid"]
        peer.sent = lambda dataset: dataset
        assert poll(tmp_path).counts == {"held": 2, "waiting": 0, "failed": 0, "refused": 0}


def test_a_film_that_the_store_cannot_send_does_not_hold_up_the_others_and_is_given_up_after_five_polls(
    tmp_path: Path,
) -> None:
    films = [study_film("good"), study_film("lost", study=2)]
    with Peer(films, sent=lambda each: None if each.StudyInstanceUID == "1.2.826.2" else each) as peer:
        write_site(tmp_path, dimse=peer.settings())
        for number in range(5):
            found = poll(tmp_path)
            assert found.counts["failed"] == (number < 4)
        assert found.counts["refused"] == 1
        assert found.reasons == {"StoreFailed": 1}
        peer.sent = lambda each: each
        assert poll(tmp_path).fetched == 0
        assert poll(tmp_path, whole=True).fetched == 1


def test_a_store_that_fails_each_time_is_given_up_for_this_poll(tmp_path: Path) -> None:
    films = [study_film(f"film {number}", study=number) for number in range(20)]
    with Peer(films, sent=lambda each: None) as peer:
        write_site(tmp_path, dimse=peer.settings())
        with pytest.raises(StoreFailedError, match="said that it sent a film, and none came"):
            poll(tmp_path)
        peer.sent = lambda each: each
        assert poll(tmp_path).counts["held"] == 20


def test_more_than_a_film_can_hold_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_guard, "LARGEST_BYTES", 100_000)
    big = study_film("big", study=2, Rows=400, Columns=400, PixelData=bytes(320_000))
    with Peer([study_film("small"), big]) as peer:
        write_site(tmp_path, dimse=peer.settings())
        found = poll(tmp_path)
        assert (found.fetched, found.counts["failed"], found.reasons) == (1, 1, {"TooLarge": 1})


def test_a_store_that_never_ends_sending_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_guard, "LONGEST_S", -1.0)
    with Peer([study_film("one")]) as peer:
        write_site(tmp_path, dimse=peer.settings())
        with pytest.raises(TooLargeError, match="has been sending one thing"):
            tried_out(tmp_path, SITE)


def test_a_part_of_four_gigabytes_is_not_waited_for(tmp_path: Path, silent: Silent) -> None:
    port = silent(struct.pack(">BBL", 2, 0, 0xFFFFFFF0))
    write_site(tmp_path, dimse={"host": "127.0.0.1", "port": port, "called_ae": "STORE", "timeout_s": 5.0})
    with pytest.raises(TooLargeError, match="more than any film holds"):
        tried_out(tmp_path, SITE)


def test_endless_answers_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from olvf_assets.intake.pacs import dimse

    monkeypatch.setattr(dimse, "MOST_ANSWERS", 5)
    films = [study_film(f"film {number}", study=number) for number in range(20)]
    with Peer(films) as peer:
        write_site(tmp_path, dimse=peer.settings())
        with pytest.raises(PacsError, match="over 5 answers"):
            poll(tmp_path)


def test_results_are_stored_and_what_is_not_is_said_file_by_file(tmp_path: Path) -> None:
    files = [tmp_path / "one.dcm", tmp_path / "two.dcm"]
    files[0].write_bytes(as_file(study_film("one")))
    report = study_film("two", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.34")
    files[1].write_bytes(as_file(report))
    with Peer([]) as peer:
        write_site(tmp_path, dimse=peer.settings())
        found = send_to_store(tmp_path, SITE, files)
        assert [str(each.SOPInstanceUID) for each in peer.stored] == [str(study_film("one").SOPInstanceUID)]
    assert found[files[0]] is None
    assert "takes no objects of class 1.2.840.10008.5.1.4.1.1.88.34" in str(found[files[1]])
    assert "allow it to store there" in str(found[files[1]])
    with pytest.raises(StoreUnreachableError):
        send_to_store(tmp_path, SITE, files)
