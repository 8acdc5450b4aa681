from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
import torch

from olvf_assets.attention.gradcam import (
    AttentionMaps,
    NoSuchNetworkError,
    attention_maps,
    choose_network,
    gradcam_examples,
    gradcam_grids,
    jet_picture,
    normalised,
    raw_cams,
    red_channel,
)
from olvf_assets.attention.grid import section_means
from olvf_assets.attention.settings import AttentionSettings
from olvf_assets.attention.tables import GRADCAM_EXAMPLES, GRADCAM_GRIDS
from olvf_assets.classification.networks import build
from olvf_assets.classification.settings import ARCHITECTURES, Architecture, NetworkSettings
from olvf_assets.classification.tables import CHECKPOINTS
from olvf_assets.classification.training import train_fold
from olvf_assets.foundation.artifacts import ArtifactStore
from olvf_assets_tests.classification.made_up import HEIGHT, NETWORKS, WIDTH, made_up_samples, small_settings

LAST_LAYER = {"resnet50": "layer4", "densenet161": "features", "resnext50": "layer4"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_maps_are_those_of_the_grad_cam_package(architecture: Architecture) -> None:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model = build(architecture, NetworkSettings.model_validate(NETWORKS[architecture]), seed=4)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 2 * HEIGHT, 2 * WIDTH)).astype(np.uint8)
    pictures = torch.from_numpy(pixels).float()[:, None]
    model.train()(pictures)  # some other statistics than those of a new network
    model.eval()
    maps, predicted = raw_cams(model, pixels)
    np.testing.assert_array_equal(predicted, model(pictures).argmax(dim=1).numpy())

    layer = getattr(model.network, LAST_LAYER[architecture])
    targets = [ClassifierOutputTarget(int(each)) for each in predicted]
    with GradCAM(model=model, target_layers=[layer]) as package:
        package(input_tensor=pictures, targets=targets)
        caught = package.activations_and_grads
        activations, gradients = caught.activations[0].numpy(), caught.gradients[0].numpy()
        theirs = np.maximum(package.get_cam_image(pictures, layer, targets, activations, gradients), 0)
    assert maps.max() > 0
    np.testing.assert_allclose(maps, theirs, rtol=1e-4, atol=1e-7)


def test_for_pooling_and_one_linear_layer_the_map_is_the_weighted_sum_of_channels() -> None:
    model = build("resnet50", NetworkSettings.model_validate(NETWORKS["resnet50"]), seed=2).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 2 * HEIGHT, 2 * WIDTH)).astype(np.uint8)
    maps, predicted = raw_cams(model, pixels)
    with torch.no_grad():
        features = model.features(torch.from_numpy(pixels).float()[:, None])
    weights = model.network.fc.weight[predicted].detach()
    places = features.shape[2] * features.shape[3]
    wanted = torch.relu(torch.einsum("nc,nchw->nhw", weights, features)) / places  # Selvaraju et al. 2017, section 3.1
    np.testing.assert_allclose(maps, wanted.numpy(), rtol=1e-4, atol=1e-7)


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


def made_up_maps() -> AttentionMaps:
    samples = pl.DataFrame(
        {
            "protocol": "patient",
            "sample_id": ["F1-L1-r0", "F2-L1-r0"],
            "crop_id": ["F1-L1", "F2-L1"],
            "label": ["old", "normal"],
            "predicted": ["fresh", "normal"],
            "replica": [0, 0],
        }
    )
    cams = np.random.default_rng(5).uniform(0, 3, (2, 140, 166)).astype(np.float32)
    return AttentionMaps("densenet161", 5, samples, cams)


def test_the_grids_hold_the_red_and_the_raw_mean_of_every_section() -> None:
    maps = made_up_maps()
    table = gradcam_grids(maps)
    assert table.schema == GRADCAM_GRIDS
    assert len(table) == 2 * 2 * 48
    for number, (sample, predicted) in enumerate((("F1-L1-r0", "fresh"), ("F2-L1-r0", "normal"))):
        for source, picture in (("cam", maps.cams[number]), ("red", jet_picture(maps.cams[number])[:, :, 0])):
            part = table.filter((pl.col("sample_id") == sample) & (pl.col("source") == source))
            assert part["section"].to_list() == list(range(1, 49))
            assert set(part["predicted"]) == {predicted}
            np.testing.assert_allclose(part["value"].to_numpy(), section_means(picture).ravel())


def test_no_images_give_an_empty_table() -> None:
    maps = made_up_maps()
    empty = AttentionMaps(maps.architecture, maps.fold, maps.samples.head(0), maps.cams[:0])
    assert gradcam_grids(empty).schema == GRADCAM_GRIDS
    assert gradcam_grids(empty).is_empty()


def checkpoint_rows(*rows: tuple[str, int, float]) -> pl.DataFrame:
    blank = dict.fromkeys(CHECKPOINTS)
    return pl.DataFrame(
        [{**blank, "architecture": name, "fold": fold, "validation_accuracy": value} for name, fold, value in rows],
        schema=CHECKPOINTS,
    )


def test_the_network_is_chosen_by_validation_or_by_the_settings() -> None:
    table = checkpoint_rows(
        ("resnet50", 2, 0.9), ("densenet161", 5, 0.8), ("densenet161", 3, 0.9), ("densenet161", 1, 0.7)
    )

    def choice(architecture: str | None, fold: int | None) -> tuple[str, int]:
        row = choose_network(table, AttentionSettings.model_validate({"architecture": architecture, "fold": fold}))
        return row["architecture"], row["fold"]

    assert choice("densenet161", 5) == ("densenet161", 5)  # the thesis's
    assert choice(None, None) == ("densenet161", 3)  # of equals, the first
    assert choice("resnet50", None) == ("resnet50", 2)
    with pytest.raises(NoSuchNetworkError, match="architecture resnet50, fold 4"):
        choice("resnet50", 4)


def test_maps_of_a_trained_network_reach_crop_size_and_are_kept(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    classification = small_settings(epochs=1, input_divisor=1)
    training, test = made_up_samples(store, 3, 2), made_up_samples(store, 3, 0, first=500)
    test = test.with_columns(pl.when(pl.int_range(pl.len()) == 0).then(1).otherwise(0).alias("replica"))
    checkpoints = pl.DataFrame([train_fold("resnet50", 1, training, store, classification, 3)], schema=CHECKPOINTS)
    settings = AttentionSettings(architecture=None, fold=None, replicas=False, examples=2)
    maps = attention_maps(checkpoints, test, training, store, settings, classification, 3)
    assert maps.cams.shape == (8, HEIGHT, WIDTH)
    assert (maps.architecture, maps.fold) == ("resnet50", 1)
    kept = [np.load(path)["maps"] for path in tmp_path.glob("work/gradcam/*/maps.npz")]
    assert len(kept) == 1
    np.testing.assert_allclose(maps.cams[3], cv2.resize(kept[0][3], (WIDTH, HEIGHT)))

    examples = gradcam_examples(maps, store, settings, 3)
    assert examples.schema == GRADCAM_EXAMPLES
    assert examples.equals(gradcam_examples(maps, store, settings, 3))
    assert max(examples["predicted"].value_counts()["count"]) <= 2
    shown = examples.row(0, named=True)
    number = maps.samples["sample_id"].to_list().index(shown["sample_id"])
    np.testing.assert_array_equal(store.load_image(shown["map_path"]), np.rint(255 * normalised(maps.cams[number])))
