"""The files of a run's events stay open while it runs, and nothing is different about them afterwards."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetExecutionContext, AssetKey, DagsterInstance, asset, materialize, resource
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from olvf_assets.orchestration.event_log import held_event_log


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp(str(tmp_path)) as found:
        yield found


def journals(home: Path) -> list[str]:
    return sorted(path.name.split(".")[0] for path in home.rglob("*.db-wal") if path.parent.name == "runs")


def told(instance: DagsterInstance, run_id: str) -> list[str]:
    return [each.message for each in instance.all_logs(run_id)]


def run_that_looks(instance: DagsterInstance, *, held: bool) -> tuple[str, list[str]]:
    seen: list[str] = []

    @resource
    def study(context: object) -> Iterator[None]:
        if held:
            with held_event_log(instance, context.run_id):  # type: ignore[attr-defined]
                yield
        else:
            yield

    @asset(required_resource_keys={"study"})
    def empty(context: AssetExecutionContext) -> None:
        context.log.info("an event")
        seen.extend(journals(Path(instance.root_directory)))

    made = materialize([empty], instance=instance, resources={"study": study})
    assert made.success
    return made.run_id, seen


def test_the_journals_of_a_held_log_are_not_emptied_after_each_event(instance: DagsterInstance) -> None:
    run_id, seen = run_that_looks(instance, held=True)
    assert seen == sorted(["index", run_id])
    assert journals(Path(instance.root_directory)) == []


def test_they_are_when_nobody_holds_them(instance: DagsterInstance) -> None:
    assert run_that_looks(instance, held=False)[1] == []


def test_a_held_log_keeps_every_event(instance: DagsterInstance) -> None:
    bare, held = (run_that_looks(instance, held=each)[0] for each in (False, True))
    kinds = [
        [each.dagster_event and each.dagster_event.event_type for each in instance.all_logs(run)]
        for run in (bare, held)
    ]
    assert kinds[0] == kinds[1]
    assert instance.get_latest_materialization_event(AssetKey("empty")).run_id == held  # type: ignore[union-attr]


def test_another_kind_of_log_and_a_run_without_a_file_are_left_alone(instance: DagsterInstance) -> None:
    with DagsterInstance.ephemeral() as other, held_event_log(other, "no_run"):
        pass
    before = sorted(Path(instance.root_directory).rglob("*.db"))
    with held_event_log(instance, "no_run"):
        assert sorted(Path(instance.root_directory).rglob("*.db")) == before


def test_a_held_log_sets_no_engine_up_for_an_event(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id, _ = run_that_looks(instance, held=True)
    made: list[str] = []

    def counting(address: str, **options: Any) -> Any:
        made.append(address)
        return create_engine(address, **options)

    monkeypatch.setattr(sqlite_event_log, "create_engine", counting)
    with held_event_log(instance, run_id):
        made.clear()
        told(instance, run_id)
        instance.get_latest_materialization_event(AssetKey("empty"))
        assert made == []
    assert told(instance, run_id)
    assert len(made) == 1


def test_others_see_and_add_to_a_held_log_at_once(instance: DagsterInstance) -> None:
    run_id, _ = run_that_looks(instance, held=True)
    with held_event_log(instance, run_id), DagsterInstance.from_config(str(instance.root_directory)) as other:
        instance.report_engine_event("of this process", instance.get_run_by_id(run_id))
        assert told(other, run_id)[-1] == "of this process"
        other.report_engine_event("of another", other.get_run_by_id(run_id))
        assert told(instance, run_id)[-1] == "of another"


def test_threads_take_turns_at_a_held_log(instance: DagsterInstance) -> None:
    run_id, _ = run_that_looks(instance, held=True)
    run = instance.get_run_by_id(run_id)
    before = len(told(instance, run_id))
    with held_event_log(instance, run_id), ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: instance.report_engine_event(f"event {number}", run), range(20)))
        said = told(instance, run_id)
    assert sorted(said[before:]) == sorted(f"event {number}" for number in range(20))


def test_a_failed_event_leaves_a_held_log_usable(instance: DagsterInstance) -> None:
    run_id, _ = run_that_looks(instance, held=True)
    storage = instance.event_log_storage
    with held_event_log(instance, run_id):
        with pytest.raises(OperationalError), storage.run_connection(run_id) as connection:  # type: ignore[attr-defined]
            connection.exec_driver_sql("insert into no_such_table values (1)")
        instance.report_engine_event("after it", instance.get_run_by_id(run_id))
        assert told(instance, run_id)[-1] == "after it"
    assert told(instance, run_id)[-1] == "after it"
