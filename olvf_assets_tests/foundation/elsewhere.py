"""An engine for tests: what is handed over and what comes back are pickled, and all of it is noted."""

import operator
import pickle
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import pytest

from olvf_assets.foundation import engine
from olvf_assets.foundation.engine import NOBODY, Needs

NAME = "elsewhere"


class Elsewhere:
    """Works in this process, as if it were another one.

    Attributes:
        asked: what function with what items and needs, how many at a time.
        ended: of which of them the results were fetched to the end, or left.
    """

    def __init__(self, cards: int = 0) -> None:
        self.cards_there = cards
        self.asked: list[tuple[str, int, Needs, int]] = []
        self.ended = 0

    def results(
        self,
        function: Callable[..., Any],
        items: Sequence[Any],
        needs: Needs,
        *,
        most: int = 0,
        tick: Callable[[], None] | None = None,
        told: Mapping[str, Callable[..., None]] = NOBODY,
    ) -> Generator[Any, None, None]:
        self.asked.append((_name(function), len(items), needs, most))
        try:
            for item in items:
                there, own = pickle.loads(pickle.dumps((function, item)))
                found = there(own, **told)
                if tick is not None:
                    tick()
                yield pickle.loads(pickle.dumps(found))
        finally:
            self.ended += 1

    def cards(self, needs: Needs) -> int:
        return self.cards_there if needs.gpu else 0


def chosen(monkeypatch: pytest.MonkeyPatch, cards: int = 0) -> Elsewhere:
    """Have all work done by such an engine for the time of a test."""
    found = Elsewhere(cards)
    monkeypatch.setenv("OLVF_ENGINE", NAME)
    monkeypatch.setitem(engine.ENGINES, NAME, "olvf_assets_tests:nobody")
    monkeypatch.setattr(engine, "engine_named", {NAME: found}.__getitem__)
    return found


def _name(function: Callable[..., Any]) -> str:
    while not hasattr(function, "__name__"):
        function = getattr(function, "function", None) or operator.attrgetter("func")(function)
    return function.__name__
