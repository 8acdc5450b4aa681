"""What we promise of the source, held against the source. Each rule is one test that names every offender.

Which room may import which is held in `test_house.py`.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "olvf_assets"
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = {
    "obstore", "torch", "torchvision", "ultralytics", "timm", "great_expectations", "sklearn", "matplotlib",
    "statsmodels",
    "scikit_posthocs", "scipy", "pandas", "cv2", "imgaug", "pycocotools", "pydicom", "numpy", "pyarrow", "deltalake",
    "dagster_polars", "duckdb", "sqlglot", "pynetdicom", "dicomweb_client",
}  # fmt: skip
SPEAK_DAGSTER = {
    "definitions.py", "study.py", "graph.py", "automation.py", "resources.py", "hospitals.py", "partitions.py",
    "views.py", "steps.py", "lake.py", "lost_runs.py", "console.py", "event_log.py",
    "versions.py", "shown.py", "pacs.py", "books.py",
    "alerts.py", "results_back.py", "kubernetes.py",
}  # fmt: skip
LOADED_WITH_THE_GRAPH = {"assets.py", "checks.py", "settings.py", "tables.py"}
LONGEST_MODULE_LINES = 330
LEFT_FOR_LATER = re.compile(
    r"TODO|FIXME|NotImplementedError|time\.sleep|except:|except Exception:\s*pass|# type: ignore$|# noqa$", re.MULTILINE
)


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


def packages(path: Path, *, top_level: bool) -> set[str]:
    return {name.split(".")[0] for name in imports(path, top_level=top_level)}


def offenders(found: dict[Path, object]) -> dict[str, object]:
    """Return what was found, by the module's path in the project, without the modules where nothing was found."""
    return {str(path.relative_to(PROJECT)): what for path, what in found.items() if what}


def test_the_rules_are_held_against_every_module() -> None:
    assert len(MODULES) > 200
    assert {path.name for path in MODULES} >= SPEAK_DAGSTER | LOADED_WITH_THE_GRAPH


def test_every_module_opens_with_its_charter() -> None:
    assert offenders({path: not ast.get_docstring(ast.parse(path.read_text())) for path in MODULES}) == {}


def test_only_the_orchestration_modules_import_dagster() -> None:
    speakers = {
        path: [name for name in packages(path, top_level=False) if name.startswith("dagster")]
        for path in MODULES
        if path.name not in SPEAK_DAGSTER
    }
    assert offenders(speakers) == {}


def test_what_the_graph_loads_imports_nothing_heavy() -> None:
    loaded = [path for path in MODULES if path.name in LOADED_WITH_THE_GRAPH]
    assert offenders({path: packages(path, top_level=True) & HEAVY for path in loaded}) == {}


def test_annotations_are_real_where_dagster_reads_them() -> None:
    read = [path for path in MODULES if path.name in {*SPEAK_DAGSTER, "assets.py", "checks.py"}]
    assert offenders({path: "__future__" in imports(path, top_level=True) for path in read}) == {}


def test_a_module_is_one_room_only() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in MODULES}
    assert offenders({path: count for path, count in lines.items() if count > LONGEST_MODULE_LINES}) == {}


def test_nothing_is_left_for_later() -> None:
    assert offenders({path: LEFT_FOR_LATER.findall(path.read_text()) for path in MODULES}) == {}


@pytest.mark.parametrize("module", ["olvf_assets.study", "olvf_assets.definitions"])
def test_the_code_location_loads_without_anything_heavy(module: str) -> None:
    program = f"import sys, {module}; print([name for name in {sorted(HEAVY)} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert shown.stdout.strip() == "[]"
