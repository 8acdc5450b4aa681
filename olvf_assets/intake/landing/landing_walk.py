"""Every path below a landing folder, with what is to become of it.

What lives here: walking the folder and listing what ZIP archives hold, and the rules by which a path is left alone or
refused unread. What does not: what a file is (stations), hashes (`landing`). Nothing is left out: a path that no
rule names has arrived and is read. Links are followed, as whoever put them there means them.
"""

import os
import stat
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from olvf_assets.foundation.errors import SystemFaultError, is_of_the_machine
from olvf_assets.intake.landing.archives import Member, UnusableArchiveError, archive_members, is_archive
from olvf_assets.intake.landing.file_names import on_disk, text_of
from olvf_assets.intake.landing.foreign import Refusal, read_apart
from olvf_assets.storage.remembered import Stamp

# A program that is still copying gives its file one of these endings; such a file is left for the next run.
UNFINISHED_SUFFIXES = (".part", ".partial", ".tmp", ".filepart", ".crdownload", ".download")
SYSTEM_NAMES = ("__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db", "$recycle.bin", "system volume information")

# `archive`: its members are listed in its place; `ignored`: left alone by a rule; `refused`: cannot be read.
PathState = Literal["arrived", "archive", "ignored", "refused"]
NO_STAMP = Stamp(0, 0, 0, 0)


class LandedFile(NamedTuple):
    """A path below a landing folder, by itself or inside a ZIP archive; the stamp is that of the file on disk.

    `path` is posix and relative, as text (see `file_names`); a folder that cannot be listed ends in a slash.
    """

    path: str
    size_bytes: int
    stamp: Stamp
    state: PathState = "arrived"
    reason: str | None = None
    detail: str | None = None


def walk_landing(folder: Path, unopened: Callable[[str], bool] = lambda path: False) -> list[LandedFile]:
    """Return every path below a landing folder, sorted by path.

    Args:
        folder: the landing folder; one that does not exist holds nothing.
        unopened: tells of which archives (by path) the members are not listed.

    Raises:
        SystemFaultError: a disk fails.
    """
    found: list[LandedFile] = []
    for file in walk_files(folder):
        if file.state == "arrived" and is_archive(file.path):
            found += _unpacked(folder, file, unopened=unopened(file.path))
        else:
            found.append(file)
    return sorted(found)


def arrived_paths(folder: Path) -> list[str]:
    """Return the sorted paths (posix, relative) of all files that have arrived, archives as they are."""
    return sorted(file.path for file in walk_files(folder) if file.state == "arrived")


def walk_files(folder: Path) -> list[LandedFile]:
    """Return every path below a folder, archives as they are, in the order of the walk.

    Raises:
        SystemFaultError: a disk fails.
    """
    try:
        return list(_walk(folder, "", None, frozenset()))
    except OSError as error:
        raise SystemFaultError(f"{folder}: the folder could not be listed: {error.strerror}") from None


def _walk(folder: Path, inside: str, ignored: str | None, above: frozenset[tuple[int, int]]) -> Iterator[LandedFile]:
    """Yield what lies in one folder and below; `ignored` is the rule that already holds for all of it."""
    try:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in above:
            yield LandedFile(inside, 0, NO_STAMP, "ignored", "link_to_above", "a link to a folder that it lies in")
            return
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return  # taken away since its parent was listed
    except OSError as error:
        if is_of_the_machine(error):
            raise
        detail = "this user may not list the folder; run: chmod u+rx on it, or take it away"
        yield LandedFile(inside, 0, NO_STAMP, "refused", "unreadable_folder", detail)
        return
    for entry in entries:
        path = f"{inside}{text_of(entry.name)}"
        rule = ignored or name_rule(entry.name)
        if _is_folder(entry):
            below = above | {(status.st_dev, status.st_ino)}
            yield from _walk(folder / entry.name, f"{path}/", rule, below)
        else:
            yield from _file(entry, path, rule)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _file(entry: "os.DirEntry[str]", path: str, rule: str | None) -> Iterator[LandedFile]:
    try:
        status = entry.stat()
    except OSError as error:
        if not entry.is_symlink():
            return  # taken away since the folder was listed
        broken = LandedFile(path, 0, NO_STAMP, "refused", "broken_link", f"leads nowhere ({error.strerror})")
        yield broken if rule is None else LandedFile(path, 0, NO_STAMP, "ignored", rule)
        return
    stamp = Stamp.of(status)
    if rule:
        yield LandedFile(path, status.st_size, stamp, "ignored", rule)
    elif not stat.S_ISREG(status.st_mode):
        yield LandedFile(path, 0, stamp, "refused", "no_file", "a pipe, socket or device, not a file")
    elif not os.access(entry.path, os.R_OK):
        detail = "this user may not read the file; run: chmod u+r on it, or take it away"
        yield LandedFile(path, status.st_size, stamp, "refused", "unreadable", detail)
    else:
        yield LandedFile(path, status.st_size, stamp)


def name_rule(name: str) -> str | None:
    """Return the rule by which a file or folder of this name is left alone, None if there is none."""
    plain = name.lower()
    if plain.startswith("."):
        return "hidden"
    if plain in SYSTEM_NAMES or plain.startswith("~$"):
        return "of_the_system"
    if plain.endswith("~"):
        return "backup_copy"
    if plain.endswith(UNFINISHED_SUFFIXES):
        return "half_copied"
    return None


def _unpacked(folder: Path, file: LandedFile, *, unopened: bool) -> Iterator[LandedFile]:
    """Yield an archive and its members, or the archive alone when it is not opened."""
    if unopened:
        detail = "archives among the boxes are not opened; unpack it"
        yield file._replace(state="refused", reason="archive_not_opened", detail=detail)
        return
    members = _members_apart(on_disk(folder, file.path), file.stamp)
    if isinstance(members, Refusal):
        yield file._replace(state="refused", reason=members.reason, detail=members.detail)
        return
    if not members:
        yield file._replace(state="refused", reason="archive_not_opened", detail="no file is in this archive")
        return
    yield file._replace(state="archive")
    for member in members:
        rule = next(filter(None, map(name_rule, PurePosixPath(member.name).parts)), None)
        inside = LandedFile(f"{file.path}/{member.name}", member.size_bytes, file.stamp)
        if rule:
            yield inside._replace(state="ignored", reason=rule)
        elif member.refusal:
            yield inside._replace(state="refused", reason=member.refusal[0], detail=member.refusal[1])
        else:
            yield inside


@lru_cache(maxsize=64)
def _members_apart(archive: Path, stamp: Stamp) -> list[Member] | Refusal:
    """Return what an archive holds, listed behind the boundary; `stamp` makes a changed file another one."""
    (answer,) = read_apart(archive_members, [archive])
    return Refusal(answer.reason, answer.detail) if isinstance(answer, UnusableArchiveError) else answer
