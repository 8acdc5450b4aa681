import numpy as np
import pytest
import torch
from torch import nn

from olvf_assets.attention.class_maps import (
    NoFeatureMapError,
    class_maps,
    linear_head,
    maps_by_backward,
    maps_in_closed_form,
)
from olvf_assets.attention.colours import jet_picture, normalised, overlaid, red_channel
from olvf_assets.classification.networks import FractureClassifier, build
from olvf_assets.classification.settings import ARCHITECTURES, Architecture, NetworkSettings
from olvf_assets_tests.classification.made_up import HEIGHT, NETWORKS, WIDTH

LAST_LAYER = {"resnet50": "layer4", "densenet161": "features", "resnext50": "layer4"}
FULL_SIZE = {"resnet50": "resnet50", "densenet161": "densenet161", "resnext50": "resnext50_32x4d"}


def slim(architecture: Architecture, seed: int = 4) -> FractureClassifier:
    model = build(architecture, NetworkSettings.model_validate(NETWORKS[architecture]), seed=seed)
    model.train()(torch.from_numpy(pictures()).float()[:, None])  # some other statistics than those of a new network
    return model.eval()


def pictures(count: int = 6, factor: int = 2) -> np.ndarray:
    shape = (count, factor * HEIGHT, factor * WIDTH)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def features_of(model: FractureClassifier, pixels: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        return model.features(torch.from_numpy(pixels).float()[:, None])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_maps_are_those_of_the_grad_cam_package_for_every_class(architecture: Architecture) -> None:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model, pixels = slim(architecture), pictures()
    batch = torch.from_numpy(pixels).float()[:, None]
    found = class_maps(model, pixels)
    np.testing.assert_allclose(found.logits, model(batch).detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.of(found.predicted)[2], found.maps[2, found.predicted[2]])

    layer = getattr(model.network, LAST_LAYER[architecture])
    with GradCAM(model=model, target_layers=[layer]) as package:
        for index in range(3):
            targets = [ClassifierOutputTarget(index)] * len(pixels)
            package(input_tensor=batch, targets=targets)
            caught = package.activations_and_grads
            activations, gradients = caught.activations[0].numpy(), caught.gradients[0].numpy()
            theirs = np.maximum(package.get_cam_image(batch, layer, targets, activations, gradients), 0)
            np.testing.assert_allclose(found.maps[:, index], theirs, rtol=1e-5, atol=1e-5 * theirs.max())
    assert found.maps.max() > 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_closed_form_gives_what_the_backward_pass_gives_in_the_full_networks(architecture: Architecture) -> None:
    settings = NetworkSettings.model_validate({"model": FULL_SIZE[architecture], "learning_rate": 0.1})
    model = build(architecture, settings, seed=7).eval()
    features = features_of(model, pictures(2))
    assert features.shape[1] == {"resnet50": 2048, "densenet161": 2208, "resnext50": 2048}[architecture]
    layer = linear_head(model, features)
    assert layer is model.network.get_classifier()
    closed, backward = maps_in_closed_form(layer, features), maps_by_backward(model, features)
    assert closed.shape == (2, 3, *features.shape[2:])
    assert backward.max() > 0
    np.testing.assert_allclose(closed.detach() / backward.max(), backward / backward.max(), atol=1e-5)


class PooledThenBent(nn.Module):
    """A network whose head is more than a linear layer: its pooled features go through a square root first."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(8, 3)

    def forward_features(self, pictures: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(pictures, 8).repeat(1, 3, 1, 1)[:, :8]

    def forward_head(self, features: torch.Tensor) -> torch.Tensor:
        return self.classifier(features.mean(dim=(2, 3)).sqrt())

    def get_classifier(self) -> nn.Module:
        return self.classifier


def test_another_head_is_seen_as_such_and_goes_the_backward_way() -> None:
    model = slim("resnet50")
    model.network = PooledThenBent()
    pixels = pictures(3)
    features = features_of(model, pixels)
    assert linear_head(model, features) is None
    # by hand: d logit / d feature = weight / (2 sqrt(mean) places) everywhere
    slope = model.network.classifier.weight[None] / (2 * features.mean(dim=(2, 3)).sqrt()[:, None])
    places = features.shape[2] * features.shape[3]
    wanted = torch.relu(torch.einsum("nkc,nchw->nkhw", slope, features)) / places
    np.testing.assert_allclose(class_maps(model, pixels).maps, wanted.detach(), rtol=1e-4, atol=1e-7)


def test_a_network_without_places_is_refused_by_name() -> None:
    model = slim("resnet50")
    model.network.forward_features = lambda batch: batch.mean(dim=(2, 3))
    with pytest.raises(NoFeatureMapError, match=r"attention\.architecture"):
        class_maps(model, pictures(1))


def test_no_pictures_give_no_maps() -> None:
    found = class_maps(slim("resnet50"), pictures(0))
    assert found.maps.shape[:2] == (0, 3)
    assert found.predicted.shape == (0,)


def test_a_map_is_divided_by_its_maximum_and_nothing_stays_nothing() -> None:
    np.testing.assert_allclose(normalised(np.array([[0.0, 1.0], [2.0, 4.0]])), [[0, 0.25], [0.5, 1]])
    np.testing.assert_array_equal(normalised(np.zeros((2, 2))), np.zeros((2, 2)))


def test_red_of_the_jet_picture_falls_where_the_map_is_highest() -> None:
    cam = np.array([[0.0, 0.25, 0.5, 0.8, 1.0]])
    picture = jet_picture(cam)
    assert picture.shape == (1, 5, 3)
    assert picture[0, :, 0].tolist() == [0, 0, 130, 255, 128]
    assert picture[0, 0].tolist() == [0, 0, 128]  # dark blue: the channels are red, green, blue
    np.testing.assert_array_equal(red_channel(cam), picture[:, :, 0])


def test_an_overlay_leaves_the_picture_where_the_map_is_nothing() -> None:
    picture = np.array([[10, 100, 200]], np.uint8)
    shown = overlaid(picture, np.array([[0, 0, 255]], np.uint8), opacity=0.5)
    assert shown[0, :2].tolist() == [[10] * 3, [100] * 3]
    assert shown[0, 2].tolist() == [(200 + 128) // 2, 100, 100]
