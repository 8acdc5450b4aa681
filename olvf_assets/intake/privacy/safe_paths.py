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
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from olvf_assets.intake.landing.archives import UnusableArchiveError, open_landed
from olvf_assets.intake.landing.box_names import BOX_FOLDERS, is_class_list
from olvf_assets.intake.landing.file_names import readable
from olvf_assets.intake.landing.foreign import Refusal, call_apart, read_apart
from olvf_assets.intake.landing.landing import FILMS_FOLDER, INSTITUTION_FILE, SHEET_FILE, is_sheet, landed_files
from olvf_assets.intake.landing.landing_walk import LandedFile
from olvf_assets.intake.privacy.harmless_words import WORD, is_harmless
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.intake.sheets.reading import identifiers_in_sheets
from olvf_assets.storage.remembered import RememberedFacts

# Two letters of a Latin name are part of every second word; two Japanese characters are most surnames.
SHORTEST_IDENTIFIER, SHORTEST_JAPANESE_IDENTIFIER = 3, 2
IDENTIFYING_TAGS = ("PatientID", "PatientName", "AccessionNumber", "PatientBirthDate", "StudyDate", "SOPInstanceUID")
# Six or more digits may be a record number or a date, whoever wrote them.
LONG_NUMBER = re.compile(r"\d{6,}|\d{2,4}[-_.]\d{1,2}[-_.]\d{1,4}")
# A process of its own pays off only beyond this many files, see `headers`.
FILES_PER_PROCESS = 1500


@dataclass(frozen=True)
class PathNames:
    """Real paths of a landing folder and the names they are shown by; both posix and relative."""

    shown_by_real: dict[str, str] = field(repr=False)
    real_by_shown: dict[str, str] = field(repr=False)
    synthetic: bool = True

    def shown(self, real: str) -> str | None:
        """Return the name to write into tables; None for a file of a real hospital that arrived since."""
        return real if self.synthetic else self.shown_by_real.get(real)

    def real(self, shown: str) -> str:
        """Return the path to open."""
        return self.real_by_shown.get(shown, shown)


class _Hidden(NamedTuple):
    """Identifiers by their keyed digests, which is all that is kept of them; and their lengths, longest first."""

    digests: frozenset[str]
    lengths: tuple[int, ...]


def path_names(
    folder: Path,
    names: Pseudonymiser,
    remembered: RememberedFacts | None = None,
    files: Sequence[LandedFile] | None = None,
) -> PathNames:
    """Return the names of the files in a landing folder, free of identifiers unless the institution is synthetic.

    Args:
        folder: the landing folder of the institution.
        names: makes the pseudonyms.
        remembered: what earlier calls found in the headers of files (digests of identifiers, never the identifiers);
            headers of unchanged files are then not read again.
        files: what `landed_files` found in the folder; found anew when not given.
    """
    if names.synthetic:
        return PathNames({}, {})
    files = landed_files(folder) if files is None else files
    found = hidden_identifiers(folder, files, names, remembered or RememberedFacts(None, "", names.film))
    return _names_without([file.path for file in files], found, names)


def hidden_identifiers(
    folder: Path, files: Sequence[LandedFile], names: Pseudonymiser, remembered: RememberedFacts
) -> _Hidden:
    """Return every patient id, name, accession number, date and UID in the sheets and headers, as digests."""
    films = [(file.path, file.stamp) for file in files if file.state == "arrived" and not is_sheet(file.path)]

    def find(paths: list[str]) -> list[str | None]:
        workers = 0 if len(paths) > FILES_PER_PROCESS else 1
        answers = read_apart(partial(_header_digests, folder=folder, names=names), paths, workers=workers)
        return ["" if isinstance(each, Refusal) else each for each in answers]

    facts = set(remembered.facts(films, find))
    texts = call_apart(identifiers_in_sheets, folder, what="the sheets")
    facts.update(_digest(text, names) for text in _long_enough(texts))
    each = {digest for fact in facts if fact for digest in fact.split()}
    lengths = sorted({int(digest.split(":")[0]) for digest in each}, reverse=True)
    return _Hidden(frozenset(digest.split(":")[1] for digest in each), tuple(lengths))


def _header_digests(path: str, folder: Path, names: Pseudonymiser) -> str:
    """Return the digests of the identifiers in one header, with spaces between; empty when it is no DICOM file."""
    return " ".join(sorted({_digest(text, names) for text in _long_enough(_header_identifiers(folder, path))}))


def _digest(text: str, names: Pseudonymiser) -> str:
    return f"{len(text)}:{names.patient(text.casefold())}"


def _long_enough(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        plain = unicodedata.normalize("NFC", text.strip())
        if len(plain) >= (SHORTEST_IDENTIFIER if plain.isascii() else SHORTEST_JAPANESE_IDENTIFIER):
            yield plain


def _header_identifiers(folder: Path, path: str) -> Iterator[str]:
    try:
        with open_landed(folder, path) as handle, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's repeat the values that they are about
            header = dcmread(handle, stop_before_pixels=True, specific_tags=list(IDENTIFYING_TAGS))
            yield from list(_texts(header))
    except (
        InvalidDicomError, UnusableArchiveError, EOFError, struct.error, OSError, ValueError, KeyError, AttributeError,
        TypeError, RuntimeError, OverflowError,
    ):  # fmt: skip
        return


def _texts(header: Dataset) -> Iterator[str]:
    for keyword in IDENTIFYING_TAGS:
        text = str(header.get(keyword) or "").strip()
        if keyword == "PatientName":
            yield from re.split(r"[\^= ,]+", text)
            yield from (re.sub(r"[\^ ,]+", "", group) for group in text.split("="))
        yield text


def _names_without(paths: list[str], hidden: _Hidden, names: Pseudonymiser) -> PathNames:
    shown_by_real: dict[str, str] = {}
    taken: set[str] = set()
    safe_parts: dict[str, str] = {}
    for path in paths:
        shown = _hide(path, hidden, names, safe_parts)
        if shown in taken:
            folder, _, name = shown.rpartition("/")
            shown = f"{folder}/{names.film(path)[:9]}-{name}".lstrip("/")
        taken.add(shown)
        shown_by_real[path] = shown
    return PathNames(shown_by_real, {shown: real for real, shown in shown_by_real.items()}, synthetic=False)


def _hide(path: str, hidden: _Hidden, names: Pseudonymiser, safe_parts: dict[str, str]) -> str:
    """Return the path with every identifier replaced; the fixed names (sheets, folders, class lists, endings) stay."""
    if path == INSTITUTION_FILE or SHEET_FILE.fullmatch(path):
        return path
    *folders, name = PurePosixPath(path).parts
    suffix = PurePosixPath(name).suffix
    tail = "" if not is_sheet(path) else name if is_class_list(name) and not is_class_list(suffix) else suffix
    parts = [*folders, name.removesuffix(tail)]
    for place, part in enumerate(parts):
        is_fixed = place < len(folders) and (part.casefold() in BOX_FOLDERS or (place, part) == (0, FILMS_FOLDER))
        if part not in safe_parts and not is_fixed:
            safe_parts[part] = _hidden(part, hidden, names)
        parts[place] = part if is_fixed else safe_parts[part]
    return "/".join(parts) + tail


def _hidden(part: str, hidden: _Hidden, names: Pseudonymiser) -> str:
    text = readable(part)
    if text is None:
        return _word(names.patient(part))
    return _hide_words(_hide_numbers(_hide_identifiers(text, hidden, names), names), names)


def _hide_identifiers(text: str, hidden: _Hidden, names: Pseudonymiser) -> str:
    """Return the text with every known identifier replaced, longest first.

    Longest first, so that "12345" inside "123456" does not leave a 6 behind.
    """
    text = unicodedata.normalize("NFC", text)
    for length in hidden.lengths:
        for start in range(len(text) - length + 1):
            digest = names.patient(text[start : start + length].casefold())
            if digest in hidden.digests:
                before, after = text[:start], text[start + length :]
                before, after = (_hide_identifiers(each, hidden, names) for each in (before, after))
                return before + _word(digest) + after
    return text


def _hide_numbers(text: str, names: Pseudonymiser) -> str:
    return LONG_NUMBER.sub(lambda match: _word(names.patient(match.group().casefold())), text)


def _hide_words(text: str, names: Pseudonymiser) -> str:
    """Return the text with every word replaced that is not known to be harmless."""

    def shown(match: re.Match[str]) -> str:
        return match.group() if is_harmless(match.group()) else _word(names.patient(match.group().casefold()))

    return WORD.sub(shown, text)


def _word(digest: str) -> str:
    """Return a digest as the word shown in a path: letters only, so that the rule for long numbers leaves it alone."""
    return "x" + digest[1:9].translate(_DIGITS_TO_LETTERS)


_DIGITS_TO_LETTERS = str.maketrans("0123456789", "ghijklmnop")
