"""What the networks said beside what the readers did: table `fold_predictions`.

What lives here: joining scores with labels, and which dataset a sample belongs to. What does not: scoring
(`predictions.py`), ensembles (`ensemble.py`), figures of merit (the evaluation room). Light: no torch, so that labels
which come later cost a join.
"""

import polars as pl

from olvf_assets.classification.tables import FOLD_PREDICTIONS

CROP = ["protocol", "institution", "crop_id"]
SAMPLE = ["protocol", "institution", "sample_id"]


def fold_predictions(
    crop_scores: pl.DataFrame, balanced_test_set: pl.DataFrame, vertebra_crops: pl.DataFrame
) -> pl.DataFrame:
    """Return `fold_predictions`: a row per network and sample of the test set, and per network and crop outside of it.

    `dataset` is `test`; `external` for crops of external hospitals, label null where nobody read them; `unlabelled` for
    crops of development hospitals that nobody read. Scores of excluded vertebra images are left out.

    Args:
        crop_scores: `crop_scores`.
        balanced_test_set: `balanced_test_set`.
        vertebra_crops: `vertebra_crops` of the institutions of `crop_scores`.
    """
    test = crop_scores.join(balanced_test_set.select(*SAMPLE, "label"), on=SAMPLE).with_columns(dataset=pl.lit("test"))
    is_external, is_unlabelled = pl.col("role") == "external", pl.col("label").is_null()
    dataset = pl.when(is_external).then(pl.lit("external")).otherwise(pl.lit("unlabelled"))
    others = (
        crop_scores.join(balanced_test_set, on=SAMPLE, how="anti")
        .join(vertebra_crops.filter(is_external | is_unlabelled).select(*CROP, "role", "label"), on=CROP)
        .with_columns(dataset=dataset)
    )
    columns = FOLD_PREDICTIONS.names()
    keys = ["protocol", "dataset", "institution", "architecture", "fold", "sample_id"]
    return pl.concat([test.select(columns), others.select(columns)]).cast(FOLD_PREDICTIONS).sort(keys)
