"""Which sections the network looks at differently, depending on what it says.

What lives here: Kruskal-Wallis over the three predicted classes and Steel-Dwass between pairs, per section; section and
row means. What does not: pictures (`picture.py`) and boundaries between areas.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import polars as pl

from olvf_assets.attention.grid import COLUMNS, ROWS, SECTIONS, grid_place
from olvf_assets.attention.tables import GRADCAM_SECTION_MEANS, GRADCAM_STATISTICS
from olvf_assets.foundation.vocabulary import CLASSES

PAIRS = tuple(combinations(CLASSES, 2))
FEWEST_IMAGES = 2
NOT_TESTED = (float("nan"), float("nan"))


def gradcam_statistics(grids: pl.DataFrame, significance: float = 0.05) -> pl.DataFrame:
    """Return table `gradcam_statistics`: per protocol, source and section one row per comparison.

    `higher_class` is the class of a pair whose values rank higher, null unless the pair's p is below `significance`; it
    is always null for Kruskal-Wallis, which says that the classes differ, not which one stands out.

    Args:
        grids: table `gradcam_grids`; images are grouped by predicted class, as in the thesis.
        significance: the level below which a difference counts.

    Returns:
        Statistics and p values are NaN where a class has fewer than two images (of three classes, Kruskal-Wallis and
        Steel-Dwass go on with the two that remain), and where all values are equal.
    """
    rows = []
    for (protocol, source, section), part in grids.group_by("protocol", "source", "section", maintain_order=True):
        groups: dict[str, np.ndarray] = {
            name: part.filter(pl.col("predicted") == name)["value"].to_numpy() for name in CLASSES
        }
        results = {
            "kruskal_wallis": (*kruskal_wallis(list(groups.values())), None),
            **steel_dwass(groups, significance),
        }
        rows += [(protocol, section, source, comparison, *result) for comparison, result in results.items()]
    table = pl.DataFrame(rows, schema=GRADCAM_STATISTICS, orient="row")
    return table.sort("protocol", "source", "section", pl.col("comparison").cast(pl.Enum(_comparisons())))


def kruskal_wallis(groups: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return (H, p) over the groups with at least two values; NaN if fewer than two such groups or all values equal."""
    from scipy.stats import kruskal

    large = [group for group in groups if len(group) >= FEWEST_IMAGES]
    if len(large) < 2 or np.ptp(np.concatenate(large)) == 0:
        return NOT_TESTED
    result = kruskal(*large)
    return float(result.statistic), float(result.pvalue)


def steel_dwass(groups: Mapping[str, np.ndarray], significance: float) -> dict[str, tuple[float, float, str | None]]:
    """Return, per pair "a_b" of classes in their order, (statistic, p, higher class or None).

    The statistic is the Dwass-Steel-Critchlow-Fligner one: square root of 2 times the standardised rank sum of the
    first class among the pair's values (ties corrected), positive where the first class ranks higher; p comes from the
    studentised range of as many groups as have two values, with infinite degrees of freedom. The same p values as
    `scikit_posthocs.posthoc_dscf`, against which this is tested; that one returns no statistic.
    """
    from scipy.stats import studentized_range

    compared = sum(len(group) >= FEWEST_IMAGES for group in groups.values())
    results: dict[str, tuple[float, float, str | None]] = {}
    for first, second in PAIRS:
        statistic = _rank_statistic(groups[first], groups[second])
        p_value = NOT_TESTED[1]
        if not np.isnan(statistic):
            p_value = float(studentized_range.sf(abs(statistic), compared, np.inf))
        higher = (first if statistic > 0 else second) if p_value < significance else None
        results[f"{first}_{second}"] = (statistic, p_value, higher)
    return results


def _rank_statistic(first: np.ndarray, second: np.ndarray) -> float:
    from scipy.stats import rankdata

    n, m = len(first), len(second)
    if min(n, m) < FEWEST_IMAGES:
        return NOT_TESTED[0]
    ranks = rankdata(np.concatenate([first, second]))
    variance = n * m / (n + m) * ranks.var(ddof=1)  # the variance of the ranks is what ties leave of it
    if variance == 0:
        return NOT_TESTED[0]
    return float(np.sqrt(2) * (ranks[:n].sum() - n * (n + m + 1) / 2) / np.sqrt(variance))


def section_means_by_class(grids: pl.DataFrame) -> pl.DataFrame:
    """Return table `gradcam_section_means`: each section's mean over the images of each predicted class (Table 7)."""
    keys = ["protocol", "predicted", "source", "section"]
    means = grids.group_by(keys).agg(pl.len().cast(pl.Int64).alias("n_images"), pl.col("value").mean()).sort(keys)
    places = [grid_place(section) for section in means["section"]]
    return means.with_columns(
        pl.Series("grid_row", [row for row, _ in places], pl.Int64),
        pl.Series("grid_column", [column for _, column in places], pl.Int64),
    ).select(list(GRADCAM_SECTION_MEANS))


def mean_grid(section_means: pl.DataFrame, predicted: str, source: str) -> np.ndarray:
    """Return one class's means as float64, shape (6, 8); NaN where the class was never predicted."""
    chosen = section_means.filter((pl.col("predicted") == predicted) & (pl.col("source") == source))
    grid = np.full(SECTIONS, np.nan)
    grid[chosen["section"].to_numpy() - 1] = chosen["value"].to_numpy()
    return grid.reshape(ROWS, COLUMNS)


def highest_rows(grid: np.ndarray, count: int = 3) -> list[int]:
    """Return the `count` rows (from 1, ascending) with the highest mean of a (6, 8) grid."""
    return sorted(int(row) + 1 for row in np.argsort(-grid.mean(axis=1), kind="stable")[:count])


def highest_columns(grid: np.ndarray, count: int = 4) -> list[int]:
    """Return the `count` columns (from 1, ascending) with the highest mean of a (6, 8) grid."""
    return highest_rows(grid.T, count)


def _comparisons() -> list[str]:
    return ["kruskal_wallis", *(f"{first}_{second}" for first, second in PAIRS)]
