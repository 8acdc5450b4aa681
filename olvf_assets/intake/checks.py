"""The gate: every path accounted for, and Great Expectations suites over headers, subjects, labels and boxes.

What lives here: which table is validated. What does not: the expectations themselves (`expectations.py`), the walk that
the manifest is held against (`second_walk.py`).
"""

import polars as pl

from olvf_assets.foundation.tables import TableRun, check


@check(table="landing_manifest")
def the_manifest_lists_all_that_lies_in_the_folder(run: TableRun, landing_manifest: pl.DataFrame) -> pl.DataFrame:
    """A plain walk of the folder, by other code than the intake's, finds no path that the manifest lacks."""
    from olvf_assets.intake.assets import names_of, paths_of
    from olvf_assets.intake.landing.second_walk import unlisted_paths

    folder = run.data / "landing" / run.institution
    return unlisted_paths(folder, landing_manifest, paths_of(run), names_of(run), run.began_ns)


@check(table="dicom_headers")
def dicom_headers_meet_expectations(run: TableRun, dicom_headers: pl.DataFrame) -> pl.DataFrame:
    """Schema, ranges, allowed values and uniqueness of the accepted headers."""
    return _failures(run, "dicom_headers", dicom_headers)


@check(table="film_pixels", blocking=False)
def pictures_agree_with_headers(run: TableRun, film_pixels: pl.DataFrame) -> pl.DataFrame:
    """Look at films whose picture surely says otherwise than their header; the header holds, and nothing is refused."""
    return film_pixels.filter(pl.col("view_doubt").is_not_null()).select("path", "film_id", "view_doubt")


@check(table="subjects")
def subjects_meet_expectations(run: TableRun, subjects: pl.DataFrame) -> pl.DataFrame:
    """Schema, ranges, allowed values and uniqueness of the subjects."""
    return _failures(run, "subjects", subjects)


@check(table="reader_labels")
def reader_labels_meet_expectations(run: TableRun, reader_labels: pl.DataFrame) -> pl.DataFrame:
    """Schema, allowed values and uniqueness of the readings."""
    return _failures(run, "reader_labels", reader_labels)


@check(table="reader_boxes")
def reader_boxes_meet_expectations(run: TableRun, reader_boxes: pl.DataFrame) -> pl.DataFrame:
    """Schema, ranges and uniqueness of the drawn boxes."""
    return _failures(run, "reader_boxes", reader_boxes)


def _failures(run: TableRun, name: str, frame: pl.DataFrame) -> pl.DataFrame:
    from olvf_assets.intake.expectations import validate

    schema = {"expectation": pl.String, "column": pl.String, "n_rows": pl.Int64, "rows": pl.String}
    failures = validate(name, frame, run.profile.intake).failures
    return pl.DataFrame([{**each, "rows": str(each["rows"])} for each in failures], schema=schema)
