"""Which landing folders are due."""

import os
import shutil
import time
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from olvf_assets.intake.landing.arrivals import SettlingTimeError, folder_state, institutions_due, settling_time
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.landing_folders import (
    InstitutionKeyError,
    LandingUnreadableError,
    checked_key,
    landing_folders,
    odd_folders,
)
from olvf_assets.storage.taken_in import forget_stored, record_stored

TABLES = ["manifest", "headers", "labels", "crops"]
READS = {"manifest": [], "headers": ["manifest"], "labels": ["manifest"], "crops": ["headers", "labels"]}


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    for institution in ("b", "a"):
        arrive(tmp_path / "landing" / institution / "films" / "1.dcm", b"film")
    return tmp_path / "landing"


@pytest.fixture
def store(landing: Path) -> ArtifactStore:
    for name in TABLES:
        pl.DataFrame({"n": [1]}).write_delta(landing.parent / "lake" / "tables" / f"{name}.delta")
    return ArtifactStore(landing.parent / "lake")


def arrive(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def due(landing: Path, store: ArtifactStore, *, later_s: float = 61) -> list[str]:
    return list(institutions_due(landing, store, TABLES, now_s=time.time() + later_s, settle_s=60).due)


def make(store: ArtifactStore, institution: str, *names: str, state: str | None = None) -> None:
    """Store tables of an institution, `manifest` of a state of its folder, as a run does."""
    for name in names or TABLES:
        own = state if name == "manifest" else None
        record_stored(store, institution, name, state=own, reads=READS[name])


def take_in(landing: Path, store: ArtifactStore, institution: str) -> None:
    make(store, institution, state=folder_state(landing / institution))


def test_every_folder_is_due_once_and_in_order(landing: Path, store: ArtifactStore) -> None:
    assert due(landing, store) == ["a", "b"]
    take_in(landing, store, "a")
    assert due(landing, store) == ["b"]


def test_a_folder_is_due_again_when_a_film_comes_goes_or_changes(landing: Path, store: ArtifactStore) -> None:
    for change in (
        lambda: arrive(landing / "a" / "films" / "2.dcm", b"film"),
        lambda: arrive(landing / "a" / "films" / "1.dcm", b"film of other size"),
        (landing / "a" / "films" / "2.dcm").unlink,
        lambda: (landing / "a" / "films" / "1.dcm").rename(landing / "a" / "films" / "3.dcm"),
    ):
        take_in(landing, store, "a")
        take_in(landing, store, "b")
        change()
        assert due(landing, store) == ["a"]


def test_a_film_of_the_same_size_and_time_as_the_one_before_is_due(landing: Path, store: ArtifactStore) -> None:
    """As rsync -a, cp -p and unzip bring it."""
    film = landing / "a" / "films" / "1.dcm"
    os.utime(film, (1_000_000, 1_000_000))
    take_in(landing, store, "a")
    take_in(landing, store, "b")
    film.write_bytes(b"FILM")
    os.utime(film, (1_000_000, 1_000_000))
    assert due(landing, store) == ["a"]


def test_only_what_is_stored_counts_as_taken_in(landing: Path, store: ArtifactStore) -> None:
    take_in(landing, store, "b")
    for number in range(len(TABLES)):
        make(store, "a", *TABLES[:number] or ["manifest"], state=folder_state(landing / "a"))
        assert due(landing, store) == ["a"]
    make(store, "a", "crops")
    assert due(landing, store) == []
    shutil.rmtree(store.path("tables/labels.delta"))
    assert due(landing, store) == ["a", "b"]


def test_films_that_come_while_a_folder_is_taken_in_are_due_next(landing: Path, store: ArtifactStore) -> None:
    take_in(landing, store, "b")
    state = folder_state(landing / "a")
    arrive(landing / "a" / "films" / "2.dcm", b"film")
    make(store, "a", state=state)
    assert due(landing, store) == ["a"]


def test_tables_of_two_states_side_by_side_are_not_taken_in(landing: Path, store: ArtifactStore) -> None:
    take_in(landing, store, "b")
    make(store, "a", state="before")
    make(store, "a", "manifest", "headers", state=folder_state(landing / "a"))
    assert due(landing, store) == ["a"]  # labels are of the state before
    make(store, "a", "crops")  # of both
    assert due(landing, store) == ["a"]
    make(store, "a", "labels")
    assert due(landing, store) == ["a"]  # the crops are not made again from them
    make(store, "a", "crops")
    assert due(landing, store) == []


def test_a_run_s_own_state_counts_not_that_of_one_that_looked_later(landing: Path, store: ArtifactStore) -> None:
    take_in(landing, store, "b")
    first = folder_state(landing / "a")
    make(store, "a", "manifest", "headers", "labels", state=first)
    arrive(landing / "a" / "films" / "2.dcm", b"film")
    make(store, "a", "manifest", state=folder_state(landing / "a"))
    make(store, "a", "crops")
    assert due(landing, store) == ["a"]


def test_a_table_that_lost_its_commit_or_an_institution_s_rows_makes_due_again(
    landing: Path, store: ArtifactStore
) -> None:
    take_in(landing, store, "a")
    take_in(landing, store, "b")
    record_stored(store, "a", "labels")
    assert due(landing, store) == ["a"]
    forget_stored(store, "crops")
    take_in(landing, store, "a")
    assert due(landing, store) == ["b"]


@pytest.mark.parametrize("torn", ["", "{", "\0\0\0", "[]", '{"manifest": '])
def test_a_torn_note_counts_as_absent(landing: Path, store: ArtifactStore, torn: str) -> None:
    take_in(landing, store, "a")
    take_in(landing, store, "b")
    store.path("arrivals/a.stored.json").write_text(torn)
    assert due(landing, store) == ["a"]
    forget_stored(store, "labels")
    take_in(landing, store, "a")
    assert due(landing, store) == ["b"]


def test_a_copy_in_progress_is_left_alone_whatever_times_it_gives_its_files(
    landing: Path, store: ArtifactStore
) -> None:
    for at_s in (1_000_000, 4_070_908_800):  # 1970 and 2099
        os.utime(landing / "a" / "films" / "1.dcm", (at_s, at_s))
        assert due(landing, store, later_s=59) == []
        assert due(landing, store) == ["a", "b"]
    take_in(landing, store, "a")
    take_in(landing, store, "b")
    arrive(landing / "b" / "films" / "2.dcm.part", b"half")
    assert due(landing, store) == []


def test_a_clock_that_was_set_back_keeps_no_folder_waiting(landing: Path, store: ArtifactStore) -> None:
    assert due(landing, store, later_s=-86_400) == ["a", "b"]


def test_a_server_s_clock_a_little_ahead_does_not_make_a_copy_look_settled(landing: Path, store: ArtifactStore) -> None:
    assert due(landing, store, later_s=-3) == []


def test_an_empty_or_hidden_folder_is_never_due(landing: Path, store: ArtifactStore) -> None:
    (landing / "c").mkdir()
    arrive(landing / ".a.partial" / "1.dcm", b"film")
    (landing / "broken").symlink_to(landing / "nowhere")
    assert due(landing, store) == ["a", "b"]
    assert landing_folders(landing) == ["a", "b", "c"]
    assert odd_folders(landing) is None


def test_a_landing_folder_that_is_a_link_is_one(landing: Path, store: ArtifactStore, tmp_path: Path) -> None:
    arrive(tmp_path / "elsewhere" / "1.dcm", b"film")
    (landing / "c").symlink_to(tmp_path / "elsewhere")
    assert due(landing, store) == ["a", "b", "c"]


def test_no_landing_folder_means_no_institutions(tmp_path: Path) -> None:
    assert landing_folders(tmp_path / "landing") == []
    assert odd_folders(tmp_path / "landing") is None


def test_a_landing_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", locked)
    with pytest.raises(LandingUnreadableError, match=r"landing cannot be read \(Permission denied\)"):
        landing_folders(tmp_path / "landing")


@pytest.mark.parametrize("name", ["x' or institution <> 'x", "A", "", "1a", "a-b", "a\n", "a/b", "é", "a" * 64])
def test_a_partition_whose_name_is_no_key_is_refused(name: str) -> None:
    with pytest.raises(InstitutionKeyError, match="delete the partition in the UI"):
        checked_key(name)
    assert checked_key("institution_1") == "institution_1"


def test_a_folder_says_what_it_waits_for(landing: Path, store: ArtifactStore) -> None:
    (landing / "c").mkdir()
    take_in(landing, store, "b")
    asked = partial(institutions_due, landing, store, TABLES, settle_s=60)
    soon = asked(now_s=(landing / "a" / "films" / "1.dcm").stat().st_ctime + 20)
    assert soon.due == {}
    assert soon.waiting == {
        "a": "something came 20 s ago; taken in after 60 s of quiet",
        "c": "it is empty",
    }
    later = asked(now_s=time.time() + 61)
    assert list(later.due) == ["a"]
    assert list(later.waiting) == ["c"]


@pytest.mark.parametrize("names", [["institution.toml"], ["institution.toml", "readers.csv"], ["boxes/1.txt"]])
def test_a_new_hospital_without_a_film_waits_for_one_and_a_known_one_is_told_of_their_loss(
    landing: Path, store: ArtifactStore, names: list[str]
) -> None:
    shutil.rmtree(landing / "a" / "films")
    for name in names:
        (landing / "a" / name).parent.mkdir(exist_ok=True)
        (landing / "a" / name).write_text("0 0.5 0.5 0.1 0.1")
    asked = partial(institutions_due, landing, store, TABLES, settle_s=60, now_s=time.time() + 61)
    assert asked().waiting["a"] == "no film has come yet"
    (landing / "a" / "scan.dcm").write_bytes(b"film")
    assert "a" in asked().due
    take_in(landing, store, "a")
    (landing / "a" / "scan.dcm").unlink()
    assert "a" in asked().due


def test_a_hospital_whose_closing_table_is_of_another_state_is_due(landing: Path, store: ArtifactStore) -> None:
    take_in(landing, store, "a")
    take_in(landing, store, "b")
    record_stored(store, "b", TABLES[-1], state="another")
    assert due(landing, store) == ["b"]


@pytest.mark.parametrize(
    ("said", "seconds"), [(None, 60.0), ("", 60.0), ("0", 0.0), (" 2.5 ", 2.5), ("86400", 86400.0)]
)
def test_the_site_says_how_long_a_folder_settles(
    monkeypatch: pytest.MonkeyPatch, said: str | None, seconds: float
) -> None:
    monkeypatch.delenv("OLVF_SETTLE_S", raising=False)
    if said is not None:
        monkeypatch.setenv("OLVF_SETTLE_S", said)
    assert settling_time() == seconds


@pytest.mark.parametrize("said", ["a minute", "-1", "nan", "inf", "86401", "60s"])
def test_a_settling_time_that_is_none_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("OLVF_SETTLE_S", said)
    with pytest.raises(SettlingTimeError, match=f"OLVF_SETTLE_S={said}: give the seconds"):
        settling_time()
