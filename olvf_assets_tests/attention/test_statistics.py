from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
import scikit_posthocs
from scipy.stats import kruskal

from olvf_assets.attention.picture import attention_picture
from olvf_assets.attention.statistics import (
    gradcam_statistics,
    highest_columns,
    highest_rows,
    kruskal_wallis,
    mean_grid,
    section_means_by_class,
    steel_dwass,
)
from olvf_assets.attention.tables import GRADCAM_EXAMPLES, GRADCAM_GRIDS, GRADCAM_SECTION_MEANS, GRADCAM_STATISTICS
from olvf_assets.foundation.artifacts import ArtifactStore
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets_tests.attention.table_7 import TABLE_7

COMPARISONS = ["kruskal_wallis", "normal_old", "normal_fresh", "old_fresh"]


def grids(values: dict[str, np.ndarray]) -> pl.DataFrame:
    """Return `gradcam_grids` with the same values (images, 48) as red and as raw map."""
    rows = [
        {
            "protocol": "patient",
            "architecture": "densenet161",
            "fold": 5,
            "sample_id": f"{predicted}{image:03d}",
            "crop_id": f"{predicted}{image:03d}",
            "label": predicted,
            "predicted": predicted,
            "section": section + 1,
            "source": source,
            "value": float(value),
        }
        for predicted, images in values.items()
        for image, sections in enumerate(images)
        for section, value in enumerate(sections)
        for source in ("red", "cam")
    ]
    return pl.DataFrame(rows, schema=GRADCAM_GRIDS)


def around_table_7(images: int, spread: float) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(8)
    return {name: rng.normal(means, spread, (images, 48)) for name, means in TABLE_7.items()}


def test_kruskal_wallis_gives_the_textbook_value() -> None:
    statistic, p_value = kruskal_wallis([np.array([1.0, 3, 5, 7, 9]), np.array([2.0, 4, 6, 8, 10])])
    assert statistic == pytest.approx(0.2727, abs=5e-5)
    assert p_value == pytest.approx(0.6015, abs=5e-5)


@pytest.mark.parametrize("decimals", [6, 0])  # with 0 there are many ties
def test_steel_dwass_gives_the_p_values_of_scikit_posthocs(decimals: int) -> None:
    rng = np.random.default_rng(4)
    groups = {
        name: rng.normal(shift, 3, size).round(decimals)
        for name, shift, size in (("normal", 0, 23), ("old", 2, 11), ("fresh", 3, 17))
    }
    theirs = scikit_posthocs.posthoc_dscf(list(groups.values()))
    results = steel_dwass(groups, 0.05)
    for (first, second), pair in (((1, 2), "normal_old"), ((1, 3), "normal_fresh"), ((2, 3), "old_fresh")):
        assert results[pair][1] == pytest.approx(theirs.loc[first, second], abs=1e-9)


def test_the_statistic_of_a_pair_is_signed_and_names_the_higher_class() -> None:
    low, high = np.arange(10.0), np.arange(10.0) + 100
    results = steel_dwass({"normal": high, "old": low, "fresh": low + 0.5}, 0.05)
    # all of one group above all of the other: sqrt(2) (155 - 105) / sqrt(10 x 10 x 21 / 12)
    assert results["normal_old"][0] == pytest.approx(np.sqrt(2) * 50 / np.sqrt(175))
    assert results["normal_old"][2] == "normal"
    assert results["old_fresh"] == (results["old_fresh"][0], results["old_fresh"][1], None)
    assert results["old_fresh"][0] < 0
    turned = steel_dwass({"normal": low, "old": high, "fresh": low}, 0.05)
    assert turned["normal_old"][0] == pytest.approx(-results["normal_old"][0])
    assert turned["normal_old"][2] == "old"


def test_every_section_has_four_comparisons_as_scipy_and_scikit_posthocs_give_them() -> None:
    values = around_table_7(12, 15)
    table = gradcam_statistics(grids(values))
    assert table.schema == GRADCAM_STATISTICS
    assert len(table) == 48 * 2 * 4
    assert table["comparison"].to_list()[:4] == COMPARISONS
    for section in (1, 20, 48):
        columns = [values[name][:, section - 1] for name in CLASSES]
        part = table.filter((pl.col("section") == section) & (pl.col("source") == "cam"))
        p_values = dict(part.select("comparison", "p_value").iter_rows())
        assert p_values["kruskal_wallis"] == pytest.approx(kruskal(*columns).pvalue)
        pairs = scikit_posthocs.posthoc_dscf(columns)
        assert p_values["normal_old"] == pytest.approx(pairs.loc[1, 2], abs=1e-9)
        assert p_values["old_fresh"] == pytest.approx(pairs.loc[2, 3], abs=1e-9)
    undecided = table.filter((pl.col("p_value") >= 0.05) | (pl.col("comparison") == "kruskal_wallis"))
    assert undecided["higher_class"].null_count() == len(undecided)
    lower_middle = table.filter((pl.col("section") == 43) & (pl.col("source") == "red"))  # row 6, column 3
    assert dict(lower_middle.select("comparison", "higher_class").iter_rows())["normal_old"] == "normal"


@pytest.mark.parametrize("images", [0, 1])
def test_a_class_of_fewer_than_two_images_is_not_tested_and_the_others_are(images: int) -> None:
    values = around_table_7(9, 15)
    values["fresh"] = values["fresh"][:images]
    table = gradcam_statistics(grids(values)).filter((pl.col("section") == 43) & (pl.col("source") == "red"))
    p_values = dict(table.select("comparison", "p_value").iter_rows())
    assert np.isnan([p_values["normal_fresh"], p_values["old_fresh"]]).all()
    two = [values["normal"][:, 42], values["old"][:, 42]]
    assert p_values["kruskal_wallis"] == pytest.approx(kruskal(*two).pvalue)
    assert p_values["normal_old"] == pytest.approx(scikit_posthocs.posthoc_dscf(two).loc[1, 2], abs=1e-9)
    assert table.filter(pl.col("comparison").str.ends_with("fresh"))["higher_class"].null_count() == 2


def test_one_class_alone_or_equal_values_are_not_tested() -> None:
    alone = gradcam_statistics(grids({"normal": around_table_7(5, 15)["normal"]}))
    equal = gradcam_statistics(grids({name: np.ones((4, 48)) for name in CLASSES}))
    assert alone["p_value"].is_nan().all()
    assert equal["p_value"].is_nan().all()
    assert gradcam_statistics(grids({})).schema == GRADCAM_STATISTICS


def test_section_means_of_table_7_give_the_rows_and_columns_that_the_thesis_reports() -> None:
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


def test_the_picture_shows_a_class_that_was_never_predicted_as_empty(tmp_path: Path) -> None:
    values = around_table_7(6, 10)
    del values["fresh"]
    table, store = grids(values), ArtifactStore(tmp_path)
    crop = store.save_image(np.full((140, 166), 90, np.uint8))[0]
    example = dict.fromkeys(GRADCAM_EXAMPLES, "F1-L1") | {
        "predicted": "old",
        "label": "fresh",
        "protocol": "patient",
    }
    examples = pl.DataFrame([{**example, "image_path": crop, "map_path": crop}], schema=GRADCAM_EXAMPLES)
    written = tmp_path / "reports" / "attention.png"
    attention_picture(section_means_by_class(table), gradcam_statistics(table), examples, store, written)
    picture = cv2.imread(str(written))
    assert picture.shape[0] > 1000
    height = picture.shape[0]
    means = picture[: height // 4].reshape(-1, 3)
    assert len(np.unique(means, axis=0)) > 50  # two heat maps were drawn
