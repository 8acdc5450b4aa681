"""What functions are made of, kept between processes, in a package of two modules written for it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from olvf_assets.foundation import code_identity
from olvf_assets.foundation.code_identity import Made, Sources, code_digest, codes_of_functions
from olvf_assets.foundation.code_kept import KeptCode, state_of

FILES = {
    "house/__init__.py": "",
    "house/room.py": "from house.tools import cut\n\n\ndef table(run):\n    return cut(open('words.csv'))\n",
    "house/tools.py": "def cut(n):\n    return n\n\n\ndef unused(n):\n    return n\n",
    "house/words.csv": "a,b\n",
}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path / "house"


def table() -> Callable[..., object]:
    """Return a function that says that it is of the package, without importing it."""
    names: dict[str, Any] = {"__name__": "house.room"}
    exec("def table(run):\n    return None\n", names)
    function: Callable[..., object] = names["table"]
    return function


def of_a_new_process(house: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Made, bool]:
    """Return what the function is made of, and whether that had to be found out."""
    followed: list[object] = []
    find_out = Sources._followed
    monkeypatch.setattr(Sources, "_followed", lambda *given: followed.append(given) or find_out(*given))
    sources = Sources(house, kept_in=house / "__pycache__" / "known.json")
    made = sources.of(table())
    sources.kept.save()
    monkeypatch.setattr(Sources, "_followed", find_out)
    return made, bool(followed)


def test_it_is_found_out_once(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, found_out = of_a_new_process(house, monkeypatch)
    assert found_out
    assert of_a_new_process(house, monkeypatch) == (first, False)
    assert sorted(first.digests) == ["house.room:table", "house.tools:cut"]


@pytest.mark.parametrize(
    ("file", "text", "counts"),
    [
        ("house/tools.py", FILES["house/tools.py"].replace("return n", "return -n", 1), True),
        ("house/tools.py", FILES["house/tools.py"].replace("unused(n)", "unused(m)"), False),
        ("house/words.csv", "a,c\n", True),
        ("house/room.csv", "new", False),
    ],
    ids=["a line", "an unused neighbour", "a data file", "a file more"],
)  # fmt: skip
def test_any_other_content_is_found_out_anew(
    house: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str, counts: bool
) -> None:
    first, _ = of_a_new_process(house, monkeypatch)
    (house.parent / file).write_text(text)
    second, found_out = of_a_new_process(house, monkeypatch)
    assert found_out
    assert (second != first) is counts
    assert of_a_new_process(house, monkeypatch) == (second, False)


def test_a_file_of_the_same_size_and_time_with_other_content_is_another(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = of_a_new_process(house, monkeypatch)
    file = house / "tools.py"
    before = file.stat()
    file.write_text(file.read_text().replace("return n", "return m", 1))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert of_a_new_process(house, monkeypatch)[0] != first


def test_a_library_of_another_version_is_another_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "polars-1.0.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    before = state_of({"a": ""}, {})
    (tmp_path / "polars-1.0.0.dist-info").rename(tmp_path / "polars-1.0.1.dist-info")
    assert state_of({"a": ""}, {}) != before
    (tmp_path / "polars-1.0.1.dist-info").rename(tmp_path / "polars-1.0.0.dist-info")
    assert state_of({"a": ""}, {}) == before


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"state": "other", "known": {}}', "\0" * 50])
def test_a_damaged_file_is_no_file(house: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    first, _ = of_a_new_process(house, monkeypatch)
    (house / "__pycache__" / "known.json").write_text(damage)
    assert of_a_new_process(house, monkeypatch) == (first, True)


def test_where_nothing_can_be_written_it_is_found_out_each_time(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (house / "__pycache__").write_text("no folder")
    first, _ = of_a_new_process(house, monkeypatch)
    assert of_a_new_process(house, monkeypatch) == (first, True)


def test_what_a_function_of_another_package_is_made_of_is_not_kept(house: Path) -> None:
    sources = Sources(house)
    sources.of(of_a_new_process)
    assert sources.kept._known == {}


def test_what_another_process_kept_meanwhile_stays(tmp_path: Path) -> None:
    file = tmp_path / "known.json"
    ours, theirs = KeptCode(file, "a state"), KeptCode(file, "a state")
    theirs.note("table", ({"table": "1"}, {}))
    theirs.save()
    ours.note("picture", ({"picture": "2"}, {}))
    ours.save()
    kept = KeptCode(file, "a state")
    assert kept.find("table") == [{"table": "1"}, {}]
    assert kept.find("picture") == [{"picture": "2"}, {}]


def test_what_was_kept_of_another_state_goes(tmp_path: Path) -> None:
    file = tmp_path / "known.json"
    for state, key in (("old", "table"), ("new", "picture")):
        kept = KeptCode(file, state)
        kept.note(key, ({key: "1"}, {}))
        kept.save()
    assert KeptCode(file, "new").find("table") is None
    assert KeptCode(file, "old").find("table") is None


def test_digests_that_bodies_ask_for_and_pictures_are_kept_for_later_processes(
    house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked() -> tuple[str, list[Made]]:
        sources = Sources(house, kept_in=house / "__pycache__" / "known.json")
        monkeypatch.setattr(code_identity, "sources", lambda: sources)
        return code_digest.__wrapped__("house.tools:cut"), codes_of_functions([table()])

    first = asked()
    monkeypatch.setattr(Sources, "named", lambda *_: pytest.fail("found out anew"))
    assert asked() == first
