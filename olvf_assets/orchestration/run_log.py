"""The log file of a run: everything that a person does not have to see.

What lives here: where log files lie, how many are kept, writing to one. What does not: what is written (`console.py`).
"""

import os
import time
from contextlib import suppress
from pathlib import Path

from olvf_assets.foundation.errors import OlvfError

LOGS = "logs"  # in the data folder
KEPT_LOGS = 20


class RunLogError(OlvfError):
    """A run's log file cannot be written; the run goes on without."""


class RunLog:
    """The log file of one run.

    Writes go to the file at once and to its end, since programs that the run starts may write there as well.

    Args:
        folder: where log files lie; of those there only the newest stay.
        run_id: Dagster's.

    Raises:
        RunLogError: names the folder and the way out.
    """

    def __init__(self, folder: Path, run_id: str) -> None:
        self.path = folder / f"{time.strftime('%Y-%m-%dT%H%M%S')}-{run_id[:8]}.log"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise RunLogError(
                f"{folder} cannot be written to ({error.strerror}), so this run has no log file; give this user the "
                "right to write there"
            ) from None
        _remove_old(folder)

    def write(self, line: str) -> None:
        """Add a line, or several.

        Raises:
            RunLogError: the disk or its file system refuses.
        """
        rest = f"{line}\n".encode(errors="backslashreplace")
        try:
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]
        except OSError as error:
            raise RunLogError(f"{self.path} cannot be written any further ({error.strerror})") from None

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


def _remove_old(folder: Path) -> None:
    """Remove all log files but the newest; by their last line, so that a long run's own stays while it is written."""
    with suppress(OSError):  # another run tidies as well, or the files are another user's
        found = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime_ns)
        for path in found[:-KEPT_LOGS]:
            path.unlink(missing_ok=True)
