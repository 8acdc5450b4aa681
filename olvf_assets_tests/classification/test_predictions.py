from typing import Any, NamedTuple

import cv2
import numpy as np
import polars as pl
import pytest
import torch

from olvf_assets.classification import predictions
from olvf_assets.classification.ensemble import EnsembleError, ensemble_predictions
from olvf_assets.classification.networks import load_trained
from olvf_assets.classification.predictions import StaleCheckpointError, predict, predict_validation
from olvf_assets.classification.settings import ARCHITECTURES, ClassificationSettings
from olvf_assets.classification.tables import CHECKPOINTS, ENSEMBLE_PREDICTIONS, FOLD_PREDICTIONS
from olvf_assets.classification.training import train_fold
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.kept_answers import KeptAnswers
from olvf_assets_tests.classification.made_up import made_up_samples, small_settings

PROBABILITIES = ["p_normal", "p_old", "p_fresh"]
FOLDS = 5


class Trained(NamedTuple):
    store: ArtifactStore
    settings: ClassificationSettings
    training: pl.DataFrame
    test: pl.DataFrame
    checkpoints: pl.DataFrame

    def predict(self, **changes: Any) -> pl.DataFrame:
        arguments = {
            "checkpoints": self.checkpoints,
            "samples": self.test,
            "dataset": "test",
            "training_set": self.training,
            "store": self.store,
            "settings": self.settings,
            "seed": 3,
        }
        return predict(**{**arguments, **changes})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    store = ArtifactStore(tmp_path_factory.mktemp("trained"))
    settings = small_settings(epochs=1, input_divisor=2)
    training, test = made_up_samples(store, 3, 2), made_up_samples(store, 3, 0, first=1000)
    rows = [train_fold(architecture, 1, training, store, settings, 3) for architecture in ("resnet50", "resnext50")]
    return Trained(store, settings, training, test, pl.DataFrame(rows, schema=CHECKPOINTS))


def test_every_network_gives_every_sample_probabilities_that_sum_to_1(trained: Trained) -> None:
    table = trained.predict()
    assert table.schema == FOLD_PREDICTIONS
    assert len(table) == 2 * len(trained.test)
    np.testing.assert_allclose(table.select(PROBABILITIES).to_numpy().sum(axis=1), 1, atol=1e-12)
    assert table.equals(trained.predict(samples=trained.test.reverse()))


def test_probabilities_are_the_softmax_of_the_network_on_the_reduced_picture(trained: Trained) -> None:
    row = trained.checkpoints.filter(pl.col("architecture") == "resnet50").row(0, named=True)
    model = load_trained(trained.store.path(row["weights_path"]), trained.settings.networks["resnet50"])
    sample = trained.test.row(4, named=True)
    full = trained.store.load_image(sample["image_path"])
    reduced = cv2.resize(full, (29, 24), interpolation=cv2.INTER_AREA)
    with torch.no_grad():
        wanted = torch.softmax(model(torch.from_numpy(reduced).float()[None, None]), dim=1)[0].numpy()
    got = trained.predict().filter(
        (pl.col("sample_id") == sample["sample_id"]) & (pl.col("architecture") == "resnet50")
    )
    np.testing.assert_allclose(got.select(PROBABILITIES).row(0), wanted, atol=1e-5)


def test_what_a_patient_gets_hangs_on_no_other_and_is_worked_out_once(trained: Trained, tmp_path, monkeypatch) -> None:
    together = trained.predict()
    patients = trained.test["patient_id"].unique().sort()
    order = ["architecture", "fold", "sample_id"]
    alone = pl.concat(trained.predict(samples=trained.test.filter(patient_id=patient)) for patient in patients)
    assert alone.sort(order).equals(together.sort(order))
    lines: list[str] = []
    with KeptAnswers(ArtifactStore(tmp_path), "kept") as kept:
        trained.predict(samples=trained.test.filter(pl.col("patient_id") != patients[0]), kept=kept)
    with KeptAnswers(ArtifactStore(tmp_path), "kept") as kept:
        assert trained.predict(kept=kept, report=lines.append).equals(together)
    own = trained.test.filter(patient_id=patients[0]).height
    assert lines == [f"{name}, fold 1: {own} test samples" for name in ("resnet50", "resnext50")]
    monkeypatch.setattr(predictions, "class_probabilities", None)  # nothing is scored again
    with KeptAnswers(ArtifactStore(tmp_path), "kept") as kept:
        relabelled = trained.predict(samples=trained.test.with_columns(label=pl.lit("old")), kept=kept)
    assert relabelled["label"].unique().to_list() == ["old"]
    assert relabelled.select(PROBABILITIES).equals(together.select(PROBABILITIES))


def test_no_samples_give_no_predictions(trained: Trained) -> None:
    table = trained.predict(samples=trained.test.head(0), dataset="external")
    assert table.schema == FOLD_PREDICTIONS
    assert table.is_empty()


def test_validation_predictions_are_of_each_networks_own_fold_and_of_no_replica(trained: Trained) -> None:
    settings, first = trained.settings, trained.training.filter(pl.col("fold") == 1)
    replicas = first.with_columns(sample_id=pl.col("crop_id") + "-r1", replica=pl.lit(1, pl.Int64))
    training = pl.concat([trained.training, replicas])
    row = train_fold("resnet50", 1, training, trained.store, settings, 3)
    checkpoints = pl.DataFrame([row], schema=CHECKPOINTS)
    table = predict_validation(checkpoints, training, trained.store, settings, 3)
    assert table.schema == FOLD_PREDICTIONS
    assert table["sample_id"].to_list() == first["sample_id"].sort().to_list()
    assert table["dataset"].unique().to_list() == ["validation"]
    expected = predict(checkpoints, first, "validation", training, trained.store, settings, 3)
    assert table.equals(expected)


@pytest.mark.parametrize("change", ["seed", "epochs", "data"])
def test_a_checkpoint_of_another_training_is_refused_with_the_way_out(trained: Trained, change: str) -> None:
    changes: dict[str, Any] = {
        "seed": {"seed": 4},
        "epochs": {"settings": small_settings(epochs=2, input_divisor=2)},
        "data": {"training_set": trained.training.head(17)},
    }[change]
    with pytest.raises(StaleCheckpointError, match=r"materialise resnet50_checkpoints \(fold 1\) again"):
        trained.predict(**changes)


def test_weights_changed_behind_the_table_are_refused(trained: Trained) -> None:
    row = trained.checkpoints.filter(pl.col("architecture") == "resnet50")
    path = trained.store.path(row["weights_path"][0])
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        with pytest.raises(StaleCheckpointError, match="not the weights the table names"):
            trained.predict(checkpoints=row)
    finally:
        path.write_bytes(content)


def member(architecture: str, fold: int, probabilities: list[float], sample: str = "F1-L1-r0") -> dict[str, Any]:
    about = {
        "protocol": "patient",
        "dataset": "test",
        "institution": "institution_1",
        "crop_id": "F1-L1",
        "patient_id": "P1",
    }
    shares = dict(zip(PROBABILITIES, probabilities, strict=True))
    own = {"architecture": architecture, "fold": fold, "sample_id": sample, "level": "L1", "label": "old", "replica": 0}
    made_from = {"image_path": "images/1.png", "weights_sha256": f"{architecture}{fold}"}
    return {**about, **own, **shares, **made_from}


def all_members() -> pl.DataFrame:
    """Fold 1: each network is for another class, old by the greatest sum. Other folds: all for fresh, weakly."""
    first = {"resnet50": [0.5, 0.4, 0.1], "densenet161": [0.1, 0.8, 0.1], "resnext50": [0.1, 0.3, 0.6]}
    rows = [member(architecture, 1, first[architecture]) for architecture in ARCHITECTURES]
    rows += [
        member(architecture, fold, [0.3, 0.25, 0.45]) for fold in range(2, FOLDS + 1) for architecture in ARCHITECTURES
    ]
    return pl.DataFrame(rows, schema=FOLD_PREDICTIONS)


def test_the_ensemble_sums_probabilities_and_the_highest_sum_wins() -> None:
    table = ensemble_predictions(all_members(), FOLDS)
    assert table.schema == ENSEMBLE_PREDICTIONS
    first = table.filter((pl.col("model") == "ensemble") & (pl.col("fold") == "1")).row(0, named=True)
    assert [first[name] for name in PROBABILITIES] == pytest.approx([0.7 / 3, 1.5 / 3, 0.8 / 3])
    assert first["predicted"] == "old"
    of_all = table.filter(pl.col("model") == "ensemble_of_15").row(0, named=True)
    sums = [(0.7 + 12 * 0.3) / 15, (1.5 + 12 * 0.25) / 15, (0.8 + 12 * 0.45) / 15]
    assert [of_all[name] for name in PROBABILITIES] == pytest.approx(sums)
    assert (of_all["fold"], of_all["predicted"]) == ("mean", "fresh")
    assert table.filter(pl.col("model") == "ensemble")["fold"].to_list() == ["1", "2", "3", "4", "5"]


def test_the_ensemble_keeps_samples_apart_whatever_the_order_of_rows() -> None:
    rng = np.random.default_rng(2)
    shares = rng.dirichlet([1, 1, 1], size=(40, FOLDS, 3))
    rows = [
        member(architecture, fold, list(shares[sample, fold - 1, place]), f"F{sample:02d}-L1-r0")
        for sample in range(40)
        for fold in range(1, FOLDS + 1)
        for place, architecture in enumerate(ARCHITECTURES)
    ]
    table = pl.DataFrame(rows, schema=FOLD_PREDICTIONS)
    ensemble = ensemble_predictions(table, FOLDS)
    assert ensemble.equals(ensemble_predictions(table.sample(fraction=1, shuffle=True, seed=1), FOLDS))
    per_fold = ensemble.filter(pl.col("model") == "ensemble").sort("sample_id", "fold")
    np.testing.assert_allclose(per_fold.select(PROBABILITIES).to_numpy().reshape(40, FOLDS, 3), shares.mean(axis=2))
    winners = [CLASSES[index] for index in shares.mean(axis=(1, 2)).argmax(axis=1)]
    assert ensemble.filter(pl.col("model") == "ensemble_of_15").sort("sample_id")["predicted"].to_list() == winners


def test_a_missing_member_is_refused_by_name() -> None:
    lacking = all_members().filter(~((pl.col("architecture") == "resnext50") & (pl.col("fold") == 4)))
    with pytest.raises(EnsembleError, match=r"F1-L1-r0 .* lacks \[resnext50 of fold 4\]"):
        ensemble_predictions(lacking, FOLDS)


def test_a_doubled_member_is_refused_by_name() -> None:
    doubled = pl.concat([all_members(), all_members().head(1)])
    with pytest.raises(EnsembleError, match="F1-L1-r0 has resnet50 of fold 1 more than once"):
        ensemble_predictions(doubled, FOLDS)


def test_a_fold_beyond_the_study_is_refused_by_name() -> None:
    extra = pl.concat([all_members(), pl.DataFrame([member("resnet50", 6, [1, 0, 0])], schema=FOLD_PREDICTIONS)])
    with pytest.raises(EnsembleError, match=r"beyond the 15 members \[resnet50 of fold 6\]"):
        ensemble_predictions(extra, FOLDS)
