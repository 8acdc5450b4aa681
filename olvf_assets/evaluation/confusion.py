"""Confusion matrices.

What lives here: actual by predicted class, counted per model and fold. What does not: their picture (reporting).
"""

import numpy as np
import polars as pl

from olvf_assets.evaluation.predictions import ScoredSamples, scored_samples
from olvf_assets.evaluation.tables import CONFUSION_MATRICES
from olvf_assets.foundation.vocabulary import CLASSES


def confusion_matrices(predictions: pl.DataFrame) -> pl.DataFrame:
    """Return nine rows (zeros too) for each model and fold of each protocol, dataset and institution.

    All samples count, replicas included, as in the `wald` rows of the metric tables and in the thesis's Figure 7. A sum
    over the folds counts each sample once per fold.

    Args:
        predictions: columns `predictions.SCORED`; ensembles alone or all models stacked.

    Raises:
        BrokenPredictionsError: see `scored_samples`.
    """
    return pl.concat([CONFUSION_MATRICES.to_frame(), *map(_counted, scored_samples(predictions))])


def _counted(samples: ScoredSamples) -> pl.DataFrame:
    size = len(CLASSES)
    cells = samples.labels * size + samples.predicted
    counts = np.stack([np.bincount(row, minlength=size * size) for row in cells])
    models = pl.DataFrame(list(samples.models), schema=["model", "fold"], orient="row")
    classes = pl.DataFrame({"actual": CLASSES}).join(pl.DataFrame({"predicted": CLASSES}), how="cross")
    return (
        models.join(classes, how="cross")
        .with_columns(
            pl.lit(samples.protocol).alias("protocol"),
            pl.lit(samples.dataset).alias("dataset"),
            pl.lit(samples.institution).alias("institution"),
            n=counts.ravel(),
        )
        .select(CONFUSION_MATRICES.names())
        .cast(CONFUSION_MATRICES)
    )
