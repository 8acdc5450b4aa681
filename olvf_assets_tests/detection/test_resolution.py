"""Which films have levels, and which ones are left alone."""

import polars as pl
import pytest

from olvf_assets.detection.resolution import detected_films, detections
from olvf_assets.detection.settings import DetectionSettings
from olvf_assets.detection.tables import DETECTED_FILMS, DETECTION_CANDIDATES, DETECTIONS

SETTINGS = DetectionSettings(least_margin=1.0)
FILMS = pl.DataFrame({"institution": "institution_9", "film_id": ["Fa", "Fb", "Fc"], "width_px": 44, "height_px": 200})
DETECTOR = pl.DataFrame({"protocol": ["patient"], "weights_sha256": ["d0"]})
BOTH = pl.DataFrame({"protocol": ["patient", "thesis"], "weights_sha256": ["d0", "d1"]})


def candidates(*bodies: tuple[str, int, float, list[float]]) -> pl.DataFrame:
    """Return candidates 47 px wide: film, number, top (30 px high), probabilities of levels and, or not, helpers."""
    none = [None] * 3
    rows = [
        ("patient", "institution_9", film_id, number, -3.0, top, 44.5, top + 30.0, *(probabilities + none)[:8], "d0")
        for film_id, number, top, probabilities in bodies
    ]
    return pl.DataFrame(rows, schema=DETECTION_CANDIDATES, orient="row")


FOUND = candidates(
    ("Fa", 0, 46.0, [0.01, 0.01, 0.01, 0.01, 0.8]),
    ("Fa", 1, 10.0, [0.01, 0.01, 0.5, 0.45, 0.01]),
    ("Fb", 0, 10.0, [0.01, 0.4, 0.45, 0.01, 0.01]),
)


def test_each_film_is_resolved_ambiguous_or_empty_and_says_why() -> None:
    table = detected_films(FOUND, FILMS, DETECTOR, SETTINGS)
    assert table.schema == DETECTED_FILMS
    assert table.select("film_id", "state", "n_candidates", "n_levels", "n_renamed").rows() == [
        ("Fa", "resolved", 2, 2, 1),  # the upper body is rather L3 by itself, but no level lies between it and L5
        ("Fb", "ambiguous", 1, 1, 0),  # alone, L3 is hardly likelier than L2
        ("Fc", "nothing_found", 0, 0, 0),
    ]
    assert table["labelling"][0].to_list() == [{"candidate": 1, "level": "L4"}, {"candidate": 0, "level": "L5"}]
    assert table["margin"][1] < 0
    assert table["margin"][2] is None


def test_a_detector_that_knows_the_sacrum_counts_from_it() -> None:
    any_level = [0.3, 0.3, 0.3, 0.3, 0.3]
    unsure = candidates(*(("Fa", number, 10.0 + 34 * number, any_level) for number in range(4)))
    helped = candidates(
        *(("Fa", number, 10.0 + 34 * number, [*any_level, 0.05, 0.05, 0.02]) for number in range(4)),
        ("Fa", 4, 10.0 + 34 * 3.85, [0.01] * 7 + [0.9]),
    )
    films = FILMS.filter(film_id="Fa")
    (alone,), (counted,) = (detected_films(each, films, DETECTOR, SETTINGS).to_dicts() for each in (unsure, helped))
    assert (alone["state"], counted["state"]) == ("ambiguous", "resolved")
    assert [each["level"] for each in counted["labelling"]] == ["L2", "L3", "L4", "L5"]
    assert counted["n_candidates"] == 5


def test_only_resolved_films_have_detections_clipped_to_the_film() -> None:
    found = detections(FOUND, detected_films(FOUND, FILMS, DETECTOR, SETTINGS), FILMS)
    assert found.schema == DETECTIONS
    assert found.rows() == [
        ("patient", "institution_9", "Fa", "L4", 0.0, 10.0, 44.0, 40.0, 0.45, "d0"),
        ("patient", "institution_9", "Fa", "L5", 0.0, 46.0, 44.0, 76.0, 0.8, "d0"),
    ]


@pytest.mark.parametrize(("least_margin", "state"), [(0.1, "resolved"), (1000.0, "ambiguous")])
def test_how_sure_is_sure_is_a_setting(least_margin: float, state: str) -> None:
    settings = SETTINGS.model_copy(update={"least_margin": least_margin})
    assert detected_films(FOUND, FILMS, DETECTOR, settings)["state"][1] == state


@pytest.mark.parametrize(
    ("fewest", "states"),
    [(1, ["resolved", "resolved", "nothing_found"]), (2, ["resolved", "ambiguous", "nothing_found"]),
     (3, ["ambiguous", "ambiguous", "nothing_found"])],
)  # fmt: skip
def test_how_many_bodies_can_be_counted_is_a_setting(fewest: int, states: list[str]) -> None:
    settings = SETTINGS.model_copy(update={"least_margin": 0.1, "fewest_levels": fewest})
    table = detected_films(FOUND, FILMS, DETECTOR, settings)
    assert table["state"].to_list() == states
    assert table["n_levels"].to_list() == [2, 1, 0]


def test_every_protocol_has_every_film() -> None:
    table = detected_films(FOUND, FILMS, BOTH, SETTINGS)
    assert table.filter(protocol="thesis")["state"].to_list() == ["nothing_found"] * 3
    assert table.select("protocol", "detector_sha256").unique().sort("protocol").rows() == BOTH.rows()
