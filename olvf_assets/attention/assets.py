"""Assets of the attention analysis: Grad-CAM of the test set, its grid, its statistics.

What lives here: names and dependencies. What does not: how anything is computed.
"""

from typing import TYPE_CHECKING

import polars as pl

from olvf_assets.attention.tables import (
    GRADCAM_EXAMPLES,
    GRADCAM_GRIDS,
    GRADCAM_SECTION_MEANS,
    GRADCAM_STATISTICS,
)
from olvf_assets.foundation.tables import TableRun, table

if TYPE_CHECKING:
    from olvf_assets.attention.gradcam import AttentionMaps


@table(schema=GRADCAM_GRIDS, pool="gpu")
def gradcam_grids(
    run: TableRun,
    resnet50_checkpoints: pl.DataFrame,
    densenet161_checkpoints: pl.DataFrame,
    resnext50_checkpoints: pl.DataFrame,
    balanced_test_set: pl.DataFrame,
    balanced_training_set: pl.DataFrame,
) -> pl.DataFrame:
    """Mean of each of 48 sections of every test picture's Grad-CAM: red channel of the JET picture, and raw map."""
    from olvf_assets.attention import gradcam

    checkpoints = pl.concat([resnet50_checkpoints, densenet161_checkpoints, resnext50_checkpoints])
    maps = _maps(run, checkpoints, balanced_test_set, balanced_training_set)
    run.notes["network"] = f"{maps.architecture}, fold {maps.fold}"
    return gradcam.gradcam_grids(maps)


@table(schema=GRADCAM_SECTION_MEANS)
def gradcam_section_means(run: TableRun, gradcam_grids: pl.DataFrame) -> pl.DataFrame:
    """Mean of each section over the pictures of each predicted class (Table 7)."""
    from olvf_assets.attention.statistics import section_means_by_class

    return section_means_by_class(gradcam_grids)


@table(schema=GRADCAM_STATISTICS)
def gradcam_statistics(run: TableRun, gradcam_grids: pl.DataFrame) -> pl.DataFrame:
    """Kruskal-Wallis per section over the predicted classes, and Steel-Dwass for each pair."""
    from olvf_assets.attention import statistics

    return statistics.gradcam_statistics(gradcam_grids, run.profile.attention.significance)


@table(schema=GRADCAM_EXAMPLES, pool="gpu")
def gradcam_examples(
    run: TableRun,
    resnet50_checkpoints: pl.DataFrame,
    densenet161_checkpoints: pl.DataFrame,
    resnext50_checkpoints: pl.DataFrame,
    balanced_test_set: pl.DataFrame,
    balanced_training_set: pl.DataFrame,
) -> pl.DataFrame:
    """Some test pictures of each predicted class with their maps, drawn at random."""
    from olvf_assets.attention import gradcam

    checkpoints = pl.concat([resnet50_checkpoints, densenet161_checkpoints, resnext50_checkpoints])
    maps = _maps(run, checkpoints, balanced_test_set, balanced_training_set)
    return gradcam.gradcam_examples(maps, run.store, run.profile.attention, run.seed)


def _maps(run: TableRun, checkpoints: pl.DataFrame, test: pl.DataFrame, training: pl.DataFrame) -> "AttentionMaps":
    from olvf_assets.attention.gradcam import attention_maps

    profile = run.profile
    return attention_maps(
        checkpoints, test, training, run.store, profile.attention, profile.classification, run.seed, run.report
    )
