import os
import socket
from pathlib import Path

import pytest

from olvf_assets.intake.landing import landing_walk
from olvf_assets.intake.landing.landing_walk import walk_landing
from olvf_assets_tests.intake.landing.test_archives import packed


def states(folder: Path, unopened: str = "nothing") -> dict[str, tuple[str, str | None]]:
    found = walk_landing(folder, lambda path: path.startswith(unopened))
    return {file.path: (file.state, file.reason) for file in found}


def write(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"12")
    return folder


def test_every_path_is_listed_once_with_a_state(tmp_path: Path) -> None:
    write(tmp_path, "a/b/one.dcm", "a/.hidden/two.dcm", "three.dcm.part", "four~", "~$subjects.xlsx", "Thumbs.db")
    assert states(tmp_path) == {
        "a/b/one.dcm": ("arrived", None),
        "a/.hidden/two.dcm": ("ignored", "hidden"),
        "three.dcm.part": ("ignored", "half_copied"),
        "four~": ("ignored", "backup_copy"),
        "~$subjects.xlsx": ("ignored", "of_the_system"),
        "Thumbs.db": ("ignored", "of_the_system"),
    }


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    store = write(tmp_path / "store", "patient/one.dcm", "two.dcm")
    folder = write(tmp_path / "landing", "three.dcm")
    (folder / "films").symlink_to(store)
    (folder / "four.dcm").symlink_to(store / "two.dcm")
    (store / "patient" / "back").symlink_to(store)
    (store / "self").symlink_to("self")
    assert states(folder) == {
        "films/patient/one.dcm": ("arrived", None),
        "films/two.dcm": ("arrived", None),
        "films/patient/back/": ("ignored", "link_to_above"),
        "films/self": ("refused", "broken_link"),
        "three.dcm": ("arrived", None),
        "four.dcm": ("arrived", None),
    }


def test_a_link_to_nothing_a_pipe_and_a_socket_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone.dcm").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.dcm")
    monkeypatch.chdir(tmp_path)  # the path of a socket may have 100 characters at most
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.dcm")
        assert states(tmp_path) == {
            "gone.dcm": ("refused", "broken_link"),
            "pipe.dcm": ("refused", "no_file"),
            "socket.dcm": ("refused", "no_file"),
        }


def test_what_this_user_may_not_read_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "mine.dcm", "locked/one.dcm", "theirs.dcm")
    really_list, really_may = os.scandir, os.access

    def scandir(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return really_list(path)

    # Tests may run as root, whom no mode of a file keeps out.
    monkeypatch.setattr(landing_walk.os, "scandir", scandir)
    monkeypatch.setattr(landing_walk.os, "access", lambda path, mode: "theirs" not in path and really_may(path, mode))
    assert states(tmp_path) == {
        "mine.dcm": ("arrived", None),
        "locked/": ("refused", "unreadable_folder"),
        "theirs.dcm": ("refused", "unreadable"),
    }


def test_an_archive_stands_beside_its_members_each_with_its_own_state(tmp_path: Path) -> None:
    packed(tmp_path / "a.zip", {"d/one": b"1", "d/two": b"2", "__MACOSX/d/._one": b"3"})
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for beginning, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(beginning) + method] = 9
    (tmp_path / "a.zip").write_bytes(content)
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    packed(tmp_path / "empty.zip", {})
    (tmp_path / "boxes").mkdir()
    packed(tmp_path / "boxes" / "b.zip", {"one.txt": b""})
    assert states(tmp_path, "boxes") == {
        "a.zip": ("archive", None),
        "a.zip/d/one": ("refused", "unsupported_compression"),
        "a.zip/d/two": ("arrived", None),
        "a.zip/__MACOSX/d/._one": ("ignored", "of_the_system"),
        "broken.zip": ("refused", "broken_archive"),
        "empty.zip": ("refused", "archive_not_opened"),
        "boxes/b.zip": ("refused", "archive_not_opened"),
    }


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert walk_landing(tmp_path / "nowhere") == []
