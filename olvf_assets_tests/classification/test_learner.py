"""The learner beside the loop that it stands for, written out; what a GPU adds is compared in `benchmarks/gpu.py`."""

from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from torch.nn.functional import cross_entropy

from olvf_assets.classification.augmentation import augment_batch
from olvf_assets.classification.learner import Learner, learning_rate
from olvf_assets.classification.networks import build, repeatable
from olvf_assets.classification.settings import ClassificationSettings
from olvf_assets.classification.training import FoldTraining, train_fold, train_to_the_end
from olvf_assets.foundation.provenance import file_sha256
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets_tests.classification.made_up import made_up_samples, small_settings

PICTURES = 19  # in batches of 8: 10 and 9


def made_up_side() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    pixels = torch.randint(0, 256, (PICTURES, 1, 48, 57), dtype=torch.uint8, generator=generator)
    return pixels, torch.arange(PICTURES) % 3


def written_out(settings: ClassificationSettings, peak: float, epochs: int) -> tuple[torch.nn.Module, list[float]]:
    """Return the network and the losses of a plain loop over epochs."""
    pixels, labels = made_up_side()
    model = build("resnet50", settings.networks["resnet50"], seed=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=peak, momentum=0.9, nesterov=True)
    losses = []
    for epoch in range(epochs):
        generator = torch.Generator().manual_seed(epoch)
        order = torch.randperm(PICTURES, generator=generator)
        batches = [order[:10], order[10:]]
        model.train()
        total = 0.0
        for number, batch in enumerate(batches):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(2 * epoch + number, 2 * settings.epochs, peak, settings)
            draws = torch.rand((4, len(batch)), generator=generator)
            logits = model(augment_batch(pixels[batch].float(), settings.augmentation, draws))
            loss = cross_entropy(logits, labels[batch], label_smoothing=settings.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        losses.append(total / PICTURES)
    return model, losses


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
def test_a_learner_does_what_the_loop_does_that_it_stands_for(schedule: str) -> None:
    settings = small_settings(schedule=schedule, label_smoothing=0.1)
    wanted, losses = written_out(settings, 0.05, 3)
    learner = Learner(build("resnet50", settings.networks["resnet50"], seed=1), made_up_side(), settings, 0.05)
    for epoch in range(3):
        learner.begin_epoch(epoch, seed=epoch)
        for _ in range(learner.steps):
            learner.step()
        assert learner.mean_loss() == pytest.approx(losses[epoch], rel=1e-6)
    for name, value in wanted.state_dict().items():
        assert torch.equal(learner.model.state_dict()[name], value), name


def test_a_learner_validates_as_evaluation_mode_does() -> None:
    settings = small_settings()
    learner = Learner(build("resnet50", settings.networks["resnet50"], seed=1), made_up_side(), settings, 0.05)
    pixels, labels = made_up_side()
    with patch.dict("olvf_assets.classification.learner.VALIDATION_BATCH", {"cpu": 7}):
        loss, accuracy = learner.validate((pixels, labels)).tolist()
    with torch.inference_mode():
        logits = learner.model.eval()(pixels.float())
    assert loss == pytest.approx(float(cross_entropy(logits, labels)), rel=1e-5)
    assert accuracy == pytest.approx(float((logits.argmax(dim=1) == labels).float().mean()))


def test_trainings_that_take_turns_end_as_they_do_alone(tmp_path: Path) -> None:
    settings = small_settings(epochs=2)
    store = ArtifactStore(tmp_path / "turns")
    samples = made_up_samples(store, 3, 3)
    samples = samples.head(25)  # sides of different sizes
    trainings, ticks = [], list[int]()
    with repeatable():
        for fold in (1, 3):
            folder = tmp_path / f"fold {fold}"
            folder.mkdir()
            about = {"architecture": "resnet50", "fold": fold, "seed": 3, "protocol": "patient", "start": "random"}
            trainings.append(FoldTraining(about, folder, samples.sort("sample_id"), store, settings, None))
        train_to_the_end(trainings, lambda: ticks.append(len(trainings[0].history)))
    assert ticks == [1, 2]
    assert [len(training.learner.labels) for training in trainings] == [16, 18]
    for training in trainings:
        alone = ArtifactStore(tmp_path / f"alone {training.fold}")
        row = train_fold("resnet50", training.fold, made_up_samples(alone, 3, 3).head(25), alone, settings, 3)
        assert row["train_loss_by_epoch"] == [loss for loss, _, _ in training.history]
        assert row["validation_loss"] == training.history[-1][1]
        assert file_sha256(alone.path(row["weights_path"])) == row["weights_sha256"]
