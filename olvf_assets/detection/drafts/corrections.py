"""How much of the drafts people changed: table `draft_corrections`.

What lives here: pairing the boxes of a draft with those that came back, and the words for what happened to each. What
does not: how long it took (nobody measured that), reading box files (`intake.boxes`), what was proposed
(`remembered.py`).
"""

from typing import Any

import numpy as np
import polars as pl

from olvf_assets.detection.drafts.remembered import Remembered
from olvf_assets.detection.tables import BOX_PX, DRAFT_CORRECTIONS

LEAST_IOU = 0.1  # boxes that overlap less have nothing to do with each other
# Programs round to whole pixels of the labelled picture, which may be smaller than the film.
UNCHANGED_PX = 1.0
ROUNDING_PX = 1e-6
COUNTS = {"unchanged": "n_unchanged", "moved": "n_moved", "renamed": "n_renamed", "added": "n_added",
          "removed": "n_removed"}  # fmt: skip
Box = dict[str, Any]


def draft_corrections(
    institution: str, drafts: Remembered, drawn_films: pl.DataFrame, reader_boxes: pl.DataFrame
) -> pl.DataFrame:
    """Return `draft_corrections` of one institution, sorted by film.

    A film is returned when a box file of the draft's name is there, also an empty one. Of several drafts of one film,
    it is held against the one that it is nearest to (the latest of equals): a person may have gone on from an earlier
    one.

    Args:
        institution: its key.
        drafts: what `remembered` returns.
        drawn_films: `drawn_films` of the institution.
        reader_boxes: `reader_boxes` of the institution.
    """
    returned = {row["film_id"]: row for row in drawn_films.filter("is_draft").iter_rows(named=True)}
    drawn = {str(film_id): rows.to_dicts() for (film_id,), rows in reader_boxes.group_by("film_id")}
    rows = []
    for film_id in sorted({*drafts, *returned}):
        own = drafts.get(film_id, [])
        row: dict[str, Any] = {"institution": institution, "film_id": film_id, "returned": film_id in returned}
        if film_id not in returned:
            row |= _about(own[-1])
        else:
            boxes = drawn.get(film_id, [])
            row |= {"box_format": returned[film_id]["box_format"], "n_drawn": len(boxes)}
            row |= _nearest(own, boxes) if own else {"state": "not_remembered"}
        rows.append(row)
    return pl.DataFrame(rows, schema=DRAFT_CORRECTIONS)


def _about(draft: Box) -> dict[str, Any]:
    return {"state": draft["state"], "detector_sha256": draft["detector_sha256"], "n_drafted": len(draft["boxes"])}


def _nearest(drafts: list[Box], drawn: list[Box]) -> dict[str, Any]:
    found = [(draft, changes(draft["boxes"], drawn)) for draft in drafts]
    draft, made = max(reversed(found), key=lambda each: sum(change["iou"] or 0.0 for change in each[1]))
    counts = {name: sum(each["change"] == change for each in made) for change, name in COUNTS.items()}
    overlaps = [each["iou"] for each in made if each["iou"] is not None]
    return {
        **_about(draft),
        **counts,
        "unchanged": counts["n_unchanged"] == len(made),
        "mean_iou": sum(overlaps) / len(overlaps) if overlaps else None,
        "lowest_iou": min(overlaps, default=None),
        "boxes": made,
    }


def changes(drafted: list[Box], drawn: list[Box]) -> list[dict[str, Any]]:
    """Return what became of each box of a draft, and which were added, from head to foot.

    Boxes are paired so that the overlaps are largest in sum. A pair is `unchanged`, `moved` or, with another level,
    `renamed`; what is left is `removed` or `added`.

    Args:
        drafted: boxes with `level` and corners in pixels of the film.
        drawn: rows of `reader_boxes` of the same film.
    """
    from scipy.optimize import linear_sum_assignment

    overlaps = iou(_corners(drafted), _corners(drawn))
    pairs = [(i, j) for i, j in zip(*linear_sum_assignment(-overlaps), strict=True) if overlaps[i, j] >= LEAST_IOU]
    found = [(drawn[j], _of_pair(drafted[i], drawn[j], float(overlaps[i, j]))) for i, j in pairs]
    kept, taken = {i for i, _ in pairs}, {j for _, j in pairs}
    found += [(box, _change("removed", box, None)) for i, box in enumerate(drafted) if i not in kept]
    found += [(box, _change("added", None, box)) for j, box in enumerate(drawn) if j not in taken]
    return [change for _, change in sorted(found, key=lambda each: float(each[0]["y0_px"] + each[0]["y1_px"]))]


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the intersection over union of each two boxes: float64 (n, m), 0 to 1, of corners (n, 4) and (m, 4)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0.0, None), axis=2)
    areas = [np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (first, second)]
    return shared / (areas[0][:, None] + areas[1][None] - shared)


def _of_pair(drafted: Box, drawn: Box, overlap: float) -> dict[str, Any]:
    tolerance = UNCHANGED_PX * max(1.0, drawn.get("film_px_per_picture_px") or 1.0) + ROUNDING_PX
    apart = np.abs(_corners([drafted]) - _corners([drawn])).max()
    if drafted["level"] != drawn["level"]:
        return _change("renamed", drafted, drawn, overlap)
    return _change("unchanged" if apart <= tolerance else "moved", drafted, drawn, overlap)


def _change(change: str, drafted: Box | None, drawn: Box | None, overlap: float | None = None) -> dict[str, Any]:
    before, after = (None if box is None else box["level"] for box in (drafted, drawn))
    return {"change": change, "drafted_level": before, "level": after, "iou": overlap}


def _corners(boxes: list[Box]) -> np.ndarray:
    return np.array([[box[name] for name in BOX_PX] for box in boxes], np.float64).reshape(-1, len(BOX_PX))
