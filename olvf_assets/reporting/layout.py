"""The order in which metrics are shown, on the page and in the terminal alike.

What lives here: picking the ensemble's mean figures out of a metric table and writing a figure as text. What does not:
computing anything.
"""

import math
from dataclasses import dataclass

import polars as pl

from olvf_assets.foundation.vocabulary import CLASSES

COLUMNS = ("all", *CLASSES)
SHOWN = ("accuracy", "sensitivity", "specificity", "false_discovery_rate", "false_omission_rate", "auc")  # of METRICS
METRIC_NAMES = {metric: "AUC" if metric == "auc" else metric.replace("_", " ") for metric in SHOWN}
UNDEFINED = "–"


def number_text(value: float | None) -> str:
    """Return e.g. `0.893`, or a dash for None and NaN."""
    return UNDEFINED if value is None or math.isnan(value) else f"{value:.3f}"


@dataclass(frozen=True)
class Figure:
    """A value with its interval; NaN is shown as a dash."""

    value: float
    low: float
    high: float

    @property
    def value_text(self) -> str:
        """Return e.g. `0.893`."""
        return number_text(self.value)

    @property
    def interval_text(self) -> str:
        """Return e.g. `[0.870–0.917]`, or nothing if there is no interval."""
        return "" if math.isnan(self.low) else f"[{self.low:.3f}–{self.high:.3f}]"

    @property
    def text(self) -> str:
        """Return e.g. `0.893 [0.870–0.917]`."""
        return f"{self.value_text} {self.interval_text}".strip()


@dataclass(frozen=True)
class MetricGrid:
    """The ensemble's mean figures of one institution.

    Attributes:
        protocol, dataset, institution: where they come from.
        figures: by (ci_method, metric, positive_class).
        crops: how many crops of each class were counted once, as text.
        leaks: what leaks into these figures, in words; "" where nothing does.
    """

    protocol: str
    dataset: str
    institution: str
    figures: dict[tuple[str, str, str], Figure]
    crops: str
    leaks: str

    @property
    def title(self) -> str:
        """Return e.g. `Institution 1, held-out test`."""
        name = self.institution.replace("_", " ").capitalize()
        return f"{name}, {'held-out test' if self.dataset == 'test' else 'external'}"

    def figure(self, ci_method: str, metric: str, positive_class: str) -> Figure:
        """Return one figure, undefined if the table does not hold it."""
        return self.figures.get((ci_method, metric, positive_class), Figure(math.nan, math.nan, math.nan))


def metric_grids(metrics: pl.DataFrame, dataset: str) -> list[MetricGrid]:
    """Return a grid for each protocol and institution of `test_metrics` (dataset `test`) or `external_metrics`."""
    shown = metrics.filter(pl.col("model") == "ensemble", pl.col("fold") == "mean").sort("protocol", "institution")
    grids = []
    for part in shown.partition_by("protocol", "institution", maintain_order=True):
        named = part.fill_null(math.nan).select("ci_method", "metric", "positive_class", "value", "ci_low", "ci_high")
        counted = part.filter(pl.col("ci_method") == "patient_bootstrap", pl.col("metric") == "accuracy")
        positives = dict(counted.select("positive_class", "n_positive").rows())
        grids.append(
            MetricGrid(
                part["protocol"][0],
                dataset,
                part["institution"][0],
                {row[:3]: Figure(*row[3:]) for row in named.iter_rows()},
                ", ".join(f"{positives[name]} {name}" for name in CLASSES if name in positives),
                part["leaks"][0] or "",
            )
        )
    return grids
