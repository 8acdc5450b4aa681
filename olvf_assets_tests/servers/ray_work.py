"""What the tests of a cluster have done there: module-level, so that it travels by its name."""

import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from olvf_assets.foundation.engine import TRAINING
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.parallel import available_cores, parallel_map


class OddRowError(OlvfError):
    """Takes other arguments than it holds."""

    def __init__(self, file: str, row: int) -> None:
        super().__init__(f"{file}, row {row}: odd")
        self.row = row


def squared(number: int) -> int:
    if number < 0:
        raise OddRowError("readers.csv", number)
    return number**2


def held_to(_: object) -> dict[str, Any]:
    """Return how many cores a worker's libraries use, what torch computes on, and where the worker is."""
    import torch
    from threadpoolctl import threadpool_info

    threads = {each["num_threads"] for each in threadpool_info()} | {torch.get_num_threads()}
    return {
        "cores": available_cores(),
        "threads": max(threads),
        "gpu": torch.cuda.is_available(),
        "lent": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }


def address(seconds: float) -> str:
    """Return where a worker is, after a while."""
    import ray

    threading.Event().wait(seconds)
    return str(ray.util.get_node_ip_address())


def spoken(count: int, report: Callable[[str], None], observe: Callable[[dict[str, Any]], None]) -> int:
    for number in range(count):
        report(f"line {number} of process {os.getpid() == 0}")
        observe({"figure": number})
    return count


def for_ever(file: str) -> None:
    """Write a line every twentieth of a second."""
    while True:
        with Path(file).open("a") as opened:
            opened.write(f"{socket.gethostname()} {os.getpid()}\n")
        threading.Event().wait(0.05)


def killed(attempts: str) -> str:
    """End the worker as the kernel does when memory is short, the first two times."""
    file = Path(attempts)
    with file.open("a") as opened:
        opened.write("x")
    if len(file.read_text()) < 3:
        os.kill(os.getpid(), 9)
    return file.read_text()


def always_killed(_: object) -> None:
    os.kill(os.getpid(), 9)


if __name__ == "__main__":
    parallel_map(for_ever, sys.argv[1:], needs=TRAINING)
