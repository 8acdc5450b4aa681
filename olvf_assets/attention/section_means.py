"""Where the network looks on average, by what it says (Table 7 and Figure 9 of the thesis).

What lives here: table `gradcam_section_means`, its grids, and the rows and columns that stand out. What does not: tests
(`statistics.py`).
"""

import numpy as np
import polars as pl

from olvf_assets.attention.grid import COLUMNS, ROWS, SECTIONS, grid_place
from olvf_assets.attention.tables import GRADCAM_SECTION_MEANS


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
