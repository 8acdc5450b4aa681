"""Assets of the attention analysis: Grad-CAM of the test set, its statistics, its trust, and maps of further films.

What lives here: names and dependencies. What does not: how anything is computed.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from olvf_assets.attention.tables import (
    CROP_ATTENTION,
    GRADCAM_AGREEMENT,
    GRADCAM_BOUNDARIES,
    GRADCAM_EXAMPLES,
    GRADCAM_GRIDS,
    GRADCAM_MAPS,
    GRADCAM_SANITY,
    GRADCAM_SECTION_MEANS,
    GRADCAM_STATISTICS,
)
from olvf_assets.classification.assets import start_weights
from olvf_assets.foundation.tables import TableRun, table
from olvf_assets.storage.kept_answers import KeptAnswers

if TYPE_CHECKING:
    from olvf_assets.attention.gradcam import AttentionMaps

Frames = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]  # checkpoints, samples to look at, training set


@table(schema=GRADCAM_GRIDS, pool="gpu", kinds=("torch", "timm", "opencv"), outside=start_weights)
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

    checkpoints = [resnet50_checkpoints, densenet161_checkpoints, resnext50_checkpoints]
    grids = [pl.DataFrame(schema=GRADCAM_GRIDS)]
    for each in _by_protocol(checkpoints, balanced_test_set, balanced_training_set):
        maps = _maps(run, each)
        run.notes["network"] = f"{maps.architecture}, fold {maps.fold}"
        grids.append(gradcam.gradcam_grids(maps))
    return pl.concat(grids)


@table(schema=GRADCAM_SECTION_MEANS)
def gradcam_section_means(run: TableRun, gradcam_grids: pl.DataFrame) -> pl.DataFrame:
    """Mean of each section over the pictures of each predicted class (Table 7)."""
    from olvf_assets.attention.section_means import section_means_by_class

    return section_means_by_class(gradcam_grids)


@table(schema=GRADCAM_STATISTICS, kinds=("polars", "scipy"))
def gradcam_statistics(run: TableRun, gradcam_grids: pl.DataFrame) -> pl.DataFrame:
    """Kruskal-Wallis per section over the predicted classes, and Steel-Dwass for each pair.

    Unit `image` treats all images as independent, as the thesis does; crops of one patient and replicas of one crop are
    not. Unit `patient` counts each patient once per predicted class.
    """
    from olvf_assets.attention import statistics

    found = statistics.gradcam_statistics(gradcam_grids, run.profile.attention.significance)
    run.notes["verdicts that flip between red and raw map"] = int(found["verdict_flips"].sum()) // 2
    return found


@table(schema=GRADCAM_BOUNDARIES, kinds=("polars", "sklearn"))
def gradcam_boundaries(run: TableRun, gradcam_statistics: pl.DataFrame) -> pl.DataFrame:
    """The straight line between the sections in which one class of a pair is higher and those in which the other is."""
    from olvf_assets.attention import boundaries

    return boundaries.gradcam_boundaries(gradcam_statistics)


@table(schema=GRADCAM_AGREEMENT, pool="gpu", kinds=("torch", "timm", "scipy"), outside=start_weights)
def gradcam_agreement(
    run: TableRun,
    resnet50_checkpoints: pl.DataFrame,
    densenet161_checkpoints: pl.DataFrame,
    resnext50_checkpoints: pl.DataFrame,
    balanced_test_set: pl.DataFrame,
    balanced_training_set: pl.DataFrame,
) -> pl.DataFrame:
    """How alike the maps of each two of the trained networks are, for the label of every unaltered test crop."""
    from olvf_assets.attention import agreement

    checkpoints = [resnet50_checkpoints, densenet161_checkpoints, resnext50_checkpoints]
    tables = [
        agreement.gradcam_agreement(*each, run.store, run.profile.classification, run.seed, run.report)
        for each in _by_protocol(checkpoints, balanced_test_set, balanced_training_set)
    ]
    return pl.concat([pl.DataFrame(schema=GRADCAM_AGREEMENT), *tables])


@table(schema=GRADCAM_SANITY, pool="gpu", kinds=("torch", "timm", "scipy"), outside=start_weights)
def gradcam_sanity(
    run: TableRun,
    resnet50_checkpoints: pl.DataFrame,
    densenet161_checkpoints: pl.DataFrame,
    resnext50_checkpoints: pl.DataFrame,
    balanced_test_set: pl.DataFrame,
    balanced_training_set: pl.DataFrame,
) -> pl.DataFrame:
    """How alike the maps stay while the network's parts are randomised one after another (Adebayo et al. 2018)."""
    from olvf_assets.attention import sanity

    checkpoints = [resnet50_checkpoints, densenet161_checkpoints, resnext50_checkpoints]
    settings, classification = run.profile.attention, run.profile.classification
    tables = [
        sanity.gradcam_sanity(*each, run.store, settings, classification, run.seed, run.report)
        for each in _by_protocol(checkpoints, balanced_test_set, balanced_training_set)
    ]
    return pl.concat([pl.DataFrame(schema=GRADCAM_SANITY), *tables])


@table(
    schema=GRADCAM_MAPS,
    pool="gpu",
    kinds=("torch", "timm", "opencv"),
    pictures=("image_path", "map_path"),
    outside=start_weights,
)
def gradcam_maps(
    run: TableRun,
    resnet50_checkpoints: pl.DataFrame,
    densenet161_checkpoints: pl.DataFrame,
    resnext50_checkpoints: pl.DataFrame,
    balanced_test_set: pl.DataFrame,
    balanced_training_set: pl.DataFrame,
) -> pl.DataFrame:
    """The map of every unaltered test crop as a picture of crop size, for whoever lays it over crop or film."""
    from olvf_assets.attention import gradcam

    checkpoints = [resnet50_checkpoints, densenet161_checkpoints, resnext50_checkpoints]
    tables = [
        gradcam.gradcam_maps(_maps(run, each), run.store)
        for each in _by_protocol(checkpoints, balanced_test_set, balanced_training_set)
    ]
    return pl.concat([pl.DataFrame(schema=GRADCAM_MAPS), *tables])


@table(schema=GRADCAM_EXAMPLES, pictures=("image_path", "map_path"))
def gradcam_examples(run: TableRun, gradcam_maps: pl.DataFrame) -> pl.DataFrame:
    """Some test pictures of each predicted class with their maps, drawn at random."""
    from olvf_assets.attention import gradcam

    return gradcam.gradcam_examples(gradcam_maps, run.profile.attention, run.seed)


@table(
    schema=CROP_ATTENTION,
    by="institution",
    pool="gpu",
    kinds=("torch", "timm", "opencv"),
    pictures=("image_path", "map_path"),
    outside=start_weights,
)
def crop_attention(
    run: TableRun,
    resnet50_checkpoints: pl.DataFrame,
    densenet161_checkpoints: pl.DataFrame,
    resnext50_checkpoints: pl.DataFrame,
    balanced_training_set: pl.DataFrame,
    patient_splits: pl.DataFrame,
    detected_crops: pl.DataFrame,
) -> pl.DataFrame:
    """The map of every crop of a patient whom nothing was learnt from, labelled or not, for worklists and results."""
    from olvf_assets.attention import crop_attention as further
    from olvf_assets.classification.replication import samples_to_score

    checkpoints = [resnet50_checkpoints, densenet161_checkpoints, resnext50_checkpoints]
    samples = samples_to_score(detected_crops, patient_splits)
    with KeptAnswers.of(run, "crop_attention") as kept:
        tables = [
            further.crop_attention(
                *each, run.store, run.profile.attention, run.profile.classification, run.seed, kept=kept,
                report=run.report,
            )
            for each in _by_protocol(checkpoints, samples, balanced_training_set)
        ]  # fmt: skip
    return pl.concat([CROP_ATTENTION.to_frame(), *tables])


def _by_protocol(checkpoints: list[pl.DataFrame], samples: pl.DataFrame, training: pl.DataFrame) -> Iterator[Frames]:
    together = pl.concat(checkpoints)
    for protocol in samples["protocol"].unique().sort():
        own = pl.col("protocol") == protocol
        yield together.filter(own), samples.filter(own), training.filter(own)


def _maps(run: TableRun, frames: Frames) -> "AttentionMaps":
    from olvf_assets.attention.gradcam import attention_maps

    profile = run.profile
    return attention_maps(*frames, run.store, profile.attention, profile.classification, run.seed, run.report)
