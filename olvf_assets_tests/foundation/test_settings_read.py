import pickle
from functools import lru_cache
from typing import Any

import pytest
from pydantic import Field

from olvf_assets.foundation.settings import Settings, note_read, setting_digest, settings_read


class Inner(Settings):
    epochs: int = 3
    rates: tuple[float, ...] = (0.1, 0.2)

    @property
    def doubled(self) -> int:
        return self.epochs * 2


class Outer(Settings):
    seed: int = 1
    inner: Inner = Inner()
    other: Inner | None = None
    sites: dict[str, Inner] = Field(default_factory=lambda: {"one": Inner()})


@lru_cache
def remembered(settings: Inner) -> int:
    return 1


READINGS = {
    "a field": (lambda outer: outer.inner.epochs, ["inner.epochs"]),
    "a part that leads on": (lambda outer: outer.inner, []),
    "a property": (lambda outer: outer.inner.doubled, ["inner.epochs"]),
    "by name": (lambda outer: outer.inner.rates, ["inner.rates"]),
    "nothing where a part could be": (lambda outer: outer.other, ["other"]),
    "parts in a mapping": (lambda outer: outer.sites["one"].epochs, ["sites"]),
    "dumped": (lambda outer: outer.inner.model_dump(), ["inner"]),
    "dumped with its parent": (lambda outer: outer.model_dump_json(), ["", "inner"]),
    "copied": (lambda outer: outer.inner.model_copy(update={"epochs": 9}), ["inner"]),
    "printed": (lambda outer: str(outer.inner), ["inner"]),
    "pickled": (lambda outer: pickle.dumps([outer.inner]), ["inner"]),
    "compared": (lambda outer: outer.inner == Inner(epochs=4), ["inner"]),
    "hashed": (lambda outer: remembered(outer.inner), ["inner"]),
    "unpacked": (lambda outer: dict(outer.inner), ["inner"]),
    "asked for its variables": (lambda outer: vars(outer.inner), ["inner"]),
}


@pytest.mark.parametrize(("read", "paths"), READINGS.values(), ids=READINGS.keys())
def test_whatever_is_read_is_noted(read: Any, paths: list[str]) -> None:
    outer = Outer()
    with settings_read(outer) as noted:
        read(outer)
    assert sorted(noted.paths) == paths


def test_what_was_read_before_is_noted_by_all_who_note_and_of_these_settings_only() -> None:
    outer, other = Outer(), Outer()
    with settings_read(outer) as first, settings_read(outer) as second, settings_read(other) as of_another:
        note_read(outer, {"inner.epochs": "digest", "seed": "digest"})
    assert first.paths == second.paths == {"inner.epochs", "seed"}
    assert of_another.paths == set()
    assert second.digests() == {path: setting_digest(outer, path) for path in ("inner.epochs", "seed")}


def test_nothing_is_noted_outside_of_the_block_or_of_other_settings() -> None:
    outer, other = Outer(), Outer(inner=Inner())
    with settings_read(outer) as noted:
        assert other.inner.epochs == 3
    assert outer.seed == 1
    assert noted.paths == set()


def test_one_object_in_two_places_counts_in_both() -> None:
    same = Inner()
    outer = Outer(inner=same, other=same)
    with settings_read(outer) as noted:
        assert outer.inner.epochs == 3
    assert sorted(noted.paths) == ["inner.epochs", "other.epochs"]


def test_a_digest_is_of_the_value_alone() -> None:
    assert setting_digest(Outer(seed=5), "inner") == setting_digest(Outer(), "inner")
    assert setting_digest(Outer(inner=Inner(epochs=4)), "inner") != setting_digest(Outer(), "inner")
    assert setting_digest(Outer(inner=Inner(epochs=4)), "inner.rates") == setting_digest(Outer(), "inner.rates")
    assert setting_digest(Outer(), "inner.gone") == setting_digest(Outer(), "other.epochs") == "absent"
