"""Where things lie on this machine, and where the lake does.

What lives here: the data folder's path, the lake's place, and which store stands there. What does not: what is in them.
"""

import os
from pathlib import Path

from olvf_assets.foundation.errors import MachineError, OlvfError
from olvf_assets.storage.artifacts import ArtifactStore, write_atomically

PROJECT = Path(__file__).resolve().parents[2]
LAKE_VARIABLE = "OLVF_LAKE"  # s3://bucket/prefix; not set: the folder `lake` of the data folder
REMOTE = "s3://"
TAKING_BACK = "lake_taking_back.json"  # there while a command changes a lake that lies elsewhere
CACHE = "lake-cache"  # in the data folder: copies of a lake that lies elsewhere
NOTE = "lake_place.txt"  # in the data folder: where its lake lies, if not there


class LakePlaceError(MachineError):
    """The lake's place is no address of an object store, or not where the data folder's tables are."""


class LakeElsewhereError(OlvfError):
    """A command works on a lake in the data folder only, and this one lies elsewhere."""


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


def require_lake_of(data: Path, address: str) -> None:
    """Refuse another lake than the one that a data folder belongs to: half of the tables would be of the other.

    Args:
        data: the data folder; it is noted there where the lake lies, when it is first told.
        address: as `lake_address` gives it.

    Raises:
        LakePlaceError: says which lake it belongs to.
        DiskFullError, WriteFaultError: the disk.
    """
    note = data / NOTE
    known = note.read_text(encoding="utf-8").strip() if note.exists() else ""
    if known == address:
        return
    if known:
        raise LakePlaceError(
            f"the tables of {data} lie in {known}; set {LAKE_VARIABLE}={known}, or name another folder in OLVF_DATA. "
            f"If that lake is given up for good, remove {note}"
        )
    if any((data / "lake" / "tables").glob("*.delta")):
        raise LakePlaceError(
            f"{data / 'lake'} holds tables, and {LAKE_VARIABLE} names another place: copy what is in it there "
            "(aws s3 sync, rclone) and move it away, name another data folder in OLVF_DATA, or leave the variable unset"
        )
    write_atomically(note, lambda temporary: temporary.write_text(f"{address}\n", encoding="utf-8"))


def refuse_elsewhere(address: str, command: str, way_out: str) -> None:
    """Refuse a command that works on a lake in the data folder only.

    Args:
        address: as `lake_address` gives it.
        command: its name.
        way_out: what to do instead, as a sentence without its full stop.

    Raises:
        LakeElsewhereError: the lake lies in an object store.
    """
    if address:
        raise LakeElsewhereError(f"{command} does not work on a lake in an object store ({address}). {way_out}")


def store_of(data: Path, address: str) -> ArtifactStore:
    """Return the store of a lake.

    Args:
        data: the data folder; the lake lies in it, or what this machine keeps of one that lies elsewhere.
        address: as `lake_address` gives it.
    """
    if not address:
        return ArtifactStore(data / "lake")
    from olvf_assets.storage.cached_store import CachedStore

    return CachedStore(address, data / CACHE)
