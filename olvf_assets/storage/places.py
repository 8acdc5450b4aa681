"""Where things lie on this machine, and where the lake does.

What lives here: the data folder's path, the lake's place, and which store stands there. What does not: what is in them.
"""

import os
from pathlib import Path

from olvf_assets.foundation.errors import MachineError
from olvf_assets.storage.artifacts import ArtifactStore

PROJECT = Path(__file__).resolve().parents[2]
LAKE_VARIABLE = "OLVF_LAKE"  # s3://bucket/prefix; not set: the folder `lake` of the data folder
REMOTE = "s3://"


class LakePlaceError(MachineError):
    """The lake's place is no address of an object store."""


def data_folder() -> Path:
    """Return the data folder: `OLVF_DATA` if set, else `data/` beside the package."""
    return Path(os.environ.get("OLVF_DATA") or PROJECT / "data").resolve()


def lake_address() -> str:
    """Return the address of the object store that the lake lies in, "" where it lies in the data folder.

    Raises:
        LakePlaceError: `OLVF_LAKE` is something else.
    """
    address = os.environ.get(LAKE_VARIABLE, "").strip().rstrip("/")
    if address and not (address.startswith(REMOTE) and address.removeprefix(REMOTE).partition("/")[0]):
        raise LakePlaceError(
            f"{LAKE_VARIABLE} is no address of an object store; write s3://bucket/prefix, or leave it unset to keep "
            "the lake in the data folder (whose place OLVF_DATA says)"
        )
    return address


def store_of(data: Path, address: str) -> ArtifactStore:
    """Return the store of a lake.

    Args:
        data: the data folder; the lake lies in it, or what this machine keeps of one that lies elsewhere.
        address: as `lake_address` gives it.
    """
    if not address:
        return ArtifactStore(data / "lake")
    from olvf_assets.storage.cached_store import CachedStore

    return CachedStore(address, data / "lake-cache")
