"""What became of each box of a draft."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from olvf_assets.detection.drafts.corrections import changes, draft_corrections, iou
from olvf_assets.detection.tables import DRAFT_CORRECTIONS
from olvf_assets.intake.tables import DRAWN_FILMS, READER_BOXES


def box(level: str, y0: float, *, x0: float = 100, width: float = 100, height: float = 50) -> dict[str, Any]:
    return {"level": level, "x0_px": x0, "y0_px": y0, "x1_px": x0 + width, "y1_px": y0 + height}


SPINE = [box(level, 60.0 * number) for number, level in enumerate(("L1", "L2", "L3", "L4", "L5"))]


def words(found: list[dict[str, Any]]) -> list[tuple[str, str | None, str | None]]:
    return [(each["change"], each["drafted_level"], each["level"]) for each in found]


def test_a_spine_named_one_level_too_high_is_renamed_and_neither_added_nor_removed() -> None:
    drawn = [box(level, 60.0 * number) for number, level in enumerate(("L2", "L3", "L4", "L5"))]
    assert words(changes(SPINE, drawn)) == [
        ("renamed", "L1", "L2"), ("renamed", "L2", "L3"), ("renamed", "L3", "L4"), ("renamed", "L4", "L5"),
        ("removed", "L5", None),
    ]  # fmt: skip


def test_a_box_drawn_elsewhere_is_another_box() -> None:
    drawn = [*SPINE[:4], box("L5", 400.0)]
    assert words(changes(SPINE, drawn))[4:] == [("removed", "L5", None), ("added", None, "L5")]


@pytest.mark.parametrize(
    ("shift", "scale", "change"),
    [(0.0, None, "unchanged"), (1.0, None, "unchanged"), (1.5, None, "moved"), (1.5, 2.0, "unchanged"),
     (2.5, 2.0, "moved"), (0.6, 0.5, "unchanged")],
)  # fmt: skip
def test_a_pixel_of_the_labelled_picture_is_rounding(shift: float, scale: float | None, change: str) -> None:
    drawn = box("L1", shift) | {"film_px_per_picture_px": scale}
    assert words(changes(SPINE[:1], [drawn])) == [(change, "L1", "L1")]


def test_overlap_is_that_of_a_reference() -> None:
    first = np.array([[0, 0, 10, 10], [0, 0, 4, 5]], np.float64)
    second = np.array([[5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 10, 10]], np.float64)
    assert iou(first, second) == pytest.approx(np.array([[1 / 3, 0, 1], [0, 0, 0.2]]))


def test_no_boxes_on_either_side_is_no_change() -> None:
    assert changes([], []) == []
    assert words(changes([], SPINE[:1])) == [("added", None, "L1")]
    assert words(changes(SPINE[:1], [])) == [("removed", "L1", None)]


def drafted(*boxes: dict[str, Any], weights: str) -> dict[str, Any]:
    return {"state": "resolved" if boxes else "nothing_found", "detector_sha256": weights, "boxes": list(boxes)}


def table(drafts: dict[str, Any], returned: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return `draft_corrections` by film, of films that came back as YOLO."""
    films = [{"institution": "here", "film_id": each, "n_boxes": len(boxes), "is_draft": True, "box_format": "yolo"}
             for each, boxes in returned.items()]  # fmt: skip
    drawn = [{"institution": "here", "film_id": each} | one for each, boxes in returned.items() for one in boxes]
    found = draft_corrections(
        "here", drafts, pl.DataFrame(films, schema=DRAWN_FILMS), pl.DataFrame(drawn, schema=READER_BOXES)
    )
    assert found.schema == DRAFT_CORRECTIONS
    return {row["film_id"]: row for row in found.iter_rows(named=True)}


def test_a_film_is_held_against_the_draft_that_it_was_made_from() -> None:
    """The detector was trained again and its drafts written anew, but a person had corrected the first ones."""
    moved = [box(each["level"], each["y0_px"] + 20) for each in SPINE]
    drafts = {"F1": [drafted(*SPINE, weights="first"), drafted(*moved, weights="second")]}
    row = table(drafts, {"F1": SPINE})["F1"]
    assert (row["detector_sha256"], row["n_unchanged"], row["unchanged"]) == ("first", 5, True)
    row = table(drafts, {"F1": [*moved[:4], box("L5", 250)]})["F1"]
    assert (row["detector_sha256"], row["n_unchanged"], row["n_moved"]) == ("second", 4, 1)


def test_every_film_has_its_row_whether_it_came_back_or_not() -> None:
    drafts = {"F1": [drafted(*SPINE, weights="a")], "F2": [drafted(weights="a")], "F3": [drafted(*SPINE, weights="a")]}
    rows = table(drafts, {"F2": [], "F3": [], "F4": SPINE[:2]})
    assert [(each, rows[each]["state"], rows[each]["returned"], rows[each]["unchanged"]) for each in sorted(rows)] == [
        ("F1", "resolved", False, None),
        ("F2", "nothing_found", True, True),
        ("F3", "resolved", True, False),
        ("F4", "not_remembered", True, None),
    ]
    assert (rows["F1"]["n_drafted"], rows["F1"]["n_drawn"], rows["F1"]["n_unchanged"]) == (5, None, None)
    assert (rows["F3"]["n_removed"], rows["F3"]["mean_iou"]) == (5, None)
    assert (rows["F4"]["n_drawn"], rows["F4"]["n_drafted"]) == (2, None)


def test_boxes_that_somebody_drew_himself_are_no_corrections() -> None:
    films = pl.DataFrame([("here", "F1", 5, False, "yolo", [])], schema=DRAWN_FILMS, orient="row")
    drawn = pl.DataFrame([{"institution": "here", "film_id": "F1"} | each for each in SPINE], schema=READER_BOXES)
    found = draft_corrections("here", {"F1": [drafted(*SPINE, weights="a")]}, films, drawn)
    assert found.select("returned", "n_drawn").rows() == [(False, None)]
