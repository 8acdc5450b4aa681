"""Dagster's books in a real PostgreSQL: runs, two at once, a server that is started again, killed runs, forgetting."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from dagster import DagsterInstance, DagsterRunStatus, SensorResult, build_sensor_context
from sqlalchemy import create_engine

from olvf_assets.commands.forgetting import erase
from olvf_assets.commands.forgetting.plan import Plan
from olvf_assets.orchestration.automation import landing_folders_changed
from olvf_assets.orchestration.books import postgres_url
from olvf_assets.orchestration.lost_runs import report_lost_runs
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.storage.postgres_records import PostgresError, erase_from_postgres, tables_with
from olvf_assets.storage.traces import Traces
from olvf_assets_tests.servers.postgres import PASSWORD, RunningPostgres, running

PROJECT = Path(__file__).parents[2]
HIM = "P00000000000000aa"
RUN = """
import sys
from dagster import DagsterInstance, Definitions, asset, define_asset_job
from olvf_assets.orchestration.resources import StudyResource

@asset(required_resource_keys={"study"})
def long_work(context):
    context.log.info("before")
    print("at work", flush=True)
    said = sys.stdin.readline().strip()
    context.log.info(f"after {said}")

study = StudyResource(profile_name="ci", data_folder=sys.argv[1])
definitions = Definitions(assets=[long_work], jobs=[define_asset_job("job")], resources={"study": study})
with DagsterInstance.get() as instance:
    made = definitions.resolve_job_def("job").execute_in_process(instance=instance, run_id=sys.argv[2])
"""


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostgres]:
    with running(tmp_path_factory.mktemp("postgres") / "server") as server:
        yield server


@pytest.fixture
def home(postgres: RunningPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "home").mkdir()
    shutil.copy(PROJECT / "dagster.postgres.yaml", tmp_path / "home" / "dagster.yaml")
    for name, value in {**postgres.variables, "DAGSTER_HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "home"


@pytest.fixture
def instance(home: Path) -> Iterator[DagsterInstance]:
    with DagsterInstance.get() as found:
        yield found
        found.wipe()


@pytest.fixture
def study(tmp_path: Path) -> StudyResource:
    return StudyResource(profile_name="ci", data_folder=str(tmp_path / "data"))


def begun(study: StudyResource, run_id: str) -> subprocess.Popen[str]:
    paths = [str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(study.data), run_id], cwd=PROJECT, text=True, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def at_work(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"


def status(instance: DagsterInstance, run_id: str) -> DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def messages(instance: DagsterInstance, run_id: str) -> list[str]:
    return [
        each.user_message for each in instance.all_logs(run_id) if each.user_message.startswith(("before", "after"))
    ]


def ids() -> Iterator[str]:
    return (f"9f2c1a5e-0000-4000-8000-{number:012}" for number in range(100, 200))


NEXT_ID = ids()


def test_a_server_that_is_started_again_in_mid_run_costs_nothing(
    postgres: RunningPostgres, instance: DagsterInstance, study: StudyResource
) -> None:
    run_id = next(NEXT_ID)
    with begun(study, run_id) as process:
        at_work(process)
        postgres.stop()
        postgres.start()
        process.communicate("that\n")
    assert process.returncode == 0
    assert status(instance, run_id) == DagsterRunStatus.SUCCESS
    assert messages(instance, run_id) == ["before", "after that"]


def test_a_run_that_went_down_with_the_server_is_reported_and_another_goes_on(
    postgres: RunningPostgres, instance: DagsterInstance, study: StudyResource
) -> None:
    lost, again = next(NEXT_ID), next(NEXT_ID)
    with begun(study, lost) as process:
        at_work(process)
        postgres.stop()
        process.kill()
    postgres.start()
    assert status(instance, lost) == DagsterRunStatus.STARTED
    assert report_lost_runs(instance, study.data) == [lost]
    assert status(instance, lost) == DagsterRunStatus.FAILURE
    with begun(study, again) as process:
        process.communicate("that\n")
    assert status(instance, again) == DagsterRunStatus.SUCCESS


def test_two_runs_at_once_wait_for_each_other_and_a_killed_one_is_reported(
    instance: DagsterInstance, study: StudyResource
) -> None:
    first, second = next(NEXT_ID), next(NEXT_ID)
    with begun(study, first) as one:
        at_work(one)
        with begun(study, second) as two:
            one.send_signal(signal.SIGKILL)
            one.wait()
            at_work(two)  # the second tells of the first, and goes on
            assert status(instance, first) == DagsterRunStatus.FAILURE
            two.communicate("that\n")
    assert status(instance, second) == DagsterRunStatus.SUCCESS
    assert any("The process of this run is gone" in each.message for each in instance.all_logs(first))


def test_the_landing_sensor_works_with_it(
    instance: DagsterInstance, study: StudyResource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLVF_SETTLE_S", "0")
    film = study.data / "landing" / "institution_3" / "films" / "1.dcm"
    film.parent.mkdir(parents=True)
    film.write_bytes(b"film")
    pl.DataFrame({"n": [1]}).write_delta(study.data / "lake" / "tables" / "detector_model.delta")
    with build_sensor_context(instance=instance, resources={"study": study}) as context:
        found = landing_folders_changed(context)
    assert isinstance(found, SensorResult)
    assert [each.partition_key for each in found.run_requests or []] == ["institution_3"]


def test_who_is_forgotten_is_in_no_table_of_it_any_more(
    instance: DagsterInstance, study: StudyResource, home: Path
) -> None:
    his, other = next(NEXT_ID), next(NEXT_ID)
    for run_id, said in ((his, HIM), (other, "another")):
        with begun(study, run_id) as process:
            process.communicate(f"{said}\n")
    url, traces = postgres_url(home), Traces(frozenset({HIM}))
    assert url is not None
    assert tables_with(url, traces) == ["event_logs"]
    assert erase_from_postgres(url, traces) == 1
    assert tables_with(url, traces) == []
    assert not instance.has_run(his)
    assert messages(instance, other) == ["before", "after another"]


def test_the_proof_looks_into_it_too(instance: DagsterInstance, study: StudyResource, home: Path) -> None:
    run_id = next(NEXT_ID)
    with begun(study, run_id) as process:
        process.communicate(f"{HIM}\n")
    plan = Plan(HIM, "clinic", Traces(frozenset({HIM})), False, frozenset(), frozenset(), frozenset(), frozenset())
    with pytest.raises(erase.TracesLeftError, match="PostgreSQL: event_logs"):
        erase._prove(plan, study, home, postgres_url(home), print)


def test_a_server_that_is_away_is_a_fault_of_the_machine_and_its_password_is_not_told(
    postgres: RunningPostgres, home: Path
) -> None:
    url = f"postgresql+psycopg2://olvf:{PASSWORD}@127.0.0.1:1/postgres"
    with pytest.raises(PostgresError) as raised:
        tables_with(url, Traces(frozenset({HIM})))
    assert PASSWORD not in str(raised.value)
    assert PASSWORD not in (home / "dagster.yaml").read_text()


def test_it_listens_on_loopback_and_asks_for_the_password(postgres: RunningPostgres) -> None:
    listening = subprocess.run(["ss", "-ltnH"], capture_output=True, text=True, check=True).stdout
    own = [line.split()[3] for line in listening.splitlines() if line.split()[3].endswith(f":{postgres.port}")]
    assert own == [f"127.0.0.1:{postgres.port}"]
    engine = create_engine(f"postgresql+psycopg2://olvf:wrong@127.0.0.1:{postgres.port}/postgres")
    with pytest.raises(Exception, match="password authentication failed"):
        engine.connect()
