"""From a downloaded collection to a folder that `make add-hospital` takes.

What lives here: the order of work, equal pictures, the folder's files, going on after a kill. What does not: what the
files of a collection are (`buu`, `mendeley`, `vindr`, `pictures`), one film (`films.py`), taking the folder in
(`commands.hospitals`). Nothing is downloaded. The folder appears under its name whole or not at all.
"""

import csv
import json
import os
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

from olvf_assets.commands.collections.buu import BUU
from olvf_assets.commands.collections.download import Download
from olvf_assets.commands.collections.films import Job, Made, make_film
from olvf_assets.commands.collections.mendeley import MENDELEY
from olvf_assets.commands.collections.pictures import PICTURES
from olvf_assets.commands.collections.planned import CLASSES, Kind, Options, Plan, PlannedFilm, Skipped, placed
from olvf_assets.commands.collections.rasters import UnusablePictureError
from olvf_assets.commands.collections.vindr import VINDR
from olvf_assets.evaluation.firewall.fingerprints import near_duplicates
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.write_faults import write_faults_named
from olvf_assets.intake.boxes.formats import Corners
from olvf_assets.intake.landing.foreign import Refusal, read_apart
from olvf_assets.intake.landing.institution_file import Role
from olvf_assets.storage.artifacts import read_if_whole, read_json, remove, sync, write_atomically

KINDS: dict[str, Kind] = {kind.key: kind for kind in (BUU, MENDELEY, VINDR, PICTURES)}
RECORD, SKIPPED_LIST, WORK = ".import.json", ".import_skipped.csv", ".making"  # hidden: intake leaves them alone
# Thumbnails of two exposures of one patient reach 0.98; the same exposure saved again by another program 0.999.
SAME_PICTURE, SAME_SHAPE = 0.995, 0.02
SUBJECTS = ("patient_id", "sex", "age_years", "film_date", "onset_date", "mri_date")


class CollectionError(OlvfError):
    """A collection cannot be imported as it is asked for."""


@dataclass(frozen=True)
class Asked:
    """What a user asks for.

    Attributes:
        kind: of collection.
        source: folder of the download.
        target: the folder to be made.
        name: what the hospital is called.
        role: in the study.
        licence: the terms that the user accepted.
        options: what he says of plain pictures.
        apart_from: folders of earlier imports, whose pictures are left out.
    """

    kind: Kind
    source: Path
    target: Path
    name: str
    role: Role
    licence: str
    options: Options
    apart_from: Sequence[Path] = ()


@dataclass(frozen=True)
class Imported:
    """What came of an import: the folder, films, films with boxes, boxes, and what was left out or mended."""

    folder: Path
    films: int
    drawn_films: int
    boxes: int
    skipped: list[Skipped]
    mended: list[Skipped]

    def described(self) -> str:
        """Return all of it as text for a terminal."""
        lines = [f"{self.films} films in {self.folder}, {self.drawn_films} of them with boxes ({self.boxes} boxes)"]
        for title, files in (("left out or without boxes", self.skipped), ("mended", self.mended)):
            first = {each.reason: each for each in reversed(files)}
            lines += [
                f"  {title}: {reason} {n} (first: {first[reason].path}: {first[reason].detail})"
                for reason, n in Counter(each.reason for each in files).most_common()
            ]
        if self.skipped:
            lines.append(f"all of these: {self.folder / SKIPPED_LIST}")
        return "\n".join(lines)


def import_collection(asked: Asked, report: Callable[[str], None]) -> Imported:
    """Make a hospital's folder of a collection; a call that was killed goes on where it stopped.

    Args:
        asked: what is wanted.
        report: told of progress.

    Raises:
        CollectionError: there is no such folder, nothing in it can become a film, or the target is taken.
        DiskFullError, WriteFaultError: the target's disk.
    """
    _refuse_places(asked.source, asked.target)
    others = [other for folder in asked.apart_from for other in _known_pictures(folder)]
    plan = asked.kind.read(Download(asked.source), asked.options)
    _refuse_nothing(asked, plan.films, plan.skipped)
    report(f"{len(plan.films)} films to make of {asked.kind.title}")
    partial = asked.target.with_name(f".{asked.target.name}.partial")
    jobs = [_job(asked, film, partial) for film in plan.films]
    answers = read_apart(make_film, jobs, workers=0, what="films", report=report)
    made = _usable(zip(plan.films, answers, strict=True), others, plan)
    _refuse_nothing(asked, [film for film, _ in made], plan.skipped)
    drawn = _boxes(made, plan)
    texts = {"institution.toml": _institution(asked), RECORD: _record(asked, made), SKIPPED_LIST: _listed(plan)}
    texts |= _sheets([film for film, _ in made]) | _box_files(drawn)
    with write_faults_named(asked.target):
        _keep_only(partial, {f"films/{film.name}.dcm" for film, _ in made})
        for path, text in texts.items():
            _write(partial / path, text)
        os.replace(partial, asked.target)
        sync(asked.target.parent)
    n_boxes = sum(len(boxes) for boxes in drawn.values())
    return Imported(asked.target, len(made), len(drawn), n_boxes, plan.skipped, plan.mended)


def _refuse_places(source: Path, target: Path) -> None:
    if not source.is_dir():
        raise CollectionError(
            f"{source} is no folder; download the collection first, nothing is downloaded here. An archive may stay "
            "packed: name the folder that it lies in"
        )
    if target.exists():
        raise CollectionError(f"{target} exists; take it away, or name another folder with --into")
    one, other = source.resolve(), target.resolve()
    if other.is_relative_to(one) or one.is_relative_to(other):
        raise CollectionError(f"{target} and {source} lie in each other; name another folder with --into")
    if other.parent.name == "landing":
        raise CollectionError(f"{target} lies among taken in hospitals; import elsewhere, then: make add-hospital")


def _refuse_nothing(asked: Asked, films: Sequence[PlannedFilm], skipped: Sequence[Skipped]) -> None:
    if not films:
        why = ", ".join(f"{reason} {n}" for reason, n in Counter(each.reason for each in skipped).most_common())
        raise CollectionError(
            f"{asked.source}: no file of it can become a film ({why or 'it holds no picture'}); is it "
            f"{asked.kind.title}? docs/public_collections.md shows how its folder looks"
        )


def _job(asked: Asked, film: PlannedFilm, partial: Path) -> Job:
    place, record = partial / "films" / f"{film.name}.dcm", partial / WORK / f"{film.name}.json"
    return Job(asked.kind.key, asked.kind.is_dicom, film, asked.source, place, record)


def _known_pictures(folder: Path) -> list[dict[str, Any]]:
    """Return the pictures of an earlier import.

    Raises:
        CollectionError: the folder is none.
    """
    record = read_if_whole(folder / RECORD, read_json)
    if record is None:
        raise CollectionError(
            f"{folder} is no imported collection ({RECORD} is missing); --apart-from takes such folders"
        )
    return list(record["films"])


def _usable(
    answers: Iterable[tuple[PlannedFilm, Any]], others: list[dict[str, Any]], plan: Plan
) -> list[tuple[PlannedFilm, Made]]:
    """Return the films that were made and are no picture's second copy; note the others in the plan."""
    made: list[tuple[PlannedFilm, Made]] = []
    first: dict[str, str] = {each["pixel_sha256"]: f"{each['source']} of another import" for each in others}
    for film, answer in answers:
        if isinstance(answer, Refusal | UnusablePictureError):
            plan.skipped.append(Skipped(film.source, answer.reason, answer.detail))
        elif isinstance(answer, Exception):
            raise answer
        elif answer.pixel_sha256 in first:
            plan.skipped.append(Skipped(film.source, "same_picture", f"pixel by pixel {first[answer.pixel_sha256]}"))
        else:
            first[answer.pixel_sha256] = film.source
            made.append((film, answer))
    again = _nearly_the_same(made, others)
    plan.skipped += [
        Skipped(made[place][0].source, "nearly_the_same_picture", f"as {other['source']} of another import")
        for place, other in sorted(again.items())
    ]
    return [each for place, each in enumerate(made) if place not in again]


def _nearly_the_same(
    made: Sequence[tuple[PlannedFilm, Made]], others: Sequence[dict[str, Any]]
) -> dict[int, dict[str, Any]]:
    """Return, by place, what a film shows again that another import has: saved anew, its pixels are other ones."""
    left = [b64decode(each.thumbnail) for _, each in made]
    right = [b64decode(each["thumbnail"]) for each in others]
    return {
        place: others[other]
        for place, other, _ in near_duplicates(left, right, SAME_PICTURE)
        if abs(
            made[place][1].width_px / made[place][1].height_px * others[other]["height_px"] / others[other]["width_px"]
            - 1
        )
        < SAME_SHAPE
    }


def _boxes(made: Sequence[tuple[PlannedFilm, Made]], plan: Plan) -> dict[str, list[tuple[str, Corners]]]:
    """Return the boxes, as shares, of each film (by name) on which somebody drew; what cannot be true is left out."""
    found = {}
    for film, each in made:
        if film.drawing is None:
            continue
        boxes, fault = placed(film.drawing, each.width_px, each.height_px)
        if fault is not None:
            plan.skipped.append(Skipped(film.source, "boxes_not_taken", f"{fault}; the film is made without boxes"))
        else:
            found[film.name] = boxes
    return found


def _box_files(drawn: dict[str, list[tuple[str, Corners]]]) -> dict[str, str]:
    """Return YOLO files by path; a film on which a person looked and drew nothing has an empty one."""
    if not drawn:
        return {}
    files = {"boxes/classes.txt": "".join(f"{name}\n" for name in CLASSES)}
    for film, boxes in drawn.items():
        files[f"boxes/{film}.txt"] = "".join(
            f"{CLASSES.index(name)} {(x0 + x1) / 2:.12f} {(y0 + y1) / 2:.12f} {x1 - x0:.12f} {y1 - y0:.12f}\n"
            for name, (x0, y0, x1, y1) in boxes
        )
    return files


def _sheets(films: Sequence[PlannedFilm]) -> dict[str, str]:
    """Return the sheet of subjects, where the collection tells sex and age of everybody; no day is known."""
    people = {film.patient_id: (film.sex, film.age_years) for film in films}
    if any(None in about for about in people.values()):
        return {}
    return {
        "subjects.csv": _csv(SUBJECTS, ((each, *about, "unknown", "", "") for each, about in sorted(people.items())))
    }


def _institution(asked: Asked) -> str:
    said = {"name": asked.name, "role": asked.role, "collection": asked.kind.title, "licence": asked.licence}
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in said.items())


def _record(asked: Asked, made: Sequence[tuple[PlannedFilm, Made]]) -> str:
    said = {
        "kind": asked.kind.key,
        "collection": asked.kind.title,
        "access": asked.kind.access,
        "licence": asked.licence,
        "accepted": date.today().isoformat(),
        "films": [{"source": film.source, "name": film.name} | each._asdict() for film, each in made],
    }
    return json.dumps(said, indent=1)


def _listed(plan: Plan) -> str:
    rows = [("mended", *each) for each in plan.mended] + [("left out", *each) for each in plan.skipped]
    return _csv(("what", *Skipped._fields), rows)


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _keep_only(folder: Path, films: set[str]) -> None:
    """Remove everything but these films: what an earlier try left, and copies of a picture."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(folder).as_posix() not in films:
            remove(path)
