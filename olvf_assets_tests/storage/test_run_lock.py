"""Who holds a data folder, and which runs are alive."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from olvf_assets.storage import run_lock
from olvf_assets.storage.run_lock import (
    DataFolderInUseError,
    DataFolderLockError,
    hold_data_folder,
    is_alive,
    keep_run_lock,
    remove_dead_locks,
)

PROJECT = Path(__file__).parents[2]
HOLDER = """
import signal, sys
from pathlib import Path
from olvf_assets.storage.run_lock import hold_data_folder, keep_run_lock
data = Path(sys.argv[1])
keep_run_lock(data, "other")
with hold_data_folder(data, "other", wait=False):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def other(tmp_path: Path) -> subprocess.Popen[str]:
    """Another process that holds the data folder until it is told, or killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_folder_is_held_for_the_block_and_free_after_it_however_it_ends(tmp_path: Path) -> None:
    def fail_inside() -> None:
        with hold_data_folder(tmp_path, "one", wait=False) as died:
            assert died is None
            with pytest.raises(DataFolderInUseError, match=r"is in use by one \("):
                hold_data_folder(tmp_path, "two", wait=False).__enter__()
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fail_inside()


def test_who_comes_second_is_told_who_holds_the_folder(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    said = rf"is in use by other \(-c.*, process {other.pid} on .*, since .*\); start again when it has ended"
    with pytest.raises(DataFolderInUseError, match=said):
        hold_data_folder(tmp_path, "one", wait=False).__enter__()


def test_who_comes_second_waits_says_so_and_goes_on_when_the_first_has_ended(
    tmp_path: Path, other: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lock, "POLL_S", 0.01)
    lines: list[str] = []

    def told(line: str) -> None:
        lines.append(line)
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()

    with hold_data_folder(tmp_path, "one", wait=True, report=told) as died:
        assert died is None
    assert len(lines) == 1
    assert "is in use by other" in lines[0]
    assert lines[0].endswith("this run waits for its end (with OLVF_WAIT=0 it would give up instead)")


def test_who_waits_is_reminded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock, "POLL_S", 0.001)
    monkeypatch.setattr(run_lock, "REMIND_S", 0.0)
    lines: list[str] = []

    def third_time(line: str) -> None:
        lines.append(line)
        if len(lines) == 3:
            raise KeyboardInterrupt

    with hold_data_folder(tmp_path, "one", wait=False):
        with pytest.raises(KeyboardInterrupt):
            hold_data_folder(tmp_path, "two", wait=True, report=third_time).__enter__()
        with pytest.raises(DataFolderInUseError, match="in use by one"):  # who gave up took nothing away
            hold_data_folder(tmp_path, "two", wait=False).__enter__()


def test_a_killed_holder_lets_go_and_the_next_one_learns_of_it(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    with hold_data_folder(tmp_path, "one", wait=False) as died:
        assert died is not None
        assert (died.run_id, died.pid) == ("other", other.pid)
    with hold_data_folder(tmp_path, "two", wait=False) as died:
        assert died is None


def test_a_run_is_alive_until_its_process_ends(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    assert is_alive(tmp_path, "other")
    assert not is_alive(tmp_path, "never heard of")
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert not is_alive(tmp_path, "other")
    assert not (tmp_path / ".runs" / "other.lock").exists()


def test_locks_of_ended_runs_are_removed_and_no_others(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    keep_run_lock(tmp_path, "one")
    (tmp_path / ".runs" / "ended.lock").write_text("{}")
    remove_dead_locks(tmp_path)
    assert sorted(each.name for each in (tmp_path / ".runs").iterdir()) == [
        "data_folder.lock", "one.lock", "other.lock",
    ]  # fmt: skip


def test_a_run_that_only_waits_is_alive(tmp_path: Path) -> None:
    keep_run_lock(tmp_path, "one")
    keep_run_lock(tmp_path, "one")  # again, as a step process of the same run would
    assert is_alive(tmp_path, "one")
    assert sorted(each.name for each in (tmp_path / ".runs").iterdir()) == ["one.lock"]


def test_a_forked_child_that_outlives_a_killed_run_holds_nothing(tmp_path: Path) -> None:
    forking = HOLDER.replace("print(", "import os\n    if os.fork(): signal.pause()\n    print(")
    process = subprocess.Popen(
        [sys.executable, "-c", forking, str(tmp_path)], cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"  # says the child, which goes on waiting for its input
    process.kill()
    process.wait()
    assert not is_alive(tmp_path, "other")
    with hold_data_folder(tmp_path, "two", wait=False) as died:
        assert died is not None
    process.communicate()


def test_a_spawned_child_that_outlives_the_run_holds_nothing(tmp_path: Path) -> None:
    with hold_data_folder(tmp_path, "one", wait=False):
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False)
    with hold_data_folder(tmp_path, "two", wait=False):
        pass
    child.communicate()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(DataFolderLockError, match=r"cannot lock files .* set OLVF_DATA to a folder on a local disk"):
        hold_data_folder(tmp_path, "one", wait=True).__enter__()


def test_a_lock_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / ".runs").write_text("a file where the folder should be")
    with pytest.raises(DataFolderLockError, match="cannot be opened"):
        hold_data_folder(tmp_path, "one", wait=True).__enter__()


@pytest.mark.parametrize("said", ["", "{", '{"run_id": "one"}', "\0" * 20, "[]"])
def test_a_holder_that_cannot_be_read_is_a_holder_all_the_same(tmp_path: Path, said: str) -> None:
    with hold_data_folder(tmp_path, "one", wait=False):
        (tmp_path / ".runs" / "data_folder.lock").write_text(said)
        with pytest.raises(DataFolderInUseError, match="a run that has not said its name"):
            hold_data_folder(tmp_path, "two", wait=False).__enter__()


def test_the_lock_says_who_for_programs_too(tmp_path: Path) -> None:
    with hold_data_folder(tmp_path, "one", wait=False):
        said = json.loads((tmp_path / ".runs" / "data_folder.lock").read_text())
    assert set(said) == {"run_id", "pid", "host", "command", "since"}
    assert (said["run_id"], said["pid"]) == ("one", os.getpid())


def test_two_threads_of_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    refused: list[bool] = []

    def second() -> None:
        try:
            hold_data_folder(tmp_path, "two", wait=False).__enter__()
        except DataFolderInUseError:
            refused.append(True)

    with hold_data_folder(tmp_path, "one", wait=False):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert refused == [True]
