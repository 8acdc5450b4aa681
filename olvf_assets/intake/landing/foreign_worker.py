"""A process in which foreign files are read, and the pipe to it.

What lives here: starting, using and ending such a process, its limit of memory, and how what happens in it is told.
What does not: which files are given to it and what becomes of those it dies on (`foreign`).
"""

import multiprocessing
import pickle
import signal
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from olvf_assets.foundation.errors import MachineError, OlvfError, SystemFaultError, is_of_the_machine
from olvf_assets.foundation.parallel import end_with_parent, limit_threads, without_the_program

IDLE_S = 120.0
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
LONGEST_START_S = 300.0  # of a process on a busy machine: Python and the libraries that the function needs


class Refusal(NamedTuple):
    """Why a foreign file could not be read: a code and words for the technologist. Never repeats what the file says."""

    reason: str
    detail: str


_IDLE: list["Worker"] = []


class Worker:
    """One process that reads, and the pipe to it."""

    def __init__(self, memory_bytes: int) -> None:
        context = multiprocessing.get_context("spawn")  # never forked: polars holds locks in threads
        self.memory_bytes = memory_bytes
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, memory_bytes), daemon=True)
        with without_the_program():
            self.process.start()
        theirs.close()
        self.batch: deque[int] = deque()
        self.ready = False
        self.deadline = 0.0

    def give(self, function: Callable[[Any], Any], batch: list[int], items: list[Any]) -> None:
        """Hand over some items; a worker that is gone shows when it is listened to."""
        self.batch = deque(batch)
        self.ready, self.deadline = False, time.monotonic() + LONGEST_START_S
        try:
            self.connection.send((function, items))
        except (BrokenPipeError, ConnectionResetError):
            return

    def end(self) -> str:
        """End the process if it still runs, and return in words how it ended."""
        self.connection.close()
        self.process.join(timeout=0.5)  # one that closed its pipe is about to be gone; its status says why
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        status = self.process.exitcode or 0
        if status < 0:
            return f"was ended by {signal.Signals(-status).name}"
        return f"ended with status {status}"

    def rest(self) -> None:
        """Keep the process for whoever reads next."""
        _IDLE.append(self)


def ready_worker(memory_bytes: int) -> Worker:
    """Return a worker with this limit, an idle one if there is any."""
    for worker in list(_IDLE):
        if not worker.process.is_alive():
            _IDLE.remove(worker)
            worker.end()
        elif worker.memory_bytes == memory_bytes:
            _IDLE.remove(worker)
            return worker
    return Worker(memory_bytes)


def _work(connection: Connection, memory_bytes: int) -> None:
    """Read what comes through the pipe until nothing comes any more."""
    limit_threads()
    end_with_parent()
    _keep_freed_memory()
    while connection.poll(IDLE_S):
        try:
            function, items = connection.recv()
        except EOFError:
            return
        connection.send(("ready", None))
        _limit_memory(memory_bytes)  # with the function came its module: what its imports take is not the file's
        for item in items:
            connection.send_bytes(_answer(function, item, memory_bytes))


def _answer(function: Callable[[Any], Any], item: Any, memory_bytes: int) -> bytes:
    """Return, pickled, what the function makes of an item, or how it failed."""
    try:
        return pickle.dumps(("said", function(item)))
    except MachineError as error:
        return _pickled("machine", error)
    except OlvfError as error:
        return _pickled("said", error)
    except MemoryError:
        said = Refusal("too_much_memory", f"reading it takes more than {memory_bytes >> 20} MiB of memory")
    except OSError as error:
        if is_of_the_machine(error):
            # the name of the file stays out: it may be a patient's
            return _pickled("machine", SystemFaultError(f"a file could not be read or written: {error.strerror}"))
        said = Refusal("unreadable", f"the file cannot be opened ({type(error).__name__})")
    except RecursionError:
        said = Refusal("not_understood", "its parts are nested too deep")
    except BaseException as error:  # a panic of a library in Rust is no Exception
        # The text of the error is not repeated: it may quote the file, and so a patient.
        said = Refusal("not_understood", f"its content breaks the program that reads it ({type(error).__name__})")
    return pickle.dumps(("said", said))


def _pickled(kind: str, error: OlvfError) -> bytes:
    try:
        whole = pickle.dumps((kind, error))
        pickle.loads(whole)
    except Exception:  # an exception whose arguments are not those of its class cannot travel
        family = MachineError if isinstance(error, MachineError) else OlvfError
        return pickle.dumps((kind, family(str(error))))
    return whole


def _keep_freed_memory() -> None:
    """Let the allocator keep what one film frees for the next: else every array costs the kernel fresh, zeroed pages.

    glibc alone (mallopt(3)); decoding a film takes a third less time so.
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
        mallopt(M_TRIM_THRESHOLD, 512 << 20)


def _limit_memory(memory_bytes: int) -> None:
    """Limit the memory that this process may still take, where the system can (Linux counts it in RLIMIT_DATA)."""
    try:
        import resource

        with open("/proc/self/status", encoding="ascii") as status:
            now = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData:"))
    except (ImportError, OSError, StopIteration):
        return
    resource.setrlimit(resource.RLIMIT_DATA, (now + memory_bytes, resource.RLIM_INFINITY))
