"""How much of a run's wall time is not the assets' own work: start, imports, executor, storage, checks.

Runs the whole study in a fresh data folder, from the command line as a user does, and reads from Dagster's event log
how long each table's own function took. `--quick` takes the data folder that is there, so that finished work is
reused: then nearly everything is overhead, and `overhead_s` is the figure to look at.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dagster import AssetRecordsFilter, DagsterInstance

from olvf_assets.foundation.tables import OWN_SECONDS
from olvf_assets.storage.places import PROJECT, data_folder


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="reuse the finished work of the data folder")
    parser.add_argument("--json", action="store_true", help="print one flat object as the last line")
    parser.add_argument("--profile", default=os.environ.get("OLVF_PROFILE", "demo"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = data_folder() if asked.quick else Path(folder) / "data"
        figures = measure(asked.profile, data, Path(folder) / "home")
    for name, value in figures.items():
        print(f"{name:<32}{value:>12}")
    if asked.json:
        print(json.dumps(figures))


def measure(profile: str, data: Path, home: Path) -> dict[str, float | str]:
    """Run the study once and return the figures, seconds and GiB."""
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
    environment = {**os.environ, "OLVF_PROFILE": profile, "OLVF_DATA": str(data), "DAGSTER_HOME": str(home)}
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "olvf_assets.study", "--select", "*"]
    start = time.perf_counter()
    subprocess.run(command, cwd=PROJECT, env=environment, check=True, capture_output=True)
    wall_s = time.perf_counter() - start
    own = own_seconds(home)
    own_s = sum(own.values())
    slowest = sorted(own, key=lambda name: -own[name])[:6]
    return {
        "profile": profile,
        "wall_s": round(wall_s, 1),
        "own_work_s": round(own_s, 1),
        "overhead_s": round(wall_s - own_s, 1),
        "overhead_over_wall": round((wall_s - own_s) / wall_s, 3),
        "largest_process_gib": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20, 2),
        **{f"{name}_s": round(own[name], 1) for name in slowest},
    }


def own_seconds(home: Path) -> dict[str, float]:
    """Return the seconds of each table's own function in the runs of a Dagster home."""
    of_runs: dict[tuple[str, str], float] = {}
    with DagsterInstance.from_config(str(home)) as instance:
        for key in instance.all_asset_keys():
            records = instance.fetch_materializations(AssetRecordsFilter(asset_key=key), limit=100).records
            for record in records:
                event = record.asset_materialization
                # a run over all partitions tells of each partition, too, and of some tables as a whole twice
                if event is not None and event.partition is None and OWN_SECONDS in event.metadata:
                    value = float(str(event.metadata[OWN_SECONDS].value))
                    of_runs[key.to_user_string(), record.run_id] = value
    seconds: dict[str, float] = {}
    for (table, _), value in of_runs.items():
        seconds[table] = seconds.get(table, 0.0) + value
    return seconds


if __name__ == "__main__":
    main()
