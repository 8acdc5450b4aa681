"""Where in a picture the evidence for each class lies, for all classes at once.

What lives here: Grad-CAM at the last feature map, its closed form for the usual head, and the files that keep the maps.
What does not: which network and pictures (`gradcam.py`), anything that normalises a map (`colours.py`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import nn

from olvf_assets.classification.networks import FractureClassifier, repeatable
from olvf_assets.classification.pixels import packed_pixels
from olvf_assets.classification.predictions import load_network, verified_weights
from olvf_assets.classification.settings import ClassificationSettings
from olvf_assets.foundation.code_identity import code_digest
from olvf_assets.foundation.engine import NETWORK, call
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.storage.artifacts import ArtifactStore

BATCH = 32


class NoFeatureMapError(OlvfError):
    """A network ends in something that has no places, so that no map can be drawn."""


@dataclass(frozen=True)
class ClassMaps:
    """Grad-CAM of some pictures.

    Attributes:
        maps: float32, shape (pictures, 3 classes, rows, columns of the feature map), >= 0, not normalised.
        logits: the network's own, float32, shape (pictures, 3).
    """

    maps: np.ndarray
    logits: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """Return the class of the highest logit: int64, shape (pictures,)."""
        return self.logits.argmax(axis=1)

    def of(self, classes: np.ndarray) -> np.ndarray:
        """Return each picture's map for its class in `classes`, int (pictures,): float32, (pictures, rows, columns)."""
        return self.maps[np.arange(len(self.maps)), classes]


def class_maps(model: FractureClassifier, pixels: np.ndarray) -> ClassMaps:
    """Return Grad-CAM of the last feature map before pooling, for every class.

    Selvaraju et al. 2017, equations 1 and 2: the gradient of a class's logit, averaged over places, weights the
    channels; their weighted sum is cut off below 0.

    Args:
        model: in evaluation mode.
        pixels: uint8, shape (n, height_px, width_px).

    Raises:
        NoFeatureMapError: the network's features are no maps (batch, channels, rows, columns).
    """
    device = next(model.parameters()).device
    maps, logits = [np.zeros((0, len(CLASSES), 1, 1), np.float32)], [np.zeros((0, len(CLASSES)), np.float32)]
    with torch.no_grad():
        for start in range(0, len(pixels), BATCH):
            batch = torch.from_numpy(np.array(pixels[start : start + BATCH])[:, None]).to(device)
            features = model.features(batch.float())
            if features.ndim != 4:
                raise NoFeatureMapError(
                    f"the network's features have shape {tuple(features.shape)}, not (batch, channels, rows, columns); "
                    "choose a convolutional one in attention.architecture or classification.networks"
                )
            layer = linear_head(model, features)
            made = maps_by_backward(model, features) if layer is None else maps_in_closed_form(layer, features)
            maps.append(made.cpu().numpy())
            logits.append(model.head(features).cpu().numpy())
    return ClassMaps(np.concatenate(maps[1:] or maps), np.concatenate(logits))


def linear_head(model: FractureClassifier, features: torch.Tensor) -> nn.Linear | None:
    """Return the linear layer of a head that is global average pooling and this one layer; None for any other head.

    Not the head's name decides, but whether it does to `features` (batch, channels, rows, columns) what such a head
    would do.
    """
    layer = model.network.get_classifier()
    if not isinstance(layer, nn.Linear) or layer.in_features != features.shape[1]:
        return None
    same = torch.allclose(model.head(features), layer(features.mean(dim=(2, 3))), rtol=1e-4, atol=1e-5)
    return layer if same else None


def maps_in_closed_form(layer: nn.Linear, features: torch.Tensor) -> torch.Tensor:
    """Return the maps of a head of global average pooling and `layer`: shape (batch, classes, rows, columns).

    There a logit is the mean over places of the channels weighted by the layer, so its gradient is the same at every
    place: weight / places (Selvaraju et al. 2017, section 3.1). No backward pass, and all classes in one product.
    """
    places = features.shape[2] * features.shape[3]
    return torch.relu(torch.einsum("kc,nchw->nkhw", layer.weight / places, features))


def maps_by_backward(model: FractureClassifier, features: torch.Tensor) -> torch.Tensor:
    """Return the maps of any differentiable head: shape (batch, classes, rows, columns).

    The gradient goes back through the head alone, to the feature map; the layers before it have no part in Grad-CAM.
    """
    with torch.enable_grad():
        features = features.detach().requires_grad_()
        logits = model.head(features)
        maps = []
        for index in range(logits.shape[1]):
            (gradients,) = torch.autograd.grad(logits[:, index].sum(), features, retain_graph=True)
            weights = gradients.mean(dim=(2, 3), keepdim=True)
            maps.append(torch.relu((weights * features.detach()).sum(dim=1)))
    return torch.stack(maps, dim=1)


def kept_class_maps(
    row: dict[str, Any],
    samples: pl.DataFrame,
    training_set: pl.DataFrame,
    store: ArtifactStore,
    settings: ClassificationSettings,
    seed: int,
) -> ClassMaps:
    """Return `class_maps` of a checkpoint, made now or by an earlier asset or run with the same weights and pictures.

    Args:
        row: of a checkpoints table.
        samples: any table with column image_path; the order is kept.
        training_set: table `balanced_training_set`.
        store: where pictures, weights and kept maps lie.
        settings: of the classifiers.
        seed: the profile's seed.

    Raises:
        StaleCheckpointError: the checkpoint is not of this run's training set, settings, seed and code.
    """
    verified_weights(row, training_set, store, settings, seed)
    # Kept because three tables ask for the same maps, and making them takes longer than all else of those tables.
    code = code_digest("olvf_assets.attention.class_maps:class_maps")
    description = {"code": code, "weights": row["weights_sha256"], "pictures": samples["image_path"].to_list()}
    kept = store.work_folder("gradcam", description) / "maps.npz"
    found = store.read(kept, _kept_maps)
    if found is None:
        found = call(_maps_of_samples, row, samples.select("image_path"), store, settings, needs=NETWORK)
        store.write(kept, lambda temporary: np.savez(temporary, maps=found.maps, logits=found.logits))
    return found


def _maps_of_samples(
    row: dict[str, Any], samples: pl.DataFrame, store: ArtifactStore, settings: ClassificationSettings
) -> ClassMaps:
    model = load_network(row, store, settings)
    with repeatable():
        return class_maps(model, packed_pixels(samples, store, settings.input_divisor))


def _kept_maps(kept: Path) -> ClassMaps:
    with np.load(kept) as arrays:
        return ClassMaps(arrays["maps"], arrays["logits"])
