"""Work on a cluster of Ray that spans two hosts."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster import DagsterInstance, DagsterRunStatus
from dagster_graphql import DagsterGraphQLClient

from olvf_assets.classification.predictions import predict
from olvf_assets.classification.training import train_folds
from olvf_assets.detection.copies import make_detector_copies
from olvf_assets.detection.prediction import detection_candidates
from olvf_assets.detection.training import train_detector
from olvf_assets.foundation.engine import FILMS, NETWORK, TRAINING, EngineError, LostWorkError, call, engine_named
from olvf_assets.foundation.parallel import available_cores, parallel_map
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.places import lake_address, store_of
from olvf_assets_tests.classification.made_up import made_up_samples, small_settings
from olvf_assets_tests.detection.drawn_films import draw_films
from olvf_assets_tests.detection.test_training import PATIENTS, SPLITS, TINY
from olvf_assets_tests.intake.pacs.peers import free_port
from olvf_assets_tests.servers import ray_work
from olvf_assets_tests.servers.cluster import HEAD, PROJECT, SECOND, Cluster, cluster_of_two

SEED = 3
LOCATION = "olvf_assets_tests.servers.ray_location"  # not imported here: what it is made of, a cluster's host says


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two hosts; this process is a program of the first one."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="olvf") as folder, cluster_of_two(Path(folder)) as found:
        own = ("RAY_", "OLVF_", "AWS_", "DAGSTER_")
        os.environ |= {name: value for name, value in found.environment.items() if name.startswith(own)}
        engine_named.cache_clear()
        yield found
        sys.modules["ray"].shutdown()
        engine_named.cache_clear()
        os.environ.clear()
        os.environ |= before


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Work is done on this host from the time when this is called."""
    return lambda: monkeypatch.setenv("OLVF_ENGINE", "local")


def test_items_go_to_both_hosts_and_their_results_come_in_order(cluster: Cluster) -> None:
    lines: list[str] = []
    ticks: list[int] = []
    assert set(parallel_map(ray_work.address, [1.0] * 8, what="hosts", report=lines.append)) == {HEAD, SECOND}
    assert lines[0], lines[-1] == ("1/8 hosts", "8/8 hosts")
    numbers = list(range(200))
    assert parallel_map(ray_work.squared, numbers, tick=lambda: ticks.append(1)) == [n**2 for n in numbers]
    assert parallel_map(ray_work.squared, numbers, workers=3) == [n**2 for n in numbers]


def test_a_worker_uses_the_cores_and_the_gpus_that_it_is_lent(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores = available_cores()
    for needs, lent in ((FILMS, 1), (TRAINING, 1), (NETWORK, cores)):
        (found,) = (
            parallel_map(ray_work.held_to, [0], needs=needs)
            if needs.gpu
            else parallel_map(ray_work.held_to, [0, 1], needs=needs)[:1]
        )
        assert found == {"cores": lent, "threads": lent, "gpu": False, "lent": found["lent"]}
    monkeypatch.setenv("OLVF_GPU_SHARE", "x")
    with pytest.raises(EngineError, match="OLVF_GPU_SHARE"):
        parallel_map(ray_work.held_to, [0], needs=TRAINING)


def test_errors_are_what_they_are_and_what_is_said_is_heard_in_order(cluster: Cluster) -> None:
    with pytest.raises(ray_work.OddRowError, match=r"readers\.csv, row -4: odd") as told:
        parallel_map(ray_work.squared, [1, -4, 2])
    assert told.value.row == -4
    with pytest.raises(TypeError, match="not supported between"):
        parallel_map(ray_work.squared, [1, [], 2])
    said: list[Any] = []
    assert call(ray_work.spoken, 4, needs=NETWORK, report=said.append, observe=said.append) == 4
    assert said == [each for n in range(4) for each in (f"line {n} of process False", {"figure": n})]


def test_who_is_interrupted_leaves_no_work(cluster: Cluster, tmp_path: Path) -> None:
    files = [tmp_path / str(number) for number in range(9)]

    def interrupt() -> None:
        cluster.until("both hosts work", lambda: sum(file.exists() for file in files) > 2)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        parallel_map(ray_work.for_ever, [str(file) for file in files], needs=TRAINING)
    assert_nobody_writes(files)
    assert sum(file.exists() for file in files) < len(files)  # what had not begun never did


def test_who_is_killed_leaves_no_work(cluster: Cluster, tmp_path: Path) -> None:
    files = [tmp_path / str(number) for number in range(9)]
    program = [sys.executable, "-m", ray_work.__name__, *map(str, files)]
    with subprocess.Popen(program, cwd=PROJECT, env=cluster.environment) as driver:
        cluster.until("both hosts work", lambda: sum(file.exists() for file in files) > 2)
        driver.kill()
        killed = time.monotonic()
    cluster.until("all is quiet", lambda: quiet_for(files, 1.0))
    assert time.monotonic() - killed < 20
    assert_nobody_writes(files)


def test_work_is_tried_again_when_its_worker_dies_and_not_for_ever(cluster: Cluster, tmp_path: Path) -> None:
    assert parallel_map(ray_work.killed, [str(tmp_path / "a"), str(tmp_path / "b")]) == ["xxx", "xxx"]
    with pytest.raises(LostWorkError, match="was lost with its worker 4 times"):
        parallel_map(ray_work.always_killed, [1, 2])


def test_trainings_predictions_and_a_film_batch_are_those_of_one_host(
    cluster: Cluster, tmp_path: Path, here: Callable[[], None], record_property: Callable[[str, object], None]
) -> None:
    began = time.monotonic()
    there = everything(store_of(cluster.data, lake_address()), tmp_path / "drawn")
    between = time.monotonic()
    here()
    alone = everything(ArtifactStore(tmp_path / "alone"), tmp_path / "drawn again")
    seconds = f"two hosts {between - began:.0f} s, one {time.monotonic() - between:.0f} s"
    record_property("measured", f"two trainings, their predictions, a detector and its films: {seconds}")
    for name, table in alone.items():
        assert table.equals(there[name]), name
        assert not table.is_empty()


def everything(store: ArtifactStore, drawn: Path) -> dict[str, pl.DataFrame]:
    """Return what two trainings, their networks, a detector and its search make of made-up films."""
    settings = small_settings(epochs=2, workers=2)
    samples = made_up_samples(store, 3, 2)
    seen: list[dict[str, Any]] = []
    lines: list[str] = []
    checkpoints = train_folds("resnet50", [1, 2], samples, store, settings, SEED, lines.append, seen.append)
    assert lines[-1] == "2/2 folds of resnet50"
    tested = samples.filter(pl.col("fold") == 1)
    predictions = predict(checkpoints, tested, "test", samples, store, settings, SEED, lines.append)
    assert lines[-2:] == [f"resnet50, fold {fold}: {tested.height} test samples" for fold in (1, 2)]
    local, films, boxes = draw_films(drawn, PATIENTS)
    for picture in films["image_path"]:
        store.save_image(local.load_image(picture))
    copies = make_detector_copies(films, boxes, SPLITS, store, TINY, SEED)
    detector = train_detector(copies, store, TINY, SEED, report=lines.append, observe=seen.append)
    assert [line.split(",")[0] for line in lines[-2:]] == ["detector: epoch 1/2", "detector: epoch 2/2"]
    assert seen[-1]["epoch"] == 2
    unsure = TINY.model_copy(update={"candidate_confidence": 0.001})
    candidates = detection_candidates(films, detector, store, unsure, report=lines.append)
    assert lines[-1] == f"{films.height}/{films.height} films searched"
    return {"checkpoints": checkpoints, "predictions": predictions, "detector": detector, "candidates": candidates}


def test_a_stranger_is_not_let_in(cluster: Cluster) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{cluster.environment['OLVF_RAY_JOBS']}/api/jobs/", timeout=10)


def test_runs_of_the_ui_go_to_the_cluster_and_nothing_tells_a_secret(
    cluster: Cluster, record_property: Callable[[str, object], None]
) -> None:
    port = free_port()
    command = ["dagster", "dev", "-m", LOCATION, "--host", "127.0.0.1", "--port", str(port)]
    log = (cluster.folder / "ui.log").open("wb")
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=PROJECT, env=cluster.environment, stdout=log, stderr=log, start_new_session=True,
    ) as ui, DagsterInstance.get() as instance:  # fmt: skip
        try:
            cluster.until("the UI answers or ends", lambda: ui.poll() is not None or answers(port))
            client = DagsterGraphQLClient("127.0.0.1", port)
            ids = [client.submit_job_execution("job") for _ in range(2)]
            cluster.until("both runs are over", lambda: all(is_over(instance, each) for each in ids))
            jobs = jobs_of(cluster)
        finally:
            os.killpg(ui.pid, signal.SIGTERM)
    for each in ids:
        (made,) = (e for e in instance.all_logs(each) if e.asset_materialization)
        assert made.asset_materialization.metadata["hosts"].value == f"{HEAD} {SECOND}"
        assert each in jobs
    starts = [instance.get_run_stats(each) for each in ids]
    seconds = " and ".join(f"{(each.start_time or 0) - (each.launch_time or 0):.0f} s" for each in starts)
    record_property("measured", f"runs of the UI on the cluster began {seconds} after they were handed over")
    secrets = {cluster.environment[name] for name in ("AWS_SECRET_ACCESS_KEY", "OLVF_POSTGRES_PASSWORD")}
    secrets.add((cluster.folder / "token").read_text())
    said = [jobs, *(each.read_text(errors="replace") for each in cluster.folder.glob("*.log"))]
    said += [each.read_text(errors="replace") for each in (cluster.folder / "head").rglob("*") if each.is_file()]
    assert len(said) > 10
    assert not [text for text in said for secret in secrets if secret in text]


def jobs_of(cluster: Cluster) -> str:
    """Return all that the cluster tells of its jobs."""
    from ray.job_submission import JobSubmissionClient

    return str(JobSubmissionClient(cluster.environment["OLVF_RAY_JOBS"]).list_jobs())


def is_over(instance: DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    assert run.status != DagsterRunStatus.FAILURE, [each.message for each in instance.all_logs(run_id)]
    return run.status == DagsterRunStatus.SUCCESS


def answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=2)
    except OSError:
        return False
    return True


def test_a_training_goes_on_elsewhere_when_its_host_is_switched_off(
    cluster: Cluster, tmp_path: Path, here: Callable[[], None], monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:  # fmt: skip
    """The last test: the second host does not come back."""
    monkeypatch.setattr("olvf_assets.foundation.engine_ray.TICK_S", 0.2)
    settings, seen, off = small_settings(epochs=400, workers=2), list[dict[str, Any]](), list[float]()

    def observe(figures: dict[str, Any]) -> None:
        seen.append(figures)
        if not off and all(figures.get(f"fold {fold} epoch", 0) > 1 for fold in (1, 2)):
            off.append(time.monotonic())
            cluster.kill("second")

    store = store_of(cluster.data, lake_address())
    samples = made_up_samples(store, 4, 2)
    assert set(parallel_map(ray_work.address, [1.0] * 8)) == {HEAD, SECOND}
    there = train_folds("densenet161", [1, 2], samples, store, settings, SEED, observe=observe)
    assert off, f"never at work both: {[*seen[:3], *seen[-3:]]}"
    (killed,) = off
    record_property("measured", f"a host is switched off: its training is over {time.monotonic() - killed:.0f} s later")
    for fold in (1, 2):
        epochs = [figures[f"fold {fold} epoch"] for figures in seen if f"fold {fold} epoch" in figures]
        assert epochs == sorted(epochs)  # nothing was begun anew
    assert set(parallel_map(ray_work.address, [0.1] * 2)) == {HEAD}
    here()
    alone = ArtifactStore(tmp_path)
    assert train_folds("densenet161", [1, 2], made_up_samples(alone, 4, 2), alone, settings, SEED).equals(there)


def assert_nobody_writes(files: list[Path]) -> None:
    sizes = [file.stat().st_size for file in files if file.exists()]
    threading.Event().wait(1.0)
    assert [file.stat().st_size for file in files if file.exists()] == sizes


def quiet_for(files: list[Path], seconds: float) -> bool:
    before = [file.stat().st_size for file in files if file.exists()]
    threading.Event().wait(seconds)
    return before == [file.stat().st_size for file in files if file.exists()]
