"""What no current table reaches goes; what a next run needs stays."""

import json
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from deltalake import DeltaTable

from olvf_assets.commands.forgetting.tidy import DAY_S, tidy
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.erasure import DataFolderBusyError, data_folder_held

LONG_AGO_S = 1_000_000_000.0


class Lake:
    """A lake of two tables, whose files are old unless said otherwise."""

    def __init__(self, data: Path) -> None:
        self.data, self.store = data, ArtifactStore(data / "lake")
        self.said: list[str] = []
        self.used, self.unused, self.of_work = (self.picture(number) for number in (1, 2, 3))
        self.film = self.work("film_pixels", {"source_sha256": "a" * 64}, {"result.json": "{}"})
        self.weights = self.work("classifiers", {"architecture": "resnet50", "fold": 1}, {"checkpoint.json": "{}"})
        self.write("films", {"sha256": ["a" * 64], "image_path": [self.used]})
        self.write("resnet50_checkpoints", {"weights_path": [f"work/classifiers/{self.weights.name}/w.safetensors"]})

    def picture(self, number: int) -> str:
        path, _ = self.store.save_image(np.full((4, 4), number, np.uint8))
        self.old(self.store.path(path))
        return path

    def work(self, kind: str, description: dict[str, object], files: dict[str, str]) -> Path:
        folder = self.store.work_folder(kind, description)
        for name, text in files.items():
            (folder / name).write_text(text)
        return self.old(folder)

    def old(self, path: Path, changed_s: float = LONG_AGO_S) -> Path:
        for each in (path, *path.rglob("*")):
            os.utime(each, (changed_s, changed_s))
        return path

    def write(self, name: str, columns: dict[str, list[str]]) -> Path:
        path = self.data / "lake" / "tables" / f"{name}.delta"
        pl.DataFrame(columns).write_delta(str(path), mode="overwrite")
        return path

    def tidy(self, **options: object) -> int:
        names = ["films", "resnet50_checkpoints"]
        return tidy(self.data, names, report=self.said.append, **{"keep_days": 7, **options})  # type: ignore[arg-type]

    def has(self, picture: str) -> bool:
        return self.store.path(picture).exists()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def test_pictures_and_work_that_no_table_reaches_go(lake: Lake) -> None:
    other = lake.work("film_pixels", {"source_sha256": "b" * 64}, {"result.json": json.dumps({"p": lake.unused})})
    copies = lake.work("detector_copies", {"film": lake.used}, {"copies.json": json.dumps([lake.unused])})
    assert lake.tidy(dry_run=True) > 0
    assert other.exists()
    freed = lake.tidy()
    assert freed > 0
    assert "2 pieces of work: 0.0 MB" in lake.said
    assert not other.exists()
    assert not copies.exists()
    assert lake.film.exists()
    assert lake.weights.exists()
    assert (lake.has(lake.used), lake.has(lake.unused), lake.has(lake.of_work)) == (True, False, False)


def test_pictures_of_work_that_stays_stay(lake: Lake) -> None:
    (lake.film / "result.json").write_text(json.dumps({"image_path": lake.of_work}))
    lake.old(lake.film)
    lake.tidy()
    assert lake.has(lake.of_work)
    assert not lake.has(lake.unused)


def test_what_is_young_stays(lake: Lake) -> None:
    other = lake.work("film_pixels", {"source_sha256": "b" * 64}, {})
    lake.old(other, changed_s=lake.film.stat().st_ctime - 6 * DAY_S)
    os.utime(lake.store.path(lake.unused))
    lake.tidy()
    assert other.exists()
    assert lake.has(lake.unused)


def test_an_unfinished_training_stays_until_one_in_its_place_is_finished(lake: Lake) -> None:
    about = {"architecture": "resnet50", "fold": 1}
    resumable = lake.work("classifiers", {**about, "seed": 2}, {"state.pt": "half"})
    another = lake.work("classifiers", {**about, "fold": 2}, {"state.pt": "half"})
    finished = lake.work("classifiers", {**about, "seed": 3}, {"checkpoint.json": "{}"})
    lake.tidy()
    assert resumable.exists()
    assert another.exists()
    assert not finished.exists()  # no table names it
    os.utime(lake.weights / "checkpoint.json", (LONG_AGO_S + 1, LONG_AGO_S + 1))
    lake.tidy()
    assert not resumable.exists()
    assert another.exists()


def test_while_a_table_is_missing_or_damaged_pictures_and_work_stay(lake: Lake) -> None:
    for file in (lake.data / "lake" / "tables" / "resnet50_checkpoints.delta" / "_delta_log").iterdir():
        file.write_text("{torn")
    lake.tidy()
    assert lake.has(lake.unused)
    assert lake.weights.exists()
    assert any("1 tables are not made yet, for example resnet50_checkpoints" in line for line in lake.said)


def test_old_versions_of_tables_go_when_they_are_old_enough(lake: Lake) -> None:
    table = lake.write("films", {"sha256": ["a" * 64], "image_path": [lake.used]})
    files = set(table.glob("*.parquet"))
    assert len(files) == 2
    lake.tidy()
    assert set(table.glob("*.parquet")) == files
    lake.tidy(keep_days=0)
    assert len(list(table.glob("*.parquet"))) == 1
    assert pl.read_delta(str(table))["image_path"].to_list() == [lake.used]
    assert DeltaTable(str(table)).version() >= 1


def test_leftovers_of_killed_runs_go_and_half_written_files_of_now_stay(lake: Lake) -> None:
    left = [lake.data / "lake" / "arrivals" / ".partial-1", lake.data / "olvf.duckdb.tmp"]
    now = lake.data / "lake" / "arrivals" / ".partial-2"
    half_copied = lake.data / "landing" / ".city.partial" / "city"
    for path in (*left, now, half_copied / "1.dcm"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    for path in (*left, half_copied.parent):
        lake.old(path)
    lake.tidy()
    assert [path.exists() for path in (*left, now, half_copied)] == [False, False, True, False]


def test_a_run_under_way_is_not_disturbed(lake: Lake) -> None:
    with data_folder_held(lake.data), pytest.raises(DataFolderBusyError):
        lake.tidy()
    assert lake.has(lake.unused)
