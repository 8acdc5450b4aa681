"""Table 6 of the thesis as rows, plain reference beside a run's own metrics.

What lives here: the rows of the page's metric tables. Two rows of Table 6 carry other names than their content; the
printed label is kept beside. What does not: the figures themselves (`thesis_figures.yaml`), any judgement of a run.
"""

from dataclasses import dataclass

from olvf_assets.evaluation.tables import THESIS_LABELS
from olvf_assets.reporting.layout import METRIC_NAMES
from olvf_assets.reporting.thesis_figures import PrintedFigure, printed_figures


@dataclass(frozen=True)
class PrintedRow:
    """One row of Table 6.

    Attributes:
        metric: what the figures are, spelled as in the metric tables.
        label: what the thesis calls them.
        figures: by dataset (`test`, `external`) and positive class.
    """

    metric: str
    label: str
    figures: dict[tuple[str, str], PrintedFigure]

    def value(self, dataset: str, positive_class: str) -> float:
        """Return the printed value."""
        return self.figures[dataset, positive_class].value

    def interval(self, dataset: str, positive_class: str) -> tuple[float, float] | None:
        """Return the printed 95 % interval; only `all` has one."""
        figure = self.figures[dataset, positive_class]
        return None if figure.low is None or figure.high is None else (figure.low, figure.high)


def table_6() -> list[PrintedRow]:
    """Return the rows in the order in which metrics are shown."""
    printed = [figure for figure in printed_figures() if figure.path[0] == "classification"]
    return [
        PrintedRow(
            metric,
            THESIS_LABELS.get(metric, name),
            {(figure.path[1], figure.path[3]): figure for figure in printed if figure.path[2] == metric},
        )
        for metric, name in METRIC_NAMES.items()
    ]
