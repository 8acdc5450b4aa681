"""Work on a cluster of Ray.

What lives here: how work and what it says travel between the program that asks for it and Ray's workers, and what
becomes of both when one of them is lost. What does not: which work there is (`engine.py` and whoever calls it), any
cluster: it is started, protected and ended by whoever runs it (docs/scale.md).

A worker's node has the program, the libraries and the settings of its own environment (`OLVF_LAKE`, keys): nothing of
them travels. Work that was lost with its worker is done again elsewhere; ours goes on from the state that it kept.
"""

import hashlib
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

from olvf_assets.foundation.engine import GPU_SHARE, NOBODY, EngineError, LostWorkError, Needs, gpu_share
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.parallel import LENT, TICK_S, available_cores, limit_threads

TRIES_AFTER_LOSS = 3
LISTEN_S = 0.5
STOP_S = 30.0
SETTLE_S = 1.0
# Of other versions other figures may come, and one table must not be made by two of them.
FIGURES_HANG_ON = ("torch", "torchvision", "timm", "ultralytics", "numpy", "opencv-python", "polars", "scipy")


class WorkerTracebackError(Exception):
    """Where on a worker an error arose: the cause of the error here."""


class RayEngine:
    """The cluster that `RAY_ADDRESS` names, or the one that this host is a node of.

    Raises:
        EngineError: Ray is not installed, or there is no such cluster.
    """

    def __init__(self) -> None:
        try:
            import ray
        except ImportError:
            raise EngineError("OLVF_ENGINE is ray, which is not installed: make setup EXTRAS=cluster") from None
        address = os.environ.get("RAY_ADDRESS") or "auto"
        try:
            with _own_signals():
                ray.init(address, ignore_reinit_error=True, log_to_driver=False, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise EngineError(
                f"OLVF_ENGINE is ray, and no cluster can be joined at {address} ({type(error).__name__}): start one "
                "(docs/scale.md), name its head with RAY_ADDRESS, and its token with RAY_AUTH_TOKEN_PATH"
            ) from None
        self._ears: Any = None

    def results(
        self,
        function: Callable[..., Any],
        items: Sequence[Any],
        needs: Needs,
        *,
        most: int = 0,
        tick: Callable[[], None] | None = None,
        told: Mapping[str, Callable[..., None]] = NOBODY,
    ) -> Generator[Any, None, None]:
        """Yield `function(item)` of each item in order; see `Engine`.

        Raises:
            EngineError: a worker cannot do it: its program is another one.
            LostWorkError: it was lost with its worker again and again.
        """
        import ray
        from ray import cloudpickle

        demand = self._demand(needs)
        work = ray.remote(_work).options(**demand)
        ears = self._ears_for(told)
        key = uuid4().hex
        said = {name: _Said(ears, key, name) for name in told}
        whole = ray.put(cloudpickle.dumps((function, said)))
        running: dict[int, Any] = {}
        given = 0
        try:
            for place in range(len(items)):
                while given < len(items) and (not most or given < place + most):
                    item = cloudpickle.dumps(items[given])
                    running[given] = work.remote(whole, item, demand["num_cpus"], own_code())
                    given += 1
                found = self._awaited(running[place], _Listening(ears, key, told), tick)
                del running[place]
                yield found
        finally:
            _stop(list(running.values()))

    def cards(self, needs: Needs) -> int:
        """Return how many pieces of work the GPUs of the cluster hold now; 0 if there is none."""
        share = _share(needs)
        return int(sum(each.get("GPU", 0.0) for each in _nodes()) / share) if share else 0

    def _demand(self, needs: Needs) -> dict[str, Any]:
        """Return what Ray is asked for."""
        share = _share(needs)
        nodes = [each for each in _nodes() if each.get("GPU", 0.0) >= share]
        if not nodes:  # an autoscaler may start one
            logging.getLogger(__name__).warning(
                f"{GPU_SHARE} is {share:g}, and no node of the cluster has so much of a GPU: work waits until one has "
                f"joined. {GPU_SHARE}=0 uses none"
            )
            nodes = [{"CPU": 1.0, "GPU": share}]
        if needs.cores:
            cores = min(needs.cores, max(each.get("CPU", 1.0) for each in nodes))
        elif share:
            cores = min(each.get("CPU", 1.0) * share / each["GPU"] for each in nodes)
        else:
            cores = min(available_cores(), max(each.get("CPU", 1.0) for each in nodes))
        demand = {"num_cpus": max(1, int(cores)), "num_gpus": share, "max_retries": TRIES_AFTER_LOSS}
        if needs.memory_gib:  # no more than there is: it would be waited for in vain
            demand["memory"] = int(min(needs.memory_gib << 30, max(each.get("memory", 0.0) for each in nodes)))
        return demand | {"scheduling_strategy": "SPREAD"}

    def _ears_for(self, told: Mapping[str, Callable[..., None]]) -> Any:
        """Return what hears the workers, on this node: it ends with this process, and stays when a worker goes."""
        if not told:
            return None
        if self._ears is None:
            import ray
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
            self._ears = ray.remote(_Ears).options(num_cpus=0, scheduling_strategy=here).remote()
        return self._ears

    def _awaited(self, given: Any, listening: "_Listening", tick: Callable[[], None] | None) -> Any:
        """Return a result; meanwhile pass on what workers say."""
        import ray

        looked = time.monotonic()
        pause = LISTEN_S if listening.told else TICK_S
        try:
            while not ray.wait([given], timeout=pause)[0]:
                listening.pass_on()
                if tick is not None and time.monotonic() - looked >= TICK_S:
                    tick()
                    looked = time.monotonic()
            listening.pass_on()
            went_well, found = ray.cloudpickle.loads(ray.get(given))
        except ray.exceptions.RayTaskError as error:
            raise EngineError(
                f"a worker could not begin ({type(error.cause).__name__}): its node needs this program, installed as "
                "on this host (docs/scale.md)"
            ) from error
        except ray.exceptions.RayError as error:
            raise LostWorkError(
                f"work was lost with its worker {TRIES_AFTER_LOSS + 1} times, or with the cluster "
                f"({type(error).__name__}); look at its nodes (memory?), and start the same command again: it goes on "
                "from what is kept"
            ) from error
        if went_well:
            return found
        raise _error(*found)


class _Ears:
    """Keeps what workers say until it is fetched."""

    def __init__(self) -> None:
        self.words: dict[str, list[tuple[str, bytes]]] = {}

    def hear(self, key: str, name: str, words: bytes) -> None:
        self.words.setdefault(key, []).append((name, words))

    def take(self, key: str) -> list[tuple[str, bytes]]:
        return self.words.pop(key, [])


class _Said:
    """What a worker calls to be heard by the program that asked for its work; returns when it was heard."""

    def __init__(self, ears: Any, key: str, name: str) -> None:
        self.ears, self.key, self.name = ears, key, name

    def __call__(self, *words: Any) -> None:
        import ray

        ray.get(self.ears.hear.remote(self.key, self.name, ray.cloudpickle.dumps(words)))


class _Listening:
    """Passes on what workers have said since the last time."""

    def __init__(self, ears: Any, key: str, told: Mapping[str, Callable[..., None]]) -> None:
        self.ears, self.key, self.told = ears, key, told

    def pass_on(self) -> None:
        if not self.told:
            return
        import ray

        for name, words in ray.get(self.ears.take.remote(self.key)):
            self.told[name](*ray.cloudpickle.loads(words))


def _work(whole: bytes, item: bytes, cores: int, code: str) -> bytes:
    """Do a piece of work in a worker; nothing of it is unpacked before the worker is held to its cores."""
    from ray import cloudpickle

    os.environ |= {LENT: str(cores), "OLVF_ENGINE": "local"}  # what it hands over itself stays here
    limit_threads(cores)
    if "torch" in sys.modules:  # the worker has worked before
        sys.modules["torch"].set_num_threads(cores)
    try:
        if code != own_code():
            raise EngineError(
                "a node of the cluster has another version of this program, or of the libraries that figures hang on, "
                "than this host: install the same on all nodes, and start them again"
            )
        function, said = cloudpickle.loads(whole)
        return cloudpickle.dumps((True, function(cloudpickle.loads(item), **said)))
    except Exception as error:
        return cloudpickle.dumps((False, _parts(error)))


def _parts(error: Exception) -> tuple[type[Exception], tuple[Any, ...], dict[str, Any], str]:
    """Return what an error is made of: one whose class takes other arguments than it holds cannot be pickled itself."""
    from ray import cloudpickle

    kind, arguments, more = type(error), error.args, error.__dict__
    try:
        cloudpickle.loads(cloudpickle.dumps((kind, arguments, more)))
    except Exception:  # it holds what cannot travel
        arguments, more = (str(error),), {}
    return kind, arguments, more, "".join(traceback.format_exception(error))


def _error(kind: type[Exception], arguments: tuple[Any, ...], more: dict[str, Any], at: str) -> Exception:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(more)
    error.__cause__ = None if isinstance(error, OlvfError) else WorkerTracebackError(at)
    return error


def _share(needs: Needs) -> float:
    """Return the share of a GPU that work asks for; where nobody said: a whole one if the cluster has any."""
    if not needs.gpu:
        return 0.0
    said = gpu_share()
    return float(any(each.get("GPU", 0.0) for each in _nodes())) if said is None else said


def _nodes() -> list[dict[str, float]]:
    """Return the resources of each node that lives."""
    import ray

    return [each["Resources"] for each in ray.nodes() if each["Alive"]]


def _stop(running: list[Any]) -> None:
    """End work for good; return when it cannot write any more.

    Ray 2.60 takes this process down with it when work is cancelled that begins at this very moment. So what has begun
    is given a moment, and what was given last and waits for room is cancelled first: nothing takes another one's room.
    """
    import ray

    if not running:
        return
    with suppress(ray.exceptions.RayError):
        _, unfinished = ray.wait(running, num_returns=len(running), timeout=SETTLE_S)
        for each in reversed(unfinished):
            ray.cancel(each, force=True)
        ray.wait(running, num_returns=len(running), timeout=STOP_S)


@cache
def own_code() -> str:
    """Return the digest of this program and of the versions of the libraries that figures hang on."""
    folder = Path(__file__).parents[1]
    digest = hashlib.sha256(repr(sys.version_info[:2]).encode())
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    for name in FIGURES_HANG_ON:
        with suppress(PackageNotFoundError):
            digest.update(f"{name} {version(name).partition('+')[0]}\n".encode())  # +cpu and +cu130 are one version
    return digest.hexdigest()


@contextmanager
def _own_signals() -> Generator[None, None, None]:
    """Keep what this program does on SIGTERM: Ray would take its place."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)
