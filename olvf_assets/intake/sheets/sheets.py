"""The hospital's sheets as tables: `subjects`, `reader_labels`, `film_conditions`, and `institutions`.

What lives here: what each sheet's columns mean and which values are allowed. What does not: files, encodings and
headings (`sheets.files`, `sheets.reading`), drawn boxes (`boxes`), rules about who is excluded (SQL models).
Patients leave as pseudonyms; of their dates leave intervals in days, and the film's date shifted. A sheet is loaded
whole or not at all; one that is not there gives a table without rows. Columns that are not named here are left where
they are.
"""

import re
from collections.abc import Collection, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from olvf_assets.foundation.vocabulary import CLASSES, LEVELS, VIEWS
from olvf_assets.intake.landing.institution_file import Institution
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.intake.sheets.enrolled import Enrolled, patient_named
from olvf_assets.intake.sheets.files import has_sheet
from olvf_assets.intake.sheets.problems import Problems
from olvf_assets.intake.sheets.reading import Row, day, one_of, read_sheet, whole_number
from olvf_assets.intake.sheets.words import UNKNOWN_DAY, word
from olvf_assets.intake.tables import FILM_CONDITIONS, INSTITUTIONS, READER_LABELS, SUBJECTS

SEXES = ("F", "M")
READERS = ("1", "2", "consensus")
CONDITIONS = ("severe_crush", "foreign_substance", "poor_positioning", "poor_image_quality", "onset_unknown")
SCOPES = ("fracture", "crop")
# An onset or MRI more than ten years from the film is a mistyped year.
LONGEST_INTERVAL_DAYS = 3653


def institutions(institution: Institution) -> pl.DataFrame:
    """Return the one row of table `institutions` for an institution."""
    row = {"institution": institution.key, "name": institution.name, "role": institution.role}
    return pl.DataFrame([row], schema=INSTITUTIONS)


def subjects(folder: Path, names: Pseudonymiser, settings: IntakeSettings) -> pl.DataFrame:
    """Return table `subjects` from the sheet `subjects`, sorted by patient; no row without that sheet.

    Ages beyond `settings.age_cap_years` are written as that age (very old patients are identifiable by age).
    `film_date` is shifted by the patient's own number of days, `onset_to_film_days` is film minus onset (null when the
    onset is not known), `mri_delay_days` MRI minus film. Where the sheet says that the film's date is `unknown`, all
    three are null.

    Raises:
        SheetError: missing column, bad sex, age or date, onset after the film, a patient twice, no patient at all.
    """
    if not has_sheet(folder, "subjects"):
        return SUBJECTS.to_frame()
    required = ("patient_id", "sex", "age_years", "film_date", "onset_date", "mri_date")
    sheet = read_sheet(folder, "subjects", lambda _: required)
    problems = sheet.problems
    if not sheet.rows:
        problems.add("", None, "the sheet names no patient; write one row per patient")
    first: dict[str, Row] = {}
    out = []
    for row in sheet.rows:
        patient_id = patient_named(row, names, problems)
        if patient_id is None:
            continue
        if first.setdefault(patient_id, row) is not row:
            already = f"{patient_id!r} (pseudonym) stands in {first[patient_id].place} already"
            problems.add(row.at("patient_id"), None, already)
        age = whole_number(row, "age_years", settings.age_years_range, problems)
        sex = one_of(row, "sex", SEXES, problems)
        film_date, onset_days, mri_days = _dates(row, problems)
        out.append(
            {
                "institution": names.institution,
                "patient_id": patient_id,
                "sex": sex,
                "age_years": None if age is None else min(age, settings.age_cap_years),
                "film_date": None if film_date is None else names.shifted(row["patient_id"], film_date),
                "onset_to_film_days": onset_days,
                "mri_delay_days": mri_days,
            }
        )
    problems.raise_if_any()
    return pl.DataFrame(out, schema=SUBJECTS).sort("patient_id")


def _dates(row: Row, problems: Problems) -> tuple[date | None, int | None, int | None]:
    """Return the film's date as it is, and the days from onset to film and from film to MRI."""
    unknown = row["film_date"].casefold() in UNKNOWN_DAY  # said, not forgotten
    film = day(row, "film_date", problems, may_be_empty=unknown)
    onset = day(row, "onset_date", problems, may_be_empty=True)
    mri = day(row, "mri_date", problems, may_be_empty=True)
    if unknown and (onset is not None or mri is not None):
        problems.add(row.at("film_date"), None, "is unknown, and another day of the patient is not; leave both empty")
    onset_days = None if film is None or onset is None else (film - onset).days
    mri_days = None if film is None or mri is None else (mri - film).days
    if onset_days is not None and not 0 <= onset_days <= LONGEST_INTERVAL_DAYS:
        allowed = f"0 to {LONGEST_INTERVAL_DAYS} days before film_date"
        problems.add(row.at("onset_date"), None, f"is {onset_days} days before film_date; allowed are {allowed}")
    if mri_days is not None and abs(mri_days) > LONGEST_INTERVAL_DAYS:
        allowed = f"at most {LONGEST_INTERVAL_DAYS} days from film_date"
        problems.add(row.at("mri_date"), None, f"is {mri_days} days after film_date; allowed are {allowed}")
    return film, onset_days, mri_days


def reader_labels(folder: Path, names: Pseudonymiser, settings: IntakeSettings) -> pl.DataFrame:
    """Return table `reader_labels` from the sheet `readers`, sorted by patient, level, reader, reading.

    Whoever has no row in it is unlabelled; without that sheet everybody is, and the table has no row.

    The sheet is long (columns `level` and `label`) or wide (columns `L1` to `L5`, one row per patient, reader and
    reading; an empty cell is a level not read; `pathological` lists levels). A file's name may stand for the columns
    `reader` and `reading` (`readers_2_reading_2.csv`). Without `reading` a reading is the first. Without a word in
    `pathological` it is null: that reader did not say.

    Raises:
        SheetError: missing column, unknown level, reader or class, a reading twice, a patient who cannot be enrolled
            (see `Enrolled`), a consensus against two readers who agree.
    """
    if not has_sheet(folder, "readers"):
        return READER_LABELS.to_frame()
    sheet = read_sheet(folder, "readers", _reader_columns)
    problems = sheet.problems
    enrolled = Enrolled(folder, names)
    first: dict[tuple[Any, ...], Row] = {}
    out = []
    for row in _readings(sheet.rows, problems):
        patient_id = enrolled.patient(row, problems)
        level = one_of(row, "level", LEVELS, problems)
        reader = one_of(row, "reader", READERS, problems)
        reading = one_of(row, "reading", ("1",) if reader == "consensus" else ("1", "2"), problems, default="1")
        label = one_of(row, "label", CLASSES, problems)
        said = bool(row["pathological"])
        pathological = one_of(row, "pathological", ("0", "1"), problems) if said else None
        key = (patient_id, level, reader, reading)
        if None not in key and first.setdefault(key, row) is not row:
            what = f"{patient_id} (pseudonym), {level}, reader {reader}, reading {reading}"
            problems.add(row.place, None, f"{what} stands in {first[key].place} already; keep one of them")
        if None not in (*key, label) and said == (pathological is not None):
            by_tumour = pathological == "1" if said else None
            values = (names.institution, patient_id, level, reader, int(reading or 0), label, by_tumour)
            out.append(dict(zip(READER_LABELS.names(), values, strict=True)))
    _check_consensus(out, first, problems)
    _check_first_readings(first, problems)
    problems.raise_if_any()
    return pl.DataFrame(out, schema=READER_LABELS).sort("patient_id", "level", "reader", "reading")


def _is_wide(columns: Collection[str]) -> bool:
    return "level" not in columns and any(level in columns for level in LEVELS)


def _reader_columns(columns: Collection[str]) -> tuple[str, ...]:
    return ("patient_id", "reader", *(LEVELS if _is_wide(columns) else ("level", "label")))


def _readings(rows: list[Row], problems: Problems) -> Iterator[Row]:
    """Yield one row per reading of a level: a long row as it is, a wide row once for each level that is filled in."""
    for row in rows:
        if not _is_wide(row.cells):
            yield row
            continue
        pathological = _levels_listed(row, problems)
        for level in LEVELS:
            if row[level]:
                own = {"level": level, "label": row[level]}
                if row["pathological"]:
                    own["pathological"] = "1" if level in pathological else "0"
                yield Row(row.place, row.cells | own, row.headings | {"label": row.headings.get(level, level)})
            elif level in pathological:
                problems.add(row.at("pathological"), level, "is pathological but was not read")


def _levels_listed(row: Row, problems: Problems) -> set[str]:
    """Return the levels that a wide row's cell `pathological` lists, e.g. "L1 L3"; empty, 0 and no list none."""
    if word("pathological", row["pathological"] or "0") == "0":
        return set()
    listed = {word("level", each) for each in re.split(r"[\s,;、/]+", row["pathological"])}
    if not listed <= set(LEVELS):
        problems.add(row.at("pathological"), row["pathological"], "is no list of levels such as L1 L3")
    return listed & set(LEVELS)


def _check_consensus(rows: list[dict[str, Any]], sources: dict[tuple[Any, ...], Row], problems: Problems) -> None:
    """Note every consensus that overrules two readers who agree: one of the three cells is mistyped."""
    said = {(row["patient_id"], row["level"], row["reader"]): row["label"] for row in rows if row["reading"] == 1}
    for (patient_id, level, reader), label in said.items():
        if reader != "consensus":
            continue
        one, two = said.get((patient_id, level, "1")), said.get((patient_id, level, "2"))
        if one is not None and one == two and label != one:
            where = sources[(patient_id, level, reader, "1")].at("label")
            problems.add(where, label, f"is the consensus although both readers said {one}")


def _check_first_readings(sources: dict[tuple[Any, ...], Row], problems: Problems) -> None:
    """Note every reader who read a second time and never a first time: a file or a cell is misnamed."""
    first_read = {reader for _, _, reader, reading in sources if reading == "1"}
    second_read = {reader for _, _, reader, reading in sources if reading == "2"}
    for reader in sorted(second_read - first_read - {None}):
        what = f"reader {reader} has a second reading and no first; add the first, or call this one the first"
        problems.add("column reading", None, what)


def film_conditions(folder: Path, names: Pseudonymiser, settings: IntakeSettings) -> pl.DataFrame:
    """Return table `film_conditions` from the sheet `conditions`, sorted by all its columns; no row without that sheet.

    `view` null means all views. `scope` is `fracture` (exclusion reason 1) or `crop` (exclusion reason 2).

    Raises:
        SheetError: missing column, unknown level, view, condition or scope, a patient who cannot be enrolled, a row
            twice, a height ratio that is no ratio or that contradicts `severe_crush`.
    """
    if not has_sheet(folder, "conditions"):
        return FILM_CONDITIONS.to_frame()
    sheet = read_sheet(folder, "conditions", lambda _: ("patient_id", "level", "view", "condition", "scope"))
    problems = sheet.problems
    enrolled = Enrolled(folder, names)
    first: dict[tuple[Any, ...], Row] = {}
    out = []
    for row in sheet.rows:
        condition = one_of(row, "condition", CONDITIONS, problems)
        values: tuple[Any, ...] = (
            names.institution,
            enrolled.patient(row, problems),
            one_of(row, "level", LEVELS, problems),
            one_of(row, "view", VIEWS, problems) if row["view"] else None,
            one_of(row, "scope", SCOPES, problems),
            condition,
        )
        if first.setdefault(values, row) is not row:
            problems.add(row.place, None, f"says the same as {first[values].place}; keep one of them")
        ratio = _height_ratio(row, condition, settings.severe_crush_height_ratio, problems)
        crushed = None if ratio is None else ratio < settings.severe_crush_height_ratio
        out.append(dict(zip(FILM_CONDITIONS.names(), (*values, ratio, crushed), strict=True)))
    problems.raise_if_any()
    order = ["patient_id", "level", "view", "scope", "condition"]
    return pl.DataFrame(out, schema=FILM_CONDITIONS).sort(order, nulls_last=False)


def _height_ratio(row: Row, condition: str | None, severe_below: float, problems: Problems) -> float | None:
    text = row["height_ratio"]
    if not text:
        return None
    try:
        ratio = float(text.replace(",", "."))  # sheets with semicolons have decimal commas
    except ValueError:
        ratio = -1.0
    if not 0.0 < ratio <= 1.5:
        problems.add(row.at("height_ratio"), text, "is not a ratio of heights between 0 and 1.5")
    elif condition == "severe_crush" and ratio >= severe_below:
        problems.add(row.at("height_ratio"), text, f"contradicts severe_crush, which means below {severe_below}")
    return ratio
