"""docs/operations.md, held against the graph, the units and the commands that there are."""

import re
from collections import Counter
from pathlib import Path

from olvf_assets.__main__ import _parser
from olvf_assets.definitions import defs
from olvf_assets.orchestration.graph import all_checks

PROJECT = Path(__file__).parents[1]
PAGE = (PROJECT / "docs" / "operations.md").read_text()
ROW = re.compile(r"^\| `(\w+)` \| (.+) \| (.+) \|$", re.MULTILINE)


def test_every_check_has_one_line_that_says_what_to_do() -> None:
    told = Counter(name for name, _, _ in ROW.findall(PAGE))
    assert told == Counter({key.name for key in defs.resolve_asset_graph().asset_check_keys})


def test_what_is_to_be_done_is_explained_and_nothing_that_blocks_is_only_looked_at() -> None:
    explained = set(re.findall(r"^\| ([a-z ]+) \| ", PAGE, re.MULTILINE)) - {"check", "do"}
    do = {name: what for name, _, what in ROW.findall(PAGE)}
    assert set(do.values()) <= explained
    looked_at = {name for name, what in do.items() if what == "look"}
    assert looked_at == {each.name for each in all_checks() if not each.blocking} | {"sites_deliver"}


def test_commands_units_and_variables_of_the_page_exist() -> None:
    commands = set(re.findall(r"python -m olvf_assets ([a-z-]+)", PAGE))
    assert commands >= {"back-up", "restore", "test-alert", "tidy"}
    (choices,) = [each.choices for each in _parser()._actions if each.dest == "command"]
    assert commands <= set(choices)
    units = {path.stem for path in (PROJECT / "deploy" / "systemd").glob("olvf-*")}
    assert set(re.findall(r"\bolvf-(?:code|webserver|daemon|back-up)\b", PAGE)) == units
    source = "".join(path.read_text() for path in [*PROJECT.glob("*.sh"), *PROJECT.glob("olvf_assets/**/*.py")])
    assert {name for name in re.findall(r"OLVF_[A-Z_]+[A-Z]", PAGE) if name not in source} == set()
