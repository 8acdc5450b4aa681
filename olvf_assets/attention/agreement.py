"""Whether the fifteen networks look at the same places.

What lives here: table `gradcam_agreement`. What does not: how maps are compared (`similarity.py`).
"""

from itertools import combinations

import numpy as np
import polars as pl

from olvf_assets.attention.class_maps import kept_class_maps
from olvf_assets.attention.gradcam import Report, at_crop_size, crop_shape, grid_values
from olvf_assets.attention.similarity import similarity
from olvf_assets.attention.tables import GRADCAM_AGREEMENT, SOURCES
from olvf_assets.classification.settings import ClassificationSettings
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.storage.artifacts import ArtifactStore

Grids = dict[tuple[str, int], dict[str, np.ndarray]]  # per (architecture, fold) and source: section means


def gradcam_agreement(
    checkpoints: pl.DataFrame,
    test_set: pl.DataFrame,
    training_set: pl.DataFrame,
    store: ArtifactStore,
    classification: ClassificationSettings,
    seed: int,
    report: Report | None = None,
) -> pl.DataFrame:
    """Return table `gradcam_agreement`: one row per source and pair of networks, over the unaltered test crops.

    Both networks are asked for the same class of a crop, its label: maps of the classes that they predict would differ
    merely because the networks disagree about the class.

    Args:
        checkpoints: all checkpoints tables together, one protocol.
        test_set: table `balanced_test_set` of that protocol.
        training_set: table `balanced_training_set` of that protocol.
        store: where pictures and weights lie.
        classification: settings of the classifiers.
        seed: the profile's seed.
        report: a line per network.

    Raises:
        StaleCheckpointError, NoFeatureMapError: see there.
    """
    samples = test_set.filter(pl.col("replica") == 0).sort("sample_id")
    labels = np.array([CLASSES.index(label) for label in samples["label"]], np.int64)
    shape = crop_shape(samples, store)
    grids: Grids = {}
    for row in checkpoints.sort("architecture", "fold").iter_rows(named=True):
        maps = kept_class_maps(row, samples, training_set, store, classification, seed).of(labels)
        cams = at_crop_size(maps, shape)
        grids[row["architecture"], row["fold"]] = {source: grid_values(cams, source) for source in SOURCES}
        if report is not None:
            report(f"{row['architecture']}, fold {row['fold']}: {len(samples)} maps")
    table = agreement_of(grids)
    protocols = test_set["protocol"].unique().to_list()
    return table.with_columns(protocol=pl.lit(protocols[0] if protocols else None, pl.String))


def agreement_of(grids: Grids) -> pl.DataFrame:
    """Return the rows of `gradcam_agreement` from the section means of each network; protocol is left null."""
    rows = [
        {
            "protocol": None,
            "source": source,
            "architecture_1": first[0],
            "fold_1": first[1],
            "architecture_2": second[0],
            "fold_2": second[1],
            **similarity(grids[first][source], grids[second][source]),
        }
        for first, second in combinations(sorted(grids), 2)
        for source in SOURCES
    ]
    order = ["source", "architecture_1", "fold_1", "architecture_2", "fold_2"]
    return pl.DataFrame(rows, schema=GRADCAM_AGREEMENT).sort(order)
