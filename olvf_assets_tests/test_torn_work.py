"""Every file that lets a run skip work, torn as a power cut leaves it: the work is done again and ends the same."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from olvf_assets.classification.pixels import packed_pixels
from olvf_assets.classification.predictions import load_checkpoint
from olvf_assets.classification.progress import Progress
from olvf_assets.classification.replication import _replica_paths
from olvf_assets.classification.training import train_fold, train_folds
from olvf_assets.detection.copies import make_detector_copies
from olvf_assets.detection.settings import DetectionSettings
from olvf_assets.detection.training import _losses
from olvf_assets.phantom.hospital import RECORD_FILE, _read_record
from olvf_assets.profiles import load_profile
from olvf_assets.storage.artifacts import ArtifactStore, read_if_whole
from olvf_assets_tests.classification.made_up import made_up_samples, small_settings
from olvf_assets_tests.detection.drawn_films import draw_films, split_patients
from olvf_assets_tests.intake.samples import film, hospital, pixels

TEARS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "cut": lambda whole: whole[: len(whole) // 2],
    "zeros": lambda whole: bytes(len(whole)),
}
every_tear = pytest.mark.parametrize("tear", TEARS.values(), ids=TEARS.keys())


def tear_all(folder: Path, pattern: str, tear: Callable[[bytes], bytes]) -> int:
    torn = sorted(folder.rglob(pattern))
    for file in torn:
        file.write_bytes(tear(file.read_bytes()))
    return len(torn)


def drawn(store: ArtifactStore, number: int) -> pl.DataFrame:
    noise = np.random.default_rng(0)
    paths = [store.save_image(noise.integers(0, 256, (14, 16), np.uint8))[0] for _ in range(number)]
    return pl.DataFrame({"image_path": paths})


@every_tear
def test_packed_pixels(tmp_path: Path, tear: Callable[[bytes], bytes]) -> None:
    store = ArtifactStore(tmp_path)
    samples = drawn(store, 3)
    before = np.array(packed_pixels(samples, store, 2))
    assert tear_all(tmp_path, "pixels.npy", tear) == 1
    np.testing.assert_array_equal(packed_pixels(samples, store, 2), before)


@every_tear
@pytest.mark.parametrize("name", ["checkpoint.json", "weights.safetensors", "provenance.json"])
def test_a_finished_training(tmp_path: Path, tear: Callable[[bytes], bytes], name: str) -> None:
    store, settings = ArtifactStore(tmp_path), small_settings(epochs=1)
    samples = made_up_samples(store, 2, 2)
    before = train_folds("resnet50", [1], samples, store, settings, 7)
    assert tear_all(tmp_path / "work" / "classifiers", name, tear) == 1
    assert train_folds("resnet50", [1], samples, store, settings, 7).equals(before)
    assert load_checkpoint(before.row(0, named=True), samples, store, settings, 7) is not None


@every_tear
@pytest.mark.parametrize("name", ["state.pt", "progress.json"])
def test_an_unfinished_training(tmp_path: Path, tear: Callable[[bytes], bytes], name: str) -> None:
    store, settings = ArtifactStore(tmp_path / "torn"), small_settings(epochs=2)
    samples = made_up_samples(store, 2, 2)

    def kill(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_fold("resnet50", 1, samples, store, settings, 7, kill)
    assert tear_all(store.root, name, tear) == 1
    seen: list[dict[str, object]] = []
    Progress(store, [file.parent for file in store.root.rglob("state.pt")], seen.append).show()
    assert all(value is not None for figures in seen for value in figures.values())
    undisturbed = ArtifactStore(tmp_path / "undisturbed")
    expected = train_fold("resnet50", 1, made_up_samples(undisturbed, 2, 2), undisturbed, settings, 7)
    assert train_fold("resnet50", 1, samples, store, settings, 7) == expected


@every_tear
@pytest.mark.parametrize("pattern", ["result.json", "*.png"])
def test_decoded_films(tmp_path: Path, tear: Callable[[bytes], bytes], pattern: str) -> None:
    folder = hospital(tmp_path, {"one.dcm": film("one"), "two.dcm": film("two")})
    before = pixels(folder, tmp_path)
    assert tear_all(tmp_path / "lake", pattern, tear) == 2
    assert pixels(folder, tmp_path).equals(before)
    store = ArtifactStore(tmp_path / "lake")
    assert [store.load_image(path).shape for path in before["image_path"]] == [(40, 30), (40, 30)]


@every_tear
@pytest.mark.parametrize("kind", ["record", "pictures"])
def test_the_detector_s_copies(tmp_path: Path, tear: Callable[[bytes], bytes], kind: str) -> None:
    store, films, boxes = draw_films(tmp_path, {"institution_1": ["A", "B"]})
    settings = DetectionSettings(copies=1, keep_original=True, image_px=64, workers=1)
    splits = split_patients({"A": 1, "B": 2})
    before = make_detector_copies(films, boxes, splits, store, settings, 7)
    if kind == "record":
        assert tear_all(store.root, "copies.json", tear) == 2
    else:
        for path in before["image_path"]:
            store.path(path).write_bytes(tear(store.path(path).read_bytes()))
    assert make_detector_copies(films, boxes, splits, store, settings, 7).equals(before)
    assert all(store.load_image(path).shape == (64, 64) for path in before["image_path"])


@every_tear
def test_replicas(tmp_path: Path, tear: Callable[[bytes], bytes]) -> None:
    store = ArtifactStore(tmp_path)
    altered = drawn(store, 3).select(sample_id=pl.int_range(pl.len()).cast(pl.String), image_path="image_path")
    before = _replica_paths(altered, store, load_profile("ci").detection.augmentation, 7, 1, None)
    for path in before["replica_path"]:
        store.path(path).write_bytes(tear(store.path(path).read_bytes()))
    assert _replica_paths(altered, store, load_profile("ci").detection.augmentation, 7, 1, None).equals(before)
    assert all(store.load_image(path).shape == (14, 16) for path in before["replica_path"])


@every_tear
def test_the_detector_s_weights(tmp_path: Path, tear: Callable[[bytes], bytes]) -> None:
    weights = tmp_path / "detector.safetensors"
    save_file({"a": np.arange(100.0)}, weights, metadata={"losses": "1.5 0.5"})
    assert read_if_whole(weights, _losses) == [1.5, 0.5]
    tear_all(tmp_path, weights.name, tear)
    assert read_if_whole(weights, _losses) is None


@every_tear
def test_the_phantom_s_record(tmp_path: Path, tear: Callable[[bytes], bytes]) -> None:
    folder = tmp_path / "institution_1"
    folder.mkdir()
    (folder / RECORD_FILE).write_text('{"fingerprint": "x", "complete": true, "files": ["a"]}')
    assert _read_record(folder)["fingerprint"] == "x"
    tear_all(folder, RECORD_FILE, tear)
    assert _read_record(folder) == {"files": []}
