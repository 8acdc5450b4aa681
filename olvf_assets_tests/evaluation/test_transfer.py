"""Verdicts on films of another place, and shares with intervals, on films that are drawn by hand."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from olvf_assets.detection.metrics import coco_precision
from olvf_assets.detection.tables import BOX_PX, DETECTED_FILMS, DETECTION_CANDIDATES, DETECTOR_ANSWERS
from olvf_assets.evaluation.film_precision import average_precision
from olvf_assets.evaluation.intervals import patient_weights
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.transfer import StaleTransferError, Tables, film_verdicts, overlaps, transfer_measures
from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.intake.tables import DRAWN_FILMS, READER_BOXES

SETTINGS = EvaluationSettings(
    draws=400, confidence=0.95, min_defined_share=0.5, roc_points=10, probability_tolerance=0.1
)
# Bodies 40 px wide, 20 high, 30 apart, from T12 to S1.
SPINE = {name: (30.0, 30.0 * n, 70.0, 30.0 * n + 20.0) for n, name in enumerate(("T12", *LEVELS, "S1"))}
NOWHERE = (200.0, 10.0, 240.0, 30.0)


class Made:
    """Tables of some films, each given by what is drawn and what is found on it."""

    def __init__(self) -> None:
        self.films: list[dict[str, Any]] = []
        self.drawn: list[dict[str, Any]] = []
        self.helpers: list[dict[str, Any]] = []
        self.candidates: list[dict[str, Any]] = []
        self.found: list[dict[str, Any]] = []

    def add(
        self,
        film_id: str,
        named: dict[str, tuple[float, ...]],
        *,
        drawn: tuple[str, ...] = LEVELS,
        unnamed: tuple[str, ...] = (),
        others: tuple[tuple[float, ...], ...] = (),
        state: str = "resolved",
        margin: float | None = 3.0,
        view: str = "neutral",
        weights: str = "w",
    ) -> "Made":
        """Add a film of hospital `city`; `others` are candidates that no level was given to."""
        own = {"institution": "city", "film_id": film_id}
        self.films.append(own | {"width_px": 300, "height_px": 250, "view": view})
        self.drawn += [own | {"level": level} | dict(zip(BOX_PX, SPINE[level], strict=True)) for level in drawn]
        bodies = [{"vertebra": "unnamed"} | dict(zip(BOX_PX, SPINE[name], strict=True)) for name in unnamed]
        self.helpers.append(own | {"n_boxes": len(drawn), "helper_boxes": bodies})
        boxes = [*named.values(), *others]
        self.candidates += [
            own
            | {"protocol": "patient", "candidate": n, "detector_sha256": weights}
            | dict(zip(BOX_PX, box, strict=True))
            for n, box in enumerate(boxes)
        ]
        labelling = [{"candidate": n, "level": level} for n, level in enumerate(named)]
        self.found.append(
            own | {"protocol": "patient", "state": state, "margin": margin, "labelling": labelling,
                   "n_candidates": len(boxes), "detector_sha256": "w"}
        )  # fmt: skip
        return self

    def tables(self) -> Tables:
        return Tables(
            pl.DataFrame(self.films),
            pl.DataFrame(self.drawn, schema=READER_BOXES),
            pl.DataFrame(self.helpers, schema=DRAWN_FILMS),
            pl.DataFrame(self.candidates, schema=DETECTION_CANDIDATES),
            pl.DataFrame(self.found, schema=DETECTED_FILMS),
        )


RIGHT = {level: SPINE[level] for level in LEVELS}
# Each body called as the one below it, so that T12 is L1.
SLID = dict(zip(LEVELS, [SPINE[name] for name in ("T12", *LEVELS[:4])], strict=True))
FOUR_RIGHT = {level: SPINE[level] for level in LEVELS[:4]} | {"L5": SPINE["S1"]}


def verdict(**of: Any) -> dict[str, Any]:
    (row,) = film_verdicts(Made().add("F1", **of).tables()).rows(named=True)
    return row


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ({"named": RIGHT}, ("right", 5, 0, 0, 5)),
        ({"named": RIGHT, "others": (NOWHERE, SPINE["T12"])}, ("right", 5, 0, 0, 5)),
        ({"named": SLID}, ("wrong", 0, 5, 0, 4)),
        ({"named": FOUR_RIGHT}, ("wrong", 4, 1, 0, 4)),
        ({"named": {level: SPINE[level] for level in LEVELS[:4]}}, ("incomplete", 4, 0, 1, 4)),
        ({"named": RIGHT, "state": "ambiguous"}, ("ambiguous", 5, 0, 0, 5)),
        ({"named": {}, "state": "nothing_found", "margin": None}, ("nothing_found", 0, 0, 5, 0)),
        ({"named": RIGHT, "drawn": LEVELS[:4]}, ("right", 4, 0, 0, 4)),  # L5 is there and nobody drew it
        ({"named": RIGHT, "drawn": LEVELS[:3]}, ("not_judged", 3, 0, 0, 3)),
        ({"named": RIGHT, "drawn": ()}, ("not_judged", 0, 0, 0, 0)),
        ({"named": RIGHT, "drawn": (), "unnamed": ("T12", "L1", "L2")}, ("not_judged", 0, 0, 0, 2)),
    ],
)
def test_a_film_has_its_verdict(of: dict[str, Any], said: tuple[Any, ...]) -> None:
    row = verdict(**of)
    assert tuple(row[name] for name in ("verdict", "n_right", "n_wrong", "n_missing", "n_found_iou50")) == said


def test_a_name_on_another_body_has_slid_and_one_on_none_is_astray() -> None:
    row = verdict(named=SLID)
    assert [each["verdict"] for each in row["named"]] == ["astray", "slid", "slid", "slid", "slid"]
    assert row["n_slid"] == 4
    named = {"L1": SPINE["L1"], "L2": NOWHERE}
    assert [each["verdict"] for each in verdict(named=named, drawn=("L1",))["named"]] == ["right", "unknown"]


def test_a_body_is_found_once_and_by_one_box_whatever_it_is_called() -> None:
    x0, y0, x1, y1 = SPINE["L1"]
    twice = ((x0 + 2, y0, x1 + 2, y1), (x0 - 2, y0, x1 - 2, y1))
    assert verdict(named={}, others=twice)["n_found_iou50"] == 1
    loose = (x0, y0, x0 + (x1 - x0) * 2.5, y1)  # IoU 0.4
    row = verdict(named={}, others=(loose,))
    assert (row["n_found_iou30"], row["n_found_iou50"]) == (1, 0)


def test_tables_of_two_detectors_are_refused() -> None:
    with pytest.raises(StaleTransferError, match="not of one detector"):
        verdict(named=RIGHT, weights="other")
    tables = Made().add("F1", RIGHT).tables()
    with pytest.raises(StaleTransferError):
        film_verdicts(tables._replace(detection_candidates=tables.detection_candidates.clear()))
    with pytest.raises(StaleTransferError):
        film_verdicts(tables._replace(detection_candidates=tables.detection_candidates.filter(candidate=0)))


def measured(made: Made, answers: pl.DataFrame | None = None, by: str = "institution") -> pl.DataFrame:
    none = pl.DataFrame(schema=DETECTOR_ANSWERS)
    return transfer_measures(film_verdicts(made.tables(), by), none if answers is None else answers, SETTINGS, 1)


def values(measures: pl.DataFrame, collection: str = "city") -> dict[str, float]:
    return dict(measures.filter(collection=collection).select("measure", "value").iter_rows())


def test_shares_are_counted_by_hand() -> None:
    made = Made().add("F1", RIGHT).add("F2", SLID, margin=0.0).add("F3", RIGHT, state="ambiguous")
    made.add("F4", FOUR_RIGHT, margin=None).add("F5", {}, state="nothing_found", margin=None)
    made.add("F6", {}, drawn=(), unnamed=("L1", "L2"), others=(SPINE["L2"],), state="ambiguous")
    found = values(measured(made))
    assert found["bodies_found_iou50"] == pytest.approx((5 + 4 + 5 + 4 + 0 + 1) / 27)
    assert found["films_four_found"] == pytest.approx(4 / 5)  # two bodies of F6 cannot be four
    assert found["films_resolved"] == pytest.approx(3 / 6)
    assert found["films_ambiguous"] == pytest.approx(2 / 6)
    assert found["films_nothing_found"] == pytest.approx(1 / 6)
    assert found["films_all_right"] == pytest.approx(1 / 5)
    assert found["films_four_right"] == pytest.approx(2 / 5)
    assert found["films_wrong"] == pytest.approx(2 / 5)
    assert found["films_slid"] == pytest.approx(1 / 5)
    assert found["given_up_though_right"] == pytest.approx(1 / 5)
    assert found["wrong_of_resolved"] == pytest.approx(2 / 3)
    assert found["wrong_as_margins_say"] == pytest.approx((1 / (1 + np.exp(3.0)) + 0.5 + 0.0) / 3)


def test_intervals_hold_the_value_and_one_film_has_none() -> None:
    made = Made()
    for number in range(30):
        made.add(f"F{number:02d}", RIGHT if number % 3 else SLID)
    row = measured(made).filter(measure="films_all_right").row(0, named=True)
    assert row["value"] == pytest.approx(2 / 3)
    spread = np.sqrt(2 / 9 / 30)
    assert row["ci_low"] == pytest.approx(2 / 3 - 1.96 * spread, abs=0.05)
    assert row["ci_high"] == pytest.approx(2 / 3 + 1.96 * spread, abs=0.05)
    alone = measured(Made().add("F1", RIGHT)).filter(measure="films_all_right").row(0, named=True)
    assert (alone["value"], alone["ci_low"], alone["ci_high"], alone["n_films"]) == (1.0, pytest.approx(0.025), 1.0, 1)


def test_a_share_that_no_resample_changes_has_the_exact_interval_and_bodies_of_one_film_have_none() -> None:
    made = Made()
    for number in range(40):
        made.add(f"F{number:02d}", RIGHT)
    rows = {row["measure"]: row for row in measured(made).iter_rows(named=True)}
    wrong, right = rows["films_wrong"], rows["films_all_right"]
    assert (wrong["value"], wrong["ci_low"], wrong["ci_method"]) == (0.0, 0.0, "exact")
    assert wrong["ci_high"] == pytest.approx(1 - 0.025 ** (1 / 40))
    assert (right["ci_low"], right["ci_high"]) == (pytest.approx(0.025 ** (1 / 40)), 1.0)
    assert rows["bodies_found_iou50"]["ci_method"] == "film_bootstrap"
    alone = measured(Made().add("F1", RIGHT)).filter(measure="bodies_found_iou50").row(0, named=True)
    assert (alone["value"], np.isnan(alone["ci_low"]), alone["ci_method"]) == (1.0, True, None)


def test_collections_are_told_apart_by_a_column_and_taken_together() -> None:
    made = Made().add("F1", RIGHT).add("F2", SLID, view="flexion").add("F3", RIGHT, view="flexion")
    found = measured(made, by="view")
    assert {name: values(found, name)["films_all_right"] for name in ("neutral", "flexion")} == {
        "neutral": 1,
        "flexion": 0.5,
    }
    assert values(found, "all")["films_all_right"] == pytest.approx(2 / 3)


def test_nothing_drawn_gives_states_and_no_accuracy() -> None:
    row = measured(Made().add("F1", RIGHT, drawn=()).add("F2", {}, drawn=(), state="ambiguous"))
    found = values(row)
    assert found["films_resolved"] == 0.5
    assert np.isnan(found["bodies_found_iou50"])
    assert np.isnan(found["films_wrong"])
    assert "map50_all" not in found


def answers(seed: int, n_films: int, digits: int = 12) -> pl.DataFrame:
    """Return answers of a detector that errs, misses and doubles; few digits of its confidence make ties."""
    rng = np.random.default_rng(seed)
    rows = []
    for film in range(n_films):
        for level in LEVELS:
            box = np.array(SPINE[level])
            about = ("patient", "external", "city", f"F{film:02d}", 0)
            if rng.random() < 0.9:
                rows.append((*about, "drawn", level, *box, 1.0, "w"))
            for _ in range(rng.integers(0, 5)):
                moved = box + np.repeat(rng.normal(0, 7), 4) + rng.normal(0, 2, 4)
                rows.append((*about, "detected", level, *moved, round(rng.random(), digits), "w"))
    return pl.DataFrame(rows, schema=DETECTOR_ANSWERS, orient="row")


@pytest.mark.parametrize(("seed", "digits", "draws"), [(0, 12, 3), (1, 12, 3), (2, 12, 3), (3, 1, 0), (4, 1, 0)])
def test_average_precision_is_cocos_also_when_films_count_several_times(seed: int, digits: int, draws: int) -> None:
    found = answers(seed, 12, digits)
    films = {f"F{number:02d}": number for number in range(12)}
    numbered = found.with_columns(film=pl.col("film_id").replace_strict(films, return_dtype=pl.Int64))
    weights = np.vstack([np.ones(12), patient_weights(12, draws, seed)])
    for row in weights:
        copies = pl.concat(
            [found.filter(film_id=name).with_columns(copy=pl.lit(n, pl.Int64)) for name, at in films.items()
             for n in range(int(row[at]))]
        )  # fmt: skip
        reference = coco_precision(copies)
        for level in LEVELS:
            own = numbered.filter(level=level)
            got = average_precision(own.filter(source="detected"), own.filter(source="drawn"), row[None])
            assert got[0] == pytest.approx(reference[level][0], abs=1e-9)


def test_map_is_measured_on_the_films_at_hand() -> None:
    made = Made()
    for number in range(6):
        made.add(f"F{number:02d}", RIGHT)
    found = answers(0, 12)
    rows = measured(made, found)
    reference = coco_precision(found.filter(pl.col("film_id") < "F06"))
    assert values(rows)["map50_L3"] == pytest.approx(reference["L3"][0], abs=1e-9)
    assert values(rows)["map50_all"] == pytest.approx(reference["all"][0], abs=1e-9)
    assert rows.filter(measure="map50_all")["n_films"].to_list() == [6]


def test_overlaps_of_boxes() -> None:
    one = np.array([[0, 0, 2, 2], [5, 5, 5, 9]], float)
    assert overlaps(one, np.array([[1, 0, 3, 2], [9, 9, 10, 10]], float)).tolist() == [
        [pytest.approx(1 / 3), 0],
        [0, 0],
    ]
