"""File names without identifiers.

What lives here: finding patient ids, names and dates in the file names that a hospital chose, and the names shown
instead. What does not: pseudonyms themselves (`pseudonyms`), the words that may stay (`harmless_words`).

Hospitals name exports after record numbers, patients and dates ("12345_YAMADA_20210304.dcm"), and the path is a column
of several tables. For a real institution each such piece of a path is replaced before the path is written anywhere;
films of synthetic hospitals keep their names. A header may have lost the name that the file still carries, so of other
words only harmless ones stay.
"""

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from olvf_assets.foundation.landing import (
    BOX_CLASSES_FILE,
    BOXES_FOLDER,
    FILMS_FOLDER,
    INSTITUTION_FILE,
    SHEET_FILE,
    is_sheet,
    landing_files,
)
from olvf_assets.intake.harmless_words import WORD, is_harmless
from olvf_assets.intake.pseudonyms import Pseudonymiser
from olvf_assets.intake.sheet_reading import patient_ids_in_sheets

SHORTEST_IDENTIFIER = 3
IDENTIFYING_TAGS = ("PatientID", "PatientName", "AccessionNumber", "PatientBirthDate", "StudyDate", "SOPInstanceUID")
# Six or more digits may be a record number or a date, whoever wrote them.
LONG_NUMBER = re.compile(r"\d{6,}|\d{2,4}[-_.]\d{1,2}[-_.]\d{1,4}")


@dataclass(frozen=True)
class PathNames:
    """Real paths of a landing folder and the names they are shown by; both posix and relative."""

    shown_by_real: dict[str, str] = field(repr=False)
    real_by_shown: dict[str, str] = field(repr=False)

    def shown(self, real: str) -> str:
        """Return the name to write into tables."""
        return self.shown_by_real.get(real, real)

    def real(self, shown: str) -> str:
        """Return the path to open."""
        return self.real_by_shown.get(shown, shown)


def path_names(folder: Path, names: Pseudonymiser) -> PathNames:
    """Return the names of the files in a landing folder, free of identifiers unless the institution is synthetic."""
    if names.synthetic:
        return PathNames({}, {})
    paths = landing_files(folder)
    return _names_without(paths, identifiers(folder, paths), names)


def identifiers(folder: Path, paths: Iterable[str]) -> set[str]:
    """Return every patient id, name part, accession number, date and UID in the sheets and DICOM headers."""
    found = {text.strip() for text in patient_ids_in_sheets(folder)}
    for path in paths:
        if not is_sheet(path):
            found.update(_header_identifiers(folder / path))
    return {text for text in found if len(text) >= SHORTEST_IDENTIFIER}


def _header_identifiers(file: Path) -> Iterator[str]:
    try:
        header = dcmread(file, stop_before_pixels=True, specific_tags=list(IDENTIFYING_TAGS))
        yield from _texts(header)
    except (InvalidDicomError, EOFError, struct.error, ValueError, KeyError, AttributeError, TypeError):
        return


def _texts(header: Dataset) -> Iterator[str]:
    for keyword in IDENTIFYING_TAGS:
        text = str(header.get(keyword) or "").strip()
        if keyword == "PatientName":
            yield from re.split(r"[\^= ,]+", text)
        yield text


def _names_without(paths: list[str], hidden: set[str], names: Pseudonymiser) -> PathNames:
    # Longest first, so that "12345" inside "123456" does not leave a 6 behind.
    ordered = sorted(hidden, key=lambda text: (-len(text), text))
    pattern = re.compile("|".join(map(re.escape, ordered)), re.IGNORECASE) if ordered else None
    shown_by_real: dict[str, str] = {}
    taken: set[str] = set()
    for path in paths:
        shown = _hide(path, pattern, names)
        if shown in taken:
            folder, _, name = shown.rpartition("/")
            shown = f"{folder}/{names.film(path)[:9]}-{name}".lstrip("/")
        taken.add(shown)
        shown_by_real[path] = shown
    return PathNames(shown_by_real, {shown: real for real, shown in shown_by_real.items()})


def _hide(path: str, pattern: re.Pattern[str] | None, names: Pseudonymiser) -> str:
    """Return the path with every identifier replaced; the fixed names (sheets, films/, boxes/, box endings) stay."""

    def replaced(match: re.Match[str]) -> str:
        return "x" + names.patient(match.group().casefold())[1:9].translate(_DIGITS_TO_LETTERS)

    if path == INSTITUTION_FILE or SHEET_FILE.fullmatch(path):
        return path
    top, slash, rest = path.partition("/")
    head, rest = (top + slash, rest) if top in (FILMS_FOLDER, BOXES_FOLDER) and slash else ("", path)
    name = PurePosixPath(path)
    tail = "" if not is_sheet(path) else BOX_CLASSES_FILE if name.name == BOX_CLASSES_FILE else name.suffix
    rest = rest.removesuffix(tail)
    rest = pattern.sub(replaced, rest) if pattern else rest
    rest = LONG_NUMBER.sub(replaced, rest)
    return head + WORD.sub(lambda match: match.group() if is_harmless(match.group()) else replaced(match), rest) + tail


# Pseudonyms within paths are spelled with letters only, so that the rule for long numbers leaves them alone.
_DIGITS_TO_LETTERS = str.maketrans("0123456789", "ghijklmnop")
