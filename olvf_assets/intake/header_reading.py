"""What one DICOM file says of itself: one row of table `dicom_headers`.

What lives here: reading a header and refusing a file that cannot be a lateral lumbar radiograph, with a reason a
technologist understands. What does not: pixels (`pixels`), the words for views (`view_rules`), the table of all files
(`headers`).
Identifiers are replaced by pseudonyms before a row leaves `read_header`; no text typed by people is kept.
"""

import struct
import warnings
from io import SEEK_END
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from olvf_assets.foundation.archives import ARCHIVE_LETTERS, UnusableArchiveError, open_landed
from olvf_assets.intake.decoders import can_decode
from olvf_assets.intake.header_privacy import detector_name, film_date, shown_code
from olvf_assets.intake.header_values import ACCEPTED, Judgement, integer, letters, number, text, within
from olvf_assets.intake.pseudonyms import Pseudonymiser
from olvf_assets.intake.settings import LARGEST_SIDE_PX, IntakeSettings
from olvf_assets.intake.spacing import Spacing, spacing_of
from olvf_assets.intake.tables import DICOM_HEADERS
from olvf_assets.intake.view_rules import header_view, view_of

PIXEL_DATA_TAGS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")
# Of these classes a file without Rows was cut off; of others it may be whole and hold no picture.
RADIOGRAPHS = (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
)
# The first element of a data set without file header: group 0002 or 0008, little or big endian.
BARE_BEGINNINGS = (b"\x08\x00", b"\x00\x08", b"\x02\x00", b"\x00\x02")
# What pydicom raises for values that break their value representation, or that it does not know
# (RuntimeError); converting such values raises the same kinds.
_HEADER_ERRORS = (ValueError, KeyError, AttributeError, TypeError, RuntimeError, OverflowError)


def read_header(
    file: Path, names: Pseudonymiser, settings: IntakeSettings, *, folder: Path | None = None
) -> dict[str, Any]:
    """Return the row of table `dicom_headers` for one file, without `path` and `sha256`.

    Never raises for a bad file; the reason stands in `refusal`. Lengths are mm, `kvp` is kV; implausible values of
    `kvp` and `sid_mm` become null.

    Args:
        file: the file; or, with `folder`, its path in that landing folder, which may lead into a ZIP archive.
        names: makes the pseudonyms.
        settings: what counts as usable.
        folder: see `file`.
    """
    row: dict[str, Any] = dict.fromkeys(DICOM_HEADERS.names())
    row["institution"] = names.institution
    place = (file.parent, file.name) if folder is None else (folder, file.as_posix())
    header, judgement = _parsed(*place, settings.modalities)
    if header is None:
        return row | _refused(judgement)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, about values that it reads all the same
        try:
            spacing = spacing_of(header)
            row |= _facts(header, spacing, names, settings)
            judgement = judgement if judgement.reason else _judge_film(header, spacing, row, settings)
        except _HEADER_ERRORS as error:
            judgement = Judgement("bad_header", f"an attribute holds what it may not hold ({type(error).__name__})")
    return row | _refused(judgement)


def _parsed(folder: Path, path: str, modalities: tuple[str, ...]) -> tuple[Dataset | None, Judgement]:
    """Return the header and a judgement of the file; the header is None when nothing can be learned from it."""
    try:
        with open_landed(folder, path) as handle, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                header = dcmread(handle, stop_before_pixels=True)
            except InvalidDicomError:
                return None, _judge_other(handle)
            judgement = _judge_file(header, handle, modalities)
    except UnusableArchiveError as error:
        judgement = Judgement(error.reason, error.detail)
    except (EOFError, struct.error):
        judgement = Judgement("truncated", "the file ends within its header; copy it again from the PACS")
    except OSError as error:
        judgement = Judgement("unreadable", f"the file cannot be opened ({type(error).__name__})")
    except _HEADER_ERRORS as error:
        judgement = Judgement("not_dicom", f"the header cannot be read ({type(error).__name__})")
    else:
        if judgement.reason is None and "SOPInstanceUID" not in header:
            judgement = Judgement("no_instance_uid", "SOPInstanceUID is missing; no DICOM device writes such a file")
        return (header if "SOPInstanceUID" in header else None), judgement
    return None, judgement


def _judge_other(handle: BinaryIO) -> Judgement:
    """Say what a file is that has not the letters DICM at byte 128."""
    handle.seek(0)
    beginning = handle.read(4)
    if beginning in ARCHIVE_LETTERS:
        return Judgement("archive_not_opened", "a ZIP archive in another, or not named .zip; unpack it or rename it")
    if beginning[:2] in BARE_BEGINNINGS:
        return Judgement("no_file_header", "DICOM data without the file header; export it as a DICOM file (Part 10)")
    return Judgement("not_dicom", "not a DICOM file: the letters DICM are missing at byte 128")


def _refused(judgement: Judgement) -> dict[str, str | None]:
    return {"refusal": judgement.reason, "refusal_detail": judgement.detail}


def _syntax(header: Dataset) -> UID:
    return UID(str(header.file_meta.get("TransferSyntaxUID", "")))


def _judge_file(header: Dataset, handle: BinaryIO, modalities: tuple[str, ...]) -> Judgement:
    """Refuse what is no image of a radiograph or ends too early; `handle` stands where the pixel data begin."""
    judgement = _judge_content(header, modalities)
    return judgement if judgement.reason else _judge_length(header, handle)


def _judge_content(header: Dataset, modalities: tuple[str, ...]) -> Judgement:
    sop_class = UID(str(header.file_meta.get("MediaStorageSOPClassUID") or text(header, "SOPClassUID")))
    if sop_class == MediaStorageDirectoryStorage:
        return Judgement("dicomdir", "a DICOMDIR lists films and holds none; the films beside it are taken in")
    modality = letters(text(header, "Modality"))
    if modality and modality not in modalities and "Rows" not in header:
        return Judgement("not_radiograph", f"Modality is {shown_code(modality)}: no image")
    if "Rows" not in header and sop_class not in RADIOGRAPHS:
        return Judgement("no_image", "the file holds no picture (Rows and pixel data are missing)")
    return ACCEPTED


def _judge_length(header: Dataset, handle: BinaryIO) -> Judgement:
    syntax = _syntax(header) or ImplicitVRLittleEndian
    if syntax == DeflatedExplicitVRLittleEndian:
        return ACCEPTED
    start = handle.tell()
    beginning = handle.read(12)
    if beginning[:4] not in PIXEL_DATA_TAGS:
        return Judgement("truncated", "the file ends before its pixel data; copy it again from the PACS")
    # A private syntax raises ValueError when asked; `_judge_syntax` refuses it by name.
    if not syntax.is_private and not syntax.is_compressed:
        length_bytes = beginning[4:8] if syntax.is_implicit_VR else beginning[8:12]
        promised = int.from_bytes(length_bytes, "big" if syntax == ExplicitVRBigEndian else "little")
        present = handle.seek(0, SEEK_END) - start - (8 if syntax.is_implicit_VR else 12)
        if present < promised:
            return Judgement("truncated", f"{max(present, 0)} of {promised} bytes of pixel data; copy the file again")
    return ACCEPTED


def _facts(header: Dataset, spacing: Spacing, names: Pseudonymiser, settings: IntakeSettings) -> dict[str, Any]:
    patient_id = text(header, "PatientID")
    uid = text(header, "SOPInstanceUID")
    return {
        "sop_instance_uid": names.uid(uid),
        "film_id": names.film(uid),
        "patient_id": names.patient(patient_id) if patient_id else None,
        "film_date": film_date(header, names),
        "transfer_syntax": _syntax(header).name or None,
        "rows": integer(header.get("Rows")),
        "columns": integer(header.get("Columns")),
        "pixel_mm": spacing.pixel_mm,
        "pixel_mm_source": spacing.source,
        "calibrated_pixel_mm": spacing.calibrated_pixel_mm,
        "bits_stored": integer(header.get("BitsStored")),
        "photometric": shown_code(text(header, "PhotometricInterpretation")),
        "kvp": within(number(text(header, "KVP")), settings.kvp_range),
        "sid_mm": within(number(text(header, "DistanceSourceToDetector")), settings.sid_mm_range),
        "detector": detector_name(header, settings.detector_words),
    }


def _judge_film(header: Dataset, spacing: Spacing, row: dict[str, Any], settings: IntakeSettings) -> Judgement:
    """Return the first reason to refuse an intact file, and note its view in `row` if there is none."""
    judgements = (
        lambda: _judge_image_kind(header, row, settings),
        lambda: _judge_syntax(header),
        lambda: _judge_burned_in(header),
        lambda: _judge_view(header, row, settings),
        lambda: _judge_geometry(spacing, row, settings),
    )
    for judge in judgements:
        if (judgement := judge()).reason:
            return judgement
    if row["patient_id"] is None:
        return Judgement("missing_patient_id", "PatientID is empty; the film cannot be joined to the sheets")
    return ACCEPTED


def _judge_image_kind(header: Dataset, row: dict[str, Any], settings: IntakeSettings) -> Judgement:
    modality = letters(text(header, "Modality"))
    if modality not in settings.modalities:
        return Judgement("not_radiograph", f"Modality is {shown_code(modality)}; expected CR or DX")
    if (integer(text(header, "NumberOfFrames")) or 1) > 1:
        return Judgement("multi_frame", f"{header.NumberOfFrames} frames; a radiograph has one")
    if (row["photometric"] or "") not in ("MONOCHROME1", "MONOCHROME2") or header.get("SamplesPerPixel", 1) != 1:
        return Judgement("colour", f"Photometric Interpretation is {row['photometric']}, not MONOCHROME1/2")
    if letters(text(header, "PresentationIntentType")) == "FORPROCESSING":
        return Judgement("for_processing", "raw detector values (FOR PROCESSING); export the image FOR PRESENTATION")
    if not all(1 <= (row[side] or 0) <= LARGEST_SIDE_PX for side in ("rows", "columns")):
        return Judgement("bad_header", f"Rows or Columns is missing or not within 1 to {LARGEST_SIDE_PX}")
    return _judge_bits(header, row["bits_stored"] or 0)


def _judge_bits(header: Dataset, stored: int) -> Judgement:
    if not 8 <= stored <= 16:
        return Judgement("bad_header", "BitsStored is missing or not within 8 to 16")
    allocated, highest = integer(header.get("BitsAllocated")), integer(header.get("HighBit"))
    if allocated not in (8, 16) or stored > allocated:
        return Judgement("bad_header", f"BitsAllocated is {allocated} with BitsStored {stored}; it is 8 or 16")
    if highest not in (None, stored - 1):
        return Judgement("bad_header", f"HighBit is {highest} with BitsStored {stored}; PS3.5 8.1.1 wants {stored - 1}")
    return ACCEPTED


def _judge_syntax(header: Dataset) -> Judgement:
    syntax = _syntax(header)
    if not syntax:
        return Judgement("unsupported_transfer_syntax", "the file does not say its transfer syntax (0002,0010)")
    if can_decode(syntax, integer(header.get("BitsStored")) or 16):
        return ACCEPTED
    shown = "a private transfer syntax" if syntax.is_private else syntax.name
    return Judgement("unsupported_transfer_syntax", f"{shown} cannot be decoded here; export the film uncompressed")


def _judge_burned_in(header: Dataset) -> Judgement:
    if letters(text(header, "BurnedInAnnotation")) == "YES":
        return Judgement("burned_in_annotation", "the header says that text is burned into the pixels; export without")
    return ACCEPTED


def _judge_view(header: Dataset, row: dict[str, Any], settings: IntakeSettings) -> Judgement:
    """Note view and body part as far as the header decides them; what stays null the picture must tell."""
    said = header_view(header, settings.body_parts)
    if said.judgement.reason:
        return said.judgement
    row |= {
        "bending": said.bending,
        "view": view_of(said.body_part, said.bending) if said.lateral and said.body_part else None,
        "view_source": "header" if said.lateral else None,
        "view_evidence": said.evidence,
        "body_part": said.body_part,
        "body_part_source": "header" if said.body_part else None,
        "body_part_evidence": said.body_part_evidence,
    }
    return ACCEPTED


def _judge_geometry(spacing: Spacing, row: dict[str, Any], settings: IntakeSettings) -> Judgement:
    if spacing.judgement.reason or spacing.pixel_mm is None:
        return spacing.judgement
    low, high = settings.pixel_mm_range
    if not low <= spacing.pixel_mm <= high:
        return Judgement("no_pixel_spacing", f"a spacing of {spacing.pixel_mm:.4g} mm is outside {low} to {high} mm")
    shortest_mm = min(row["rows"], row["columns"]) * spacing.pixel_mm
    if shortest_mm < settings.min_side_mm:
        return Judgement("too_small", f"the shorter side is {shortest_mm:.0f} mm; at least {settings.min_side_mm:.0f}")
    return ACCEPTED
