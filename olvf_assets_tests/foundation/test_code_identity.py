"""What a function is made of, in a package of a few modules written for it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from olvf_assets.foundation.code_identity import Sources, UnknownCodeError
from olvf_assets.foundation.table_code import code_of
from olvf_assets.orchestration.graph import all_checks, all_tables
from olvf_assets.profiles import load_profile

FILES = {
    "house/__init__.py": "",
    "house/room.py": '''"""A room."""

import polars as pl
from house import tools
from house.tools import cut as trim
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from house.kinds import Kind

LIMIT = 3


def table(run):
    """Say something."""
    return pl.DataFrame({"n": trim(LIMIT)})


def other(run):
    from house.lazily import late

    return late(tools.paste(1))


def typed(kind: "Kind") -> int:
    return kind.size()


def reads_a_file(run):
    return open("words.csv")


def made_by(name, parts):
    def inner(run):
        return name, parts

    return inner


def outer(find):
    return lambda run: find(run)
''',
    "house/tools.py": """from house.deep import bottom


def cut(n):
    return bottom(n)


def paste(n):
    return n
""",
    "house/deep.py": "def bottom(n):\n    return n + 1\n\n\ndef unused(n):\n    return n\n",
    "house/lazily.py": "def late(n):\n    return n\n",
    "house/kinds.py": "class Base:\n    def size(self):\n        return 1\n\n\nclass Kind(Base):\n    pass\n",
    "house/words.csv": "a,b\n",
}


def write(folder: Path, changed: dict[str, tuple[str, str]] | None = None) -> Path:
    for name, text in FILES.items():
        before, after = (changed or {}).get(name, ("", ""))
        assert before in text
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text.replace(before, after, 1) if before else text)
    return folder / "house"


def functions() -> dict[str, Callable[..., object]]:
    """Return functions that say that they are of the package, without importing it."""
    made: dict[str, object] = {"__name__": "house.room"}
    text = FILES["house/room.py"].replace("from house", "# from house").replace("    from house", "    # from house")
    exec(compile(text.replace("if TYPE_CHECKING:", "if True:\n    pass"), "room", "exec"), made)
    return {name: value for name, value in made.items() if callable(value)}


def of(folder: Path, name: str) -> dict[str, str]:
    return Sources(folder).of(functions()[name]).digests


def test_what_a_function_names_is_followed_through_modules(tmp_path: Path) -> None:
    folder = write(tmp_path)
    assert sorted(of(folder, "table")) == [
        "house.deep:bottom",
        "house.room:LIMIT",
        "house.room:table",
        "house.tools:cut",
    ]
    assert sorted(of(folder, "other")) == ["house.lazily:late", "house.room:other", "house.tools:paste"]
    assert sorted(of(folder, "typed")) == ["house.kinds:Base", "house.kinds:Kind", "house.room:typed"]


def test_libraries_are_those_named_and_what_they_need(tmp_path: Path) -> None:
    folder = write(tmp_path)
    made = Sources(folder).of(functions()["table"])
    assert {"polars", "polars-runtime-32"} <= set(made.libraries)
    assert Sources(folder).of(functions()["other"]).libraries == {}


CHANGES = {
    "a line of it": ("table", "house/room.py", "trim(LIMIT)", "trim(LIMIT + 1)", True),
    "a constant": ("table", "house/room.py", "LIMIT = 3", "LIMIT = 4", True),
    "a function two calls deep": ("table", "house/deep.py", "n + 1", "n + 2", True),
    "a base class": ("typed", "house/kinds.py", "return 1", "return 2", True),
    "a data file": ("reads_a_file", "house/words.csv", "a,b", "a,c", True),
    "what is imported within": ("other", "house/lazily.py", "return n", "return -n", True),
    "an unused neighbour": (
        "table",
        "house/deep.py",
        "def unused(n):\n    return n",
        "def unused(n):\n    return 0",
        False,
    ),
    "a function of the same module": ("table", "house/room.py", "tools.paste(1)", "tools.paste(2)", False),
    "a docstring": ("table", "house/room.py", "Say something.", "Say something else.", False),
    "a comment": ("table", "house/deep.py", "def bottom(n):\n", "def bottom(n):\n    # why\n\n", False),
}


@pytest.mark.parametrize(("name", "file", "before", "after", "counts"), CHANGES.values(), ids=CHANGES.keys())
def test_exactly_what_it_uses_counts(
    tmp_path: Path, name: str, file: str, before: str, after: str, counts: bool
) -> None:
    then = of(write(tmp_path), name)
    assert (of(write(tmp_path, {file: (before, after)}), name) != then) is counts


def test_values_that_a_function_closes_over_count(tmp_path: Path) -> None:
    made_by, outer = functions()["made_by"], functions()["outer"]
    sources = Sources(write(tmp_path))
    same = [sources.of(made_by("a", ["x"])), sources.of(made_by("a", ["x"]))]
    assert same[0] == same[1] != sources.of(made_by("b", ["x"]))
    assert sources.of(outer(made_by("a", "x"))) != sources.of(outer(made_by("b", "x")))
    with pytest.raises(UnknownCodeError, match="closes over a object"):
        sources.of(made_by(object(), []))


def test_every_table_and_check_of_the_project_can_be_followed() -> None:
    checks = all_checks()
    for table in all_tables():
        own = [each for each in checks if each.table == table.name]
        made = code_of(table, own, load_profile("ci"))
        assert "polars" in made.rows.libraries, table.name
        assert len(made.rows.digests) > 1, table.name
        assert len(made.checks.digests) >= len({each.find.__module__ for each in own}), table.name


def test_tables_are_made_of_what_they_call_lazily() -> None:
    by_name = {table.name: code_of(table, [], load_profile("ci")).rows for table in all_tables()}
    assert "olvf_assets.classification.splits:make_splits" in by_name["splits"].digests
    assert "torch" in by_name["resnet50_checkpoints"].libraries
    assert "torch" not in by_name["splits"].libraries
    assert "ultralytics" in by_name["detector_model"].libraries
    assert "duckdb" in by_name["consensus_labels"].libraries
    assert "olvf_assets.detection.augmentation:augmented" not in by_name["consensus_labels"].digests
