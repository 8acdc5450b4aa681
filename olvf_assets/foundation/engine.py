"""Where work runs: in processes of this host, or on the workers of a cluster.

What lives here: what a piece of work needs, `OLVF_ENGINE`, and three ways to hand work over that are the same on every
engine. What does not: the map over items (`parallel.py`), any engine but the local one (`engine_ray.py`: Ray).

`local`, the default, imports nothing of a cluster and calls what it is given, here and now.
"""

import importlib
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from types import MappingProxyType
from typing import Any, Protocol

from olvf_assets.foundation.errors import MachineError

# `kubernetes` spreads whole steps, each a Job (orchestration/kubernetes.py); within a step all is local.
ENGINES = {"local": "", "ray": "olvf_assets.foundation.engine_ray:RayEngine", "kubernetes": ""}
GPU_SHARE = "OLVF_GPU_SHARE"
NOBODY: Mapping[str, Callable[..., None]] = MappingProxyType({})


class EngineError(MachineError):
    """The engine that was asked for is not there, or does not do what it was asked for."""


class LostWorkError(MachineError):
    """A piece of work lost its worker more often than it is tried again."""


class UnsharedStoreError(MachineError):
    """Workers keep what they make where the program that asked for it does not find it.

    Args:
        what: they made.
    """

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: made by workers of the cluster, and not in the store of this host: give all nodes one data "
            "folder at one path (OLVF_DATA on a shared disk), or one store (OLVF_LAKE=s3://..., docs/scale.md)"
        )


@dataclass(frozen=True)
class Needs:
    """What a piece of work needs of a worker.

    Attributes:
        cores: that it uses; 0: all of a worker's, or those that belong to its share of a GPU.
        gpu: it is quicker on a GPU. What share of one it gets, `gpu_share` says.
        memory_gib: of main memory; 0: nobody counts it.
        here: it reads or writes files of this host that no store holds: what lies in landing/ and reports/.
    """

    cores: int = 1
    gpu: bool = False
    memory_gib: int = 0
    here: bool = False


FILMS = Needs()
BESIDE_THE_DATA = Needs(here=True)
TRAINING = Needs(cores=1, gpu=True, memory_gib=2)
NETWORK = Needs(cores=0, gpu=True, memory_gib=4)  # detectors, predictions, maps: with all cores, as in one process


class Engine(Protocol):
    """Workers elsewhere."""

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
        """Yield `function(item)` of each item in order; on leaving, for whatever reason, nothing of it works any more.

        Args:
            function: picklable. What it raises is raised here, as it is.
            items: picklable.
            needs: of each item.
            most: items at a time; 0: as many as there is room for.
            tick: called about every ten seconds.
            told: what the function gets besides, by name, and calls with what it has to say. They are called here.
        """

    def cards(self, needs: Needs) -> int:
        """Return how many pieces of work with such needs the GPUs of the cluster hold now; 0 if none has one."""


@cache
def engine_named(name: str) -> Engine | None:
    """Return an engine by its name, None for work in processes of this host.

    Raises:
        EngineError: there is no such engine, or it cannot be reached.
    """
    if name not in ENGINES:
        raise EngineError(f"OLVF_ENGINE is {', '.join(ENGINES)}, not {name!r}")
    if not ENGINES[name]:
        return None
    module, _, made = ENGINES[name].partition(":")
    # by its name: only who asks for a cluster loads its libraries
    found: Engine = getattr(importlib.import_module(module), made)()
    return found


def engine_name() -> str:
    """Return the name of the engine in force: `OLVF_ENGINE`, or `local`."""
    return os.environ.get("OLVF_ENGINE") or "local"


def engine() -> Engine | None:
    """Return the engine in force, None for work in processes of this host.

    Raises:
        EngineError: there is no such engine, or it cannot be reached.
    """
    return engine_named(engine_name())


def gpu_share() -> float | None:
    """Return what part of a GPU each piece of GPU work asks a cluster for (`OLVF_GPU_SHARE`); None: nobody said.

    Raises:
        EngineError: it is no number from 0 (none) to 1 (a whole one), or 2, 3, ... whole ones.
    """
    said = os.environ.get(GPU_SHARE)
    if not said:
        return None
    try:
        share = float(said)
    except ValueError:
        share = -1.0
    if not (0 <= share <= 1 or (share.is_integer() and share > 0)):
        raise EngineError(f"{GPU_SHARE} is 0 (no GPU), a part of one such as 0.5, or a whole number, not {said!r}")
    return share


def call(function: Callable[..., Any], *arguments: Any, needs: Needs, **told: Callable[..., None] | None) -> Any:
    """Return `function(*arguments, **told)`, worked out by a worker that has what it needs; locally in this process.

    Args:
        function: module-level.
        arguments: picklable.
        needs: see there.
        told: functions that it calls with what it has to say (`report`, `observe`), or None. They are called here.
    """
    remote = engine()
    if remote is None:
        return function(*arguments, **told)
    listeners = {name: each for name, each in told.items() if each is not None}
    silent = {name: None for name in told if name not in listeners}
    (found,) = remote.results(_Call(partial(function, **silent)), [arguments], needs, told=listeners)
    return found


def in_batches(
    function: Callable[[list[Any]], Iterator[Any]], items: Sequence[Any], size: int, needs: Needs
) -> Iterator[Any]:
    """Yield what `function` yields for the items, in order: locally of all in one call, else of batches elsewhere.

    Args:
        function: picklable; makes one thing of each item, and of none of them anything else for the others beside it.
        items: picklable.
        size: items of a batch.
        needs: of a batch.
    """
    remote = engine()
    if remote is None:
        yield from function(list(items))
        return
    batches = [list(items[start : start + size]) for start in range(0, len(items), size)]
    with closing(remote.results(_Listed(function), batches, needs)) as results:
        for found in results:
            yield from found


def in_groups(items: Sequence[Any], needs: Needs, beside: int | None = None) -> list[list[Any]]:
    """Return items that share a GPU together, as many groups as the engine has room for; without GPU each by itself.

    Args:
        items: to be dealt out.
        needs: of a group.
        beside: groups that have a card already; given, only cards that would stand idle count, and may be none.
    """
    room = idle_cards(needs, beside or 0)
    groups = min(room or (len(items) if beside is None else 0), len(items))
    return [list(items[first::groups]) for first in range(groups)]


def idle_cards(needs: Needs, beside: int) -> int:
    """Return how many pieces of work the engine has GPUs for, beside some; locally none."""
    remote = engine()
    return 0 if remote is None else max(0, remote.cards(needs) - beside)


@dataclass(frozen=True)
class _Call:
    function: Callable[..., Any]

    def __call__(self, arguments: Sequence[Any], **told: Callable[..., None]) -> Any:
        return self.function(*arguments, **told)


@dataclass(frozen=True)
class _Listed:
    function: Callable[[list[Any]], Iterator[Any]]

    def __call__(self, batch: list[Any]) -> list[Any]:
        return list(self.function(batch))
