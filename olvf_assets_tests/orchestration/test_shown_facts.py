"""What Dagster's catalogue says of every table beside its columns: room, owner, description, and what makes it."""

import ast
import contextvars
import inspect
from functools import cache
from pathlib import Path

import pytest
from dagster import AssetKey

from olvf_assets.definitions import defs as operations
from olvf_assets.foundation.tables import Table
from olvf_assets.orchestration.graph import all_tables
from olvf_assets.orchestration.sql_models import SQL
from olvf_assets.orchestration.views import OWNERS
from olvf_assets.study import defs as study

PACKAGE = Path(__file__).parents[2]
TABLES = {each.name: each for each in all_tables()}
MODULES_OF = {"opencv": "cv2"}  # where a library's module has another name


@pytest.mark.parametrize("definitions", [operations, study], ids=["operations", "study"])
def test_every_table_has_room_owner_kinds_and_description(definitions) -> None:
    graph = contextvars.Context().run(definitions.resolve_asset_graph)  # see test_graph
    for name, spec in TABLES.items():
        node = graph.get(AssetKey(name))
        assert (node.group_name, node.owners) == (spec.room, [OWNERS[spec.room]]), name
        assert node.kinds == set(spec.kinds), name
        assert 1 <= len(spec.kinds) <= 3, name
        assert len(node.description.split()) > 3, name


@cache
def imported(path: Path) -> frozenset[str]:
    """Return the modules that a file imports anywhere, `from a import b` as both a and a.b."""
    return modules_in(ast.parse(path.read_text()))


def modules_in(tree: ast.AST) -> frozenset[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    return frozenset(found)


def reached(spec: Table) -> set[str]:
    """Return the libraries that the body of a table reaches: those its function imports, and what these import."""
    source = Path(inspect.getsourcefile(spec.make))
    tree = ast.parse(source.read_text())
    functions = {each.name: each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}
    above = {
        name.asname or name.name: each.module
        for each in tree.body
        if isinstance(each, ast.ImportFrom)
        for name in each.names
    }
    todo, seen, modules = [spec.make.__name__], set(), set()
    while todo:
        function = functions.get(todo.pop())
        if function is None or function.name in seen:
            continue
        seen.add(function.name)
        modules |= modules_in(function)
        names = [each.id for each in ast.walk(function) if isinstance(each, ast.Name)]
        modules |= {above[name] for name in names if name in above}
        todo += names
    libraries, looked_at = {"polars"}, set()
    while modules:
        module = modules.pop()
        path = PACKAGE / (module.replace(".", "/") + ".py")
        if module.startswith("olvf_assets.") and path not in looked_at and path.is_file():
            looked_at.add(path)
            modules |= imported(path)
        libraries.add(module.split(".")[0])
    return libraries


@pytest.mark.parametrize("spec", [each for each in TABLES.values() if each.kinds != SQL], ids=lambda spec: spec.name)
def test_a_table_is_made_with_what_its_kinds_say(spec: Table) -> None:
    libraries = reached(spec)
    assert {MODULES_OF.get(kind, kind) for kind in spec.kinds} <= libraries
    trains_or_scores = {"resnet50_checkpoints", "crop_scores", "gradcam_maps", "detector_model"}
    assert ("torch" in spec.kinds) >= (spec.name in trains_or_scores)
