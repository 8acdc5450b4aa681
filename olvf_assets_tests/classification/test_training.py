import hashlib
import math
from pathlib import Path

import polars as pl
import pytest
import torch

from olvf_assets.classification import learner, provenance, training
from olvf_assets.classification.curves import training_curves
from olvf_assets.classification.learner import learning_rate
from olvf_assets.classification.predictions import class_probabilities, load_checkpoint
from olvf_assets.classification.progress import PROGRESS, Progress
from olvf_assets.classification.provenance import SampleError, expected_fingerprint, start_sha256, training_description
from olvf_assets.classification.settings import ARCHITECTURES, Architecture, NetworkSettings
from olvf_assets.classification.tables import CHECKPOINTS, TRAINING_CURVES
from olvf_assets.classification.training import DivergedTrainingError, train_fold, train_folds, trainings_together
from olvf_assets.foundation.engine import TRAINING, UnsharedStoreError
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.storage.artifacts import ArtifactStore, fingerprint
from olvf_assets_tests.classification.made_up import NETWORKS, made_up_samples, small_settings
from olvf_assets_tests.foundation.elsewhere import chosen

SEED = 3


class KilledError(Exception):
    """Stands for a run that ends between two epochs."""


def killed_after(epochs: int) -> training.Report:
    lines: list[str] = []

    def report(line: str) -> None:
        lines.append(line)
        if len(lines) == epochs:
            raise KilledError

    return report


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_killed_training_continues_and_ends_with_the_same_weights(tmp_path: Path, architecture: Architecture) -> None:
    settings = small_settings(schedule="one_cycle", label_smoothing=0.1)
    whole, killed = ArtifactStore(tmp_path / "whole"), ArtifactStore(tmp_path / "killed")
    wanted = train_fold(architecture, 1, made_up_samples(whole, 4, 2), whole, settings, SEED)
    samples = made_up_samples(killed, 4, 2)
    with pytest.raises(KilledError):
        train_fold(architecture, 1, samples, killed, settings, SEED, killed_after(2))
    lines: list[str] = []
    row = train_fold(architecture, 1, samples, killed, settings, SEED, lines.append)
    assert len(lines) == 1  # only the third epoch was left
    assert row == wanted
    assert (killed.path(row["weights_path"]).read_bytes()) == whole.path(row["weights_path"]).read_bytes()


def test_finished_work_is_reused_and_other_work_is_not(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    samples, settings = made_up_samples(store, 3, 2), small_settings(epochs=1)
    first = train_fold("resnet50", 1, samples, store, settings, SEED)
    lines: list[str] = []
    assert train_fold("resnet50", 1, samples.reverse(), store, settings, SEED, lines.append) == first
    assert lines == []
    other = train_fold("resnet50", 1, samples, store, settings, SEED + 1, lines.append)
    assert len(lines) == 1
    assert other["weights_sha256"] != first["weights_sha256"]


def test_the_fingerprint_hangs_on_data_settings_seed_and_fold_but_not_on_workers(tmp_path: Path) -> None:
    samples, settings = made_up_samples(ArtifactStore(tmp_path), 2, 2), small_settings()

    def mark(fold: int = 1, table: pl.DataFrame = samples, seed: int = SEED, **changes: object) -> str:
        return fingerprint(training_description("resnet50", fold, table, small_settings(**changes), seed, "random"))

    first = fingerprint(training_description("resnet50", 1, samples, settings, SEED, "random"))
    assert mark() == mark(workers=2) == mark(table=samples.reverse()) == first
    changed = samples.with_columns(
        pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("fresh")).otherwise("label").alias("label")
    )
    networks = {**NETWORKS, "resnet50": {**NETWORKS["resnet50"], "learning_rate": 0.07}}
    others = [
        mark(fold=2),
        mark(table=samples.head(5)),
        mark(table=changed),
        mark(seed=4),
        mark(epochs=9),
        mark(networks=networks),
    ]
    assert len({first, *others}) == 7
    elsewhere = {**NETWORKS, "resnext50": {**NETWORKS["resnext50"], "learning_rate": 0.07}}
    assert mark(networks=elsewhere) == first  # another network's settings are none of this one's business


def start_mark(weights: Path, samples: pl.DataFrame) -> str:
    networks = {**NETWORKS, "resnet50": {**NETWORKS["resnet50"], "weights": str(weights)}}
    settings = small_settings(networks=networks)
    start = start_sha256(settings.networks["resnet50"])
    return fingerprint(training_description("resnet50", 1, samples, settings, SEED, str(start)))


def test_start_weights_are_known_by_their_content(tmp_path: Path) -> None:
    samples, weights = made_up_samples(ArtifactStore(tmp_path), 2, 2), tmp_path / "start.pth"
    weights.write_bytes(b"one")
    first = start_mark(weights, samples)
    weights.write_bytes(b"two")
    assert start_mark(weights, samples) != first
    weights.write_bytes(b"one")
    assert start_mark(weights, samples) == first


def test_downloaded_start_weights_are_found_and_known_by_their_content(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    network = NetworkSettings(model="resnet50", learning_rate=0.1, weights="imagenet")
    assert start_sha256(network) is None
    folder = tmp_path / "models--timm--resnet50.a1_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "snapshots" / "abc" / "model.safetensors").write_bytes(b"weights")
    assert start_sha256(network) == hashlib.sha256(b"weights").hexdigest()


def test_another_version_of_a_library_is_another_training_and_the_log_says_so(tmp_path: Path, monkeypatch) -> None:
    store = ArtifactStore(tmp_path)
    samples, settings = made_up_samples(store, 3, 2), small_settings(epochs=1)
    lines: list[str] = []
    (before,) = train_folds("resnet50", [1], samples, store, settings, SEED, lines.append).to_dicts()
    assert "resnet50, fold 1: trained anew: nothing of the kind was done before" in lines
    versions = provenance.library_versions(*provenance.LIBRARIES)
    monkeypatch.setattr(provenance, "library_versions", lambda *_: {**versions, "timm": "0.4"})
    assert expected_fingerprint(before, samples, settings, SEED) != before["fingerprint"]
    train_folds("resnet50", [1], samples, store, settings, SEED, lines.append)
    now = f"libraries.timm ({versions['timm']} before, 0.4 now)"
    assert f"resnet50, fold 1: trained anew: differs from the closest earlier one in {now}" in lines


def test_training_learns_what_distinguishes_the_classes(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    samples = made_up_samples(store, 16, 2)
    row = train_fold("densenet161", 2, samples, store, small_settings(epochs=20, schedule="one_cycle"), SEED)
    assert row["train_loss_by_epoch"][0] > 0.9
    assert row["train_loss_by_epoch"][-1] < 0.5
    assert row["validation_accuracy"] > 0.9
    assert (row["n_training"], row["n_validation"]) == (48, 48)
    assert row["validation_loss"] == row["validation_loss_by_epoch"][-1]


def test_folds_are_trained_side_by_side_as_they_are_alone(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "together")
    samples = made_up_samples(store, 3, 2)
    lines: list[str] = []
    table = train_folds("resnet50", [2, 1], samples, store, small_settings(epochs=1, workers=2), SEED, lines.append)
    assert table.schema == CHECKPOINTS
    assert table["fold"].to_list() == [1, 2]
    assert lines[-1] == "2/2 folds of resnet50"
    alone = ArtifactStore(tmp_path / "alone")
    row = train_fold("resnet50", 2, made_up_samples(alone, 3, 2), alone, small_settings(epochs=1), SEED)
    assert table.row(1, named=True) == row


@pytest.mark.parametrize(("cards", "pieces"), [(0, 2), (1, 1), (2, 2)])
def test_folds_are_trained_elsewhere_as_they_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cards: int, pieces: int
) -> None:
    here, there = ArtifactStore(tmp_path / "here"), ArtifactStore(tmp_path / "there")
    settings = small_settings(epochs=1, workers=1)
    table = train_folds("resnet50", [2, 1], made_up_samples(here, 3, 2), here, settings, SEED)
    elsewhere = chosen(monkeypatch, cards)
    lines: list[str] = []
    samples = made_up_samples(there, 3, 2)
    assert train_folds("resnet50", [1, 2], samples, there, settings, SEED, lines.append).equals(table)
    assert elsewhere.asked == [("_train_as_many_as_fit", pieces, TRAINING, 1)]
    assert lines[-1] == f"{pieces}/{pieces} folds of resnet50"
    assert train_folds("resnet50", [1], samples, there, settings, SEED).equals(table.head(1))
    assert len(elsewhere.asked) == 1  # what is finished is asked of nobody


@pytest.mark.parametrize(("cards", "asked", "later"), [(5, 5, 0), (15, 6, 0), (3, 3, 1), (2, 2, 2)])
def test_cards_that_would_stand_idle_train_the_other_architectures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cards: int, asked: int, later: int
) -> None:
    store, settings = ArtifactStore(tmp_path), small_settings(epochs=1)
    samples = made_up_samples(store, 3, 2)
    elsewhere = chosen(monkeypatch, cards)
    train_folds("resnet50", [1, 2], samples, store, settings, SEED)
    begun = {each["architecture"] for each in store.descriptions(training.KIND)}
    assert len(begun) == min(3, max(1, cards - 1))  # nothing is left behind of what nobody trains
    for architecture in ARCHITECTURES:
        table = train_folds(architecture, [1, 2], samples, store, settings, SEED)
        assert table.select("architecture", "fold").rows() == [(architecture, 1), (architecture, 2)]
    assert (elsewhere.asked[0][1], len(elsewhere.asked) - 1) == (asked, later)
    alone = ArtifactStore(tmp_path / "alone")
    assert train_fold("resnext50", 2, made_up_samples(alone, 3, 2), alone, settings, SEED) == table.row(1, named=True)


def test_what_another_architecture_lacks_stops_its_own_table_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore(tmp_path)
    networks = {**NETWORKS, "densenet161": {**NETWORKS["densenet161"], "weights": str(tmp_path / "absent.safetensors")}}
    samples, settings = made_up_samples(store, 3, 2), small_settings(epochs=1, networks=networks)
    elsewhere = chosen(monkeypatch, 15)
    assert train_folds("resnet50", [1], samples, store, settings, SEED).height == 1
    assert elsewhere.asked[0][1] == 2  # resnext50, too
    with pytest.raises(OlvfError, match=r"absent\.safetensors"):
        train_folds("densenet161", [1], samples, store, settings, SEED)


def test_networks_that_workers_keep_to_themselves_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, settings = ArtifactStore(tmp_path), small_settings(epochs=1)
    chosen(monkeypatch)
    monkeypatch.setattr(training, "_train_as_many_as_fit", for_itself)
    with pytest.raises(UnsharedStoreError, match="classifiers: made by workers of the cluster, and not in the store"):
        train_folds("resnet50", [1], made_up_samples(store, 3, 2), store, settings, SEED)


def for_itself(*_: object, **__: object) -> None:
    """Make nothing that this store could hold."""


def test_a_loss_that_is_no_number_ends_the_training_by_name(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    networks = {**NETWORKS, "resnet50": {**NETWORKS["resnet50"], "learning_rate": 1e20}}
    with pytest.raises(
        DivergedTrainingError, match=r"resnet50, fold 1: the loss is .* lower classification\.networks\.resnet50"
    ):
        train_fold("resnet50", 1, made_up_samples(store, 4, 2), store, small_settings(networks=networks), SEED)


def test_a_fold_without_one_of_the_classes_is_refused_by_name(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    samples = made_up_samples(store, 2, 2).filter(~((pl.col("label") == "old") & (pl.col("fold") == 2)))
    with pytest.raises(SampleError, match="no old sample on the validation side of fold 2"):
        train_fold("resnet50", 2, samples, store, small_settings(), SEED)


def test_samples_of_two_protocols_are_not_trained_together(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    samples = made_up_samples(store, 2, 2)
    both = pl.concat([samples, samples.with_columns(pl.lit("thesis").alias("protocol"))])
    with pytest.raises(SampleError, match="one protocol"):
        train_fold("resnet50", 1, both, store, small_settings(), SEED)


def test_no_batch_is_too_small_for_batch_normalisation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ArtifactStore(tmp_path)
    samples = made_up_samples(store, 3, 2).head(9 + 8).with_columns(pl.Series("fold", [1] * 9 + [2] * 8))
    sizes: list[int] = []
    real = learner.augment_batch

    def noting(pictures: torch.Tensor, *rest: object) -> torch.Tensor:
        sizes.append(len(pictures))
        return real(pictures, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(learner, "augment_batch", noting)
    train_fold("resnet50", 2, samples, store, small_settings(epochs=1, batch=4), SEED)
    assert sizes == [5, 4]  # nine samples in batches of four: none is left alone


def test_the_learning_rate_warms_up_and_falls_to_nothing_or_stays() -> None:
    cycle = small_settings(schedule="one_cycle", warmup_share=0.2)
    rates = [learning_rate(step, 100, 0.1, cycle) for step in range(100)]
    assert rates[:3] == pytest.approx([0.1 / 21, 0.2 / 21, 0.3 / 21])
    assert max(rates) == rates[20] == pytest.approx(0.1)
    assert rates[60] == pytest.approx(0.05)
    assert rates[99] == pytest.approx(0.05 * (1 + math.cos(math.pi * 79 / 80)))
    assert {learning_rate(step, 100, 0.1, small_settings()) for step in range(100)} == {0.1}


def test_while_training_goes_on_its_last_epochs_can_be_seen_and_afterwards_all_of_them(tmp_path: Path) -> None:
    store, settings = ArtifactStore(tmp_path), small_settings()
    samples = made_up_samples(store, 3, 2)
    with pytest.raises(KilledError):
        train_fold("resnet50", 1, samples, store, settings, SEED, killed_after(2))
    (folder,) = (file.parent for file in tmp_path.rglob(PROGRESS))
    seen: list[dict[str, object]] = []
    said: list[str] = []
    progress = Progress(store, [folder, tmp_path / "not begun"], seen.append, said.append)
    progress.show()
    progress.show()  # nothing new
    (figures,) = seen
    assert figures["fold 1 epoch"] == 2
    assert figures["fold 1 of epochs"] == 3
    assert said == ["2/6 epochs"]
    train_folds("resnet50", [1, 2], samples, store, settings, SEED)
    progress.show()
    assert seen[1:] == [{}]  # finished: the table tells
    checkpoints = train_folds("resnet50", [1, 2], samples, store, settings, SEED)
    curves = training_curves([checkpoints])
    assert curves.schema == TRAINING_CURVES
    assert curves.select("fold", "epoch").rows() == [(fold, epoch) for fold in (1, 2) for epoch in (1, 2, 3)]
    first = curves.row(1, named=True)
    assert first["train_loss"] == figures["fold 1 train loss"]
    assert first["validation_accuracy"] == figures["fold 1 validation accuracy"]


def test_as_many_trainings_share_a_gpu_as_fit_unless_their_layers_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    for free_gib, together in ((78, 19), (9, 2), (2, 1)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda gib=free_gib: (gib * 2**30, 80 * 2**30))
        settings = small_settings(gpu_memory_gib=4.0, workers=0)
        assert trainings_together(settings, "resnet50") == together
        assert trainings_together(settings, "densenet161") == 1  # drop_rate
    assert trainings_together(small_settings(workers=3), "resnet50") == 3


def test_another_timm_network_is_one_line_of_a_profile(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    samples = made_up_samples(store, 3, 2)
    other = {"model": "mobilenetv3_small_050", "learning_rate": 0.01}
    settings = small_settings(epochs=1, networks=NETWORKS | {"resnet50": other})
    row = train_fold("resnet50", 1, samples, store, settings, SEED)
    model = load_checkpoint(row, samples, store, settings, SEED)
    pixels = store.load_image(samples["image_path"][0])[None]
    assert class_probabilities(model, pixels).sum() == pytest.approx(1)
