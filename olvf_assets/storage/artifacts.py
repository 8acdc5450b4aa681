"""Files beside the tables: pixels by content hash, and resumable work by fingerprint.

What lives here: `ArtifactStore`, the only code that knows where pictures and checkpoints lie under the lake root.
What does not: tables (Delta Lake, see `lake.py`). Paths kept in tables are relative to the store's root.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from olvf_assets.foundation.errors import MachineError
from olvf_assets.foundation.write_faults import write_faults_named

if TYPE_CHECKING:
    import numpy as np


def fingerprint(description: dict[str, Any]) -> str:
    """Return 16 hex digits that change when anything in `description` (JSON-able) changes."""
    text = json.dumps(description, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


PARTIAL = ".partial-"  # how the name of an unfinished file begins; whatever bears it when no run is alive is rubbish
PNG_HEAD, PNG_TAIL = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\0\0\0\0IEND\xaeB`\x82"
Found = TypeVar("Found")


class UnreadableStoreError(MachineError):
    """A file of the data folder is there and may not be read."""


class DamagedPictureError(MachineError):
    """A picture that a table names is missing or damaged."""


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write(temporary_path)` and rename the result to `path`, so that no reader ever sees half a file.

    The content is on the disk before it bears its name, and the name before this returns: a power cut leaves the old
    file or the new one.

    Raises:
        DiskFullError: no room is left on the disk, or the user's quota is used up.
        WriteFaultError: the disk or its file system refuses.
    """
    temporary = path.parent / f"{PARTIAL}{uuid.uuid4().hex}{path.suffix}"
    try:
        with write_faults_named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write(temporary)
            put_in_place(temporary, path)
    finally:
        with suppress(OSError):  # a disk that fails here too keeps its rubbish until `remove_partials`
            temporary.unlink(missing_ok=True)


def write_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Write text files into a folder that takes the place of the one there as a whole.

    All of them are on the disk before the folder bears its name. Whatever fails, the folder before stays; a kill in the
    moment between two renames leaves none.

    Args:
        folder: its path.
        files: text by path in the folder.

    Raises:
        DiskFullError: no room is left on the disk, or the user's quota is used up.
        WriteFaultError: the disk or its file system refuses.
    """
    new, old = (folder.parent / f"{PARTIAL}{kind}-{uuid.uuid4().hex}" for kind in ("new", "old"))
    try:
        with write_faults_named(folder):
            for name, text in files.items():
                file = new / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
                sync(file)
            if folder.exists():
                os.replace(folder, old)
            os.replace(new, folder)
            sync(folder.parent)
    finally:
        with suppress(OSError):
            if old.exists() and not folder.exists():
                os.replace(old, folder)
        for each in (new, old):
            shutil.rmtree(each, ignore_errors=True)


def put_in_place(temporary: Path, path: Path) -> None:
    """Rename a finished file of the same folder to `path`, once its content is on the disk."""
    sync(temporary)
    os.replace(temporary, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_if_whole(path: Path, read: Callable[[Path], Found]) -> Found | None:
    """Return `read(path)`; None if the file is absent or not what was written, so that its caller makes it again.

    A power cut leaves files empty, cut off or full of zeros, and each format has exceptions of its own for that.

    Args:
        path: of a file that this program can make again.
        read: raises, whatever it likes, on a file that is not whole.

    Raises:
        UnreadableStoreError: the file is there and this user may not read it.
    """
    try:
        return read(path)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise UnreadableStoreError(f"{path} may not be read by this user; give it the right: chmod u+r") from error
    except MemoryError:
        raise
    except Exception:
        return None


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, for `read_if_whole`.

    Raises:
        ValueError: the file holds no JSON object.
    """
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no JSON object")
    return found


def remove_partials(folder: Path) -> int:
    """Remove what killed runs left half-written below a folder, and return how many files and folders that were.

    No run may be alive.

    Raises:
        WriteFaultError: the disk or its file system refuses.
    """
    left = list(folder.rglob(f"{PARTIAL}*"))
    for path in left:
        remove(path)
    return len(left)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; nothing need be there.

    Raises:
        WriteFaultError: the disk, its file system or this user's rights do not let it be removed.
    """
    with write_faults_named(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


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

    def save_image(self, pixels: "np.ndarray") -> tuple[str, str]:
        """Store an 8-bit grey picture and return (relative path, sha256 of shape and pixels).

        Args:
            pixels: uint8 array, shape (height_px, width_px). Saving the same pixels twice writes once; a file that is
                visibly damaged is written again.
        """
        import cv2
        import numpy as np

        if pixels.dtype != np.uint8 or pixels.ndim != 2:
            raise ValueError(f"expected uint8 (height, width), got {pixels.dtype} {pixels.shape}")
        digest = _pixel_sha256(pixels)
        relative = f"images/{digest[:2]}/{digest}.png"
        path = self.path(relative)
        if not self.has_image(relative):
            # Run lengths suit radiographs: 0.05 s a film instead of 0.08 s with zlib's own strategy, 5 % smaller.
            options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
            _, encoded = cv2.imencode(".png", pixels, options)
            write_atomically(path, encoded.tofile)
        return relative, digest

    def has_image(self, relative: str) -> bool:
        """Return whether a picture is there from its first byte to its last, without decoding it."""
        return read_if_whole(self.path(relative), _png_ends) or False

    def load_image(self, relative: str) -> "np.ndarray":
        """Return the uint8 picture (height_px, width_px) stored under a relative path, held against its hash.

        Raises:
            DamagedPictureError: it is missing, or damaged; a damaged one is removed, so that it is made again.
        """
        path = self.path(relative)
        pixels = read_if_whole(path, _decoded)
        if pixels is None or _pixel_sha256(pixels) != path.stem:
            remove(path)
            raise DamagedPictureError(
                f"{path} was missing or damaged (a power cut?); start the same command again, or materialise "
                "film_pixels and what follows: the picture is made again from its film"
            )
        return pixels

    def work_folder(self, kind: str, description: dict[str, Any]) -> Path:
        """Return (made if needed) the folder of a piece of long work, one per distinct description of its inputs.

        A run that is killed and started again finds the same folder; work with other inputs, settings, seed or code
        version gets another one. The description is kept there as `provenance.json`.
        """
        folder = self.root / "work" / kind / fingerprint(description)
        record = folder / "provenance.json"
        if read_if_whole(record, read_json) is None:
            text = json.dumps(description, indent=2, sort_keys=True, default=str)
            write_atomically(record, lambda temporary: temporary.write_text(text))
        return folder


def _pixel_sha256(pixels: "np.ndarray") -> str:
    import numpy as np

    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _png_ends(path: Path) -> bool:
    with path.open("rb") as file:
        begins = file.read(len(PNG_HEAD)) == PNG_HEAD
        file.seek(-len(PNG_TAIL), os.SEEK_END)
        return begins and file.read() == PNG_TAIL


def _decoded(path: Path) -> "np.ndarray":
    import cv2
    import numpy as np

    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise ValueError(f"{path} holds no picture")
    return pixels
