"""The kinds of fault, one trial of one, and what a run said of its error.

What lives here: names and words. What does not: trying anything (`trials.py`, `two_commands.py`).
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from olvf_assets.foundation.errors import MachineError

Kind = Literal["moment", "kill", "enospc", "eio", "two_runs", "kill_then_next"]
FAULTS: dict[Kind, str] = {
    "moment": "kill at a moment",
    "kill": "kill at a write",
    "enospc": "full disk",
    "eio": "failing disk",
    "two_runs": "two runs at once",
    "kill_then_next": "kill, then another",
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


def machine_errors() -> set[str]:
    """Return the names of all errors that say that the machine is at fault."""
    found, todo = {MachineError.__name__}, [MachineError]
    while todo:
        for each in todo.pop().__subclasses__():
            found.add(each.__name__)
            todo.append(each)
    return found


def names_the_machine(output: str) -> bool:
    """Return whether a run printed an error that says so."""
    return re.search(rf"\b({'|'.join(machine_errors())}): ", output) is not None


def last_error(output: str) -> str:
    """Return the last named error that a run printed, shortened; else the end of what it printed."""
    named = re.compile(r"\s*([\w.]+(Error|Exception|Failure)|dagster\.\S+): ")
    errors = [line.strip() for line in output.splitlines() if named.match(line)]
    return (errors[-1] if errors else output[-300:]).replace("\n", " ")[:300]
