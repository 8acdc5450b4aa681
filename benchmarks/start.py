"""How long the code location takes to load, beside the bare imports of the libraries that it cannot do without.

Every step process, sensor tick and command pays this. Each start is a process of its own; the programs take turns, so
that whatever else the machine does falls on all of them alike, and the median of each is shown, as processor time and
as wall time. `resolved`: the view's graph and jobs are put together too, as every command of Dagster's does next.
`--quick` starts each program 3 times.

Where the environment forbids Python to keep compiled modules (PYTHONDONTWRITEBYTECODE), that is lifted: else every
start of ours would compile all of our modules and none of the libraries', which were compiled when they were installed.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from olvf_assets.storage.places import PROJECT

BARE = "bare_imports"
PROGRAMS = {
    BARE: "import dagster, polars, pydantic",
    "study_view": "import olvf_assets.study",
    "operations_view": "import olvf_assets.definitions",
    "study_view_resolved": "import olvf_assets.study as view; view.defs.get_repository_def()",
    "operations_view_resolved": "import olvf_assets.definitions as view; view.defs.get_repository_def()",
}
PROMISED = 1.6  # a view loads in at most so many times the bare imports


@dataclass(frozen=True)
class Start:
    """What one start of a program took: `cpu_s` of the processor, `wall_s` on the clock."""

    cpu_s: float
    wall_s: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="start each program 3 times instead of 15")
    parser.add_argument("--json", action="store_true", help="print one flat object as the last line")
    asked = parser.parse_args()
    figures = compared(measure(3 if asked.quick else 15))
    for name, value in figures.items():
        print(f"{name:<40}{value!s:>8}")
    if asked.json:
        print(json.dumps(figures))


def measure(rounds: int) -> dict[str, list[Start]]:
    """Start every program once a round, one after the other, and return what each start took."""
    starts: dict[str, list[Start]] = {name: [] for name in PROGRAMS}
    for program in PROGRAMS.values():
        started(program)  # compiles what changed, and reads the files from the disk
    for _ in range(rounds):
        for name, program in PROGRAMS.items():
            starts[name].append(started(program))
    return starts


def started(program: str) -> Start:
    """Return what a start of a program in a fresh interpreter took."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    used_before_s, began_s = _children_cpu_s(), time.perf_counter()
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT, env=environment, check=True)
    return Start(_children_cpu_s() - used_before_s, time.perf_counter() - began_s)


def compared(starts: dict[str, list[Start]]) -> dict[str, float | bool]:
    """Return the medians in seconds, their ratios to the bare imports, and whether the promise holds."""
    cpu_s = {name: statistics.median(each.cpu_s for each in found) for name, found in starts.items()}
    wall_s = {name: statistics.median(each.wall_s for each in found) for name, found in starts.items()}
    figures: dict[str, float | bool] = {}
    for name in starts:
        figures[f"{name}_cpu_s"] = round(cpu_s[name], 2)
        figures[f"{name}_wall_s"] = round(wall_s[name], 2)
        if name != BARE:
            figures[f"{name}_over_bare_cpu"] = round(cpu_s[name] / cpu_s[BARE], 2)
            figures[f"{name}_over_bare_wall"] = round(wall_s[name] / wall_s[BARE], 2)
    views = [f"{view}_over_bare_{clock}" for view in ("study_view", "operations_view") for clock in ("cpu", "wall")]
    figures[f"both_views_within_{PROMISED}"] = all(figures[name] <= PROMISED for name in views)
    return figures


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
