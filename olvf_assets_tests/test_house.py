"""The plan of the house, held against every import of every module, those inside functions included."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "olvf_assets"
# The way of the data: a room imports rooms to its left and the two floors under them, never one to its right.
ROOMS = ("phantom", "intake", "cohort", "detection", "crops", "classification", "evaluation", "attention", "reporting")
FLOORS = ("foundation", "storage")
DOORS = {"__init__", "__main__", "definitions", "study"}
STATIONS = {
    "intake": {"landing", "headers", "pixels", "sheets", "boxes", "privacy", "pacs"},
    "detection": {"drafts"},
    "evaluation": {"firewall"},
    "reporting": {"results_back"},
    "commands": {"forgetting", "backing_up", "collections"},
}
TOP_OF_INTAKE = {"__init__", "assets", "checks", "tables", "settings", "expectations", "data_docs"}
# Which rooms a room may import beside itself.
PLAN: dict[str, set[str]] = {
    "foundation": set(),
    "storage": {"foundation"},
    "profiles": {"foundation"},
    "alerts": {"foundation", "storage"},
    "orchestration": {"foundation", "storage", "profiles", "alerts"},
    **{room: {*ROOMS[:place], *FLOORS} for place, room in enumerate(ROOMS)},
    "attention": {*ROOMS[: ROOMS.index("evaluation")], *FLOORS},  # evaluation and attention stand beside each other
    "commands": {*ROOMS, *FLOORS, "profiles", "orchestration", "alerts"},  # and nobody imports commands but the door
    "definitions": {"orchestration"},
    "study": {"orchestration"},
    "__main__": {"commands", "orchestration", "alerts", *FLOORS},
}
# Single arrows beside the plan, each with its reason; `*` stands for any room.
BESIDE_THE_PLAN = {
    ("profiles", "*.settings"): "a profile is made of the rooms' settings",
    ("orchestration.graph", "*.assets"): "the graph is put together here",
    ("orchestration.graph", "*.checks"): "the graph is put together here",
    ("orchestration.automation", "intake.landing.arrivals"): "the sensor asks which folders have settled",
    ("orchestration.pacs", "intake.pacs.polling"): "the name of a type",
    ("orchestration.pacs", "intake.pacs.site"): "the schedule asks which sites are due, and a run polls one",
    ("orchestration.pacs", "intake.pacs.errors"): "a site that cannot be polled is told of in the words of its errors",
    ("orchestration.results_back", "intake.landing.institution_file"): "the sensor asks which hospitals want results",
    ("orchestration.results_back", "intake.pacs.site"): "and which have an image store",
    ("orchestration.results_back", "reporting.tables"): "and whether a table that results are made of has changed",
    ("orchestration.returning", "reporting.tables"): "the same tables are read",
    ("orchestration.returning", "intake.landing.institution_file"): "a hospital must have switched results on",
    ("orchestration.returning", "intake.privacy.key_check"): "what goes back is named with the hospital's own key",
    ("orchestration.returning", "intake.privacy.pseudonyms"): "likewise",
    ("orchestration.returning", "intake.privacy.safe_paths"): "and lies beside the film's real file",
    ("orchestration.returning", "intake.pacs.site"): "a run and a command send the same files",
    ("orchestration.returning", "reporting.results_back.findings"): "and write the same objects",
    ("orchestration.returning", "reporting.results_back.hospital"): "likewise",
    ("orchestration.alerts", "intake.landing.arrivals"): "a hospital from which no film comes is told of",
    ("orchestration.alerts", "intake.pacs.site"): "a hospital whose image store cannot be polled is told of",
    ("orchestration.resources", "intake.landing.institution_file"): "a hospital that stops has the role that it says",
    ("cohort.__main__", "orchestration.sql_models"): "a command, and so a door",
    ("cohort.__main__", "profiles"): "a command, and so a door",
}
# Names of types only, never there when the program runs.
TYPES_ONLY = {("foundation.tables", "profiles"), ("foundation.tables", "storage.artifacts")}


@dataclass(frozen=True, order=True)
class Arrow:
    """An import of one module by another; names are dotted, without the package's own."""

    importer: str
    imported: str
    line: int
    types_only: bool = False


def modules(package: Path) -> dict[str, Path]:
    """Return each module of a package by its dotted name within it."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name or "__init__"] = path
    return found


def arrows(package: Path) -> list[Arrow]:
    """Return every import of one module of a package by another, sorted."""
    known = modules(package)
    return sorted(arrow for name, path in known.items() for arrow in _arrows_of(name, path, package.name, known))


def _arrows_of(importer: str, path: Path, package: str, known: dict[str, Path]) -> Iterator[Arrow]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for statement in block.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        for full in _full_names(node, f"{package}.{importer}".split("."), is_package=path.name == "__init__.py"):
            if full.split(".")[0] == package:
                imported = _module_of(full.split(".")[1:], known)
                if imported != importer:
                    yield Arrow(importer, imported, node.lineno, id(node) in for_types)


def _full_names(node: ast.Import | ast.ImportFrom, importer: Sequence[str], *, is_package: bool) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    above = len(importer) - node.level + is_package
    base = [*(importer[:above] if node.level else ()), *filter(None, [node.module])]
    return [".".join([*base, alias.name]) for alias in node.names]


def _module_of(parts: Sequence[str], known: dict[str, Path]) -> str:
    """Return the module that a dotted name is or stands in."""
    lengths = range(len(parts), 0, -1)
    return next((".".join(parts[:n]) for n in lengths if ".".join(parts[:n]) in known), "__init__")


def room_of(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


def _beside(arrow: Arrow) -> tuple[str, str] | None:
    any_room = f"*.{arrow.imported.partition('.')[2]}"
    return next(
        (pair for pair in ((arrow.importer, arrow.imported), (arrow.importer, any_room)) if pair in BESIDE_THE_PLAN),
        None,
    )


def against_the_plan(found: Sequence[Arrow]) -> list[str]:
    """Return a line for each arrow that the plan knows nothing of."""
    lines = []
    for arrow in found:
        room, other = room_of(arrow.importer), room_of(arrow.imported)
        meant = other in {room, "__init__", *PLAN.get(room, ())} or _beside(arrow) is not None
        if not meant and not (arrow.types_only and (arrow.importer, arrow.imported) in TYPES_ONLY):
            allowed = ", ".join(sorted(PLAN.get(room, ()))) or "no other room"
            lines.append(
                f"{arrow.importer} (line {arrow.line}) imports {arrow.imported}, but {room} may import {allowed}: move "
                "what is needed to a room to the left or to a floor, hand it over as an argument, or change the plan"
            )
    return lines


def circle(found: Sequence[Arrow]) -> list[str]:
    """Return the modules of a circle of imports, the first again at the end; empty if there is none."""
    above: dict[str, set[str]] = {}
    for arrow in found:
        if not arrow.types_only:
            above.setdefault(arrow.importer, set()).add(arrow.imported)
    try:
        TopologicalSorter(above).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_every_arrow_is_in_the_plan() -> None:
    assert against_the_plan(arrows(PACKAGE)) == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert circle(arrows(PACKAGE)) == []


def test_every_exception_of_the_plan_is_needed() -> None:
    found = arrows(PACKAGE)
    assert {_beside(arrow) for arrow in found} - {None} == set(BESIDE_THE_PLAN)
    assert {(arrow.importer, arrow.imported) for arrow in found if arrow.types_only} >= TYPES_ONLY


def test_every_module_stands_in_a_room_of_the_plan() -> None:
    known = modules(PACKAGE)
    at_the_top = {name for name in known if "." not in name and known[name].name != "__init__.py"} | {"__init__"}
    assert at_the_top == DOORS
    assert {room_of(name) for name in known} == {*PLAN, "__init__"}


def test_rooms_have_the_stations_of_the_plan() -> None:
    folders = {room: {each.parent.name for each in (PACKAGE / room).glob("*/*.py")} for room in (*PLAN,)}
    assert {room: stations for room, stations in folders.items() if stations} == STATIONS
    assert {path.stem for path in (PACKAGE / "intake").glob("*.py")} == TOP_OF_INTAKE


def test_tests_stand_where_what_they_test_stands() -> None:
    """A folder of tests is named as a room or station; `servers` is the second circle."""
    here = Path(__file__).parent
    folders = {path.parent.relative_to(here).as_posix() for path in here.rglob("test_*.py")} - {".", "servers"}
    assert {folder for folder in folders if not (PACKAGE / folder / "__init__.py").is_file()} == set()


@pytest.fixture
def house(tmp_path: Path) -> Path:
    package = tmp_path / "house"
    for name, text in {
        "__init__": "",
        "foundation/__init__": "",
        "foundation/tables": "import typing\nif typing.TYPE_CHECKING:\n    from house.profiles import One\n",
        "foundation/seeds": "",
        "profiles/__init__": "from house.cohort.settings import Two\n",
        "cohort/__init__": "",
        "cohort/settings": "import house.foundation.seeds\n",
        "evaluation/__init__": "",
        "evaluation/metrics": "from ..foundation import seeds\nfrom . import roc\n",
        "evaluation/roc": "def body():\n    from house.evaluation.metrics import area\n",
    }.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return package


def test_imports_of_every_form_are_found(house: Path) -> None:
    assert arrows(house) == [
        Arrow("cohort.settings", "foundation.seeds", 1),
        Arrow("evaluation.metrics", "evaluation.roc", 2),
        Arrow("evaluation.metrics", "foundation.seeds", 1),
        Arrow("evaluation.roc", "evaluation.metrics", 2),
        Arrow("foundation.tables", "profiles", 3, types_only=True),
        Arrow("profiles", "cohort.settings", 1),
    ]
    assert against_the_plan(arrows(house)) == []


def test_a_circle_is_shown(house: Path) -> None:
    found = circle(arrows(house))
    assert set(found) == {"evaluation.metrics", "evaluation.roc"}
    assert found[0] == found[-1]


@pytest.mark.parametrize(
    ("module", "text", "line"),
    [
        ("cohort/flow", "if 1:\n    from house.evaluation import roc\n", "cohort.flow (line 2) imports evaluation.roc"),
        ("foundation/words", "import house.cohort.settings\n", "foundation.words (line 1) imports cohort.settings"),
        ("foundation/seeds", "from house.profiles import One\n", "foundation.seeds (line 1) imports profiles"),
        ("profiles/more", "from house.cohort import settings\n", "profiles.more (line 1) imports cohort.settings"),
        ("attic/box", "from ..foundation.seeds import rng\n", "attic.box (line 1) imports foundation.seeds"),
        ("foundation/tables", "from house.profiles import One\n", "foundation.tables (line 1) imports profiles"),
    ],
)  # fmt: skip
def test_an_arrow_that_points_the_wrong_way_is_named(house: Path, module: str, text: str, line: str) -> None:
    path = house / f"{module}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    told = against_the_plan(arrows(house))
    assert [each.split(",")[0] for each in told] == [line]
    assert "may import" in told[0]
