"""A collection as a user has downloaded it: a folder, with or without ZIP archives in it.

What lives here: listing its files and reading them, as carefully as intake does with a hospital's folder (links,
archives that lie or burst, unreadable files). What does not: what the files are (`buu`, `mendeley`, `vindr`,
`pictures`).
"""

import hashlib
import re
from collections import Counter, defaultdict
from functools import cached_property
from pathlib import Path, PurePosixPath

from olvf_assets.commands.collections.planned import Skipped
from olvf_assets.foundation.errors import OlvfError, is_of_the_machine
from olvf_assets.intake.boxes.films_of_pictures import NAMELESS_FOLDERS
from olvf_assets.intake.landing.archives import UnusableArchiveError, is_archive, open_landed
from olvf_assets.intake.landing.box_names import BESIDE_BOXES, is_class_list
from olvf_assets.intake.landing.landing_walk import walk_landing
from olvf_assets.intake.landing.texts import NotTextError, decoded

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"})
LARGEST_TEXT_BYTES = 64_000_000
LONGEST_NAME_BYTES = 200  # of a file; no system takes more than 255
IN_ARCHIVE = re.compile(r"\.zip/", re.IGNORECASE)


class UnreadableLabelsError(OlvfError):
    """A file beside the pictures is no text, too large or cannot be opened (internal; becomes a skipped file)."""


class Download:
    """The files of a collection. Paths are posix and relative to its folder; those of archives lead into them.

    Args:
        folder: where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.skipped: list[Skipped] = []
        self.paths: list[str] = []
        for file in walk_landing(folder):
            if file.state == "refused":
                self.skipped.append(Skipped(file.path, file.reason or "refused", file.detail or ""))
            elif file.state == "arrived" and is_archive(file.path):
                self.skipped.append(Skipped(file.path, "archive_in_archive", "an archive in another; unpack it first"))
            elif file.state == "arrived":
                self.paths.append(file.path)

    @cached_property
    def pictures(self) -> list[str]:
        """Return the paths that end like a picture's."""
        return [path for path in self.paths if suffix(path) in PICTURE_SUFFIXES]

    @cached_property
    def by_stem(self) -> dict[str, list[str]]:
        """Return all paths by file name without ending, in small letters."""
        found: dict[str, list[str]] = defaultdict(list)
        for path in self.paths:
            found[stem(path).casefold()].append(path)
        return dict(found)

    def beside(self, path: str, endings: tuple[str, ...]) -> str | None:
        """Return the file of the same folder and name with one of some endings."""
        folder = PurePosixPath(path).parent
        for other in self.by_stem.get(stem(path).casefold(), []):
            if PurePosixPath(other).parent == folder and suffix(other) in endings:
                return other
        return None

    def text(self, path: str) -> str:
        """Return a text file, in whatever encoding it is.

        Raises:
            UnreadableLabelsError: says why it cannot be read.
        """
        try:
            return decoded(self.content(path))
        except NotTextError as error:
            raise UnreadableLabelsError(f"is no text ({error})") from None

    def content(self, path: str) -> bytes:
        """Return a file of labels.

        Raises:
            UnreadableLabelsError: says why it cannot be read.
        """
        try:
            with open_landed(self.folder, path) as handle:
                found = handle.read(LARGEST_TEXT_BYTES + 1)
        except UnusableArchiveError as error:
            raise UnreadableLabelsError(error.detail) from None
        except OSError as error:
            if is_of_the_machine(error):
                raise
            raise UnreadableLabelsError(f"cannot be opened ({type(error).__name__})") from None
        if len(found) > LARGEST_TEXT_BYTES:
            raise UnreadableLabelsError(f"has more than {LARGEST_TEXT_BYTES} bytes")
        return found


def suffix(path: str) -> str:
    """Return a path's ending in small letters."""
    return PurePosixPath(path).suffix.lower()


def stem(path: str) -> str:
    """Return a path's file name without its ending."""
    return PurePosixPath(path).stem


def names_of_films(pictures: list[str]) -> dict[str, str]:
    """Return what the film of each picture is called: its path without ending, archives being folders.

    Where intake could not tell two of them apart (it looks away from folders such as `train` and `images`, and from
    endings), where a name is very long, and where its file of boxes would be called as no file of boxes is
    (`classes.txt`, `test.txt`), it ends in some letters that stand for the whole path.
    """
    places = {path: PurePosixPath(IN_ARCHIVE.sub("/", path)) for path in pictures}
    seen = Counter(map(_as_intake_sees, places.values()))
    return {
        path: str(place.parent / _own_name(path, place, unique=seen[_as_intake_sees(place)] == 1))
        for path, place in places.items()
    }


def _own_name(path: str, place: PurePosixPath, *, unique: bool) -> str:
    boxes = f"{place.stem}.txt"
    taken = is_class_list(boxes) or BESIDE_BOXES.fullmatch(boxes) is not None
    if unique and not taken and len(place.stem.encode()) <= LONGEST_NAME_BYTES:
        return place.stem
    short = place.stem.encode()[:LONGEST_NAME_BYTES].decode(errors="ignore")
    return f"{short}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"


def _as_intake_sees(place: PurePosixPath) -> tuple[tuple[str, ...], str]:
    folders = (part.casefold() for part in place.parts[:-1])
    return tuple(part for part in folders if part not in NAMELESS_FOLDERS), place.stem.casefold()
