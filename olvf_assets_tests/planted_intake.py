"""One run of the gate over a planted hospital, for the tests that search what it leaves behind."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb
import polars as pl

from olvf_assets_tests.planted_faults import write_faulty_hospitals
from olvf_assets_tests.planted_hospital import write_planted_hospital

PROJECT = Path(__file__).parents[1]
LOCATION = "olvf_assets_tests.intake_of_real_hospitals"
KEY = "a secret of the hospital"
PACS_TOKEN = "a secret of its image store"


class Intake:
    """What one run of the gate over a planted hospital, and a second one with a bad sheet, left behind."""

    def __init__(self, root: Path) -> None:
        self.data, self.home = root / "data", root / "home"
        self.dates = write_planted_hospital(self.data / "landing")
        bad = self.data / "landing" / "bad_sheet"
        shutil.copytree(self.data / "landing" / "clinic", bad)
        readers = bad / "readers.csv"
        readers.write_bytes(readers.read_bytes().replace(b",fresh,", b",frehs,", 1).replace(b",0,", b",no tumour,", 1))
        write_faulty_hospitals(self.data / "landing" / "clinic")
        self.home.mkdir()
        shutil.copy(PROJECT / "dagster.yaml", self.home)
        environment = {
            **os.environ, "OLVF_DATA": str(self.data), "DAGSTER_HOME": str(self.home), "OLVF_PROFILE": "ci",
            "OLVF_PSEUDONYM_KEY": KEY, "OLVF_PACS_CLINIC_TOKEN": PACS_TOKEN, "GX_ANALYTICS_ENABLED": "false",
        }  # fmt: skip
        command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", LOCATION, "--select", "*"]
        done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, check=False)
        self.said = done.stdout + done.stderr
        assert done.returncode == 0, self.said[-6000:].decode()

    def table(self, name: str) -> pl.DataFrame:
        return pl.read_delta(str(self.data / "lake" / "tables" / f"{name}.delta"))

    def left_behind(self) -> Iterator[tuple[str, bytes]]:
        """Yield everything that is outside of the landing folder, as bytes and, where it is a table, as text."""
        yield "stdout and stderr", self.said
        for top in (self.data / "lake", self.data / "reports", self.data / "logs", self.home):
            for path in sorted(each for each in top.rglob("*") if each.is_file()):
                yield str(path), str(path).encode() + path.read_bytes()
                if path.suffix == ".parquet":
                    yield f"{path} as a table", str(pl.read_parquet(path).rows()).encode()
                elif path.read_bytes().startswith(b"SQLite format 3"):
                    with closing(sqlite3.connect(path)) as connection:
                        yield f"{path} as text", "\n".join(connection.iterdump()).encode()
        warehouse = self.data / "olvf.duckdb"
        yield str(warehouse), warehouse.read_bytes()
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
                yield f"table {name} of the warehouse", str(connection.sql(f'FROM "{name}"').pl().rows()).encode()
