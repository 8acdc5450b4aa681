"""The line between the areas in which one class or the other draws more attention.

What lives here: table `gradcam_boundaries`, the dotted lines of the thesis's Figure 10. What does not: the tests that
say which section belongs to which area (`statistics.py`).
"""

from typing import Any

import numpy as np
import polars as pl

from olvf_assets.attention.grid import COLUMNS, ROWS, grid_place
from olvf_assets.attention.tables import GRADCAM_BOUNDARIES, PAIRS, SOURCES, UNITS

PENALTY = 100.0  # of a section on the wrong side; large, so that areas that can be told apart are told apart
FLAT = 1e-6  # a weight vector shorter than this makes no line
EDGES = ((0.5, COLUMNS + 0.5), (0.5, ROWS + 0.5))  # of the picture, in columns and rows


def gradcam_boundaries(statistics: pl.DataFrame) -> pl.DataFrame:
    """Return table `gradcam_boundaries`: one row per protocol, unit, source and pair of classes.

    The thesis names a support vector machine and no more. Here: the points are the centres of the sections that differ
    between the two classes (`higher_class` of Steel-Dwass, before any correction over sections), at their column 1-8
    and row 1-6, a section being the unit of length; the label of a point is the class that is higher there. A linear
    support vector machine (scikit-learn's SVC) with a high penalty lays the line. Where a straight line can tell the
    two areas apart, it runs midway between their nearest sections, `margin_sections` wide; where none can, it is the
    one with the smallest penalty for sections on the wrong side, both areas weighing the same whatever their size.
    `balanced_accuracy` says which it was: the mean, over the two areas, of the share of sections on the right side; 1
    means apart. It describes the drawn areas; it is no estimate for other pictures.

    `angle_deg` is the tilt of the line in units of sections: 0 runs along the rows, positive rises to the right, 90 is
    upright.

    Args:
        statistics: table `gradcam_statistics`.

    Returns:
        Where one of the classes is higher nowhere, or no line results, figures are NaN and `reason` says why.
    """
    rows = []
    for protocol in statistics["protocol"].unique().sort():
        for unit in UNITS:
            for source in SOURCES:
                part = statistics.filter(protocol=protocol, unit=unit, source=source)
                for first, second in PAIRS:
                    chosen = part.filter(pl.col("comparison") == f"{first}_{second}")
                    found = boundary(_centres(chosen, first), _centres(chosen, second), (first, second))
                    key = {"protocol": protocol, "unit": unit, "source": source, "comparison": f"{first}_{second}"}
                    rows.append({**dict.fromkeys(GRADCAM_BOUNDARIES), **key, **found})
    return pl.DataFrame(rows, schema=GRADCAM_BOUNDARIES)


def boundary(first: np.ndarray, second: np.ndarray, names: tuple[str, str] = ("first", "second")) -> dict[str, Any]:
    """Return the columns of `gradcam_boundaries` on the line between two areas.

    Args:
        first: centres of the sections in which the first class is higher: float64, shape (sections, 2), column and row.
        second: those of the second class.
        names: of the classes, for the reason.
    """
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.svm import SVC

    counts = {"n_sections_first": len(first), "n_sections_second": len(second)}
    empty = [name for name, area in zip(names, (first, second), strict=True) if len(area) == 0]
    if empty:
        return {**counts, **_no_line(f"no section in which {' or '.join(empty)} is higher")}
    points = np.concatenate([first, second])
    is_first = np.arange(len(points)) < len(first)
    machine = SVC(kernel="linear", C=PENALTY, class_weight="balanced").fit(points, is_first)
    (weights,), (offset,) = machine.coef_, machine.intercept_
    length = float(np.hypot(*weights))
    ends = _ends(weights, float(offset)) if length > FLAT else None
    if ends is None:
        return {**counts, **_no_line("no straight line across the picture parts the two areas")}
    angle = np.degrees(np.arctan2(weights[0], weights[1]))  # rows count downwards, so this rises to the right
    return {
        **counts,
        "weight_column": weights[0],
        "weight_row": weights[1],
        "offset": offset,
        "angle_deg": 90 - (90 - angle) % 180,
        "margin_sections": 2 / length,
        "balanced_accuracy": balanced_accuracy_score(is_first, machine.predict(points)),
        **dict(zip(("column_0", "row_0", "column_1", "row_1"), np.ravel(ends), strict=True)),
        "reason": None,
    }


def _centres(pair: pl.DataFrame, higher: str) -> np.ndarray:
    places = [grid_place(section) for section in pair.filter(pl.col("higher_class") == higher)["section"]]
    return np.array([(column, row) for row, column in places], np.float64).reshape(-1, 2)


def _ends(weights: np.ndarray, offset: float) -> np.ndarray | None:
    """Return where the line meets the edge of the picture: float64, (2, column and row), or None."""
    met = set()
    for axis, other in ((0, 1), (1, 0)):
        for edge in EDGES[axis]:
            if abs(weights[other]) > FLAT:
                across = -(weights[axis] * edge + offset) / weights[other]
                if EDGES[other][0] <= across <= EDGES[other][1]:
                    met.add((edge, across) if axis == 0 else (across, edge))
    ends = np.array(sorted(met))
    if len(ends) < 2 or np.allclose(ends[0], ends[-1]):
        return None
    return ends[[0, -1]]


def _no_line(reason: str) -> dict[str, Any]:
    figures = [name for name, dtype in GRADCAM_BOUNDARIES.items() if dtype == pl.Float64]
    return {**dict.fromkeys(figures, float("nan")), "reason": reason}
