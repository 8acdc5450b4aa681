"""The weights that ship can be made again: the whole way, with few pictures."""

from pathlib import Path

import numpy as np
import pytest

from olvf_assets.commands import make_weights
from olvf_assets.commands.make_weights import make_detector_weights, make_view_weights
from olvf_assets.detection.shipped import shipped_model
from olvf_assets.intake.pixels import picture_learning
from olvf_assets.phantom.settings import LookName, SyntheticInstitution
from olvf_assets.profiles import Profile, load_profile
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.shipped import shipped_record, weights_file


def small(name: str) -> Profile:
    profile = load_profile(name)
    site = SyntheticInstitution(patients_normal=3, patients_fresh=0, patients_old=0, excluded_fresh={}, excluded_old={},
                                look="wide", pixel_mm=1.2)  # fmt: skip
    external = site.model_copy(update={"role": "external"})
    phantom = profile.phantom.model_copy(update={"institutions": {"phantoms_a": site, "phantoms_b": external}})
    quick = {"image_px": 64, "epochs": 1, "device": "cpu", "workers": 1}
    detection = profile.detection.model_copy(update=quick)
    return profile.model_copy(update={"phantom": phantom, "detection": detection})


def test_the_detector_is_made_of_the_development_phantoms_of_its_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make_weights, "load_profile", small)
    lines: list[str] = []
    made = make_detector_weights(tmp_path, lines.append, folder=tmp_path / "shipped")
    record = shipped_record("detector", tmp_path / "shipped")
    assert lines[0] == "3 phantoms"
    assert (record["profile"], record["seed"], record["n_train_images"]) == ("weights", small("weights").seed, 2)
    assert set(record["code"]) == {"training", "phantoms"}
    assert "date" not in record
    assert record["trained_on"] == "cpu"
    assert str(tmp_path) not in (tmp_path / "shipped/detector.json").read_text()
    kept = shipped_model(ArtifactStore(tmp_path / "study"), ("patient",), tmp_path / "shipped").row(0, named=True)
    assert kept["helpers"] == made.row(0, named=True)["helpers"]
    assert kept["train_loss_by_epoch"] == made.row(0, named=True)["train_loss_by_epoch"]


def test_the_network_of_views_is_fitted_and_asked_on_the_withheld_look_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[tuple[LookName, int]] = []

    def pictures(look: LookName, patients: int, seed: int, report: object = None) -> picture_learning.Pictures:
        looks.append((look, patients))
        rng = np.random.default_rng(seed)
        kinds = np.arange(8) % 4
        pixels = rng.integers(0, 60, (8, 96, 96), np.uint8)
        for place, kind in enumerate(kinds):
            pixels[place, 24 * kind : 24 * kind + 24] += 180
        return picture_learning.Pictures(pixels, kinds, ["neutral"] * 8)

    monkeypatch.setattr(picture_learning, "phantom_pictures", pictures)
    record = make_view_weights(lambda line: None, share=0.05, epochs=2, folder=tmp_path)
    assert looks == [("wide", 60), ("plain", 6), ("withheld", 3), ("withheld", 3)]
    assert shipped_record("view", tmp_path) == shipped_record("view", tmp_path) | record
    assert record["n_pictures"] == 16 + make_weights.JUNK
    assert record["asked"]["laterals"] == record["asked"]["others"] == 4
    assert weights_file("view", tmp_path).stat().st_size < 1_500_000
