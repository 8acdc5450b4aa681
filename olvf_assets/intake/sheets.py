"""The hospital's sheets as tables: `subjects`, `reader_labels`, `film_conditions`, and `institutions`.

What lives here: what each sheet's columns mean and which values are allowed. What does not: the CSV dialect
(`sheet_reading`), drawn boxes (`boxes`), rules about who is excluded (SQL models).
Patients leave as pseudonyms and dates as intervals in days. A sheet is loaded whole or not at all.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import polars as pl

from olvf_assets.foundation.landing import CONDITIONS_FILE, READERS_FILE, SUBJECTS_FILE, Institution
from olvf_assets.foundation.vocabulary import CLASSES, LEVELS, VIEWS
from olvf_assets.intake.pseudonyms import Pseudonymiser
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.intake.sheet_reading import Problems, Row, day, one_of, read_rows, whole_number
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
    """Return table `subjects` from `subjects.csv`, sorted by patient.

    Ages beyond `settings.age_cap_years` are written as that age (very old patients are identifiable by age).
    `onset_to_film_days` is film minus onset (null when the onset is not known), `mri_delay_days` MRI minus film.

    Raises:
        SheetError: missing column, bad sex, age or date, onset after the film, a patient twice, no patient at all.
    """
    problems = Problems(folder / SUBJECTS_FILE)
    rows = read_rows(problems, ["patient_id", "sex", "age_years", "film_date", "onset_date", "mri_date"])
    if not rows:
        problems.add(None, None, None, "the sheet names no patient; write one row per patient")
    first: dict[str, int] = {}
    out = []
    for row in rows:
        patient_id = _patient(row, names, problems)
        if patient_id is None:
            continue
        if first.setdefault(patient_id, row.number) != row.number:
            problems.add(row.number, "patient_id", patient_id, f"(pseudonym) stands in row {first[patient_id]} already")
        age = whole_number(row, "age_years", settings.age_years_range, problems)
        sex = one_of(row, "sex", SEXES, problems)
        onset_days, mri_days = _intervals(row, problems)
        out.append(
            {
                "institution": names.institution,
                "patient_id": patient_id,
                "sex": sex,
                "age_years": None if age is None else min(age, settings.age_cap_years),
                "onset_to_film_days": onset_days,
                "mri_delay_days": mri_days,
            }
        )
    problems.raise_if_any()
    return pl.DataFrame(out, schema=SUBJECTS).sort("patient_id")


def _intervals(row: Row, problems: Problems) -> tuple[int | None, int | None]:
    film = day(row, "film_date", problems, may_be_empty=False)
    onset = day(row, "onset_date", problems, may_be_empty=True)
    mri = day(row, "mri_date", problems, may_be_empty=True)
    onset_days = None if film is None or onset is None else (film - onset).days
    mri_days = None if film is None or mri is None else (mri - film).days
    if onset_days is not None and not 0 <= onset_days <= LONGEST_INTERVAL_DAYS:
        allowed = f"0 to {LONGEST_INTERVAL_DAYS} days before film_date"
        problems.add(row.number, "onset_date", None, f"is {onset_days} days before film_date; allowed are {allowed}")
    if mri_days is not None and abs(mri_days) > LONGEST_INTERVAL_DAYS:
        allowed = f"at most {LONGEST_INTERVAL_DAYS} days from film_date"
        problems.add(row.number, "mri_date", None, f"is {mri_days} days after film_date; allowed are {allowed}")
    return onset_days, mri_days


def reader_labels(folder: Path, names: Pseudonymiser, settings: IntakeSettings) -> pl.DataFrame:
    """Return table `reader_labels` from `readers.csv`, sorted by patient, level, reader, reading.

    Raises:
        SheetError: missing column, unknown level, reader or class, a reading twice, a patient who is not in
            `subjects.csv` or the reverse, a consensus against two readers who agree.
    """
    problems = Problems(folder / READERS_FILE)
    rows = read_rows(problems, ["patient_id", "level", "reader", "reading", "label", "pathological"])
    enrolled = _enrolled(folder, names)
    first: dict[tuple[Any, ...], int] = {}
    out = []
    for row in rows:
        patient_id = _patient(row, names, problems, enrolled)
        level = one_of(row, "level", LEVELS, problems)
        reader = one_of(row, "reader", READERS, problems)
        reading = one_of(row, "reading", ("1",) if reader == "consensus" else ("1", "2"), problems)
        label = one_of(row, "label", CLASSES, problems)
        pathological = one_of(row, "pathological", ("0", "1"), problems)
        key = (patient_id, level, reader, reading)
        if None not in key and first.setdefault(key, row.number) != row.number:
            what = f"{patient_id} (pseudonym), {level}, reader {reader}, reading {reading}"
            problems.add(row.number, None, None, f"{what} stands in row {first[key]} already; keep one of them")
        if None not in (*key, label, pathological):
            values = (names.institution, patient_id, level, reader, int(reading or 0), label, pathological == "1")
            out.append(dict(zip(READER_LABELS.names(), values, strict=True)))
    read_patients = {names.patient(row["patient_id"]) for row in rows}
    for patient_id, number in enrolled.items():
        if patient_id not in read_patients:
            problems.add(None, "patient_id", patient_id, f"(pseudonym; row {number} of subjects.csv) has no reading")
    _check_consensus(out, first, problems)
    problems.raise_if_any()
    return pl.DataFrame(out, schema=READER_LABELS).sort("patient_id", "level", "reader", "reading")


def _check_consensus(rows: list[dict[str, Any]], row_numbers: dict[tuple[Any, ...], int], problems: Problems) -> None:
    """Note every consensus that overrules two readers who agree: one of the three cells is mistyped."""
    said = {(row["patient_id"], row["level"], row["reader"]): row["label"] for row in rows if row["reading"] == 1}
    for (patient_id, level, reader), label in said.items():
        if reader != "consensus":
            continue
        one, two = said.get((patient_id, level, "1")), said.get((patient_id, level, "2"))
        if one is not None and one == two and label != one:
            number = row_numbers[(patient_id, level, reader, "1")]
            problems.add(number, "label", label, f"is the consensus although both readers said {one}")


def film_conditions(folder: Path, names: Pseudonymiser, settings: IntakeSettings) -> pl.DataFrame:
    """Return table `film_conditions` from `conditions.csv`, sorted by all its columns.

    `view` null means all views. `scope` is `fracture` (exclusion reason 1) or `crop` (exclusion reason 2).

    Raises:
        SheetError: missing column, unknown level, view, condition or scope, a patient not in `subjects.csv`, a row
            twice, a height ratio that is no ratio or that contradicts `severe_crush`.
    """
    problems = Problems(folder / CONDITIONS_FILE)
    rows = read_rows(problems, ["patient_id", "level", "view", "condition", "scope"])
    enrolled = _enrolled(folder, names)
    first: dict[tuple[Any, ...], int] = {}
    out = []
    for row in rows:
        values: tuple[Any, ...] = (
            names.institution,
            _patient(row, names, problems, enrolled),
            one_of(row, "level", LEVELS, problems),
            one_of(row, "view", VIEWS, problems) if row["view"] else None,
            one_of(row, "scope", SCOPES, problems),
            one_of(row, "condition", CONDITIONS, problems),
        )
        if first.setdefault(values, row.number) != row.number:
            problems.add(row.number, None, None, f"says the same as row {first[values]}; keep one of them")
        ratio = _height_ratio(row, settings.severe_crush_height_ratio, problems)
        out.append(dict(zip(FILM_CONDITIONS.names(), (*values, ratio), strict=True)))
    problems.raise_if_any()
    order = ["patient_id", "level", "view", "scope", "condition"]
    return pl.DataFrame(out, schema=FILM_CONDITIONS).sort(order, nulls_last=False)


def _height_ratio(row: Row, severe_below: float, problems: Problems) -> float | None:
    text = row["height_ratio"]
    if not text:
        return None
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0.0 < ratio <= 1.5:
        problems.add(row.number, "height_ratio", text, "is not a ratio of heights between 0 and 1.5")
    elif row["condition"] == "severe_crush" and ratio >= severe_below:
        problems.add(row.number, "height_ratio", text, f"contradicts severe_crush, which means below {severe_below}")
    return ratio


def _enrolled(folder: Path, names: Pseudonymiser) -> dict[str, int]:
    """Return pseudonym -> row number of every patient in `subjects.csv`."""
    rows = read_rows(Problems(folder / SUBJECTS_FILE), ["patient_id"])
    return {names.patient(row["patient_id"]): row.number for row in reversed(rows) if row["patient_id"]}


def _patient(row: Row, names: Pseudonymiser, problems: Problems, enrolled: Collection[str] | None = None) -> str | None:
    """Return the pseudonym of the row's patient; messages show the pseudonym, never the id."""
    if not row["patient_id"]:
        problems.add(row.number, "patient_id", "", "is empty; write the PatientID of the films")
        return None
    pseudonym = names.patient(row["patient_id"])
    if enrolled is not None and pseudonym not in enrolled:
        problems.add(row.number, "patient_id", pseudonym, "(pseudonym) is not in subjects.csv; add the patient there")
        return None
    return pseudonym
