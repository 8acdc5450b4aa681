"""A lake in an object store as two machines see it, each with a cache of its own."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from olvf_assets.foundation.write_faults import DiskFullError
from olvf_assets.storage import cached_store
from olvf_assets.storage.artifacts import DamagedPictureError, read_json
from olvf_assets.storage.cached_store import CachedStore
from olvf_assets.storage.object_store import StoreRefusesError, StoreUnreachableError
from olvf_assets_tests.storage.made_up_store import MadeUpStore, away, refusing

ADDRESS = "s3://bucket/study"
PIXELS = np.arange(12, dtype=np.uint8).reshape(3, 4)
STATE = "work/classifiers/0123456789abcdef/state.pt"


@pytest.fixture
def here(bucket: MadeUpStore, tmp_path: Path) -> CachedStore:
    return CachedStore(ADDRESS, tmp_path / "here")


@pytest.fixture
def there(bucket: MadeUpStore, tmp_path: Path) -> CachedStore:
    return CachedStore(ADDRESS, tmp_path / "there")


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_a_picture_is_fetched_once_by_each_machine(bucket: MadeUpStore, here: CachedStore, there: CachedStore) -> None:
    relative, _ = here.save_image(PIXELS)
    assert list(bucket.objects) == [relative]
    bucket.asked.clear()
    for _ in range(3):
        np.testing.assert_array_equal(there.load_image(relative), PIXELS)
        np.testing.assert_array_equal(here.load_image(relative), PIXELS)
    assert bucket.asked == [("get", relative)]


def test_a_picture_that_the_store_has_is_not_sent_again(
    bucket: MadeUpStore, here: CachedStore, there: CachedStore
) -> None:
    here.save_image(PIXELS)
    bucket.asked.clear()
    relative, _ = there.save_image(PIXELS)
    assert bucket.asked == [("head", relative)]


def test_whether_a_picture_is_there_the_store_says_not_the_cache(bucket: MadeUpStore, here: CachedStore) -> None:
    relative, _ = here.save_image(PIXELS)
    assert here.has_image(relative)
    assert here.image_check()(relative)
    bucket.objects.clear()
    assert not here.has_image(relative)
    assert not here.image_check()(relative)


def test_many_pictures_are_asked_for_at_once(bucket: MadeUpStore, here: CachedStore) -> None:
    paths = [here.save_image(PIXELS + number)[0] for number in range(5)]
    bucket.asked.clear()
    is_there = here.image_check()
    assert [is_there(path) for path in [*paths, "images/00/none.png"]] == [True] * 5 + [False]
    assert bucket.asked == [("list", "images/")]


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, b"\x89PNG\r\n\x1a\n"], ids=["empty", "zeros", "cut off"])
def test_a_copy_that_a_power_cut_damaged_is_fetched_again(here: CachedStore, damage: bytes) -> None:
    relative, _ = here.save_image(PIXELS)
    here.path(relative).write_bytes(damage)
    np.testing.assert_array_equal(here.load_image(relative), PIXELS)


def test_a_picture_that_is_damaged_in_the_store_is_removed_there(bucket: MadeUpStore, here: CachedStore) -> None:
    relative, _ = here.save_image(PIXELS)
    here.path(relative).unlink()
    bucket.objects[relative] = b"something else"
    with pytest.raises(DamagedPictureError, match="start the same command again"):
        here.load_image(relative)
    assert bucket.objects == {}


def test_what_finds_no_room_in_the_cache_is_read_all_the_same(
    bucket: MadeUpStore, there: CachedStore, here: CachedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [there.save_image(PIXELS + number)[0] for number in range(20)]
    there.write_text(STATE, "epoch 1")
    monkeypatch.setenv("OLVF_CACHE_GIB", "0")
    for number, path in enumerate(paths):
        np.testing.assert_array_equal(here.load_image(path), PIXELS + number)
        assert here.read(STATE, text) == "epoch 1"
    here.fetch(paths * 10)
    held = here.at_hand(paths[3])
    for path in paths:
        here.load_image(path)
    assert held.exists()
    assert [path for path in paths if path not in bucket.objects] == []


def test_what_changes_is_fetched_anew(bucket: MadeUpStore, here: CachedStore, there: CachedStore) -> None:
    here.write_text(STATE, "epoch 1")
    assert there.read(STATE, text) == "epoch 1"
    there.write_text(STATE, "epoch 2")
    assert here.read(STATE, text) == "epoch 2"
    bucket.asked.clear()
    assert here.read(STATE, text) == there.read(STATE, text) == "epoch 2"
    assert bucket.asked == [("get", STATE)] * 2  # and both were answered "not modified"


def test_what_is_gone_from_the_store_is_gone_here(bucket: MadeUpStore, here: CachedStore, there: CachedStore) -> None:
    here.write_text(STATE, "epoch 1")
    there.remove(STATE)
    assert bucket.objects == {}
    assert here.read(STATE, text) is None
    assert not here.exists(STATE)
    assert not here.path(STATE).exists()


def test_a_folder_goes_with_all_that_is_in_it_and_nothing_beside(bucket: MadeUpStore, here: CachedStore) -> None:
    for name in ("work/a/1.json", "work/a/b/2.json", "work/ab/3.json"):
        here.write_text(name, "{}")
    here.remove("work/a")
    assert list(bucket.objects) == ["work/ab/3.json"]
    assert not here.path("work/a").exists()
    here.remove("work/a")  # nothing need be there


def test_a_copy_changed_by_others_is_not_taken_for_the_stores(here: CachedStore) -> None:
    here.write_text(STATE, "epoch 1")
    here.path(STATE).write_text("something else")
    assert here.read(STATE, text) == "epoch 1"


def test_a_file_that_cannot_be_read_here_or_there_is_none(bucket: MadeUpStore, here: CachedStore) -> None:
    here.write_text("made/films/all.json", "{")
    assert here.read("made/films/all.json", read_json) is None
    here.write_text("made/films/all.json", "{}")
    assert here.read("made/films/all.json", read_json) == {}


def test_nothing_half_written_is_seen(bucket: MadeUpStore, here: CachedStore, there: CachedStore) -> None:
    def ends_early(path: Path) -> None:
        path.write_text("half of")
        raise RuntimeError("killed")

    here.write_text(STATE, "epoch 1")
    with pytest.raises(RuntimeError, match="killed"):
        here.write(STATE, ends_early)
    bucket.faults = [away()]
    with pytest.raises(StoreUnreachableError):
        here.write_text(STATE, "epoch 2")
    assert here.read(STATE, text) == there.read(STATE, text) == "epoch 1"
    assert list(here.root.rglob(".passing/*")) == []


def test_a_full_disk_here_is_named_and_the_store_keeps_what_it_has(bucket: MadeUpStore, here: CachedStore) -> None:
    def no_room(path: Path) -> None:
        raise OSError(28, "No space left on device")

    here.write_text(STATE, "epoch 1")
    with pytest.raises(DiskFullError):
        here.write(STATE, no_room)
    assert bucket.objects[STATE] == b"epoch 1"


@pytest.mark.parametrize("verb", ["read", "write", "remove", "exists", "files", "stamps", "publish", "at_hand"])
def test_each_verb_goes_on_after_an_absence_and_ends_if_it_lasts(
    bucket: MadeUpStore, here: CachedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    here.write_text(STATE, "epoch 1")
    (tmp_path / "report.html").write_text("report")
    verbs = {
        "read": lambda: here.read(STATE, text),
        "write": lambda: here.write_text(STATE, "epoch 2"),
        "remove": lambda: here.remove(STATE),
        "exists": lambda: here.exists(STATE),
        "files": lambda: here.files("work", "*/*/state.pt"),
        "stamps": lambda: here.stamps([STATE]),
        "publish": lambda: here.publish(tmp_path / "report.html", "reports/index.html"),
        "at_hand": lambda: here.at_hand(STATE),
    }
    for fault in (away(), refusing("InvalidAccessKeyId")):
        bucket.faults = [fault]
        with pytest.raises(
            StoreUnreachableError if fault is not None and "sending" in str(fault) else StoreRefusesError
        ):
            verbs[verb]()
    monkeypatch.setenv("OLVF_STORE_PATIENCE_S", "60")
    bucket.faults = [away(), away()]
    verbs[verb]()
    assert bucket.faults == []


def test_files_are_those_of_the_store_as_paths_for_the_verbs(here: CachedStore, there: CachedStore) -> None:
    for name in ("work/k/1/provenance.json", "work/k/2/provenance.json", "work/k/2/state.json", "work/k/top.json"):
        here.write_text(name, f'{{"a": "{name}"}}')
    found = there.files("work/k", "*/provenance.json")
    assert [path.relative_to(there.root).as_posix() for path in found] == [
        "work/k/1/provenance.json",
        "work/k/2/provenance.json",
    ]
    assert there.read(found[1], read_json) == {"a": "work/k/2/provenance.json"}
    assert [path.name for path in there.files("work/k", "*.json")] == ["top.json"]
    assert there.files("nowhere", "*.json") == []


@pytest.mark.parametrize("beside", [0, 200])
def test_stamps_are_the_same_on_each_machine_and_change_with_the_file(
    bucket: MadeUpStore, here: CachedStore, there: CachedStore, beside: int
) -> None:
    more = [f"images/00/{number}.png" for number in range(beside)]
    relative, _ = here.save_image(PIXELS)
    here.write_text(STATE, "epoch 1")
    asked = [relative, STATE, "work/none", *more]
    before = here.stamps(asked)
    assert before == there.stamps(asked)
    assert before["work/none"] == "absent"
    there.write_text(STATE, "epoch 2")
    after = here.stamps(asked)
    assert {name for name in asked if before[name] != after[name]} == {STATE}


def test_long_work_has_one_folder_on_all_machines(bucket: MadeUpStore, here: CachedStore, there: CachedStore) -> None:
    folder = here.work_folder("detector", {"seed": 1})
    assert there.work_folder("detector", {"seed": 1}).relative_to(there.root) == folder.relative_to(here.root)
    assert bucket.objects[f"work/detector/{folder.name}/provenance.json"] == b'{\n  "seed": 1\n}'


def test_another_process_gets_the_same_store_and_where_it_is_said_another_cache(
    here: CachedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.write_text(STATE, "epoch 1")
    sent = pickle.dumps(here)
    assert pickle.loads(sent).root == here.root
    monkeypatch.setenv("OLVF_CACHE", str(tmp_path / "of another machine"))
    other = pickle.loads(sent)
    assert other.root.is_relative_to(tmp_path / "of another machine")
    assert other.read(STATE, text) == "epoch 1"


def test_lakes_do_not_share_copies(bucket: MadeUpStore, here: CachedStore, tmp_path: Path) -> None:
    here.write_text(STATE, "epoch 1")
    assert CachedStore("s3://bucket/other", tmp_path / "here").root != here.root


def test_report_and_warehouse_are_published(bucket: MadeUpStore, here: CachedStore, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("report")
    here.publish(tmp_path / "index.html", "reports/index.html")
    assert bucket.objects == {"published/reports/index.html": b"report"}


def test_what_was_erased_for_good_stays_in_no_cache(
    bucket: MadeUpStore, here: CachedStore, there: CachedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    relative, _ = here.save_image(PIXELS)
    there.load_image(relative)
    there.let_no_copy_stay()
    assert there.path(relative).exists()
    cached_store._cache_of.cache_clear()  # as the next process begins
    bucket.objects.pop(relative)
    assert there.read(relative, Path.read_bytes) is None
    assert not there.path(relative).exists()
    here.write_text(STATE, "epoch 1")
    cached_store._cache_of.cache_clear()
    assert here.read(STATE, text) == "epoch 1"
    assert here.path(STATE).exists()  # once is enough


def test_whether_a_table_is_there_and_which_version(bucket: MadeUpStore, here: CachedStore) -> None:
    assert not here.tables.is_there("films")
    assert here.tables.version("films") is None
    log = "tables/films.delta/_delta_log"
    bucket.objects["tables/films.delta/part-0.parquet"] = b"rows"
    bucket.objects[f"{log}/_last_checkpoint"] = b"{}"
    assert not here.tables.is_there("films")
    for number in range(3):
        bucket.objects[f"{log}/{number:020}.json"] = b"commit"
    first = here.tables.version("films")
    assert here.tables.is_there("films")
    bucket.objects[f"{log}/{2:020}.json"] = b"another writer's"
    second = here.tables.version("films")
    assert first is not None
    assert second is not None
    assert first[0] == second[0] == f"{2:020}.json"
    assert first != second
    assert not here.tables.is_there("film")


def test_a_path_that_another_machine_gave_is_the_one_here(here: CachedStore, there: CachedStore) -> None:
    folder = here.work_folder("detector", {"seed": 1})
    there.write_text(folder / "state.pt", "epoch 1")
    assert there.path(folder / "state.pt") == there.root / folder.relative_to(here.root) / "state.pt"
    assert there.path(folder / "state.pt").exists()
    assert not (folder / "state.pt").exists()
    assert here.read(folder / "state.pt", text) == "epoch 1"
    with pytest.raises(ValueError, match="is not in the subpath"):
        there.write_text(here.root.parent / "elsewhere", "never")


def test_many_files_are_read_in_order(here: CachedStore, there: CachedStore) -> None:
    names = [f"work/k/{number}.json" for number in range(40)]
    for name in names[::2]:
        here.write_text(name, f'{{"name": "{name}"}}')
    found = there.read_all(names, read_json)
    assert found == [{"name": name} if place % 2 == 0 else None for place, name in enumerate(names)]
