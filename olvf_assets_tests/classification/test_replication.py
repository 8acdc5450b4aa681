from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from olvf_assets.classification.replication import (
    balanced_test_set,
    balanced_training_set,
    dealt_folds,
    replica_rows,
    replication_factors,
    samples_to_score,
)
from olvf_assets.classification.tables import BALANCED_TEST_SET, BALANCED_TRAINING_SET, SPLITS
from olvf_assets.detection.augmentation import augment
from olvf_assets.detection.settings import AugmentationRanges
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets_tests.classification.made_up import made_up_crop

THESIS_TEST = {"normal": 228, "old": 68, "fresh": 52}
THESIS_TRAINING = {"normal": 2056, "old": 608, "fresh": 469}
RANGES = AugmentationRanges()


def cohort(store: ArtifactStore, counts: dict[str, int], role: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (splits, vertebra_crops); the same crop stands for all of a class."""
    paths = {label: store.save_image(made_up_crop(label, number))[0] for number, label in enumerate(CLASSES)}
    labels = [label for label, count in counts.items() for _ in range(count)]
    crops = pl.DataFrame(
        {
            "protocol": "patient",
            "institution": "institution_1",
            "role": "development",
            "crop_id": [f"F{number:05d}-L1" for number in range(len(labels))],
            "patient_id": [f"P{number:05d}" for number in range(len(labels))],
            "level": "L1",
            "label": labels,
            "image_path": [paths[label] for label in labels],
        }
    )
    fold = pl.int_range(pl.len()) % 5 + 1 if role == "train" else pl.lit(None)
    sides = crops.with_columns(pl.lit(role).alias("role"), fold.alias("fold"))
    return sides.select(list(SPLITS)).cast(SPLITS), crops


@pytest.fixture
def without_altering(monkeypatch: pytest.MonkeyPatch) -> None:
    def same(image: np.ndarray, seed: int, ranges: Any) -> np.ndarray:
        return image

    monkeypatch.setattr("olvf_assets.detection.augmentation.augment", same)


@pytest.mark.usefixtures("without_altering")
def test_the_thesis_factors_give_the_thesis_counts(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    sides, _ = cohort(store, THESIS_TEST, "test")
    given = {"normal": 1, "old": 3, "fresh": 4}
    test = balanced_test_set(sides, store, RANGES, 1, given=given, workers=1)
    assert dict(test["label"].value_counts().iter_rows()) == {"normal": 228, "old": 204, "fresh": 208}
    assert len(test) == 640

    sides, _ = cohort(store, THESIS_TRAINING, "train")
    given = {"normal": 1, "old": 4, "fresh": 5}
    training = balanced_training_set(sides, store, RANGES, 1, folds=5, given=given, workers=1)
    assert dict(training["label"].value_counts().iter_rows()) == {"normal": 2056, "old": 2432, "fresh": 2345}
    assert len(training) == 6833


def test_computed_factors_round_the_ratio_to_normal_and_never_drop_a_class() -> None:
    assert replication_factors(THESIS_TEST) == {"normal": 1, "old": 3, "fresh": 4}
    assert replication_factors({"normal": 10, "old": 4, "fresh": 30}) == {"normal": 1, "old": 3, "fresh": 1}
    assert replication_factors({"normal": 10}) == {"normal": 1, "old": 1, "fresh": 1}


def test_replica_0_is_the_crop_and_the_others_are_altered_by_their_own_seed(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    sides, crops = cohort(store, {"normal": 4, "old": 2, "fresh": 1}, "train")
    table = balanced_training_set(sides, store, RANGES, 11, folds=5, workers=1)
    assert table.schema == BALANCED_TRAINING_SET
    assert table["sample_id"].to_list() == sorted(
        [
            f"F0000{number}-L1-r{replica}"
            for number in range(7)
            for replica in range(1 if number < 4 else 2 if number < 6 else 4)
        ]
    )
    originals = dict(crops.select("crop_id", "image_path").iter_rows())
    folds = dict(sides.select("crop_id", "fold").iter_rows())
    for row in table.iter_rows(named=True):
        original = store.load_image(originals[row["crop_id"]])
        wanted = original
        if row["replica"]:
            wanted = augment(original, derive_seed(11, "replica", row["sample_id"]), RANGES)
            assert not np.array_equal(wanted, original)
        np.testing.assert_array_equal(store.load_image(row["image_path"]), wanted)
        assert row["fold"] == folds[row["crop_id"]]


def test_processes_and_runs_do_not_change_the_replicas(tmp_path: Path) -> None:
    tables = []
    for folder, workers in (("one", 1), ("two", 2), ("two", 1)):
        store = ArtifactStore(tmp_path / folder)
        sides, _ = cohort(store, {"normal": 60, "old": 30, "fresh": 30}, "test")
        tables.append(balanced_test_set(sides, store, RANGES, 5, workers=workers))
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


def test_crops_of_patients_whom_no_split_names_are_scored_once_and_without_a_label(tmp_path: Path) -> None:
    sides, crops = cohort(ArtifactStore(tmp_path), {"normal": 3, "old": 1}, "test")
    table = samples_to_score(crops.drop("label"), sides.filter(pl.col("patient_id") != "P00001"))
    assert table.schema == BALANCED_TEST_SET
    assert table.select("sample_id", "replica", "fold", "label").rows() == [("F00001-L1-r0", 0, None, None)]
    elsewhere = sides.with_columns(institution=pl.lit("institution_2"))  # pseudonyms are the hospital's own
    assert samples_to_score(crops.drop("label"), elsewhere).height == 4


def test_protocol_thesis_deals_replicas_five_ways_and_parts_those_of_one_crop(tmp_path: Path) -> None:
    sides, _ = cohort(ArtifactStore(tmp_path), THESIS_TRAINING, "train")
    thesis = sides.with_columns(protocol=pl.lit("thesis"), fold=pl.lit(None, pl.Int64))
    samples = replica_rows(thesis, {"normal": 1, "old": 4, "fresh": 5})
    dealt = dealt_folds(samples, 5, 1)
    assert dealt.height == 6833
    per_fold = dealt.group_by("fold").len().sort("fold")
    assert per_fold.rows() == [(1, 1367), (2, 1367), (3, 1367), (4, 1366), (5, 1366)]
    per_class = dealt.group_by("fold", "label").len().group_by("label").agg(pl.col("len").max() - pl.col("len").min())
    assert per_class["len"].max() <= 1
    assert dealt.group_by("crop_id").agg(pl.col("fold").n_unique())["fold"].max() == 5
    assert dealt.equals(dealt_folds(samples.reverse(), 5, 1))
    assert not dealt.equals(dealt_folds(samples, 5, 2))


def test_protocol_patient_keeps_its_folds(tmp_path: Path) -> None:
    sides, _ = cohort(ArtifactStore(tmp_path), {"normal": 5, "old": 5}, "train")
    samples = replica_rows(sides, None)
    assert dealt_folds(samples, 5, 1).equals(samples)
