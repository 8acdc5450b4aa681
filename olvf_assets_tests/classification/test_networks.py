import hashlib
from pathlib import Path

import pytest
import torch

from olvf_assets.classification.networks import (
    WeightsError,
    build,
    load_trained,
    read_provenance,
    save_weights,
)
from olvf_assets.classification.settings import ARCHITECTURES, Architecture, NetworkSettings
from olvf_assets_tests.classification.made_up import HEIGHT, NETWORKS, WIDTH


def settings_of(architecture: str, **changes: object) -> NetworkSettings:
    return NetworkSettings.model_validate({**NETWORKS[architecture], **changes})


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_network_sees_three_equal_channels_of_pixels_over_255(architecture: Architecture) -> None:
    model = build(architecture, settings_of(architecture), seed=1).eval()
    pictures = torch.randint(0, 256, (4, 1, HEIGHT, WIDTH)).float()
    with torch.no_grad():
        wanted = model.network((pictures / 255).repeat(1, 3, 1, 1))
        torch.testing.assert_close(model(pictures), wanted)
        torch.testing.assert_close(model.head(model.features(pictures)), wanted)
    assert wanted.shape == (4, 3)


def test_random_weights_hang_on_the_seed_and_leave_torch_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = (build("resnet50", settings_of("resnet50"), seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first.network.fc.weight, again.network.fc.weight)
    assert not torch.equal(first.network.fc.weight, other.network.fc.weight)


def test_saved_weights_come_back_with_their_provenance_and_always_as_the_same_bytes(tmp_path: Path) -> None:
    model = build("densenet161", settings_of("densenet161"), seed=1)
    record = {"fingerprint": "abc", "training": {"b": 1, "a": [2]}}
    for name in ("one", "two"):
        save_weights(model, tmp_path / name, record)
    digests = {hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("one", "two")}
    assert len(digests) == 1
    assert read_provenance(tmp_path / "one") == record
    loaded = load_trained(tmp_path / "one", settings_of("densenet161"))
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_weights(build("resnet50", settings_of("resnet50"), 1), tmp_path / "w.safetensors", {})
    with pytest.raises(WeightsError, match="train it again"):
        load_trained(tmp_path / "w.safetensors", settings_of("resnext50"))
    start = settings_of("resnext50", weights=str(tmp_path / "w.safetensors"))
    with pytest.raises(WeightsError, match=r"networks\.resnext50\.weights: .* of another network"):
        build("resnext50", start, 1)


def test_a_local_file_gives_the_start_weights_but_for_a_last_layer_of_other_size(tmp_path: Path) -> None:
    donor = build("resnet50", settings_of("resnet50"), 5)
    save_weights(donor, tmp_path / "three.safetensors", {})
    states = {name: value for name, value in donor.network.state_dict().items() if not name.startswith("fc.")}
    torch.save({**states, "fc.weight": torch.zeros(1000, 32), "fc.bias": torch.zeros(1000)}, tmp_path / "thousand.pth")
    for name in ("three.safetensors", "thousand.pth"):
        model = build("resnet50", settings_of("resnet50", weights=str(tmp_path / name)), 1)
        assert torch.equal(model.network.conv1[0].weight, donor.network.conv1[0].weight)
        assert model.network.fc.weight.shape == (3, 32)


def test_a_missing_start_file_is_refused_with_its_field(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"classification\.networks\.resnet50\.weights: cannot read .*absent\.pth"):
        build("resnet50", settings_of("resnet50", weights=str(tmp_path / "absent.pth")), 1)


def test_arguments_that_timm_does_not_know_are_refused_with_their_field() -> None:
    with pytest.raises(WeightsError, match=r"networks\.resnet50\.arguments do not fit timm's resnet50: .*stem_widht"):
        build("resnet50", settings_of("resnet50", arguments={"stem_widht": 8}), 1)


def test_imagenet_weights_that_cannot_be_had_offline_are_refused_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def offline(*arguments: object, **keywords: object) -> None:
        raise OSError("no route to huggingface.co")

    monkeypatch.setattr("timm.create_model", offline)
    with pytest.raises(WeightsError, match=r"no imagenet weights for timm's resnet50 .*local \.safetensors"):
        build("resnet50", settings_of("resnet50", weights="imagenet"), 1)
