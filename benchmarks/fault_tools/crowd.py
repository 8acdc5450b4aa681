"""Eight writers, four readers and two publishers at once on one lake.

What lives here: that crowd, in processes of their own, and what each must see. What does not: single faults.
Writers replace their own partition of one table, as the operations view does, again and again; a reader must see each
partition whole, of one round, and no round older than the last one it saw; a publisher builds the warehouse from the
table; a visitor opens the warehouse all the while.
"""

import multiprocessing
from collections import Counter
from multiprocessing.managers import ValueProxy
from multiprocessing.synchronize import Event
from pathlib import Path
from random import Random
from typing import Any

import polars as pl

WRITERS, READERS, PUBLISHERS = 8, 4, 2
ROWS = 500


def crowd(folder: Path, *, rounds: int, seed: int) -> dict[str, int]:
    """Let the crowd work on a lake below `folder` and return what it did and what went wrong.

    Args:
        folder: of the lake; made.
        rounds: how often each writer replaces its partition.
        seed: of the writers' pauses.
    """
    folder.mkdir(parents=True)
    table = folder / "crowded.delta"
    for writer in range(WRITERS):
        _write(table, writer, 0)
    context = multiprocessing.get_context("spawn")
    over, answers = context.Event(), context.Queue()
    lookers = [context.Process(target=_read, args=(table, over, answers)) for _ in range(READERS)]
    lookers += [context.Process(target=_publish, args=(table, folder, over, answers)) for _ in range(PUBLISHERS)]
    lookers += [context.Process(target=_visit, args=(folder, over, answers))]
    writers = [context.Process(target=_rewrite, args=(table, each, rounds, seed, answers)) for each in range(WRITERS)]
    for process in (*lookers, *writers):
        process.start()
    found = [answers.get(timeout=600) for _ in writers]
    over.set()
    found += [answers.get(timeout=600) for _ in lookers]
    for process in (*lookers, *writers):
        process.join()
    total = sum((Counter(each) for each in found), Counter())
    last = pl.read_delta(str(table))
    lost = WRITERS * ROWS - last.filter(pl.col("round") == rounds).height + max(0, last.height - WRITERS * ROWS)
    names = ("written", "write_errors", "looks", "torn_reads", "published", "publish_errors", "visits", "failed_visits")
    return {**{name: total[name] for name in names}, "rows_lost_or_doubled": lost}
