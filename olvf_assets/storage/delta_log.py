"""What lies in the log of a Delta table.

What lives here: which commits there are, and whether there is a table at all. What does not: their content
(`crash.py`).
"""

import re
from pathlib import Path

COMMIT = re.compile(r"\d{20}\.json")
CHECKPOINT = re.compile(r"\d{20}\.checkpoint.*\.parquet")


def log_of(table: Path) -> Path:
    """Return the folder of a table's log."""
    return table / "_delta_log"


def commits(table: Path) -> list[Path]:
    """Return the files of a table's commits, oldest first."""
    return [file for file in _files(table) if COMMIT.fullmatch(file.name)]


def is_there(table: Path) -> bool:
    """Return whether there is a table: while it is written for the first time, its folders are there, but no commit."""
    return any(COMMIT.fullmatch(file.name) or CHECKPOINT.fullmatch(file.name) for file in _files(table))


def _files(table: Path) -> list[Path]:
    log = log_of(table)
    return sorted(log.iterdir()) if log.is_dir() else []
