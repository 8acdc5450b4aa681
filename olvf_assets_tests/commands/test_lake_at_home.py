"""A lake in an object store while a command works on files."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from olvf_assets.commands.backing_up.back_up import back_up
from olvf_assets.commands.backing_up.kept import BackUpFolder
from olvf_assets.commands.lake_at_home import lake_at_home
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.storage.lake_lease import LakeInUseError, hold_lake
from olvf_assets.storage.object_store import PATIENCE_VARIABLE, StoreUnreachableError, opened
from olvf_assets_tests.storage.made_up_store import MadeUpStore, away

ADDRESS = "s3://bucket/study"
OTHERS = {
    "images/00/a.png": b"a picture",
    "work/film_pixels/0123456789abcdef/result.json": b"{}",
    "published/olvf.duckdb": b"all tables",
}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MadeUpStore]:
    """A store with a table of two versions, and what lies beside it."""
    made_up = MadeUpStore()
    made_up.put_in_the_place_of_obstore(monkeypatch)
    monkeypatch.setenv(PATIENCE_VARIABLE, "0")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.delenv("OLVF_CACHE", raising=False)
    opened.cache_clear()
    table = tmp_path / "films.delta"
    for n in (1, 2):
        pl.DataFrame({"n": [n]}).write_delta(str(table), mode="overwrite")
    for file in table.rglob("*"):
        if file.is_file():
            made_up.objects[f"tables/films.delta/{file.relative_to(table)}"] = file.read_bytes()
    shutil.rmtree(table)
    made_up.objects |= OTHERS
    yield made_up
    opened.cache_clear()


@pytest.fixture
def study(tmp_path: Path) -> StudyResource:
    (tmp_path / "data").mkdir()
    return StudyResource(profile_name="ci", data_folder=str(tmp_path / "data"), lake=ADDRESS)


def table_in(bucket: MadeUpStore, place: Path) -> pl.DataFrame:
    for key, content in bucket.objects.items():
        if key.startswith("tables/"):
            file = place / key
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    return pl.read_delta(str(place / "tables" / "films.delta"))


def erase(lake: Path) -> None:
    """What `forget` does: a table without a history, a picture gone, a record anew."""
    table = lake / "tables" / "films.delta"
    shutil.rmtree(table)
    pl.DataFrame({"n": [3]}).write_delta(str(table))
    (lake / "images/00/a.png").unlink()
    (lake / "made").mkdir()
    (lake / "made" / "films.json").write_text("{}")


def test_a_command_that_only_reads_changes_nothing(bucket: MadeUpStore, study: StudyResource) -> None:
    before = dict(bucket.objects)
    with lake_at_home(study, print) as home:
        assert home.stored("films").rows() == [(2,)]
        assert home.store.path("images/00/a.png").read_bytes() == b"a picture"
        assert not home.store.path("published").exists()
    assert bucket.objects == before
    assert list(study.data.iterdir()) == [study.data / ".runs"] or list(study.data.iterdir()) == []


def test_what_a_command_changed_is_in_the_store_and_nothing_of_before(
    bucket: MadeUpStore, study: StudyResource, tmp_path: Path
) -> None:
    with lake_at_home(study, print) as home:
        erase(home.store.root)
    assert table_in(bucket, tmp_path / "seen").rows() == [(3,)]
    assert len([key for key in bucket.objects if key.endswith(".parquet")]) == 1
    assert set(bucket.objects) & OTHERS.keys() == {"work/film_pixels/0123456789abcdef/result.json"}
    assert bucket.objects["made/films.json"] == b"{}"
    assert "erased" in bucket.objects
    assert not (study.data / "lake").exists()
    assert not (study.data / "lake-cache").exists() or not list((study.data / "lake-cache").rglob("*.png"))


def test_a_command_that_fails_leaves_the_store_as_it_was(bucket: MadeUpStore, study: StudyResource) -> None:
    before = dict(bucket.objects)

    def fail() -> None:
        with lake_at_home(study, print) as home:
            erase(home.store.root)
            raise RuntimeError("traces are left")

    with pytest.raises(RuntimeError, match="traces are left"):
        fail()
    assert bucket.objects == before
    assert not (study.data / "lake").exists()


@pytest.mark.parametrize("after", range(12))
def test_a_call_that_ends_while_it_takes_back_is_finished_by_the_next(
    bucket: MadeUpStore, study: StudyResource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    ask, asked = bucket._ask, []

    def ask_so_often(verb: str, key: str) -> None:
        if (study.data / "lake_taking_back.json").exists() and verb in ("put", "delete"):
            asked.append(key)
            if len(asked) > after:
                raise away()
        ask(verb, key)

    monkeypatch.setattr(bucket, "_ask", ask_so_often)
    try:
        with lake_at_home(study, print) as home:
            erase(home.store.root)
        ended_early = False
    except StoreUnreachableError:
        ended_early = True
    monkeypatch.setattr(bucket, "_ask", ask)
    assert ended_early == (study.data / "lake_taking_back.json").exists()
    bucket.objects.pop("run.lease", None)  # after two minutes anybody may take it
    with lake_at_home(study, print) as home:
        assert home.stored("films").rows() == [(3,)]
    assert table_in(bucket, tmp_path / "seen").rows() == [(3,)]
    assert "images/00/a.png" not in bucket.objects
    assert "published/olvf.duckdb" not in bucket.objects
    assert not (study.data / "lake_taking_back.json").exists()


def test_nothing_is_brought_while_a_run_works(bucket: MadeUpStore, study: StudyResource, tmp_path: Path) -> None:
    for data in (tmp_path / "another machine", study.data):
        with hold_lake(ADDRESS, data, "a run", wait=False), pytest.raises(LakeInUseError, match="a run"):
            lake_at_home(study, print).__enter__()
    assert not (study.data / "lake").exists()


def test_a_lake_in_the_data_folder_stays_where_it_is(bucket: MadeUpStore, tmp_path: Path) -> None:
    local = StudyResource(profile_name="ci", data_folder=str(tmp_path / "local"))
    with lake_at_home(local, print) as home:
        assert home is local
    assert bucket.asked == []


def test_a_back_up_holds_the_lake_and_no_copies(bucket: MadeUpStore, study: StudyResource, tmp_path: Path) -> None:
    (study.data / "lake_place.txt").write_text(ADDRESS)
    (study.data / "lake-cache").mkdir()
    (study.data / "lake-cache" / "a copy").write_text("copy")
    kept = tmp_path / "kept"
    name = back_up(study, tmp_path / "home", kept, with_key=True, keep=None, report=print)
    files = set(BackUpFolder(kept.resolve()).read(name).files)
    assert {f"data/lake/{key}" for key in bucket.objects if key.startswith(("tables/", "images/", "work/"))} <= files
    assert not [file for file in files if "lake-cache" in file or "lake_place" in file]
    assert not (study.data / "lake").exists()
