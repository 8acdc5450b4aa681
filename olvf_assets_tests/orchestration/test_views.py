"""Both views of a small graph, run on instances of their own."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster import (
    AssetKey,
    AssetSelection,
    DagsterInstance,
    Definitions,
    define_asset_job,
    evaluate_automation_conditions,
    in_process_executor,
)
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.settings import Settings
from olvf_assets.foundation.tables import Check, Table, TableRun, all_reads, ancestors, check, descendants, table
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.orchestration.views import INSTITUTIONS_CHECK, View, build_assets
from olvf_assets.storage.artifacts import read_json
from olvf_assets.storage.lake import Lake
from olvf_assets.storage.taken_in import FOLDER_STATE

BY_INSTITUTION = pl.Schema({"institution": pl.String, "n": pl.Int64})
BY_FOLD = pl.Schema({"fold": pl.Int64, "n": pl.Int64})


class SmallProfile(Settings):
    train_without: tuple[str, ...] = ()


class SmallStudy(StudyResource):
    """A study with next to no profile: institutions are the files of the data folder's landing/; `a` and `b` train."""

    without: list[str] = []  # noqa: RUF012 - Dagster reads the fields of a resource as pydantic does

    @property
    def profile(self) -> Any:
        return SmallProfile(train_without=tuple(self.without))

    def role(self, institution: str) -> str:
        return "development" if institution in ("a", "b") else "external"

    def institutions(self) -> list[str]:
        return sorted(each.name for each in (self.data / "landing").iterdir())


def raw(run: TableRun) -> pl.DataFrame:
    text = (run.data / "landing" / run.institution).read_text()
    run.notes[FOLDER_STATE] = f"state {text}"
    if text == "nothing":
        return pl.DataFrame(schema=BY_INSTITUTION)
    if not text.isdigit():
        raise OlvfError(f"{run.institution} holds {text!r}, not a number")
    return pl.DataFrame({"institution": [run.institution], "n": [int(text)]})


def tenfold(run: TableRun, raw: pl.DataFrame) -> pl.DataFrame:
    return raw.with_columns(pl.col("n") * 10)


def model(run: TableRun, tenfold: pl.DataFrame) -> pl.DataFrame:
    run.observe({"epoch": 1, "train loss": 0.5})
    return pl.DataFrame({"fold": list(run.folds), "n": [fold * tenfold["n"].sum() for fold in run.folds]})


def summary(run: TableRun, model: pl.DataFrame, raw: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame({"n": [model["n"].sum() + raw["n"].sum()]})


def below_thousand(run: TableRun, tenfold: pl.DataFrame, raw: pl.DataFrame) -> pl.DataFrame:
    return tenfold.filter(pl.col("n") >= 1000)


TABLES: list[Table] = [
    table(schema=BY_INSTITUTION, by="institution", always=True)(raw),
    table(schema=BY_INSTITUTION, by="institution")(tenfold),
    table(schema=BY_FOLD, by="fold", pool="gpu")(model),
    table(schema=pl.Schema({"n": pl.Int64}))(summary),
]
CHECKS: list[Check] = [check(table="tenfold")(below_thousand)]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    # Not entered here: a run enters it too, and Dagster's instances forget the outer entry when entered twice, which
    # leaves a reference to the closed instance behind for whatever resolves a graph later.
    each = DagsterInstance.ephemeral(tempdir=str(tmp_path))
    yield each
    each.dispose()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, number in (("a", "1"), ("b", "2")):
        (tmp_path / "landing").mkdir(exist_ok=True)
        (tmp_path / "landing" / name).write_text(number)
    return tmp_path


def definitions_of(
    view: View,
    data: Path,
    selection: AssetSelection,
    tables: Sequence[Table] = TABLES,
    checks: Sequence[Check] = CHECKS,
    without: tuple[str, ...] = (),
) -> Definitions:
    names = {each.name for each in tables}
    automatic = [name for name in ("model", "summary") if name in names]
    return Definitions(
        assets=build_assets(view, tables, checks, ["summary"], SmallProfile(), automatic),
        jobs=[define_asset_job("job", selection)],
        resources={
            "study": SmallStudy(profile_name="none", data_folder=str(data), without=list(without)),
            "lake": Lake(base_dir=str(data / "lake" / "tables")),
        },
        executor=in_process_executor,
    )


def materialise(
    view: View,
    data: Path,
    instance: DagsterInstance,
    *names: str,
    key: str | None = None,
    fails: bool = False,
    tables: Sequence[Table] = TABLES,
    checks: Sequence[Check] = CHECKS,
    without: tuple[str, ...] = (),
) -> Any:
    selection = AssetSelection.assets(*names) if names else AssetSelection.all()
    definitions = definitions_of(view, data, selection, tables, checks, without)
    job = definitions.resolve_job_def("job")
    result = job.execute_in_process(instance=instance, partition_key=key, raise_on_error=not fails)
    assert result.success is not fails
    return result


def lake(data: Path, name: str) -> list[tuple[Any, ...]]:
    return sorted(pl.read_delta(str(data / "lake" / "tables" / f"{name}.delta")).rows())


def test_the_study_view_makes_all_partitions_in_one_run(data: Path, instance: DagsterInstance) -> None:
    materialise("study", data, instance)
    assert lake(data, "tenfold") == [("a", 10), ("b", 20)]
    assert lake(data, "model") == [(1, 30), (2, 60), (3, 90), (4, 120), (5, 150)]
    assert lake(data, "summary") == [(453,)]


def test_what_the_study_view_made_shows_as_partitions(data: Path, instance: DagsterInstance) -> None:
    materialise("study", data, instance)
    assert instance.get_materialized_partitions(AssetKey("tenfold")) == {"a", "b"}
    assert instance.get_materialized_partitions(AssetKey("model")) == {"1", "2", "3", "4", "5"}
    assert sorted(instance.get_dynamic_partitions("institution")) == ["a", "b"]


def told(instance: DagsterInstance, name: str) -> dict[str | None, dict[str, Any]]:
    """Return what the latest materialisation of a table and of each of its partitions tells, by partition."""
    records = instance.fetch_materializations(AssetKey(name), limit=100).records
    return {
        each.asset_materialization.partition: {
            key: value.value for key, value in each.asset_materialization.metadata.items()
        }
        for each in reversed(records)
    }


@pytest.mark.parametrize("view", ["operations", "study"])
def test_a_partition_tells_its_rows_seconds_and_notes_in_both_views(
    data: Path, instance: DagsterInstance, view: View
) -> None:
    if view == "study":
        materialise("study", data, instance)
    else:
        instance.add_dynamic_partitions("institution", ["a", "b"])
        for key in ("a", "b"):
            materialise("operations", data, instance, "raw", "tenfold", key=key)
        for key in "12345":
            materialise("operations", data, instance, "model", key=key)
    for key, number in (("a", 10), ("b", 20)):
        shown = told(instance, "tenfold")[key]
        assert shown["dagster/partition_row_count"] == 1
        assert shown["own_work_seconds"] < 1
        assert shown["preview"] == f"| institution | n |\n| --- | --- |\n| {key} | {number} |\n\nall rows"
    assert "state 2" in told(instance, "raw")["b"].values()
    assert told(instance, "model")["5"]["preview"] == "| fold | n |\n| --- | --- |\n| 5 | 150 |\n\nall rows"


def test_a_table_of_several_partitions_shows_all_of_them_and_each_partition_its_own(
    data: Path, instance: DagsterInstance
) -> None:
    materialise("study", data, instance)
    whole = told(instance, "tenfold")[None]
    assert whole["dagster/row_count"] == 2
    assert whole["preview"] == "| institution | n |\n| --- | --- |\n| a | 10 |\n| b | 20 |\n\nall rows"
    assert told(instance, "summary")[None]["preview"].startswith("| n |")


def test_an_institution_without_rows_shows_as_made_all_the_same(data: Path, instance: DagsterInstance) -> None:
    (data / "landing" / "b").write_text("nothing")
    (data / "landing" / "c").write_text("bad")
    materialise("study", data, instance)
    assert lake(data, "tenfold") == [("a", 10)]
    assert instance.get_materialized_partitions(AssetKey("tenfold")) == {"a", "b"}


def requested(
    data: Path, instance: DagsterInstance, cursor: Any = None, tables: Sequence[Table] = TABLES
) -> tuple[set[str], Any]:
    """Return the tables that are to be made again by themselves, and the cursor of the next look."""
    definitions = definitions_of("operations", data, AssetSelection.all(), tables)
    result = evaluate_automation_conditions(definitions, instance, cursor=cursor)
    return {each.key.to_user_string() for each in result.results if not each.true_subset.is_empty}, result.cursor


@pytest.mark.parametrize("beside", ["nothing", "bad", "only registered"])
def test_a_new_hospital_reaches_the_last_table_by_itself_whatever_another_one_is_like(
    data: Path, instance: DagsterInstance, beside: str
) -> None:
    (data / "landing" / "b").write_text(beside)
    if beside == "only registered":
        (data / "landing" / "b").unlink()
        instance.add_dynamic_partitions("institution", ["b"])
    materialise("study", data, instance)
    asked, cursor = requested(data, instance)
    assert asked == set()
    (data / "landing" / "c").write_text("3")
    instance.add_dynamic_partitions("institution", ["c"])
    materialise("operations", data, instance, "raw", "tenfold", key="c")
    asked, cursor = requested(data, instance, cursor)
    assert "model" in asked
    for fold in "12345":
        materialise("operations", data, instance, "model", key=fold)
    assert "summary" in asked | requested(data, instance, cursor)[0]
    materialise("operations", data, instance, "summary")
    assert lake(data, "model")[0] == (1, 40)
    assert lake(data, "summary") == [(604,)]


def test_what_rests_on_a_table_that_was_never_made_is_not_made_by_itself(data: Path, instance: DagsterInstance) -> None:
    _, cursor = requested(data, instance)
    instance.add_dynamic_partitions("institution", ["a"])
    materialise("operations", data, instance, "raw", key="a")
    assert requested(data, instance, cursor)[0] == set()


def stored_states(data: Path, institution: str) -> dict[str, str]:
    return read_json(data / "lake" / "arrivals" / f"{institution}.stored.json")


def test_a_stored_table_knows_from_which_state_of_the_landing_folder_it_was_made(
    data: Path, instance: DagsterInstance
) -> None:
    materialise("study", data, instance)
    assert stored_states(data, "b") == {"raw": "state 2", "tenfold": "state 2", "summary": "state 2"}
    (data / "landing" / "b").write_text("7")
    materialise("operations", data, instance, "raw", key="b")
    assert stored_states(data, "b") == {"raw": "state 7", "tenfold": "state 2", "summary": "state 2"}
    materialise("operations", data, instance, "tenfold", key="b")
    assert stored_states(data, "b") == {"raw": "state 7", "tenfold": "state 7", "summary": "state 2"}
    assert stored_states(data, "a") == {"raw": "state 1", "tenfold": "state 1", "summary": "state 1"}


def test_a_table_that_could_not_be_stored_keeps_its_institution_due(
    data: Path, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    materialise("study", data, instance)

    def full(manager: Lake, context: Any, df: pl.DataFrame, path: Any) -> None:
        raise OSError(28, "No space left on device")

    (data / "landing" / "b").write_text("7")
    monkeypatch.setattr(Lake, "write_df_to_path", full)
    materialise("operations", data, instance, "raw", key="b", fails=True)
    assert stored_states(data, "b") == {"raw": "state 2", "tenfold": "state 2", "summary": "state 2"}


@pytest.mark.parametrize(("number", "said"), [(28, "DiskFullError"), (5, "WriteFaultError"), (30, "WriteFaultError")])
def test_a_disk_that_refuses_a_table_is_named_and_the_table_stays(
    data: Path, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    materialise("study", data, instance)

    def refuse(*given: Any, **named: Any) -> None:
        raise DeltaError(f"Generic LocalFileSystem error: Unable to copy data to file: refused (os error {number})")

    (data / "landing" / "b").write_text("7")
    monkeypatch.setattr(pl.DataFrame, "write_delta", refuse)
    result = materialise("operations", data, instance, "raw", key="b", fails=True)
    assert said in str([each.event_specific_data for each in result.get_step_failure_events()])
    assert lake(data, "raw") == [("a", 1), ("b", 2)]


def test_an_institution_stopped_in_a_run_over_all_has_nothing_stored(data: Path, instance: DagsterInstance) -> None:
    materialise("study", data, instance)
    (data / "landing" / "b").write_text("bad")
    materialise("study", data, instance)
    assert stored_states(data, "b") == {}
    assert stored_states(data, "a") == {"raw": "state 1", "tenfold": "state 1", "summary": "state 1"}


@pytest.mark.parametrize("name", ["x' or institution <> 'x", "' or 1=1 --", "A B", "../a"])
def test_a_partition_whose_name_is_no_key_fails_and_leaves_the_others_rows(
    data: Path, instance: DagsterInstance, name: str
) -> None:
    materialise("study", data, instance)
    instance.add_dynamic_partitions("institution", [name])
    for table_name in ("raw", "tenfold"):
        result = materialise("operations", data, instance, table_name, key=name, fails=True)
        assert "InstitutionKeyError" in str([each.event_specific_data for each in result.get_step_failure_events()])
    assert lake(data, "raw") == [("a", 1), ("b", 2)]
    assert lake(data, "tenfold") == [("a", 10), ("b", 20)]
    assert sorted(each.name for each in (data / "lake" / "arrivals").iterdir()) == ["a.stored.json", "b.stored.json"]


def test_one_partition_is_made_alone_and_the_others_stay(data: Path, instance: DagsterInstance) -> None:
    materialise("study", data, instance)
    (data / "landing" / "b").write_text("7")
    materialise("operations", data, instance, "raw", "tenfold", key="b")
    assert lake(data, "tenfold") == [("a", 10), ("b", 70)]
    materialise("operations", data, instance, "model", key="2")
    assert lake(data, "model") == [(1, 30), (2, 160), (3, 90), (4, 120), (5, 150)]


def scores(run: TableRun, model: pl.DataFrame, tenfold: pl.DataFrame) -> pl.DataFrame:
    return tenfold.with_columns(pl.col("n") * model["n"].sum())


def total(run: TableRun, scores: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame({"n": [scores["n"].sum()]})


SCORING = [*TABLES[:3], table(schema=BY_INSTITUTION, by="institution")(scores)]
SCORING.append(replace(table(schema=pl.Schema({"n": pl.Int64}))(total), name="summary"))


def test_one_run_with_one_key_takes_a_hospital_to_the_last_table_and_nothing_is_left_to_do(
    data: Path, instance: DagsterInstance
) -> None:
    materialise("study", data, instance, tables=SCORING)
    assert lake(data, "summary") == [(450 * 10 + 450 * 20,)]
    _, cursor = requested(data, instance, tables=SCORING)
    (data / "landing" / "c").write_text("5")
    instance.add_dynamic_partitions("institution", ["c"])
    arrival = ("raw", "tenfold", "scores", "summary")
    materialise("operations", data, instance, *arrival, key="c", tables=SCORING)
    assert lake(data, "scores") == [("a", 4500), ("b", 9000), ("c", 22500)]
    assert lake(data, "summary") == [(36000,)]
    assert stored_states(data, "c") == dict.fromkeys(arrival, "state 5")
    assert stored_states(data, "a")["summary"] == "state 1"
    shown = told(instance, "summary")
    assert set(shown) == {None}
    assert shown[None]["dagster/row_count"] == 1
    assert shown[None]["preview"].startswith("| n |")
    asked, _ = requested(data, instance, cursor, tables=SCORING)
    assert "summary" not in asked


def test_a_run_with_one_key_that_ends_before_the_last_table_leaves_the_hospital_due(
    data: Path, instance: DagsterInstance
) -> None:
    materialise("study", data, instance, tables=SCORING)
    (data / "landing" / "b").write_text("7")
    materialise("operations", data, instance, "raw", "tenfold", "scores", key="b", tables=SCORING)
    assert stored_states(data, "b")["scores"] == "state 7"
    assert stored_states(data, "b")["summary"] == "state 2"


@pytest.mark.parametrize("before", [["n"], []])
def test_a_table_that_an_older_release_partitioned_otherwise_takes_one_partition(
    data: Path, instance: DagsterInstance, before: list[str]
) -> None:
    materialise("study", data, instance)
    path = data / "lake" / "tables" / "tenfold.delta"
    rows = pl.read_delta(str(path))
    shutil.rmtree(path)
    rows.write_delta(str(path), delta_write_options={"partition_by": before} if before else {})
    (data / "landing" / "b").write_text("7")
    materialise("operations", data, instance, "raw", "tenfold", key="b")
    assert lake(data, "tenfold") == [("a", 10), ("b", 70)]
    assert DeltaTable(path).metadata().partition_columns == ["institution"]


def test_tables_of_an_older_release_gain_the_columns_of_a_newer_one(data: Path, instance: DagsterInstance) -> None:
    materialise("study", data, instance)
    for name in ("tenfold", "summary"):
        table_of_older_release = pl.read_delta(str(data / "lake" / "tables" / f"{name}.delta")).rename({"n": "count"})
        table_of_older_release.write_delta(
            str(data / "lake" / "tables" / f"{name}.delta"),
            mode="overwrite",
            delta_write_options={"schema_mode": "overwrite"},
        )
    materialise("operations", data, instance, "tenfold", key="b")
    assert pl.read_delta(str(data / "lake" / "tables" / "tenfold.delta")).sort("institution").rows(named=True) == [
        {"institution": "a", "count": 10, "n": None},
        {"institution": "b", "count": None, "n": 20},
    ]
    materialise("study", data, instance)
    assert lake(data, "tenfold") == [("a", 10), ("b", 20)]
    assert lake(data, "summary") == [(453,)]


def test_naming_a_target_in_the_study_view_selects_its_whole_ancestry() -> None:
    assets = build_assets("study", TABLES, CHECKS, ["summary"], SmallProfile())
    (target,) = [each for each in assets if each.key == AssetKey("summary")]
    assert {key.to_user_string() for key in target.dependency_keys} == {"raw", "tenfold", "model"}


def test_figures_of_unfinished_work_show_on_the_table_s_page(data: Path, instance: DagsterInstance) -> None:
    materialise("study", data, instance)
    (record,) = instance.fetch_observations(AssetKey("model"), limit=5).records
    observed = record.event_log_entry.dagster_event.asset_observation_data.asset_observation.metadata
    assert {name: each.value for name, each in observed.items()} == {"epoch": 1, "train loss": 0.5}


def test_bad_input_stops_its_institution_and_no_other(data: Path, instance: DagsterInstance) -> None:
    (data / "landing" / "c").write_text("bad")
    result = materialise("study", data, instance)
    assert lake(data, "tenfold") == [("a", 10), ("b", 20)]
    failed = [each for each in result.get_asset_check_evaluations() if not each.passed]
    assert [(each.asset_key.to_user_string(), each.check_name) for each in failed] == [("raw", INSTITUTIONS_CHECK)]
    assert "c holds 'bad', not a number" in str(failed[0].metadata["c"].value)


def test_a_broken_blocking_rule_keeps_the_table_as_it_was(data: Path, instance: DagsterInstance) -> None:
    materialise("study", data, instance)
    (data / "landing" / "b").write_text("700")
    materialise("operations", data, instance, "raw", key="b")
    result = materialise("operations", data, instance, "tenfold", key="b", fails=True)
    assert lake(data, "tenfold") == [("a", 10), ("b", 20)]
    (broken,) = [each for each in result.get_asset_check_evaluations() if each.check_name == "below_thousand"]
    assert not broken.passed
    assert "7000" in str(broken.metadata["rows"].value)
    assert broken.description == "1 row breaks it; tenfold has 1; the first: institution b, n 7000"


def test_checks_say_in_words_what_they_found(data: Path, instance: DagsterInstance) -> None:
    (data / "landing" / "c").write_text("bad")
    result = materialise("study", data, instance)
    found = {
        (each.asset_key.to_user_string(), each.check_name): each.description
        for each in result.get_asset_check_evaluations()
    }
    assert found["tenfold", "below_thousand"] == "all 2 rows hold"
    assert found["raw", INSTITUTIONS_CHECK] == "1 of 3 institutions left out: c"
    assert found["tenfold", INSTITUTIONS_CHECK] == "taken in: a, b"
    (data / "landing" / "a").write_text("nothing")
    result = materialise("operations", data, instance, "raw", "tenfold", key="a")
    (rule,) = [each for each in result.get_asset_check_evaluations() if each.check_name == "below_thousand"]
    assert rule.description == "there is no row that could break it"


def test_when_no_institution_is_left_the_run_fails(data: Path, instance: DagsterInstance) -> None:
    for name in ("a", "b"):
        (data / "landing" / name).write_text("bad")
    materialise("study", data, instance, fails=True)


def test_ancestry_and_descent_go_all_the_way() -> None:
    reads = all_reads(TABLES, CHECKS)
    assert ancestors("summary", reads) == ["model", "raw", "tenfold"]
    assert descendants("raw", reads) == ["model", "summary", "tenfold"]
