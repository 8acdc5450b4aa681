import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest

from olvf_assets.reporting.__main__ import main
from olvf_assets.reporting.warehouse import NoWarehouseError, WarehouseNotWrittenError, build_warehouse, read_table
from olvf_assets_tests.reporting.made_up import made_up_tables

READER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=True)
print(connection.execute("SELECT max(n) FROM numbers").fetchone()[0], flush=True)
sys.stdin.readline()
print(connection.execute("SELECT max(n) FROM numbers").fetchone()[0], flush=True)
"""
KILLED_BUILDER = """
import sys
from pathlib import Path
import polars as pl
from olvf_assets.reporting.warehouse import build_warehouse

def never_ready():
    print("writing", flush=True)
    sys.stdin.readline()

build_warehouse({"numbers": pl.DataFrame({"n": [3]}), "zebras": never_ready}, Path(sys.argv[1]))
"""


def started(script: str, path: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def numbers(n: int) -> pl.DataFrame:
    return pl.DataFrame({"n": [n]})


def test_tables_come_back_as_they_went_in_from_frames_functions_and_delta_folders(tmp_path):
    nested = pl.DataFrame(
        {
            "film_id": ["F1", "F2"],
            "boxes": [[{"level": "L1", "x0": 0.25}, {"level": "L2", "x0": 0.5}], []],
            "losses": [[1.5, 0.5], None],
            "reason": [None, None],
        },
        schema_overrides={"boxes": pl.List(pl.Struct({"level": pl.String, "x0": pl.Float64}))},
    )
    undefined = pl.DataFrame({"value": [0.5, float("nan"), None], "n": [1, 2, 3]})
    undefined.write_delta(tmp_path / "lake" / "undefined")
    path = tmp_path / "data" / "olvf.duckdb"
    counts = build_warehouse(
        {"nested": nested, "undefined": tmp_path / "lake" / "undefined", "empty": undefined.clear}, path
    )
    assert counts == {"nested": 2, "undefined": 3, "empty": 0}
    assert read_table(path, "nested").equals(nested.cast({"reason": pl.String}))
    assert read_table(path, "undefined").equals(undefined)
    assert read_table(path, "empty").schema == undefined.schema


def test_comments_are_kept_with_tables_and_columns(tmp_path):
    path = tmp_path / "olvf.duckdb"
    frame = pl.DataFrame({"patient_id": ["P1"], "own": [1]})
    texts = {"subjects": {"patient_id": "it's his"}, "films": {"own": "of another table"}}
    build_warehouse({"subjects": frame}, path, {"subjects": "one row a patient's"}, texts)
    with duckdb.connect(str(path), read_only=True) as connection:
        assert connection.execute("SELECT comment FROM duckdb_tables()").fetchall() == [("one row a patient's",)]
        comments = dict(connection.execute("SELECT column_name, comment FROM duckdb_columns()").fetchall())
    assert comments["patient_id"] == "it's his"
    assert comments["own"] is None


def test_a_reader_in_another_process_keeps_the_old_file_and_the_next_one_sees_the_new(tmp_path):
    path = tmp_path / "olvf.duckdb"
    build_warehouse({"numbers": numbers(1)}, path)
    reader = started(READER, path)
    assert reader.stdout.readline() == "1\n"
    build_warehouse({"numbers": numbers(2)}, path)
    assert read_table(path, "numbers").item() == 2
    answer, _ = reader.communicate("\n")
    assert answer == "1\n"
    assert reader.returncode == 0
    assert not (tmp_path / "olvf.duckdb.tmp").exists()


def test_a_killed_build_leaves_the_old_warehouse_and_the_next_build_succeeds(tmp_path):
    path = tmp_path / "olvf.duckdb"
    build_warehouse({"numbers": numbers(1)}, path)
    builder = started(KILLED_BUILDER, path)
    assert builder.stdout.readline() == "writing\n"
    assert (tmp_path / "olvf.duckdb.tmp").exists()
    assert read_table(path, "numbers").item() == 1
    builder.kill()
    builder.communicate()
    assert read_table(path, "numbers").item() == 1
    build_warehouse({"numbers": numbers(2)}, path)
    assert read_table(path, "numbers").item() == 2
    assert not (tmp_path / "olvf.duckdb.tmp").exists()


def test_rubbish_left_under_the_temporary_name_and_an_old_log_do_no_harm(tmp_path):
    path = tmp_path / "olvf.duckdb"
    for name in ("olvf.duckdb.tmp", "olvf.duckdb.tmp.wal", "olvf.duckdb.wal"):
        (tmp_path / name).write_bytes(b"half a file")
    build_warehouse({"numbers": numbers(5)}, path)
    assert read_table(path, "numbers").item() == 5
    assert sorted(each.name for each in tmp_path.glob("olvf*")) == ["olvf.duckdb"]


def test_a_table_that_cannot_be_read_is_named_and_the_old_warehouse_stays(tmp_path):
    path = tmp_path / "olvf.duckdb"
    build_warehouse({"numbers": numbers(1)}, path)
    with pytest.raises(WarehouseNotWrittenError, match="table splits"):
        build_warehouse({"numbers": numbers(2), "splits": tmp_path / "no such folder"}, path)
    assert read_table(path, "numbers").item() == 1


def test_a_folder_that_cannot_be_written_is_a_named_error(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(WarehouseNotWrittenError, match="must be writable"):
        build_warehouse({"numbers": numbers(1)}, tmp_path / "file" / "olvf.duckdb")


def test_reading_says_what_is_missing(tmp_path):
    path = tmp_path / "olvf.duckdb"
    with pytest.raises(NoWarehouseError, match="does not exist yet"):
        read_table(path, "numbers")
    build_warehouse({"numbers": numbers(1)}, path)
    with pytest.raises(NoWarehouseError, match="no table letters"):
        read_table(path, "letters")


def test_command_prints_tables_and_where_everything_lies(tmp_path, capsys):
    tables = made_up_tables(patients=6)
    path = tmp_path / "olvf.duckdb"
    build_warehouse({name: tables[name] for name in ("test_metrics", "external_metrics", "participant_flow")}, path)
    (tmp_path / "reports").mkdir()
    for name in ("index.html", "roc_curves.png"):
        (tmp_path / "reports" / name).touch()
    assert main([str(path)]) == 0
    printed = capsys.readouterr().out
    for expected in ("Institution 1, held-out test", "Institution 2, external", "index.html", "1 PNG files in"):
        assert expected in printed
    assert str(path) in printed


def test_command_without_a_warehouse_fails_with_one_line(tmp_path, capsys):
    assert main([str(tmp_path / "olvf.duckdb")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert "make demo" in captured.err
