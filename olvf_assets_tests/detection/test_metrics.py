"""Mean average precision on boxes whose answer can be worked out by hand."""

import polars as pl
import pytest

from olvf_assets.detection.metrics import coco_precision, ultralytics_precision
from olvf_assets.detection.tables import DETECTOR_ANSWERS
from olvf_assets.foundation.vocabulary import LEVELS

BOTH = pytest.mark.parametrize(("measured", "tolerance"), [(coco_precision, 1e-9), (ultralytics_precision, 0.0101)])
Box = tuple[float, float, float, float]


def box(x: float, y: float = 0.0, side: float = 10.0) -> Box:
    return x, y, x + side, y + side


def answers(found: dict[str, list[tuple[Box, int, float]]], truth: dict[str, list[tuple[int, Box]]]) -> pl.DataFrame:
    """Return `detector_answers`; levels are given by their index."""
    rows = [("drawn", film_id, level, drawn, 1.0) for film_id, boxes in truth.items() for level, drawn in boxes]
    rows += [("detected", film_id, level, b, p) for film_id, boxes in found.items() for b, level, p in boxes]
    table = [
        ("patient", "external", "institution_2", film_id, 0, source, LEVELS[level], *corners, confidence, "d0")
        for source, film_id, level, corners, confidence in rows
    ]
    return pl.DataFrame(table, schema=DETECTOR_ANSWERS, orient="row")


@BOTH
def test_exact_boxes_score_one(measured, tolerance) -> None:
    truth = {"a": [(0, box(0)), (1, box(0, 20))], "b": [(0, box(5))]}
    boxes = {"a": [(box(0), 0, 0.9), (box(0, 20), 1, 0.8)], "b": [(box(5), 0, 0.7)]}
    for name, values in measured(answers(boxes, truth)).items():
        assert name in ("L1", "L2", "all")
        assert values == pytest.approx((1.0, 1.0), abs=tolerance)


@BOTH
def test_a_shifted_box_counts_up_to_its_overlap(measured, tolerance) -> None:
    """Shifted by 2 of 10: IoU 8 / 12, which passes the thresholds 0.50, 0.55, 0.60 and 0.65 of ten."""
    result = measured(answers({"a": [(box(2), 3, 0.9)]}, {"a": [(3, box(0))]}))
    assert result["L4"] == pytest.approx((1.0, 0.4), abs=tolerance)
    assert set(result) == {"L4", "all"}


@BOTH
def test_a_false_box_between_two_right_ones_costs_a_sixth(measured, tolerance) -> None:
    """Precision 1 up to recall 0.5, then 2/3: 51 of the 101 recall points at 1 and 50 at 2/3."""
    truth = {"a": [(2, box(0))], "b": [(2, box(0))]}
    boxes = {"a": [(box(0), 2, 0.9), (box(50), 2, 0.8)], "b": [(box(0), 2, 0.7)]}
    expected = (51 + 50 * 2 / 3) / 101
    assert measured(answers(boxes, truth))["L3"] == pytest.approx((expected, expected), abs=tolerance)


@BOTH
def test_the_right_place_under_the_wrong_level_scores_nothing_and_levels_are_averaged(measured, tolerance) -> None:
    truth = {"a": [(0, box(0)), (1, box(0, 20))]}
    result = measured(answers({"a": [(box(0), 0, 0.9), (box(0, 20), 2, 0.8)]}, truth))
    assert result["L2"] == (0.0, 0.0)
    assert result["all"] == pytest.approx((0.5, 0.5), abs=tolerance)
    assert "L3" not in result  # a level that no film shows has no precision


@BOTH
def test_a_second_box_on_a_found_vertebra_is_false(measured, tolerance) -> None:
    truth = {"a": [(0, box(0))], "b": [(0, box(0))]}
    boxes = {"a": [(box(0), 0, 0.9), (box(0.1), 0, 0.8)], "b": [(box(0), 0, 0.7)]}
    expected = (51 + 50 * 2 / 3) / 101
    assert measured(answers(boxes, truth))["all"][0] == pytest.approx(expected, abs=tolerance)


@BOTH
def test_nothing_found_scores_zero(measured, tolerance) -> None:
    assert measured(answers({}, {"a": [(0, box(0))]}))["all"] == (0.0, 0.0)
