"""What the UI for onlookers (`dagster-webserver --read-only`) answers to whoever wants to change something."""

import runpy
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemotePartitionSetOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster_webserver.webserver import DagsterWebserver
from starlette.testclient import TestClient

PROJECT = Path(__file__).parents[2]
LOCATION = """
from dagster import Definitions, DynamicPartitionsDefinition, SkipReason, asset, job, op, schedule, sensor

@asset(partitions_def=DynamicPartitionsDefinition(name="institution"))
def films(): pass

@op
def look(): pass

@job
def take_in(): look()

@sensor(job=take_in)
def landing(): return SkipReason("nothing new")

@schedule(job=take_in, cron_schedule="0 3 * * *")
def nightly(): return {}

defs = Definitions([films], jobs=[take_in], sensors=[landing], schedules=[nightly])
"""
# By argument or field, so that each mutation is about something that is there: what is not there is not refused.
SAID = {
    "repositoryLocationName": "olvf", "locationName": "olvf", "repositoryName": "__repository__", "name": None,
    "pipelineName": "take_in", "jobName": "take_in", "sensorName": "landing", "scheduleName": "nightly",
    "partitionsDefName": "institution", "path": ["films"],
}  # fmt: skip
SCHEMA = """
fragment kinds on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }
query { __schema {
    mutationType { fields { name type { ...kinds } args { name type { ...kinds } } } }
    types { name kind inputFields { name type { ...kinds } } enumValues { name } }
} }
"""
STATES = """
query {
    scheduleOrError(scheduleSelector: {
        repositoryLocationName: "olvf", repositoryName: "__repository__", scheduleName: "nightly"
    }) { ... on Schedule { scheduleState { id } } }
    sensorOrError(sensorSelector: {
        repositoryLocationName: "olvf", repositoryName: "__repository__", sensorName: "landing"
    }) { ... on Sensor { sensorState { id } } }
}
"""
# What is shown of answers that hold several.
SHOWN = {
    "launchMultipleRuns": "... on LaunchMultipleRunsResult { launchMultipleRunsResult { __typename } }",
    "terminateRuns": "... on TerminateRunsResult { terminateRunResults { ... on TerminateRunFailure { message } } }",
    "terminateRun": "... on TerminateRunFailure { message }",
    "terminatePipelineExecution": "... on TerminateRunFailure { message }",
}
REFUSED = ("Unauthorized", "You do not have permission")
ABOUT_THE_BROWSER = {"logTelemetry", "setNuxSeen"}  # nobody is asked for these; they change nothing of the study


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def site(tmp_path: Path, home: Path) -> Iterator[tuple[TestClient, dict[str, str]]]:
    """The read-only UI beside a run, a backfill and a partition which somebody might want to change, and their ids."""
    file = tmp_path / "location.py"
    file.write_text(LOCATION)
    loaded = LoadableTargetOrigin(executable_path=sys.executable, python_file=str(file))
    origin = InProcessCodeLocationOrigin(loadable_target_origin=loaded, location_name="olvf")
    take_in = runpy.run_path(str(file))["take_in"]
    with DagsterInstance.local_temp(str(home)) as instance:
        take_in.execute_in_process(instance=instance)
        run_id = instance.create_run_for_job(take_in, status=DagsterRunStatus.STARTED).run_id
        instance.add_dynamic_partitions("institution", ["institution_1"])
        with WorkspaceProcessContext(
            instance, InProcessWorkspaceLoadTarget(origin), version="", read_only=True
        ) as context:
            with context.create_request_context() as request:
                (location,) = request.code_locations
                repository = location.get_repository("__repository__").get_remote_origin()
            whence = RemotePartitionSetOrigin(repository_origin=repository, partition_set_name="set")
            instance.add_backfill(
                PartitionBackfill(
                    backfill_id="backfill", status=BulkActionStatus.FAILED, from_failure=False, tags={},
                    backfill_timestamp=0.0, partition_set_origin=whence, partition_names=[],
                )
            )  # fmt: skip
            with TestClient(DagsterWebserver(context).create_asgi_app()) as client:
                yield client, {"runId": run_id, "backfillId": "backfill"}


def asked(client: TestClient, query: str, **variables: Any) -> dict[str, Any]:
    return dict(client.post("/graphql", json={"query": query, "variables": variables}).json())


def held(home: Path) -> dict[str, list[str]]:
    """Return all that stands in the data bases of a home."""
    found = {}
    for file in home.rglob("*.db"):
        with closing(sqlite3.connect(file)) as database:
            found[str(file.relative_to(home))] = list(database.iterdump())
    return found


class Arguments:
    """Makes up values for the arguments of a mutation."""

    def __init__(self, types: list[dict[str, Any]], known: dict[str, Any]) -> None:
        self._types, self._known = {each["name"]: each for each in types}, SAID | known

    def _is_said(self, field: dict[str, Any]) -> bool:
        return field["type"]["kind"] == "NON_NULL" or field["name"] in self._known

    def of(self, name: str, kind: dict[str, Any]) -> Any:
        if kind["kind"] == "NON_NULL":
            return self.of(name, kind["ofType"])
        if kind["kind"] == "LIST":
            singular = {"runIds": "runId", "partitionNames": "partitionKey"}.get(name, name)
            said = self._known.get(name)
            return said if isinstance(said, list) else [self.of(singular, kind["ofType"])]
        described = self._types[kind["name"]]
        if kind["kind"] == "ENUM":
            return described["enumValues"][0]["name"]
        if kind["kind"] == "INPUT_OBJECT":
            fields = described["inputFields"]
            return {each["name"]: self.of(each["name"], each["type"]) for each in fields if self._is_said(each)}
        if self._known.get(name):
            return self._known[name]
        return {"Boolean": True, "Int": 1, "Float": 1.0, "RunConfigData": {}}.get(kind["name"], "institution_1")


def test_no_mutation_of_dagsters_is_answered_and_nothing_changes(
    site: tuple[TestClient, dict[str, str]], home: Path
) -> None:
    client, known = site
    schema, states = (asked(client, query)["data"] for query in (SCHEMA, STATES))
    arguments, before, answered = Arguments(schema["__schema"]["types"], known), held(home), {}
    special = {
        "reexecutePartitionBackfill": {"reexecutionParams": {"parentRunId": "backfill", "strategy": "ALL_STEPS"}},
        "launchPartitionBackfill": {
            "backfillParams": {"assetSelection": [{"path": ["films"]}], "partitionNames": ["institution_1"]}
        },
        "stopRunningSchedule": {"id": states["scheduleOrError"]["scheduleState"]["id"]},
        "stopSensor": {"id": states["sensorOrError"]["sensorState"]["id"]},
    }
    for name in ("launchPipelineReexecution", "launchRunReexecution"):  # by its parent, or by what is to run
        params = {"kind": "INPUT_OBJECT", "name": "ExecutionParams"}
        special[name] = {"executionParams": arguments.of("executionParams", params)}
    for mutation in schema["__schema"]["mutationType"]["fields"]:
        name, expected = mutation["name"], {each["name"]: each["type"] for each in mutation["args"]}
        given = special.get(name) or {each: arguments.of(each, kind) for each, kind in expected.items()}
        declared = ", ".join(f"${each}: {_written(expected[each])}" for each in given)
        passed = ", ".join(f"{each}: ${each}" for each in given)
        call = f"{name}({passed})" if given else name
        shown = "" if _is_plain(mutation["type"]) else f"{{ __typename {SHOWN.get(name, '')} }}"
        query = f"mutation{f'({declared})' if given else ''} {{ {call} {shown} }}"
        answered[name] = client.post("/graphql", json={"query": query, "variables": given}).text
    not_refused = {name: said for name, said in answered.items() if not any(word in said for word in REFUSED)}
    assert not_refused.keys() == ABOUT_THE_BROWSER, not_refused
    assert len(answered) >= 40
    assert held(home) == before


def _written(kind: dict[str, Any]) -> str:
    if kind["kind"] == "NON_NULL":
        return f"{_written(kind['ofType'])}!"
    return f"[{_written(kind['ofType'])}]" if kind["kind"] == "LIST" else str(kind["name"])


def _is_plain(kind: dict[str, Any]) -> bool:
    """Return whether a result is a value and no object."""
    return kind["kind"] == "SCALAR" or (kind.get("ofType") is not None and _is_plain(kind["ofType"]))


def test_nobody_reports_what_no_run_has_made_and_only_logs_are_handed_out(
    site: tuple[TestClient, dict[str, str]], home: Path
) -> None:
    before = held(home)
    for what in ("materialization", "check", "observation"):
        told = {"check_name": "sound", "passed": True, "data_version": "1"}
        assert site[0].post(f"/report_asset_{what}/films", json=told).status_code == 401
    assert held(home) == before
    (home / "secret.out").write_text("of another folder")
    for path in ("../secret.out", "%2e%2e/secret.out", "..%2fsecret.out", "x/../../secret.out"):
        assert "of another folder" not in site[0].get(f"/logs/{path}").text


def test_make_has_the_command_and_no_server_of_ours_listens_beyond_this_machine() -> None:
    lines = [line for line in (PROJECT / "Makefile").read_text().replace("\\\n", " ").splitlines() if "dagster" in line]
    servers = [line for line in lines if "dagster dev" in line or "dagster-webserver" in line]
    assert len(servers) == 2
    assert all("--host 127.0.0.1" in line for line in servers)
    assert "--read-only" in servers[1]
