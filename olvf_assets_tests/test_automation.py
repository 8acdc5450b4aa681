"""What starts by itself, and what does not."""

import datetime
import os
from pathlib import Path

import pytest
from dagster import (
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunRequest,
    SensorResult,
    SkipReason,
    build_schedule_context,
    build_sensor_context,
)

from olvf_assets.automation import landing_folders_changed, take_in_daily
from olvf_assets.foundation.arrivals import confirm_taken_in, note_arrival
from olvf_assets.resources import StudyResource


@pytest.fixture
def study(tmp_path: Path) -> StudyResource:
    """A study whose detector is trained and in whose landing folder one hospital's film lies."""
    film = tmp_path / "landing" / "institution_3" / "films" / "1.dcm"
    film.parent.mkdir(parents=True)
    film.write_bytes(b"film")
    os.utime(film, (1_000_000, 1_000_000))
    (tmp_path / "lake" / "tables" / "detector_model.delta").mkdir(parents=True)
    return StudyResource(profile_name="ci", data_folder=str(tmp_path))


def tick(study: StudyResource, instance: DagsterInstance) -> SensorResult | SkipReason:
    result = landing_folders_changed(build_sensor_context(instance=instance, resources={"study": study}))
    assert isinstance(result, SensorResult | SkipReason)
    return result


def test_a_new_hospital_becomes_a_partition_and_is_taken_in(study: StudyResource) -> None:
    with DagsterInstance.ephemeral() as instance:
        result = tick(study, instance)
    assert isinstance(result, SensorResult)
    (request,) = result.run_requests or []
    assert request.partition_key == "institution_3"
    (partition,) = result.dynamic_partitions_requests or []
    assert partition.partition_keys == ["institution_3"]


def test_the_same_folder_has_the_same_run_key_so_that_it_starts_once(study: StudyResource) -> None:
    with DagsterInstance.ephemeral() as instance:
        keys = [
            request.run_key
            for _ in range(2)
            if isinstance(result := tick(study, instance), SensorResult)
            for request in result.run_requests or []
        ]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_a_hospital_that_was_taken_in_starts_nothing(study: StudyResource) -> None:
    note_arrival(study.store, "institution_3", study.data / "landing" / "institution_3")
    confirm_taken_in(study.store, "institution_3")
    with DagsterInstance.ephemeral() as instance:
        assert isinstance(tick(study, instance), SkipReason)


def test_before_there_is_a_detector_nothing_starts(study: StudyResource) -> None:
    (study.data / "lake" / "tables" / "detector_model.delta").rmdir()
    with DagsterInstance.ephemeral() as instance:
        assert isinstance(tick(study, instance), SkipReason)


def test_nothing_starts_beside_a_run_that_may_take_in_the_same_films(study: StudyResource) -> None:
    with DagsterInstance.ephemeral() as instance:
        instance.add_run(DagsterRun(job_name="study", run_id="1", status=DagsterRunStatus.STARTED))
        assert isinstance(tick(study, instance), SkipReason)


def test_the_daily_schedule_tries_again_what_failed(study: StudyResource, tmp_path: Path) -> None:
    keys = set()
    (tmp_path / "home").mkdir()
    with DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        for day in (1, 2):
            at = datetime.datetime(2026, 1, day, 3, tzinfo=datetime.UTC)
            context = build_schedule_context(instance=instance, scheduled_execution_time=at, resources={"study": study})
            (request,) = take_in_daily(context)
            assert isinstance(request, RunRequest)
            assert request.partition_key == "institution_3"
            keys.add(request.run_key)
    assert len(keys) == 2
