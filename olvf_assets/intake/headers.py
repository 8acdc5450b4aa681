"""One row per candidate DICOM file, from its header alone (table `dicom_headers`).

What lives here: reading headers and refusing files that cannot be a lateral lumbar radiograph of a known patient, with
a reason a technologist understands. What does not: pixels (`pixels`), the words for views (`view_rules`).
Identifiers are replaced by pseudonyms before a row leaves `read_header`; no text typed by people is kept.
"""

import re
import struct
from collections.abc import Callable, Collection
from functools import partial
from io import SEEK_END, BufferedReader
from pathlib import Path
from typing import Any

import polars as pl
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.pixels import get_decoder
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from olvf_assets.foundation.landing import is_sheet
from olvf_assets.foundation.parallel import parallel_map
from olvf_assets.intake.header_privacy import detector_name, film_date, shown_code
from olvf_assets.intake.pseudonyms import Pseudonymiser
from olvf_assets.intake.safe_paths import path_names
from olvf_assets.intake.settings import LARGEST_SIDE_PX, IntakeSettings
from olvf_assets.intake.tables import DICOM_HEADERS
from olvf_assets.intake.view_rules import ACCEPTED, Judgement, judge_body_part, judge_projection, view_of

# A process of its own pays off only beyond this many headers (about 1 ms each; starting one costs about 1 s).
HEADERS_PER_PROCESS = 1500
PIXEL_DATA_TAGS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")
SQUARE_PIXEL_TOLERANCE = 0.01


def dicom_headers(
    folder: Path,
    manifest: pl.DataFrame,
    known_patients: Collection[str],
    names: Pseudonymiser,
    settings: IntakeSettings,
    *,
    workers: int = 0,
    report: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Return one row per candidate DICOM of `manifest`: everything that is not a known sheet or box file.

    Args:
        folder: the landing folder of the institution.
        manifest: table `landing_manifest` of that institution.
        known_patients: pseudonyms of the patients in the subjects sheet (column `patient_id` of table `subjects`).
        names: makes the pseudonyms.
        settings: what counts as usable.
        workers: processes, used from some thousand files on; 0 means one per core.
        report: told of progress.

    Returns:
        Table `dicom_headers`, sorted by path; `refusal` is null for accepted films. Of several files with one SOP
        instance the first by path is kept and the others are refused as `duplicate`.
    """
    shown = path_names(folder, names)
    todo = [
        (folder / shown.real(row["path"]), row["path"], row["sha256"])
        for row in manifest.iter_rows(named=True)
        if not is_sheet(row["path"])
    ]
    read = partial(_read_one, names=names, settings=settings)
    many = len(todo) > HEADERS_PER_PROCESS
    what = f"headers of {names.institution}"
    rows = parallel_map(read, todo, workers=workers if many else 1, what=what, report=report if many else None)
    rows.sort(key=lambda row: row["path"])
    _refuse_unknown_patients(rows, set(known_patients))
    _refuse_duplicates(rows)
    return pl.DataFrame(rows, schema=DICOM_HEADERS)


def _read_one(entry: tuple[Path, str, str], names: Pseudonymiser, settings: IntakeSettings) -> dict[str, Any]:
    file, path, sha256 = entry
    return read_header(file, names, settings) | {"path": path, "sha256": sha256}


def read_header(file: Path, names: Pseudonymiser, settings: IntakeSettings) -> dict[str, Any]:
    """Return the row of table `dicom_headers` for one file, without `path` and `sha256`.

    Never raises for a bad file; the reason stands in `refusal`. Lengths are mm, `kvp` is kV; implausible values of
    `kvp` and `sid_mm` become null.
    """
    row: dict[str, Any] = dict.fromkeys(DICOM_HEADERS.names())
    row["institution"] = names.institution
    header, judgement = _parsed(file, settings.modalities)
    if header is None:
        return row | _refused(judgement)
    try:
        row |= _facts(header, names, settings)
        judgement = judgement if judgement.reason else _judge_film(header, row, settings)
    except _HEADER_ERRORS as error:
        judgement = Judgement("bad_header", f"an attribute holds what it may not hold ({type(error).__name__})")
    return row | _refused(judgement)


# What pydicom raises for values that break their value representation, or that it does not know
# (RuntimeError); converting such values raises the same kinds.
_HEADER_ERRORS = (ValueError, KeyError, AttributeError, TypeError, RuntimeError, OverflowError)


def _parsed(file: Path, modalities: tuple[str, ...]) -> tuple[Dataset | None, Judgement]:
    """Return the header and a judgement of the file; the header is None when nothing can be learned from it."""
    try:
        with file.open("rb") as handle:
            header = dcmread(handle, stop_before_pixels=True)
            judgement = _judge_file(header, handle, modalities)
    except InvalidDicomError:
        judgement = Judgement("not_dicom", "not a DICOM file: the letters DICM are missing at byte 128")
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


def _refused(judgement: Judgement) -> dict[str, str | None]:
    return {"refusal": judgement.reason, "refusal_detail": judgement.detail}


def _judge_file(header: Dataset, handle: BufferedReader, modalities: tuple[str, ...]) -> Judgement:
    """Refuse what is no image of a radiograph or ends too early; `handle` stands where the pixel data begin."""
    modality = _letters(header.get("Modality"))
    if modality and modality not in modalities and "Rows" not in header:
        return Judgement("not_radiograph", f"Modality is {shown_code(modality)}: no image")
    syntax = UID(str(header.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)))
    if syntax == DeflatedExplicitVRLittleEndian:
        return ACCEPTED
    start = handle.tell()
    beginning = handle.read(12)
    if beginning[:4] not in PIXEL_DATA_TAGS:
        return Judgement("truncated", "the file ends before its pixel data; copy it again from the PACS")
    if not syntax.is_compressed:
        length_bytes = beginning[4:8] if syntax.is_implicit_VR else beginning[8:12]
        promised = int.from_bytes(length_bytes, "big" if syntax == ExplicitVRBigEndian else "little")
        present = handle.seek(0, SEEK_END) - start - (8 if syntax.is_implicit_VR else 12)
        if present < promised:
            return Judgement("truncated", f"{max(present, 0)} of {promised} bytes of pixel data; copy the file again")
    return ACCEPTED


def _facts(header: Dataset, names: Pseudonymiser, settings: IntakeSettings) -> dict[str, Any]:
    patient_id = str(header.get("PatientID") or "").strip()
    uid = str(header.SOPInstanceUID)
    sid_mm = _number(header.get("DistanceSourceToDetector"))
    return {
        "sop_instance_uid": names.uid(uid),
        "film_id": names.film(uid),
        "patient_id": names.patient(patient_id) if patient_id else None,
        "film_date": film_date(header, names),
        "rows": _integer(header.get("Rows")),
        "columns": _integer(header.get("Columns")),
        "pixel_mm": _pixel_mm(header),
        "bits_stored": _integer(header.get("BitsStored")),
        "photometric": shown_code(str(header.get("PhotometricInterpretation") or "")),
        "kvp": _within(_number(header.get("KVP")), settings.kvp_range),
        "sid_mm": _within(sid_mm, settings.sid_mm_range),
        "detector": detector_name(header, settings.detector_words),
    }


def _judge_film(header: Dataset, row: dict[str, Any], settings: IntakeSettings) -> Judgement:
    """Return the first reason to refuse an intact file, and note its view in `row` if there is none."""
    judgements = (
        lambda: _judge_image_kind(header, row, settings),
        lambda: _judge_syntax(header),
        lambda: _judge_burned_in(header),
        lambda: judge_projection(header),
        lambda: judge_body_part(header, settings.body_parts),
        lambda: _judge_geometry(header, row, settings),
    )
    for judge in judgements:
        if (judgement := judge()).reason:
            return judgement
    if row["patient_id"] is None:
        return Judgement("missing_patient_id", "PatientID is empty; the film cannot be joined to the sheets")
    row["view"] = view_of(header)
    return ACCEPTED


def _judge_image_kind(header: Dataset, row: dict[str, Any], settings: IntakeSettings) -> Judgement:
    modality = _letters(header.get("Modality"))
    if modality not in settings.modalities:
        return Judgement("not_radiograph", f"Modality is {shown_code(modality)}; expected CR or DX")
    if (_integer(header.get("NumberOfFrames")) or 1) > 1:
        return Judgement("multi_frame", f"{header.NumberOfFrames} frames; a radiograph has one")
    if (row["photometric"] or "") not in ("MONOCHROME1", "MONOCHROME2") or header.get("SamplesPerPixel", 1) != 1:
        return Judgement("colour", f"Photometric Interpretation is {row['photometric']}, not MONOCHROME1/2")
    if not all(1 <= (row[side] or 0) <= LARGEST_SIDE_PX for side in ("rows", "columns")):
        return Judgement("bad_header", f"Rows or Columns is missing or not within 1 to {LARGEST_SIDE_PX}")
    if not 8 <= (row["bits_stored"] or 0) <= 16:
        return Judgement("bad_header", "BitsStored is missing or not within 8 to 16")
    return ACCEPTED


def _judge_syntax(header: Dataset) -> Judgement:
    syntax = UID(str(header.file_meta.get("TransferSyntaxUID", "")))
    if not syntax:
        return Judgement("unsupported_transfer_syntax", "the file does not say its transfer syntax (0002,0010)")
    try:
        available = get_decoder(syntax).is_available
    except RuntimeError:
        available = False
    if available or syntax == DeflatedExplicitVRLittleEndian:
        return ACCEPTED
    return Judgement(
        "unsupported_transfer_syntax", f"{syntax.name} cannot be decoded here; export the film uncompressed"
    )


def _judge_burned_in(header: Dataset) -> Judgement:
    if _letters(header.get("BurnedInAnnotation")) == "YES":
        return Judgement("burned_in_annotation", "the header says that text is burned into the pixels; export without")
    return ACCEPTED


def _judge_geometry(header: Dataset, row: dict[str, Any], settings: IntakeSettings) -> Judgement:
    if row["pixel_mm"] is None:
        return Judgement("no_pixel_spacing", "neither Imager Pixel Spacing nor Pixel Spacing is filled in")
    spacing = _spacing(header)
    if spacing is not None and abs(spacing[0] - spacing[1]) > SQUARE_PIXEL_TOLERANCE * spacing[0]:
        return Judgement("non_square_pixels", f"pixels of {spacing[0]:.3f} x {spacing[1]:.3f} mm are not square")
    low, high = settings.pixel_mm_range
    if not low <= row["pixel_mm"] <= high:
        return Judgement("no_pixel_spacing", f"a spacing of {row['pixel_mm']:.4g} mm is outside {low} to {high} mm")
    shortest_mm = min(row["rows"], row["columns"]) * row["pixel_mm"]
    if shortest_mm < settings.min_side_mm:
        return Judgement("too_small", f"the shorter side is {shortest_mm:.0f} mm; at least {settings.min_side_mm:.0f}")
    return ACCEPTED


def _refuse_unknown_patients(rows: list[dict[str, Any]], known: set[str]) -> None:
    for row in rows:
        if row["refusal"] is None and row["patient_id"] not in known:
            detail = f"patient {row['patient_id']} (pseudonym) is not in subjects.csv; add the row or take the film out"
            row.update(_refused(Judgement("unknown_patient", detail)))


def _refuse_duplicates(rows: list[dict[str, Any]]) -> None:
    first: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["refusal"] is not None:
            continue
        kept = first.setdefault(row["film_id"], row)
        if kept is not row:
            same = "the same file" if kept["sha256"] == row["sha256"] else "the same SOP instance in other bytes"
            row.update(_refused(Judgement("duplicate", f"{same} as {kept['path']}")))


def _spacing(header: Dataset) -> tuple[float, float] | None:
    for keyword in ("ImagerPixelSpacing", "PixelSpacing"):
        value = header.get(keyword)
        if value is not None and not isinstance(value, str) and hasattr(value, "__len__") and len(value) == 2:
            return float(value[0]), float(value[1])
    return None


def _pixel_mm(header: Dataset) -> float | None:
    """Return the spacing at the detector in mm, rounded to 0.1 um; null when absent or not positive."""
    spacing = _spacing(header)
    return round(spacing[0], 4) if spacing is not None and min(spacing) > 0 else None


def _letters(value: Any) -> str:
    return re.sub(r"[^A-Z0-9_]", "", str(value or "").upper())


def _number(value: Any) -> float | None:
    return None if value is None or value == "" else float(value)


def _integer(value: Any) -> int | None:
    return None if value is None or value == "" else int(value)


def _within(value: float | None, bounds: tuple[float, float]) -> float | None:
    return value if value is not None and bounds[0] <= value <= bounds[1] else None
