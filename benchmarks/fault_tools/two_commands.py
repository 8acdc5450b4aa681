"""Two commands in one data folder: at once, or the one after the other was killed.

What lives here: these two kinds of trial, and what Dagster must show after them. What does not: single runs and what
their rows must be (`trials.py`).
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from dagster import DagsterInstance, DagsterRunStatus

from fault_tools.kinds import FAULTS, Trial, last_error
from fault_tools.nursery import STEP_BEGINS, Nursery, Outcome
from olvf_assets.storage.run_lock import FOLDER as LOCKS

if TYPE_CHECKING:
    from fault_tools.trials import Ground

IN_USE = "is in use by "


def two_runs(ground: "Ground", name: str) -> Trial:
    """Hold a table's run at a write, start a second one of the same table, let the first go on once they have met.

    By lot the second one is to wait, or to end at once; both must say who holds the folder.
    """
    wait = ground.random.random() < 0.5
    trial = Trial(name, FAULTS["two_runs"], "the second waits" if wait else "the second gives up")
    ground.study.forget(ground.made[name], name)
    ground.disk.set("nothing")
    second = Nursery(ground.study.environment)  # its writes do not count
    ended: list[Outcome] = []
    threads: list[threading.Thread] = []

    def start_the_second(first: int) -> None:
        ground.disk.set("hold", at=1, group=first)
        threads.append(threading.Thread(target=run_the_second, args=(first,)))
        threads[0].start()

    def run_the_second(first: int) -> None:
        try:
            ended.append(second.run(name, wait=wait, heard={IN_USE: lambda group: let_go(first)}))
        finally:
            let_go(first)

    def let_go(first: int) -> None:
        ground.disk.set("nothing")
        with contextlib.suppress(ProcessLookupError):  # it was never held and is over
            os.killpg(first, signal.SIGCONT)

    try:
        first = ground.nursery.run(name, heard={STEP_BEGINS: start_the_second})
        for thread in threads:
            thread.join()
    finally:
        second.close()
    if first.status != 0:
        trial.wrong.append("the first run fails: " + last_error(first.output))
    trial.struck = bool(ended) and IN_USE in ended[0].output
    if not trial.struck:
        trial.wrong.append("the second run did not say that the folder is in use")
    elif wait and ended[0].status != 0:
        trial.wrong.append("the second run fails: " + last_error(ended[0].output))
    elif not wait and (ended[0].status == 0 or "DataFolderInUseError: " not in ended[0].output):
        trial.wrong.append("the second run does not give up as it should: " + last_error(ended[0].output))
    ground.compare(trial)
    return trial


def kill_then_next(ground: "Ground", name: str) -> Trial:
    """Kill a table's run, start another command, see that it cleared up, and start the table's run again.

    By lot the other command is `python -m olvf_assets register`, or the run of the table that was made before this one
    in the undisturbed run: it can be made while this one is missing.
    """
    trial = Trial(name, FAULTS["kill_then_next"])
    ground.kill(trial)
    killed = _newest_run(ground)
    before = list(ground.made)[: list(ground.made).index(name)]
    if not before or ground.random.random() < 0.5:
        command = [sys.executable, "-m", "olvf_assets", "register"]
        done = subprocess.run(command, env=ground.nursery.environment, capture_output=True, text=True, check=False)
        status, output, trial.where = done.returncode, done.stdout + done.stderr, f"{trial.where}, then register"
    else:
        outcome = ground.nursery.run(before[-1])
        status, output, trial.where = outcome.status, outcome.output, f"{trial.where}, then {before[-1]}"
    if status != 0:
        trial.wrong.append("the next command fails: " + last_error(output))
    if trial.struck:
        trial.wrong += _left_of(ground, killed)
    ground.again(trial)
    return trial


def _newest_run(ground: "Ground") -> str:
    with DagsterInstance.from_config(str(ground.study.home)) as instance:
        return instance.get_runs(limit=1)[0].run_id


def _left_of(ground: "Ground", run_id: str) -> list[str]:
    """Return what a killed run still holds, or is still taken for, after the next command."""
    left = []
    with DagsterInstance.from_config(str(ground.study.home)) as instance:
        run, events = instance.get_run_by_id(run_id), instance.event_log_storage
        if run is None or run.status != DagsterRunStatus.FAILURE:
            left.append(f"the killed run is shown as {'nothing' if run is None else run.status.value}")
        for pool in events.get_concurrency_keys():
            if run_id in events.get_concurrency_info(pool).active_run_ids:
                left.append(f"the killed run has a slot of pool {pool}")
    if (ground.study.data / LOCKS / f"{run_id}.lock").exists():
        left.append("the killed run's lock is there")
    return left
