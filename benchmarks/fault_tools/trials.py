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
from dataclasses import dataclass, field
from random import Random
from typing import Literal

import polars as pl
from deltalake.exceptions import TableNotFoundError

from fault_tools.disk import Action, AuditedDisk
from fault_tools.nursery import Nursery, Outcome
from fault_tools.study import WAREHOUSE, Study
from olvf_assets.foundation.errors import MachineError

POLL_S = 0.05
Kind = Literal["moment", "kill", "enospc", "eio"]
FAULTS: dict[Kind, str] = {
    "moment": "kill at a moment",
    "kill": "kill at a write",
    "enospc": "full disk",
    "eio": "failing disk",
}


@dataclass
class Trial:
    """What one fault did.

    Attributes:
        table: whose run it struck.
        fault: one of the values of FAULTS.
        where: the moment, or the call and path.
        struck: whether the fault came before the run was over.
        wrong: what did not hold; empty: survived.
    """

    table: str
    fault: str
    where: str = ""
    struck: bool = False
    wrong: list[str] = field(default_factory=list)


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
        self._random = Random(seed)

    def strike(self, name: str, kind: Kind) -> Trial:
        """Make a table's run meet a fault, start it again, and say what came of it."""
        return self._kill_at_a_moment(name) if kind == "moment" else self._strike_at_a_write(name, kind)

    def _kill_at_a_moment(self, name: str) -> Trial:
        """Take the table and its files away, kill its run at a moment of its usual time, start it again."""
        trial = Trial(name, FAULTS["moment"])
        share = self._random.random()
        for attempt in range(4):  # the machine may be quicker today: an earlier moment then
            self.study.forget(self.made[name], name)
            moment_s = share * self.seconds[name] / 2**attempt
            outcome = self._run(name, "nothing", kill_after_s=moment_s)
            writes = self.disk.count
            trial.struck = outcome.status < 0
            trial.where = f"{moment_s:.2f} s"
            if trial.struck:
                break
        self._again(trial)
        self.writes[name] = writes + self.disk.count
        return trial

    def _strike_at_a_write(self, name: str, action: Literal["kill", "enospc", "eio"]) -> Trial:
        """Take the table's files away, let its run meet the fault at one of its writes, start it again."""
        trial = Trial(name, FAULTS[action])
        self.study.forget(self.made[name])
        at = self._random.randint(1, max(1, self.writes.get(name, 12)))
        while True:
            outcome = self._run(name, action, at=at, trial=trial)
            trial.where = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32,}", "…", self.disk.where)
            trial.struck = bool(trial.where)
            if trial.struck or at == 1:
                break
            self.study.forget(self.made[name])
            at = max(1, at // 2)
        if trial.struck and action != "kill" and outcome.status != 0 and not _named(outcome.output):
            trial.wrong.append("the error is no fault of the machine: " + _last_error(outcome.output))
        self._again(trial)
        return trial

    def _run(
        self, name: str, action: Action, *, at: int = 0, kill_after_s: float | None = None, trial: Trial | None = None
    ) -> Outcome:
        def before(group: int) -> None:
            self.disk.set(action, at, group)

        with Watcher(lambda: self._look(name)) as watcher:
            force = "" if action == "nothing" else name
            outcome = self.nursery.run(name, force=force, before=before, kill_after_s=kill_after_s)
        if trial is not None and watcher.complaints:
            trial.wrong.append(f"{len(watcher.complaints)} of {watcher.looks} looks: {watcher.complaints[0]}")
        return outcome

    def _again(self, trial: Trial) -> None:
        """Start the same command again and hold what it leaves against the reference."""
        outcome = self._run(trial.table, "nothing", trial=trial)
        if outcome.status != 0:
            trial.wrong.append("started again, it fails: " + _last_error(outcome.output))
            return
        if not self.study.table(trial.table).equals(self.reference.table(trial.table)):
            trial.wrong.append("rows differ from the undisturbed run's")
        unlike = self.study.unlike(self.reference, self.made[trial.table])
        if unlike:
            trial.wrong.append(f"{len(unlike)} files missing or unlike: {unlike[0]}")

    def _look(self, name: str) -> str | None:
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


def machine_errors() -> set[str]:
    """Return the names of all errors that say that the machine is at fault."""
    found, todo = {MachineError.__name__}, [MachineError]
    while todo:
        for each in todo.pop().__subclasses__():
            found.add(each.__name__)
            todo.append(each)
    return found


def _named(output: str) -> bool:
    return re.search(rf"\b({'|'.join(machine_errors())}): ", output) is not None


def _last_error(output: str) -> str:
    named = re.compile(r"\s*([\w.]+(Error|Exception|Failure)|dagster\.\S+): ")
    errors = [line.strip() for line in output.splitlines() if named.match(line)]
    return (errors[-1] if errors else output[-300:]).replace("\n", " ")[:300]
