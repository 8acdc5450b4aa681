"""Work spread over processes."""

import operator
import os
import select
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

from olvf_assets.foundation import parallel
from olvf_assets.foundation.parallel import parallel_map

PROJECT = Path(__file__).parents[2]
# Each worker holds the pipe open until it ends.
PARENT = """
import os, sys
from olvf_assets.foundation.parallel import parallel_map
from olvf_assets_tests.foundation.test_parallel import hold
if __name__ == "__main__":
    parallel_map(hold, [sys.argv[1]] * 2, workers=2)
"""


def hold(pipe: str) -> None:
    with open(pipe, "w") as held:
        held.write("s")
        held.flush()
        signal.pause()


def test_results_come_in_the_order_of_the_items_with_any_number_of_workers() -> None:
    items = list(range(23))
    lines: list[str] = []
    assert parallel_map(operator.neg, items, workers=1) == [-each for each in items]
    assert parallel_map(operator.neg, items, workers=2, what="numbers", report=lines.append) == [
        -each for each in items
    ]
    assert lines[0] == "3/23 numbers"
    assert lines[-1] == "23/23 numbers"


def test_workers_end_when_the_process_that_started_them_is_killed(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script), str(pipe)], env=environment)
    started = b""
    while started != b"ss":
        select.select([reader], [], [], 60)
        started += os.read(reader, 2)
        assert parent.poll() is None
    parent.kill()
    parent.wait()
    select.select([reader], [], [], 60)
    assert os.read(reader, 1) == b""  # the end of the pipe: no worker holds it any more
    os.close(reader)


def test_the_parent_looks_around_while_others_work(tmp_path: Path, monkeypatch) -> None:
    """Each worker reads from a pipe that the parent writes to when it ticks."""
    monkeypatch.setattr(parallel, "TICK_S", 0.01)
    pipes = [tmp_path / name for name in "ab"]
    for pipe in pipes:
        os.mkfifo(pipe)
    waiting = list(pipes)

    def tick() -> None:
        if waiting:
            waiting.pop(0).write_text("seen")

    assert parallel_map(Path.read_text, pipes, workers=2, tick=tick) == ["seen", "seen"]
    assert waiting == []


@pytest.mark.parametrize("folder", ["scripts", "purelib"])
def test_workers_do_not_import_the_installed_program_that_started_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    program = ModuleType("__main__")
    program.__file__ = str(tmp_path / "environment" / "program")
    (tmp_path / "environment").mkdir()
    (tmp_path / "environment" / "program").write_text("raise SystemExit('imported by a worker')\n")
    paths = {**sysconfig.get_paths(), folder: str(tmp_path / "environment")}
    monkeypatch.setattr(sysconfig, "get_path", paths.__getitem__)
    monkeypatch.setitem(sys.modules, "__main__", program)
    assert parallel_map(operator.neg, [1, 2], workers=2) == [-1, -2]
    assert sys.modules["__main__"] is program


def test_a_script_may_ask_for_what_it_defines(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from olvf_assets.foundation.parallel import parallel_map\n"
        "def twice(n):\n    return 2 * n\n"
        "if __name__ == '__main__':\n    print(parallel_map(twice, [1, 2], workers=2))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    ran = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout == "[2, 4]\n"


def test_the_program_is_there_again_when_a_start_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    program = sys.modules["__main__"]
    monkeypatch.setattr(parallel, "_is_installed", lambda module: True)
    hidden = parallel.without_the_program()
    hidden.__enter__()
    assert sys.modules["__main__"] is not program
    with pytest.raises(OSError, match="no process"):
        hidden.gen.throw(OSError("no process"))  # type: ignore[attr-defined]
    assert sys.modules["__main__"] is program
