"""What is proposed for each film, and which films come first."""

from typing import Any

import polars as pl
import pytest

from olvf_assets.detection.drafts.proposals import DraftBox, StaleDraftsError, proposals
from olvf_assets.detection.tables import DETECTED_FILMS, DETECTION_CANDIDATES

LEVELS = ("L1", "L2", "L3", "L4", "L5")


class Searched:
    """Films of 200 x 400 px that a detector has searched."""

    def __init__(self) -> None:
        self.films: list[dict[str, Any]] = []
        self.detected: list[dict[str, Any]] = []
        self.candidates: list[dict[str, Any]] = []

    def film(
        self, film_id: str, levels: tuple[str, ...] = LEVELS, state: str = "resolved", *, margin: float | None = 9.0,
        confidence: float = 0.9, renamed: int = 0, protocol: str = "patient", weights: str = "w",
    ) -> "Searched":  # fmt: skip
        own = {"institution": "here", "film_id": film_id}
        if not any(each["film_id"] == film_id for each in self.films):
            self.films.append(own | {"image_path": f"images/{film_id}.png", "width_px": 200, "height_px": 400})
        labelling = [{"candidate": number, "level": level} for number, level in enumerate(levels)]
        about = {"state": state, "n_renamed": renamed, "margin": margin, "labelling": labelling}
        self.detected.append(own | about | {"protocol": protocol, "detector_sha256": weights})
        for number, level in enumerate(levels):
            top = 10.4 + 60 * number
            place = {"x0_px": -3.6, "y0_px": top, "x1_px": 203.2, "y1_px": top + 40.3}
            votes = {f"p_{each}": confidence if each == level else 0.01 for each in LEVELS}
            numbered = {"protocol": protocol, "candidate": number, "detector_sha256": weights}
            self.candidates.append(own | numbered | place | votes)
        return self

    def proposals(self, protocol: str = "patient") -> list[Any]:
        films = pl.DataFrame(self.films)
        detected = pl.DataFrame(self.detected, schema=DETECTED_FILMS)
        return proposals(films, detected, pl.DataFrame(self.candidates, schema=DETECTION_CANDIDATES), protocol)


def test_the_doubtful_films_come_first_and_say_why() -> None:
    searched = (
        Searched()
        .film("F_sure")
        .film("F_unsure", confidence=0.1)
        .film("F_rivalled", margin=2.0)
        .film("F_short", LEVELS[1:], renamed=2)
        .film("F_unrivalled", margin=None)
        .film("F_empty", (), "nothing_found", margin=None)
        .film("F_ambiguous", state="ambiguous", margin=0.5)
    )
    found = searched.proposals()
    assert [(each.film_id, each.reason) for each in found] == [
        ("F_empty", "nothing was found: draw every level"),
        ("F_ambiguous", "it cannot be told which body is which level: check every name"),
        ("F_short", "L1 not found; 2 of the names are not the ones that the network alone would give"),
        ("F_rivalled", "another naming of the levels is nearly as likely"),
        ("F_unsure", "the detector is unsure of at least one box"),
        ("F_sure", "nothing doubtful was noticed"),
        ("F_unrivalled", "nothing doubtful was noticed"),
    ]
    assert (found[0].boxes, found[0].lowest_confidence) == ((), None)


def test_boxes_are_whole_pixels_within_the_film() -> None:
    (found,) = Searched().film("F", ("L1", "L2")).proposals()
    assert found.boxes == (DraftBox("L1", 0, 10, 200, 51), DraftBox("L2", 0, 70, 200, 111))


def test_the_detector_of_the_protocol_proposes() -> None:
    searched = Searched().film("F", weights="a").film("F", ("L3",), protocol="thesis", weights="b")
    assert [(len(each.boxes), each.detector_sha256) for each in searched.proposals()] == [(5, "a")]
    assert [(len(each.boxes), each.detector_sha256) for each in searched.proposals("thesis")] == [(1, "b")]


def test_labellings_of_another_detector_than_the_candidates_are_refused() -> None:
    searched = Searched().film("F")
    searched.candidates = [each | {"detector_sha256": "newer"} for each in searched.candidates]
    with pytest.raises(StaleDraftsError, match="materialise detected_films"):
        searched.proposals()
