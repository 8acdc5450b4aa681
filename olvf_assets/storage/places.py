"""Where things lie on this machine.

What lives here: the data folder's path. What does not: what is in it.
"""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def data_folder() -> Path:
    """Return the data folder: `OLVF_DATA` if set, else `data/` beside the package."""
    return Path(os.environ.get("OLVF_DATA") or PROJECT / "data").resolve()
