"""A plain walk of a landing folder, by other code than the intake's own, to hold its list against.

What lives here: counting what lies in a folder with `os.walk`, and in a ZIP archive from the bytes of its directory.
What does not: any rule about what is taken in (`intake/landing/landing_walk.py`), which this must never import.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from olvf_assets.intake.landing.file_names import on_disk, text_of
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.intake.privacy.safe_paths import PathNames

# Central directory of ZIP (APPNOTE 4.3.12 and 4.3.16): signature, lengths and offsets.
_DIRECTORY_ENTRY, _ENTRY_BYTES = b"PK\x01\x02", 46
_END, _END_BYTES, _LONGEST_COMMENT = b"PK\x05\x06", 22, 1 << 16


def unlisted_paths(
    folder: Path, manifest: pl.DataFrame, paths: PathNames, names: Pseudonymiser, began_ns: int
) -> pl.DataFrame:
    """Return what lies in a landing folder and is not in its manifest, and archives with more files than listed.

    Args:
        folder: the landing folder.
        manifest: table `landing_manifest` of it.
        paths: the names that its files are shown by.
        names: makes the names of files that have none, in the form of a film's pseudonym.
        began_ns: when the manifest was begun; what changed since is left to the next run.
    """
    listed = set(manifest["path"])
    found = [
        {"path": paths.shown(path) or names.film(path), "detail": "lies in the folder and is not listed"}
        for path, ctime_ns in paths_found(folder)
        if ctime_ns < began_ns and paths.shown(path) not in listed
    ]
    real = [paths.real(path) for path in listed]
    for shown in manifest.filter(state="archive")["path"]:
        archive = paths.real(shown)
        held, members = files_in_archive(on_disk(folder, archive)), sum(path.startswith(archive + "/") for path in real)
        if held is not None and held != members:
            found.append({"path": shown, "detail": f"holds {held} files, of which {members} are listed"})
    return pl.DataFrame(found, schema={"path": pl.String, "detail": pl.String})


def paths_found(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield (posix path relative to the folder, ctime in ns) of everything below that is no folder.

    Links to folders are followed, each folder on a way down once; a folder that cannot be listed, or that is a link
    back up, is yielded itself, with a slash at its end.
    """
    silent: list[str] = []
    for here, folders, files in os.walk(folder, followlinks=True, onerror=lambda error: silent.append(error.filename)):
        above = {os.path.realpath(each) for each in (here, *map(str, Path(here).parents))}
        for name in list(folders):
            place = os.path.join(here, name)
            if os.path.realpath(place) in above:
                folders.remove(name)
                yield _relative(folder, place) + "/", os.lstat(place).st_ctime_ns
        for name in files:
            place = os.path.join(here, name)
            try:
                yield _relative(folder, place), os.lstat(place).st_ctime_ns
            except FileNotFoundError:
                continue  # taken away meanwhile
    for place in silent:
        if os.path.lexists(place):
            yield _relative(folder, place) + "/", os.lstat(place).st_ctime_ns


def _relative(folder: Path, place: str) -> str:
    return text_of(Path(place).relative_to(folder).as_posix())


def files_in_archive(archive: Path) -> int | None:
    """Return how many files (not folders) a ZIP archive's directory lists; None where it is not of the plain kind."""
    with archive.open("rb") as handle:
        size = handle.seek(0, os.SEEK_END)
        handle.seek(max(0, size - _END_BYTES - _LONGEST_COMMENT))
        end = handle.read()
        place = end.rfind(_END)
        if place < 0:
            return None
        total, length, _start = struct.unpack_from("<HII", end, place + 10)
        before_end = size - len(end) + place
        if total == 0xFFFF or length > before_end:
            return None  # ZIP64, or damaged
        handle.seek(before_end - length)
        directory = handle.read(length)
    count = at = 0
    while directory[at : at + 4] == _DIRECTORY_ENTRY and at + _ENTRY_BYTES <= len(directory):
        name, extra, comment = struct.unpack_from("<HHH", directory, at + 28)
        count += directory[at + _ENTRY_BYTES + name - 1 : at + _ENTRY_BYTES + name] not in (b"/", b"\\")
        at += _ENTRY_BYTES + name + extra + comment
    return count
