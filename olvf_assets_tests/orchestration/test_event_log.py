"""The files of a run's events stay open while it runs, and nothing is different about them afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import AssetExecutionContext, AssetKey, DagsterInstance, asset, materialize, resource

from olvf_assets.orchestration.event_log import held_event_log


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp(str(tmp_path)) as found:
        yield found


def journals(home: Path) -> list[str]:
    return sorted(path.name.split(".")[0] for path in home.rglob("*.db-wal") if path.parent.name == "runs")


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
