"""Rules over predictions and metric tables.

What lives here: functions that return the rows that break a rule. What does not: Dagster.
"""

import polars as pl

from olvf_assets.classification.assets import start_weights as start_weights_of_networks
from olvf_assets.detection.assets import start_weights as start_weights_of_detector
from olvf_assets.foundation.tables import Check, TableRun, check


def _firewall(table: str) -> Check:
    """Return the rule that stops a table of figures when samples that it scores leak from what was learnt."""

    @check(table=table)
    def nothing_leaks_under_protocol_patient(run: TableRun, leakage_summary: pl.DataFrame) -> pl.DataFrame:
        """Scored samples share nothing with what was learnt from; see leakage_audit for the samples concerned."""
        from olvf_assets.evaluation.firewall.leakage import forbidden

        return forbidden(leakage_summary)

    return nothing_leaks_under_protocol_patient


FIREWALLS = tuple(
    _firewall(table)
    for table in (
        "test_metrics",
        "external_metrics",
        "subgroup_metrics",
        "confusion_matrices",
        "roc_curves",
        "calibration",
        "reliability_curves",
        "decision_curves",
        "operating_point_metrics",
        "mri_avoided",
        "human_ceiling",
        "review_list",
    )
)


def _start_weights(run: TableRun) -> object:
    return [start_weights_of_detector(run), start_weights_of_networks(run)]


def _freshness(table: str, predictions: str, datasets: tuple[str, ...]) -> Check:
    """Return the rule that stops a table of figures made from predictions of other tables than those at hand."""

    def of_the_tables_at_hand(run: TableRun, frame: pl.DataFrame) -> pl.DataFrame:
        """Figures are of the labels, patients, roles, splits, weights and code at hand; else: what to make again."""
        from olvf_assets.evaluation.firewall.freshness import stale_tables

        return stale_tables(frame, datasets, run)

    return Check(
        f"{predictions}_are_of_the_tables_at_hand",
        table,
        lambda run, **frames: of_the_tables_at_hand(run, frames[predictions]),
        (predictions,),
        True,
        of_the_tables_at_hand.__doc__ or "",
        outside=_start_weights,
    )


SCORED = ("test", "external")
FRESHNESS = (
    _freshness("ensemble_predictions", "fold_predictions", SCORED),
    _freshness("test_metrics", "fold_predictions", ("test",)),
    _freshness("external_metrics", "fold_predictions", ("external",)),
    _freshness("calibration_temperatures", "validation_predictions", ("validation",)),
    _freshness("operating_points", "validation_predictions", ("validation",)),
    *(
        _freshness(each.table, "ensemble_predictions", datasets)
        for each in FIREWALLS
        for datasets in ({"test_metrics": ("test",), "external_metrics": ("external",)}.get(each.table, SCORED),)
    ),
    _freshness("vertebra_predictions", "ensemble_predictions", SCORED),
    _freshness("operating_point_calls", "ensemble_predictions", SCORED),
)


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


@check(table="validation_predictions")
def validation_probabilities_sum_to_one(run: TableRun, validation_predictions: pl.DataFrame) -> pl.DataFrame:
    """The three class probabilities of every network and validation crop are a distribution."""
    from olvf_assets.evaluation.predictions import probabilities_sum_to_one

    return probabilities_sum_to_one(validation_predictions, run.profile.evaluation.probability_tolerance)


@check(table="test_metrics")
def test_metrics_are_shares(run: TableRun, test_metrics: pl.DataFrame) -> pl.DataFrame:
    """Values and intervals lie in 0 to 1 and the right way up, and a missing one says why."""
    return _improper(test_metrics)


@check(table="external_metrics")
def external_metrics_are_shares(run: TableRun, external_metrics: pl.DataFrame) -> pl.DataFrame:
    """Values and intervals lie in 0 to 1 and the right way up, and a missing one says why."""
    return _improper(external_metrics)


@check(table="subgroup_metrics")
def subgroup_metrics_are_shares(run: TableRun, subgroup_metrics: pl.DataFrame) -> pl.DataFrame:
    """Values and intervals lie in 0 to 1 and the right way up, and a missing one says why."""
    return _improper(subgroup_metrics)


@check(table="calibration")
def calibration_figures_are_shares(run: TableRun, calibration: pl.DataFrame) -> pl.DataFrame:
    """Values and intervals lie in 0 to 1 and the right way up, and a missing one says why."""
    return _improper(calibration)


@check(table="reliability_curves")
def observed_shares_are_shares(run: TableRun, reliability_curves: pl.DataFrame) -> pl.DataFrame:
    """Observed shares and intervals lie in 0 to 1 and the right way up, and a missing one says why."""
    return _improper(reliability_curves, "observed_share")


@check(table="decision_curves")
def net_benefit_is_at_most_the_prevalence(run: TableRun, decision_curves: pl.DataFrame) -> pl.DataFrame:
    """Nothing gains more than finding every fresh fracture and no other."""
    prevalence = pl.col("n_positive") / (pl.col("n_positive") + pl.col("n_negative"))
    return decision_curves.filter(pl.col("net_benefit") > prevalence + 1e-9)


@check(table="operating_points")
def thresholds_reach_their_target(run: TableRun, operating_points: pl.DataFrame) -> pl.DataFrame:
    """Every threshold is a probability at which the validation crops have at least the target sensitivity."""
    reached = pl.col("validation_sensitivity") >= pl.col("target_sensitivity") - 1e-9
    proper = pl.col("threshold").is_between(0, 1) & reached
    return operating_points.filter(~proper & pl.col("reason").is_null())


@check(table="operating_point_metrics")
def operating_point_metrics_are_shares(run: TableRun, operating_point_metrics: pl.DataFrame) -> pl.DataFrame:
    """Values and intervals lie in 0 to 1 and the right way up, and a missing one says why."""
    return _improper(operating_point_metrics)


@check(table="mri_avoided")
def avoided_and_missed_add_up(run: TableRun, mri_avoided: pl.DataFrame) -> pl.DataFrame:
    """Of 100 patients at most 100 are spared, and no more are missed than are fresh or are spared."""
    from olvf_assets.evaluation.mri import impossible_rows

    return impossible_rows(mri_avoided)


@check(table="human_ceiling")
def kappas_are_kappas(run: TableRun, human_ceiling: pl.DataFrame) -> pl.DataFrame:
    """Kappas lie in -1 to 1, intervals the right way up, and a missing one says why."""
    from olvf_assets.evaluation.intervals import improper_rows

    return improper_rows(human_ceiling, "kappa", -1, 1)


def _improper(figures: pl.DataFrame, column: str = "value") -> pl.DataFrame:
    from olvf_assets.evaluation.intervals import improper_rows

    return improper_rows(figures, column, 0, 1)
