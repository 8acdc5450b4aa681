"""Pictures by content, work by fingerprint, and nothing half-written."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from olvf_assets.foundation import write_faults
from olvf_assets.foundation.parallel import parallel_map
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.write_faults import DiskFullError, WriteFaultError, write_fault
from olvf_assets.storage.artifacts import (
    ArtifactStore,
    DamagedPictureError,
    UnreadableStoreError,
    fingerprint,
    read_if_whole,
    read_json,
    remove_partials,
    write_atomically,
)


def test_a_picture_comes_back_as_it_was_and_is_stored_once(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert store.save_image(pixels) == store.save_image(pixels.copy())
    relative, _ = store.save_image(pixels)
    np.testing.assert_array_equal(store.load_image(relative), pixels)
    assert len(list(tmp_path.rglob("*.png"))) == 1


def test_pictures_of_equal_bytes_but_other_shape_are_two(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    pixels = np.zeros((2, 6), np.uint8)
    assert store.save_image(pixels)[1] != store.save_image(pixels.reshape(3, 4))[1]


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(DamagedPictureError, match=r"images/00/none\.png was missing.* start the same command again"):
        ArtifactStore(tmp_path).load_image("images/00/none.png")


TEARS = {
    "empty": lambda whole: b"",
    "cut": lambda whole: whole[: len(whole) // 2],
    "end lost": lambda whole: whole[:-1],
    "zeros": lambda whole: bytes(len(whole)),
    "zeros at the end": lambda whole: whole[:-100] + bytes(100),
}


@pytest.mark.parametrize("tear", TEARS.values(), ids=TEARS.keys())
def test_a_picture_that_a_power_cut_tore_is_written_again(tmp_path: Path, tear: Callable[[bytes], bytes]) -> None:
    store = ArtifactStore(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20), np.uint8)
    relative, _ = store.save_image(pixels)
    file = store.path(relative)
    whole = file.read_bytes()
    file.write_bytes(tear(whole))
    assert not store.has_image(relative)
    assert store.save_image(pixels)[0] == relative
    assert file.read_bytes() == whole


@pytest.mark.parametrize("place", [60, 200, -20])
def test_a_picture_with_one_wrong_byte_inside_is_named_and_heals(tmp_path: Path, place: int) -> None:
    store = ArtifactStore(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20), np.uint8)
    relative, _ = store.save_image(pixels)
    file = store.path(relative)
    damaged = bytearray(file.read_bytes())
    damaged[place] ^= 0xFF
    file.write_bytes(bytes(damaged))
    with pytest.raises(DamagedPictureError, match=r"\.png was missing or damaged"):
        store.load_image(relative)
    store.save_image(pixels)
    np.testing.assert_array_equal(store.load_image(relative), pixels)


def test_a_whole_picture_of_other_pixels_is_not_taken_for_the_one_asked_for(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    asked, _ = store.save_image(np.zeros((3, 4), np.uint8))
    other, _ = store.save_image(np.ones((3, 4), np.uint8))
    store.path(asked).write_bytes(store.path(other).read_bytes())
    with pytest.raises(DamagedPictureError):
        store.load_image(asked)


def test_a_picture_that_may_not_be_read_is_left_alone_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore(tmp_path)
    relative, _ = store.save_image(np.zeros((3, 4), np.uint8))
    monkeypatch.setattr(Path, "read_bytes", locked)  # root, whom the tests may run as, reads everything
    with pytest.raises(UnreadableStoreError, match=r"may not be read by this user"):
        store.load_image(relative)
    assert store.path(relative).is_file()


def locked(path: Path) -> bytes:
    raise PermissionError(errno.EACCES, "Permission denied", str(path))


@pytest.mark.parametrize("torn", ["", "{", '{"a": 1', "\0\0\0\0", "[1, 2]", "null", "\ufeff"])
def test_a_torn_record_counts_as_absent(tmp_path: Path, torn: str) -> None:
    record = tmp_path / "record.json"
    assert read_if_whole(record, read_json) is None
    record.write_text(torn)
    assert read_if_whole(record, read_json) is None
    record.write_bytes(b"\xff\xfe\x00")
    assert read_if_whole(record, read_json) is None


def test_a_file_is_on_the_disk_before_it_bears_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    sync, replace = os.fsync, os.replace

    def note_sync(descriptor: int) -> None:
        steps.append("sync " + Path(f"/proc/self/fd/{descriptor}").resolve().name.split("-")[0])
        sync(descriptor)

    def note_replace(old: Path, new: Path) -> None:
        steps.append(f"rename to {new.name}")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    write_atomically(tmp_path / "folder" / "a.json", lambda path: path.write_text("{}"))
    assert steps == ["sync .partial", "rename to a.json", "sync folder"]


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.EACCES])
def test_a_disk_that_refuses_is_a_fault_of_the_machine(tmp_path: Path, number: int) -> None:
    def refuse(path: Path) -> None:
        raise OSError(number, "refused")

    with pytest.raises(WriteFaultError, match=r"a\.json could not be written \(.*start the same command again"):
        write_atomically(tmp_path / "a.json", refuse)


def test_what_killed_runs_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / "images" / "00").mkdir(parents=True)
    for name in (".partial-1.png", "whole.png"):
        (tmp_path / "images" / "00" / name).write_bytes(b"x")
    assert remove_partials(tmp_path) == 1
    assert [each.name for each in (tmp_path / "images" / "00").iterdir()] == ["whole.png"]


@pytest.mark.parametrize("torn", ["", "{", "\0\0"])
def test_the_record_of_work_is_written_again_when_it_is_torn(tmp_path: Path, torn: str) -> None:
    store = ArtifactStore(tmp_path)
    record = store.work_folder("training", {"seed": 1}) / "provenance.json"
    record.write_text(torn)
    store.work_folder("training", {"seed": 1})
    assert read_json(record) == {"seed": 1}


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def half_write(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_atomically(path, half_write)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("file.txt", "old")]


def test_work_is_found_again_only_for_the_same_inputs(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    folder = store.work_folder("training", {"seed": 1, "epochs": 2})
    assert store.work_folder("training", {"epochs": 2, "seed": 1}) == folder
    assert store.work_folder("training", {"epochs": 3, "seed": 1}) != folder
    assert (folder / "provenance.json").exists()


def test_a_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})


def test_seeds_depend_on_every_name_and_on_their_borders() -> None:
    seeds = {derive_seed(1, "a", "bc"), derive_seed(1, "ab", "c"), derive_seed(2, "a", "bc"), derive_seed(1, "a", 0)}
    assert len(seeds) == 4
    assert derive_seed(1, "a", "bc") == derive_seed(1, "a", "bc")


def test_parallel_work_keeps_the_order_and_reports() -> None:
    lines: list[str] = []
    assert parallel_map(abs, [-3, -2, -1, 0], workers=2, what="numbers", report=lines.append) == [3, 2, 1, 0]
    assert lines == ["1/4 numbers", "2/4 numbers", "3/4 numbers", "4/4 numbers"]


def no_room(path: Path) -> None:
    path.write_text("half")
    raise OSError(errno.ENOSPC, "No space left on device")


def no_room_by_torch(path: Path) -> None:
    path.write_text("half")
    raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0")


def test_a_full_disk_is_named_and_what_was_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "state.pt"
    state.write_text("whole")
    with pytest.raises(DiskFullError, match=r"state\.pt could not be written: no room.*OLVF_DATA"):
        write_atomically(state, no_room)
    with pytest.raises(WriteFaultError, match=r"state\.pt could not be written"):
        write_atomically(state, no_room_by_torch)
    monkeypatch.setattr(write_faults, "_free_bytes", lambda path: 0)
    with pytest.raises(DiskFullError, match=r"state\.pt"):
        write_atomically(state, no_room_by_torch)
    assert state.read_text() == "whole"
    assert [each.name for each in tmp_path.iterdir()] == ["state.pt"]


@pytest.mark.parametrize(
    "error",
    [
        OSError("16270 requested and 0 written"),
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 241472 vs 241376"),
        RuntimeError("FATAL Error: fsync failed!"),
    ],
)
def test_writers_that_do_not_tell_the_system_s_reason_are_understood(tmp_path: Path, error: Exception) -> None:
    assert isinstance(write_fault(tmp_path / "file", error), WriteFaultError)
    assert write_fault(tmp_path / "file", ValueError("something else")) is None
