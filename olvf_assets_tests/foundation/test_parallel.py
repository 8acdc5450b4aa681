"""Work spread over processes."""

import operator
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

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
