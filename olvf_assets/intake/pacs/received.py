"""What an image store has sent, looked at before it becomes a file of the landing folder.

What lives here: whether it is what was asked for, and laying it into the landing folder or aside. What does not: what a
film must be to be used (the stations beside this one), which see it like any other file.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from olvf_assets.foundation.errors import MachineError, OlvfError
from olvf_assets.foundation.write_faults import write_faults_named
from olvf_assets.intake.landing.foreign import Refusal, read_apart
from olvf_assets.intake.pacs.answers import FILM_CLASSES
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.storage.artifacts import PARTIAL, put_in_place, write_atomically

FROM_PACS = "films/pacs"  # in the landing folder
REFUSED = "refused"  # beside pacs.toml
MOST_REFUSED = 200  # files are laid aside; what comes after them is only counted
SUFFIX = ".dcm"


class Header(NamedTuple):
    """What a file says that it is."""

    uid: str
    sop_class: str


def film_file(landing: Path, names: Pseudonymiser, study_uid: str, uid: str) -> Path:
    """Return where a film lies: under pseudonyms, which are file names whatever a store says."""
    return landing / FROM_PACS / f"S{names.film(study_uid)[1:]}" / f"{names.film(uid)}{SUFFIX}"


def landed_from_pacs(landing: Path) -> set[str]:
    """Return the pseudonyms of all films that lie in a landing folder because they were fetched."""
    return {path.name.removesuffix(SUFFIX) for path in (landing / FROM_PACS).glob(f"*/F*{SUFFIX}")}


def lay_down(content: bytes, place: Path, asked_uid: str, aside: Path) -> str | None:
    """Make a film of the landing folder of what was sent; return None, or why it was laid aside instead.

    It appears under its name whole and on the disk, or not at all.

    Args:
        content: the file.
        place: where it is to lie.
        asked_uid: the SOP instance that was asked for.
        aside: the folder for what is not what was asked for.

    Raises:
        DiskFullError, WriteFaultError: the disk.
    """
    temporary = place.with_name(f"{PARTIAL}{os.getpid()}-{place.name}")
    with write_faults_named(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(content)
            reason = _reason_against(temporary, asked_uid)
            if reason is None:
                put_in_place(temporary, place)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    if reason is not None:
        with suppress(OSError):
            place.parent.rmdir()
        _lay_aside(content, aside, place.name, reason)
    return reason


def _lay_aside(content: bytes, aside: Path, name: str, reason: str) -> None:
    file = aside / f"{reason}-{name}"
    if file.exists() or sum(1 for _ in aside.glob("*")) < MOST_REFUSED:
        write_atomically(file, lambda path: path.write_bytes(content))
        file.chmod(0o600)


def _reason_against(file: Path, asked_uid: str) -> str | None:
    """Return why a file is not what was asked for. It is read behind the boundary: a store's files are foreign."""
    (found,) = read_apart(header_of, [file])
    if isinstance(found, MachineError):
        raise found
    if isinstance(found, Refusal | OlvfError):
        return "not_dicom"
    if found.uid != asked_uid:
        return "other_uid"
    return None if found.sop_class in FILM_CLASSES else "other_class"


def header_of(file: Path) -> Header:
    """Return what a DICOM file says that it is, read as intake reads films: pydicom unpacks deflated files of any size.

    Raises:
        NoDicomFileError, UnreadableDicomError, OSError: as `read_dicom`; also where it does not say which object it is.
        Exception: whatever else a foreign file may cause; the caller stands behind the boundary.
    """
    from pydicom.tag import Tag

    from olvf_assets.intake.headers.dicom_files import NoDicomFileError, read_dicom
    from olvf_assets.intake.headers.values import text

    with file.open("rb") as handle:
        header = read_dicom(handle, [int(Tag("SOPInstanceUID")), int(Tag("SOPClassUID"))]).header
    found = Header(text(header, "SOPInstanceUID"), text(header, "SOPClassUID"))
    if not all(found):
        raise NoDicomFileError("it does not say which object it is")
    return found
