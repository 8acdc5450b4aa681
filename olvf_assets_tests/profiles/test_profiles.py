"""Profiles: one frozen schema, unknown keys refused."""

from pathlib import Path

import pydantic
import pytest

from olvf_assets.profiles import FOLDER, ProfileError, load_profile, profile_name


@pytest.mark.parametrize("name", ["ci", "demo", "thesis"])
def test_every_shipped_profile_is_valid(name: str) -> None:
    assert load_profile(name).name == name


def test_the_thesis_profile_has_the_numbers_of_the_thesis() -> None:
    thesis = load_profile("thesis")
    detector, classifier = thesis.detection, thesis.classification
    assert (detector.model, detector.image_px, detector.epochs, detector.batch) == ("yolov5x", 640, 300, 4)
    assert (detector.lr0, detector.momentum, detector.weight_decay) == (0.00967, 0.92755, 0.00057)
    assert (detector.copies, detector.n_external_films) == (10, 80)
    assert (classifier.epochs, classifier.batch, classifier.folds, classifier.input_divisor) == (100, 4, 5, 1)
    rates = {name: network.learning_rate for name, network in classifier.networks.items()}
    assert rates == {"resnet50": 0.01, "densenet161": 0.001, "resnext50": 0.01}
    assert [network.model for network in classifier.networks.values()] == [
        "resnet50", "densenet161", "resnext50_32x4d"
    ]  # fmt: skip
    assert all(network.arguments == {} for network in classifier.networks.values())
    table_4 = classifier.augmentation
    assert (table_4.scale, table_4.rotation_deg, table_4.brightness, table_4.contrast) == ((0.8, 1.05), 20, 0.2, 1.5)
    assert (thesis.attention.architecture, thesis.attention.fold) == ("densenet161", 5)


@pytest.mark.parametrize("name", ["ci", "demo", "thesis"])
def test_table_3_is_the_same_in_every_profile(name: str) -> None:
    table_3 = load_profile(name).detection.augmentation
    assert (table_3.dropout, table_3.blur_sigma_px, table_3.sharpness) == ((0, 0.1), (0, 0.5), (0, 2.5))
    assert (table_3.gamma, table_3.noise, table_3.edge_alpha) == ((0.5, 2.0), (0, 0.05), (0.05, 0.3))


def test_a_typo_in_a_profile_is_named_with_its_file_and_place(tmp_path: Path) -> None:
    text = (FOLDER / "ci.yaml").read_text()
    (tmp_path / "ci.yaml").write_text(text.replace("\ndetection:\n", "\ndetection:\n  epochz: 3\n"))
    with pytest.raises(ProfileError, match=r"ci\.yaml: detection\.epochz"):
        load_profile("ci", tmp_path)


def test_a_value_out_of_bounds_is_named(tmp_path: Path) -> None:
    text = (FOLDER / "ci.yaml").read_text()
    (tmp_path / "ci.yaml").write_text(text.replace("seed:", "seed: many #", 1))
    with pytest.raises(ProfileError, match=r"ci\.yaml: seed: .*many"):
        load_profile("ci", tmp_path)


def test_an_unknown_profile_says_which_there_are() -> None:
    with pytest.raises(ProfileError, match="ci, demo, pretrained, thesis, weights"):
        load_profile("dmeo")


def test_a_profile_cannot_be_changed_once_read() -> None:
    with pytest.raises(pydantic.ValidationError):
        load_profile("ci").seed = 2  # type: ignore[misc]


def test_demo_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLVF_PROFILE", raising=False)
    assert profile_name() == "demo"


def test_pretrained_makes_up_no_hospital_and_trains_no_detector() -> None:
    profile = load_profile("pretrained")
    assert profile.phantom.institutions == {}
    assert profile.detection.shipped
    assert not load_profile("demo").detection.shipped


def test_an_empty_mapping_empties_and_another_is_merged(tmp_path: Path) -> None:
    (tmp_path / "ci.yaml").write_text((FOLDER / "ci.yaml").read_text())
    (tmp_path / "own.yaml").write_text("extends: ci\nphantom: {institutions: {}}\ncohort: {}\ncrops: {margin: 0.1}\n")
    own, ci = load_profile("own", tmp_path), load_profile("ci")
    assert own.phantom.institutions == {}
    assert own.phantom.sign_strength == ci.phantom.sign_strength
    assert own.cohort.bootstrap_draws != ci.cohort.bootstrap_draws  # emptied: the schema's own default
    assert own.crops.margin == 0.1


def test_the_phantoms_of_the_weights_that_ship_are_all_wide_and_none_is_withheld() -> None:
    institutions = load_profile("weights").phantom.institutions
    assert {site.look for site in institutions.values()} == {"wide"}
    assert sorted(site.pixel_mm for site in institutions.values()) == [0.15, 0.22, 0.35]
