"""What every column of every table means: said once, and the same in Dagster's UI and in the warehouse."""

import contextvars
import re
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pytest
from dagster import AssetKey, TableSchema

from olvf_assets.definitions import defs as operations
from olvf_assets.foundation.columns import TEXTS_FILE, ColumnTextError, column_texts, texts_of
from olvf_assets.foundation.tables import Table
from olvf_assets.orchestration.graph import all_tables
from olvf_assets.orchestration.sql_models import SQL, load_models
from olvf_assets.reporting.warehouse import build_warehouse
from olvf_assets.storage.sql import run_query
from olvf_assets.study import defs as study

TABLES = {each.name: each for each in all_tables()}
ROOMS = {"foundation", *(each.room for each in TABLES.values())}


@pytest.fixture(scope="module", autouse=True)
def resolved_apart_from_other_tests() -> None:
    for definitions in (operations, study):  # see test_graph
        contextvars.Context().run(definitions.get_repository_def)


def test_every_column_of_every_table_has_a_text() -> None:
    without = {name: [each for each in spec.schema if each not in spec.columns] for name, spec in TABLES.items()}
    assert {name: columns for name, columns in without.items() if columns} == {}


def test_a_text_says_more_than_the_name() -> None:
    def plain(text: str) -> str:
        return "".join(each for each in text.lower() if each.isalnum())

    empty = [
        (name, column)
        for name, spec in TABLES.items()
        for column, text in spec.columns.items()
        if len(text.split()) < 3 or plain(text) == plain(column) or text != text.strip() or re.search(r"[^.]\.$", text)
    ]
    assert empty == []


def used(room: str, column: str, text: str) -> bool:
    return any(room in (spec.room, "foundation") and spec.columns.get(column) == text for spec in TABLES.values())


def test_no_text_describes_a_column_that_is_not_there() -> None:
    dead = []
    for room in ROOMS:
        for name, text in texts_of(room).items():
            if isinstance(text, Mapping):
                dead += [(room, name, each) for each in text if name not in TABLES or each not in TABLES[name].schema]
            elif not used(room, name, text):
                dead.append((room, name, text))
    assert dead == []


@pytest.mark.parametrize("definitions", [operations, study], ids=["operations", "study"])
def test_dagster_shows_every_column_with_its_text_before_anything_is_made(definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for name, spec in TABLES.items():
        shown = graph.get(AssetKey(name)).metadata["dagster/column_schema"]
        assert isinstance(shown.value, TableSchema) if hasattr(shown, "value") else isinstance(shown, TableSchema)
        columns = getattr(shown, "value", shown).columns
        assert [(each.name, each.type) for each in columns] == [(each, str(spec.schema[each])) for each in spec.schema]
        assert {each.name: each.description for each in columns} == spec.columns


def test_the_warehouse_says_the_same_as_dagster(tmp_path: Path) -> None:
    last = TABLES["warehouse"]
    path = tmp_path / "olvf.duckdb"
    frames = {name: spec.schema.to_frame() for name, spec in TABLES.items() if spec is not last}
    texts = {name: spec.columns for name, spec in TABLES.items()}
    build_warehouse(frames, path, {name: spec.description for name, spec in TABLES.items()}, texts)
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.execute("SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal")
        commented: dict[str, dict[str, str]] = {}
        for name, column, comment in rows.fetchall():
            commented.setdefault(name, {})[column] = comment
    assert commented == {name: spec.columns for name, spec in TABLES.items() if spec is not last}


@pytest.mark.parametrize("model", load_models(), ids=lambda model: model.name)
def test_the_header_of_an_sql_model_names_the_columns_of_its_select(model: Table) -> None:
    assert model.kinds == SQL
    path = next(path for path in (Path(__file__).parents[2] / "dbt_like_sql").glob(f"*/{model.name}.sql"))
    found = run_query(path.read_text(), {name: TABLES[name].schema.to_frame() for name in model.reads})
    assert found.schema == model.schema


def test_a_tables_own_text_goes_before_its_rooms_and_that_before_the_common_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, common = tmp_path / "cohort", tmp_path / "foundation"
    for folder in (room, common):
        folder.mkdir()
    (common / TEXTS_FILE).write_text('a = "common a"\nb = "common b"\nc = "common c"\nd = "common d"\n')
    (room / TEXTS_FILE).write_text('b = "room b"\nc = "room c"\nd = "room d"\n[pairs]\nc = "pairs c"\nd = "pairs d"\n')
    monkeypatch.setattr("olvf_assets.foundation.columns.__file__", str(common / "columns.py"))
    texts_of.cache_clear()
    found = column_texts("cohort", "pairs", ["a", "b", "c", "d", "e"], {"d": "own d"})
    assert found == {"a": "common a", "b": "room b", "c": "pairs c", "d": "own d"}
    assert column_texts("no_such_room", "pairs", ["c", "pairs"]) == {"c": "common c"}
    (room / TEXTS_FILE).write_text("a = common")
    texts_of.cache_clear()
    with pytest.raises(ColumnTextError, match=r"cohort.columns\.toml"):
        texts_of("cohort")
    texts_of.cache_clear()
