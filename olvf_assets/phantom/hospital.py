"""A synthetic hospital's landing folder.

What lives here: the files a hospital hands over (films, reader sheets, subject sheet, conditions, boxes, who it is),
written once, resumed after a kill, left alone when done. What does not: what stands in them (`plan.py`, `readers.py`,
`film.py`).
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olvf_assets.foundation.code_identity import code_digest
from olvf_assets.foundation.engine import BESIDE_THE_DATA
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.parallel import parallel_map
from olvf_assets.foundation.provenance import NOT_DECIDING
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import LEVELS, OTHER_VERTEBRAE
from olvf_assets.foundation.write_faults import write_faults_named
from olvf_assets.phantom.plan import FilmPlan, PatientPlan, plan_hospital
from olvf_assets.phantom.readers import read_patients
from olvf_assets.phantom.settings import PhantomSettings, SyntheticInstitution
from olvf_assets.storage.artifacts import PARTIAL, fingerprint, read_if_whole, read_json, write_atomically

if TYPE_CHECKING:
    from olvf_assets.phantom.projection import Box

RECORD_FILE = ".phantom.json"
TRUTH_FILE = ".phantom_truth.json"  # hidden, so that nothing that takes a hospital in reads it
WRITING = "olvf_assets.phantom.hospital:write_hospital"


class ForeignFolderError(OlvfError):
    """The landing folder holds files that the phantom did not write."""


class UnknownInstitutionError(OlvfError):
    """The settings describe no synthetic institution of that key."""


@dataclass(frozen=True)
class _Job:
    folder: Path
    patient: PatientPlan
    plan: FilmPlan
    site: SyntheticInstitution


def write_hospital(
    folder: Path,
    key: str,
    settings: PhantomSettings,
    seed: int,
    *,
    workers: int = 0,
    report: Callable[[str], None] | None = None,
) -> None:
    """Write the landing folder of a synthetic institution, or finish or leave what is already there.

    Args:
        folder: the landing folder, data/landing/<key>; made if needed.
        key: one of `settings.institutions`.
        settings: the study's phantom settings; others than those of the last time rewrite the folder.
        seed: the study's; so does another seed.
        workers: processes; 0 means one per core.
        report: called with lines of progress.

    Raises:
        UnknownInstitutionError: no such synthetic institution.
        ForeignFolderError: the folder holds files but no record that the phantom made them. Nothing is touched.
    """
    if key not in settings.institutions:
        keys = ", ".join(sorted(settings.institutions)) or "none"
        raise UnknownInstitutionError(f"phantom.institutions has no {key}; it has: {keys}. Add it to the profile.")
    site = settings.institutions[key]
    mark = _mark(key, settings, seed)
    record = _read_record(folder)
    known = [folder / path for path in record.get("files", [])]
    if record.get("fingerprint") == mark and record.get("complete") and all(path.exists() for path in known):
        return
    if record.get("fingerprint") != mark:
        _remove(known)
    _remove(list(folder.rglob(f"{PARTIAL}*")))  # left by a killed run
    patients = plan_hospital(key, settings, seed)
    sheets = hospital_sheets(patients, site)
    jobs = [_Job(folder, patient, plan, site) for patient in patients for plan in patient.films]
    sheets[TRUTH_FILE] = hospital_truth(patients, site)
    files = sorted([*sheets, *(path for job in jobs for path in _film_files(job))])
    _write_record(folder, mark, files, complete=False)
    for path, text in sheets.items():
        _write_text(folder / path, text)
    todo = [job for job in jobs if not all((folder / path).exists() for path in _film_files(job))]
    if report is not None and len(todo) < len(jobs):
        report(f"{len(jobs) - len(todo)} of {len(jobs)} films were there already")
    parallel_map(_write_film_and_boxes, todo, workers=workers, needs=BESIDE_THE_DATA, what="films", report=report)
    _write_record(folder, mark, files, complete=True)


def refuse_foreign_files(folder: Path) -> None:
    """Refuse a landing folder that holds anything but what the phantom wrote there.

    Whatever lies in the folder of a synthetic hospital is taken in under its real names and a public key.

    Raises:
        ForeignFolderError: there is no record of the phantom's, or there are files that it does not name.
    """
    written = set(_read_record(folder).get("files", []))
    paths = (each.relative_to(folder) for each in folder.rglob("*") if not each.is_dir() or each.is_symlink())
    foreign = [each for each in paths if each.as_posix() not in written and not each.name.startswith(".")]
    if foreign:
        raise ForeignFolderError(
            f"{folder} is a synthetic hospital's and holds {len(foreign)} files that the phantom did not write. A "
            "hospital's films would keep their names and get pseudonyms of a public key, so nothing of the folder is "
            "taken in. Move them away; for a hospital of its own: make add-hospital, with another NAME"
        )


def hospital_sheets(patients: Sequence[PatientPlan], site: SyntheticInstitution) -> dict[str, str]:
    """Return the text of every sheet by its path in the landing folder."""
    subjects = (
        (each.patient_id, each.sex, each.age_years, each.film_date, each.onset_date or "", each.mri_date)
        for each in patients
    )
    readings = (
        (each.patient_id, each.level, each.reader, each.reading, each.label, int(each.pathological))
        for each in read_patients(patients, site.readers)
    )
    conditions = (
        (one.patient_id, each.level, each.view or "", each.condition, each.scope, _number(each.height_ratio))
        for one in patients
        for each in one.conditions
    )
    toml = "\n".join(f"{name} = {json.dumps(value)}" for name, value in (
        ("name", site.name), ("role", site.role), ("country", site.country),
        ("note", "Synthetic hospital made by olvf_assets.phantom; no patient of it exists"),
    ))  # fmt: skip
    return {
        "institution.toml": toml + "\n",
        "subjects.csv": _csv(("patient_id", "sex", "age_years", "film_date", "onset_date", "mri_date"), subjects),
        "readers.csv": _csv(("patient_id", "level", "reader", "reading", "label", "pathological"), readings),
        "conditions.csv": _csv(("patient_id", "level", "view", "condition", "scope", "height_ratio"), conditions),
        "boxes/classes.txt": "\n".join(drawn_classes(site)) + "\n",
    }


def drawn_classes(site: SyntheticInstitution) -> tuple[str, ...]:
    """Return what the technologist draws, in the order of the class numbers: with a wide look also T6 to T12 and S1."""
    return LEVELS if site.look == "plain" else (*LEVELS, *OTHER_VERTEBRAE)


def hospital_truth(patients: Sequence[PatientPlan], site: SyntheticInstitution) -> str:
    """Return what no hospital could hand over, as JSON.

    By film (file name without suffix) an object with

    - `projection`: lateral;
    - `variant`: the patient's variant of the lumbosacral junction, or none;
    - `boxes`: x0, y0, x1, y1, as shares of the film, of the bodies that help to count, T6 to T12 and S1.
    """
    from olvf_assets.phantom.film import pose

    truth: dict[str, Any] = {}
    for patient, plan in ((one, plan) for one in patients for plan in one.films):
        posed = pose(patient, plan, site)
        sides = (posed.beam.width_px, posed.beam.height_px) * 2
        boxes = {
            name: [round(end / side, 6) for end, side in zip(box, sides, strict=True)]
            for name, box in posed.helpers.items()
        }
        truth[plan.stem] = {"projection": "lateral", "variant": patient.variant, "boxes": boxes}
    return json.dumps(truth, indent=0) + "\n"


def _write_film_and_boxes(job: _Job) -> None:
    from olvf_assets.phantom.dicom import make_dataset, write_film
    from olvf_assets.phantom.film import annotate, render_film

    film = render_film(job.patient, job.plan, job.site)
    film_path, box_path = (job.folder / path for path in _film_files(job))
    outlines: dict[str, Box] = dict(film.outlines.items())
    boxes = annotate(outlines, film.beam, derive_seed(job.patient.seed, "annotator", job.plan.view))
    classes = drawn_classes(job.site)
    if classes != LEVELS:
        boxes |= annotate(film.helpers, film.beam, derive_seed(job.patient.seed, "annotator of others", job.plan.view))
    height, width = film.pixels.shape
    lines = [
        f"{classes.index(level)} {(x0 + x1) / 2 / width:.6f} {(y0 + y1) / 2 / height:.6f} "
        f"{(x1 - x0) / width:.6f} {(y1 - y0) / height:.6f}\n"
        for level, (x0, y0, x1, y1) in boxes.items()
    ]
    _write_text(box_path, "".join(lines))
    dataset = make_dataset(film, job.patient, job.plan, job.site)
    write_atomically(film_path, lambda temporary: write_film(temporary, dataset))


def _film_files(job: _Job) -> tuple[str, str]:
    return f"films/{job.patient.patient_id}/{job.plan.stem}.dcm", f"boxes/{job.plan.stem}.txt"


def _remove(files: Sequence[Path]) -> None:
    """Delete files, and the folders that stay empty behind them."""
    for path in files:
        with write_faults_named(path):
            path.unlink(missing_ok=True)
    for parent in sorted({path.parent for path in files}, reverse=True):
        if parent.is_dir() and not any(parent.iterdir()):
            with write_faults_named(parent):
                parent.rmdir()


def _mark(key: str, settings: PhantomSettings, seed: int) -> str:
    own = settings.institutions[key].model_dump(mode="json")
    knobs = settings.model_dump(mode="json", exclude={"institutions"})
    return fingerprint(
        {"key": key, "institution": own, **knobs, "seed": seed, "code": code_digest(WRITING, without=NOT_DECIDING)}
    )


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / RECORD_FILE
    if path.exists():
        return read_if_whole(path, read_json) or {"files": []}  # torn: what the plan names is looked at one by one
    if any(_foreign(each) for each in folder.rglob("*")):
        raise ForeignFolderError(
            f"{folder} holds files that the phantom did not write (no {RECORD_FILE}) and is left as it is. If these "
            f"are a hospital's films, take {folder.name} out of phantom.institutions in the profile; otherwise move "
            "the folder away and start again"
        )
    return {}


def _foreign(path: Path) -> bool:
    """Return whether someone put this there: not an empty folder, nor what a killed run left of its first record."""
    return path.is_symlink() or not (path.is_dir() or path.name.startswith(PARTIAL))


def _write_record(folder: Path, mark: str, files: list[str], *, complete: bool) -> None:
    text = json.dumps({"fingerprint": mark, "complete": complete, "files": files}, indent=1)
    _write_text(folder / RECORD_FILE, text)


def _write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8") and None)


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
