"""Pictures by content, work by fingerprint, and nothing half-written."""

import errno
from pathlib import Path

import numpy as np
import pytest

from olvf_assets.foundation import artifacts
from olvf_assets.foundation.artifacts import ArtifactStore, DiskFullError, fingerprint, write_atomically
from olvf_assets.foundation.parallel import parallel_map
from olvf_assets.foundation.seeds import derive_seed


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
    with pytest.raises(FileNotFoundError, match=r"images/00/none\.png"):
        ArtifactStore(tmp_path).load_image("images/00/none.png")


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
    with pytest.raises(RuntimeError, match="unexpected pos"):
        write_atomically(state, no_room_by_torch)
    monkeypatch.setattr(artifacts, "_free_bytes", lambda path: 0)
    with pytest.raises(DiskFullError, match=r"state\.pt"):
        write_atomically(state, no_room_by_torch)
    assert state.read_text() == "whole"
    assert [each.name for each in tmp_path.iterdir()] == ["state.pt"]
