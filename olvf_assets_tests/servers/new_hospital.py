"""A study that its users have open: UI and daemon at work, an SQL session, an image store, and what is delivered.

What lives here: starting, delivering, waiting and counting. What does not: what must hold (`test_new_hospital.py`).
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pydicom
from dagster import DagsterInstance, RunsFilter

from olvf_assets_tests.intake.pacs.peers import free_port, toml_of
from olvf_assets_tests.servers.orthanc import PASSWORD, USER, RunningOrthanc

PROJECT = Path(__file__).parents[2]
SITE = "institution_3"
PATIENCE_S = 600.0
# Tables whose making is work on the pixels of films and crops.
OF_PIXELS = {
    "dicom_headers", "film_pixels", "picture_fingerprints", "detection_candidates", "detected_crops", "crop_scores",
    "crop_attention", "worklist_pages",
}  # fmt: skip


class OpenStudy:
    """A data folder, its Dagster home, and a new hospital whose films lie in an image store.

    Args:
        folder: holds `data` and `home` or gets them.
        profile: of the study.
        patients: the new hospital's, a film each.
    """

    def __init__(self, folder: Path, profile: str, patients: int) -> None:
        self.data, self.home, self.source = folder / "data", folder / "home", folder / "hospital"
        self.log = folder / "ui.log"
        self.home.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / "dagster.yaml", self.home)
        own = {name: value for name, value in os.environ.items() if name != "DAGSTER_MODULE_NAME"}  # of env.sh
        self.environment = {
            **own,
            "OLVF_PROFILE": profile,
            "OLVF_DATA": str(self.data),
            "OLVF_SETTLE_S": "5",
            "OLVF_PSEUDONYM_KEY": "a secret of the test of a new hospital",
            "DAGSTER_HOME": str(self.home),
        }
        phantom = ("olvf_assets.phantom", "--out", str(self.source), "--institution", SITE, "--profile", profile)
        self.run(*phantom, "--patients", str(patients))
        self.films = [pydicom.dcmread(path) for path in sorted((self.source / "films").rglob("*.dcm"))]

    def run(self, *command: str) -> str:
        """Run a module as its users do, and return what it said."""
        environment = self.environment | {"DAGSTER_MODULE_NAME": "olvf_assets.study"}
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
        return done.stdout + done.stderr

    def connect(self, store: RunningOrthanc) -> None:
        """Write what a technologist writes once: what the hospital is, and where its films are."""
        landing, pacs = self.data / "landing" / SITE, self.data / "pacs" / SITE
        landing.mkdir(parents=True)
        pacs.mkdir(parents=True)
        (landing / "institution.toml").write_text('name = "Hospital 3"\nrole = "external"\nresults_back = true\n')
        asked = {"dimse": store.by_dimse(), "orthanc": store.feed(), "what": {"since": "2000-01-01"}}
        (pacs / "pacs.toml").write_text(toml_of(asked))
        (pacs / "credentials.toml").write_text(f'user = "{USER}"\npassword = "{PASSWORD}"\n')
        (pacs / "credentials.toml").chmod(0o600)

    def hand_over_sheets(self) -> None:
        """Drop the hospital's sheets into its landing folder."""
        for sheet in self.source.glob("*.csv"):
            shutil.copy(sheet, self.data / "landing" / SITE)

    @contextmanager
    def ui(self) -> Iterator[None]:
        """Have UI and daemon at work, as `make ui` starts them, for the time of a `with` block."""
        self.run("olvf_assets", "register")
        port = free_port()
        command = ["dagster", "dev", "--workspace", "workspace.yaml", "--host", "127.0.0.1", "--port", str(port)]
        with self.log.open("wb") as log:
            running = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=PROJECT, env=self.environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            self.until("the UI answers or ends", lambda: running.poll() is not None or _answers(port))
            assert running.poll() is None, self.log.read_text(errors="replace")[-6000:]
            yield
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGTERM)
            with_patience = threading.Timer(20.0, os.killpg, (running.pid, signal.SIGKILL))
            with_patience.start()
            running.wait()
            with_patience.cancel()

    def until(self, what: str, seen: Callable[[], Any], patience_s: float = PATIENCE_S) -> float:
        """Wait until `seen` returns something true, and return the seconds that it took."""
        started, pause = time.monotonic(), threading.Event()
        while not seen():
            waited = time.monotonic() - started
            if waited > patience_s:
                said = self.log.read_text(errors="replace")[-6000:] if self.log.exists() else ""
                raise TimeoutError(f"{what}: not within {waited:.0f} s\n{said}")
            pause.wait(0.5)
        return time.monotonic() - started

    def asked(self, question: str) -> list[tuple[Any, ...]]:
        """Return what the warehouse answers to whoever opens it now."""
        with duckdb.connect(str(self.data / "olvf.duckdb"), read_only=True) as connection:
            return connection.execute(question, {"site": SITE}).fetchall()

    def table(self, name: str) -> pl.DataFrame:
        """Return the new hospital's rows of a table of the lake."""
        frame = pl.read_delta(str(self.data / "lake" / "tables" / f"{name}.delta"))
        return frame.filter(pl.col("institution") == SITE)

    def films_held(self) -> Counter[str]:
        """Return how often each film lies in the landing folder, by its SOP instance UID."""
        paths = (self.data / "landing" / SITE / "films").rglob("*.dcm")
        return Counter(str(pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID) for path in paths)

    def arrivals(self) -> list[dict[str, float]]:
        """Return the seconds of each table and of `all`, of each run that took the hospital in, the latest first."""
        with DagsterInstance.from_config(str(self.home)) as instance:
            runs = instance.get_run_records(
                RunsFilter(job_name="take_in_institution", tags={"dagster/partition": SITE})
            )
            found = []
            for run in runs:
                steps = instance.get_run_step_stats(run.dagster_run.run_id)
                seconds = {
                    step.step_key: step.end_time - step.start_time
                    for step in steps
                    if step.end_time and step.start_time
                }
                found.append(seconds | {"all": (run.end_time or 0) - (run.start_time or 0)})
        return found


class SqlSession:
    """`make sql`, opened once and kept open."""

    def __init__(self, study: OpenStudy) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "olvf_assets", "sql"],
            cwd=PROJECT,
            env=study.environment | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def counts(self, table: str) -> int:
        """Return how many rows a table has in the warehouse that this session opened."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"select 'rows: ' || count(*) as n from {table};\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if "rows: " in line:
                return int("".join(filter(str.isdigit, line.split("rows: ")[1])))
        raise AssertionError("the session has ended")

    def close(self) -> None:
        """Leave it."""
        self._process.communicate(".quit\n", timeout=30)


def results_in(store: RunningOrthanc) -> dict[str, list[dict[str, str]]]:
    """Return what a store says of its objects that are no films, by modality: SR and OT (a secondary capture)."""
    found: dict[str, list[dict[str, str]]] = {"SR": [], "OT": []}
    for series in store.get("/series?expand"):
        modality = series["MainDicomTags"]["Modality"]
        if modality in found:
            found[modality] += [store.get(f"/instances/{each}/simplified-tags") for each in series["Instances"]]
    return found


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=2.0) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
