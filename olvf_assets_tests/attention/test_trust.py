"""Agreement of the networks, and the randomised network."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import pearsonr, spearmanr

from olvf_assets.attention.agreement import agreement_of, gradcam_agreement
from olvf_assets.attention.sanity import gradcam_sanity, parts_downwards, randomised_downwards
from olvf_assets.attention.settings import AttentionSettings
from olvf_assets.attention.similarity import similarity
from olvf_assets.attention.tables import GRADCAM_AGREEMENT, GRADCAM_SANITY
from olvf_assets.classification.networks import build
from olvf_assets.classification.settings import ARCHITECTURES, Architecture, NetworkSettings
from olvf_assets.classification.tables import CHECKPOINTS
from olvf_assets.classification.training import train_fold
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets_tests.classification.made_up import NETWORKS, made_up_samples, small_settings


def test_similarity_is_the_mean_correlation_over_images_as_scipy_gives_it() -> None:
    rng = np.random.default_rng(2)
    first = rng.normal(size=(5, 48)).round(1)  # ties
    second = first + rng.normal(size=(5, 48)).round(1)
    found = similarity(first, second)
    pairs = list(zip(first, second, strict=True))
    assert found["pearson"] == pytest.approx(np.mean([pearsonr(*pair).statistic for pair in pairs]))
    assert found["spearman"] == pytest.approx(np.mean([spearmanr(*pair).statistic for pair in pairs]))
    others = [spearmanr(first[number], second[(number + 1) % 5]).statistic for number in range(5)]
    assert found["spearman_other_image"] == pytest.approx(np.mean(others))
    assert (found["n_images"], found["n_compared"], found["reason"]) == (5, 5, None)


def test_flat_maps_are_counted_but_not_compared() -> None:
    maps = np.random.default_rng(1).normal(size=(3, 48))
    flat = maps.copy()
    flat[1] = 0
    found = similarity(maps, flat)
    assert (found["n_images"], found["n_compared"]) == (3, 2)
    assert found["spearman"] == pytest.approx(1)
    nothing = similarity(np.zeros((2, 48)), maps[:2])
    assert np.isnan([nothing["pearson"], nothing["spearman"], nothing["spearman_other_image"]]).all()
    assert nothing["reason"]
    assert similarity(np.zeros((0, 48)), np.zeros((0, 48)))["n_images"] == 0


def test_fifteen_networks_make_105_pairs_per_source() -> None:
    rng = np.random.default_rng(3)
    common = rng.normal(size=(4, 48))
    grids = {
        (architecture, fold): {"red": common, "cam": common + rng.normal(size=(4, 48))}
        for architecture in ARCHITECTURES
        for fold in range(1, 6)
    }
    table = agreement_of(grids)
    assert len(table) == 2 * 105
    assert table.filter(source="red")["spearman"].to_list() == pytest.approx([1] * 105)
    assert 0.2 < table.filter(source="cam")["spearman"].mean() < 0.8
    same = table.filter(pl.col("architecture_1") == pl.col("architecture_2"), pl.col("fold_1") == pl.col("fold_2"))
    assert same.is_empty()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_network_is_randomised_from_its_head_down_to_its_stem_and_nothing_is_left(architecture: Architecture) -> None:
    settings = NetworkSettings.model_validate(NETWORKS[architecture])
    model, fresh = (build(architecture, settings, seed=seed).eval() for seed in (1, 2))
    parts = parts_downwards(model.network)
    assert [name for name, _ in parts] == ["head", "stage 4", "stage 3", "stage 2", "stage 1", "stem"]
    tensors = [name for _, names in parts for name in names]
    assert sorted(tensors) == sorted(model.network.state_dict())
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    new = fresh.network.state_dict()
    done: set[str] = set()
    for (part, names), (named, changed) in zip(parts, randomised_downwards(model, fresh), strict=True):
        done |= set(names)
        assert named == part
        for name, tensor in changed.network.state_dict().items():
            assert torch.equal(tensor, new[name] if name in done else before[name]), name
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())


def test_agreement_and_sanity_of_trained_networks(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    classification = small_settings(epochs=2, input_divisor=1)
    training, test = made_up_samples(store, 4, 2), made_up_samples(store, 3, 0, first=500)
    test = test.with_columns(pl.when(pl.int_range(pl.len()) == 0).then(1).otherwise(0).alias("replica"))
    rows = [train_fold("resnet50", fold, training, store, classification, 3) for fold in (1, 2)]
    checkpoints = pl.DataFrame(rows, schema=CHECKPOINTS)

    agreement = gradcam_agreement(checkpoints, test, training, store, classification, 3)
    assert agreement.schema == GRADCAM_AGREEMENT
    assert agreement.select("protocol", "architecture_1", "fold_1", "fold_2", "n_images").row(0) == (
        "patient", "resnet50", 1, 2, 8)  # fmt: skip

    settings = AttentionSettings(architecture=None, fold=None, sanity_images=5)
    sanity = gradcam_sanity(checkpoints, test, training, store, settings, classification, 3)
    assert sanity.schema == GRADCAM_SANITY
    assert sanity.equals(gradcam_sanity(checkpoints, test, training, store, settings, classification, 3))
    cam = sanity.filter(source="cam")
    assert cam["step"].to_list() == [1, 2, 3, 4, 5, 6]
    assert cam["randomised_down_to"].to_list()[-1] == "stem"
    assert set(cam["n_images"]) == {5}
    compared = cam.filter(pl.col("n_compared") > 0)
    assert not compared.is_empty()
    assert (compared["spearman"] < 0.999).all()
