"""What SQL texts read, and that the shipped findings never say anything else than sqlglot does."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlglot

from olvf_assets.foundation.tables import Check, Table
from olvf_assets.orchestration.sql_lineage import LINEAGE_FILE, find_lineage, lineage_file, text_hash
from olvf_assets.orchestration.sql_models import load_models, load_tests
from olvf_assets.storage.sql import SQL_FOLDER

FILES = sorted(SQL_FOLDER.rglob("*.sql"))


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that every text which sqlglot parses is added to."""
    texts: list[str] = []
    parse_one = sqlglot.parse_one

    def parse(text: str, **options: str) -> sqlglot.Expr:
        texts.append(text)
        return parse_one(text, **options)

    monkeypatch.setattr(sqlglot, "parse_one", parse)
    return texts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the project's SQL files, with what is shipped beside them."""
    return Path(shutil.copytree(SQL_FOLDER, tmp_path / "sql"))


def found(folder: Path) -> dict[str, object]:
    made: list[Table | Check] = [*load_models(folder), *load_tests(folder)]
    return {each.name: (each.reads, each.column_sources if isinstance(each, Table) else {}) for each in made}


def test_what_is_shipped_is_what_sqlglot_finds() -> None:
    """After a change of a text: OLVF_UPDATE_SNAPSHOT=1 pytest olvf_assets_tests/orchestration/test_sql_lineage.py"""
    if os.environ.get("OLVF_UPDATE_SNAPSHOT"):
        (SQL_FOLDER / LINEAGE_FILE).write_text(lineage_file(SQL_FOLDER), encoding="utf-8")
    assert (SQL_FOLDER / LINEAGE_FILE).read_text(encoding="utf-8") == lineage_file(SQL_FOLDER)


def test_shipped_texts_are_not_parsed(parsed: list[str]) -> None:
    assert len(found(SQL_FOLDER)) == len(FILES)
    assert parsed == []


def lost(file: Path) -> None:
    file.unlink()


def torn(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def half_merged(file: Path) -> None:
    file.write_text("<<<<<<< HEAD\n" + file.read_text())


def full_of_zeros(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def not_utf_8(file: Path) -> None:
    file.write_bytes(b"\xff" + file.read_bytes())


def of_another_shape(file: Path) -> None:
    said = json.loads(file.read_text())
    file.write_text(json.dumps({**said, "files": list(said["files"])}))


def of_another_sqlglot(file: Path) -> None:
    said = json.loads(file.read_text())
    for entry in said["files"].values():
        entry["reads"] = ["a_wrong_one"]
    file.write_text(json.dumps({**said, "sqlglot": "1.0"}))


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    "damage", [lost, torn, half_merged, full_of_zeros, not_utf_8, of_another_shape, of_another_sqlglot, a_folder]
)
def test_without_a_sound_file_each_text_is_parsed_once(
    folder: Path, parsed: list[str], damage: Callable[[Path], None]
) -> None:
    shipped = found(folder)
    damage(folder / LINEAGE_FILE)
    assert found(folder) == shipped
    assert sorted(parsed) == sorted(path.read_text() for path in FILES)


def test_a_changed_text_is_parsed_and_the_others_are_not(folder: Path, parsed: list[str]) -> None:
    path = folder / "marts" / "participant_states.sql"
    before = found(folder)
    path.write_text(path.read_text() + "\nunion all by name select * from one_more_table")
    after = found(folder)
    assert parsed == [path.read_text()]
    assert {name for name in after if after[name] != before[name]} == {"participant_states"}
    assert "one_more_table" in {each.name: each.reads for each in load_models(folder)}["participant_states"]


def test_a_renamed_text_keeps_what_was_found(folder: Path, parsed: list[str]) -> None:
    before = found(folder)
    (folder / "staging" / "films.sql").rename(folder / "staging" / "films_renamed.sql")
    assert found(folder)["films_renamed"] == before["films"]
    assert parsed == []


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("-- description: one\n-- group: cohort\nselect 1", "-- description: two\n\nselect 1", True),
        ("select 1", "select 2", False),
        ("-- note\nselect a -- b\nfrom x", "-- note\nselect a\nfrom x", False),
        ("select '\n-- x\n'", "select '\n-- y\n'", False),
        ("select 1 from x", "select 1 from X", False),
        ("", "-- nothing", True),
    ],
)
def test_only_the_comment_lines_above_a_query_are_no_part_of_it(left: str, right: str, same: bool) -> None:
    assert (text_hash(left) == text_hash(right)) is same


def test_common_table_expressions_are_not_taken_for_tables() -> None:
    query = "with adults as (select * from subjects) select * from adults left join labels using (patient_id)"
    assert find_lineage(query).reads == ("labels", "subjects")


def test_column_lineage_reaches_through_a_common_table_expression() -> None:
    query = "with a as (select x.n + 1 as m from x) select a.m * 2 as k from a"
    assert find_lineage(query).column_sources == {"k": [("x", "n")]}
    assert find_lineage("select n from x, y").column_sources == {}
