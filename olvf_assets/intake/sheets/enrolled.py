"""Who may stand in a sheet: the patients of the sheet `subjects`; without that sheet, anybody.

What lives here: telling a sheet's row whose it is, and finding ids that a spreadsheet has changed. What does not: what
the other cells mean (`sheets.sheets`), pseudonyms (`privacy.pseudonyms`).
"""

import re
import unicodedata
from collections.abc import Collection
from pathlib import Path

from olvf_assets.intake.landing.landing import Sheet
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.intake.sheets.files import has_sheet
from olvf_assets.intake.sheets.problems import Problems
from olvf_assets.intake.sheets.reading import Row, read_sheet

LONGEST_ID = 16
HELD_AGAINST_FILMS: tuple[Sheet, ...] = ("readers", "conditions")
NEARLY = (
    "is in {} with other leading zeros, spaces or a .0 at its end: spreadsheets take zeros away; give the column the "
    "format Text and write the ids as the films have them"
)


def plain_id(patient_id: str) -> str:
    """Return what spreadsheets leave of a patient id: without leading zeros, spaces, and the .0 of a number."""
    plain = "".join(unicodedata.normalize("NFKC", patient_id).split())
    return re.sub(r"\.0+$", "", plain).lstrip("0").casefold()


def nearly_enrolled(folder: Path, names: Pseudonymiser) -> set[str]:
    """Return the pseudonyms of ids that differ from one in the sheet `subjects` by what spreadsheets take away only."""
    rows = read_sheet(folder, "subjects", lambda _: ["patient_id"]).rows
    return {near for row in rows for near in _near(row["patient_id"], names)}


def _near(patient_id: str, names: Pseudonymiser) -> set[str]:
    plain = plain_id(patient_id)
    return {
        names.patient(each.zfill(length))
        for each in {plain, plain.upper()}
        for length in range(len(each), LONGEST_ID + 1)
    }


def patient_named(row: Row, names: Pseudonymiser, problems: Problems) -> str | None:
    """Return the pseudonym of the row's patient; an empty cell is a problem. Messages never show the id."""
    if row["patient_id"]:
        return names.patient(row["patient_id"])
    problems.add(row.at("patient_id"), "", "is empty; write the PatientID of the films")
    return None


class Enrolled:
    """Who may stand in the sheets `readers` and `conditions`: the patients of `subjects`, anybody without that sheet.

    Args:
        folder: the landing folder.
        names: makes the pseudonyms.

    Raises:
        SheetError: the sheet `subjects` is there and cannot be read.
    """

    def __init__(self, folder: Path, names: Pseudonymiser) -> None:
        self._names, self._sheet_name = names, ""
        self._known, self._plain = frozenset[str](), frozenset[str]()
        if has_sheet(folder, "subjects"):
            sheet = read_sheet(folder, "subjects", lambda _: ["patient_id"])
            ids = {row["patient_id"] for row in sheet.rows if row["patient_id"]}
            self._sheet_name = sheet.name
            self._known, self._plain = frozenset(map(names.patient, ids)), frozenset(map(plain_id, ids))

    def patient(self, row: Row, problems: Problems) -> str | None:
        """Return the pseudonym of the row's patient, else note the problem."""
        pseudonym = patient_named(row, self._names, problems)
        if pseudonym is None or pseudonym in self._known or not self._sheet_name:
            return pseudonym
        what = f"{pseudonym!r} (pseudonym) is not in {self._sheet_name}; add the patient there"
        if plain_id(row["patient_id"]) in self._plain:
            what = f"{pseudonym!r} (pseudonym) {NEARLY.format(self._sheet_name)}"
        problems.add(row.at("patient_id"), None, what)
        return None


def refuse_strangers(folder: Path, names: Pseudonymiser, of_films: Collection[str]) -> None:
    """Hold `readers` and `conditions` against the films where no sheet `subjects` says who takes part.

    Patients without a film are counted as such later; what is refused are slips that concern all of them.

    Args:
        folder: the landing folder.
        names: makes the pseudonyms.
        of_films: pseudonyms of the patients whose films were handed over, refused ones too.

    Raises:
        SheetError: an id is a film's but for what spreadsheets take away, or no patient of `readers` has a film.
    """
    if has_sheet(folder, "subjects") or not of_films:
        return
    known = frozenset(of_films)
    for name in HELD_AGAINST_FILMS:
        if not has_sheet(folder, name):
            continue
        sheet = read_sheet(folder, name, lambda _: ["patient_id"])
        first = {row["patient_id"]: row for row in reversed(sheet.rows) if row["patient_id"]}
        strangers = {patient_id: row for patient_id, row in first.items() if names.patient(patient_id) not in known}
        for patient_id, row in strangers.items():
            if not known.isdisjoint(_near(patient_id, names)):
                what = f"{names.patient(patient_id)!r} (pseudonym) {NEARLY.format('the films')}"
                sheet.problems.add(row.at("patient_id"), None, what)
        if name == "readers" and first and len(strangers) == len(first) and not sheet.problems.lines:
            what = f"none of the {len(first)} patients of this sheet has a film; write the PatientIDs of the films"
            sheet.problems.add("column patient_id", None, what)
        sheet.problems.raise_if_any()
