"""Faults of the disk that a writer meets, told as what they are.

What lives here: telling whether an error is about the disk, and the named errors that say so. What does not: how files
are written (`artifacts.py`, `lake.py`).
"""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from olvf_assets.foundation.errors import MachineError, OlvfError

LEAST_FREE_BYTES = 2**20
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
DISK_FAULTS = (errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.EFBIG)
# What numpy (tofile), torch (save) and DuckDB say of a write that failed, without the system's reason.
WORDS_OF_WRITERS = ("requested and", "inline_container.cc", "PytorchStreamWriter failed writing", "fsync failed")


class WriteFaultError(MachineError):
    """A file of the data folder could not be written; what was there before is as it was."""


class DiskFullError(WriteFaultError):
    """There is no room left to write; what was there before is as it was."""


@contextmanager
def write_faults_named(path: Path) -> Iterator[None]:
    """Let whatever a writer of `path` raises because of the disk leave a `with` block as a fault of the machine.

    Raises:
        DiskFullError: no room is left on the disk, or the user's quota is used up.
        WriteFaultError: the disk or its file system refuses.
    """
    try:
        yield
    except Exception as error:
        fault = None if isinstance(error, OlvfError) else write_fault(path, error)
        if fault is not None:
            raise fault from error
        raise


def write_fault(path: Path, error: Exception) -> WriteFaultError | None:
    """Return the error that says that the disk of `path` is at fault, or None if the disk is not what `error` is about.

    Args:
        path: what could not be written.
        error: what the writer raised: deltalake gives the system's number in the text, DuckDB its words, others their
            own.
    """
    said, numbers = str(error), (*NO_ROOM, *DISK_FAULTS)
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        number = next((each for each in numbers if f"(os error {each})" in said or os.strerror(each) in said), None)
    if number is None and any(words in said for words in WORDS_OF_WRITERS):
        number = errno.EIO
    if number in NO_ROOM or _free_bytes(path) < LEAST_FREE_BYTES:
        return DiskFullError(
            f"{path} could not be written: no room is left on its disk; make some, or name another data folder in "
            "OLVF_DATA, and start the same command again: finished work is kept"
        )
    if number in DISK_FAULTS:
        return WriteFaultError(
            f"{path} could not be written ({os.strerror(number)}); see to the disk and to this user's rights on "
            "it, and start the same command again: finished work is kept"
        )
    return None


def _free_bytes(path: Path) -> int:
    """Return the room left on the disk of a path, whose last folders need not exist."""
    there = next(folder for folder in path.absolute().parents if folder.exists())
    return shutil.disk_usage(there).free
