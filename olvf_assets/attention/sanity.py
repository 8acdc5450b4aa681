"""Whether the maps hang on what the network has learnt.

What lives here: table `gradcam_sanity`, the cascading randomisation of Adebayo et al. 2018 ("Sanity checks for saliency
maps", section 3.1). What does not: how maps are compared (`similarity.py`).
"""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from olvf_assets.attention.class_maps import class_maps
from olvf_assets.attention.gradcam import Report, at_crop_size, choose_network, crop_shape, grid_values
from olvf_assets.attention.settings import AttentionSettings
from olvf_assets.attention.similarity import similarity
from olvf_assets.attention.tables import GRADCAM_SANITY, SOURCES
from olvf_assets.classification.networks import FractureClassifier, build, repeatable
from olvf_assets.classification.pixels import packed_pixels
from olvf_assets.classification.predictions import load_network, verified_weights
from olvf_assets.classification.settings import ClassificationSettings
from olvf_assets.foundation.engine import NETWORK, call
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.storage.artifacts import ArtifactStore


def gradcam_sanity(
    checkpoints: pl.DataFrame,
    test_set: pl.DataFrame,
    training_set: pl.DataFrame,
    store: ArtifactStore,
    settings: AttentionSettings,
    classification: ClassificationSettings,
    seed: int,
    report: Report | None = None,
) -> pl.DataFrame:
    """Return table `gradcam_sanity`: how alike maps stay while the analysed network loses what it has learnt.

    The parts of the network are drawn anew as before its training, from the last one downwards, each step adding one.
    Maps are for the class that the trained network predicts. A map that explains the network must change: a similarity
    that stays far above that of another image (`spearman_other_image`) would say that the maps show the picture, not
    what was learnt from others.

    Args:
        checkpoints: all checkpoints tables together, one protocol.
        test_set: table `balanced_test_set` of that protocol; unaltered crops are used.
        training_set: table `balanced_training_set` of that protocol.
        store: where pictures and weights lie.
        settings: of this room; `sanity_images` crops are drawn at random.
        classification: settings of the classifiers.
        seed: the profile's seed.
        report: a line per step.

    Raises:
        NoSuchNetworkError, StaleCheckpointError, NoFeatureMapError: see there.
    """
    row = choose_network(checkpoints, settings)
    unaltered = test_set.filter(pl.col("replica") == 0).sort("sample_id")
    count = min(settings.sanity_images, len(unaltered))
    samples = unaltered.sample(count, seed=derive_seed(seed, "sanity", "images")).sort("sample_id")
    verified_weights(row, training_set, store, classification, seed)
    rows = call(_similarities, row, samples, store, classification, seed, needs=NETWORK, report=report)
    return pl.DataFrame(rows, schema=GRADCAM_SANITY).sort("protocol", "source", "step")


def _similarities(
    row: dict[str, Any],
    samples: pl.DataFrame,
    store: ArtifactStore,
    classification: ClassificationSettings,
    seed: int,
    report: Report | None,
) -> list[dict[str, Any]]:
    """Return the rows of `gradcam_sanity` of one checkpoints row and some samples."""
    model = load_network(row, store, classification)
    network = classification.networks[row["architecture"]].model_copy(update={"weights": "random"})
    fresh = build(row["architecture"], network, derive_seed(seed, "sanity", "weights"))
    pixels, shape = packed_pixels(samples, store, classification.input_divisor), crop_shape(samples, store)
    rows: list[dict[str, Any]] = []
    with repeatable():
        trained = class_maps(model, pixels)
        wanted = _grids(trained.of(trained.predicted), shape)
        for step, (part, randomised) in enumerate(randomised_downwards(model, fresh), start=1):
            found = _grids(class_maps(randomised, pixels).of(trained.predicted), shape)
            about = {name: row[name] for name in ("protocol", "architecture", "fold")}
            about |= {"step": step, "randomised_down_to": part}
            rows += [{**about, "source": source, **similarity(wanted[source], found[source])} for source in SOURCES]
            if report is not None:
                report(f"random down to {part}")
    return rows


def randomised_downwards(
    model: FractureClassifier, fresh: FractureClassifier
) -> Iterator[tuple[str, FractureClassifier]]:
    """Yield (name of a part, a copy of `model` with this part and all parts behind it as in `fresh`).

    The parts are timm's coarse groups: the head (all behind the last stage), the stages from the last to the first,
    then the stem. The running statistics of batch normalisation belong to their part. It is one copy, which changes on.

    Args:
        model: the trained network, which stays as it is.
        fresh: the same architecture, untrained.
    """
    changed = copy.deepcopy(model).eval()
    new = fresh.network.state_dict()
    for part, names in parts_downwards(model.network):
        changed.network.load_state_dict({name: new[name] for name in names}, strict=False)
        yield part, changed


def parts_downwards(network: Any) -> list[tuple[str, list[str]]]:
    """Return (name, names of its tensors) of each part of a timm network, the last one first."""
    from timm.models import group_modules

    groups = group_modules(network, network.group_matcher(coarse=True))
    names = {0: "stem", max(groups): "head"}
    tensors = list(network.state_dict())
    return [
        (names.get(number, f"stage {number}"), [each for each in tensors if each.rpartition(".")[0] in groups[number]])
        for number in sorted(groups, reverse=True)
    ]


def _grids(maps: np.ndarray, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    cams = at_crop_size(maps, shape)
    return {source: grid_values(cams, source) for source in SOURCES}
