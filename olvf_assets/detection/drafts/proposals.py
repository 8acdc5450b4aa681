"""What the detector proposes for each film, the doubtful films first.

What lives here: the boxes of a draft in whole pixels, the order of doubt and its reason in plain words. What does not:
the files (`written.py`), what a person made of them (`corrections.py`).

Boxes are rounded to whole pixels of the film: that is what labelling programs keep when they write Pascal VOC, so that
a box that nobody touched comes back as it went out, in every format.
"""

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from olvf_assets.detection.tables import BOX_PX
from olvf_assets.foundation.errors import StaleError
from olvf_assets.foundation.vocabulary import LEVELS

FILM = ["institution", "film_id"]
STATES = ("nothing_found", "ambiguous", "resolved")  # the most work first
LITTLE_MARGIN = 2.2  # natural logarithm of the odds: of such films one in ten has a wrong name
LITTLE_CONFIDENCE = 0.3


class StaleDraftsError(StaleError):
    """The tables that drafts are made of do not belong together."""


@dataclass(frozen=True)
class DraftBox:
    """A proposed box in whole pixels of the film: left, top, right, bottom, the film's corner being 0, 0."""

    level: str
    x0_px: int
    y0_px: int
    x1_px: int
    y1_px: int


@dataclass(frozen=True)
class Draft:
    """What the detector proposes for one film.

    Attributes:
        film_id: the film's pseudonym.
        image_path: its picture in the store.
        width_px, height_px: of film and picture.
        state: as in `detected_films`.
        boxes: from L1 to L5; none where nothing was found.
        lowest_confidence: of the boxes' levels, 0 to 1; None without a box.
        margin: as in `detected_films`.
        reason: why the film stands where it does, in plain words.
        detector_sha256: of the weights that found the boxes.
    """

    film_id: str
    image_path: str
    width_px: int
    height_px: int
    state: str
    boxes: tuple[DraftBox, ...]
    lowest_confidence: float | None
    margin: float | None
    reason: str
    detector_sha256: str

    def as_json(self) -> dict[str, Any]:
        """Return the draft as it is remembered."""
        return {
            "state": self.state,
            "detector_sha256": self.detector_sha256,
            "boxes": [asdict(box) for box in self.boxes],
        }


def proposals(
    films: pl.DataFrame, detected_films: pl.DataFrame, detection_candidates: pl.DataFrame, protocol: str
) -> list[Draft]:
    """Return a draft for each film of one institution that the detector has searched, the doubtful ones first.

    First come films on which nothing was found, then those whose levels cannot be told (with their likeliest
    labelling), then the others: with the fewest levels, with the least margin, with the least confidence.

    Args:
        films: `films` of the institution.
        detected_films: `detected_films` of the institution.
        detection_candidates: `detection_candidates` of the institution.
        protocol: whose detector proposes.

    Raises:
        StaleDraftsError: labellings and candidates are of different detectors, or a candidate is missing.
    """
    found = detected_films.filter(protocol=protocol).drop("protocol")
    candidates = detection_candidates.filter(protocol=protocol)
    by_film = {
        (film_id, weights): {row["candidate"]: row for row in rows.iter_rows(named=True)}
        for (film_id, weights), rows in candidates.group_by("film_id", "detector_sha256")
    }
    sizes = films.select(*FILM, "image_path", "width_px", "height_px")
    drafts = []
    for row in found.join(sizes, on=FILM).iter_rows(named=True):
        own = by_film.get((row["film_id"], row["detector_sha256"]), {})
        if any(each["candidate"] not in own for each in row["labelling"]):
            raise StaleDraftsError(
                "detected_films and detection_candidates are not of the same detector; run the study once more "
                "(materialise detected_films), then write the drafts"
            )
        drafts.append(_draft(row, [(own[each["candidate"]], each["level"]) for each in row["labelling"]]))
    return sorted(drafts, key=_doubt)


def _draft(row: dict[str, Any], labelled: list[tuple[dict[str, Any], str]]) -> Draft:
    confidences = [candidate[f"p_{level}"] for candidate, level in labelled]
    lowest = min(confidences, default=None)
    boxes = tuple(_box(candidate, level, row) for candidate, level in labelled)
    return Draft(
        film_id=row["film_id"],
        image_path=row["image_path"],
        width_px=row["width_px"],
        height_px=row["height_px"],
        state=row["state"],
        boxes=tuple(sorted(boxes, key=lambda box: box.level)),
        lowest_confidence=lowest,
        margin=row["margin"],
        reason=_reason(row, lowest),
        detector_sha256=row["detector_sha256"],
    )


def _box(candidate: dict[str, Any], level: str, film: dict[str, Any]) -> DraftBox:
    x0, y0, x1, y1 = (round(candidate[name]) for name in BOX_PX)
    left, right = _within(x0, x1, film["width_px"])
    top, bottom = _within(y0, y1, film["height_px"])
    return DraftBox(level, left, top, right, bottom)


def _within(start: int, end: int, length: int) -> tuple[int, int]:
    """Return an interval cut to 0..length, of at least one pixel."""
    start = min(max(start, 0), length - 1)
    return start, min(max(end, start + 1), length)


def _doubt(draft: Draft) -> tuple[Any, ...]:
    margin = float("inf") if draft.margin is None else draft.margin
    return STATES.index(draft.state), len(draft.boxes), margin, draft.lowest_confidence or 0.0, draft.film_id


def _reason(row: dict[str, Any], lowest: float | None) -> str:
    if row["state"] == "nothing_found":
        return "nothing was found: draw every level"
    words = []
    if row["state"] == "ambiguous":
        words.append("it cannot be told which body is which level: check every name")
    missing = [level for level in LEVELS if level not in {each["level"] for each in row["labelling"]}]
    if missing:
        words.append(f"{', '.join(missing)} not found")
    if row["n_renamed"]:
        words.append(f"{row['n_renamed']} of the names are not the ones that the network alone would give")
    if row["state"] == "resolved" and row["margin"] is not None and row["margin"] < LITTLE_MARGIN:
        words.append("another naming of the levels is nearly as likely")
    if lowest is not None and lowest < LITTLE_CONFIDENCE:
        words.append("the detector is unsure of at least one box")
    return "; ".join(words) or "nothing doubtful was noticed"
