"""Print the metric tables of a finished run and where its report lies.

What lives here: the command `python -m olvf_assets.reporting`. What does not: making anything.
"""

import argparse
import sys
from pathlib import Path

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.reporting.printing import metrics_text
from olvf_assets.reporting.warehouse import read_table
from olvf_assets.storage.landing_folders import landing_folders
from olvf_assets.storage.left_out import LeftOut
from olvf_assets.storage.places import data_folder, lake_address, store_of


def main(arguments: list[str] | None = None) -> int:
    """Print and return the exit status: 0, or 1 when there is nothing to print yet."""
    parser = argparse.ArgumentParser(prog="python -m olvf_assets.reporting", description=__doc__)
    parser.add_argument("warehouse", nargs="?", type=Path, help="by default olvf.duckdb in the data folder")
    parser.add_argument("--reports", type=Path, help="by default the folder reports beside the warehouse")
    asked = parser.parse_args(arguments)
    warehouse: Path = asked.warehouse or data_folder() / "olvf.duckdb"
    reports: Path = asked.reports or warehouse.parent / "reports"
    try:
        shown = ("test_metrics", "external_metrics", "participant_flow")
        text = metrics_text(*(read_table(warehouse, name) for name in shown))
    except OlvfError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(text)
    print()
    for page in sorted(reports.rglob("index.html")):
        print(f"report page      {page}")
    if pictures := list(reports.glob("*.png")):
        print(f"report pictures  {len(pictures)} PNG files in {reports}")
    print(f"warehouse        {warehouse}  (make sql)")
    lake = store_of(warehouse.parent, "" if asked.warehouse else lake_address())
    for stop in LeftOut(lake).stops(landing_folders(warehouse.parent / "landing")):
        print(f"LEFT OUT         {stop.text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
