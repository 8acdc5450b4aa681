"""Keyed pseudonyms and shifted dates: the only names of patients and films, and the only dates, beyond this room.

What lives here: the key (from where, with what care), the pseudonyms made with it, and each patient's shift of dates.
What does not: which header fields are read (`headers`), hiding identifiers in file names (`safe_paths`).

HMAC-SHA256 over the original identifier: the same film always gets the same pseudonym, so tables can be joined and
rebuilt, and without the key nobody can enumerate record numbers to find a person. Losing the key loses the linkage,
leaking it makes the pseudonyms guessable: it belongs to the hospital's data custodian.

Dates of one patient move by one number of days, so the days between them stay true and films of a patient can be put
in order; between patients they say nothing (DICOM PS3.15 E.3.6, Retain Longitudinal Temporal Information With Modified
Dates). Times of day, birth dates and accession numbers are not read at all.
"""

import hmac
import os
import secrets
import unicodedata
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from olvf_assets.foundation.errors import MachineError, OlvfError
from olvf_assets.foundation.write_faults import write_faults_named
from olvf_assets.storage.private_files import private_text

KEY_VARIABLE = "OLVF_PSEUDONYM_KEY"
KEY_FILE = "pseudonym.key"
SHORTEST_KEY = 16
LARGEST_SHIFT_DAYS = 365
# Synthetic hospitals have no one to protect, and their tables must be equal on every machine.
SYNTHETIC_KEY = b"OLVF synthetic hospitals: a public key that protects nobody"


class PseudonymKeyError(MachineError):
    """There is no usable key to make pseudonyms with."""


class ImpossibleDateError(OlvfError, ValueError):
    """A day so near the first or last of the calendar that it cannot be moved: a placeholder, not a day."""


@dataclass(frozen=True)
class Pseudonymiser:
    """Turns the identifiers of one institution into pseudonyms. Picklable; its repr does not show the key."""

    institution: str
    key: bytes = field(repr=False)
    synthetic: bool = False

    def patient(self, patient_id: str) -> str:
        """Return "P" and 16 hex digits for a hospital's patient id (spaces around it and full width do not count)."""
        return "P" + self._digest("patient", self._known_as(patient_id)).hex()[:16]

    def film(self, sop_instance_uid: str) -> str:
        """Return "F" and 16 hex digits for a SOP instance UID."""
        return "F" + self._digest("film", sop_instance_uid.strip()).hex()[:16]

    def uid(self, original: str) -> str:
        """Return a valid UID `2.25.<128-bit integer>` (PS3.5 B.2) for an original UID."""
        return f"2.25.{int.from_bytes(self._digest('uid', original.strip())[:16], 'big')}"

    def shifted(self, patient_id: str, day: date) -> date:
        """Return a date moved by the patient's own number of whole days: -365 to 365, never 0.

        Raises:
            ImpossibleDateError: the day is within a year of the first or last of the calendar, whatever the key.
        """
        if not date.min.year + 1 < day.year < date.max.year - 1:
            raise ImpossibleDateError(f"the year {day.year} is no year of a film; correct the date")
        days = int.from_bytes(self._digest("days", self._known_as(patient_id))[:8], "big") % (2 * LARGEST_SHIFT_DAYS)
        days -= LARGEST_SHIFT_DAYS
        return day + timedelta(days=days if days < 0 else days + 1)

    def key_check(self) -> str:
        """Return 32 hex digits that tell whether two keys are one, the same for every institution."""
        return self._digest("check", "which key is this").hex()[:32]

    def _known_as(self, patient_id: str) -> str:
        return f"{self.institution}|{unicodedata.normalize('NFKC', patient_id).strip()}"

    def _digest(self, kind: str, text: str) -> bytes:
        return hmac.digest(self.key, f"{kind}|{text}".encode(), "sha256")


def pseudonymiser(institution: str, synthetic: bool, data_dir: Path) -> Pseudonymiser:
    """Return the pseudonymiser of an institution, see `pseudonym_key`."""
    return Pseudonymiser(institution, pseudonym_key(institution, synthetic, data_dir), synthetic)


def pseudonym_key(institution: str, synthetic: bool, data_dir: Path) -> bytes:
    """Return the secret key for an institution.

    Args:
        institution: its key (for the message).
        synthetic: a hospital made by `phantom`; uses the fixed public key.
        data_dir: the project's data folder, where `pseudonym.key` may lie.

    Raises:
        PseudonymKeyError: a real institution and neither environment variable nor key file, a key that is too short or
            no text, or a key file that others may read, that is not this user's, or that cannot be read.
    """
    if synthetic:
        return SYNTHETIC_KEY
    if text := os.environ.get(KEY_VARIABLE, "").strip():
        return _checked_key(text, f"environment variable {KEY_VARIABLE}")
    path = data_dir / KEY_FILE
    if not path.exists():
        raise PseudonymKeyError(
            f"no key to make pseudonyms for {institution}: set {KEY_VARIABLE} to a secret of at least {SHORTEST_KEY} "
            f"characters, or let `make add-hospital` write {path}; keep a copy, without it patients cannot be linked"
        )
    return _checked_key(private_text(path, PseudonymKeyError, "restore the key from its copy"), str(path))


def make_key_file(data_dir: Path) -> Path:
    """Write a new random key to `<data_dir>/pseudonym.key` (readable by the owner only) unless there is one.

    The file appears under its name whole and on the disk, or not at all: a key that a power cut emptied is lost.

    Raises:
        DiskFullError, WriteFaultError: the data folder's disk, or this user's rights.
    """
    path = data_dir / KEY_FILE
    temporary = data_dir / f".partial-{secrets.token_hex(8)}.key"
    try:
        with write_faults_named(path):
            data_dir.mkdir(parents=True, exist_ok=True)
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(secrets.token_hex(32) + "\n")
                file.flush()
                os.fsync(file.fileno())
            _name_once(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


def _name_once(temporary: Path, path: Path) -> None:
    """Give a file its name unless there is one of that name."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        if not path.exists():
            temporary.rename(path)


def _checked_key(text: str, source: str) -> bytes:
    if len(text) < SHORTEST_KEY:
        raise PseudonymKeyError(
            f"the key in {source} has {len(text)} characters; at least {SHORTEST_KEY} are needed. If hospitals were "
            "taken in with a longer one, restore it from its copy"
        )
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise PseudonymKeyError(f"the key in {source} is no text in UTF-8; restore it from its copy") from None
