"""The figures that the thesis printed, read from `thesis_figures.yaml`.

What lives here: reading them, one a row, and Table 7 as grids. What does not: any figure of a run.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).with_name("thesis_figures.yaml")
SECTION_MEANS = "section_means"
DECIMALS = {"baseline": 1, "readers": 3, "detector": 3, "classification": 3}  # printed; groups of counts have none
PLACES = {"crops_by_level": "Table 5", "classification": "Table 6", "attention": "Table 7, Figure 9"}


class PrintedFigure(NamedTuple):
    """A figure of the thesis: its path in the file, its value and, where printed, its 95 % interval."""

    path: tuple[str, ...]
    value: float
    low: float | None = None
    high: float | None = None

    @property
    def half_unit(self) -> float:
        """Return how far the value may be from what was rounded to it."""
        return 0.5 * 10.0 ** -DECIMALS.get(self.path[0], 0)


@cache
def _file() -> dict[str, Any]:
    import yaml

    content: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return content


def printed_figures() -> list[PrintedFigure]:
    """Return every printed number but Table 7's, in the order of the file; statements about rows become 3 rows."""
    return list(_figures((), {k: v for k, v in _file().items() if k != "attention"})) + [
        PrintedFigure(("attention", *path), value)
        for path, value in (
            *((("columns_3_to_6_highest", name), 1) for name in _file()["attention"]["columns_3_to_6_highest"]),
            *((("highest_rows", name), len(rows)) for name, rows in highest_rows().items()),
            *((("section_means_rank_correlation", name), 1) for name in section_means()),
        )
    ]


def highest_rows() -> dict[str, list[int]]:
    """Return the three rows that the thesis found highest, by predicted class."""
    return {name: [int(row) for row in rows.split()] for name, rows in _file()["attention"]["highest_rows"].items()}


def section_means() -> dict[str, list[list[float]]]:
    """Return Table 7 by predicted class: mean red channel of 6 rows of 8 sections."""
    means: dict[str, list[list[float]]] = _file()["attention"][SECTION_MEANS]
    return means


def _figures(path: tuple[str, ...], found: Any) -> Iterator[PrintedFigure]:
    if isinstance(found, dict):
        for key, below in found.items():
            yield from _figures((*path, str(key)), below)
    elif isinstance(found, list):
        yield PrintedFigure(path, *map(float, found))
    else:
        yield PrintedFigure(path, float(found))
