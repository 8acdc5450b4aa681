"""What rooms keep beside tables (a film's pixels, epochs of a training) holds for the code that made it, no longer."""

from pathlib import Path

import polars as pl
import pytest

from olvf_assets.classification.provenance import training_description
from olvf_assets.detection.provenance import detector_description
from olvf_assets.foundation import code_identity
from olvf_assets.foundation.code_identity import PACKAGE, Sources, UnknownCodeError, code_digest
from olvf_assets.foundation.code_units import Name
from olvf_assets.foundation.provenance import NOT_DECIDING
from olvf_assets.intake.headers.known import KnownHeaders
from olvf_assets.intake.pixels.pixels import _work_folder
from olvf_assets.intake.privacy.pseudonyms import pseudonymiser
from olvf_assets.phantom.hospital import _mark
from olvf_assets.profiles import load_profile
from olvf_assets.storage.artifacts import ArtifactStore

PROFILE = load_profile("ci")
SAMPLES = pl.DataFrame(
    {"protocol": ["patient"], "sample_id": ["a"], "image_path": ["images/a.png"], "label": ["old"], "fold": [1]}
)
COPIES = pl.DataFrame(
    {"institution": ["a"], "film_id": ["b"], "copy": [0], "image_path": ["c"], "boxes": [[1]], "helper_boxes": [[2]],
     "taught": [["S1"]]}
)  # fmt: skip


def network() -> object:
    return training_description("resnet50", 1, SAMPLES, PROFILE.classification, 1, "random")


def detector() -> object:
    return detector_description(COPIES, PROFILE.detection, 1, "patient", "random")


def film() -> object:
    return _work_folder(ArtifactStore(Path()), {"sha256": "a", "pixel_mm": 0.1}, PROFILE.intake).name


def header() -> object:
    names = pseudonymiser("institution_1", synthetic=True, data_dir=Path())
    return Path(KnownHeaders(ArtifactStore(Path()), names, PROFILE.intake).file)


def hospital() -> object:
    return _mark("institution_1", PROFILE.phantom, 1)


def searched() -> object:
    return code_digest("olvf_assets.detection.prediction:_search")


def scored() -> object:
    return code_digest("olvf_assets.classification.predictions:_scores")


def cropped() -> object:
    return code_digest("olvf_assets.crops.crop:_crop_film")


def looked_at() -> object:
    return code_digest("olvf_assets.attention.crop_attention:crop_attention")


CHANGES = {
    "a network's schedule": (network, "classification.learner", "math.cos(", "math.sin(", True),
    "a network's augmentation": (
        network,
        "classification.augmentation",
        "return ",
        "return 1 * ",
        True,
    ),
    "a network's progress": (network, "classification.progress", "progress.json", "p.json", False),
    "how a network's files are stored": (network, "storage.artifacts", "return ", "return 1 * ", False),
    "the detector's epochs": (detector, "detection.trainer", '"epoch", self', '"e", self', True),
    "the detector's arguments": (detector, "detection.training", '"flipud": 0.0', '"flipud": 0.5', True),
    "what the network does is nothing to the detector": (
        detector,
        "classification.learner",
        "math.cos(",
        "math.sin(",
        False,
    ),
    "a film's window": (film, "intake.pixels.grey_levels", "return ", "return 1 * ", True),
    "a film's decoder": (film, "intake.pixels.decoders", "return ", "return 1 * ", True),
    "a film's label": (film, "intake.sheets.sheets", "return ", "return 1 * ", False),
    "a header's view": (header, "intake.headers.view_rules", "return ", "return 1 * ", True),
    "which classes the detector learns": (detector, "detection.helpers", "in shown", "not in shown", True),
    "how a film is squeezed for the detector": (searched, "detection.copies", "return ", "return 1 * ", True),
    "which candidate is which level": (searched, "detection.ordering", "return ", "return 1 * ", False),
    "how a crop is read": (scored, "classification.pixels", "return ", "return 1 * ", True),
    "how networks are trained is nothing to a score": (scored, "classification.learner", "cos(", "sin(", False),
    "how a map is enlarged": (looked_at, "attention.gradcam", "cv2.resize(each", "cv2.blur(each", True),
    "how a map's picture is read": (looked_at, "classification.pixels", "return ", "return 1 * ", True),
    "how a crop is cut": (cropped, "crops.crop", "equalizeHist", "normalize", True),
    "a synthetic spine": (hospital, "phantom.spine", "return ", "return 1 * ", True),
    "a synthetic reader": (hospital, "phantom.readers", "return ", "return 1 * ", True),
    "how a synthetic film is stored": (hospital, "storage.artifacts", "return ", "return 1 * ", False),
}


@pytest.mark.parametrize(("work", "module", "before", "after", "another"), CHANGES.values(), ids=CHANGES.keys())
def test_kept_work_is_that_of_the_code_that_decides_it(
    work: object, module: str, before: str, after: str, another: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(work)
    monkeypatch.chdir(tmp_path)  # where the store of these descriptions lies
    assert work() == (as_it_is := work())
    changed = Sources()
    text = (PACKAGE / f"{module.replace('.', '/')}.py").read_text()
    assert before in text
    changed._texts[f"olvf_assets.{module}"] = text.replace(before, after)
    monkeypatch.setattr(code_identity, "sources", lambda: changed)
    code_digest.cache_clear()
    try:
        assert (work() != as_it_is) is another
    finally:
        code_digest.cache_clear()


def test_exactly_these_modules_decide_the_weights_of_a_network_and_of_the_detector() -> None:
    """One that comes in here makes every hospital train again after an update: see that it decides something."""
    for training, function, deciding in (
        ("classification", "train_to_the_end", {"augmentation", "learner", "networks", "pixels", "sides", "training"}),
        ("detection", "_train", {"helpers", "trainer", "training", "ultralytics_home"}),
    ):
        made = Sources().named([Name(f"olvf_assets.{training}.training", function)])
        modules = {each.split(":")[0] for each in made.digests} - set(NOT_DECIDING)
        own = {f"olvf_assets.{training}.{name}" for name in deciding}
        assert modules == own | {"olvf_assets.foundation.seeds", "olvf_assets.foundation.vocabulary"}


@pytest.mark.parametrize("function", ["olvf_assets.foundation.seeds:nothing", "olvf_assets.nowhere:derive_seed"])
def test_the_code_of_a_function_that_is_not_there_is_refused(function: str) -> None:
    with pytest.raises(UnknownCodeError, match=f"{function} is not there"):
        code_digest(function)


def test_what_does_not_decide_is_there() -> None:
    assert [name for name in NOT_DECIDING if not (PACKAGE.parent / f"{name.replace('.', '/')}.py").is_file()] == []


def test_libraries_count_unless_they_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    function = "olvf_assets.detection.copies:_pictures"
    monkeypatch.setattr(code_identity, "sources", Sources)
    before, without = code_digest(function), code_digest(function, libraries=False)
    monkeypatch.setattr(code_identity, "_versions", lambda tops: {"imgaug": "0.5.0"})
    code_digest.cache_clear()
    assert code_digest(function) != before
    assert code_digest(function, libraries=False) == without
    code_digest.cache_clear()
