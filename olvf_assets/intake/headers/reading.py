"""What one DICOM file says of itself: one row of table `dicom_headers`.

What lives here: reading a header and refusing a file that cannot be a lateral lumbar radiograph, with a reason a
technologist understands. What does not: pixels (`pixels`), the words for views (`view_rules`), the table of all files
(`headers`).
Identifiers are replaced by pseudonyms before a row leaves `read_header`; no text typed by people is kept.
"""

import warnings
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import Dataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    MediaStorageDirectoryStorage,
)

from olvf_assets.foundation.errors import is_of_the_machine
from olvf_assets.intake.headers.dicom_files import DicomFile, NoDicomFileError, read_dicom, tags_of
from olvf_assets.intake.headers.element_walk import PixelElement, UnreadableDicomError
from olvf_assets.intake.headers.spacing import MILLIMETRES, Spacing, spacing_of
from olvf_assets.intake.headers.values import (
    ACCEPTED,
    Judgement,
    integer,
    letters,
    number,
    text,
    uid_of,
    values,
    within,
)
from olvf_assets.intake.headers.view_rules import header_view, view_of
from olvf_assets.intake.landing.archives import ARCHIVE_LETTERS, UnusableArchiveError, open_landed
from olvf_assets.intake.pixels.decoders import can_decode
from olvf_assets.intake.privacy.header_privacy import age_years, detector_name, film_date, sex, shown_code, shown_syntax
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.intake.settings import LARGEST_SIDE_PX, IntakeSettings
from olvf_assets.intake.tables import DICOM_HEADERS

# What the study needs of a header; nothing else is read.
ATTRIBUTES = (
    "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "Modality", "PresentationIntentType", "StudyDate",
    "SeriesDate", "AcquisitionDate", "ContentDate", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge",
    "ManufacturerModelName", "DetectorManufacturerModelName", "BodyPartExamined", "AnatomicRegionSequence",
    "ViewPosition", "ViewCodeSequence", "ViewModifierCodeSequence", "PatientOrientation", "SeriesDescription",
    "ProtocolName", "AcquisitionDeviceProcessingDescription", "AcquisitionProtocolName",
    "PerformedProcedureStepDescription", "ImageComments", "KVP", "DistanceSourceToDetector", "ImagerPixelSpacing",
    "PixelSpacing", "NominalScannedPixelSpacing", "PixelSpacingCalibrationType", "PixelAspectRatio",
    "EstimatedRadiographicMagnificationFactor", "BurnedInAnnotation", "SamplesPerPixel", "PhotometricInterpretation",
    "ConversionType", "ContentQualification",
    "PresentationLUTShape", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit",
)  # fmt: skip
# Of these classes a file without Rows was cut off; of others it may be whole and hold no picture.
RADIOGRAPHS = (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
)
# The first element of a data set without file header: group 0002 or 0008, little or big endian.
BARE_BEGINNINGS = (b"\x08\x00", b"\x00\x08", b"\x02\x00", b"\x00\x02")
MOST_BITS = 64
KILOVOLTS = {"KV": 1.0, "KVP": 1.0, "V": 0.001}


def read_header(
    file: Path, names: Pseudonymiser, settings: IntakeSettings, *, folder: Path | None = None
) -> dict[str, Any]:
    """Return the row of table `dicom_headers` for one file, without `path` and `sha256`.

    Never raises for a bad file; the reason stands in `refusal`. Lengths are mm, `kvp` is kV; values that are optional
    become null where they are implausible or cannot be read.

    Args:
        file: the file; or, with `folder`, its path in that landing folder, which may lead into a ZIP archive.
        names: makes the pseudonyms.
        settings: what counts as usable.
        folder: see `file`.
    """
    row: dict[str, Any] = dict.fromkeys(DICOM_HEADERS.names())
    row["institution"] = names.institution
    place = (file.parent, file.name) if folder is None else (folder, file.as_posix())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, about values that it reads all the same
        found, judgement = _parsed(*place, settings.modalities)
        if found is None:
            return row | _refused(judgement)
        spacing = spacing_of(found.header)
        row |= _facts(found.header, spacing, names, settings)
        judgement = judgement if judgement.reason else _judge_film(found, spacing, row, settings)
    return row | _refused(judgement)


def _parsed(folder: Path, path: str, modalities: tuple[str, ...]) -> tuple[DicomFile | None, Judgement]:
    """Return the header and a judgement of the file; no header when nothing can be learned from it."""
    try:
        with open_landed(folder, path) as handle:
            try:
                found = read_dicom(handle, tags_of(ATTRIBUTES))
            except NoDicomFileError:
                return None, _judge_other(handle)
    except (UnusableArchiveError, UnreadableDicomError) as error:
        return None, Judgement(error.reason, error.detail)
    except OSError as error:
        if is_of_the_machine(error):
            raise
        return None, Judgement("unreadable", f"the file cannot be opened ({type(error).__name__})")
    judgement = _judge_content(found, modalities)
    has_name = bool(text(found.header, "SOPInstanceUID"))
    if judgement.reason is None and not has_name:
        judgement = Judgement("no_instance_uid", "SOPInstanceUID is missing; no DICOM device writes such a file")
    return (found if has_name else None), judgement


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
    return uid_of(header.file_meta.get("TransferSyntaxUID"))


def _judge_content(found: DicomFile, modalities: tuple[str, ...]) -> Judgement:
    """Refuse what is no image of a radiograph or ends too early."""
    header = found.header
    sop_class = uid_of(header.file_meta.get("MediaStorageSOPClassUID") or text(header, "SOPClassUID"))
    if sop_class == MediaStorageDirectoryStorage:
        return Judgement("dicomdir", "a DICOMDIR lists films and holds none; the films beside it are taken in")
    modality = letters(text(header, "Modality"))
    if modality and modality not in modalities and "Rows" not in header:
        return Judgement("not_radiograph", f"Modality is {shown_code(modality)}: no image")
    if "Rows" not in header and sop_class not in RADIOGRAPHS:
        return Judgement("no_image", "the file holds no picture (Rows and pixel data are missing)")
    pixels = found.pixel_element
    if pixels is None:
        return Judgement("truncated", "the file ends before its pixel data; copy it again from the PACS")
    if pixels.length is not None and pixels.present < pixels.length:
        detail = f"{pixels.present} of {pixels.length} bytes of pixel data; copy the file again"
        return Judgement("truncated", detail)
    return ACCEPTED


def _facts(header: Dataset, spacing: Spacing, names: Pseudonymiser, settings: IntakeSettings) -> dict[str, Any]:
    patient_id = text(header, "PatientID")
    uid = text(header, "SOPInstanceUID")
    return {
        "sop_instance_uid": names.uid(uid),
        "film_id": names.film(uid),
        "patient_id": names.patient(patient_id) if patient_id else None,
        "film_date": film_date(header, names),
        "sex": sex(header),
        "age_years": age_years(header, settings),
        "transfer_syntax": shown_syntax(_syntax(header)),
        "rows": _counted(header, "Rows", LARGEST_SIDE_PX),
        "columns": _counted(header, "Columns", LARGEST_SIDE_PX),
        "pixel_mm": spacing.pixel_mm,
        "pixel_mm_source": spacing.source,
        "calibrated_pixel_mm": spacing.calibrated_pixel_mm,
        "bits_stored": _counted(header, "BitsStored", MOST_BITS),
        "photometric": shown_code(text(header, "PhotometricInterpretation")),
        "kvp": within(_first_number(header, "KVP", KILOVOLTS), settings.kvp_range),
        "sid_mm": within(_first_number(header, "DistanceSourceToDetector", MILLIMETRES), settings.sid_mm_range),
        "detector": detector_name(header, settings.detector_words),
    }


def _counted(header: Dataset, keyword: str, most: int) -> int | None:
    """Return a number from 1 to `most`; another one is none of its kind, may be anything, and is not shown."""
    found = integer(header, keyword)
    return found if found is not None and 1 <= found <= most else None


def _first_number(header: Dataset, keyword: str, units: dict[str, float]) -> float | None:
    written = values(header, keyword)
    return number(written[0], units) if written else None


def _judge_film(found: DicomFile, spacing: Spacing, row: dict[str, Any], settings: IntakeSettings) -> Judgement:
    """Return the first reason to refuse an intact file, and note its view in `row` if there is none."""
    header = found.header
    judgements = (
        lambda: _judge_image_kind(header, row, settings),
        lambda: _judge_syntax(header, row["bits_stored"]),
        lambda: _judge_pixel_element(found, row),
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
    if (integer(header, "NumberOfFrames") or 1) > 1:
        return Judgement("multi_frame", "Number of Frames is more than one; a radiograph has one")
    if (judgement := _judge_colour(header, row["photometric"] or "")).reason:
        return judgement
    if letters(text(header, "PresentationIntentType")) == "FORPROCESSING":
        return Judgement("for_processing", "raw detector values (FOR PROCESSING); export the image FOR PRESENTATION")
    if not all(1 <= (row[side] or 0) <= LARGEST_SIDE_PX for side in ("rows", "columns")):
        return Judgement("bad_header", f"Rows or Columns is missing or not within 1 to {LARGEST_SIDE_PX}")
    return _judge_bits(header, row["bits_stored"] or 0)


def _judge_colour(header: Dataset, photometric: str) -> Judgement:
    if photometric not in ("MONOCHROME1", "MONOCHROME2") or integer(header, "SamplesPerPixel") not in (1, None):
        return Judgement("colour", f"Photometric Interpretation is {photometric}, not MONOCHROME1/2")
    if photometric == "MONOCHROME2" and letters(text(header, "PresentationLUTShape")) == "INVERSE":
        detail = "MONOCHROME2 with Presentation LUT Shape INVERSE says both of black and white; correct one of them"
        return Judgement("contradictory_polarity", detail)
    return ACCEPTED


def _judge_bits(header: Dataset, stored: int) -> Judgement:
    if not 8 <= stored <= 16:
        return Judgement("bad_header", "BitsStored is missing or not within 8 to 16")
    allocated, highest = integer(header, "BitsAllocated"), integer(header, "HighBit")
    if allocated not in (8, 16) or stored > allocated:
        return Judgement("bad_header", f"BitsAllocated is {_few(allocated)} with BitsStored {stored}; it is 8 or 16")
    if highest not in (None, stored - 1):
        detail = f"HighBit is {_few(highest)} with BitsStored {stored}; PS3.5 8.1.1 wants {stored - 1}"
        return Judgement("bad_header", detail)
    return ACCEPTED


def _few(bits: int | None) -> str:
    return "another number" if bits is not None and not 0 <= bits <= MOST_BITS else str(bits)


def _judge_syntax(header: Dataset, bits_stored: int | None) -> Judgement:
    syntax = _syntax(header)
    if not syntax:
        return Judgement("unsupported_transfer_syntax", "the file does not say its transfer syntax (0002,0010)")
    if can_decode(syntax, bits_stored or 16):
        return ACCEPTED
    detail = f"{shown_syntax(syntax)} cannot be decoded here; export the film uncompressed"
    return Judgement("unsupported_transfer_syntax", detail)


def _judge_pixel_element(found: DicomFile, row: dict[str, Any]) -> Judgement:
    """Hold the pixel data's length against what rows, columns and bits need."""
    pixels: PixelElement | None = found.pixel_element
    if pixels is None or not pixels.is_integer:
        return Judgement("bad_header", "the pixel data are floating-point numbers; export the film as integers")
    if pixels.length is None:
        if _syntax(found.header).is_compressed:
            return ACCEPTED
        detail = "the pixel data are in fragments, as if compressed, and the transfer syntax says they are not"
        return Judgement("unsupported_transfer_syntax", detail)
    needed = row["rows"] * row["columns"] * (integer(found.header, "BitsAllocated") or 0) // 8
    if pixels.length < needed:
        detail = f"{pixels.length} bytes of pixel data, rows and columns need {needed}; copy or export the film again"
        return Judgement("truncated", detail)
    if pixels.length >= 2 * needed:
        detail = f"the pixel data hold {pixels.length // needed} pictures of these rows and columns; export one a file"
        return Judgement("multi_frame", detail)
    return ACCEPTED


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
    if spacing.source == "unknown" and (shortest_px := min(row["rows"], row["columns"])) < settings.min_side_px:
        return Judgement("too_small", f"the shorter side is {shortest_px} px; at least {settings.min_side_px}")
    if spacing.judgement.reason or spacing.pixel_mm is None:
        return spacing.judgement
    low, high = settings.pixel_mm_range
    if not low <= spacing.pixel_mm <= high:
        return Judgement("no_pixel_spacing", f"a spacing of {spacing.pixel_mm:.4g} mm is outside {low} to {high} mm")
    shortest_mm = min(row["rows"], row["columns"]) * spacing.pixel_mm
    if shortest_mm < settings.min_side_mm:
        return Judgement("too_small", f"the shorter side is {shortest_mm:.0f} mm; at least {settings.min_side_mm:.0f}")
    return ACCEPTED
