"""Schemas of the tables that the room `intake` makes. SQL models (`films`, `quarantine`) are not listed here."""

import polars as pl

from olvf_assets.intake.landing.landing import LANDING_MANIFEST

__all__ = [
    "DICOM_HEADERS",
    "DRAWN_FILMS",
    "EXPECTATION_RESULTS",
    "FILM_CONDITIONS",
    "FILM_PIXELS",
    "INSTITUTIONS",
    "LANDING_MANIFEST",
    "READER_BOXES",
    "READER_LABELS",
    "SUBJECTS",
    "UNMATCHED_BOXES",
]

INSTITUTIONS = pl.Schema({"institution": pl.String, "name": pl.String, "role": pl.String})

DICOM_HEADERS = pl.Schema(
    {
        "institution": pl.String,
        "path": pl.String,
        "sha256": pl.String,
        "sop_instance_uid": pl.String,
        "film_id": pl.String,
        "patient_id": pl.String,
        "film_date": pl.Date,  # shifted, see `pseudonyms`
        "sex": pl.String,  # this and the age as the header says, to be held against the sheet
        "age_years": pl.Int64,
        "view": pl.String,
        "view_source": pl.String,
        "view_evidence": pl.String,
        "bending": pl.String,
        "body_part": pl.String,
        "body_part_source": pl.String,
        "body_part_evidence": pl.String,
        "transfer_syntax": pl.String,
        "rows": pl.Int64,
        "columns": pl.Int64,
        "pixel_mm": pl.Float64,
        "pixel_mm_source": pl.String,
        "calibrated_pixel_mm": pl.Float64,
        "bits_stored": pl.Int64,
        "photometric": pl.String,
        "kvp": pl.Float64,
        "sid_mm": pl.Float64,
        "detector": pl.String,
        "refusal": pl.String,
        "refusal_detail": pl.String,
    }
)

FILM_PIXELS = pl.Schema(
    {
        "institution": pl.String,
        "path": pl.String,
        "film_id": pl.String,
        "image_path": pl.String,
        "pixel_sha256": pl.String,
        "voi": pl.String,
        "voi_detail": pl.String,
        "view": pl.String,
        "view_source": pl.String,
        "view_evidence": pl.String,
        "body_part": pl.String,
        "body_part_source": pl.String,
        "body_part_evidence": pl.String,
        "view_doubt": pl.String,
        "refusal": pl.String,
        "refusal_detail": pl.String,
    }
)

SUBJECTS = pl.Schema(
    {
        "institution": pl.String,
        "patient_id": pl.String,
        "sex": pl.String,
        "age_years": pl.Int64,
        "film_date": pl.Date,  # shifted, see `pseudonyms`
        "onset_to_film_days": pl.Int64,
        "mri_delay_days": pl.Int64,
    }
)

READER_LABELS = pl.Schema(
    {
        "institution": pl.String,
        "patient_id": pl.String,
        "level": pl.String,
        "reader": pl.String,
        "reading": pl.Int64,
        "label": pl.String,
        "pathological": pl.Boolean,
    }
)

FILM_CONDITIONS = pl.Schema(
    {
        "institution": pl.String,
        "patient_id": pl.String,
        "level": pl.String,
        "view": pl.String,
        "scope": pl.String,
        "condition": pl.String,
        "height_ratio": pl.Float64,
        "severely_crushed": pl.Boolean,  # height_ratio is below the profile's; null where it was not measured
    }
)

READER_BOXES = pl.Schema(
    {
        "institution": pl.String,
        "film_id": pl.String,
        "level": pl.String,
        "x0_px": pl.Float64,
        "y0_px": pl.Float64,
        "x1_px": pl.Float64,
        "y1_px": pl.Float64,
        "box_format": pl.String,  # yolo, voc or coco
        "film_px_per_picture_px": pl.Float64,  # scale of the labelled picture; null in YOLO
    }
)

HELPER_BOX = pl.Struct(
    [pl.Field("vertebra", pl.String), *(pl.Field(name, pl.Float64) for name in ("x0_px", "y0_px", "x1_px", "y1_px"))]
)

DRAWN_FILMS = pl.Schema(
    {
        "institution": pl.String(),
        "film_id": pl.String(),
        "n_boxes": pl.Int64(),  # 0: the file lists the picture and draws nothing in it
        "is_draft": pl.Boolean(),  # the file bears the name of a draft of the detector
        "box_format": pl.String(),  # yolo, voc or coco
        "helper_boxes": pl.List(HELPER_BOX),  # of T1 to T12, S1 and unnamed bodies, pixels of the full film
    }
)

UNMATCHED_BOXES = pl.Schema(
    {
        "institution": pl.String,
        "path": pl.String,
        "sha256": pl.String,
        "reason": pl.String,
        "detail": pl.String,
    }
)

EXPECTATION_RESULTS = pl.Schema(
    {
        "table_name": pl.String,
        "position": pl.Int64,  # of the expectation in its suite, from 1
        "expectation": pl.String,
        "column": pl.String,
        "arguments": pl.String,  # JSON
        "success": pl.Boolean,
        "n_rows": pl.Int64,  # that it looked at
        "n_unexpected": pl.Int64,  # of these
    }
)
