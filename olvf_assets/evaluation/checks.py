"""Rules over predictions and metric tables.

What lives here: functions that return the rows that break a rule. What does not: Dagster.
"""

import polars as pl

from olvf_assets.foundation.tables import TableRun, check


@check(table="fold_predictions")
def network_probabilities_sum_to_one(run: TableRun, fold_predictions: pl.DataFrame) -> pl.DataFrame:
    """The three class probabilities of every network and sample are a distribution."""
    from olvf_assets.evaluation.predictions import probabilities_sum_to_one

    return probabilities_sum_to_one(fold_predictions, run.profile.evaluation.probability_tolerance)


@check(table="ensemble_predictions")
def ensemble_probabilities_sum_to_one(run: TableRun, ensemble_predictions: pl.DataFrame) -> pl.DataFrame:
    """The three class probabilities of every ensemble and sample are a distribution."""
    from olvf_assets.evaluation.predictions import probabilities_sum_to_one

    return probabilities_sum_to_one(ensemble_predictions, run.profile.evaluation.probability_tolerance)


@check(table="test_metrics")
def test_metrics_are_shares(run: TableRun, test_metrics: pl.DataFrame) -> pl.DataFrame:
    """Values and intervals lie in 0 to 1 and the right way up."""
    from olvf_assets.evaluation.metrics import metrics_out_of_range

    return metrics_out_of_range(test_metrics)


@check(table="external_metrics")
def external_metrics_are_shares(run: TableRun, external_metrics: pl.DataFrame) -> pl.DataFrame:
    """Values and intervals lie in 0 to 1 and the right way up."""
    from olvf_assets.evaluation.metrics import metrics_out_of_range

    return metrics_out_of_range(external_metrics)
