"""Steps as Jobs of Kubernetes: what they ask for, held against Kubernetes' own schema, and a run of them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import polars as pl
import pytest
import yaml
from dagster import DagsterEventType, DagsterInstance
from dagster_k8s import K8sRunLauncher
from dagster_k8s.job import DagsterK8sJobConfig, UserDefinedDagsterK8sConfig, construct_dagster_k8s_job
from kubernetes.client import ApiClient

from olvf_assets.foundation.tables import in_order
from olvf_assets.orchestration.graph import all_tables
from olvf_assets.orchestration.kubernetes import CONFIG_TAG, demands
from olvf_assets_tests.planted_hospital import write_planted_hospital
from olvf_assets_tests.servers.kubernetes_stand_in import NAMESPACE, batch_api

PROJECT = Path(__file__).parents[2]
VERSION = "1.34"
TABLES = ("landing_manifest", "reader_labels", "subjects", "film_conditions", "dicom_headers")


def manifest(pool: str | None) -> dict[str, Any]:
    """Return the Job of a step of a table of this pool."""
    config = DagsterK8sJobConfig(job_image="olvf:1", dagster_home="/home", service_account_name="olvf")
    asked = UserDefinedDagsterK8sConfig.from_dict(demands(pool)[CONFIG_TAG])
    job = construct_dagster_k8s_job(
        job_config=config, args=["dagster"], job_name="step", user_defined_k8s_config=asked, pod_name="step"
    )
    found: dict[str, Any] = json.loads(json.dumps(ApiClient().sanitize_for_serialization(job)))
    return found


def resources(job: dict[str, Any]) -> dict[str, Any]:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return dict(container["resources"])


@pytest.mark.parametrize("share", ["", "0", "0.25", "2"])
def test_what_steps_ask_for_is_what_kubernetes_understands(monkeypatch: pytest.MonkeyPatch, share: str) -> None:
    monkeypatch.setenv("OLVF_GPU_SHARE", share)
    for pool in {each.pool for each in all_tables()}:
        job = manifest(pool)
        kubernetes_validate.validate(job, VERSION, strict=True)
        limits = resources(job)["limits"]
        gpus = {"": "1", "0": None, "0.25": "1", "2": "2"}[share] if pool == "gpu" else None
        assert limits.get("nvidia.com/gpu") == gpus
        assert resources(job)["requests"] == {"cpu": "1", "memory": "6Gi" if pool == "gpu" else "2Gi"}


def test_a_run_of_jobs_ends_with_the_same_tables_and_what_one_step_stopped_stays_stopped(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    alone, there = tmp_path / "alone", tmp_path / "there"
    landing = alone / "data" / "landing"
    write_planted_hospital(landing)
    shutil.copytree(landing / "clinic", landing / "bad_sheet")
    readers = landing / "bad_sheet" / "readers.csv"
    readers.write_bytes(readers.read_bytes().replace(b",fresh,", b",frehs,", 1))
    shutil.copytree(landing, there / "data" / "landing")
    for root in (alone, there):
        (root / "home").mkdir()
    shutil.copy(PROJECT / "dagster.yaml", alone / "home")
    run(alone, "local")
    with batch_api(tmp_path, environment_of(there, "kubernetes")) as (api, kubeconfig):
        settings = yaml.safe_load((PROJECT / "dagster.yaml").read_text())
        settings["run_launcher"] = {
            "module": K8sRunLauncher.__module__,
            "class": K8sRunLauncher.__name__,
            "config": {
                "service_account_name": "olvf", "job_image": "olvf:1", "job_namespace": NAMESPACE,
                "dagster_home": str(there / "home"), "instance_config_map": "dagster", "load_incluster_config": False,
                "kubeconfig_file": str(kubeconfig),
            },
        }  # fmt: skip
        (there / "home" / "dagster.yaml").write_text(yaml.safe_dump(settings))
        run(there, "kubernetes")
        jobs = list(api.jobs.values())
    assert len(jobs) == len(TABLES)
    for job in jobs:
        kubernetes_validate.validate(job, VERSION, strict=True)
        assert resources(job)["requests"] == {"cpu": "1", "memory": "2Gi"}
    for name in TABLES:  # of the hospital with the bad sheet a table may be made before, or left out after, it is read
        left, right = (in_order(read(root, name)).filter(institution="clinic") for root in (there, alone))
        assert left.equals(right), name
    assert read(there, "landing_manifest")["institution"].unique().sort().to_list() == ["bad_sheet", "clinic"]
    assert read(there, "dicom_headers")["institution"].unique().to_list() == ["clinic"]
    assert seconds_of_steps(there, record_property) == set(TABLES)


def environment_of(root: Path, engine: str) -> dict[str, str]:
    return {
        **os.environ, "OLVF_DATA": str(root / "data"), "DAGSTER_HOME": str(root / "home"), "OLVF_PROFILE": "ci",
        "OLVF_PSEUDONYM_KEY": "a secret of the test", "OLVF_ENGINE": engine, "PYTHONPATH": str(PROJECT),
    }  # fmt: skip


def run(root: Path, engine: str) -> None:
    command = ["asset", "materialize", "-m", "olvf_assets_tests.intake_of_real_hospitals", "--select", ",".join(TABLES)]
    done = subprocess.run(
        [sys.executable, "-m", "dagster", *command],
        cwd=PROJECT, env=environment_of(root, engine), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


def read(root: Path, name: str) -> pl.DataFrame:
    return pl.read_delta(str(root / "data" / "lake" / "tables" / f"{name}.delta"))


def seconds_of_steps(root: Path, record_property: Callable[[str, object], None]) -> set[str]:
    """Return which tables were made in a Job."""
    with DagsterInstance.from_config(str(root / "home")) as instance:
        (record,) = instance.get_run_records()
        events = instance.all_logs(record.dagster_run.run_id, of_type=DagsterEventType.STEP_WORKER_STARTED)
        took = (record.end_time or 0) - (record.start_time or 0)
        record_property("measured", f"Kubernetes: {len(events)} steps as Jobs in {took:.0f} s")
        return {str(each.step_key) for each in events}
