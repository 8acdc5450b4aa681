"""The whole study twice, on this host alone and on a cluster of two hosts that share no folder, held together.

`make cluster-check`. What lives here: both runs, and the comparison, table by table. What does not: the cluster
(`cluster.py`). Ends with status 1 if a table differs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

from olvf_assets.foundation.tables import in_order
from olvf_assets.orchestration.graph import all_tables
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets_tests.servers.cluster import PROJECT, cluster_of_two

SAID = ("OLVF_LAKE", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")


def main() -> int:
    """Make the study on one host and on two, print what differs, and return how many tables do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="ci")
    parser.add_argument("--select", default="*", help="tables to make, as Dagster's --select takes them")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="olvf") as folder:
        alone = Path(folder) / "alone"
        own = {name: value for name, value in os.environ.items() if name not in ("OLVF_LAKE", "OLVF_ENGINE")}
        local = {**own, "OLVF_PROFILE": asked.profile, "OLVF_DATA": str(alone / "data")}
        print(f"one host: {made(asked.select, local | {'DAGSTER_HOME': str(home(alone))}):.0f} s", flush=True)
        there = Path(folder) / "c"
        there.mkdir()
        with cluster_of_two(there) as cluster:
            remote = cluster.environment | {"OLVF_PROFILE": asked.profile, "DAGSTER_HOME": str(home(there / "books2"))}
            print(f"two hosts: {made(asked.select, remote):.0f} s", flush=True)
            os.environ |= {name: cluster.environment[name] for name in SAID}
            one = StudyResource(profile_name=asked.profile, data_folder=str(alone / "data"))
            two = StudyResource(
                profile_name=asked.profile, data_folder=str(cluster.data), lake=cluster.environment["OLVF_LAKE"]
            )
            return compared(one, two)


def home(folder: Path) -> Path:
    """Return a fresh home of Dagster, with the settings that ship."""
    (folder / "home").mkdir(parents=True)
    (folder / "home" / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
    return folder / "home"


def made(select: str, environment: dict[str, str]) -> float:
    """Make the study and return how many seconds that took."""
    began = time.monotonic()
    command = ["dagster", "asset", "materialize", "-m", "olvf_assets.study", "--select", select]
    subprocess.run([sys.executable, "-m", *command], cwd=PROJECT, env=environment, check=True)
    return time.monotonic() - began


def compared(one: StudyResource, two: StudyResource) -> int:
    """Print which tables differ, and return how many."""
    names = [each.name for each in all_tables() if one.has_table(each.name) or two.has_table(each.name)]
    unlike = []
    for name in names:
        left, right = one.stored(name), two.stored(name)
        if left is None or right is None or not in_order(left).equals(in_order(right)):
            unlike.append(name)
            print(f"{name}: {difference(left, right)}")
    print(f"{len(names) - len(unlike)} of {len(names)} tables are equal")
    return len(unlike)


def difference(left: pl.DataFrame | None, right: pl.DataFrame | None) -> str:
    """Return in words how two tables differ."""
    if left is None or right is None:
        return "is there once only"
    if left.shape != right.shape:
        return f"{left.shape} and {right.shape} rows and columns"
    ordered = in_order(left), in_order(right)
    return f"differs in {', '.join(each for each in left.columns if not ordered[0][each].equals(ordered[1][each]))}"


if __name__ == "__main__":
    sys.exit(min(main(), 1))
