"""What a trained network hangs on.

What lives here: the description of one training. Its fingerprint names the folder, is kept in the table's row and in
the header of the weights, and is compared before anything is predicted. What does not: training. Light: no torch.
"""

from typing import Any

import polars as pl

from olvf_assets.classification.settings import Architecture, ClassificationSettings
from olvf_assets.foundation.artifacts import fingerprint
from olvf_assets.foundation.errors import OlvfError

CODE_VERSION = 2
NOT_TRAINING = {"networks", "replication", "test_share", "workers", "gpu_memory_gib", "folds"}


class SampleError(OlvfError):
    """A set of samples cannot be trained on or predicted as asked."""


def training_description(
    architecture: Architecture, fold: int, samples: pl.DataFrame, settings: ClassificationSettings, seed: int
) -> dict[str, Any]:
    """Return, JSON-able, everything that the weights of one fold hang on; samples may come in any order.

    Args:
        architecture: the network.
        fold: the fold that validates.
        samples: table `balanced_training_set` of one protocol; image_path names the pixels' hash.
        settings: the room's settings.
        seed: the profile's seed.
    """
    columns = samples.select("sample_id", "image_path", "label", "fold").sort("sample_id")
    return {
        "code": CODE_VERSION,
        "protocol": protocol_of(samples),
        "architecture": architecture,
        "fold": fold,
        "data": fingerprint({"rows": columns.rows()}),
        "network": settings.networks[architecture].model_dump(mode="json"),
        "training": settings.model_dump(mode="json", exclude=NOT_TRAINING),
        "seed": seed,
    }


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
