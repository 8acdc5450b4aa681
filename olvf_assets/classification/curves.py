"""The course of training as a table.

What lives here: `training_curves`, one row per epoch. What does not: training, pictures. Light: no torch.
"""

from collections.abc import Sequence

import polars as pl

from olvf_assets.classification.tables import TRAINING_CURVES

KEYS = ["protocol", "architecture", "fold"]


def training_curves(checkpoints: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return `training_curves`: loss and accuracy of every network after every epoch.

    Args:
        checkpoints: tables `<architecture>_checkpoints`.
    """
    by_epoch = [name for name in TRAINING_CURVES if name not in (*KEYS, "epoch")]
    return (
        pl.concat(checkpoints)
        .select(*KEYS, **{name: pl.col(f"{name}_by_epoch") for name in by_epoch})
        .with_columns(epoch=pl.int_ranges(1, pl.col("train_loss").list.len() + 1))
        .explode("epoch", *by_epoch)
        .select(TRAINING_CURVES.names())
        .cast(TRAINING_CURVES)
        .sort(*KEYS, "epoch")
    )
