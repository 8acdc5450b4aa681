"""Who may stand in a sheet: the patients of the sheet `subjects`; without that sheet, the patients of the films.

What lives here: telling a sheet's row whose it is, and ids that a spreadsheet has changed. What does not: what the
other cells mean (`sheets.sheets`), pseudonyms (`privacy.pseudonyms`).
"""

import re
import unicodedata
from collections.abc import Collection
from pathlib import Path

from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.intake.sheets.files import has_sheet
from olvf_assets.intake.sheets.problems import Problems
from olvf_assets.intake.sheets.reading import Row, read_sheet

LONGEST_ID = 16
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
    """Who may stand in the sheets `readers` and `conditions`.

    With a sheet `subjects` its patients alone. Without one anybody: a patient without a film is counted as such later.
    But then an id that is a film's but for what spreadsheets take away is a problem, and so is a sheet of whose
    patients none has a film.

    Args:
        folder: the landing folder.
        names: makes the pseudonyms.
        of_films: pseudonyms of the patients whose films were handed over; None: not known, nothing is held against it.

    Raises:
        SheetError: the sheet `subjects` is there and cannot be read.
    """

    def __init__(self, folder: Path, names: Pseudonymiser, of_films: Collection[str] | None = None) -> None:
        self._names, self._of_films = names, frozenset(of_films or ())
        self._sheet_name, self._known, self._plain = "", frozenset[str](), frozenset[str]()
        if has_sheet(folder, "subjects"):
            sheet = read_sheet(folder, "subjects", lambda _: ["patient_id"])
            ids = {row["patient_id"] for row in sheet.rows if row["patient_id"]}
            self._sheet_name = sheet.name
            self._known, self._plain = frozenset(map(names.patient, ids)), frozenset(map(plain_id, ids))

    def patient(self, row: Row, problems: Problems) -> str | None:
        """Return the pseudonym of the row's patient, else note the problem."""
        pseudonym = patient_named(row, self._names, problems)
        if pseudonym is None or pseudonym in (self._known if self._sheet_name else self._of_films):
            return pseudonym
        if self._sheet_name:
            near, where = plain_id(row["patient_id"]) in self._plain, self._sheet_name
        else:
            near, where = not self._of_films.isdisjoint(_near(row["patient_id"], self._names)), "the films"
        if near:
            problems.add(row.at("patient_id"), None, f"{pseudonym!r} (pseudonym) {NEARLY.format(where)}")
        elif self._sheet_name:
            what = f"{pseudonym!r} (pseudonym) is not in {self._sheet_name}; add the patient there"
            problems.add(row.at("patient_id"), None, what)
        else:
            return pseudonym
        return None

    def refuse_strangers(self, patients: Collection[str], problems: Problems) -> None:
        """Note the problem if none of a sheet's patients (pseudonyms) has a film, though films were handed over."""
        if patients and not self._sheet_name and self._of_films and self._of_films.isdisjoint(patients):
            what = (
                f"none of the {len(set(patients))} patients of this sheet has a film; write the PatientIDs of the films"
            )
            problems.add("column patient_id", None, what)
