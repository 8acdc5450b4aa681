"""From a pseudonym or a hidden file name back to the patient and the file, for whoever holds the key.

What lives here: going through the landing folders with the key until something is found. What does not: keeping any of
it (nothing is stored in clear, and answers go to the terminal only), making names (`pseudonyms`, `safe_paths`).
"""

import re
import struct
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.intake.landing.archives import UnusableArchiveError, open_landed
from olvf_assets.intake.landing.file_names import readable
from olvf_assets.intake.landing.foreign import call_apart, read_apart
from olvf_assets.intake.landing.landing import is_sheet, landed_files
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.intake.privacy.safe_paths import FILES_PER_PROCESS, PathNames, path_names
from olvf_assets.intake.sheets.reading import patient_ids_in_sheets

PATIENT = re.compile(r"P[0-9a-f]{16}")
# A film, and a crop or sample of it: F0123456789abcdef-L3-r2.
FILM = re.compile(r"(F[0-9a-f]{16})(?:-.*)?")
UID = re.compile(r"2\.25\.\d+")
SOME_DAY = date(2000, 7, 1)


class NobodyFoundError(OlvfError):
    """No landing folder holds a patient or a file of that name."""


@dataclass(frozen=True)
class _Film:
    path: str
    patient_id: str
    sop_instance_uid: str


def who_is(asked: str, folders: Mapping[Path, Pseudonymiser]) -> list[str]:
    """Return lines that say whom or what a name of our tables and messages stands for.

    Args:
        asked: a patient's pseudonym (P…), a film's, crop's or sample's (F…), a SOP instance UID of ours (2.25.…), a
            shown path, or a file name or hidden word of one (`xehkffjoj`).
        folders: the landing folders to search, with what makes their pseudonyms.

    Raises:
        NobodyFoundError: nothing is found, with what may be the reason.
    """
    asked = asked.strip()
    lines = [line for folder, names in folders.items() for line in _found(asked, folder, names)]
    if not lines:
        listed = ", ".join(sorted(folder.name for folder in folders)) or "none"
        raise NobodyFoundError(
            f"nothing is called {asked} in the landing folders ({listed}). Its files may have been taken away since, "
            "or it was made with another key; pseudonyms begin with P or F and have 16 hex digits"
        )
    return lines


def patient_ids(folder: Path) -> set[str]:
    """Return every patient id in the sheets and in the headers of a landing folder."""
    return {*ids_in_sheets(folder), *(film.patient_id for film in _films(folder, _arrived(folder)))} - {""}


def films_of(folder: Path, pseudonym: str, names: Pseudonymiser) -> list[str]:
    """Return the real paths (relative, posix) of the films whose header names the patient of a pseudonym."""
    films = _films(folder, _arrived(folder))
    return [film.path for film in films if film.patient_id and names.patient(film.patient_id) == pseudonym]


def ids_in_sheets(folder: Path) -> set[str]:
    """Return every patient id in the sheets of a landing folder, read behind the boundary."""
    return set(call_apart(patient_ids_in_sheets, folder, what=f"the sheets of {folder.name}"))


def _arrived(folder: Path) -> list[str]:
    return [file.path for file in landed_files(folder) if file.state == "arrived"]


def _found(asked: str, folder: Path, names: Pseudonymiser) -> Iterator[str]:
    shown = path_names(folder, names)
    real = _arrived(folder)
    if PATIENT.fullmatch(asked):
        yield from _patient(asked, folder, names, shown, real)
    elif film_id := FILM.fullmatch(asked):
        yield from (_line(folder, film, names, shown) for film in _films(folder, real)
                    if names.film(film.sop_instance_uid) == film_id[1])  # fmt: skip
    elif UID.fullmatch(asked):
        yield from (_line(folder, film, names, shown) for film in _films(folder, real)
                    if names.uid(film.sop_instance_uid) == asked)  # fmt: skip
    else:
        hits = [file.path for file in landed_files(folder) if _is_called(asked, shown.shown(file.path) or "")]
        known = {film.path: film for film in _films(folder, [path for path in hits if path in real])}
        yield from (_line(folder, known.get(path) or _Film(path, "", ""), names, shown) for path in hits)


def _patient(asked: str, folder: Path, names: Pseudonymiser, shown: PathNames, real: list[str]) -> Iterator[str]:
    films = _films(folder, real)
    ids = {*ids_in_sheets(folder), *(film.patient_id for film in films)}
    for patient_id in sorted(each for each in ids if names.patient(each) == asked):
        days = (names.shifted(patient_id, SOME_DAY) - SOME_DAY).days
        yield f"{folder.name}: {asked} is patient {patient_id}, whose dates are moved by {days:+d} days"
    yield from (_line(folder, film, names, shown) for film in films if names.patient(film.patient_id) == asked)


def _is_called(asked: str, shown: str) -> bool:
    """Return whether a shown path is the one asked for, ends with it, or has it as a word of a name."""
    return asked == shown or shown.rstrip("/").endswith("/" + asked) or asked in re.split(r"[\W_]+", shown)


def _line(folder: Path, film: _Film, names: Pseudonymiser, shown: PathNames) -> str:
    whose = f", film {names.film(film.sop_instance_uid)}" if film.sop_instance_uid else ""
    whose += f" of patient {film.patient_id} ({names.patient(film.patient_id)})" if film.patient_id else ""
    return f"{folder.name}: {shown.shown(film.path)} is {folder / (readable(film.path) or film.path)}{whose}"


def _films(folder: Path, paths: list[str]) -> list[_Film]:
    """Return the films among the files; whatever cannot be read is none."""
    films = [path for path in paths if not is_sheet(path)]
    workers = 0 if len(films) > FILES_PER_PROCESS else 1
    found = read_apart(partial(_film, folder), films, workers=workers)
    return [film for film in found if isinstance(film, _Film)]


def _film(folder: Path, path: str) -> _Film | None:
    try:
        with open_landed(folder, path) as handle, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = dcmread(handle, stop_before_pixels=True, specific_tags=["PatientID", "SOPInstanceUID"])
            return _Film(path, str(header.get("PatientID") or ""), str(header.get("SOPInstanceUID") or ""))
    except (
        InvalidDicomError, UnusableArchiveError, EOFError, struct.error, OSError, ValueError, KeyError, AttributeError,
        TypeError, RuntimeError, OverflowError,
    ):  # fmt: skip
        return None
