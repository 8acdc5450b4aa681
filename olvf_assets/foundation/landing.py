"""What a hospital hands over: the landing folder of one institution.

What lives here: the layout of that folder (names of sheets and folders) and the list of files that arrived
(`landing_manifest`). What does not: who the institution is (`institution_file`), ZIP archives (`archives`), reading a
film or a sheet (room `intake`), writing such a folder (room `phantom`).
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import polars as pl

from olvf_assets.foundation.archives import (
    UnusableArchiveError,
    archive_members,
    archive_of,
    is_archive,
    read_member,
)
from olvf_assets.foundation.box_names import box_role, in_box_folder
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.parallel import available_cores
from olvf_assets.foundation.remembered import RememberedFacts, Stamp

INSTITUTION_FILE = "institution.toml"
FILMS_FOLDER = "films"

Sheet = Literal["subjects", "readers", "conditions"]
SHEETS: tuple[Sheet, ...] = get_args(Sheet)
SHEET_SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx", ".xls")
# readers.csv, or one file per reader: readers_1.xlsx, readers_2_reading_2.csv, readers_consensus.csv
SHEET_FILE = re.compile(
    r"(?P<sheet>subjects|conditions|readers)"
    r"(?:(?<=readers)_(?P<reader>1|2|consensus)(?:_reading_(?P<reading>[12]))?)?"
    rf"(?:{'|'.join(map(re.escape, SHEET_SUFFIXES))})",
    re.IGNORECASE,
)

# A program that is still copying gives its file one of these endings; such a file is left for the next run.
UNFINISHED_SUFFIXES = (".part", ".partial", ".tmp", ".filepart", ".crdownload", ".download")

FILES_IN_QUEUE = 1000  # a file waiting to be hashed takes memory

LANDING_MANIFEST = pl.Schema({"institution": pl.String, "path": pl.String, "size_bytes": pl.Int64, "sha256": pl.String})


class LandingError(OlvfError):
    """The landing folder of an institution cannot be used as it is."""


class EmptyLandingError(LandingError):
    """The landing folder holds no film."""


def is_sheet(path: str) -> bool:
    """Return whether a path (posix, relative to the landing folder) is a known sheet or box file, not a film."""
    return box_role(path) is not None or path == INSTITUTION_FILE or SHEET_FILE.fullmatch(path) is not None


def landing_files(folder: Path) -> list[str]:
    """Return the sorted paths (posix, relative) of all files that have arrived: no dot-files, none half-copied."""
    found = []
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        if any(part.startswith(".") for part in relative.parts) or path.name.endswith("~"):
            continue
        if path.suffix.lower() in UNFINISHED_SUFFIXES or not path.is_file():
            continue
        found.append(relative.as_posix())
    return sorted(found)


class LandedFile(NamedTuple):
    """A file that has arrived, by itself or inside a ZIP archive; the stamp is that of the file on disk."""

    path: str
    size_bytes: int
    stamp: Stamp


def landed_files(folder: Path) -> list[LandedFile]:
    """Return all files that have arrived, sorted by path; a ZIP archive is replaced by the files inside it.

    An archive that cannot be used (see `archives`), or that lies among the boxes, stays one file.
    """
    found: list[LandedFile] = []
    for path in landing_files(folder):
        try:
            status = (folder / path).stat()
        except FileNotFoundError:
            continue  # taken away since the folder was listed
        stamp = Stamp(status.st_size, status.st_mtime_ns, status.st_ino)
        alone = LandedFile(path, status.st_size, stamp)
        if not is_archive(path) or in_box_folder(path):
            found.append(alone)
            continue
        try:
            members = archive_members(folder / path)
        except UnusableArchiveError:
            members = {}
        found += [LandedFile(f"{path}/{name}", size, stamp) for name, size in members.items()] or [alone]
    return sorted(found)


def landing_manifest(
    folder: Path,
    institution: str,
    workers: int = 0,
    *,
    show: Callable[[str], str | None] | None = None,
    hashes: RememberedFacts | None = None,
    report: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """List the files of a landing folder with their sizes and hashes (table `landing_manifest`).

    Args:
        folder: the landing folder of one institution.
        institution: its key.
        workers: threads (hashing releases the interpreter lock); 0 means one per core.
        show: turns a path into the path that may be shown, see `intake.safe_paths`; default: as it is. None means that
            the file came too late for this run.
        hashes: sha256 of files that have not changed since an earlier run; they are not read.
        report: told how many files were still being written and left out.

    Raises:
        EmptyLandingError: the folder is missing, empty, or holds sheets only.
    """
    files = landed_files(folder) if folder.is_dir() else []
    if all(is_sheet(file.path) for file in files):
        raise EmptyLandingError(
            f"{folder} holds no films ({len(files)} sheets); copy the DICOM files to {folder / FILMS_FOLDER}, "
            "in any folders, and start again"
        )
    files, digests = _hashed(folder, files, hashes or RememberedFacts(None, str), workers or available_cores())
    listed = pl.DataFrame(
        {
            "institution": [institution] * len(files),
            "path": [show(file.path) if show else file.path for file in files],
            "size_bytes": [file.size_bytes for file in files],
            "sha256": digests,
        },
        schema=LANDING_MANIFEST,
    ).drop_nulls()
    if report is not None and listed.height < len(files):
        report(f"{len(files) - listed.height} files of {institution} are still being written and wait for the next run")
    return listed.sort("path")


def _hashed(
    folder: Path, files: list[LandedFile], hashes: RememberedFacts, workers: int
) -> tuple[list[LandedFile], list[str | None]]:
    """Return the files with the sha256 of each. An archive with a damaged member takes its members' place."""
    damaged: set[str] = set()
    stamps = {file.path: file.stamp for file in files}

    def find(paths: list[str]) -> list[str | None]:
        found: list[str | None] = []
        with ThreadPoolExecutor(workers) as pool:
            for start in range(0, len(paths), FILES_IN_QUEUE):
                few = paths[start : start + FILES_IN_QUEUE]
                found += pool.map(lambda path: _hash(folder, path, stamps[path], damaged), few)
        return found

    digests = hashes.facts([(file.path, file.stamp) for file in files], find)
    for archive in sorted(damaged):
        whole = LandedFile(archive, (folder / archive).stat().st_size, stamps[next(_inside(stamps, archive))])
        kept = [(file, each) for file, each in zip(files, digests, strict=True) if not _is_inside(file.path, archive)]
        kept.append((whole, _hash(folder, archive, whole.stamp, damaged)))
        files, digests = [file for file, _ in kept], [each for _, each in kept]
    return files, digests


def _is_inside(path: str, archive: str) -> bool:
    return path.startswith(archive + "/")


def _inside(paths: Iterable[str], archive: str) -> Iterator[str]:
    return (path for path in paths if _is_inside(path, archive))


def _hash(folder: Path, path: str, stamp: Stamp, damaged: set[str]) -> str | None:
    """Return the sha256 of a file, None if it is not the one with this stamp any more or its archive is damaged."""
    inside = archive_of(folder, path)
    file = folder / path if inside is None else inside[0]
    try:
        if inside is None:
            with file.open("rb") as handle:
                digest = hashlib.file_digest(handle, "sha256").hexdigest()
        else:
            digest = hashlib.sha256(read_member(*inside)).hexdigest()
        after = file.stat()
    except UnusableArchiveError:
        damaged.add(file.relative_to(folder).as_posix())
        return None
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise LandingError(f"{file} may not be read by this user; run: chmod u+r on it, or take it away") from error
    return digest if stamp[:2] == (after.st_size, after.st_mtime_ns) else None
