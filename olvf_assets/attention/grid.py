"""The 6 x 8 grid laid over an attention picture.

What lives here: how pixels fall into sections, how sections are numbered, and their means. What does not: where the
picture comes from (`gradcam.py`), and any test (`statistics.py`).
"""

import numpy as np

ROWS, COLUMNS = 6, 8
SECTIONS = ROWS * COLUMNS


def edges(length_px: int, parts: int) -> np.ndarray:
    """Return the first pixel of each part: int64, shape (parts,).

    140 / 6 and 166 / 8 are not whole. A pixel belongs to the part in which its centre lies: of 140 rows the parts get
    23, 24, 23, 23, 24, 23, of 166 columns 21, 20, 21, 21, 21, 20, 21, 21.
    """
    part_of_pixel = ((np.arange(length_px) + 0.5) * parts / length_px).astype(np.int64)
    return np.searchsorted(part_of_pixel, np.arange(parts))


def section_means(picture: np.ndarray) -> np.ndarray:
    """Return the mean of each section: float64, shape (6, 8), rows from the top, columns from the left.

    Args:
        picture: any number type, shape (height_px, width_px), at least 6 x 8; the thesis's is 140 x 166.
    """
    height, width = picture.shape
    row_edges, column_edges = edges(height, ROWS), edges(width, COLUMNS)
    sums = np.add.reduceat(np.add.reduceat(picture.astype(np.float64), row_edges, axis=0), column_edges, axis=1)
    heights, widths = np.diff([*row_edges, height]), np.diff([*column_edges, width])
    return sums / np.outer(heights, widths)


def section_number(row: int, column: int) -> int:
    """Return the number, 1-48, of the section in a row and column that are counted from 1, row by row (Figure 9)."""
    return (row - 1) * COLUMNS + column


def grid_place(section: int) -> tuple[int, int]:
    """Return (row, column), both from 1, of a section number."""
    row, column = divmod(section - 1, COLUMNS)
    return row + 1, column + 1
