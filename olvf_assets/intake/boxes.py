"""Vertebra boxes drawn by a technologist: tables `reader_boxes` and `unmatched_boxes`.

What lives here: finding the film of each labelled picture, and turning its boxes into pixels of the full-resolution
film. What does not: how the files are written (`box_formats`), boxes found by the detector (room `detection`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import polars as pl

from olvf_assets.foundation.landing import BOX_CLASSES_FILE, BOXES_FOLDER, is_sheet, read_files
from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.intake.box_formats import READERS, Box, FormatError, Picture
from olvf_assets.intake.pseudonyms import Pseudonymiser
from olvf_assets.intake.safe_paths import PathNames, path_names
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.intake.sheet_problems import Problems
from olvf_assets.intake.sheet_words import word
from olvf_assets.intake.tables import READER_BOXES, UNMATCHED_BOXES


class DrawnBoxes(NamedTuple):
    """The boxes of accepted films, and the box files that belong to none."""

    reader_boxes: pl.DataFrame
    unmatched_boxes: pl.DataFrame


class _Film(NamedTuple):
    film_id: str
    width_px: int
    height_px: int
    refusal: str | None


class _NoFilm(NamedTuple):
    reason: str
    detail: str


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

    A picture belongs to the film of its file name (without ending) or SOP instance UID. A picture of another size than
    its film must be a scaled copy of it; `film_px_per_picture_px` says how much smaller it was.

    Args:
        folder: its landing folder.
        manifest: table `landing_manifest`; box files are the `boxes/**` of .txt (YOLO), .xml (Pascal VOC) and .json
            (COCO) that it lists.
        headers: table `dicom_headers` (sizes of the films).
        pixels: table `film_pixels` (which films could be decoded).
        names: makes the pseudonyms.
        settings: `box_margin_px` is how far a box may stick out of the film before it is an error; it is then cut.
        paths: the names of the files, see `safe_paths`; found anew when not given.

    Returns:
        Tables `reader_boxes` (sorted by film and level, pixels of the full film) and `unmatched_boxes`: files whose
        film is absent (`box_without_film`), was itself refused (`box_of_refused_film`), or whose name fits several
        films (`box_of_several_films`).

    Raises:
        SheetError: a file that is not what its ending says, a class that is no lumbar level, a level twice, a box that
            is empty or outside its film, a picture that is no scaled copy of its film, a film drawn in two files.
    """
    shown = paths or path_names(folder, names)
    films = _films_by_name(headers, pixels, shown.real)
    boxes: list[dict[str, Any]] = []
    unmatched: list[dict[str, Any]] = []
    drawn_in: dict[str, str] = {}
    problems = Problems(str(folder / BOXES_FOLDER))
    for row in read_files(manifest, "boxes").iter_rows(named=True):
        if not _is_box_file(row["path"]):
            continue
        file = folder / shown.real(row["path"])
        name = row["path"].removeprefix(f"{BOXES_FOLDER}/")
        box_format, read = READERS[file.suffix.lower()]
        try:
            pictures = read(file.read_bytes(), _levels_by_class(file.parent, folder))
        except FormatError as error:
            problems.lines.extend(f"{name}, {fault}" for fault in error.args)
            continue
        missing: dict[_NoFilm, int] = {}
        for picture in pictures:
            film = _film_of(films, picture.name or file.name, names)
            if isinstance(film, _NoFilm):
                missing[film] = missing.get(film, 0) + 1
            elif picture.boxes and film.film_id in drawn_in:
                problems.lines.append(f"{name}: draws the film of {drawn_in[film.film_id]} again; keep one of the two")
            elif picture.boxes:
                drawn_in[film.film_id] = name
                found, faults = _boxes_of(picture, film, settings.box_margin_px)
                boxes += [{"film_id": film.film_id, "box_format": box_format} | box for box in found]
                problems.lines += [f"{name}, {fault}" for fault in faults]
        for film, count in missing.items():
            detail = film.detail if len(pictures) == 1 else f"{count} of {len(pictures)} pictures: {film.detail}"
            unmatched.append({"path": row["path"], "sha256": row["sha256"], "reason": film.reason, "detail": detail})
    unopened = manifest.filter(kind="boxes", state="refused").select("path", "sha256", "reason", "detail")
    unmatched += unopened.to_dicts()
    problems.raise_if_any()
    institution = {"institution": names.institution}
    return DrawnBoxes(
        pl.DataFrame([institution | box for box in boxes], schema=READER_BOXES).sort("film_id", "level"),
        pl.DataFrame([institution | row for row in unmatched], schema=UNMATCHED_BOXES).sort("path", "reason"),
    )


def _is_box_file(path: str) -> bool:
    return is_sheet(path) and path.startswith(f"{BOXES_FOLDER}/") and PurePosixPath(path).name != BOX_CLASSES_FILE


def _films_by_name(headers: pl.DataFrame, pixels: pl.DataFrame, real: Callable[[str], str]) -> dict[str, list[_Film]]:
    """Return the films by file name, by file name without ending, and by pseudonym."""
    undecoded = dict(pixels.filter(pl.col("refusal").is_not_null()).select("path", "refusal").iter_rows())
    films: dict[str, list[_Film]] = {}
    for row in headers.iter_rows(named=True):
        film = _Film(row["film_id"], row["columns"], row["rows"], row["refusal"] or undecoded.get(row["path"]))
        name = PurePosixPath(real(row["path"])).name
        for key in {name, _stem(name), row["film_id"]}:
            films.setdefault(key, []).append(film)
    return films


def _stem(name: str) -> str:
    """Return a file name without its ending; a name that is a UID has none."""
    suffix = PurePosixPath(name).suffix
    return name if suffix[1:].isdigit() else name.removesuffix(suffix)


def _film_of(films: dict[str, list[_Film]], name: str, names: Pseudonymiser) -> _Film | _NoFilm:
    """Return the film that a picture shows, or why there is none."""
    stem = _stem(name)
    candidates = films.get(stem) or films.get(names.film(stem)) or []
    accepted = [film for film in candidates if film.refusal is None]
    if len(accepted) == 1:
        return accepted[0]
    if len(accepted) > 1:
        what = f"{len(accepted)} films have this file name; name the boxes by SOPInstanceUID, or give films other names"
        return _NoFilm("box_of_several_films", what)
    if candidates:
        return _NoFilm("box_of_refused_film", f"its film was refused: {candidates[0].refusal}")
    what = "no film has this file name or SOPInstanceUID; name the box file like its .dcm file"
    return _NoFilm("box_without_film", what)


def _levels_by_class(folder: Path, landing: Path) -> Sequence[str]:
    """Return the level of each YOLO class number: `classes.txt` of the folder or of one above it, or L1 to L5."""
    while folder != landing:
        path = folder / BOX_CLASSES_FILE
        if path.is_file():
            lines = path.read_text(encoding="utf-8-sig", errors="replace").split("\n")
            levels = [word("level", line.strip()) for line in lines if line.strip()]
            missing = [level for level in LEVELS if levels.count(level) != 1]
            if missing:
                what = f"{', '.join(missing)} must stand there once; list L1 to L5, one a line"
                raise Problems(f"{landing / BOXES_FOLDER}: {BOX_CLASSES_FILE}").error("", what)
            return levels
        folder = folder.parent
    return LEVELS


def _boxes_of(picture: Picture, film: _Film, margin_px: float) -> tuple[list[dict[str, Any]], list[str]]:
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
            found[box.level] = {
                "level": box.level,
                "x0_px": max(x0, 0.0),
                "y0_px": max(y0, 0.0),
                "x1_px": min(x1, float(film.width_px)),
                "y1_px": min(y1, float(film.height_px)),
                "film_px_per_picture_px": across if picture.size_px else None,
            }
    return list(found.values()), faults


def _is_scaled_copy(size_px: tuple[int, int], film: _Film) -> bool:
    """Return whether one factor makes both sides of the film those of the picture, a pixel of rounding aside."""
    width, height = size_px
    least = max((width - 1) / film.width_px, (height - 1) / film.height_px)
    most = min((width + 1) / film.width_px, (height + 1) / film.height_px)
    return least <= most


def _fault(box: Box, corners: tuple[float, float, float, float], film: _Film, margin_px: float) -> str | None:
    x0, y0, x1, y1 = corners
    if x1 - x0 < 1.0 or y1 - y0 < 1.0:
        return f"draws a box of less than one pixel around {box.level}"
    if min(x0, y0) < -margin_px or x1 > film.width_px + margin_px or y1 > film.height_px + margin_px:
        drawn = f"({x0:.0f}, {y0:.0f}) to ({x1:.0f}, {y1:.0f}) px"
        return f"draws {drawn}, outside its film of {film.width_px} x {film.height_px} px"
    return None
