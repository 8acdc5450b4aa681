"""An item that comes costs itself; wrong reuse is the worst fault."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from olvf_assets.foundation.tables import TableRun
from olvf_assets.profiles import load_profile
from olvf_assets.storage import kept_answers
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.kept_answers import KeptAnswers

PICTURES = [f"images/{number:02d}.png" for number in range(4)]


class Network:
    """Answers with a number that it has not given before, and tells what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def ask(self, file: Path | None, items: list[Any], made_with: Any = "a", **choices: Any) -> list[Any]:
        self.asked = []

        def find(places: list[int]) -> Iterator[list[float]]:
            for place in places:
                self.asked.append(items[place])
                yield [0.1 + place, 1 / 3]

        again = choices.pop("again", False)
        with KeptAnswers(file and ArtifactStore(file.parent), file.name if file else "", again=again) as kept:
            return kept.answers(items, made_with, find, **choices)


@pytest.fixture
def network() -> Network:
    return Network()


def test_only_what_came_is_worked_out_and_floats_come_back_to_the_bit(network, tmp_path) -> None:
    file = tmp_path / "kept.parquet"
    assert network.ask(file, PICTURES[1:3]) == [[0.1, 1 / 3], [1.1, 1 / 3]]
    assert network.ask(file, PICTURES) == [[0.1, 1 / 3], [0.1, 1 / 3], [1.1, 1 / 3], [3.1, 1 / 3]]
    assert network.asked == [PICTURES[0], PICTURES[3]]
    network.ask(file, PICTURES[::-1])
    assert network.asked == []


@pytest.mark.parametrize("made_with", ["b", ["a"], {"a": 1}, None])
def test_what_was_made_with_something_else_is_worked_out_again(network, tmp_path, made_with) -> None:
    network.ask(tmp_path / "kept", PICTURES)
    network.ask(tmp_path / "kept", PICTURES, made_with)
    assert network.asked == PICTURES


def test_items_that_look_alike_are_told_apart(network, tmp_path) -> None:
    items = ["1", 1, ["1"], 1.5, "1.5", ["a", "b"], ["a, b"]]
    network.ask(tmp_path / "kept", items)
    assert network.asked == items


def test_what_nobody_asks_for_any_more_is_forgotten(network, tmp_path) -> None:
    network.ask(tmp_path / "kept", PICTURES)
    network.ask(tmp_path / "kept", PICTURES[:1])
    assert pl.read_parquet(tmp_path / "kept").height == 1
    network.ask(tmp_path / "kept", PICTURES)
    assert network.asked == PICTURES[1:]


def test_two_questions_of_one_table_forget_nothing_of_each_other(tmp_path) -> None:
    def ask(number: int) -> list[list[Any]]:
        with KeptAnswers(ArtifactStore(tmp_path), "kept") as kept:
            return [kept.answers(items, items, lambda places: [number] * len(places)) for items in ("a", "bc")]

    assert [ask(1), ask(2)] == [[[1], [1, 1]]] * 2


def test_an_answer_whose_file_is_gone_does_not_hold(network, tmp_path) -> None:
    network.ask(tmp_path / "kept", PICTURES)
    network.ask(tmp_path / "kept", PICTURES, holds=lambda answer: answer[0] > 1)
    assert network.asked == PICTURES[:1]


@pytest.mark.parametrize("damage", [b"", b"PAR1", bytes(600)])
def test_a_damaged_file_keeps_nothing(network, tmp_path, damage) -> None:
    network.ask(tmp_path / "kept", PICTURES)
    (tmp_path / "kept").write_bytes(damage)
    assert network.ask(tmp_path / "kept", PICTURES)[2] == [2.1, 1 / 3]
    assert network.asked == PICTURES


def test_no_file_and_a_forced_run_work_everything_out(network, tmp_path) -> None:
    for choices in ({"file": None}, {"file": None}, {"file": tmp_path / "a", "again": True}):
        network.ask(items=PICTURES, **choices)
        assert network.asked == PICTURES
    network.ask(tmp_path / "a", PICTURES, again=True)
    assert network.asked == PICTURES


@pytest.mark.parametrize("every_s", [0.0, 1000.0])
def test_work_that_ends_early_goes_on_where_it_was(network, tmp_path, monkeypatch, every_s) -> None:
    monkeypatch.setattr(kept_answers, "SAVE_EVERY_S", every_s)
    network.ask(tmp_path / "kept", PICTURES[:1])

    def interrupted(places: list[int]) -> Iterator[list[float]]:
        yield [7.0]
        if every_s == 0:  # a kill leaves what was written until then
            assert pl.read_parquet(tmp_path / "kept").height == 2
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), KeptAnswers(ArtifactStore(tmp_path), "kept") as kept:
        kept.answers(PICTURES[1:], "a", interrupted)
    assert network.ask(tmp_path / "kept", PICTURES)[:2] == [[0.1, 1 / 3], [7.0]]
    assert network.asked == PICTURES[2:]


def test_each_table_and_institution_has_a_file_and_a_forced_run_asks_again(tmp_path) -> None:
    profile, store = load_profile("ci"), ArtifactStore(tmp_path)
    run = TableRun(profile, store, tmp_path, institution="institution_1")
    with KeptAnswers.of(run, "crops") as kept:
        assert kept.answers(["a"], 0, lambda _: [1]) == [1]
    assert store.path(kept.file) == tmp_path / "work/answers/institution_1-crops.parquet"
    forced = TableRun(profile, store, tmp_path, institution="institution_1", forced=True)
    with KeptAnswers.of(forced, "crops") as kept:
        assert kept.answers(["a"], 0, lambda _: [2]) == [2]
    assert KeptAnswers.of(TableRun(profile, store, tmp_path), "crops").store is None
