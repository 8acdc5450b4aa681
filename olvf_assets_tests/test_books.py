"""Which settings of Dagster `env.sh` chooses."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "a project"
    folder.mkdir()
    for name in ("env.sh", "dagster.yaml", "dagster.postgres.yaml", "dagster.ray.yaml"):
        shutil.copy(PROJECT / name, folder)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "activate").touch()
    return folder


def chosen(project: Path, **variables: str) -> str:
    """Return what `dagster.yaml` in the home is after sourcing, and the port that is asked at."""
    script = (
        '. ./env.sh && echo "$(readlink "$DAGSTER_HOME/dagster.yaml") ${OLVF_POSTGRES_PORT:-none}" '
        "$OLVF_RAY_JOBS $OLVF_ENGINE"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OLVF_", "DAGSTER_", "VENV"))}
    environment = {**kept, **variables}
    done = subprocess.run(
        ["bash", "-c", script], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    return (done.stdout + done.stderr).strip().removeprefix(f"{project}/")


def test_files_are_the_default_and_what_was_said_last_holds(project: Path) -> None:
    assert chosen(project) == "dagster.yaml none"
    assert chosen(project, OLVF_DAGSTER="postgres") == "dagster.postgres.yaml 5432"
    assert chosen(project) == "dagster.postgres.yaml 5432"
    assert chosen(project, OLVF_POSTGRES_PORT="5433") == "dagster.postgres.yaml 5433"
    assert chosen(project, OLVF_DAGSTER="sqlite") == "dagster.yaml none"
    assert chosen(project) == "dagster.yaml none"
    assert chosen(project, OLVF_DAGSTER="ray") == "dagster.ray.yaml 5432 http://127.0.0.1:8265 ray"
    assert chosen(project, OLVF_RAY_JOBS="http://10.0.0.1:1") == "dagster.ray.yaml 5432 http://10.0.0.1:1 ray"
    assert chosen(project, OLVF_DAGSTER="postgres") == "dagster.postgres.yaml 5432"
    assert chosen(project, OLVF_DAGSTER="mysql") == "OLVF_DAGSTER is sqlite, postgres or ray, not mysql"


def test_settings_of_ones_own_stay(project: Path) -> None:
    home = project / "data" / "dagster"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    assert chosen(project) == "none"
    assert (home / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


def test_the_settings_differ_in_where_books_are_and_runs_go_and_hold_no_secret() -> None:
    files, server, cluster = (
        yaml.safe_load((PROJECT / name).read_text())
        for name in ("dagster.yaml", "dagster.postgres.yaml", "dagster.ray.yaml")
    )
    launcher = cluster.pop("run_launcher")
    assert launcher == {
        "module": "dagster_ray",
        "class": "RayRunLauncher",
        "config": {"ray": {"address": {"env": "OLVF_RAY_JOBS"}}},
    }
    assert cluster["concurrency"]["pools"] == {"granularity": "run"}  # GPUs are counted by Ray
    cluster["concurrency"]["pools"] = server["concurrency"]["pools"]
    assert cluster == server
    database = server.pop("storage")["postgres"]["postgres_db"]
    assert server == files
    assert database.pop("scheme") == "postgresql+psycopg2"
    assert database == {
        name: {"env": f"OLVF_POSTGRES_{variable}"}
        for name, variable in (("hostname", "HOST"), ("port", "PORT"), ("db_name", "DATABASE"), ("username", "USER"),
                               ("password", "PASSWORD"))
    }  # fmt: skip
