"""BUU-LSPINE: folders `LA` (lateral) and `AP`, pictures called `NNNN-S-AAAYv.jpg` with a CSV of end-plate lines each.

What lives here: what names and rows of that collection mean. What does not: making films and sheets (`films.py`).

A row is `x1,y1,x2,y2,label` without headings, in pixels. Two rows are a body, its upper and its lower edge, from L1
down; the eleventh is the upper edge of S1. The first point is the anterior one; in some rows the two are the other way
round. A body's box is the bounding box of its four corners. The line of S1 gives no box, for it says nothing of how
high that body is. The label (spondylolisthesis) is none of this study's classes and is not taken.
"""

import math
import re
from itertools import pairwise
from pathlib import PurePosixPath
from statistics import median

from olvf_assets.commands.collections.download import Download, UnreadableLabelsError, names_of_films, stem
from olvf_assets.commands.collections.planned import Drawing, Kind, Options, Plan, PlannedFilm, Skipped
from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.intake.boxes.formats import NUMBER, Corners

NAME = re.compile(r"(?P<number>\d{1,8})-(?P<sex>[FM])-(?P<age>\d{1,3})Y(?P<view>\d?)", re.IGNORECASE)
VIEWS = {"la": "lateral", "ap": "frontal"}
OLDEST_YEARS = 120
ROWS_OF_FIVE_BODIES = 10
# Without the row of S1 another row may be missing as well. Bodies are then taken only if they look like bodies: as high
# as the others, and higher than the disc below.
MOST_UNLIKE = 1.35
WIDEST_GAP = 1.7  # of the usual distance between two bodies: one is missing between them, and the names below are wrong

Line = tuple[float, float, float, float]


class UnclearRowsError(ValueError):
    """The rows of a file do not say for certain which body is which (internal; becomes a skipped file)."""


def read(download: Download, options: Options) -> Plan:
    """Return the plan for a download of BUU-LSPINE; of its frontal films nothing is made, unless headers are silent."""
    plan = Plan(skipped=list(download.skipped))
    names = names_of_films(download.pictures)
    said: dict[str, tuple[str, int]] = {}
    for path in download.pictures:
        view, known = _view(download, path), NAME.fullmatch(stem(path))
        if view is None or (view == "frontal" and not options.silent):
            detail = "a frontal film; the study takes lateral ones" if view else "lies in no folder LA or AP"
            plan.skipped.append(Skipped(path, view or "view_not_told", detail))
        elif known is None or int(known["age"]) > OLDEST_YEARS:
            plan.skipped.append(Skipped(path, "name_not_understood", "expected NNNN-S-AAAYv, as 0001-F-037Y1"))
        else:
            patient, about = f"BUU-{int(known['number']):04d}", (known["sex"].upper(), int(known["age"]))
            if said.setdefault(patient, about) != about:
                detail = "another sex or age than in the name of this number's first film"
                plan.skipped.append(Skipped(path, "contradictory_patient", detail))
                continue
            drawing = _drawing(download, path, plan) if view == "lateral" else None
            plan.films.append(
                PlannedFilm(path, names[path], patient, *about, lateral=not options.silent, drawing=drawing)
            )
    return plan


def _view(download: Download, path: str) -> str | None:
    """Return what the nearest folder called LA or AP says; the download itself may be that folder."""
    for folder in reversed([download.folder.resolve().name, *PurePosixPath(path).parts[:-1]]):
        if folder.casefold() in VIEWS:
            return VIEWS[folder.casefold()]
    return None


def _drawing(download: Download, path: str, plan: Plan) -> Drawing | None:
    rows = download.beside(path, (".csv",))
    if rows is None:
        plan.skipped.append(Skipped(path, "no_boxes", "no CSV beside it; the film is made without boxes"))
        return None
    try:
        bodies, reversed_rows = bodies_of(lines_of(download.text(rows)))
    except (UnclearRowsError, UnreadableLabelsError) as error:
        plan.skipped.append(Skipped(rows, "boxes_not_taken", f"{error}; the film is made without boxes"))
        return None
    if reversed_rows:
        plan.mended.append(Skipped(rows, "points_reversed", f"rows {', '.join(map(str, reversed_rows))}"))
    return Drawing(list(zip(LEVELS, bodies, strict=False)))


def lines_of(text: str) -> list[Line]:
    """Return the lines that a file's rows draw, in pixels.

    Raises:
        UnclearRowsError: a row that is no four numbers and a label.
    """
    found: list[Line] = []
    for number, row in enumerate(text.splitlines(), start=1):
        cells = [cell.strip().strip('"') for cell in re.split(r"[,;\t]", row)]
        if not any(cells):
            continue
        if not found and not any(map(NUMBER.fullmatch, cells)):  # headings, which the collection itself has not
            continue
        if len(cells) < 4 or not all(map(NUMBER.fullmatch, cells[:4])):
            raise UnclearRowsError(f"row {number} is not x1,y1,x2,y2,label")
        x1, y1, x2, y2 = map(float, cells[:4])
        found.append((x1, y1, x2, y2))
    return found


def bodies_of(lines: list[Line]) -> tuple[list[Corners], list[int]]:
    """Return the boxes of the bodies from L1 down, and the rows (from 1) whose two points are the other way round.

    Raises:
        UnclearRowsError: other than ten rows or eleven, unless they are whole bodies from L1 without a gap; rows that
            do not run from head to foot, or from foot to head throughout.
    """
    n_rows = len(lines)
    if n_rows > ROWS_OF_FIVE_BODIES + 1:
        raise UnclearRowsError(f"{n_rows} rows are more than five bodies and S1: which is L1 is not certain")
    if n_rows < 2 or (n_rows % 2 and n_rows != ROWS_OF_FIVE_BODIES + 1):
        raise UnclearRowsError(f"{n_rows} rows are no whole bodies; which is missing is not certain")
    if lines[0][1] + lines[0][3] > lines[-1][1] + lines[-1][3]:  # written from foot to head
        lines = lines[::-1]
    pairs = [(lines[place], lines[place + 1]) for place in range(0, n_rows - n_rows % 2, 2)]
    boxes = [_around(*pair) for pair in pairs]
    centres = [((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in boxes]
    if any(above[1] >= below[1] for above, below in pairwise(centres)):
        raise UnclearRowsError("the bodies do not run from head to foot")
    apart = [math.dist(one, other) for one, other in pairwise(centres)]
    if apart and max(apart) > WIDEST_GAP * median(apart):
        raise UnclearRowsError("a body is missing between two others, and which is which is not certain")
    if n_rows <= ROWS_OF_FIVE_BODIES and not _look_like_bodies(pairs):
        raise UnclearRowsError(f"{n_rows} rows, and some pair of them is no body: a row seems to be missing")
    return boxes, _reversed_rows(lines)


def _look_like_bodies(pairs: list[tuple[Line, Line]]) -> bool:
    heights = [math.dist(_middle(upper), _middle(lower)) for upper, lower in pairs]
    discs = [math.dist(_middle(above[1]), _middle(below[0])) for above, below in pairwise(pairs)]
    usual = median(heights)
    alike = all(usual / MOST_UNLIKE <= height <= usual * MOST_UNLIKE for height in heights)
    return alike and all(disc < height for disc, height in zip(discs, heights, strict=False))


def _middle(line: Line) -> tuple[float, float]:
    return (line[0] + line[2]) / 2, (line[1] + line[3]) / 2


def _around(upper: Line, lower: Line) -> Corners:
    xs, ys = (upper[0], upper[2], lower[0], lower[2]), (upper[1], upper[3], lower[1], lower[3])
    return min(xs), min(ys), max(xs), max(ys)


def _reversed_rows(lines: list[Line]) -> list[int]:
    """Return the rows that run the other way than most. A box does not change by it."""
    rightwards = [x1 < x2 for x1, _, x2, _ in lines]
    usual = 2 * sum(rightwards) >= len(lines)
    return [number for number, each in enumerate(rightwards, start=1) if each != usual]


BUU = Kind(
    "buu-lspine",
    "BUU-LSPINE (Burapha University)",
    "the end user licence on its download page, which each user reads there; as far as known for research, not for "
    "commerce, and not to be passed on",
    "services.informatics.buu.ac.th/spine; described in Appl. Sci. 2023, 13(15), 8646",
    "lateral films with boxes of L1 to L5, sex and age; no frontal films, no box of S1, no spondylolisthesis labels",
    read,
)
