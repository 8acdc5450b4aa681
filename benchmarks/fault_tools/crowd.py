"""Writers, readers, publishers and a visitor at once on one lake.

What lives here: that crowd, each in a process of its own, and what each must see. What does not: single faults.
A writer replaces its own partition of one table again and again, as a run of the operations view does; a reader must
see each partition whole, of one round, and never an older round than before; a publisher builds the warehouse from the
table; the visitor opens the warehouse all the while and must see the same.
"""

import multiprocessing
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path

import polars as pl

ROWS = 500
PATIENCE_S = 600.0
COUNTED = ("written", "write_errors", "looks", "torn_looks", "published", "publish_errors", "visits", "torn_visits")


@dataclass(frozen=True)
class Size:
    """How many people, and how often each writer replaces its partition."""

    writers: int = 8
    readers: int = 4
    publishers: int = 2
    rounds: int = 20


def crowd(folder: Path, size: Size) -> dict[str, int]:
    """Let a crowd work on a lake below `folder`, which is made, and return what it did and what went wrong."""
    folder.mkdir(parents=True)
    for writer in range(size.writers):
        _write(folder, writer, 0)
    _publish_once(folder)
    context = multiprocessing.get_context("spawn")
    over, answers = context.Event(), context.Queue()
    lookers = [context.Process(target=_read, args=(folder, size.writers, over, answers)) for _ in range(size.readers)]
    lookers += [context.Process(target=_publish, args=(folder, over, answers)) for _ in range(size.publishers)]
    lookers += [context.Process(target=_visit, args=(folder, size.writers, over, answers))]
    writers = [
        context.Process(target=_rewrite, args=(folder, each, size.rounds, answers)) for each in range(size.writers)
    ]
    for process in (*lookers, *writers):
        process.start()
    found: Counter[str] = Counter()
    for _ in writers:
        found.update(answers.get(timeout=PATIENCE_S))
    over.set()
    for _ in lookers:
        found.update(answers.get(timeout=PATIENCE_S))
    for process in (*lookers, *writers):
        process.join()
    last = pl.read_delta(str(_table(folder)))
    stale = last.filter(pl.col("round") != size.rounds).height
    return {**{name: found[name] for name in COUNTED}, "lost": stale + abs(last.height - size.writers * ROWS)}


def _table(folder: Path) -> Path:
    return folder / "crowded.delta"


def _write(folder: Path, writer: int, number: int) -> None:
    """Store one round of one partition through the lake's own IO manager, in a run of its own."""
    from dagster import StaticPartitionsDefinition, asset, materialize

    from olvf_assets.storage.lake import Lake

    @asset(
        partitions_def=StaticPartitionsDefinition([str(writer)]),
        metadata={"partition_by": "writer", "delta_write_options": {"schema_mode": "merge"}},
        io_manager_key="lake",
    )
    def crowded() -> pl.DataFrame:
        return pl.DataFrame({"row": range(ROWS)}).with_columns(
            writer=pl.lit(str(writer)), round=pl.lit(number, pl.Int64)
        )

    materialize([crowded], partition_key=str(writer), resources={"lake": Lake(base_dir=str(folder))})


def _publish_once(folder: Path) -> None:
    from olvf_assets.reporting.warehouse import build_warehouse

    build_warehouse({"crowded": _table(folder)}, folder / "olvf.duckdb")


def _rewrite(folder: Path, writer: int, rounds: int, answers: "Queue[Counter[str]]") -> None:
    done: Counter[str] = Counter()
    for number in range(1, rounds + 1):
        try:
            _write(folder, writer, number)
            done["written"] += 1
        except Exception as error:
            print(f"writer {writer}, round {number}: {type(error).__name__}: {error}"[:300])
            done["write_errors"] += 1
    answers.put(done)


def _read(folder: Path, writers: int, over: Event, answers: "Queue[Counter[str]]") -> None:
    answers.put(_looked(lambda: pl.read_delta(str(_table(folder))), writers, over, "looks", "torn_looks"))


def _visit(folder: Path, writers: int, over: Event, answers: "Queue[Counter[str]]") -> None:
    from olvf_assets.reporting.warehouse import read_table

    answers.put(_looked(lambda: read_table(folder / "olvf.duckdb", "crowded"), writers, over, "visits", "torn_visits"))


def _publish(folder: Path, over: Event, answers: "Queue[Counter[str]]") -> None:
    done: Counter[str] = Counter()
    while not over.is_set():
        try:
            _publish_once(folder)
            done["published"] += 1
        except Exception as error:
            print(f"publisher: {type(error).__name__}: {error}"[:300])
            done["publish_errors"] += 1
    answers.put(done)


def _looked(read: Callable[[], pl.DataFrame], writers: int, over: Event, seen: str, torn: str) -> "Counter[str]":
    """Read until it is over; count the looks and those that saw something else than whole partitions, ever newer."""
    done: Counter[str] = Counter()
    newest = dict.fromkeys(map(str, range(writers)), 0)
    while not over.is_set():
        done[seen] += 1
        try:
            rounds = (
                read()
                .group_by("writer")
                .agg(pl.col("round").min(), last=pl.col("round").max(), n=pl.len(), rows=pl.col("row").n_unique())
            )
        except Exception as error:
            print(f"{seen}: {type(error).__name__}: {error}"[:300])
            done[torn] += 1
            continue
        right = rounds.height == writers and all(
            row["round"] == row["last"] >= newest[row["writer"]] and row["n"] == row["rows"] == ROWS
            for row in rounds.iter_rows(named=True)
        )
        done[torn] += not right
        newest = {**newest, **dict(rounds.select("writer", "last").iter_rows())}
    return done
