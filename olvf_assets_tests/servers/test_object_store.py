"""A lake in a real object store: several writers at once, absences, wrong keys, and a part of the study in it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Event

import polars as pl
import pytest

from olvf_assets.commands.forgetting.tidy import _old_versions
from olvf_assets.foundation.parallel import parallel_map
from olvf_assets.storage.cached_store import CachedStore
from olvf_assets.storage.object_store import (
    StoreRefusesError,
    StoreUnreachableError,
    allow_http,
    opened,
    try_out,
)
from olvf_assets_tests.intake.pacs.peers import free_port
from olvf_assets_tests.servers import lake_writers
from olvf_assets_tests.servers.seaweedfs import BUCKET, SECRET, RunningStore, running

ADDRESS = f"s3://{BUCKET}/study"
AWAY_S = 20
MADE_ALIKE = "++++++++cohort_vertebrae"
PROFILE = """
extends: ci
phantom:
  institutions:
    institution_1: {patients_normal: 1, patients_fresh: 2, patients_old: 2, reread_patients: 1, excluded_fresh: {}}
    institution_2: {patients_fresh: 1, patients_old: 1}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStore]:
    with running(tmp_path_factory.mktemp("seaweedfs")) as store:
        yield store


@pytest.fixture
def store(server: RunningStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningStore]:
    """The server, named in the variables; connections of other tests are forgotten."""
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    opened.cache_clear()
    allow_http()
    yield server
    opened.cache_clear()


def began(function: str, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "olvf_assets_tests.servers.lake_writers", function, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, process.communicate()[1][-3000:]
    return line


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err[-3000:]
    return out, err


def test_a_store_is_tried_before_it_is_trusted(store: RunningStore, monkeypatch: pytest.MonkeyPatch) -> None:
    try_out(ADDRESS)
    opened.cache_clear()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another secret")
    with pytest.raises(StoreRefusesError, match=r"AWS_SECRET_ACCESS_KEY") as refused:
        try_out(ADDRESS)
    assert "another secret" not in str(refused.value)
    opened.cache_clear()
    monkeypatch.setattr("olvf_assets.storage.object_store.AT_START_S", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StoreUnreachableError, match=r"does not answer"):
        try_out(ADDRESS)


@pytest.mark.parametrize("rounds", [1, 5])
def test_four_writers_make_a_table_at_once_and_a_reader_sees_each_part_whole(
    store: RunningStore, tmp_path: Path, rounds: int
) -> None:
    """With one round each all of them make the table: one is first, the others try again."""
    address, go = f"{ADDRESS}/{rounds}", tmp_path / "go"
    writers = [began("write_rounds", address, name, str(rounds), str(go)) for name in "abcd"]
    assert [line_of(each) for each in writers] == ["ready"] * 4
    go.touch()
    tables, looks, pause = CachedStore(address, tmp_path / "cache").tables, 0, Event()
    while any(each.poll() is None for each in writers):
        if tables.is_there("crowded"):
            seen = tables.read("crowded").group_by("writer").agg(pl.len(), pl.col("round").n_unique())
            assert set(seen["len"]) <= {lake_writers.ROWS}
            assert set(seen["round"]) <= {1}
            looks += 1
        pause.wait(0.02)
    assert [ended(each)[0] for each in writers] == ["written\n"] * 4
    found = tables.read("crowded")
    assert found.group_by("writer", "round").len().sort("writer").rows() == [
        (n, rounds, lake_writers.ROWS) for n in "abcd"
    ]
    assert looks > 0
    before = tables.read("crowded")
    freed = _old_versions(tables, "crowded", 0, dry_run=False)
    assert len(freed) >= 4 * (rounds - 1)  # and what those left who were too late
    assert tables.read("crowded").equals(before)


def test_processes_of_this_machine_write_to_the_same_store(store: RunningStore, tmp_path: Path) -> None:
    lake = CachedStore(f"{ADDRESS}/processes", tmp_path / "here")
    paths = parallel_map(partial(lake_writers.save_picture, store=lake), range(20), workers=2)
    there = CachedStore(f"{ADDRESS}/processes", tmp_path / "there")
    assert [int(there.load_image(path)[0, 0]) for path in paths] == list(range(20))


def test_nothing_is_lost_while_the_store_is_away(
    store: RunningStore, tmp_path: Path, record_property: Callable[[str, str], None]
) -> None:
    writer = began("write_all_kinds", f"{ADDRESS}/away", str(tmp_path / "cache"), "12")
    assert [line_of(writer) for _ in range(3)] == ["round 0", "round 1", "round 2"]
    store.stop()
    Event().wait(AWAY_S)
    since = time.monotonic()
    store.start()
    line_of(writer)
    record_property(
        "measured", f"object store away for {AWAY_S} s: work goes on {time.monotonic() - since:.1f} s after"
    )
    out, _ = ended(writer)
    assert out.splitlines()[-1] == "round 11"


def test_work_ends_by_name_where_the_store_stays_away_and_goes_on_afterwards(
    store: RunningStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLVF_STORE_PATIENCE_S", "1")
    first = began("train", f"{ADDRESS}/gone", str(tmp_path / "cache"), "2000")
    while line_of(first) != "epoch 20":
        pass
    store.stop()
    _, said = first.communicate(timeout=100)
    assert first.returncode != 0
    assert "StoreUnreachableError: the object store of the lake" in said
    assert SECRET not in said
    store.start()
    monkeypatch.delenv("OLVF_STORE_PATIENCE_S")  # just started, it says for a moment that it is not ready
    second = began("train", f"{ADDRESS}/gone", str(tmp_path / "cache of another machine"), "2000")
    out, _ = ended(second)
    assert int(out.splitlines()[0].removeprefix("from ")) >= 20
    lake = CachedStore(f"{ADDRESS}/gone", tmp_path / "third")
    (weights,) = lake.files("work/classifiers", "*/weights")
    assert lake.read(weights, Path.read_text) == str(2000 * 2001 // 2)
    assert lake.files("work/classifiers", "*/state.pt") == []


def test_the_study_makes_the_same_tables_in_a_store_and_finds_them_from_another_machine(
    store: RunningStore, tmp_path: Path
) -> None:
    """Intake of two made-up hospitals and the cohort; films are decoded by processes of their own."""
    profile = tmp_path / "small.yaml"
    profile.write_text(PROFILE)
    here = made(tmp_path / "here", profile, OLVF_LAKE=f"{ADDRESS}/whole")
    made(tmp_path / "local", profile)
    lake = CachedStore(f"{ADDRESS}/whole", tmp_path / "here" / "lake-cache")
    folder = tmp_path / "local" / "lake"
    names = sorted(each.stem for each in (folder / "tables").glob("*.delta"))
    assert len(names) > 20
    for name in names:
        frame = pl.read_delta(str(folder / "tables" / f"{name}.delta"))
        other = lake.tables.read(name)
        assert frame.sort(frame.columns[:1]).height == other.height, name
        assert frame.hash_rows().sort().equals(other.select(frame.columns).hash_rows().sort()), name
    pictures = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("images/*/*.png"))
    assert [path for path in pictures if not lake.image_check()(path)] == []
    assert not (tmp_path / "here" / "lake").exists()
    there = made(
        tmp_path / "here", profile, OLVF_LAKE=f"{ADDRESS}/whole", OLVF_CACHE=str(tmp_path / "cache of another machine")
    )
    assert " made " in here
    assert " made " not in there, there


def made(data: Path, profile: Path, **more: str) -> str:
    """Make a part of the study in a data folder, and return what is said."""
    home = data.with_name(f"{data.name}-dagster")
    home.mkdir(exist_ok=True)
    environment = {**os.environ, "OLVF_DATA": str(data), "OLVF_PROFILE": str(profile.with_suffix("")), **more}
    done = subprocess.run(
        ["dagster", "asset", "materialize", "-m", "olvf_assets.study", "--select", MADE_ALIKE],
        env={**environment, "DAGSTER_HOME": str(home)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
