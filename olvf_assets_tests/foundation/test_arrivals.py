"""Which landing folders are due."""

import os
from pathlib import Path

import pytest

from olvf_assets.foundation.arrivals import (
    confirm_taken_in,
    institutions_due,
    landing_folders,
    newest_change_s,
    note_arrival,
)
from olvf_assets.foundation.artifacts import ArtifactStore

ARRIVED_S = 1_000_000.0


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    for institution in ("b", "a"):
        arrive(tmp_path / "landing" / institution / "films" / "1.dcm", b"film")
    return tmp_path / "landing"


def arrive(path: Path, content: bytes, at_s: float = ARRIVED_S) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (at_s, at_s))


def due(landing: Path, now_s: float = ARRIVED_S + 61) -> list[str]:
    return list(institutions_due(landing, ArtifactStore(landing.parent / "lake"), now_s=now_s, settle_s=60))


def take_in(landing: Path, institution: str) -> None:
    store = ArtifactStore(landing.parent / "lake")
    note_arrival(store, institution, landing / institution)
    confirm_taken_in(store, institution)


def test_every_folder_is_due_once_and_in_order(landing: Path) -> None:
    assert due(landing) == ["a", "b"]
    take_in(landing, "a")
    assert due(landing) == ["b"]


def test_a_folder_is_due_again_when_a_film_comes_or_changes(landing: Path) -> None:
    take_in(landing, "a")
    take_in(landing, "b")
    arrive(landing / "a" / "films" / "2.dcm", b"film")
    arrive(landing / "b" / "films" / "1.dcm", b"film of other size")
    assert due(landing) == ["a", "b"]


def test_a_folder_that_only_arrived_is_still_due(landing: Path) -> None:
    note_arrival(ArtifactStore(landing.parent / "lake"), "a", landing / "a")
    assert due(landing) == ["a", "b"]


def test_films_that_come_while_a_folder_is_taken_in_are_due_next(landing: Path) -> None:
    store = ArtifactStore(landing.parent / "lake")
    take_in(landing, "b")
    note_arrival(store, "a", landing / "a")
    arrive(landing / "a" / "films" / "2.dcm", b"film")
    confirm_taken_in(store, "a")
    assert due(landing) == ["a"]


def test_a_copy_in_progress_is_left_alone(landing: Path) -> None:
    take_in(landing, "b")
    assert due(landing, now_s=ARRIVED_S + 59) == []
    arrive(landing / "b" / "films" / "2.dcm.part", b"half")
    assert due(landing) == ["a"]


def test_an_empty_or_hidden_folder_is_never_due(landing: Path) -> None:
    (landing / "c").mkdir()
    arrive(landing / ".a.partial" / "1.dcm", b"film")
    assert due(landing) == ["a", "b"]
    assert landing_folders(landing) == ["a", "b", "c"]
    assert newest_change_s(landing / "c") == 0.0


def test_no_landing_folder_means_no_institutions(tmp_path: Path) -> None:
    assert landing_folders(tmp_path / "landing") == []
