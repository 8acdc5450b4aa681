"""Who is called fresh at the operating points, one by one: what a reader of the films gets, with or without labels.

What lives here: table `operating_point_calls`. What does not: thresholds and how good they are (`operating.py`). Light.
"""

import polars as pl

from olvf_assets.evaluation.operating import NO_THRESHOLD
from olvf_assets.evaluation.predictions import BrokenPredictionsError
from olvf_assets.evaluation.tables import OPERATING_POINT_CALLS

UNIT = ["protocol", "dataset", "institution", "model", "unit", "patient_id", "level", "crop_id"]
POINT = ["protocol", "model", "fold", "unit"]


def operating_point_calls(
    ensemble_predictions: pl.DataFrame, patient_predictions: pl.DataFrame, operating_points: pl.DataFrame
) -> pl.DataFrame:
    """Return `operating_point_calls`: whether each crop and each patient is called fresh at each target sensitivity.

    Each fold's ensemble judges by a threshold of its own; more than half of them decide. `is_fresh` is what the readers
    said, null where they did not.

    Args:
        ensemble_predictions: table of that name; replicas are left out.
        patient_predictions: table of that name: the highest p_fresh of any vertebra of a patient.
        operating_points: table of that name.

    Raises:
        BrokenPredictionsError: a fold that judged has no operating point.
    """
    crops = ensemble_predictions.filter(model="ensemble", replica=0).select(
        *UNIT[:4], "fold", "patient_id", "level", "crop_id", unit=pl.lit("vertebra"), score="p_fresh",
        is_fresh=pl.col("label") == "fresh",
    )  # fmt: skip
    patients = patient_predictions.filter(model="ensemble").select(
        *UNIT[:4], "fold", "patient_id", level=pl.lit(None, pl.String), crop_id=pl.lit(None, pl.String),
        unit=pl.lit("patient"), score="highest_p_fresh", is_fresh="any_fresh",
    )  # fmt: skip
    points = operating_points.select(*POINT, "target_sensitivity", "threshold")
    judged = pl.concat([crops, patients], how="diagonal").join(points, on=POINT, how="left")
    if len(lost := judged.filter(pl.col("target_sensitivity").is_null())):
        protocol, _, fold, unit = lost.select(POINT).row(0)
        raise BrokenPredictionsError(
            f"operating_points, protocol {protocol}, unit {unit}: none of fold {fold}; materialise "
            "validation_predictions of all folds and operating_points again"
        )
    has_threshold = pl.col("threshold").is_not_nan()
    called = judged.group_by(*UNIT, "target_sensitivity").agg(
        pl.col("is_fresh").first(),
        score=pl.col("score").sort_by("fold").mean(),
        n_folds=has_threshold.sum(),
        n_folds_fresh=(has_threshold & (pl.col("score") >= pl.col("threshold"))).sum(),
    )
    is_decided = pl.col("n_folds") > 0
    table = called.with_columns(
        called_fresh=pl.when(is_decided).then(2 * pl.col("n_folds_fresh") > pl.col("n_folds")),
        reason=pl.when(~is_decided).then(pl.lit(NO_THRESHOLD)),
    )
    columns = OPERATING_POINT_CALLS.names()
    return table.select(columns).cast(OPERATING_POINT_CALLS).sort(*UNIT, "target_sensitivity")
