"""`make sql` asks the warehouse, prints every answer, and reaches nothing else on the machine."""

import io
from pathlib import Path

import duckdb
import pytest

from olvf_assets.commands.warehouse_shell import open_warehouse
from olvf_assets.reporting.warehouse import NoWarehouseError


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    path = tmp_path / "olvf.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE films AS SELECT 4711 AS n, 'a;b' AS word")
    return path


@pytest.fixture
def ask(warehouse: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def asked(text: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        failed = open_warehouse(warehouse)
        said = capsys.readouterr()
        return failed, said.out, said.err

    return asked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("select 111 as x; -- note\nselect 222 as y;\n", ("111", "222")),
        ("select 111; select 222; select 333;", ("111", "222", "333")),
        ("select 'one;two' as x;\nselect 222;", ("one;two", "222")),
        ("/* a note; with\nsemicolons; */ select 111; -- ; select 999", ("111",)),
        ("select $$one;two$$ as x; select word from films;", ("one;two", "a;b")),
        ("select\n  111\n;\n\n;;select 222", ("111", "222")),
        ("select '山田;é' as x; select 222;", ("山田;é", "222")),
        ('select 1 as "one;two"; select 222;', ("one;two", "222")),
        ("from films; pivot films on word using count(*); explain from films; show tables;", ("4711", "films")),
    ],
)
def test_every_statement_is_answered(ask, text: str, shown: tuple[str, ...]) -> None:
    failed, out, err = ask(text)
    assert (failed, err) == (0, "")
    places = [out.index(each) for each in shown]
    assert places == sorted(places)
    assert "999" not in out


def test_a_faulty_statement_is_named_and_the_others_are_answered(ask) -> None:
    failed, out, err = ask("select 111; selec 222; select 333;\nselect 'open")
    assert failed == 2
    assert "111" in out
    assert "333" in out
    assert "syntax error" in err
    assert "unterminated" in err


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "COPY (SELECT 1) TO '{folder}/olvf.duckdb.wal' (FORMAT csv)",
        "COPY films TO '{folder}/olvf.duckdb' (FORMAT csv)",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/olvf.duckdb.wal' (FORMAT csv)",
        "PREPARE p AS COPY (SELECT 1) TO '{folder}/olvf.duckdb.wal' (FORMAT csv)",
        "EXPORT DATABASE '{folder}/all'",
        "IMPORT DATABASE '{folder}'",
        "ATTACH '{folder}/other.duckdb' AS other",
        "FROM read_csv('{folder}/secret.txt')",
        "FROM read_text('{folder}/secret.txt')",
        "FROM '{folder}/secret.txt'",
        "FROM glob('{folder}/*.txt')",
        "INSTALL httpfs",
        "LOAD '{folder}/secret.txt'",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "RESET enable_external_access",
        "PRAGMA profile_output='{folder}/profile.json'",
        "CREATE TABLE more AS SELECT 1",
        "DELETE FROM films",
        "DROP TABLE films",
        "FROM connection",
        "CREATE PERSISTENT SECRET s (TYPE s3)",
    ],
)
def test_the_prompt_neither_writes_nor_reads_anything_else(ask, warehouse: Path, statement: str) -> None:
    folder = warehouse.parent
    (folder / "secret.txt").write_text("kept to itself")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    failed, out, err = ask(statement.format(folder=folder) + ";\nfrom films;")
    assert failed == 1, out
    assert "kept to itself" not in out + err
    assert "secret" not in out
    assert "4711" in out
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_without_a_warehouse_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoWarehouseError, match="make demo"):
        open_warehouse(tmp_path / "olvf.duckdb")
