"""A hospital that is left out: who says so, what is not learnt meanwhile, and when it is in again."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster import DagsterInstance

from olvf_assets.foundation.errors import OlvfError, StaleError
from olvf_assets.foundation.tables import Table, TableRun, check, learnt_from, table
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.profiles import load_profile
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.left_out import LeftOut, Stop
from olvf_assets_tests.orchestration import test_views
from olvf_assets_tests.orchestration.test_views import BY_INSTITUTION, lake, materialise, raw, tenfold

data, instance = test_views.data, test_views.instance  # fixtures
SUM = pl.Schema({"n": pl.Int64})


def sums(run: TableRun, tenfold: pl.DataFrame) -> pl.DataFrame:
    return learnt_from(run, tenfold).select(pl.col("n").sum())


def summary(run: TableRun, sums: pl.DataFrame) -> pl.DataFrame:
    return sums


def crops(run: TableRun, tenfold: pl.DataFrame, sums: pl.DataFrame) -> pl.DataFrame:
    if (run.data / "no_crops_of").exists() and (run.data / "no_crops_of").read_text() == run.institution:
        raise OlvfError("no crop")
    return tenfold


TABLES: list[Table] = [
    table(schema=BY_INSTITUTION, by="institution", always=True)(raw),
    table(schema=BY_INSTITUTION, by="institution")(tenfold),
    table(schema=SUM, learns=True)(sums),
    table(schema=SUM)(summary),
    table(schema=BY_INSTITUTION, by="institution")(crops),
]


def study(data: Path, instance: DagsterInstance, *names: str, **more: Any) -> Any:
    return materialise("study", data, instance, *names, tables=TABLES, checks=more.pop("checks", []), **more)


def failure(result: Any) -> str:
    (event,) = [each for each in result.all_events if each.is_step_failure]
    return str(event.event_specific_data.error)


def test_a_stopped_development_hospital_ends_the_run_and_leaves_what_was_learnt(data: Path, instance) -> None:
    study(data, instance)
    (data / "landing" / "b").write_text("bad")
    result = study(data, instance, fails=True)
    message = failure(result)
    assert "DevelopmentHospitalLeftOutError" in message
    assert "b (development) is left out: its raw could not be made: b holds 'bad', not a number" in message
    assert "train_without: [b]" in message
    assert "OLVF_TRAIN_WITHOUT=b" in message
    assert lake(data, "sums") == lake(data, "summary") == [(30,)]


def test_a_later_run_of_the_learning_table_alone_is_refused_too_until_the_hospital_is_mended(
    data: Path, instance
) -> None:
    study(data, instance)
    (data / "landing" / "b").write_text("bad")
    study(data, instance, fails=True)
    assert "its raw could not be made" in failure(study(data, instance, "sums", fails=True))
    (data / "landing" / "b").write_text("5")
    study(data, instance)
    assert lake(data, "summary") == [(60,)]
    study(data, instance, "sums")


def test_a_decision_to_train_without_it_lets_the_run_go_on(data: Path, instance) -> None:
    (data / "landing" / "b").write_text("bad")
    study(data, instance, without=("b",))
    assert lake(data, "summary") == [(10,)]


def test_nothing_is_learnt_from_a_sound_hospital_that_is_trained_without(data: Path, instance) -> None:
    study(data, instance, without=("b",))
    assert lake(data, "summary") == [(10,)]
    assert lake(data, "crops") == [("a", 10), ("b", 20)]


def test_a_stopped_external_hospital_leaves_out_itself_alone(data: Path, instance) -> None:
    (data / "landing" / "c").write_text("bad")
    study(data, instance)
    assert lake(data, "crops") == [("a", 10), ("b", 20)]


def test_a_stop_after_the_choice_of_what_is_learnt_does_not_block_that_choice(data: Path, instance) -> None:
    (data / "no_crops_of").write_text("b")
    study(data, instance)
    study(data, instance, "sums")
    assert lake(data, "summary") == [(30,)]
    assert lake(data, "crops") == [("a", 10)]


def test_a_partition_that_fails_alone_is_remembered_and_a_removed_hospital_is_not(data: Path, instance) -> None:
    study(data, instance)
    (data / "landing" / "b").write_text("bad")
    materialise("operations", data, instance, "raw", key="b", tables=TABLES, checks=[], fails=True)
    study(data, instance, "sums", fails=True)
    (data / "landing" / "b").unlink()
    study(data, instance, "sums")


def test_what_is_stale_ends_the_run_and_is_held_against_no_hospital(data: Path, instance) -> None:
    study(data, instance)

    def outdated(run: TableRun, tenfold: pl.DataFrame) -> pl.DataFrame:
        raise StaleError("made of others")

    study(data, instance, checks=[check(table="tenfold")(outdated)], fails=True)
    study(data, instance, "sums")


STOP = Stop("b", "development", "raw", "bad", "run 1")


def test_a_stop_ends_with_its_own_table_only(tmp_path: Path) -> None:
    left_out = LeftOut(ArtifactStore(tmp_path))
    left_out.note(STOP)
    left_out.end("b", "tenfold")
    assert left_out.stops(["a", "b"]) == [STOP]
    assert left_out.stops(["a"]) == []
    left_out.end("b", "raw")
    assert left_out.stops(["a", "b"]) == []


@pytest.mark.parametrize("torn", ["", "{", '{"institution": "b"}'])
def test_a_torn_record_stops_nothing(tmp_path: Path, torn: str) -> None:
    left_out = LeftOut(ArtifactStore(tmp_path))
    left_out.note(STOP)
    (file,) = (tmp_path / "left_out").glob("*.json")
    file.write_text(torn)
    assert left_out.stops(["b"]) == []
    left_out.end("b", "raw")


@pytest.mark.parametrize(
    ("said", "known", "role"),
    [
        (b'name = "H"\nrole = "development"\n', "external", "development"),
        (b'name = "H\nrole = "development"\n', "external", "external"),  # what the lake knows goes before a torn file
        (b'name = "H\nrole = "development"\n', None, "development"),
        (b"\xff\xfe role = external", None, "external"),
        (b"role = external # not development", None, "unknown"),
        (None, "development", "development"),
        (None, None, "unknown"),
    ],
)
def test_a_role_is_found_out_even_if_its_file_is_broken(
    tmp_path: Path, said: bytes | None, known: str | None, role: str
) -> None:
    if said is not None:
        (tmp_path / "landing" / "hospital_9").mkdir(parents=True)
        (tmp_path / "landing" / "hospital_9" / "institution.toml").write_bytes(said)
    if known is not None:
        table = pl.DataFrame({"institution": ["hospital_9"], "role": [known]})
        (tmp_path / "lake" / "tables").mkdir(parents=True)
        table.write_delta(str(tmp_path / "lake" / "tables" / "institutions.delta"))
    assert StudyResource(profile_name="ci", data_folder=str(tmp_path)).role("hospital_9") == role


def test_the_environment_adds_to_train_without(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_profile("ci").train_without == ()
    monkeypatch.setenv("OLVF_TRAIN_WITHOUT", " institution_4, institution_3 ,")
    assert load_profile("ci").train_without == ("institution_3", "institution_4")
