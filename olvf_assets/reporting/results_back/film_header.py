"""Whose film it is: identifiers read from the landing film in the moment when they are needed.

What lives here: reading them, byte for byte, and giving them to an object that goes back. What does not: keeping any of
it in the lake, in a log or in a message. Bytes are handed on as they are, with the character set that they are in, so
that a name written in Japanese arrives as it left, also where the header declares the wrong set.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import Tag

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.intake.headers.dicom_files import NoDicomFileError, read_dicom
from olvf_assets.intake.headers.element_walk import UnreadableDicomError
from olvf_assets.intake.headers.values import integer, text
from olvf_assets.intake.landing.archives import UnusableArchiveError, open_landed
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser

# Patient and study, of which PS3.3 wants the first ones to be there in every object, empty if not known.
REQUIRED = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
WHERE_KNOWN = ("SpecificCharacterSet", "IssuerOfPatientID", "PatientAge", "StudyDescription", "StudyInstanceUID")
UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")

SIZE = ("Columns", "Rows")


class NotThisFilmError(OlvfError):
    """The file in the landing folder is not the film that the tables speak of, or it cannot be read any more."""


class NoStudyError(OlvfError):
    """A film's header names no study or series that an object could belong to."""


@dataclass(frozen=True)
class FilmHeader:
    """Identifiers of a film. Its repr shows none of them.

    Attributes:
        sop_class_uid, sop_instance_uid, series_uid, study_uid: of the film.
        elements: value representation and bytes of patient and study, by keyword; those that are there.
        orientation: the bytes of PatientOrientation, empty if it is not told.
        width_px, height_px: of its picture.
    """

    sop_class_uid: str = field(repr=False)
    sop_instance_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    study_uid: str = field(repr=False)
    elements: dict[str, tuple[str, bytes]] = field(repr=False)
    orientation: bytes = field(repr=False)
    width_px: int
    height_px: int

    def digest(self) -> str:
        """Return what changes whenever an identifier does."""
        return hashlib.sha256(repr(sorted(self.elements.items())).encode()).hexdigest()

    def reference(self) -> Dataset:
        """Return the film as objects refer to it: its UIDs and nothing of the patient."""
        film = Dataset()
        for keyword in REQUIRED:
            setattr(film, keyword, "")
        film.SOPClassUID, film.SOPInstanceUID = self.sop_class_uid, self.sop_instance_uid
        film.StudyInstanceUID, film.SeriesInstanceUID = self.study_uid, self.series_uid
        return film

    def put_into(self, target: Dataset) -> None:
        """Give an object the film's patient and study, byte for byte."""
        for keyword, (vr, value) in self.elements.items():
            _put(target, keyword, vr, value)

    def put_orientation(self, target: Dataset) -> None:
        """Give a picture of the whole film the film's orientation, empty if that is not told."""
        _put(target, "PatientOrientation", "CS", self.orientation)


def read_film_header(folder: Path, path: str, film_id: str, patient_id: str, names: Pseudonymiser) -> FilmHeader:
    """Return the identifiers of the film that the tables know by its pseudonyms.

    Args:
        folder: the landing folder.
        path: the film's real path, posix and relative.
        film_id: pseudonym that the film must have.
        patient_id: pseudonym that its patient must have.
        names: makes pseudonyms.

    Raises:
        NotThisFilmError, NoStudyError: see there; the message names the film by its pseudonym.
    """
    wanted = [int(Tag(each)) for each in (*REQUIRED, *WHERE_KNOWN, *UIDS, "PatientOrientation", *SIZE)]
    try:
        with open_landed(folder, path) as handle:
            header = read_dicom(handle, wanted).header
    except (NoDicomFileError, UnreadableDicomError, UnusableArchiveError, FileNotFoundError, PermissionError):
        raise NotThisFilmError(f"film {film_id}: its file cannot be read; take the folder in again") from None
    # Bytes first: asked for as text, pydicom puts what it understood in their place.
    elements = {each: found for each in (*REQUIRED, *WHERE_KNOWN) if (found := _bytes_of(header, each)) is not None}
    _, orientation = _bytes_of(header, "PatientOrientation") or ("CS", b"")
    uids = {each: text(header, each) for each in UIDS}
    width_px, height_px = (integer(header, each) for each in SIZE)
    is_this = names.film(uids["SOPInstanceUID"]) == film_id and names.patient(text(header, "PatientID")) == patient_id
    if not is_this or width_px is None or height_px is None:
        raise NotThisFilmError(
            f"film {film_id}: its file holds another film or patient than the one that was taken in; take the folder "
            "in again (run the study), then write the results"
        )
    if missing := [keyword for keyword, uid in uids.items() if not uid]:
        raise NoStudyError(f"film {film_id}: its header has no {', '.join(missing)}, so no object can belong to it")
    return FilmHeader(
        sop_class_uid=uids["SOPClassUID"],
        sop_instance_uid=uids["SOPInstanceUID"],
        series_uid=uids["SeriesInstanceUID"],
        study_uid=uids["StudyInstanceUID"],
        elements=elements,
        orientation=orientation,
        width_px=width_px,
        height_px=height_px,
    )


def _bytes_of(header: Dataset, keyword: str) -> tuple[str, bytes] | None:
    """Return an element's value representation and its bytes in the file; None if it is not there."""
    tag = Tag(keyword)
    found = header.get_item(tag) if tag in header else None
    if not isinstance(found, RawDataElement):
        return None
    return dictionary_VR(tag), found.value or b""


def _put(target: Dataset, keyword: str, vr: str, value: bytes) -> None:
    tag = Tag(keyword)
    if not value:
        target[tag] = DataElement(tag, vr, "")
        return
    even = value if len(value) % 2 == 0 else value + (b"\0" if vr == "UI" else b" ")
    target[tag] = RawDataElement(tag, vr, len(even), even, 0, is_implicit_VR=False, is_little_endian=True)
