"""Files beside the tables: pixels by content hash, and resumable work by fingerprint.

What lives here: `ArtifactStore`, the only code that knows where pictures and checkpoints lie under the lake root.
What does not: tables (Delta Lake, see `lake.py`). Paths kept in tables are relative to the store's root.
"""

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from olvf_assets.foundation.errors import MachineError


def fingerprint(description: dict[str, Any]) -> str:
    """Return 16 hex digits that change when anything in `description` (JSON-able) changes."""
    text = json.dumps(description, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


LEAST_FREE_BYTES = 2**20


class DiskFullError(MachineError):
    """There is no room left to write; what was there before is as it was."""


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write(temporary_path)` and rename the result to `path`, so that no reader ever sees half a file.

    Raises:
        DiskFullError: no room is left on the disk, or the user's quota is used up.
    """
    temporary = path.parent / f".partial-{uuid.uuid4().hex}{path.suffix}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        os.replace(temporary, path)
    except Exception as error:
        # torch reports a full disk as an error of its own, without a number
        out_of_room = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if out_of_room or _free_bytes(path) < LEAST_FREE_BYTES:
            raise DiskFullError(
                f"{path} could not be written: no room is left on its disk; make some, or name another data folder in "
                "OLVF_DATA, and start the same command again: finished work is kept"
            ) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _free_bytes(path: Path) -> int:
    """Return the room left on the disk of a path, whose last folders need not exist."""
    there = next(folder for folder in path.absolute().parents if folder.exists())
    return shutil.disk_usage(there).free


class ArtifactStore:
    """Pictures named by the hash of their pixels, and work folders named by the fingerprint of their inputs.

    Args:
        root: the lake root on a local or mounted file system.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def path(self, relative: str) -> Path:
        """Return the absolute path of something that a table names by its relative path."""
        return self.root / relative

    def save_image(self, pixels: np.ndarray) -> tuple[str, str]:
        """Store an 8-bit grey picture and return (relative path, sha256 of shape and pixels).

        Args:
            pixels: uint8 array, shape (height_px, width_px). Saving the same pixels twice writes once.
        """
        import cv2

        if pixels.dtype != np.uint8 or pixels.ndim != 2:
            raise ValueError(f"expected uint8 (height, width), got {pixels.dtype} {pixels.shape}")
        digest = hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()
        relative = f"images/{digest[:2]}/{digest}.png"
        path = self.path(relative)
        if not path.exists():
            # Run lengths suit radiographs: 0.05 s a film instead of 0.08 s with zlib's own strategy, 5 % smaller.
            options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
            _, encoded = cv2.imencode(".png", pixels, options)
            write_atomically(path, encoded.tofile)
        return relative, digest

    def load_image(self, relative: str) -> np.ndarray:
        """Return the uint8 picture (height_px, width_px) stored under a relative path."""
        import cv2

        pixels = cv2.imread(str(self.path(relative)), cv2.IMREAD_GRAYSCALE)
        if pixels is None:
            raise FileNotFoundError(f"{self.path(relative)} is missing or not a picture; materialise its asset again")
        return pixels

    def work_folder(self, kind: str, description: dict[str, Any]) -> Path:
        """Return (made if needed) the folder of a piece of long work, one per distinct description of its inputs.

        A run that is killed and started again finds the same folder; work with other inputs, settings, seed or code
        version gets another one. The description is kept there as `provenance.json`.
        """
        folder = self.root / "work" / kind / fingerprint(description)
        record = folder / "provenance.json"
        if not record.exists():
            text = json.dumps(description, indent=2, sort_keys=True, default=str)
            write_atomically(record, lambda temporary: temporary.write_text(text))
        return folder
