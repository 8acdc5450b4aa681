"""Runs that were killed, and runs that stand in each other's way, with real processes."""

import datetime
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster import (
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    SensorResult,
    asset,
    build_schedule_context,
    build_sensor_context,
    materialize,
)
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.storage.tags import RUN_FAILURE_REASON_TAG

from olvf_assets.orchestration import lost_runs
from olvf_assets.orchestration.automation import landing_folders_changed, take_in_daily
from olvf_assets.orchestration.lost_runs import DATA_TAG, HOST_TAG, WHOSE_TAG, report_lost_runs
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.storage.run_lock import hold_data_folder

PROJECT = Path(__file__).parents[2]
THE_RUN = "9f2c1a5e-0000-4000-8000-000000000001"
RUN = """
import sys
from dagster import DagsterInstance, Definitions, asset, define_asset_job
from olvf_assets.orchestration.resources import StudyResource

@asset(required_resource_keys={"study"})
def long_work():
    print("at work", flush=True)
    sys.stdin.readline()

study = StudyResource(profile_name="ci", data_folder=sys.argv[1])
definitions = Definitions(assets=[long_work], jobs=[define_asset_job("job")], resources={"study": study})
with DagsterInstance.from_config(sys.argv[2]) as instance:
    definitions.resolve_job_def("job").execute_in_process(instance=instance, run_id=sys.argv[3])
"""
OUR_ORIGIN = JobPythonOrigin(
    "__ASSET_JOB", RepositoryPythonOrigin("python", ModuleCodePointer("olvf_assets.study", "defs"))
)


@asset(required_resource_keys={"study"})
def short_work() -> None:
    return


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyResource:
    """A study whose detector is trained and in whose landing folder one hospital's film lies."""
    monkeypatch.setenv("OLVF_SETTLE_S", "0")
    film = tmp_path / "data" / "landing" / "institution_3" / "films" / "1.dcm"
    film.parent.mkdir(parents=True)
    film.write_bytes(b"film")
    pl.DataFrame({"n": [1]}).write_delta(tmp_path / "data" / "lake" / "tables" / "detector_model.delta")
    return StudyResource(profile_name="ci", data_folder=str(tmp_path / "data"))


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    (tmp_path / "home").mkdir()
    shutil.copy(PROJECT / "dagster.yaml", tmp_path / "home")
    with DagsterInstance.local_temp(str(tmp_path / "home")) as each:
        yield each


@pytest.fixture
def running(study: StudyResource, instance: DagsterInstance, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run at work in a process of its own, which also holds a slot of the pool `gpu`."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(study.data), str(tmp_path / "home"), THE_RUN], cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    instance.event_log_storage.set_concurrency_slots("gpu", 1)
    assert instance.event_log_storage.claim_concurrency_slot("gpu", THE_RUN, "long_work").is_claimed
    yield process
    process.kill()
    process.communicate()


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def status(instance: DagsterInstance, run_id: str = THE_RUN) -> DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def tick(study: StudyResource, instance: DagsterInstance) -> Any:
    with build_sensor_context(instance=instance, resources={"study": study}) as context:
        return landing_folders_changed(context)


def test_the_sensor_reports_a_killed_run_frees_its_slot_and_goes_on(
    study: StudyResource, instance: DagsterInstance, running: subprocess.Popen[str]
) -> None:
    assert not isinstance(tick(study, instance), SensorResult)
    assert status(instance) == DagsterRunStatus.STARTED
    kill(running)
    launched = tick(study, instance)
    assert isinstance(launched, SensorResult)
    assert [each.partition_key for each in launched.run_requests or []] == ["institution_3"]
    assert status(instance) == DagsterRunStatus.FAILURE
    assert instance.event_log_storage.get_concurrency_info("gpu").active_slot_count == 0
    messages = [each.message for each in instance.all_logs(THE_RUN)]
    assert any(
        "The process of this run is gone" in each and "start the same command again" in each for each in messages
    )


def test_the_next_command_reports_a_killed_run_and_goes_on(
    study: StudyResource, instance: DagsterInstance, running: subprocess.Popen[str]
) -> None:
    kill(running)
    left = study.data / "lake" / "images" / ".partial-1.png"
    left.parent.mkdir()
    left.write_bytes(b"half")
    assert materialize([short_work], instance=instance, resources={"study": study}).success
    assert status(instance) == DagsterRunStatus.FAILURE
    assert not left.exists()


def test_the_schedule_reports_a_killed_run(
    study: StudyResource, instance: DagsterInstance, running: subprocess.Popen[str]
) -> None:
    kill(running)
    at = datetime.datetime(2026, 1, 1, 3, tzinfo=datetime.UTC)
    given = {"instance": instance, "scheduled_execution_time": at, "resources": {"study": study}}
    with build_schedule_context(**given) as context:
        list(take_in_daily(context))
    assert status(instance) == DagsterRunStatus.FAILURE


def test_a_second_run_ends_at_once_where_it_is_not_to_wait(
    study: StudyResource, instance: DagsterInstance, running: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLVF_WAIT", "0")
    second = materialize([short_work], instance=instance, resources={"study": study}, raise_on_error=False)
    assert not second.success
    logs = [str(each.dagster_event) for each in instance.all_logs(second.run_id)]
    assert any("DataFolderInUseError" in each and f"in use by {THE_RUN} (-c" in each for each in logs)
    assert status(instance) == DagsterRunStatus.STARTED


def test_a_second_run_waits_for_the_first(
    study: StudyResource, instance: DagsterInstance, running: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = []

    def let_the_first_end(line: str) -> None:
        waiting.append(line)
        assert running.stdin is not None
        running.stdin.write("\n")
        running.stdin.flush()

    monkeypatch.setattr(
        "dagster.DagsterLogManager.warning", lambda log, line: "in use" in line and let_the_first_end(line)
    )
    second = materialize([short_work], instance=instance, resources={"study": study})
    assert second.success
    assert len(waiting) == 1
    running.wait()
    assert status(instance) == DagsterRunStatus.SUCCESS


def test_a_run_lets_go_of_the_folder_at_its_end_whether_it_succeeds_or_fails(
    study: StudyResource, instance: DagsterInstance
) -> None:
    @asset(required_resource_keys={"study"})
    def failing() -> None:
        raise ZeroDivisionError

    for each in (short_work, failing, short_work):
        materialize([each], instance=instance, resources={"study": study}, raise_on_error=False)
        with hold_data_folder(study.data, "afterwards", wait=False) as died:
            assert died is None


@pytest.mark.parametrize(
    ("tags", "grace_s", "origin"),
    [
        ({HOST_TAG: "another", DATA_TAG: ""}, -1, OUR_ORIGIN),
        ({HOST_TAG: socket.gethostname(), DATA_TAG: "/another/data"}, -1, OUR_ORIGIN),
        ({}, 600, OUR_ORIGIN),
        ({}, -1, None),
        ({HOST_TAG: socket.gethostname(), DATA_TAG: "", WHOSE_TAG: "the run before"}, 600, OUR_ORIGIN),
    ],
    ids=["another host", "another data folder", "just begun", "another project", "just begun again, with all tags"],
)
def test_runs_that_are_not_known_to_be_dead_are_left_alone(
    study: StudyResource, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch,
    tags: dict[str, str], grace_s: float, origin: JobPythonOrigin | None,
) -> None:  # fmt: skip
    monkeypatch.setattr(lost_runs, "GRACE_S", grace_s)
    tags = {name: value or str(study.data.resolve()) for name, value in tags.items()}
    instance.add_run(DagsterRun("job", "1", status=DagsterRunStatus.STARTED, tags=tags, job_code_origin=origin))
    assert report_lost_runs(instance, study.data) == []
    assert status(instance, "1") == DagsterRunStatus.STARTED


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (DagsterRunStatus.STARTING, DagsterRunStatus.FAILURE),
        (DagsterRunStatus.STARTED, DagsterRunStatus.FAILURE),
        (DagsterRunStatus.CANCELING, DagsterRunStatus.CANCELED),
    ],
)
@pytest.mark.parametrize("tagged", [True, False], ids=["after a reboot", "killed before it took its lock"])
def test_runs_without_a_process_are_reported(
    study: StudyResource, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch,
    before: DagsterRunStatus, after: DagsterRunStatus, tagged: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(lost_runs, "GRACE_S", -1)
    tags = {HOST_TAG: socket.gethostname(), DATA_TAG: str(study.data.resolve())} if tagged else {}
    instance.add_run(DagsterRun("job", "1", status=before, tags=tags, job_code_origin=OUR_ORIGIN))
    lines: list[str] = []
    assert report_lost_runs(instance, study.data, report=lines.append) == ["1"]
    assert lines == ["run 1 was lost and is reported as failed: its process is gone"]
    assert status(instance, "1") == after
    assert report_lost_runs(instance, study.data) == []


def test_a_hospital_whose_run_was_killed_is_tried_again_but_not_for_ever(
    study: StudyResource, instance: DagsterInstance
) -> None:
    keys = []
    for number in range(5):
        (request,) = tick(study, instance).run_requests
        keys.append(request.run_key)
        tags = {HOST_TAG: socket.gethostname(), DATA_TAG: str(study.data.resolve()), **request.tags}
        tags["dagster/partition"] = request.partition_key
        instance.add_run(DagsterRun("job", str(number), status=DagsterRunStatus.STARTED, tags=tags))
    assert len(set(keys)) == 4
    assert keys[-1] == keys[-2]


@pytest.mark.parametrize(
    ("reason", "again"),
    [("UNEXPECTED_TERMINATION", True), ("", True), ("STEP_FAILURE", False), ("JOB_INITIALIZATION_FAILURE", False)],
    ids=["its service was stopped", "Dagster saw it killed", "its films are at fault", "it could not begin"],
)
def test_a_run_that_was_cut_off_is_started_again_and_one_that_failed_is_not(
    study: StudyResource, instance: DagsterInstance, reason: str, again: bool
) -> None:
    (first,) = tick(study, instance).run_requests
    tags = {"dagster/partition": "institution_3", **({RUN_FAILURE_REASON_TAG: reason} if reason else {})}
    instance.add_run(DagsterRun("take_in_institution", "1", status=DagsterRunStatus.FAILURE, tags=tags))
    (second,) = tick(study, instance).run_requests
    assert (second.run_key != first.run_key) is again
