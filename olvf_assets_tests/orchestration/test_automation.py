"""What starts by itself, and what does not."""

import datetime
import re
import shutil
from pathlib import Path

import polars as pl
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

from olvf_assets.intake.landing import arrivals
from olvf_assets.intake.landing.arrivals import folder_state
from olvf_assets.intake.landing.landing import LandingError
from olvf_assets.orchestration.automation import TAKEN_IN_WITH, landing_folders_changed, take_in_daily
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.storage.taken_in import record_stored


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyResource:
    """A study whose detector is trained and in whose landing folder one hospital's film lies."""
    monkeypatch.setenv("OLVF_SETTLE_S", "0")
    film = tmp_path / "landing" / "institution_3" / "films" / "1.dcm"
    film.parent.mkdir(parents=True)
    film.write_bytes(b"film")
    pl.DataFrame({"n": [1]}).write_delta(tmp_path / "lake" / "tables" / "detector_model.delta")
    return StudyResource(profile_name="ci", data_folder=str(tmp_path))


def tick(study: StudyResource, instance: DagsterInstance) -> SensorResult | SkipReason:
    with build_sensor_context(instance=instance, resources={"study": study}) as context:
        result = landing_folders_changed(context)
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
    state = folder_state(study.data / "landing" / "institution_3")
    for name in TAKEN_IN_WITH:
        record_stored(study.store, "institution_3", name, state=state)
        pl.DataFrame({"n": [1]}).write_delta(study.data / "lake" / "tables" / f"{name}.delta")
    with DagsterInstance.ephemeral() as instance:
        assert isinstance(tick(study, instance), SkipReason)


def test_the_sensor_says_which_folder_waits_for_what(study: StudyResource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLVF_SETTLE_S", "600")
    (study.data / "landing" / "institution_4").mkdir()
    with DagsterInstance.ephemeral() as instance:
        skipped = tick(study, instance)
    assert isinstance(skipped, SkipReason)
    assert re.fullmatch(
        r"institution_3 waits: something came \d+ s ago; taken in after 600 s of quiet; "
        r"institution_4 waits: it is empty; every other landing folder is taken in as it is",
        str(skipped.skip_message),
    )


def test_folders_whose_names_are_no_keys_are_reported_without_them_and_stop_nobody(study: StudyResource) -> None:
    for name in (
        "x' or institution <> 'x",
        "Yamada Hanako",
        "institution-4",
        "INSTITUTION_5",
        "été",
        "a\nb",
        "_x",
        "5",
    ):
        (study.data / "landing" / name).mkdir()
        (study.data / "landing" / name / "1.dcm").write_bytes(b"film")
    with DagsterInstance.ephemeral() as instance:
        result = tick(study, instance)
        assert isinstance(result, SensorResult)
        assert [each.partition_key for each in result.run_requests or []] == ["institution_3"]
        shutil.rmtree(study.data / "landing" / "institution_3")
        skipped = tick(study, instance)
    assert isinstance(skipped, SkipReason)
    assert "8 folders under data/landing are not taken in" in str(skipped.skip_message)
    assert "Yamada" not in str(skipped.skip_message)
    assert "rename them" in str(skipped.skip_message)


def test_a_folder_that_vanishes_or_is_locked_while_the_sensor_looks_breaks_nothing_for_the_others(
    study: StudyResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(study.data / "landing" / "institution_3", study.data / "landing" / "institution_4")
    really = arrivals.walk_files
    for fault in (FileNotFoundError, PermissionError, NotADirectoryError, LandingError):

        def look(folder: Path, fault: type[Exception] = fault) -> object:
            if folder.name == "institution_3":
                raise fault
            return really(folder)

        monkeypatch.setattr(arrivals, "walk_files", look)
        with DagsterInstance.ephemeral() as instance:
            result = tick(study, instance)
        assert isinstance(result, SensorResult)
        assert [each.partition_key for each in result.run_requests or []] == ["institution_4"]


def test_before_there_is_a_detector_nothing_starts(study: StudyResource) -> None:
    (commit,) = (study.data / "lake" / "tables" / "detector_model.delta" / "_delta_log").glob("*.json")
    commit.unlink()  # it is being written for the first time
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
            given = {"instance": instance, "scheduled_execution_time": at, "resources": {"study": study}}
            with build_schedule_context(**given) as context:
                (request,) = take_in_daily(context)
            assert isinstance(request, RunRequest)
            assert request.partition_key == "institution_3"
            keys.add(request.run_key)
    assert len(keys) == 2
