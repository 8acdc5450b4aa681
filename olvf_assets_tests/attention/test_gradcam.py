from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

from olvf_assets.attention.colours import as_8_bit, jet_picture
from olvf_assets.attention.gradcam import (
    AttentionMaps,
    NoSuchNetworkError,
    attention_maps,
    choose_network,
    gradcam_examples,
    gradcam_grids,
    gradcam_maps,
)
from olvf_assets.attention.grid import section_means
from olvf_assets.attention.settings import AttentionSettings
from olvf_assets.attention.tables import GRADCAM_EXAMPLES, GRADCAM_GRIDS, GRADCAM_MAPS
from olvf_assets.classification.tables import CHECKPOINTS
from olvf_assets.classification.training import train_fold
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets_tests.classification.made_up import HEIGHT, WIDTH, made_up_samples, small_settings


def made_up_maps() -> AttentionMaps:
    samples = pl.DataFrame(
        {
            "protocol": "patient",
            "sample_id": ["F1-L1-r0", "F2-L1-r0"],
            "crop_id": ["F1-L1", "F2-L1"],
            "patient_id": ["P1", "P2"],
            "label": ["old", "normal"],
            "predicted": ["fresh", "normal"],
            "replica": [0, 0],
            "institution": "institution_1",
            "level": "L1",
            "image_path": "images/any.png",
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
    kept = [np.load(path) for path in tmp_path.glob("work/gradcam/*/maps.npz")]
    assert len(kept) == 1
    shown = kept[0]["maps"][3, kept[0]["logits"][3].argmax()]
    np.testing.assert_allclose(maps.cams[3], cv2.resize(shown, (WIDTH, HEIGHT)))

    table = gradcam_maps(maps, store)
    assert table.schema == GRADCAM_MAPS
    assert table["sample_id"].to_list() == maps.samples["sample_id"].to_list()
    np.testing.assert_array_equal(store.load_image(table["map_path"][3]), as_8_bit(maps.cams[3]))
    assert table["map_maximum"][3] == pytest.approx(maps.cams[3].max())

    examples = gradcam_examples(table, settings, 3)
    assert examples.schema == GRADCAM_EXAMPLES
    assert examples.equals(gradcam_examples(table, settings, 3))
    assert max(examples["predicted"].value_counts()["count"]) <= 2
    assert set(examples["map_path"]) <= set(table["map_path"])
    assert gradcam_examples(table.clear(), settings, 3).schema == GRADCAM_EXAMPLES


def test_replicas_may_count_in_the_grids_but_are_never_shown(tmp_path: Path) -> None:
    maps = made_up_maps()
    maps.samples.replace_column(maps.samples.get_column_index("replica"), pl.Series("replica", [0, 1]))
    assert gradcam_grids(maps)["sample_id"].n_unique() == 2
    assert gradcam_maps(maps, ArtifactStore(tmp_path))["sample_id"].to_list() == ["F1-L1-r0"]
