"""Vertebra boxes drawn by a technologist: tables `reader_boxes` and `unmatched_boxes`.

What lives here: YOLO text files as labelImg writes them (class, centre and size as fractions of the film), turned into
pixels of the full-resolution film. What does not: boxes found by the detector (room `detection`).
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import polars as pl

from olvf_assets.foundation.landing import BOX_CLASSES_FILE, BOXES_FOLDER, is_sheet
from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.intake.pseudonyms import Pseudonymiser
from olvf_assets.intake.safe_paths import PathNames, path_names
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.intake.sheet_reading import Problems
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

    Args:
        folder: its landing folder.
        manifest: table `landing_manifest`; box files are the `boxes/*.txt` it lists.
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
        SheetError: a line that is not five numbers, a class that is no lumbar level, a level twice, a box that is
            empty or outside its film.
    """
    shown = paths or path_names(folder, names)
    films = _films_by_stem(headers, pixels, shown.real)
    levels = _levels_by_class(folder)
    boxes: list[dict[str, Any]] = []
    unmatched: list[dict[str, Any]] = []
    problems = Problems(folder / BOXES_FOLDER)
    for row in manifest.iter_rows(named=True):
        path = row["path"]
        if not is_sheet(path) or not path.startswith(f"{BOXES_FOLDER}/") or path == BOX_CLASSES_FILE:
            continue
        film = _film_of(films.get(PurePosixPath(shown.real(path)).stem, []))
        if isinstance(film, _Film):
            text = (folder / shown.real(path)).read_text(encoding="utf-8-sig", errors="replace")
            for box in _boxes_of(text, film, levels, settings.box_margin_px):
                if isinstance(box, str):
                    problems.lines.append(f"{path.removeprefix(f'{BOXES_FOLDER}/')}, {box}")
                else:
                    boxes.append(box)
        else:
            reason, detail = film
            unmatched.append({"path": path, "sha256": row["sha256"], "reason": reason, "detail": detail})
    problems.raise_if_any()
    institution = {"institution": names.institution}
    return DrawnBoxes(
        pl.DataFrame([institution | box for box in boxes], schema=READER_BOXES).sort("film_id", "level"),
        pl.DataFrame([institution | row for row in unmatched], schema=UNMATCHED_BOXES).sort("path"),
    )


def _films_by_stem(headers: pl.DataFrame, pixels: pl.DataFrame, real: Callable[[str], str]) -> dict[str, list[_Film]]:
    undecoded = dict(pixels.filter(pl.col("refusal").is_not_null()).select("path", "refusal").iter_rows())
    films: dict[str, list[_Film]] = {}
    for row in headers.iter_rows(named=True):
        refusal = row["refusal"] or undecoded.get(row["path"])
        film = _Film(row["film_id"], row["columns"], row["rows"], refusal)
        films.setdefault(PurePosixPath(real(row["path"])).stem, []).append(film)
    return films


def _film_of(films: list[_Film]) -> _Film | tuple[str, str]:
    """Return the film that a box file belongs to, or the reason and detail why there is none."""
    accepted = [film for film in films if film.refusal is None]
    if len(accepted) == 1:
        return accepted[0]
    if len(accepted) > 1:
        return "box_of_several_films", f"{len(accepted)} films have this file name; give them different names"
    if films:
        return "box_of_refused_film", f"its film was refused: {films[0].refusal}"
    return "box_without_film", "no film has this file name; name the box file like its .dcm file"


def _levels_by_class(folder: Path) -> list[str]:
    """Return the level of each class number: the order of `classes.txt`, or L1 to L5."""
    path = folder / BOX_CLASSES_FILE
    if not path.is_file():
        return list(LEVELS)
    names = [line.strip() for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    missing = [level for level in LEVELS if names.count(level) != 1]
    if missing:
        problems = Problems(path)
        problems.add(None, None, None, f"{', '.join(missing)} must stand there once; list L1 to L5, one a line")
        problems.raise_if_any()
    return names


def _boxes_of(text: str, film: _Film, levels: list[str], margin_px: float) -> Iterator[dict[str, Any] | str]:
    """Yield each box of a file, or what is wrong with its line."""
    seen: set[str] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        numbers = _five_numbers(line)
        level = _level(numbers, levels) if numbers else None
        if numbers is None:
            yield f"line {number}: is not five numbers: class, centre x, centre y, width, height"
        elif level is None:
            yield f"line {number}: class {numbers[0]:g} is no lumbar level; allowed are {_allowed_classes(levels)}"
        elif level in seen:
            yield f"line {number}: draws {level} a second time in this film"
        else:
            seen.add(level)
            corners = _corners_px(numbers, film)
            problem = _outside(corners, film, margin_px)
            yield (
                f"line {number}: {problem}"
                if problem
                else {"film_id": film.film_id, "level": level} | _cut(corners, film)
            )


def _level(numbers: tuple[float, ...], levels: list[str]) -> str | None:
    """Return the level of a box, None when its class number stands for none."""
    known = numbers[0].is_integer() and 0 <= numbers[0] < len(levels)
    return levels[int(numbers[0])] if known and levels[int(numbers[0])] in LEVELS else None


def _allowed_classes(levels: list[str]) -> str:
    return ", ".join(f"{number} ({level})" for number, level in enumerate(levels) if level in LEVELS)


def _five_numbers(line: str) -> tuple[float, ...] | None:
    try:
        numbers = tuple(float(word) for word in line.split())
    except ValueError:
        return None
    return numbers if len(numbers) == 5 and all(map(math.isfinite, numbers)) else None


def _corners_px(numbers: tuple[float, ...], film: _Film) -> tuple[float, float, float, float]:
    _, x, y, width, height = numbers
    return (
        (x - width / 2) * film.width_px,
        (y - height / 2) * film.height_px,
        (x + width / 2) * film.width_px,
        (y + height / 2) * film.height_px,
    )


def _outside(corners: tuple[float, float, float, float], film: _Film, margin_px: float) -> str | None:
    x0, y0, x1, y1 = corners
    if x1 - x0 < 1.0 or y1 - y0 < 1.0:
        return "draws a box of less than one pixel"
    if min(x0, y0) < -margin_px or x1 > film.width_px + margin_px or y1 > film.height_px + margin_px:
        box = f"({x0:.0f}, {y0:.0f}) to ({x1:.0f}, {y1:.0f}) px"
        return f"draws {box}, outside its film of {film.width_px} x {film.height_px} px"
    return None


def _cut(corners: tuple[float, float, float, float], film: _Film) -> dict[str, float]:
    x0, y0, x1, y1 = corners
    return {
        "x0_px": max(x0, 0.0),
        "y0_px": max(y0, 0.0),
        "x1_px": min(x1, float(film.width_px)),
        "y1_px": min(y1, float(film.height_px)),
    }
