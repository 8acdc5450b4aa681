"""What Dagster itself takes for a run: its start, and each step, when no step does anything.

Runs a made-up code location, which imports nothing of ours, from the command line as a user does: with one asset, and
with as many assets as the study has tables, in the same order of dependence, all in one process. What the two runs
differ by is the floor of a step; what a step of the study takes beyond it and beyond the table's own work is ours.
Each step is several events in SQLite files of a fresh DAGSTER_HOME below `--folder`, so its disk counts.
`--quick` makes one round instead of five.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from olvf_assets.foundation.tables import all_reads
from olvf_assets.orchestration.graph import all_checks, all_tables
from olvf_assets.storage.places import PROJECT

CODE_LOCATION = """
import json, os
from dagster import Definitions, asset, in_process_executor

def empty(name, reads):
    @asset(name=name, deps=reads)
    def body() -> None:
        pass
    return body

reads = json.loads(os.environ["EMPTY_ASSETS"])
defs = Definitions(assets=[empty(name, reads[name]) for name in reads], executor=in_process_executor)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round instead of five")
    parser.add_argument("--json", action="store_true", help="print one flat object as the last line")
    parser.add_argument("--folder", type=Path, help="of the disk to measure, the system's folder for temporary files")
    asked = parser.parse_args()
    figures = measure(1 if asked.quick else 5, asked.folder)
    for name, value in figures.items():
        print(f"{name:<32}{value:>8}")
    if asked.json:
        print(json.dumps(figures))


def measure(rounds: int, folder: Path | None) -> dict[str, float]:
    """Return medians of `rounds` runs with one asset and with all: seconds a run, milliseconds a step."""
    every = all_reads(all_tables(), all_checks())
    graphs: dict[str, dict[str, list[str]]] = {"one_step": {"landing_manifest": []}, "all_steps": every}
    used: dict[str, list[tuple[float, float]]] = {name: [] for name in graphs}
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        home = Path(scratch)
        (home / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
        (home / "empty_assets.py").write_text(CODE_LOCATION)
        ran(home, graphs["one_step"])  # makes the databases
        for _ in range(rounds):
            for name, graph in graphs.items():
                used[name].append(ran(home, graph))
    figures: dict[str, float] = {"steps": len(every)}
    for unit, place in (("cpu", 0), ("wall", 1)):
        one_s, all_s = (statistics.median(each[place] for each in used[name]) for name in graphs)
        figures[f"one_step_{unit}_s"], figures[f"all_steps_{unit}_s"] = round(one_s, 2), round(all_s, 2)
        figures[f"step_{unit}_ms"] = round(1000 * (all_s - one_s) / (len(every) - 1), 1)
    return figures


def ran(home: Path, graph: dict[str, list[str]]) -> tuple[float, float]:
    """Make all assets of a graph in one run and return what it took: seconds of the processor, and on the clock."""
    environment = {**os.environ, "DAGSTER_HOME": str(home), "EMPTY_ASSETS": json.dumps(graph)}
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "empty_assets", "--select", "*"]
    before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=home, env=environment, check=True, capture_output=True)
    wall_s, after = time.perf_counter() - began_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall_s


if __name__ == "__main__":
    main()
