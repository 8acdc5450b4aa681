"""Vertebra boxes drawn by a technologist: tables `reader_boxes`, `drawn_films` and `unmatched_boxes`.

What lives here: turning the boxes of labelled pictures into pixels of the full-resolution film. What does not: which
film a picture shows (`boxes.films_of_pictures`), how the files are written (`boxes.formats`), boxes found by the
detector (room `detection`).
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import polars as pl

from olvf_assets.foundation.vocabulary import LEVELS, OTHER_VERTEBRAE, UNNAMED_BODY
from olvf_assets.intake.boxes.classes import ClassListError, ClassLists, Levels
from olvf_assets.intake.boxes.films_of_pictures import Film, NoFilm, drafted_film, film_of, films_by_name, place_of
from olvf_assets.intake.boxes.formats import READERS, Box, FormatError, Picture, is_picture_list
from olvf_assets.intake.landing.archives import UnusableArchiveError, open_landed
from olvf_assets.intake.landing.box_names import BOXES_FOLDER, box_role
from olvf_assets.intake.landing.foreign import Refusal, read_apart
from olvf_assets.intake.landing.landing import read_files
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.intake.privacy.safe_paths import PathNames, path_names
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.intake.sheets.problems import Problems
from olvf_assets.intake.tables import DRAWN_FILMS, READER_BOXES, UNMATCHED_BOXES


class DrawnBoxes(NamedTuple):
    """The boxes of accepted films, the films that somebody labelled, and the box files that belong to none."""

    reader_boxes: pl.DataFrame
    drawn_films: pl.DataFrame
    unmatched_boxes: pl.DataFrame


class _BoxFile(NamedTuple):
    row: dict[str, Any]  # of the manifest
    real: str
    levels: Levels | None


def drawn_boxes(
    folder: Path,
    manifest: pl.DataFrame,
    headers: pl.DataFrame,
    pixels: pl.DataFrame,
    *,
    names: Pseudonymiser,
    settings: IntakeSettings,
    paths: PathNames | None = None,
) -> DrawnBoxes:
    """Read all box files of an institution.

    A picture belongs to the film of its file name (without ending) or SOP instance UID; of several films of that name
    to the one in the folders of the same names. A picture of another size than its film must be a scaled copy of it;
    `film_px_per_picture_px` says how much smaller it was. The boxes of a film run from L1 to L5 from head to foot, and
    so do those of T1 to T12 and S1, where they are drawn: they are kept with the film (`drawn_films.helper_boxes`), as
    are bodies of the class `unnamed`, of which nobody says which they are.

    Args:
        folder: its landing folder.
        manifest: table `landing_manifest`; which of its files are box files says `intake.landing.box_names`.
        headers: table `dicom_headers` (sizes of the films).
        pixels: table `film_pixels` (which films could be decoded).
        names: makes the pseudonyms.
        settings: `box_margin_px` is how far a box may stick out of the film before it is an error; it is then cut.
        paths: the names of the files, see `safe_paths`; found anew when not given.

    Returns:
        Tables `reader_boxes` (sorted by film and level, pixels of the full film); `drawn_films`, films of which a box
        file speaks, also one that draws nothing in them; and `unmatched_boxes`: files whose film is absent
        (`box_without_film`), was itself refused (`box_of_refused_film`), or whose name fits several films
        (`box_of_several_films`).

    Raises:
        SheetError: a file that is not what its ending says, a class that is no lumbar level, class lists that
            contradict each other, a level twice, a box that is empty or outside its film, a lower level above a higher
            one, a picture that is no scaled copy of its film, a film drawn in two files.
    """
    shown = paths or path_names(folder, names)
    films = films_by_name(headers, pixels, shown.real)
    boxes: list[dict[str, Any]] = []
    unmatched: list[dict[str, Any]] = []
    drawn_in: dict[str, str] = {}
    drawn_films: dict[str, dict[str, Any]] = {}
    problems = Problems(str(folder / BOXES_FOLDER))
    files = _with_levels(folder, read_files(manifest, "sheet", "boxes"), shown.real, problems)
    answers = read_apart(partial(_pictures, folder=folder), [(file.real, file.levels) for file in files])
    for file, pictures in zip(files, answers, strict=True):
        row, name = file.row, file.row["path"].removeprefix(f"{BOXES_FOLDER}/")
        if isinstance(pictures, Refusal):
            refused = {"reason": pictures.reason, "detail": pictures.detail}
            unmatched.append({"path": row["path"], "sha256": row["sha256"], **refused})
            continue
        if isinstance(pictures, FormatError):
            problems.lines.extend(f"{name}, {fault}" for fault in pictures.args)
            continue
        box_format, _ = READERS[PurePosixPath(file.real).suffix.lower()]
        missing: dict[NoFilm, int] = {}
        n_told = sum(1 for each in pictures if each.boxes or not each.name)  # an export lists others, too
        for picture in pictures:
            place = place_of(picture, file.real)
            film = film_of(films, place, names)
            if isinstance(film, NoFilm):
                if picture.boxes or not picture.name:
                    missing[film] = missing.get(film, 0) + 1
                continue
            if picture.boxes or film.film_id not in drawn_films:
                about = {
                    "n_boxes": sum(box.level in LEVELS for box in picture.boxes),
                    "helper_boxes": [],
                    "is_draft": drafted_film(place.name) == film.film_id,
                    "box_format": box_format,
                }
                drawn_films[film.film_id] = {"film_id": film.film_id} | about
            if picture.boxes and film.film_id in drawn_in:
                problems.lines.append(f"{name}: draws the film of {drawn_in[film.film_id]} again; keep one of the two")
            elif picture.boxes:
                drawn_in[film.film_id] = name
                found, faults = _boxes_of(picture, film, settings.box_margin_px)
                drawn_films[film.film_id]["helper_boxes"] = [
                    _helper(box) for box in found if box["level"] not in LEVELS
                ]
                boxes += [
                    {"film_id": film.film_id, "box_format": box_format} | box for box in found if box["level"] in LEVELS
                ]
                problems.lines += [f"{name}, {fault}" for fault in faults]
        for film, count in missing.items():
            detail = film.detail if n_told == 1 else f"{count} of {n_told} pictures: {film.detail}"
            unmatched.append({"path": row["path"], "sha256": row["sha256"], "reason": film.reason, "detail": detail})
    unopened = manifest.filter(kind="boxes", state="refused").select("path", "sha256", "reason", "detail")
    unmatched += unopened.to_dicts()
    problems.raise_if_any()
    institution = {"institution": names.institution}
    return DrawnBoxes(
        pl.DataFrame([institution | box for box in boxes], schema=READER_BOXES).sort("film_id", "level"),
        pl.DataFrame([institution | row for row in drawn_films.values()], schema=DRAWN_FILMS).sort("film_id"),
        pl.DataFrame([institution | row for row in unmatched], schema=UNMATCHED_BOXES).sort("path", "reason"),
    )


def _with_levels(folder: Path, files: pl.DataFrame, real: Callable[[str], str], problems: Problems) -> list[_BoxFile]:
    """Return the box files with what their class numbers mean; a list that cannot be read is a problem, once."""
    shown = {real(path): path for path in files["path"]}
    lists = ClassLists(
        {each: path for each, path in shown.items() if box_role(each) == "classes"}, partial(_content, folder)
    )
    found = []
    for row in files.iter_rows(named=True):
        file = real(row["path"])
        if box_role(file) != "boxes":
            continue
        try:
            is_yolo = READERS[PurePosixPath(file).suffix.lower()][0] == "yolo"
            found.append(_BoxFile(row, file, lists.levels(file) if is_yolo else None))
        except (ClassListError, FormatError) as error:
            if (fault := str(error)) not in problems.lines:
                problems.lines.append(fault)
    return found


def _pictures(file: tuple[str, Levels | None], folder: Path) -> list[Picture] | FormatError:
    """Return the pictures that a box file draws in, or what is wrong with it; a list of pictures draws in none."""
    real, levels = file
    box_format, read = READERS[PurePosixPath(real).suffix.lower()]
    try:
        content = _content(folder, real)
        return [] if box_format == "yolo" and is_picture_list(content) else read(content, levels)
    except FormatError as error:
        return error


def _content(folder: Path, path: str) -> bytes:
    try:
        with open_landed(folder, path) as handle:
            return handle.read()
    except UnusableArchiveError as error:
        raise FormatError(f"cannot be taken out of its archive ({error.reason}); unpack it") from None


def _boxes_of(picture: Picture, film: Film, margin_px: float) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the picture's boxes in pixels of its film, and what is wrong with others."""
    if picture.size_px and not _is_scaled_copy(picture.size_px, film):
        width, height = picture.size_px
        return [], [
            f"the labelled picture of {width} x {height} px is no scaled copy of its film of "
            f"{film.width_px} x {film.height_px} px; label the whole film, neither turned nor cropped"
        ]
    width, height = picture.size_px or (1, 1)
    across, down = film.width_px / width, film.height_px / height
    margin_px *= max(1.0, across) if picture.size_px else 1.0  # a pixel of a small picture is several of the film
    found: dict[str, dict[str, Any]] = {}
    unnamed: list[dict[str, Any]] = []
    faults = []
    for box in picture.boxes:
        x0, y0, x1, y1 = box.corners
        x0, y0, x1, y1 = x0 * across, y0 * down, x1 * across, y1 * down
        fault = _fault(box, (x0, y0, x1, y1), film, margin_px)
        if box.level in found:
            faults.append(f"{box.place}: draws {box.level} a second time in this film")
        elif fault:
            faults.append(f"{box.place}: {fault}")
        else:
            drawn = {
                "level": box.level,
                "x0_px": max(x0, 0.0),
                "y0_px": max(y0, 0.0),
                "x1_px": min(x1, float(film.width_px)),
                "y1_px": min(y1, float(film.height_px)),
                "film_px_per_picture_px": across if picture.size_px else None,
            }
            if box.level == UNNAMED_BODY:
                unnamed.append(drawn)
            else:
                found[box.level] = drawn
    return [*found.values(), *unnamed], faults + _disorder(found)


def _helper(box: dict[str, Any]) -> dict[str, Any]:
    return {"vertebra": box["level"]} | {end: box[end] for end in ("x0_px", "y0_px", "x1_px", "y1_px")}


def _disorder(found: dict[str, dict[str, Any]]) -> list[str]:
    """Return what is wrong when the boxes of a film do not run from T1 over L1 and L5 to S1 from head to foot."""
    in_order = [found[name] for name in (*OTHER_VERTEBRAE[:-1], *LEVELS, *OTHER_VERTEBRAE[-1:]) if name in found]
    return [
        f"draws {lower['level']} above {upper['level']}; levels run from head to foot: are the classes named in order, "
        "and is the film upright?"
        for upper, lower in pairwise(in_order)
        if upper["y0_px"] + upper["y1_px"] >= lower["y0_px"] + lower["y1_px"]
    ]


def _is_scaled_copy(size_px: tuple[int, int], film: Film) -> bool:
    """Return whether one factor makes both sides of the film those of the picture, a pixel of rounding aside."""
    width, height = size_px
    least = max((width - 1) / film.width_px, (height - 1) / film.height_px)
    most = min((width + 1) / film.width_px, (height + 1) / film.height_px)
    return least <= most


def _fault(box: Box, corners: tuple[float, float, float, float], film: Film, margin_px: float) -> str | None:
    x0, y0, x1, y1 = corners
    if x1 - x0 < 1.0 or y1 - y0 < 1.0:
        return f"draws a box of less than one pixel around {box.level}"
    if min(x0, y0) < -margin_px or x1 > film.width_px + margin_px or y1 > film.height_px + margin_px:
        drawn = f"({x0:.0f}, {y0:.0f}) to ({x1:.0f}, {y1:.0f}) px"
        return f"draws {drawn}, outside its film of {film.width_px} x {film.height_px} px"
    return None
