"""Maps of crops that no network learnt from."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from olvf_assets.attention import crop_attention as module
from olvf_assets.attention.crop_attention import crop_attention
from olvf_assets.attention.gradcam import attention_maps, gradcam_maps
from olvf_assets.attention.settings import AttentionSettings
from olvf_assets.attention.tables import CROP_ATTENTION
from olvf_assets.classification.replication import samples_to_score
from olvf_assets.classification.tables import CHECKPOINTS
from olvf_assets.classification.training import train_fold
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.kept_answers import KeptAnswers
from olvf_assets_tests.classification.made_up import made_up_samples, small_settings

SETTINGS = small_settings(epochs=1, folds=2)
ANY = AttentionSettings(architecture=None, fold=None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[ArtifactStore, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return store, training set, checkpoints and detected crops, two of each of three patients."""
    store = ArtifactStore(tmp_path_factory.mktemp("lake"))
    samples = made_up_samples(store, 4, 2)
    checkpoints = pl.DataFrame([train_fold("resnet50", 1, samples, store, SETTINGS, 1)], schema=CHECKPOINTS)
    crops = samples.filter(replica=0).unique("crop_id", maintain_order=True).head(6)
    crops = crops.select("protocol", "institution", "crop_id", "level", "image_path").with_columns(
        institution=pl.lit("institution_2"), patient_id=pl.Series(["X1", "X1", "X2", "X2", "X3", "X3"])
    )
    return store, samples, checkpoints, crops


def made(trained, kept: KeptAnswers | None = None, crops: pl.DataFrame | None = None) -> pl.DataFrame:
    store, samples, checkpoints, all_crops = trained
    nobody = pl.DataFrame(schema={"institution": pl.String, "patient_id": pl.String})
    free = samples_to_score(all_crops if crops is None else crops, nobody)
    return crop_attention(checkpoints, free, samples, store, ANY, SETTINGS, 1, kept=kept)


def test_a_map_is_that_of_the_test_set_s_way_and_needs_no_label(trained) -> None:
    store, samples, checkpoints, crops = trained
    table = made(trained)
    assert table.schema == CROP_ATTENTION
    assert table["crop_id"].to_list() == sorted(crops["crop_id"])
    as_test = samples_to_score(crops, pl.DataFrame(schema={"institution": pl.String, "patient_id": pl.String}))
    labelled = as_test.with_columns(label=pl.lit("old"))
    maps = gradcam_maps(attention_maps(checkpoints, labelled, samples, store, ANY, SETTINGS, 1), store)
    both = table.join(maps, on="crop_id", suffix="_test")
    assert both.height == table.height
    assert both["predicted"].to_list() == both["predicted_test"].to_list()
    for one, other in both.select("map_path", "map_path_test").iter_rows():
        difference = np.abs(store.load_image(one).astype(int) - store.load_image(other))
        assert difference.max() <= 1  # a patient's crops are a batch of their own: last bits may differ


def test_a_patient_more_costs_one_patient_and_nothing_of_the_others_moves(
    trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []
    maps_of = module.class_maps

    def counting(model, pixels):
        looked_at.append(len(pixels))
        return maps_of(model, pixels)

    monkeypatch.setattr(module, "class_maps", counting)
    crops = trained[3]
    file = tmp_path / "kept.parquet"
    with KeptAnswers(ArtifactStore(file.parent), file.name) as kept:
        first = made(trained, kept, crops.filter(pl.col("patient_id") != "X3"))
    assert looked_at == [2, 2]
    with KeptAnswers(ArtifactStore(file.parent), file.name) as kept:
        second = made(trained, kept)
    assert looked_at == [2, 2, 2]
    assert second.filter(pl.col("patient_id") != "X3").equals(first)
    gone = second["map_path"][0]
    trained[0].path(gone).unlink()
    with KeptAnswers(ArtifactStore(file.parent), file.name) as kept:
        assert made(trained, kept).equals(second)
    assert looked_at[3:] == [2] * second.filter(map_path=gone)["patient_id"].n_unique()


def test_no_crops_give_an_empty_table(trained) -> None:
    assert made(trained, crops=trained[3].clear()).equals(CROP_ATTENTION.to_frame())
