import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from olvf_assets.foundation.errors import MachineError, OlvfError, SystemFaultError
from olvf_assets.intake.landing.foreign import Limits, Refusal, RefusedFileError, call_apart, read_apart
from olvf_assets.storage.artifacts import ArtifactStore

SMALL = Limits(memory_bytes=256 << 20, seconds=0.5)


class TwoArgumentsError(OlvfError):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


def fail(error: Exception) -> object:
    raise error


def deeper(depth: int) -> int:
    return deeper(depth + 1) + 1


def forever() -> None:
    while True:
        pass


DOES: dict[object, Callable[[], object]] = {
    "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "exit": lambda: os._exit(3),
    "memory": lambda: len(bytes(1 << 30)),
    "endless": forever,
    "deep": lambda: deeper(0),
    "quotes": lambda: fail(KeyError("YAMADA HANAKO")),
    "on purpose": lambda: fail(OlvfError("row 3 is empty")),
    "two arguments": lambda: fail(TwoArgumentsError("this", "that")),
    "gone": lambda: fail(FileNotFoundError(errno.ENOENT, "no such file", "YAMADA.dcm")),
    "full": lambda: fail(OSError(errno.ENOSPC, "No space left on device", "YAMADA.dcm")),
    "bad disk": lambda: fail(OSError(errno.EIO, "Input/output error")),
    "machine": lambda: fail(MachineError("the key is not readable")),
}


def read(item: object) -> object:
    return DOES[item]() if item in DOES else item


@pytest.mark.parametrize(
    ("item", "reason", "said"),
    [
        ("crash", "reader_died", "SIGSEGV"),
        ("exit", "reader_died", "status 3"),
        ("memory", "too_much_memory", "256 MiB"),
        ("endless", "took_too_long", "s"),
        ("deep", "not_understood", "nested too deep"),
        ("quotes", "not_understood", "KeyError"),
        ("gone", "unreadable", "FileNotFoundError"),
    ],
)
def test_whatever_a_file_does_costs_that_file_alone(item: str, reason: str, said: str) -> None:
    before, answer, after = read_apart(read, [1, item, 2], limits=SMALL)
    assert (before, after) == (1, 2)
    assert isinstance(answer, Refusal)
    assert answer.reason == reason
    assert said in answer.detail
    assert "YAMADA" not in answer.detail


def test_answers_keep_their_order_over_many_workers_and_deaths() -> None:
    items = [each for number in range(60) for each in (number, "crash" if number % 20 == 7 else number)]
    answers = read_apart(read, items, workers=2, limits=SMALL)
    assert [each.reason if isinstance(each, Refusal) else each for each in answers] == [
        "reader_died" if each == "crash" else each for each in items
    ]


def test_what_a_reader_says_on_purpose_comes_back_as_it_was_said() -> None:
    said, cannot_travel, last = read_apart(read, ["on purpose", "two arguments", 1])
    assert (type(said), str(said)) == (OlvfError, "row 3 is empty")
    assert (type(cannot_travel), str(cannot_travel)) == (OlvfError, "this and that")
    assert last == 1


@pytest.mark.parametrize(
    ("item", "said"), [("full", "No space left"), ("bad disk", "Input/output"), ("machine", "key")]
)
def test_a_fault_of_the_machine_ends_the_reading_and_names_no_file(item: str, said: str) -> None:
    with pytest.raises(MachineError, match=said) as error:
        read_apart(read, [1, item, 2])
    assert "YAMADA" not in str(error.value)


def test_a_call_apart_returns_raises_what_was_meant_and_refuses_the_rest() -> None:
    assert call_apart(max, 1, 3, 2, what="numbers") == 3
    with pytest.raises(OlvfError, match="row 3 is empty"):
        call_apart(read, "on purpose", what="the sheet")
    with pytest.raises(RefusedFileError, match="the sheet: the program that reads such files was ended by SIGSEGV"):
        call_apart(read, "crash", what="the sheet")


def test_what_was_refused_once_is_not_tried_again_until_it_changes(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    with pytest.raises(RefusedFileError, match="SIGSEGV"):
        call_apart(read, "crash", what="the sheet", store=store, remember="content 1")
    with pytest.raises(RefusedFileError, match=r"SIGSEGV.*tried before"):
        call_apart(read, "this would be read", what="the sheet", store=store, remember="content 1")
    assert call_apart(read, "this is read", what="the sheet", store=store, remember="content 2") == "this is read"
    (tmp_path / "content 1").write_bytes(b"")  # a torn record counts as none
    assert call_apart(read, "this is read", what="the sheet", store=store, remember="content 1") == "this is read"


def dies_once(mark: str) -> str:
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "read"


def test_a_worker_that_someone_kills_costs_no_file(tmp_path: Path) -> None:
    assert read_apart(dies_once, [str(tmp_path / "mark")]) == ["read"]


def pid(_: object) -> int:
    return os.getpid()


def test_workers_stay_for_the_next_files_and_never_are_this_process() -> None:
    (first,), (second,) = read_apart(pid, [0]), read_apart(pid, [0])
    assert first == second != os.getpid()
    os.kill(first, signal.SIGKILL)
    (third,) = read_apart(pid, [0])  # an idle worker that is gone is nobody's fault
    assert third not in (first, os.getpid())


def late(seconds: float) -> float:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return seconds


def test_the_time_limit_is_of_one_file_not_of_all() -> None:
    assert read_apart(late, [0.2] * 5, limits=SMALL) == [0.2] * 5


class NeverLoads:
    def __reduce__(self) -> tuple[object, ...]:
        return (os._exit, (4,))

    def __call__(self, item: object) -> object:
        return item


def test_a_machine_that_cannot_start_a_worker_is_no_fault_of_a_file() -> None:
    with pytest.raises(SystemFaultError, match="no process to read files with"):
        read_apart(NeverLoads(), [1])
