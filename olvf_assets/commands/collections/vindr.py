"""VinDr-SpineXR: DICOM files of spines, frontal and lateral, with boxes of lesions and no levels.

What lives here: finding the films and whose they are. What does not: completing their headers (`films.py`). Which film
is a lateral one of the lumbar spine its header or its picture must tell, at intake. The lesions are none of this
study's classes and are not taken; of their sheet only the study that a film belongs to is read, which stands for the
patient.
"""

import csv
import io

from olvf_assets.commands.collections.download import Download, UnreadableLabelsError, names_of_films, stem, suffix
from olvf_assets.commands.collections.planned import Kind, Options, Plan, PlannedFilm, Skipped

FILM_ENDINGS = frozenset({".dicom", ".dcm", ""})


def read(download: Download, options: Options) -> Plan:
    """Return the plan for a download of VinDr-SpineXR."""
    plan = Plan(skipped=list(download.skipped))
    studies = _studies(download, plan)
    films = [path for path in download.paths if suffix(path) in FILM_ENDINGS]
    names = names_of_films(films)
    for path in films:
        plan.films.append(PlannedFilm(path, names[path], f"VINDR-{studies.get(stem(path), stem(path))}"))
    return plan


def _studies(download: Download, plan: Plan) -> dict[str, str]:
    """Return the study of each film, by the film's name, from every sheet that says so."""
    found: dict[str, str] = {}
    for path in download.paths:
        if suffix(path) != ".csv":
            continue
        try:
            rows = csv.DictReader(io.StringIO(download.text(path)))
            found |= {row["image_id"]: row["study_id"] for row in rows if row.get("image_id") and row.get("study_id")}
        except (UnreadableLabelsError, csv.Error) as error:
            plan.skipped.append(Skipped(path, "sheet_not_read", f"{error}; each film stands for a patient of its own"))
    return found


VINDR = Kind(
    "vindr-spinexr",
    "VinDr-SpineXR (VinBigData, PhysioNet)",
    "PhysioNet's licence and data use agreement for restricted access, signed by each user; not to be passed on",
    "physionet.org/content/vindr-spinexr",
    "films alone: header or picture must tell which are lateral; no boxes, and lesions are not taken as labels",
    read,
    is_dicom=True,
)
