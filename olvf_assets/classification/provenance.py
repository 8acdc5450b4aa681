"""What a trained network hangs on.

What lives here: the description of one training. Its fingerprint names the folder, is kept in the table's row and in
the header of the weights, and is compared before anything is predicted. What does not: training. Light: no torch.
"""

from pathlib import Path
from typing import Any

import polars as pl

from olvf_assets.classification.settings import Architecture, ClassificationSettings, NetworkSettings
from olvf_assets.foundation.code_identity import code_digest
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.provenance import LIBRARIES_OF_NETWORKS, NOT_DECIDING, file_sha256, library_versions
from olvf_assets.storage.artifacts import fingerprint

TRAINING = "olvf_assets.classification.training:train_to_the_end"
LIBRARIES = (*LIBRARIES_OF_NETWORKS, "timm")
NOT_TRAINING = {"networks", "replication", "test_share", "workers", "gpu_memory_gib", "folds"}


class SampleError(OlvfError):
    """A set of samples cannot be trained on or predicted as asked."""


def training_description(
    architecture: Architecture,
    fold: int,
    samples: pl.DataFrame,
    settings: ClassificationSettings,
    seed: int,
    start_sha256: str,
) -> dict[str, Any]:
    """Return, JSON-able, everything that the weights of one fold hang on; samples may come in any order.

    Args:
        architecture: the network.
        fold: the fold that validates.
        samples: table `balanced_training_set` of one protocol; image_path names the pixels' hash.
        settings: the room's settings.
        seed: the profile's seed.
        start_sha256: of the weights to start from, or `random`.
    """
    columns = samples.select("sample_id", "image_path", "label", "fold").sort("sample_id")
    return {
        "code": code_digest(TRAINING, without=NOT_DECIDING, libraries=False),
        "protocol": protocol_of(samples),
        "architecture": architecture,
        "fold": fold,
        "data": fingerprint({"rows": columns.rows()}),
        "network": settings.networks[architecture].model_dump(mode="json"),
        "start": start_sha256,
        "training": settings.model_dump(mode="json", exclude=NOT_TRAINING),
        "libraries": library_versions(*LIBRARIES),
        "seed": seed,
    }


def start_sha256(network: NetworkSettings) -> str | None:
    """Return the sha256 of the file that holds the start weights, `random` without one, None if it is not there.

    timm's weights are looked for among what was downloaded; nothing is downloaded here.
    """
    if network.weights == "random":
        return network.weights
    path = _downloaded(network.model) if network.weights == "imagenet" else Path(network.weights)
    return file_sha256(path) if path is not None and path.is_file() else None


def _downloaded(model: str) -> Path | None:
    """Return the file of timm's weights of a model in the download folder of the Hugging Face hub, if it is there."""
    import timm
    from huggingface_hub import try_to_load_from_cache

    known = timm.get_pretrained_cfg(model)
    if known is None or known.hf_hub_id is None:
        return None
    repository, _, revision = known.hf_hub_id.partition("@")
    for name in (known.hf_hub_filename, "model.safetensors", "pytorch_model.bin"):
        found = try_to_load_from_cache(repository, name, revision=revision or None) if name else None
        if isinstance(found, str):
            return Path(found)
    return None


def expected_fingerprint(
    row: dict[str, Any], training_set: pl.DataFrame, settings: ClassificationSettings, seed: int
) -> str:
    """Return the fingerprint that a row of the checkpoints tables has if it is of the data and code at hand.

    Start weights that were taken away since the training are taken at the row's word.
    """
    own = training_set.filter(pl.col("protocol") == row["protocol"])
    start = start_sha256(settings.networks[row["architecture"]]) or row["start_sha256"]
    return fingerprint(training_description(row["architecture"], row["fold"], own, settings, seed, start))


def protocol_of(samples: pl.DataFrame) -> str:
    """Return the one protocol of a table.

    Raises:
        SampleError: there is none or more than one; protocols are trained apart.
    """
    protocols = samples["protocol"].unique().sort().to_list()
    if len(protocols) != 1:
        raise SampleError(
            f"expected samples of one protocol, got {protocols}; filter balanced_training_set by protocol"
        )
    return str(protocols[0])
