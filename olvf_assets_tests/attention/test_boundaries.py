import numpy as np
import polars as pl
import pytest

from olvf_assets.attention.boundaries import boundary, gradcam_boundaries
from olvf_assets.attention.statistics import gradcam_statistics
from olvf_assets.attention.tables import GRADCAM_BOUNDARIES, GRADCAM_STATISTICS
from olvf_assets_tests.attention.made_up_grids import around_table_7, grids


def area(*places: tuple[int, int]) -> np.ndarray:
    return np.array(places, np.float64).reshape(-1, 2)


def test_the_line_runs_midway_between_two_areas_that_can_be_told_apart() -> None:
    above = area(*[(column, row) for column in range(1, 9) for row in (1, 2)])
    below = area(*[(column, 5) for column in range(1, 9)])
    found = boundary(above, below)
    assert found["balanced_accuracy"] == 1
    assert found["margin_sections"] == pytest.approx(3, abs=0.01)
    assert found["angle_deg"] == pytest.approx(0, abs=0.1)
    ends = [found[name] for name in ("column_0", "row_0", "column_1", "row_1")]
    assert ends == pytest.approx([0.5, 3.5, 8.5, 3.5], abs=0.01)
    assert found["weight_row"] < 0  # the first class's side, above, is positive
    assert (found["n_sections_first"], found["n_sections_second"]) == (16, 8)


def test_a_boundary_that_rises_to_the_right_has_a_positive_angle() -> None:
    left_above, right_below = area((3, 2), (4, 1)), area((4, 3), (5, 2))
    rising = boundary(left_above, right_below)
    assert rising["angle_deg"] == pytest.approx(45, abs=0.1)
    assert boundary(right_below, left_above)["angle_deg"] == pytest.approx(45, abs=0.1)
    upright = boundary(area((2, 1), (2, 6)), area((4, 1), (4, 6)))
    assert abs(upright["angle_deg"]) == pytest.approx(90, abs=0.1)
    assert [upright["column_0"], upright["column_1"]] == pytest.approx([3, 3], abs=0.01)


def test_a_small_area_weighs_as_much_as_a_large_one() -> None:
    large = area(*[(column, row) for column in range(1, 9) for row in (1, 2, 3)])
    small = area((3, 4), (4, 4), (5, 4), (6, 4), (4, 3))  # one of five lies inside the large area
    found = boundary(large, small)
    assert found["balanced_accuracy"] == pytest.approx((1 + 4 / 5) / 2)
    assert [found["row_0"], found["row_1"]] == pytest.approx([3.5, 3.5], abs=0.01)


def test_one_area_alone_or_areas_around_each_other_have_no_line_but_a_reason() -> None:
    nowhere = boundary(area(), area((1, 1), (2, 1)), ("normal", "old"))
    assert nowhere["reason"] == "no section in which normal is higher"
    crossed = boundary(area((1, 1), (3, 3)), area((1, 3), (3, 1)))
    middle = {(column, row) for column in (4, 5) for row in (3, 4)}
    ring = {(column, row) for column in range(1, 9) for row in range(1, 7)} - middle
    around = boundary(area(*middle), area(*ring))
    assert crossed["reason"] == around["reason"] == "no straight line across the picture parts the two areas"
    assert np.isnan([each["angle_deg"] for each in (nowhere, crossed, around)]).all()
    assert (nowhere["n_sections_first"], nowhere["n_sections_second"]) == (0, 2)


def test_table_7_puts_normal_below_and_in_front_and_old_above() -> None:
    table = gradcam_boundaries(gradcam_statistics(grids(around_table_7(60, 20))))
    assert table.schema == GRADCAM_BOUNDARIES
    assert len(table) == 2 * 2 * 3
    row = table.filter(unit="image", source="red", comparison="normal_old").row(0, named=True)
    assert row["balanced_accuracy"] > 0.85

    def side(column: float, line: float) -> float:
        return row["weight_column"] * column + row["weight_row"] * line + row["offset"]

    assert side(3, 6) > 0  # 160 against 101 in Table 7: the normal side
    assert side(7, 1) < 0  # 74 against 106: the old side
    for end in ("0", "1"):
        assert side(row[f"column_{end}"], row[f"row_{end}"]) == pytest.approx(0, abs=1e-9)


def test_a_class_never_predicted_leaves_its_boundaries_empty_with_a_reason() -> None:
    values = around_table_7(20, 10)
    del values["fresh"]
    table = gradcam_boundaries(gradcam_statistics(grids(values)))
    with_fresh = table.filter(pl.col("comparison").str.contains("fresh"))
    assert with_fresh["angle_deg"].is_nan().all()
    assert with_fresh["reason"].null_count() == 0
    assert table.filter(comparison="normal_old")["reason"].null_count() == 4
    assert gradcam_boundaries(pl.DataFrame(schema=GRADCAM_STATISTICS)).schema == GRADCAM_BOUNDARIES
