"""A hospital of faulty files beside two sound ones and one with a sheet that no machine can read, by the real door."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter

from olvf_assets_tests.faulty_hospital import States, write_faulty_hospital, write_sound_hospital

PROJECT = Path(__file__).parents[1]
LOCATION = "olvf_assets_tests.intake_of_real_hospitals"


class Gate:
    """What one run of the gate over four hospitals left behind."""

    def __init__(self, root: Path) -> None:
        self.data, home = root / "data", root / "home"
        landing = self.data / "landing"
        landing.mkdir(parents=True)
        self.expected: States = write_faulty_hospital(landing / "faulty")
        for seed, name in enumerate(("sound_one", "sound_two", "endless_sheet"), start=2):
            write_sound_hospital(landing / name, seed)
        (landing / "endless_sheet" / "subjects.csv").unlink()
        (landing / "endless_sheet" / "subjects.xlsx").write_bytes(endless_workbook())
        home.mkdir()
        shutil.copy(PROJECT / "dagster.yaml", home)
        environment = {
            **os.environ, "OLVF_DATA": str(self.data), "DAGSTER_HOME": str(home), "OLVF_PROFILE": "ci",
            "OLVF_PSEUDONYM_KEY": "a secret of the hospital", "GX_ANALYTICS_ENABLED": "false",
        }  # fmt: skip
        command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", LOCATION, "--select", "*"]
        done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
        self.said, self.status = done.stdout + done.stderr, done.returncode

    def table(self, name: str) -> pl.DataFrame:
        return pl.read_delta(str(self.data / "lake" / "tables" / f"{name}.delta"))


def endless_workbook() -> bytes:
    """Return a workbook of 5 kB with one cell in its very last row and column."""
    buffer = BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as book:
        book.add_worksheet().write(0, 0, "patient_id")
    with zipfile.ZipFile(buffer) as read, zipfile.ZipFile(changed := BytesIO(), "w") as written:
        for name in read.namelist():
            text = read.read(name)
            if name == "xl/worksheets/sheet1.xml":
                last = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
                text = text.replace(b'ref="A1"', b'ref="A1:XFD1048576"').replace(b"</sheetData>", last)
            written.writestr(name, text)
    return changed.getvalue()


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    root = tmp_path_factory.mktemp("faulty")
    yield Gate(root)
    shutil.rmtree(root)


def test_the_run_goes_on(gate: Gate) -> None:
    assert gate.status == 0, gate.said[-6000:]


def test_every_path_ends_in_the_state_that_it_must(gate: Gate) -> None:
    # Names of real hospitals are hidden; they stand in the order of the walk all the same, archives before members.
    from olvf_assets.intake.landing.landing import landed_files
    from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
    from olvf_assets.intake.privacy.safe_paths import path_names

    folder = gate.data / "landing" / "faulty"
    shown = path_names(folder, Pseudonymiser("faulty", b"a secret of the hospital")).shown_by_real
    ended = dict(gate.table("file_states").filter(institution="faulty").select("path", "state").iter_rows())
    assert {path: ended.get(shown[path]) for path in gate.expected} == gate.expected
    assert len(ended) == len(gate.expected) == len(landed_files(folder))


def test_every_refusal_has_a_reason_and_words(gate: Gate) -> None:
    refused = gate.table("quarantine").filter(institution="faulty")
    assert refused.select(pl.any_horizontal(pl.col("reason", "detail").is_null()).any()).item() is False


@pytest.mark.parametrize("name", ["sound_one", "sound_two"])
def test_the_sound_hospitals_are_whole(gate: Gate, name: str) -> None:
    assert gate.table("films").filter(institution=name).height == 3
    assert gate.table("quarantine").filter(institution=name).is_empty()
    assert gate.table("reader_boxes").filter(institution=name).height > 0


def test_the_sheet_that_no_machine_can_read_stops_its_hospital_alone(gate: Gate) -> None:
    assert "endless_sheet is left out of this run" in gate.said
    assert set(gate.table("subjects")["institution"]) == {"faulty", "sound_one", "sound_two"}
