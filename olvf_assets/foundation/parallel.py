"""Work spread over processes.

What lives here: one ordered parallel map, and how its processes start. They are spawned, never forked: polars and torch
hold locks in threads. What does not: where work runs when it runs elsewhere (`engine.py`).
"""

import multiprocessing
import os
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import closing, contextmanager
from itertools import islice
from multiprocessing.connection import wait
from pathlib import Path
from types import ModuleType
from typing import Any

from olvf_assets.foundation.engine import FILMS, Needs, engine

PROGRESS_STEPS = 10
TICK_S = 10.0
LENT = "OLVF_CORES_LENT"  # to a worker of an engine, for the work that it does now


def available_cores() -> int:
    """Return how many cores this process may use."""
    return int(os.environ.get(LENT) or len(os.sched_getaffinity(0)))


def limit_threads(count: int = 1) -> None:
    """Keep a worker process to `count` threads, so that workers do not fight over cores."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(count)
    try:
        import cv2
    except ImportError:
        return
    cv2.setNumThreads(count)


def _start_worker() -> None:
    limit_threads()
    end_with_parent()


@contextmanager
def without_the_program() -> Iterator[None]:
    """Let processes that are spawned meanwhile import what they are asked to do, not the program that runs here, too.

    Python has each import the main module once more, in case what is asked of it is defined there. Where that is an
    installed program (`dagster`, whose command line takes a second) nothing of ours is; a script's functions may be.
    """
    main = sys.modules["__main__"]
    if not _is_installed(main):
        yield
        return
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _is_installed(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    folders = {sysconfig.get_path(name) for name in ("scripts", "purelib", "platlib")}
    return file is not None and any(Path(file).absolute().is_relative_to(folder) for folder in folders)


def end_with_parent() -> None:
    """End this worker when the process that started it is killed: it would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def parallel_map(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    workers: int = 0,
    needs: Needs = FILMS,
    what: str = "items",
    report: Callable[[str], None] | None = None,
    tick: Callable[[], None] | None = None,
) -> list[Any]:
    """Return `[function(item) for item in items]`, in order, computed by spawned processes or workers of a cluster.

    Args:
        function: a module-level (picklable) function of one argument.
        items: its arguments.
        workers: processes; 0 means one per core, 1 (or fewer than two items) means this very process. On a cluster as
            many at a time, 0 means as many as it has room for.
        needs: of each item. On a cluster a single one that needs a GPU is not left to this process.
        what: the plural noun for the progress line.
        report: called with a line such as "40/200 films" ten times along the way.
        tick: called about every ten seconds while other processes work, to look at what they have written.
    """
    todo: Sequence[Any] = list(items)
    remote = engine() if todo and not needs.here and (needs.gpu or (len(todo) > 1 and workers != 1)) else None
    if remote is not None:
        with closing(remote.results(function, todo, needs, most=workers, tick=tick)) as results:
            return list(reported(results, len(todo), what, report))
    count = min(workers or available_cores(), len(todo))
    if count <= 1:
        return list(reported(map(function, todo), len(todo), what, report))
    pool = ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker)
    with pool:
        with without_the_program():
            futures = [pool.submit(function, item) for item in todo]
        try:
            return list(reported((_result(each, tick) for each in futures), len(todo), what, report))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # what has not begun never does
            raise


def _result(future: Future[Any], tick: Callable[[], None] | None) -> Any:
    while tick is not None and not wait_for([future], timeout=TICK_S).done:
        tick()
    return future.result()


def at_most_every(seconds: float, tick: Callable[[], None]) -> Callable[[], None]:
    """Return a function that calls `tick` unless it did so less than `seconds` ago."""
    last = time.monotonic()

    def now_and_then() -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            tick()
            last = time.monotonic()

    return now_and_then


def reported(results: Iterable[Any], total: int, what: str, report: Callable[[str], None] | None) -> Iterable[Any]:
    """Yield the results, and call `report` with a line such as "40/200 films" ten times along the way."""
    results = iter(results)
    step = max(1, -(-total // PROGRESS_STEPS))
    done = 0
    while chunk := list(islice(results, step)):
        yield from chunk
        done += len(chunk)
        if report is not None:
            report(f"{done}/{total} {what}")
