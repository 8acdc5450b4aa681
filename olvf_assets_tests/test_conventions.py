"""What we promise of the source, held against the source."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "olvf_assets"
MODULES = sorted(PACKAGE.rglob("*.py"))
ROOMS = ["phantom", "intake", "cohort", "detection", "crops", "classification", "evaluation", "attention", "reporting"]
BESIDE_EVALUATION = {"evaluation", "attention"}  # neither may import the other
HEAVY = {
    "torch", "torchvision", "ultralytics", "timm", "great_expectations", "sklearn", "matplotlib", "statsmodels",
    "scikit_posthocs", "scipy", "pandas", "cv2", "imgaug", "pycocotools", "pydicom", "numpy",
}  # fmt: skip
SPEAK_DAGSTER = {
    "definitions.py", "study.py", "graph.py", "automation.py", "resources.py", "hospitals.py", "partitions.py",
    "views.py", "lake.py", "lost_runs.py",
}  # fmt: skip
LOADED_WITH_THE_GRAPH = {"assets.py", "checks.py", "settings.py", "tables.py"}


def imports(path: Path, *, top_level: bool) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module}
    return found


def name_of(path: Path) -> str:
    return str(path.relative_to(PROJECT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_opens_with_its_charter(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_orchestration_modules_import_dagster(path: Path) -> None:
    speaks = any(name.split(".")[0].startswith("dagster") for name in imports(path, top_level=False))
    assert not speaks or path.name in SPEAK_DAGSTER


@pytest.mark.parametrize("path", [each for each in MODULES if each.name in LOADED_WITH_THE_GRAPH], ids=name_of)
def test_what_the_graph_loads_imports_nothing_heavy(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path, top_level=True)} & HEAVY


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_room_imports_only_rooms_to_its_left(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0]
    used = {name.split(".")[1] for name in imports(path, top_level=False) if name.startswith("olvf_assets.")}
    if room in ROOMS:
        allowed = {*ROOMS[: ROOMS.index(room) + 1], "foundation"}
        if path.name == "__main__.py":  # a command finds the data folder and the profile by itself
            allowed |= {"places", "profiles"}
        if room in BESIDE_EVALUATION:
            allowed -= BESIDE_EVALUATION - {room}
    elif room == "foundation":
        allowed = {"foundation", "profiles", "resources"} if path.name in ("tables.py", "views.py") else {"foundation"}
    else:
        return
    assert used <= allowed


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.name in {*SPEAK_DAGSTER, "assets.py", "checks.py"}], ids=name_of
)
def test_annotations_are_real_where_dagster_reads_them(path: Path) -> None:
    assert "__future__" not in imports(path, top_level=True)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_one_room_only(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 330


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_is_left_for_later(path: Path) -> None:
    left = re.compile(
        r"TODO|FIXME|NotImplementedError|time\.sleep|except:|except Exception:\s*pass|# type: ignore$|# noqa$"
    )
    assert not left.findall(path.read_text())


@pytest.mark.parametrize("module", ["olvf_assets.study", "olvf_assets.definitions"])
def test_the_code_location_loads_without_anything_heavy(module: str) -> None:
    heavy = sorted(HEAVY - {"numpy", "pandas"})  # great_expectations aside, nothing of ours brings these two
    program = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert shown.stdout.strip() == "[]"
