"""The three networks.

What lives here: building timm's networks as the study uses them, and reading start weights and trained weights.
What does not: training (`training.py`) and the attention maps (the attention room calls `features` and `head`).
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from olvf_assets.classification.provenance import start_sha256
from olvf_assets.classification.settings import Architecture, NetworkSettings
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.vocabulary import CLASSES


class WeightsError(OlvfError):
    """Weights to start from or to predict with cannot be read or do not fit."""


class FractureClassifier(nn.Module):
    """A timm network that takes grey 8-bit pictures: three equal channels, pixels times 1/255 (thesis, classifier).

    Args:
        settings: the network.
        pretrained: whether timm should download its ImageNet weights.
    """

    def __init__(self, settings: NetworkSettings, pretrained: bool = False) -> None:
        import timm

        super().__init__()
        network = timm.create_model(
            settings.model, pretrained=pretrained, num_classes=len(CLASSES), in_chans=3, **settings.arguments
        )
        self.network: Any = network

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (batch, 3), of float pictures (batch, 1, height_px, width_px) with grey values 0-255."""
        return self.network(_three_channels(pictures))

    def features(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return the last feature map before global pooling, shape (batch, channels, rows, columns)."""
        return self.network.forward_features(_three_channels(pictures))

    def head(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits, shape (batch, 3), from a feature map of `features`."""
        return self.network.forward_head(features)


def _three_channels(pictures: torch.Tensor) -> torch.Tensor:
    scaled = (pictures * (1 / 255)).expand(-1, 3, -1, -1)
    return scaled.contiguous(memory_format=torch.channels_last)


def build(architecture: Architecture, settings: NetworkSettings, seed: int) -> FractureClassifier:
    """Return the network an architecture's training starts from.

    Args:
        architecture: for messages.
        settings: the network; `weights` says what it starts from.
        seed: of the random weights (all of them, or the last layer's).

    Raises:
        WeightsError: timm's weights cannot be had, or the file is missing, unreadable or of another network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = FractureClassifier(settings, pretrained=settings.weights == "imagenet")
        except (OSError, RuntimeError, TypeError) as error:
            raise WeightsError(_cannot_build(architecture, settings, error)) from error
    if settings.weights not in ("random", "imagenet"):
        _load_start_weights(model, Path(settings.weights), architecture)
    return model.to(memory_format=torch.channels_last)


def _cannot_build(architecture: str, settings: NetworkSettings, error: Exception) -> str:
    if isinstance(error, TypeError):
        return f"classification.networks.{architecture}.arguments do not fit timm's {settings.model}: {error}"
    return (
        f"classification.networks.{architecture}: no {settings.weights} weights for timm's {settings.model} ({error}); "
        "give this machine a way to huggingface.co once, or set weights to a local .safetensors file or to `random`"
    )


def _load_start_weights(model: FractureClassifier, path: Path, architecture: str) -> None:
    """Copy every tensor of the file whose name and shape fit; the last layer may be another one."""
    field = f"classification.networks.{architecture}.weights"
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(f"{field}: cannot read {path}: {error}; name a .safetensors or .pth state dict") from error
    own = model.network.state_dict()
    fitting = {name: value for name, value in found.items() if name in own and own[name].shape == value.shape}
    missing = set(own) - set(fitting)
    if len(missing) > 2:  # the last layer's weight and bias may differ in the number of classes
        raise WeightsError(
            f"{field}: {path} is of another network: {len(missing)} of {len(own)} tensors missing or of another shape, "
            f"such as {min(missing)}"
        )
    model.network.load_state_dict(fitting, strict=False)


def start_weights(architecture: Architecture, network: NetworkSettings) -> str:
    """Return the sha256 of the weights to start from, or `random`; timm's are downloaded if they are not there yet.

    Raises:
        WeightsError: they cannot be had.
    """
    found = start_sha256(network)
    if found is not None:
        return found
    built = build(architecture, network, seed=0)  # raises for a file that is missing, else downloads
    return start_sha256(network) or tensors_sha256(built)


@contextmanager
def repeatable(*, tensor_cores: bool = False) -> Iterator[None]:
    """Compute so that the same input gives the same numbers.

    On a CPU with one thread: sums then come in one order, whatever the number of cores. On a GPU with cuDNN's
    deterministic kernels, and in full float32 unless `tensor_cores` lets convolutions multiply in TF32 (10 bits of
    mantissa, as is torch's habit).
    """
    threads_before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=tensor_cores):
            yield
    finally:
        torch.set_num_threads(threads_before)


def save_weights(model: FractureClassifier, path: Path, provenance: dict[str, Any]) -> None:
    """Write the weights as safetensors, with `provenance` (JSON-able) in the header; same weights, same bytes."""
    from safetensors.torch import save_file

    tensors = {name: value.detach().cpu().contiguous() for name, value in model.network.state_dict().items()}
    # one key: the order of several differs from run to run, and with it the file's hash
    save_file(tensors, path, metadata={"provenance": json.dumps(provenance, sort_keys=True)})


def tensors_sha256(model: FractureClassifier) -> str:
    """Return the sha256 of a network's weights, in hex."""
    digest = hashlib.sha256()
    for name, value in sorted(model.network.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def read_provenance(path: Path) -> dict[str, Any]:
    """Return what `save_weights` wrote beside the tensors.

    Raises:
        WeightsError: the file is missing or was not written by `save_weights`.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} cannot be read ({error}); materialise its checkpoints again") from error
    if "provenance" not in metadata:
        raise WeightsError(f"{path} carries no provenance; materialise its checkpoints again")
    return cast(dict[str, Any], json.loads(metadata["provenance"]))


def load_trained(path: Path, settings: NetworkSettings) -> FractureClassifier:
    """Return the network with weights written by `save_weights`, in evaluation mode, on the CPU.

    Raises:
        WeightsError: the tensors are not those of the network that the settings describe.
    """
    from safetensors.torch import load_file

    model = FractureClassifier(settings)
    try:
        model.network.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise WeightsError(f"{path} is not a {settings.model} of this profile; train it again ({error})") from error
    return model.eval().to(memory_format=torch.channels_last)
