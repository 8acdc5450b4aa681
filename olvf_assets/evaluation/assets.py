"""Assets of the evaluation: metric tables, confusion matrices, ROC curves.

What lives here: names, dependencies. What does not: how anything is computed.
"""

import polars as pl

from olvf_assets.evaluation.tables import CONFUSION_MATRICES, EXTERNAL_METRICS, ROC_CURVES, TEST_METRICS
from olvf_assets.foundation.tables import TableRun, table


@table(schema=TEST_METRICS)
def test_metrics(run: TableRun, ensemble_predictions: pl.DataFrame, fold_predictions: pl.DataFrame) -> pl.DataFrame:
    """One-vs-rest metrics with 95 % intervals on the held-out test set of the development institutions."""
    from olvf_assets.evaluation import metrics

    found = metrics.internal_metrics(ensemble_predictions, fold_predictions, run.profile.evaluation, run.seed)
    _note_accuracy(run, found)
    return found


@table(schema=EXTERNAL_METRICS)
def external_metrics(run: TableRun, ensemble_predictions: pl.DataFrame, fold_predictions: pl.DataFrame) -> pl.DataFrame:
    """One-vs-rest metrics with 95 % intervals on each external hospital."""
    from olvf_assets.evaluation import metrics

    found = metrics.external_metrics(ensemble_predictions, fold_predictions, run.profile.evaluation, run.seed)
    _note_accuracy(run, found)
    return found


@table(schema=CONFUSION_MATRICES)
def confusion_matrices(run: TableRun, ensemble_predictions: pl.DataFrame) -> pl.DataFrame:
    """How many samples of each class were called what, per fold, dataset and institution."""
    from olvf_assets.evaluation import confusion

    return confusion.confusion_matrices(ensemble_predictions)


@table(schema=ROC_CURVES)
def roc_curves(run: TableRun, ensemble_predictions: pl.DataFrame) -> pl.DataFrame:
    """One-vs-rest ROC curves of the ensembles."""
    from olvf_assets.evaluation import roc

    return roc.roc_curves(ensemble_predictions, run.profile.evaluation)


def _note_accuracy(run: TableRun, metrics: pl.DataFrame) -> None:
    rows = metrics.filter(
        model="ensemble", fold="mean", positive_class="all", metric="accuracy", ci_method="wald"
    ).iter_rows(named=True)
    for row in rows:
        run.notes[f"accuracy {row['institution']}"] = row["value"]
