"""Metric tables as plain text.

What lives here: the tables that a run prints at its end. What does not: reading the warehouse (`__main__.py`).
"""

import polars as pl

from olvf_assets.reporting.layout import COLUMNS, METRIC_NAMES, MetricGrid, metric_grids
from olvf_assets.reporting.unlabelled import why_no_accuracy

WIDTH = 21


def metrics_text(test_metrics: pl.DataFrame, external_metrics: pl.DataFrame, participant_flow: pl.DataFrame) -> str:
    """Return the ensemble's figures as aligned tables, one for each institution, ready to print.

    Values are means of the folds over each crop once, with 95 % intervals over resampled patients. The internal test
    set has a last column with the mean over the classes as the thesis counts it: replicas taken as samples.

    Args:
        test_metrics: as in the lake or the warehouse.
        external_metrics: likewise.
        participant_flow: likewise: who has no label, and so no figure.
    """
    without = why_no_accuracy(participant_flow)
    grids = metric_grids(test_metrics, "test") + metric_grids(external_metrics, "external")
    if not grids:
        return "\n".join(["No metrics yet: no institution has scored crops with a label.", *without])
    notes = [
        "Ensemble of the three networks of a fold, mean of the folds; [95 % interval over resampled patients];",
        "each crop counted once. Last column of the test set: replicas counted as samples, as the thesis does.",
    ]
    return "\n\n".join([*map(_grid_text, grids), "\n".join([*notes, *without])])


def _grid_text(grid: MetricGrid) -> str:
    counting = grid.dataset == "test"
    head = [f"{'':22}", *(f"{name:>{WIDTH}}" for name in COLUMNS)]
    lines = [f"{grid.title}  (protocol {grid.protocol}; crops: {grid.crops})"]
    if grid.leaks:
        lines.append(f"LEAKS, of the scored samples: {grid.leaks}")
    if counting:
        head.append(f"{'all, replicas':>15}")
    lines.append(" ".join(head).rstrip())
    for metric, name in METRIC_NAMES.items():
        cells = [grid.figure("patient_bootstrap", metric, column).text for column in COLUMNS]
        line = [f"{name:22}", *(f"{cell:>{WIDTH}}" for cell in cells)]
        if counting:
            line.append(f"{grid.figure('wald', metric, 'all').value_text:>15}")
        lines.append(" ".join(line))
    return "\n".join(lines)
