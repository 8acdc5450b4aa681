"""Localisation and size errors of boxes whose answer can be worked out by hand."""

import polars as pl
import pytest

from olvf_assets.detection.errors import box_errors, detector_errors
from olvf_assets.detection.metrics import RECALLS, pr_curves
from olvf_assets.detection.tables import DETECTOR_ERRORS, DETECTOR_PR_CURVES
from olvf_assets_tests.detection.test_metrics import answers, box

FILMS = pl.DataFrame({"institution": "institution_2", "film_id": ["a", "b"], "pixel_mm": [0.15, None]})
ANSWERS = answers({}, {"a": [(0, box(0))], "b": [(0, box(0))]})
CORNERS = ["x0_px", "y0_px", "x1_px", "y1_px"]


def boxes(*rows: tuple[str, str, float, float, float, float]) -> pl.DataFrame:
    schema = ["film_id", "level", *CORNERS]
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(institution=pl.lit("institution_2"))


DRAWN = boxes(("a", "L1", 0, 0, 100, 80), ("a", "L2", 0, 100, 100, 180), ("a", "L3", 0, 200, 100, 280),
              ("b", "L1", 0, 0, 100, 80))  # fmt: skip
FOUND = boxes(("a", "L1", 10, 0, 120, 80), ("a", "L2", 0, 170, 100, 250), ("b", "L1", 0, 0, 100, 80)).with_columns(
    protocol=pl.lit("patient"), confidence=0.9
)


def test_each_drawn_vertebra_is_held_against_the_box_of_its_level() -> None:
    errors = box_errors(FOUND, FILMS, DRAWN, ANSWERS)
    assert errors.select("film_id", "level").rows() == [("a", "L1"), ("a", "L2"), ("a", "L3"), ("b", "L1")]
    shifted = errors.row(0, named=True)
    assert shifted["iou"] == pytest.approx(90 * 80 / (100 * 80 + 110 * 80 - 90 * 80))
    assert shifted["centre_mm"] == pytest.approx(15 * 0.15)
    assert shifted["width_error_mm"] == pytest.approx(10 * 0.15)
    assert shifted["height_error_mm"] == 0
    assert errors["iou"].to_list()[2] is None  # L3 was not found
    assert errors.row(3, named=True)["iou"] == 1
    assert errors.row(3, named=True)["centre_mm"] is None  # nobody knows that film's pixel size


def test_the_summary_counts_what_was_missed_and_what_is_another_vertebra() -> None:
    table = detector_errors(box_errors(FOUND, FILMS, DRAWN, ANSWERS))
    assert table.schema == DETECTOR_ERRORS
    whole = table.filter(level="all")
    assert whole.select("metric", "n_measured", "n_drawn", "n_missed", "n_elsewhere").rows() == [
        ("iou", 3, 4, 1, 1),
        ("centre_mm", 1, 4, 1, 1),
        ("width_error_mm", 1, 4, 1, 1),
        ("height_error_mm", 1, 4, 1, 1),
    ]
    first = table.filter(level="L1", metric="iou").row(0, named=True)
    assert first["mean"] == pytest.approx((0.75 + 1) / 2)
    assert first["median"] == pytest.approx(0.875)
    assert table.filter(level="L5")["mean"].null_count() == 4


def test_the_precision_curve_is_coco_s_with_the_confidence_that_reaches_each_recall() -> None:
    """Precision 1 up to recall 0.5 (confidence 0.9), then 2/3 (confidence 0.7)."""
    truth = {"a": [(2, box(0))], "b": [(2, box(0))]}
    table = pr_curves(answers({"a": [(box(0), 2, 0.9), (box(50), 2, 0.8)], "b": [(box(0), 2, 0.7)]}, truth))
    assert table.schema == DETECTOR_PR_CURVES
    assert table["recall"].to_list() == pytest.approx(RECALLS)
    assert table["precision"].to_list() == pytest.approx([1.0] * 51 + [2 / 3] * 50)
    assert table["confidence"].to_list() == pytest.approx([0.9] * 51 + [0.7] * 50)
    missed = pr_curves(answers({}, truth))
    assert missed["precision"].to_list() == [0.0] * 101
    assert missed["confidence"].null_count() == 101
