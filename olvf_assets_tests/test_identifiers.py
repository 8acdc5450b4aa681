"""No name, number, date or free text of a patient leaves intake, wherever the hospital had put it."""

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
import pydicom
import pytest

from olvf_assets_tests.planted_hospital import IDENTIFIER, PATIENT_IDS, fields, write_planted_hospital

PROJECT = Path(__file__).parents[1]
LOCATION = "olvf_assets_tests.intake_of_real_hospitals"


class Intake:
    """What one run of the gate over a planted hospital, and a second one with a bad sheet, left behind."""

    def __init__(self, root: Path) -> None:
        self.data, self.home = root / "data", root / "home"
        self.dates = write_planted_hospital(self.data / "landing")
        bad = self.data / "landing" / "bad_sheet"
        shutil.copytree(self.data / "landing" / "clinic", bad)
        readers = bad / "readers.csv"
        readers.write_bytes(readers.read_bytes().replace(b",fresh,", b",frehs,", 1).replace(b",0,", b",no tumour,", 1))
        self.home.mkdir()
        shutil.copy(PROJECT / "dagster.yaml", self.home)
        environment = {
            **os.environ, "OLVF_DATA": str(self.data), "DAGSTER_HOME": str(self.home), "OLVF_PROFILE": "ci",
            "OLVF_PSEUDONYM_KEY": "a secret of the hospital", "GX_ANALYTICS_ENABLED": "false",
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
        for top in (self.data / "lake", self.data / "reports", self.home):
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


@pytest.fixture(scope="module")
def intake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Intake]:
    root = tmp_path_factory.mktemp("planted")
    yield Intake(root)
    shutil.rmtree(root)


def test_every_field_of_the_hospital_holds_an_identifier(intake: Intake) -> None:
    folder = intake.data / "landing" / "clinic"
    assert len(list(fields())) > 1500
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in (".xlsx", ".toml") and path.name != "classes.txt":
            shown = str(path.relative_to(folder)).encode() + path.read_bytes()
            assert IDENTIFIER.search(shown), path
    film = pydicom.dcmread(next(folder.rglob("*.dcm")))
    assert IDENTIFIER.search(film.RequestAttributesSequence[0].RequestAttributesSequence[0].PatientComments.encode())


def test_films_sheets_and_boxes_came_through(intake: Intake) -> None:
    of_clinic = {"institution": "clinic"}
    assert intake.table("films").filter(**of_clinic).height == 3
    assert intake.table("subjects").filter(**of_clinic).height == 3
    assert set(intake.table("reader_labels")["institution"]) == {"clinic"}
    assert set(intake.table("reader_boxes").filter(**of_clinic)["box_format"]) == {"yolo", "voc", "coco"}
    assert sorted(intake.table("quarantine").filter(**of_clinic)["reason"]) == [
        "box_without_film", "colour", "not_dicom", "not_lateral", "not_radiograph", "not_spine",
    ]  # fmt: skip


def test_the_bad_sheet_stopped_its_hospital_with_row_column_and_value(intake: Intake) -> None:
    said = intake.said.decode()
    assert "bad_sheet is left out of this run" in said
    assert "column label: 'frehs' is not allowed; write one of normal, old, fresh" in said
    assert "column pathological: 'no ******' is not allowed; write one of 0, 1" in said


def test_no_identifier_is_in_anything_that_intake_leaves_behind(intake: Intake) -> None:
    found = {name: match.group() for name, text in intake.left_behind() if (match := IDENTIFIER.search(text))}
    assert found == {}


def test_no_date_of_a_patient_is_in_a_table(intake: Intake) -> None:
    names = [path.stem for path in (intake.data / "lake" / "tables").glob("*.delta")]
    text = "\n".join(intake.table(name).select(pl.all().cast(pl.String)).write_csv() for name in names)
    assert len(intake.dates) >= 2 * len(PATIENT_IDS)
    assert [day for day in intake.dates if day in text] == []


def test_shifted_dates_stand_in_headers_and_subjects(intake: Intake) -> None:
    both = intake.table("films").join(intake.table("subjects"), on=["institution", "patient_id"], suffix="_sheet")
    assert both["film_date_sheet"].null_count() == 0
    assert both.filter(institution="clinic")["film_date"].n_unique() == 3  # one planted day, three shifts
