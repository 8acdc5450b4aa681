"""Files beside the tables: pixels by content hash, and resumable work by fingerprint.

What lives here: `ArtifactStore`, the only code that knows where pictures and checkpoints lie under the lake root.
What does not: tables (Delta Lake, see `lake.py`). Paths kept in tables are relative to the store's root.
"""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from olvf_assets.foundation.errors import MachineError
from olvf_assets.foundation.write_faults import write_faults_named
from olvf_assets.storage import png
from olvf_assets.storage.stored_tables import StoredTables

if TYPE_CHECKING:
    import numpy as np


def fingerprint(description: dict[str, Any]) -> str:
    """Return 16 hex digits that change when anything in `description` (JSON-able) changes."""
    text = json.dumps(description, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


PARTIAL = ".partial-"  # how the name of an unfinished file begins; whatever bears it when no run is alive is rubbish
ABSENT = "absent"
PROVENANCE = "provenance.json"  # of what a piece of long work was made
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


def stamp(path: Path) -> str:
    """Return what changes whenever a file of this machine does: size and time; `absent` if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return ABSENT
    return f"{status.st_size} {status.st_mtime_ns}"


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
    """Pictures named by the hash of their pixels, work folders named by the fingerprint of their inputs, and records.

    All of it is asked for by these few verbs, so that it may lie in an object store as well (`cached_store.py`). They
    take a path below the root, or one relative to it.

    Args:
        root: the lake root on a local or mounted file system.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    @property
    def tables(self) -> StoredTables:
        """Return the tables beside."""
        return StoredTables(str(self.root / "tables"))

    def path(self, relative: Path | str) -> Path:
        """Return where on this machine something lies, or would lie, that a table names by its relative path."""
        return self.root / relative

    def at_hand(self, file: Path | str) -> Path:
        """Return the path by which a file can be opened as long as this process lives, if it is there."""
        return self.path(file)

    def fetch(self, files: Iterable[Path | str]) -> None:
        """Bring files to this machine that are about to be read one after another; only for speed."""

    def read(self, file: Path | str, read: Callable[[Path], Found]) -> Found | None:
        """Return `read(path)`; None if the file is absent or not what was written: see `read_if_whole`."""
        return read_if_whole(self.path(file), read)

    def read_all(self, files: Iterable[Path | str], read: Callable[[Path], Found]) -> list[Found | None]:
        """Return `read(path)` of each of many files, in order, as `read` does."""
        return [self.read(file, read) for file in files]

    def write(self, file: Path | str, write: Callable[[Path], object]) -> None:
        """Call `write(temporary_path)`; nobody ever sees half of what it writes: see `write_atomically`."""
        write_atomically(self.path(file), write)

    def write_text(self, file: Path | str, text: str) -> None:
        """Write a small text as `write` does."""
        self.write(file, lambda temporary: temporary.write_text(text, encoding="utf-8"))

    def remove(self, file: Path | str) -> None:
        """Remove a file, or a folder with all that is in it; nothing need be there."""
        remove(self.path(file))

    def exists(self, file: Path | str) -> bool:
        """Return whether a file is there."""
        return self.path(file).exists()

    def files(self, folder: Path | str, pattern: str) -> list[Path]:
        """Return the files of a folder whose relative paths match a pattern (`*.json`, `*/provenance.json`), sorted."""
        return sorted(self.path(folder).glob(pattern))

    def stamps(self, files: Iterable[str]) -> dict[str, str]:
        """Return, by relative path, what changes whenever a file does; `absent` for one that is not there."""
        return {file: stamp(self.path(file)) for file in files}

    def publish(self, file: Path, name: str) -> None:
        """Let others have a file that lies with the driver, under a name; where the lake is a folder they have it."""

    def save_image(self, pixels: "np.ndarray") -> tuple[str, str]:
        """Store an 8-bit grey picture and return (relative path, sha256 of shape and pixels).

        Args:
            pixels: uint8 array, shape (height_px, width_px). Saving the same pixels twice writes once; a file that is
                visibly damaged is written again.
        """
        import numpy as np

        if pixels.dtype != np.uint8 or pixels.ndim != 2:
            raise ValueError(f"expected uint8 (height, width), got {pixels.dtype} {pixels.shape}")
        digest = png.pixel_sha256(pixels)
        relative = f"images/{digest[:2]}/{digest}.png"
        if not self.has_image(relative):
            self.write(relative, png.encoded(pixels).tofile)
        return relative, digest

    def has_image(self, relative: str) -> bool:
        """Return whether a picture is there from its first byte to its last, without decoding it."""
        return read_if_whole(self.path(relative), png.ends_are_there) or False

    def image_check(self) -> Callable[[str], bool]:
        """Return `has_image` for whoever is about to ask for many."""
        return self.has_image

    def load_image(self, relative: str) -> "np.ndarray":
        """Return the uint8 picture (height_px, width_px) stored under a relative path, held against its hash.

        Raises:
            DamagedPictureError: it is missing, or damaged; a damaged one is removed, so that it is made again.
        """
        pixels = self.read(relative, png.named_picture)
        if pixels is None:
            self.remove(relative)
            raise DamagedPictureError(
                f"{self.path(relative)} was missing or damaged (a power cut?); start the same command again, or "
                "materialise film_pixels and what follows: the picture is made again from its film"
            )
        return pixels

    def work_folder(self, kind: str, description: dict[str, Any]) -> Path:
        """Return the path of a piece of long work's folder, one per distinct description of its inputs.

        A run that is killed and started again finds the same folder; work with other inputs, settings, seed or code
        version gets another one. The description is kept there as `provenance.json`.
        """
        folder = self.root / "work" / kind / fingerprint(description)
        record = folder / PROVENANCE
        if self.read(record, read_json) is None:
            self.write_text(record, json.dumps(description, indent=2, sort_keys=True, default=str))
        return folder

    def descriptions(self, kind: str) -> list[dict[str, Any]]:
        """Return the description of every piece of long work of a kind; one that cannot be read is none."""
        found = (self.read(record, read_json) for record in self.files(f"work/{kind}", f"*/{PROVENANCE}"))
        return [each for each in found if each is not None]
