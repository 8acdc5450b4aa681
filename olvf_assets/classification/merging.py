"""From crops to vertebrae and patients.

What lives here: the ensembles' probabilities of a vertebra's films (lateral, flexion, extension) merged into one, and
those of a patient's vertebrae into "any fresh". What does not: thresholds and figures of merit (the evaluation room).
Light: no torch.
"""

import polars as pl

from olvf_assets.classification.tables import PATIENT_PREDICTIONS, VERTEBRA_PREDICTIONS
from olvf_assets.foundation.vocabulary import CLASSES

PROBABILITIES = [f"p_{name}" for name in CLASSES]
PATIENT = ["protocol", "dataset", "institution", "model", "fold", "patient_id"]


def vertebra_predictions(ensemble_predictions: pl.DataFrame) -> pl.DataFrame:
    """Return `vertebra_predictions`: a row per model, fold and vertebra, probabilities averaged over its films.

    Args:
        ensemble_predictions: table of that name; replicas are left out. A vertebra's films share its label, maybe null.
    """
    films = ensemble_predictions.filter(pl.col("replica") == 0).sort(*PATIENT, "level", "crop_id")
    merged = films.group_by(*PATIENT, "level", maintain_order=True).agg(
        pl.col("label").first(), pl.len().alias("n_films"), *(pl.col(name).mean() for name in PROBABILITIES)
    )
    winner = pl.concat_list(PROBABILITIES).list.arg_max()
    predicted = winner.replace_strict(range(len(CLASSES)), list(CLASSES), return_dtype=pl.String)
    return merged.with_columns(predicted=predicted).select(VERTEBRA_PREDICTIONS.names()).cast(VERTEBRA_PREDICTIONS)


def patient_predictions(vertebra_predictions: pl.DataFrame) -> pl.DataFrame:
    """Return `patient_predictions`: a row per model, fold and patient, who goes to MRI if any vertebra is fresh.

    Args:
        vertebra_predictions: what `vertebra_predictions` returns; only vertebrae that were scored can count.
            `any_fresh` is null where none of them has a label.
    """
    fresh = pl.col("p_fresh")
    merged = vertebra_predictions.group_by(PATIENT, maintain_order=True).agg(
        pl.len().alias("n_vertebrae"),
        pl.when(pl.col("label").is_not_null().any()).then((pl.col("label") == "fresh").any()).alias("any_fresh"),
        (pl.col("predicted") == "fresh").any().alias("predicted_any_fresh"),
        fresh.max().alias("highest_p_fresh"),
        pl.col("level").get(fresh.arg_max()).alias("likeliest_level"),
    )
    return merged.select(PATIENT_PREDICTIONS.names()).cast(PATIENT_PREDICTIONS)
