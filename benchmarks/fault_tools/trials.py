"""One fault, one restart, one comparison.

What lives here: what is done to a table's run and what must hold afterwards. What does not: which tables and how often
(`benchmarks/faults.py`).

What must hold: the fault ends the run, with an error that names the machine's fault where it is not the end of the
process itself; readers who look all the while see the table's old rows or none, never half; the same command started
again succeeds at once; its rows and files equal the undisturbed run's.
"""

import re
import threading
from collections.abc import Callable
from random import Random
from typing import Literal

import polars as pl
from deltalake.exceptions import TableNotFoundError

from fault_tools.disk import Action, AuditedDisk
from fault_tools.kinds import FAULTS, Kind, Trial, last_error, names_the_machine
from fault_tools.nursery import Nursery, Outcome
from fault_tools.study import WAREHOUSE, Study
from fault_tools.two_commands import kill_then_next, two_runs

POLL_S = 0.05


class Watcher:
    """Reads something all the while, in a thread, and keeps what went wrong.

    Args:
        look: reads it and returns a complaint, or None.
    """

    def __init__(self, look: Callable[[], str | None]) -> None:
        self.complaints: list[str] = []
        self.looks = 0
        self._look, self._over = look, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Watcher":
        """Begin to read."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Read no more."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(POLL_S):
            self.looks += 1
            complaint = self._look()
            if complaint is not None:
                self.complaints.append(complaint)


class Ground:
    """A copy of the reference on which faults are tried.

    Args:
        reference: the undisturbed study.
        study: its copy.
        nursery: starts the copy's runs.
        disk: under the copy's data folder.
        seed: of the moments.
    """

    def __init__(self, reference: Study, study: Study, nursery: Nursery, disk: AuditedDisk, seed: int) -> None:
        self.reference, self.study, self.nursery, self.disk = reference, study, nursery, disk
        self.made = reference.files_by_table()
        self.seconds = {name: end - begin for name, (begin, end) in reference.steps().items()}
        self.writes: dict[str, int] = {}
        self.random = Random(seed)

    def strike(self, name: str, kind: Kind) -> Trial:
        """Make a table's run meet a fault, start it again, and say what came of it."""
        match kind:
            case "moment":
                return self._kill_at_a_moment(name)
            case "two_runs":
                return two_runs(self, name)
            case "kill_then_next":
                return kill_then_next(self, name)
            case _:
                return self._strike_at_a_write(name, kind)

    def _kill_at_a_moment(self, name: str) -> Trial:
        """Take the table and its files away, kill its run at a moment of its usual time, start it again."""
        trial = Trial(name, FAULTS["moment"])
        self.kill(trial)
        writes = self.disk.count
        self.again(trial)
        self.writes[name] = writes + self.disk.count
        return trial

    def kill(self, trial: Trial) -> None:
        """Take the trial's table and its files away and kill its run at a moment of its usual time."""
        share = self.random.random()
        for attempt in range(4):  # the machine may be quicker today: an earlier moment then
            self.study.forget(self.made[trial.table], trial.table)
            moment_s = share * self.seconds[trial.table] / 2**attempt
            outcome = self._run(trial.table, "nothing", kill_after_s=moment_s)
            trial.struck = outcome.status < 0
            trial.where = f"{moment_s:.2f} s"
            if trial.struck:
                return

    def _strike_at_a_write(self, name: str, action: Literal["kill", "enospc", "eio"]) -> Trial:
        """Take the table's files away, let its run meet the fault at one of its writes, start it again."""
        trial = Trial(name, FAULTS[action])
        self.study.forget(self.made[name])
        at = self.random.randint(1, max(1, self.writes.get(name, 12)))
        while True:
            outcome = self._run(name, action, at=at, trial=trial)
            trial.where = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32,}", "…", self.disk.where)
            trial.struck = bool(trial.where)
            if trial.struck or at == 1:
                break
            self.study.forget(self.made[name])
            at = max(1, at // 2)
        if trial.struck and action != "kill" and outcome.status != 0 and not names_the_machine(outcome.output):
            trial.wrong.append("the error is no fault of the machine: " + last_error(outcome.output))
        self.again(trial)
        return trial

    def _run(
        self, name: str, action: Action, *, at: int = 0, kill_after_s: float | None = None, trial: Trial | None = None
    ) -> Outcome:
        def before(group: int) -> None:
            self.disk.set(action, at, group)

        with Watcher(lambda: self.look(name)) as watcher:
            force = "" if action == "nothing" else name
            outcome = self.nursery.run(name, force=force, before=before, kill_after_s=kill_after_s)
        if trial is not None and watcher.complaints:
            trial.wrong.append(f"{len(watcher.complaints)} of {watcher.looks} looks: {watcher.complaints[0]}")
        return outcome

    def again(self, trial: Trial) -> None:
        """Start the same command again and hold what it leaves against the reference."""
        outcome = self._run(trial.table, "nothing", trial=trial)
        if outcome.status != 0:
            trial.wrong.append("started again, it fails: " + last_error(outcome.output))
        else:
            self.compare(trial)

    def compare(self, trial: Trial) -> None:
        """Hold the trial's table and files against the reference."""
        if not self.study.table(trial.table).equals(self.reference.table(trial.table)):
            trial.wrong.append("rows differ from the undisturbed run's")
        unlike = self.study.unlike(self.reference, self.made[trial.table])
        if unlike:
            trial.wrong.append(f"{len(unlike)} files missing or unlike: {unlike[0]}")

    def look(self, name: str) -> str | None:
        """Read the table (or the warehouse) as someone else would: the rows of the reference, or no table yet."""
        try:
            if name == WAREHOUSE:
                if not (self.study.data / "olvf.duckdb").exists():
                    return None
                right = self.study.warehouse_rows() == self.reference.warehouse_rows()
            else:
                if not self.study.has_table(name):
                    return None
                right = self.study.table(name).equals(self.reference.table(name))
        except TableNotFoundError:
            return None
        except (OSError, pl.exceptions.PolarsError, RuntimeError) as error:
            return f"cannot be read: {type(error).__name__}: {error}"[:200]
        return None if right else "other rows than before and after"
