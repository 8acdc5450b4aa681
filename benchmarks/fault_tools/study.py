"""One data folder with its Dagster home: what is in it, who made it, and whether it equals another.

What lives here: environment, tables, files and the times of a finished run. What does not: running anything
(`nursery.py`) and striking it (`disk.py`).
"""

import os
import shutil
from pathlib import Path

import duckdb
import polars as pl
from dagster import DagsterInstance

from olvf_assets.storage.places import PROJECT

TABLES = Path("lake") / "tables"
WAREHOUSE = "warehouse"
# what holds the time of a run or of a change, an inode or a path, so that equal studies differ in it
OF_THIS_FOLDER = (
    "lake/arrivals/",
    "lake/made/",
    "logs/",
    "lake/work/ultralytics/",
    "reports/data_docs/",
    ".runs/",
    "olvf.duckdb",
    "pseudonym.key",
)

WITH_PATHS = "/ultralytics/args.yaml"  # names the folder itself


class Study:
    """A data folder and a Dagster home below `folder`.

    Args:
        folder: made if missing.
        profile: OLVF_PROFILE of its runs.
    """

    def __init__(self, folder: Path, profile: str) -> None:
        self.folder, self.profile = folder.resolve(), profile
        self.data, self.home = self.folder / "data", self.folder / "home"
        for each in (self.data, self.home):
            each.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / "dagster.yaml", self.home)

    @property
    def environment(self) -> dict[str, str]:
        """Return what its runs must see."""
        return {
            **os.environ,
            "OLVF_PROFILE": self.profile,
            "OLVF_DATA": str(self.data),
            "DAGSTER_HOME": str(self.home),
            "OLVF_PSEUDONYM_KEY": "a secret of the fault trials",
            "YOLO_OFFLINE": "true",
            "GX_ANALYTICS_ENABLED": "false",
            "PYTHONPATH": str(PROJECT),
            "OLVF_VERBOSE": "1",  # steps that begin and names of errors are read from what a run prints
            "OLVF_WAIT": "0",  # a killed run that still holds the folder is a defect, not something to wait for
        }

    def copy_to(self, folder: Path) -> "Study":
        """Return a study with the same files and history in another folder; times of change are kept."""
        for each in (self.data, self.home):
            shutil.copytree(each, folder / each.name, symlinks=True, dirs_exist_ok=True)
        return Study(folder, self.profile)

    def table(self, name: str) -> pl.DataFrame:
        """Return a table's rows, sorted by every plain column."""
        frame = pl.read_delta(str(self.data / TABLES / f"{name}.delta"))
        return frame.sort([column for column, dtype in frame.schema.items() if not dtype.is_nested()])

    def has_table(self, name: str) -> bool:
        """Return whether a table was ever written, whole."""
        return any((self.data / TABLES / f"{name}.delta" / "_delta_log").glob("*.json"))

    def warehouse_rows(self) -> dict[str, int]:
        """Return the number of rows of each table in the DuckDB file."""
        with duckdb.connect(str(self.data / "olvf.duckdb"), read_only=True) as connection:
            names = [name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()]
            counts = {name: connection.execute(f'select count(*) from "{name}"').fetchone() for name in names}
        return {name: count[0] for name, count in counts.items() if count is not None}

    def steps(self) -> dict[str, tuple[float, float]]:
        """Return begin and end of each table's step in the runs of its Dagster home, in seconds since 1970."""
        found: dict[str, tuple[float, float]] = {}
        with DagsterInstance.from_config(str(self.home)) as instance:
            for run in reversed(instance.get_runs()):
                for step in instance.get_run_step_stats(run.run_id):
                    if step.start_time is not None and step.end_time is not None:
                        found[step.step_key] = (step.start_time, step.end_time)
        return found

    def files(self) -> list[str]:
        """Return the relative paths of all files beside the tables, sorted."""
        everything = (path.relative_to(self.data) for path in self.data.rglob("*") if path.is_file())
        return sorted(path.as_posix() for path in everything if not path.is_relative_to(TABLES))

    def files_by_table(self) -> dict[str, list[str]]:
        """Return the files beside the tables that each table's step wrote, told by their times of change."""
        steps = self.steps()
        changed = [(path, (self.data / path).stat().st_mtime) for path in self.files()]
        return {
            name: [path for path, time_s in changed if begin <= time_s <= end] for name, (begin, end) in steps.items()
        }

    def forget(self, paths: list[str], table: str | None = None) -> None:
        """Take files away, and a table when one is named."""
        for path in paths:
            (self.data / path).unlink(missing_ok=True)
        if table is not None:
            shutil.rmtree(self.data / TABLES / f"{table}.delta", ignore_errors=True)

    def unlike(self, other: "Study", paths: list[str]) -> list[str]:
        """Return the files, out of `paths`, that are missing here or whose bytes differ from the other study's."""
        own = [path for path in paths if not path.startswith(OF_THIS_FOLDER)]
        return [
            path
            for path in own
            if not path.endswith(WITH_PATHS)
            if not (self.data / path).is_file() or (self.data / path).read_bytes() != (other.data / path).read_bytes()
        ]

    def unfinished(self) -> list[str]:
        """Return the files that a killed writer left behind under their temporary names."""
        return [path for path in self.files() if "partial" in Path(path).name or path.endswith(".tmp")]
