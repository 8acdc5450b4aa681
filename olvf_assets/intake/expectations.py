"""Great Expectations suites at the intake gate.

What lives here: what every row of `dicom_headers` (accepted films), `subjects`, `reader_labels` and `reader_boxes` must
satisfy, whoever made it, and running that. What does not: refusing single films or sheet rows, which happens earlier
(`headers`, `sheets`); a failure here is a fault of this program or of a changed table, and blocks. The pages that show
the suites and their results are made by `data_docs`.
Importing great_expectations takes about 3 s, so it is imported inside `validate`. Its context is ephemeral: no file is
written, nothing is sent.
"""

import os
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.vocabulary import CLASSES, LEVELS, VIEWS
from olvf_assets.intake.boxes.formats import FORMATS
from olvf_assets.intake.settings import LARGEST_SIDE_PX, IntakeSettings
from olvf_assets.intake.sheets.sheets import LONGEST_INTERVAL_DAYS, READERS, SEXES
from olvf_assets.intake.tables import DICOM_HEADERS, READER_BOXES, READER_LABELS, SUBJECTS

SHOWN_ROWS = 20
PATIENT_ID = r"^P[0-9a-f]{16}$"
FILM_ID = r"^F[0-9a-f]{16}$"
UID = r"^2\.25\.[0-9]{1,39}$"
SHA256 = r"^[0-9a-f]{64}$"
INSTITUTION = r"^[a-z][a-z0-9_]*$"

# Columns that name a failing row; all pseudonyms.
ID_COLUMNS = {
    "dicom_headers": ["institution", "film_id"],
    "subjects": ["institution", "patient_id"],
    "reader_labels": ["institution", "patient_id", "level", "reader", "reading"],
    "reader_boxes": ["institution", "film_id", "level"],
}
SCHEMAS = {
    "dicom_headers": DICOM_HEADERS,
    "subjects": SUBJECTS,
    "reader_labels": READER_LABELS,
    "reader_boxes": READER_BOXES,
}


class NoSuiteError(OlvfError):
    """There is no suite for a table of this name."""


@dataclass(frozen=True)
class ValidationOutcome:
    """What a suite found.

    Attributes:
        success: every expectation holds.
        failures: one entry per broken expectation: `expectation`, `column`, `n_rows`, `rows` (ids of the first 20).
    """

    success: bool
    n_expectations: int
    failures: list[dict[str, Any]] = field(default_factory=list)


def validate(table_name: str, frame: pl.DataFrame, settings: IntakeSettings | None = None) -> ValidationOutcome:
    """Run the suite of a table.

    Args:
        table_name: one of `ID_COLUMNS`.
        frame: the table; of `dicom_headers` only rows without refusal are looked at.
        settings: the ranges; default settings when not given.

    Raises:
        NoSuiteError: no suite for that name.
    """
    present = [name for name in ID_COLUMNS.get(table_name, []) if name in frame.columns]
    result_format = {"result_format": "COMPLETE", "unexpected_index_column_names": present}
    results = run_suite(quiet_context(), table_name, frame, settings or IntakeSettings(), result_format)
    failures = [_failure(each, present) for each in results if not each.success]
    return ValidationOutcome(not failures, len(results), failures)


def quiet_context() -> Any:
    """Return a Great Expectations context that keeps nothing on disk, reports no usage and draws no progress bars."""
    # Read by the library when it is imported.
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}  # type: ignore[assignment]
    return context


def run_suite(
    context: Any, table_name: str, frame: pl.DataFrame, settings: IntakeSettings, result_format: dict[str, Any]
) -> list[Any]:
    """Validate a table in a context, which keeps suite and result, and return the result of each expectation.

    Raises:
        NoSuiteError: no suite for that name.
    """
    import great_expectations as gx

    if table_name not in ID_COLUMNS:
        raise NoSuiteError(f"no suite for table {table_name!r}; there are {', '.join(ID_COLUMNS)}")
    if table_name == "dicom_headers" and "refusal" in frame.columns:
        frame = frame.filter(pl.col("refusal").is_null())
    asset = context.data_sources.add_or_update_pandas(table_name).add_dataframe_asset(table_name)
    batch = asset.add_batch_definition_whole_dataframe("whole table")
    suite = context.suites.add(gx.ExpectationSuite(table_name, expectations=_suite(table_name, settings)))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=table_name, data=batch, suite=suite))
    result = definition.run(batch_parameters={"dataframe": frame.to_pandas()}, result_format=result_format)
    return list(result.results)


def _failure(outcome: Any, id_columns: list[str]) -> dict[str, Any]:
    arguments = outcome.expectation_config.kwargs
    columns = arguments.get("column") or arguments.get("column_list") or arguments.get("column_set")
    columns = columns or [arguments.get("column_A"), arguments.get("column_B")]
    rows = outcome.result.get("unexpected_index_list") or []
    raised = (outcome.exception_info or {}).get("exception_message")
    return {
        "expectation": outcome.expectation_config.type + (f" (could not run: {str(raised)[:200]})" if raised else ""),
        "column": columns if isinstance(columns, str) else ", ".join(sorted(map(str, columns))),
        "n_rows": len(rows),
        "rows": [{name: _plain(row.get(name)) for name in id_columns} for row in rows[:SHOWN_ROWS]],
    }


def _plain(value: Any) -> Any:
    """Return a numpy scalar as the Python number it is."""
    return value.item() if hasattr(value, "item") else value


def _suite(table_name: str, settings: IntakeSettings) -> list[Any]:
    import great_expectations.expectations as gxe

    schema = SCHEMAS[table_name]
    common = [
        gxe.ExpectTableColumnsToMatchSet(column_set=schema.names(), exact_match=False),
        gxe.ExpectColumnValuesToMatchRegex(column="institution", regex=INSTITUTION),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=ID_COLUMNS[table_name]),
        *(gxe.ExpectColumnValuesToNotBeNull(column=name) for name in _never_null(table_name)),
    ]
    suites = {
        "dicom_headers": _dicom_headers,
        "subjects": _subjects,
        "reader_labels": _reader_labels,
        "reader_boxes": _reader_boxes,
    }
    return common + suites[table_name](gxe, settings)


def _never_null(table_name: str) -> list[str]:
    may_be_null = {
        "dicom_headers": {
            "film_date",
            *("sex", "age_years"),  # the sheet says them; a header may be silent
            "kvp",
            "sid_mm",
            "detector",
            "refusal",
            "refusal_detail",
            "calibrated_pixel_mm",
            "pixel_mm",  # where its source is `unknown`, and nowhere else
            *("view", "view_source", "body_part", "body_part_source"),  # null where the picture must tell
        },
        "subjects": {"film_date", "onset_to_film_days", "mri_delay_days"},
        "reader_boxes": {"film_px_per_picture_px"},
    }
    return [name for name in SCHEMAS[table_name].names() if name not in may_be_null.get(table_name, set())]


def _dicom_headers(gxe: Any, settings: IntakeSettings) -> list[Any]:
    from great_expectations.expectations.row_conditions import Column

    low_mm, high_mm = settings.pixel_mm_range
    return [
        gxe.ExpectColumnValuesToMatchRegex(column="film_id", regex=FILM_ID),
        gxe.ExpectColumnValuesToMatchRegex(column="patient_id", regex=PATIENT_ID),
        gxe.ExpectColumnValuesToMatchRegex(column="sop_instance_uid", regex=UID),
        gxe.ExpectColumnValuesToMatchRegex(column="sha256", regex=SHA256),
        gxe.ExpectColumnValuesToBeUnique(column="path"),
        gxe.ExpectColumnValuesToBeUnique(column="sop_instance_uid"),
        gxe.ExpectColumnValuesToBeInSet(column="sex", value_set=list(SEXES)),
        gxe.ExpectColumnValuesToBeBetween(
            column="age_years", min_value=settings.age_years_range[0], max_value=settings.age_cap_years
        ),
        gxe.ExpectColumnValuesToBeInSet(column="view", value_set=[*VIEWS, "unknown"]),
        gxe.ExpectColumnValuesToBeInSet(column="photometric", value_set=["MONOCHROME1", "MONOCHROME2"]),
        gxe.ExpectColumnValuesToBeBetween(column="bits_stored", min_value=8, max_value=16),
        gxe.ExpectColumnValuesToBeBetween(column="rows", min_value=1, max_value=LARGEST_SIDE_PX),
        gxe.ExpectColumnValuesToBeBetween(column="columns", min_value=1, max_value=LARGEST_SIDE_PX),
        gxe.ExpectColumnValuesToBeBetween(column="pixel_mm", min_value=low_mm, max_value=high_mm),
        gxe.ExpectColumnValuesToNotBeNull(column="pixel_mm", row_condition=Column("pixel_mm_source") != "unknown"),
        gxe.ExpectColumnValuesToBeBetween(
            column="kvp", min_value=settings.kvp_range[0], max_value=settings.kvp_range[1]
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="sid_mm", min_value=settings.sid_mm_range[0], max_value=settings.sid_mm_range[1]
        ),
    ]


def _subjects(gxe: Any, settings: IntakeSettings) -> list[Any]:
    return [
        gxe.ExpectColumnValuesToMatchRegex(column="patient_id", regex=PATIENT_ID),
        gxe.ExpectColumnValuesToBeInSet(column="sex", value_set=list(SEXES)),
        gxe.ExpectColumnValuesToBeBetween(
            column="age_years", min_value=settings.age_years_range[0], max_value=settings.age_cap_years
        ),
        gxe.ExpectColumnValuesToBeBetween(column="onset_to_film_days", min_value=0, max_value=LONGEST_INTERVAL_DAYS),
        gxe.ExpectColumnValuesToBeBetween(
            column="mri_delay_days", min_value=-LONGEST_INTERVAL_DAYS, max_value=LONGEST_INTERVAL_DAYS
        ),
    ]


def _reader_labels(gxe: Any, settings: IntakeSettings) -> list[Any]:
    from great_expectations.expectations.row_conditions import Column

    return [
        gxe.ExpectColumnValuesToMatchRegex(column="patient_id", regex=PATIENT_ID),
        gxe.ExpectColumnValuesToBeInSet(column="level", value_set=list(LEVELS)),
        gxe.ExpectColumnValuesToBeInSet(column="reader", value_set=list(READERS)),
        gxe.ExpectColumnValuesToBeInSet(column="reading", value_set=[1, 2]),
        gxe.ExpectColumnValuesToBeInSet(column="reading", value_set=[1], row_condition=Column("reader") == "consensus"),
        gxe.ExpectColumnValuesToBeInSet(column="label", value_set=list(CLASSES)),
        gxe.ExpectColumnValuesToBeInSet(column="pathological", value_set=[True, False]),
    ]


def _reader_boxes(gxe: Any, settings: IntakeSettings) -> list[Any]:
    ordered = [
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A=f"{axis}1_px", column_B=f"{axis}0_px") for axis in "xy"
    ]
    inside = [
        gxe.ExpectColumnValuesToBeBetween(column=name, min_value=0, max_value=LARGEST_SIDE_PX)
        for name in ("x0_px", "y0_px", "x1_px", "y1_px")
    ]
    return [
        gxe.ExpectColumnValuesToMatchRegex(column="film_id", regex=FILM_ID),
        gxe.ExpectColumnValuesToBeInSet(column="level", value_set=list(LEVELS)),
        gxe.ExpectColumnValuesToBeInSet(column="box_format", value_set=list(FORMATS)),
        gxe.ExpectColumnValuesToBeBetween(column="film_px_per_picture_px", min_value=0, strict_min=True),
        *ordered,
        *inside,
    ]
