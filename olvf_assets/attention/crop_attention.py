"""Where the analysed network looked on crops of films that no network learnt from: external and unlabelled ones.

What lives here: table `crop_attention`, a map for each such crop, kept from run to run. What does not: how a map is
made (`class_maps.py`), which network is analysed and the test set's maps (`gradcam.py`), figures (`statistics.py`).
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import polars as pl

from olvf_assets.attention.class_maps import class_maps
from olvf_assets.attention.colours import as_8_bit
from olvf_assets.attention.gradcam import at_crop_size, choose_network
from olvf_assets.attention.settings import AttentionSettings
from olvf_assets.attention.tables import CROP_ATTENTION
from olvf_assets.classification.networks import repeatable
from olvf_assets.classification.pixels import packed_pixels
from olvf_assets.classification.predictions import load_network, verified_weights
from olvf_assets.classification.settings import ClassificationSettings
from olvf_assets.foundation.code_identity import code_digest
from olvf_assets.foundation.engine import NETWORK, in_batches
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.kept_answers import KeptAnswers

PATIENTS_OF_A_WORKER = 32  # at a time: loading the network takes as long as looking at a few
Answer = list[tuple[str, str, float]]  # of each crop of a patient: predicted class, path of its map, the map's maximum


def crop_attention(
    checkpoints: pl.DataFrame,
    samples: pl.DataFrame,
    training_set: pl.DataFrame,
    store: ArtifactStore,
    settings: AttentionSettings,
    classification: ClassificationSettings,
    seed: int,
    *,
    kept: KeptAnswers | None = None,
    report: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Return `crop_attention`: each crop's Grad-CAM for the class that the network predicts, as a picture of crop size.

    Labels have no part in it. Crops of a patient are looked at together and by themselves, so that one more costs one.

    Args:
        checkpoints: all checkpoints tables together, one protocol.
        samples: `replication.samples_to_score` of that protocol; may be empty.
        training_set: table `balanced_training_set` of that protocol.
        store: where pictures and weights lie and maps go.
        settings: of this room: which network.
        classification: settings of the classifiers.
        seed: the profile's seed.
        kept: the maps that earlier runs made, and where it is kept which ones this one makes.
        report: a line on the network.

    Raises:
        NoSuchNetworkError, StaleCheckpointError, NoFeatureMapError: see there.
    """
    if samples.is_empty():
        return CROP_ATTENTION.to_frame()
    row = choose_network(checkpoints, settings)
    verified_weights(row, training_set, store, classification, seed)
    own = samples.sort("institution", "patient_id", "sample_id")
    of_patients = own.partition_by("institution", "patient_id", maintain_order=True)

    def found(places: list[int]) -> Iterator[Answer]:
        if report is not None:
            report(f"{row['architecture']}, fold {row['fold']}: crops of {len(places)} patients")
        look = partial(_looked_at, row=row, store=store, classification=classification)
        asked = [of_patients[place].select("image_path") for place in places]
        return in_batches(look, asked, PATIENTS_OF_A_WORKER, NETWORK)

    is_there = store.image_check()
    answers = (kept or KeptAnswers()).answers(
        [[row["weights_sha256"], each["image_path"].to_list()] for each in of_patients],
        [code_digest("olvf_assets.attention.crop_attention:_looked_at"), classification.input_divisor],
        found,
        holds=lambda answer: all(is_there(path) for _, path, _ in answer),
    )
    said = [crop for of_patient in answers for crop in of_patient]
    columns = dict(zip(("predicted", "map_path", "map_maximum"), zip(*said, strict=True), strict=True))
    table = own.with_columns(
        **{name: pl.Series(values) for name, values in columns.items()},
        architecture=pl.lit(row["architecture"]),
        fold=pl.lit(row["fold"], pl.Int64),
    )
    return table.select(CROP_ATTENTION.names()).cast(CROP_ATTENTION).sort("protocol", "institution", "crop_id")


def _looked_at(
    of_patients: list[pl.DataFrame], row: dict[str, Any], store: ArtifactStore, classification: ClassificationSettings
) -> Iterator[Answer]:
    """Yield what the network says of the crops of each patient, and where their maps lie."""
    model = load_network(row, store, classification)
    pictures = pl.concat(of_patients).unique().sort("image_path")
    place_of = {path: place for place, path in enumerate(pictures["image_path"])}
    pixels = packed_pixels(pictures, store, classification.input_divisor)
    crop_shape = store.load_image(pictures["image_path"][0]).shape
    for crops in of_patients:
        with repeatable():
            maps = class_maps(model, pixels[[place_of[path] for path in crops["image_path"]]])
        cams = at_crop_size(maps.of(maps.predicted), crop_shape)
        yield [
            (CLASSES[predicted], store.save_image(as_8_bit(cam))[0], float(cam.max()))
            for predicted, cam in zip(maps.predicted, cams, strict=True)
        ]
