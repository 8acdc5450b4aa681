"""SQL files as tables and checks."""

from pathlib import Path

import polars as pl
import pytest

from olvf_assets.foundation.columns import ColumnTextError, texts_of
from olvf_assets.foundation.tables import TableRun
from olvf_assets.orchestration.sql_models import SqlModelError, load_models, load_tests
from olvf_assets.storage.artifacts import ArtifactStore

MODEL = """-- description: One row per patient.
-- partitioned by: institution
-- group: cohort
-- columns: institution String, patient_id String
-- columns: fractures Int64
-- column fractures: levels that a reader named
with adults as (select * from subjects where age_years >= 18)
select adults.institution, adults.patient_id, count(labels.level) as fractures
from adults left join labels using (patient_id)
group by all
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "marts").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "marts" / "patients.sql").write_text(MODEL)
    (tmp_path / "tests" / "no_child.sql").write_text("-- checks: patients\nselect * from patients where fractures < 0")
    return tmp_path


def test_a_file_is_a_table_that_reads_what_its_query_names(folder: Path, tmp_path: Path) -> None:
    (model,) = load_models(folder)
    assert (model.name, model.by, model.room) == ("patients", "institution", "cohort")
    assert model.reads == ("labels", "subjects")
    subjects = pl.DataFrame({"institution": ["a", "a"], "patient_id": ["P1", "P2"], "age_years": [70, 10]})
    labels = pl.DataFrame({"patient_id": ["P1", "P1"], "level": ["L1", "L2"]})
    run = TableRun(profile=None, store=ArtifactStore(tmp_path), data=tmp_path)  # type: ignore[arg-type]
    assert model.make(run, subjects=subjects, labels=labels).rows() == [("a", "P1", 2)]


def test_a_header_names_the_columns_and_says_what_they_mean(folder: Path) -> None:
    (model,) = load_models(folder)
    assert model.schema == pl.Schema({"institution": pl.String, "patient_id": pl.String, "fractures": pl.Int64})
    assert model.columns["fractures"] == "levels that a reader named"
    assert model.columns["patient_id"] == texts_of("foundation")["patient_id"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", r"needs '-- columns: name Type"),
        ("-- columns: institution String, fractures", "cannot be read: fractures"),
        ("-- columns: institution Text", "cannot be read: institution Text"),
        ("-- columns: fractures Int64, fractures Int64", "each once"),
        ("-- columns: institution String\n-- column fracture: a slip", "describes fracture, which it does not have"),
    ],
)
def test_a_header_that_does_not_name_its_columns_says_what_to_write(folder: Path, line: str, said: str) -> None:
    text = "\n".join(each for each in MODEL.splitlines() if not each.startswith("-- column"))
    (folder / "marts" / "patients.sql").write_text(text.replace("-- group: cohort", f"-- group: cohort\n{line}"))
    with pytest.raises(ColumnTextError, match=said):
        load_models(folder)


def test_a_test_file_is_a_check_on_the_table_it_names(folder: Path) -> None:
    (rule,) = load_tests(folder)
    assert (rule.name, rule.table, rule.reads, rule.blocking) == ("no_child", "patients", ("patients",), True)


def test_a_model_without_header_says_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "marts").mkdir()
    (tmp_path / "marts" / "bare.sql").write_text("select 1 as one")
    with pytest.raises(SqlModelError, match=r"bare\.sql.*partitioned by"):
        load_models(tmp_path)
