"""The boundary behind which every foreign file is read.

What lives here: handing what a hospital sent to worker processes with a limit of memory and of time, where it is parsed
and decoded. What does not: the processes themselves (`foreign_worker`), any format.

Whatever a file does there (an exception of any type, memory, an endless loop, a crash of the decoder) becomes its
`Refusal`. Faults of the machine (`MachineError`, a full or failing disk) end the run instead. Workers stay for the next
files, since starting one takes over a second, and end when they were idle for a while or their parent is gone.
"""

import pickle
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NamedTuple

from olvf_assets.foundation.errors import OlvfError, SystemFaultError
from olvf_assets.foundation.parallel import available_cores, reported
from olvf_assets.intake.landing.foreign_worker import LONGEST_START_S, Refusal, Worker, ready_worker
from olvf_assets.storage.artifacts import ArtifactStore

__all__ = ["LIMITS", "Limits", "Refusal", "RefusedFileError", "call_apart", "read_apart"]

# The largest film that is taken (10,000 x 10,000 pixels of 16 bit, compressed) needs 1.6 GiB to decode and window.
LARGEST_MEMORY_BYTES = 2 << 30
# The largest film takes 10 s on a slow core.
LONGEST_S = 120.0
LARGEST_BATCH = 32  # files a worker is given at a time; it answers file by file
BATCHES_EACH = 8  # so that no worker is left with much while the others are done
MOST_FAILED_STARTS = 5
TRIES = 2  # a worker may die of something else once (killed by hand, by a machine short of memory)


class RefusedFileError(OlvfError):
    """A file that a hospital cannot do without was refused by the boundary."""


class Limits(NamedTuple):
    """What reading one file may cost.

    Attributes:
        memory_bytes: above what a worker has when it starts.
        seconds: by the clock on the wall.
    """

    memory_bytes: int = LARGEST_MEMORY_BYTES
    seconds: float = LONGEST_S


LIMITS = Limits()


def read_apart(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    workers: int = 1,
    limits: Limits = LIMITS,
    what: str = "files",
    report: Callable[[str], None] | None = None,
) -> list[Any]:
    """Return `[function(item) for item in items]`, in order, read by workers; a `Refusal` stands for what failed.

    An `OlvfError` of the function (what it says on purpose) is returned in its item's place, too, as the exception that
    it is.

    Args:
        function: a module-level (picklable) function of one argument.
        items: its arguments, one foreign file each.
        workers: processes; 0 means one per core.
        limits: of one item.
        what: the plural noun for the progress line.
        report: called with a line such as "40/200 films" ten times along the way.

    Raises:
        MachineError: the function raised one, or an `OSError` that is the machine's.
    """
    todo = list(items)
    reading = _Reading(function, todo, limits)
    count = max(1, min(workers or available_cores(), len(todo)))
    return list(reported(reading.answers(count), len(todo), what, report))


def call_apart(
    function: Callable[..., Any],
    *arguments: Any,
    limits: Limits = LIMITS,
    what: str,
    store: ArtifactStore | None = None,
    remember: str = "",
) -> Any:
    """Return `function(*arguments)`, called behind the boundary; what the function says on purpose it says here, too.

    Args:
        function: a module-level (picklable) function that reads foreign files.
        arguments: picklable.
        limits: of the whole call.
        what: names what is read, for the message.
        store: of the lake; None remembers nothing.
        remember: where in it a refusal is written, so that the same content is not tried for ever; its name must change
            with the content.

    Raises:
        RefusedFileError: the worker died, or the call took too much memory or time, or raised what it should not; now
            or when it was tried before.
        OlvfError: whatever the function raised of this family.
    """
    if store is not None and (before := store.read(remember, _text)):
        raise RefusedFileError(f"{what}: {before} (as it was tried before; it is tried again when it changes)")
    (answer,) = read_apart(partial(_called, function), [arguments], limits=limits)
    if isinstance(answer, Refusal):
        if store is not None:
            store.write_text(remember, answer.detail)
        raise RefusedFileError(f"{what}: {answer.detail}")
    if isinstance(answer, OlvfError):
        raise answer
    return answer


def _text(record: Path) -> str:
    return record.read_text(encoding="utf-8")


def _called(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return function(*arguments)


@dataclass
class _Reading:
    """One call of `read_apart`: what is to be read, by whom, and what came of it."""

    function: Callable[[Any], Any]
    items: Sequence[Any]
    limits: Limits
    answered: dict[int, Any] = field(default_factory=dict)
    deaths: dict[int, int] = field(default_factory=dict)
    failed_starts: int = 0

    def answers(self, count: int) -> Iterable[Any]:
        """Yield the answer to every item, in order, while `count` workers read."""
        pending = deque(range(len(self.items)))
        busy: list[Worker] = []
        size = max(1, min(LARGEST_BATCH, len(self.items) // (count * BATCHES_EACH)))
        place = 0
        try:
            while place < len(self.items):
                while pending and len(busy) < count:
                    alone = self.deaths.get(pending[0], 0) > 0  # so that nothing else can be to blame
                    batch = [pending.popleft() for _ in range(1 if alone else min(size, len(pending)))]
                    worker = ready_worker(self.limits.memory_bytes)
                    busy.append(worker)
                    worker.give(self.function, batch, [self.items[each] for each in batch])
                self._listen(busy, pending)
                while place in self.answered:
                    yield self.answered.pop(place)
                    place += 1
        finally:
            for worker in busy:
                worker.end()

    def _listen(self, busy: list[Worker], pending: deque[int]) -> None:
        """Take in what the workers said; a worker that died or is late gives back what it did not get to."""
        until = min(worker.deadline for worker in busy)
        ready = wait([worker.connection for worker in busy], timeout=max(0.0, until - time.monotonic()))
        for worker in list(busy):
            if worker.connection in ready:
                refusal = self._take(worker)
            elif time.monotonic() > worker.deadline:
                worker.end()
                refusal = Refusal("took_too_long", f"reading it took more than {self.limits.seconds:.0f} s")
                if not worker.ready:
                    self._start_failed(f"was not ready after {LONGEST_START_S:.0f} s")
                    refusal = Refusal("not_begun", "")
            else:
                continue
            if refusal is not None:
                busy.remove(worker)
                self._mourn(worker, refusal, pending)
            elif not worker.batch:
                busy.remove(worker)
                worker.rest()

    def _take(self, worker: Worker) -> Refusal | None:
        """Take one answer of a worker; return what to say of the file under way when it has died."""
        try:
            kind, value = worker.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            ended = worker.end()
            if not worker.ready:
                self._start_failed(ended)
                return Refusal("not_begun", ended)
            return Refusal("reader_died", f"the program that reads such files {ended} while it read this one")
        if kind == "ready":
            worker.ready, worker.deadline = True, time.monotonic() + self.limits.seconds
            return None
        if kind == "machine":
            worker.end()
            raise value
        self.answered[worker.batch.popleft()] = value
        worker.deadline = time.monotonic() + self.limits.seconds
        return None

    def _start_failed(self, ended: str) -> None:
        """Count a worker that was gone before it read anything: an idle one that just ended, or no process can start.

        Raises:
            SystemFaultError: it happened again and again.
        """
        self.failed_starts += 1
        if self.failed_starts > MOST_FAILED_STARTS:
            raise SystemFaultError(f"no process to read files with can be started: it {ended}; is memory short?")

    def _mourn(self, worker: Worker, refusal: Refusal, pending: deque[int]) -> None:
        if refusal.reason == "not_begun":
            pending.extendleft(reversed(worker.batch))
            return
        first = worker.batch.popleft()
        self.deaths[first] = self.deaths.get(first, 0) + 1
        pending.extendleft(reversed(worker.batch))
        if refusal.reason == "reader_died" and self.deaths[first] < TRIES:
            pending.appendleft(first)
        else:
            self.answered[first] = refusal
