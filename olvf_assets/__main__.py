"""Commands beside Dagster's own: register institutions, add a hospital, open the warehouse.

What lives here: reading the command line. What does not: any work (`hospitals.py`, `reporting`).
"""

import argparse
import sys
from pathlib import Path

from olvf_assets.foundation.arrivals import odd_folders
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.hospitals import add_hospital, register_institutions
from olvf_assets.places import data_folder
from olvf_assets.warehouse_shell import open_warehouse


def main() -> int:
    """Run one command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m olvf_assets", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("register", help="tell Dagster of every institution that has a landing folder")
    adding = commands.add_parser("add-hospital", help="copy a hospital's folder to data/landing and register it")
    adding.add_argument("name", help="its key: lower-case letters, digits and _")
    adding.add_argument("source", type=Path, help="a folder laid out as the README shows")
    commands.add_parser("sql", help="open data/olvf.duckdb, read-only")
    asked = parser.parse_args()
    try:
        match asked.command:
            case "register":
                print("institutions:", ", ".join(register_institutions()))
                if (odd := odd_folders(data_folder() / "landing")) is not None:
                    print(odd)
            case "add-hospital":
                print(add_hospital(asked.name, asked.source))
            case "sql":
                open_warehouse(data_folder() / "olvf.duckdb")
    except OlvfError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
