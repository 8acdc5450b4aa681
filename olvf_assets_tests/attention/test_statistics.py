import numpy as np
import polars as pl
import pytest
import scikit_posthocs
from scipy.stats import kruskal, mannwhitneyu
from statsmodels.stats.multitest import multipletests

from olvf_assets.attention.section_means import highest_columns, highest_rows, mean_grid, section_means_by_class
from olvf_assets.attention.statistics import compare, gradcam_statistics, kruskal_wallis
from olvf_assets.attention.tables import COMPARISONS, GRADCAM_SECTION_MEANS, GRADCAM_STATISTICS, PAIRS
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets_tests.attention.made_up_grids import around_table_7, grids
from olvf_assets_tests.attention.table_7 import TABLE_7


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float64)[:, None]


def test_kruskal_wallis_gives_the_textbook_value() -> None:
    statistic, p_value, effect = kruskal_wallis([column(1, 3, 5, 7, 9), column(2, 4, 6, 8, 10)])
    assert statistic[0] == pytest.approx(0.2727, abs=5e-5)
    assert p_value[0] == pytest.approx(0.6015, abs=5e-5)
    assert effect[0] == pytest.approx(0.2727 / 9, abs=5e-5)


def test_epsilon_squared_is_1_if_the_classes_explain_every_rank() -> None:
    _, _, effect = kruskal_wallis([column(1, 1, 1), column(2, 2), column(3, 3, 3, 3)])
    assert effect[0] == pytest.approx(1)


@pytest.mark.parametrize("decimals", [6, 0])  # with 0 there are many ties
def test_all_sections_have_the_p_values_that_scipy_and_scikit_posthocs_give_for_each(decimals: int) -> None:
    rng = np.random.default_rng(4)
    shifts = np.linspace(-3, 3, 48)
    groups = {
        name: rng.normal(factor * shifts, 3, (size, 48)).round(decimals)
        for name, factor, size in (("normal", 0, 23), ("old", 1, 11), ("fresh", 2, 17))
    }
    found = compare(groups, 0.05)
    for section in range(48):
        columns = [groups[name][:, section] for name in CLASSES]
        theirs = scikit_posthocs.posthoc_dscf(columns)
        assert found["kruskal_wallis"]["p_value"][section] == pytest.approx(kruskal(*columns).pvalue, abs=1e-12)
        for first, second in ((1, 2), (1, 3), (2, 3)):
            pair = found[f"{CLASSES[first - 1]}_{CLASSES[second - 1]}"]
            assert pair["p_value"][section] == pytest.approx(theirs.loc[first, second], abs=1e-12)
            u = mannwhitneyu(columns[first - 1], columns[second - 1]).statistic
            share = u / (len(columns[first - 1]) * len(columns[second - 1]))
            assert pair["effect_size"][section] == pytest.approx(2 * share - 1)


def test_the_statistic_of_a_pair_is_signed_and_names_the_higher_class() -> None:
    low, high = np.arange(10.0)[:, None], np.arange(10.0)[:, None] + 100
    found = compare({"normal": high, "old": low, "fresh": low + 0.5}, 0.05)
    # all of one group above all of the other: sqrt(2) (155 - 105) / sqrt(10 x 10 x 21 / 12)
    assert found["normal_old"]["statistic"] == pytest.approx(np.sqrt(2) * 50 / np.sqrt(175))
    assert found["normal_old"]["effect_size"] == pytest.approx(1)
    assert found["normal_old"]["higher_class"] == ["normal"]
    assert found["old_fresh"]["statistic"] < 0
    assert found["old_fresh"]["higher_class"] == [None]
    turned = compare({"normal": low, "old": high, "fresh": low}, 0.05)
    assert turned["normal_old"]["statistic"] == pytest.approx(-found["normal_old"]["statistic"])
    assert turned["normal_old"]["effect_size"] == pytest.approx(-1)
    assert turned["normal_old"]["higher_class"] == ["old"]


def test_the_table_has_every_section_source_unit_and_comparison_once() -> None:
    table = gradcam_statistics(grids(around_table_7(12, 15)))
    assert table.schema == GRADCAM_STATISTICS
    assert len(table) == 48 * 2 * 2 * 4
    assert table.select("section", "source", "unit", "comparison").is_unique().all()
    assert table["comparison"].to_list()[:4] == list(COMPARISONS)
    assert table["reason"].null_count() == len(table)
    undecided = table.filter((pl.col("p_value") >= 0.05) | (pl.col("comparison") == "kruskal_wallis"))
    assert undecided["higher_class"].null_count() == len(undecided)
    lower_middle = table.filter(section=43, source="red", unit="image")  # row 6, column 3
    assert dict(lower_middle.select("comparison", "higher_class").iter_rows())["normal_old"] == "normal"


def test_p_values_are_adjusted_over_the_sections_of_one_comparison() -> None:
    values = around_table_7(25, 30)
    values["fresh"][:, 0] = values["normal"][:, 0] = values["old"][:, 0] = 0  # one section that is not tested
    table = gradcam_statistics(grids(values))
    for comparison in COMPARISONS:
        part = table.filter(source="cam", unit="image", comparison=comparison)
        assert part["reason"].null_count() == 47
        tested = part.filter(pl.col("reason").is_null())
        p_values = tested["p_value"].to_numpy()
        for name, method in (("p_holm", "holm"), ("p_benjamini_hochberg", "fdr_bh")):
            np.testing.assert_allclose(tested[name].to_numpy(), multipletests(p_values, method=method)[1], rtol=1e-12)
            assert part.filter(pl.col("reason").is_not_null())[name].is_nan().all()
    assert 0 < (tested["p_holm"] < 0.05).sum() < (p_values < 0.05).sum()


def test_unit_patient_counts_each_patient_once_per_predicted_class_with_its_mean() -> None:
    values = around_table_7(12, 15)
    table = gradcam_statistics(grids(values, images_per_patient=3))
    counted = table.filter(comparison="kruskal_wallis").group_by("unit").agg(pl.col("n_units").unique())
    assert dict(counted.rows()) == {"image": [36], "patient": [12]}
    means = [values[name][:, 20].reshape(4, 3).mean(axis=1) for name in CLASSES]
    row = table.filter(unit="patient", source="red", section=21)
    found = dict(row.select("comparison", "p_value").iter_rows())
    assert found["kruskal_wallis"] == pytest.approx(kruskal(*means).pvalue)
    assert found["old_fresh"] == pytest.approx(scikit_posthocs.posthoc_dscf(means).loc[2, 3])


def test_a_verdict_flips_where_red_and_raw_map_say_different_things() -> None:
    base, shift = np.arange(12.0)[:, None] * np.ones(48), np.zeros(48)
    shift[:3] = 100
    red = {"normal": base, "old": base + shift, "fresh": base + 0.5}
    cam = {"normal": base, "old": base + shift * np.r_[1, -1, 0, np.zeros(45)], "fresh": base + 0.5}
    table = gradcam_statistics(grids(red, cam=cam)).filter(unit="image", source="red")
    flips = {
        name: set(table.filter(pl.col("verdict_flips"), pl.col("comparison") == name)["section"])
        for name in COMPARISONS
    }
    # section 1: old higher in both; section 2: old higher in red, normal in the map; section 3: only in red
    assert flips == {"kruskal_wallis": {3}, "normal_old": {2, 3}, "normal_fresh": set(), "old_fresh": {2, 3}}


@pytest.mark.parametrize("images", [0, 1])
def test_a_class_of_fewer_than_two_images_is_not_tested_and_the_others_are(images: int) -> None:
    values = around_table_7(9, 15)
    values["fresh"] = values["fresh"][:images]
    table = gradcam_statistics(grids(values)).filter(section=43, source="red", unit="image")
    p_values = dict(table.select("comparison", "p_value").iter_rows())
    assert np.isnan([p_values["normal_fresh"], p_values["old_fresh"]]).all()
    two = [values["normal"][:, 42], values["old"][:, 42]]
    assert p_values["kruskal_wallis"] == pytest.approx(kruskal(*two).pvalue)
    assert p_values["normal_old"] == pytest.approx(scikit_posthocs.posthoc_dscf(two).loc[1, 2], abs=1e-12)
    untested = table.filter(pl.col("comparison").str.ends_with("fresh"))
    assert untested["higher_class"].null_count() == 2
    assert untested["verdict_flips"].null_count() == 2
    reasons = dict(table.select("comparison", "reason").iter_rows())
    assert reasons["old_fresh"] == reasons["kruskal_wallis"] == f"fewer than 2 values (fresh: {images})"
    assert reasons["normal_old"] is None


def test_one_class_alone_or_equal_values_are_not_tested_and_the_reason_is_given() -> None:
    alone = gradcam_statistics(grids({"normal": around_table_7(5, 15)["normal"]}))
    equal = gradcam_statistics(grids({name: np.ones((4, 48)) for name in CLASSES}))
    for table, reason in ((alone, "fewer than 2 values (old: 0, fresh: 0)"), (equal, "all values are equal")):
        for name in ("p_value", "statistic", "effect_size", "p_holm", "p_benjamini_hochberg"):
            assert table[name].is_nan().all()
        assert table["reason"].unique().to_list() == [reason]
        assert table["verdict_flips"].null_count() == len(table)
    assert gradcam_statistics(grids({})).schema == GRADCAM_STATISTICS


def test_table_7_gives_the_rows_and_columns_that_the_thesis_reports() -> None:
    means = section_means_by_class(grids({name: np.stack([row - 5, row + 5]) for name, row in TABLE_7.items()}))
    assert means.schema == GRADCAM_SECTION_MEANS
    found = {name: mean_grid(means, name, "red") for name in CLASSES}
    np.testing.assert_allclose(found["old"].ravel(), TABLE_7["old"])
    assert {name: highest_rows(grid) for name, grid in found.items()} == {
        "normal": [4, 5, 6],
        "old": [2, 3, 4],
        "fresh": [3, 4, 5],
    }
    assert {tuple(highest_columns(grid)) for grid in found.values()} == {(3, 4, 5, 6)}
    one = means.filter((pl.col("section") == 12) & (pl.col("predicted") == "fresh") & (pl.col("source") == "cam"))
    assert one.select("grid_row", "grid_column", "n_images").row(0) == (2, 4, 2)
    assert np.isnan(mean_grid(means.filter(pl.col("predicted") != "old"), "old", "red")).all()


def test_the_pairs_are_those_of_the_contract() -> None:
    assert PAIRS == (("normal", "old"), ("normal", "fresh"), ("old", "fresh"))
    assert COMPARISONS == ("kruskal_wallis", "normal_old", "normal_fresh", "old_fresh")
