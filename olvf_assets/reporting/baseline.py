"""The table of baseline characteristics as the report shows it.

What lives here: turning `baseline_characteristics` into lines of text, a column for each patient group. What does not:
computing any figure (room `cohort`).
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from olvf_assets.cohort.baseline import MEASURES
from olvf_assets.reporting.layout import UNDEFINED

GROUPS = ("fresh", "old", "all")
NAMES = {
    "patients": "Patients",
    "sex": "Sex",
    "age_years": "Age, years, mean ± SD",
    "onset_to_film_days": "Onset to film, days, mean ± SD",
    "mri_delay_days": "Film to MRI, days, mean ± SD",
    "film_within_14_days_of_onset": "Film within 14 days of onset",
    "fresh_fractures": "Fresh fractures",
    "old_fractures": "Old fractures",
    "normal_images": "Images of normal vertebrae",
    "old_images": "Images of old fractures",
    "fresh_images": "Images of fresh fractures",
    "view": "Films by view",
    "detector": "Films by detector",
}
CATEGORIES = {"F": "female", "M": "male"}
TESTS = {"welch_t": "Welch's t"}


@dataclass(frozen=True)
class BaselineRow:
    """A line of the table: its name, whether it opens a characteristic, and a cell for each of GROUPS."""

    name: str
    opens: bool
    cells: tuple[str, ...]
    p: str


def baseline_tables(characteristics: pl.DataFrame) -> dict[str, list[BaselineRow]]:
    """Return the lines of each institution's table, in the order of NAMES.

    Args:
        characteristics: table `baseline_characteristics`.
    """
    return {
        key[0]: [row for name in NAMES for row in _rows(rows.filter(pl.col("characteristic") == name))]
        for key, rows in sorted(characteristics.partition_by("institution", as_dict=True).items())
    }


def _rows(rows: pl.DataFrame) -> list[BaselineRow]:
    found = {(row["category"], row["patient_group"]): row for row in rows.iter_rows(named=True)}
    categories = sorted({category for category, _ in found})
    title = NAMES[rows["characteristic"][0]] if found else ""
    alone = len(categories) == 1
    lines = [] if alone or not found else [BaselineRow(title, True, ("",) * len(GROUPS), "")]
    for category in categories:
        cells = tuple(_cell(found.get((category, group))) for group in GROUPS)
        name = title if alone else CATEGORIES.get(category, category)
        lines.append(BaselineRow(name, alone, cells, _p(found.get((category, "all")))))
    return lines


def _cell(row: dict[str, Any] | None) -> str:
    """Return e.g. `78.5 ± 11.4`, `200 of 280 (71.4 %)` or `280`."""
    if row is None or row["n_total"] == 0:
        return UNDEFINED
    if row["characteristic"] in MEASURES:
        if row["mean"] is None:
            return UNDEFINED
        spread = UNDEFINED if row["sd"] is None else f"{row['sd']:.1f}"
        return f"{row['mean']:.1f} ± {spread}"
    if row["characteristic"] == "patients":
        return str(row["n"])
    return f"{row['n']} of {row['n_total']} ({100 * row['n'] / row['n_total']:.1f} %)"


def _p(row: dict[str, Any] | None) -> str:
    return "" if row is None or row["p_value"] is None else f"{row['p_value']:.3f} ({TESTS[row['test']]})"
