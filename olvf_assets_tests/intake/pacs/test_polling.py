"""What a poll asks for, what it leaves for later, and that nothing is lost or comes twice."""

import datetime
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from olvf_assets.foundation.write_faults import DiskFullError
from olvf_assets.intake.landing.institution_file import InstitutionFileError
from olvf_assets.intake.landing.landing_walk import arrived_paths
from olvf_assets.intake.pacs import dimse, received
from olvf_assets.intake.pacs.answers import Answer
from olvf_assets.intake.pacs.errors import StoreUnreachableError
from olvf_assets.intake.pacs.polling import DAY_S
from olvf_assets.intake.pacs.site import due_sites, site_status
from olvf_assets.intake.pacs.state import Known, State, mark
from olvf_assets.intake.privacy.pseudonyms import PseudonymKeyError, pseudonymiser
from olvf_assets.storage.run_lock import DataFolderInUseError, hold_data_folder
from olvf_assets_tests.intake.pacs.peers import NOW_S, SITE, films_of, poll, study_film, write_site
from olvf_assets_tests.intake.samples import headers, manifest


class Stub:
    """An image store without a network."""

    def __init__(self) -> None:
        self.films: list[Dataset] = []
        self.asked: list[datetime.date] = []
        self.fetched: list[str] = []
        self.dies_after = 1_000

    def close(self) -> None:
        pass

    def test(self) -> list[str]:
        return []

    def studies(self, first: datetime.date, last: datetime.date | None, modality: str) -> list[Answer]:
        self.asked.append(first)
        days = f"{first:%Y%m%d}", f"{last:%Y%m%d}" if last else "99999999"
        return _answers(
            film for film in self.films if film.Modality == modality and days[0] <= film.StudyDate <= days[1]
        )  # fmt: skip

    def series(self, study_uid: str) -> list[Answer]:
        return _answers(film for film in self.films if film.StudyInstanceUID == study_uid)

    def instances(self, study_uid: str, series_uid: str) -> list[Answer]:
        return _answers(film for film in self.films if film.SeriesInstanceUID == series_uid)

    def fetch(self, study_uid: str, series_uid: str, uid: str) -> bytes:
        if len(self.fetched) >= self.dies_after:
            raise StoreUnreachableError("the store died")
        self.fetched.append(uid)
        (film,) = [film for film in self.films if film.SOPInstanceUID == uid]
        buffer = BytesIO()
        film.save_as(buffer, enforce_file_format=True)
        return buffer.getvalue()

    def send(self, content: bytes) -> None:
        raise AssertionError


def _answers(films: Iterator[Dataset]) -> list[Answer]:
    keywords = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "StudyDate", "Modality", "SOPClassUID")
    return [{keyword: str(film[keyword].value) for keyword in keywords} for film in films]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stub:
    stub = Stub()
    monkeypatch.setattr(dimse, "DimseStore", lambda pacs: stub)
    connect(tmp_path)
    return stub


def connect(data: Path, **what: Any) -> Path:
    return write_site(data, dimse={"host": "pacs.example", "port": 104, "called_ae": "STORE"}, what=what)


def film_id(data: Path, film: Dataset) -> str:
    return pseudonymiser(SITE, False, data).film(film.SOPInstanceUID)


def test_what_was_fetched_is_a_film_of_the_landing_folder_under_the_pseudonym_that_it_bears(
    tmp_path: Path, store: Stub
) -> None:
    connect(tmp_path, body_parts=["LSPINE"])
    store.films = [study_film("one", PatientID="A-1")]
    poll(tmp_path)
    rows = headers(tmp_path / "landing" / SITE, pseudonymiser(SITE, False, tmp_path))
    assert rows.select("film_id", "refusal").rows() == [(film_id(tmp_path, store.films[0]), None)]
    listed = manifest(tmp_path / "landing" / SITE, pseudonymiser(SITE, False, tmp_path))
    assert sorted(listed["kind"]) == ["candidate", "sheet"]
    assert set(listed["state"]) == {"arrived"}
    assert not any("1.2.826" in path for path in listed["path"])


def test_a_series_that_is_still_arriving_waits_until_it_is_quiet(tmp_path: Path, store: Stub) -> None:
    connect(tmp_path, settle_s=60.0)
    store.films = [study_film("one")]
    paused: list[float] = []

    def pause(seconds: float) -> None:
        paused.append(seconds)
        store.films.append(study_film(f"late {len(paused)}"))

    found = poll(tmp_path, now=lambda: NOW_S, wait=False)
    assert (found.fetched, found.settling, found.counts["waiting"]) == (0, 1, 1)
    found = poll(tmp_path, now=lambda: NOW_S + 30, pause=pause)
    assert (found.fetched, found.settling, paused) == (0, 1, [pytest.approx(30.01)])
    found = poll(tmp_path, now=lambda: NOW_S + 60, wait=False)
    assert (found.fetched, found.settling) == (0, 1)
    found = poll(tmp_path, now=lambda: NOW_S + 90, wait=False)
    assert (found.fetched, found.settling, found.counts["held"]) == (2, 0, 2)


def test_a_poll_waits_itself_for_what_came_just_now(tmp_path: Path, store: Stub) -> None:
    connect(tmp_path, settle_s=60.0)
    store.films = [study_film("one")]
    clock = [NOW_S]

    def pause(seconds: float) -> None:
        clock[0] += seconds

    assert poll(tmp_path, now=lambda: clock[0], pause=pause).fetched == 1


def test_a_store_that_dies_is_gone_on_with_where_it_died(tmp_path: Path, store: Stub) -> None:
    store.films = [study_film(f"film {number}", study=number) for number in range(6)]
    store.dies_after = 4
    with pytest.raises(StoreUnreachableError):
        poll(tmp_path)
    assert len(films_of(tmp_path)) == 4
    store.dies_after = 1_000
    assert poll(tmp_path).fetched == 2
    assert len(store.fetched) == len(set(store.fetched)) == 6


def test_what_a_killed_poll_left_half_written_is_no_film_and_goes(tmp_path: Path, store: Stub) -> None:
    store.films = [study_film("one"), study_film("two", study=2)]
    poll(tmp_path)
    landing = tmp_path / "landing" / SITE
    (whole,) = landing.glob(f"films/pacs/*/{film_id(tmp_path, store.films[0])}.dcm")
    half = whole.with_name(f".partial-1-{whole.name}")
    half.write_bytes(whole.read_bytes()[:500])
    whole.unlink()  # killed between writing and renaming, before the account was kept
    with State(tmp_path / "pacs" / SITE).change() as database:
        database.execute("delete from instances where film = ?", (mark(film_id(tmp_path, store.films[0])),))
        database.execute("delete from series")
    assert len(arrived_paths(landing)) == 2
    assert poll(tmp_path).fetched == 1
    assert not half.exists()
    assert len(arrived_paths(landing)) == 3


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b"no database" * 1000)])
def test_an_account_that_is_lost_fetches_nothing_twice(tmp_path: Path, store: Stub, damage: Any) -> None:
    store.films = [study_film(f"film {number}", study=number) for number in range(4)]
    poll(tmp_path)
    damage(tmp_path / "pacs" / SITE / "state.sqlite")
    store.films.append(study_film("new", study=9))
    assert poll(tmp_path).fetched == 1
    assert len(store.fetched) == len(set(store.fetched)) == 5


def test_a_film_that_was_taken_away_comes_again_only_when_asked_for(tmp_path: Path, store: Stub) -> None:
    store.films = [study_film("withdrawn")]
    poll(tmp_path)
    for path in (tmp_path / "landing" / SITE).rglob("*.dcm"):
        path.unlink()
    assert poll(tmp_path, whole=True).fetched == 0
    assert poll(tmp_path, again=True).fetched == 1


def test_a_film_that_came_another_way_is_not_fetched(tmp_path: Path, store: Stub) -> None:
    store.films = [study_film("by hand"), study_film("new", study=2)]
    found = poll(tmp_path, held_elsewhere=[film_id(tmp_path, store.films[0])])
    assert (found.fetched, found.counts["held"]) == (1, 2)


def test_answers_about_another_study_or_series_are_counted_and_not_taken(tmp_path: Path, store: Stub) -> None:
    store.films = [study_film("mine"), study_film("another's", study=2, day="20200101")]
    series, instances = store.series, store.instances
    store.series = lambda study: [*series(study), *series("1.2.826.2")]
    store.instances = lambda study, uid: [*instances(study, uid), *instances("1.2.826.2", "1.2.826.2.1")]
    found = poll(tmp_path)
    assert found.odd == {
        "a series of another study than was asked for": 1, "an instance of another series than was asked for": 1
    }  # fmt: skip
    assert store.fetched == [store.films[0].SOPInstanceUID]


def test_a_film_that_comes_again_with_another_content_does_not_take_the_place_of_the_first(
    tmp_path: Path, store: Stub
) -> None:
    store.films = [study_film("one")]
    poll(tmp_path)
    before = films_of(tmp_path)
    store.films = [study_film("one", KVP=99)]
    assert poll(tmp_path, whole=True).fetched == 0
    assert films_of(tmp_path) == before


def test_no_more_than_the_most_comes_at_a_time_and_the_oldest_first(tmp_path: Path, store: Stub) -> None:
    connect(tmp_path, max_per_poll=4)
    store.films = [study_film(f"film {day}", study=day, day=f"202603{day:02}") for day in range(19, 9, -1)]
    counts = [poll(tmp_path).fetched for _ in range(4)]
    assert counts == [4, 4, 2, 0]
    assert store.fetched == [film.SOPInstanceUID for film in reversed(store.films)]


def test_days_overlap_with_those_of_the_last_success(tmp_path: Path, store: Stub) -> None:
    connect(tmp_path, since="2025-01-01", overlap_days=3)
    store.films = [study_film("one", day="20260318")]
    poll(tmp_path)
    assert min(store.asked) == datetime.date(2025, 1, 1)
    store.asked.clear()
    poll(tmp_path, now=lambda: NOW_S + DAY_S)
    assert min(store.asked) == datetime.date(2026, 3, 15)


@pytest.mark.parametrize("shift_days", [-400.0, 400.0, 27_000.0])
def test_a_clock_that_jumps_loses_nothing(tmp_path: Path, store: Stub, shift_days: float) -> None:
    store.films = [study_film("one", day="20260310")]
    poll(tmp_path)
    poll(tmp_path, now=lambda: NOW_S + shift_days * DAY_S)  # wrong for one poll
    store.films.append(study_film("two", study=2, day="20260321"))
    assert poll(tmp_path, now=lambda: NOW_S + 2 * DAY_S).fetched == 1
    poll(tmp_path, now=lambda: NOW_S + shift_days * DAY_S)
    store.films.append(study_film("three", study=3, day="20260322"))
    assert poll(tmp_path, now=lambda: NOW_S + (shift_days + 1) * DAY_S).fetched == 1  # wrong for good
    assert due_sites(tmp_path, now_s=NOW_S) == ([SITE], [])


def test_a_scanner_that_is_years_ahead_hides_no_study_of_today(tmp_path: Path, store: Stub) -> None:
    store.films = [study_film("ahead", day="20990101")]
    assert poll(tmp_path).fetched == 1
    store.films.append(study_film("today", study=2, day="20260320"))
    assert poll(tmp_path, now=lambda: NOW_S + 60).fetched == 1


def test_a_study_sent_late_comes_with_the_weekly_look_through_all_days(tmp_path: Path, store: Stub) -> None:
    store.films = [study_film("one", day="20260320")]
    poll(tmp_path)
    store.films.append(study_film("late", study=2, day="20260302"))
    assert poll(tmp_path, now=lambda: NOW_S + DAY_S).fetched == 0
    assert poll(tmp_path, now=lambda: NOW_S + 7 * DAY_S).fetched == 1


def test_what_is_gone_from_the_store_is_not_waited_for(tmp_path: Path, store: Stub) -> None:
    connect(tmp_path, settle_s=60.0)
    store.films = [study_film("deleted soon")]
    poll(tmp_path, wait=False)
    store.films = []
    found = poll(tmp_path, wait=False)
    assert (found.gone, found.counts["waiting"]) == (1, 0)
    assert "1 gone from the store" in found.described()


def test_a_full_disk_is_the_machines_fault_and_leaves_no_half_film(
    tmp_path: Path, store: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.films = [study_film("one")]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(received, "put_in_place", full)
    with pytest.raises(DiskFullError):
        poll(tmp_path)
    monkeypatch.undo()
    assert films_of(tmp_path) == {}


def test_an_account_that_cannot_be_written_is_the_machines_fault(tmp_path: Path, store: Stub) -> None:
    store.films = [study_film("one")]
    state = State(tmp_path / "pacs" / SITE)
    pages = state._database.execute("pragma page_count").fetchone()[0]
    state._database.execute(f"pragma max_page_count = {pages}")
    with pytest.raises(DiskFullError, match=r"state\.sqlite could not be written"):
        state.note_instances("series", {f"{number:032}": Known("waiting") for number in range(1000)})
    assert state.instances() == {}


def test_two_polls_of_a_site_do_not_meet(tmp_path: Path, store: Stub) -> None:
    folder = tmp_path / "pacs" / SITE
    with (
        hold_data_folder(folder, "another poll", wait=False),
        pytest.raises(DataFolderInUseError, match="another poll"),
    ):
        poll(tmp_path)


def test_what_a_poll_needs_beside_a_store_is_said(tmp_path: Path, store: Stub) -> None:
    (tmp_path / "pseudonym.key").unlink()
    with pytest.raises(PseudonymKeyError):
        poll(tmp_path)
    (tmp_path / "landing" / SITE / "institution.toml").unlink()
    with pytest.raises(InstitutionFileError, match=r"institution\.toml is missing"):
        poll(tmp_path)


def test_a_site_is_due_by_its_own_interval(tmp_path: Path, store: Stub) -> None:
    assert due_sites(tmp_path, now_s=NOW_S) == ([SITE], [])
    poll(tmp_path)
    assert due_sites(tmp_path, now_s=NOW_S + 14 * 60) == ([], [])
    assert due_sites(tmp_path, now_s=NOW_S + 15 * 60) == ([SITE], [])
    file = tmp_path / "pacs" / SITE / "pacs.toml"
    file.write_text("every_minutes = 0\n" + file.read_text())
    assert due_sites(tmp_path, now_s=NOW_S + DAY_S) == ([], [])
    assert site_status(tmp_path, SITE)[-1] == "next: by hand only (every_minutes = 0)"
    file.write_text("nothing = 1\n")
    due, (problem,) = due_sites(tmp_path, now_s=NOW_S)
    assert due == []
    assert "nothing: unknown key" in problem


def test_status_says_how_a_site_stands(tmp_path: Path, store: Stub) -> None:
    assert site_status(tmp_path, SITE, lambda: NOW_S)[0] == "last success: never"
    store.films = [study_film("one"), study_film("two", study=2)]
    store.dies_after = 1
    with pytest.raises(StoreUnreachableError):
        poll(tmp_path)
    assert due_sites(tmp_path, now_s=NOW_S) == ([], [f"{SITE}: the last poll failed: the store died"])
    lines = site_status(tmp_path, SITE, lambda: NOW_S)
    assert lines[:3] == [
        "last success: never",
        "last failure: 2026-03-20 12:00:00 UTC: the store died",
        "held: 1 (in the landing folder, or taken in before)",
    ]
    assert lines[-1] == "next: 2026-03-20 12:15:00 UTC, while `make ui` runs"
