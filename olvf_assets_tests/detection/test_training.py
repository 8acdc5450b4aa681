"""Training: stopped anywhere, ended the same; silent, offline, tidy."""

import os
from pathlib import Path

import polars as pl
import pytest

from olvf_assets.detection import prediction, provenance, training
from olvf_assets.detection.copies import make_detector_copies
from olvf_assets.detection.metrics import detector_answers, detector_metrics
from olvf_assets.detection.prediction import detection_candidates
from olvf_assets.detection.provenance import (
    StaleDetectorError,
    detector_description,
    refuse_stale_detector,
    source_sha256,
)
from olvf_assets.detection.settings import DetectionSettings, GeometrySettings
from olvf_assets.detection.tables import (
    DETECTION_CANDIDATES,
    DETECTOR_ANSWERS,
    DETECTOR_COPIES,
    DETECTOR_METRICS,
    DETECTOR_MODEL,
    LEARNT_FROM,
)
from olvf_assets.detection.training import train_detector
from olvf_assets.detection.ultralytics_home import MissingWeightsError
from olvf_assets.foundation.engine import NETWORK, UnsharedStoreError
from olvf_assets.storage.artifacts import ArtifactStore, fingerprint
from olvf_assets.storage.kept_answers import KeptAnswers
from olvf_assets_tests.detection.drawn_films import draw_films, split_patients
from olvf_assets_tests.foundation.elsewhere import chosen

TINY = DetectionSettings(
    copies=1,
    keep_original=True,
    image_px=64,
    model="yolov5n",
    weights="random",
    epochs=2,
    batch=2,
    nominal_batch=4,
    optimizer="AdamW",
    lr0=0.001,
    warmup_epochs=1.0,
    geometry=GeometrySettings(mosaic=0.5, close_mosaic=1),
    device="cpu",
    workers=1,
)
PATIENTS = {"institution_1": ["A", "B", "C", "D", "E"], "institution_2": ["X", "Y"]}
SPLITS = split_patients({"A": 1, "B": 2, "C": 3, "D": 4, "E": None})


class KilledError(Exception):
    """Stands for a kill."""


def prepare(root: Path):
    store, films, boxes = draw_films(root / "lake", PATIENTS)
    return store, films, boxes, make_detector_copies(films, boxes, SPLITS, store, TINY, 7)


def kill_after_epoch(number: int):
    def report(line: str) -> None:
        if f"epoch {number}/" in line:
            raise KilledError

    return report


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("trained")
    store, films, boxes, copies = prepare(root)
    lines: list[str] = []
    return store, films, boxes, copies, train_detector(copies, store, TINY, 7, report=lines.append), lines


def test_one_row_describes_the_detector_and_its_losses(trained) -> None:
    store, _, _, _, model, lines = trained
    row = model.row(0, named=True)
    assert model.schema == DETECTOR_MODEL
    assert (row["epochs"], row["image_px"], row["source_weights"], row["n_train_images"]) == (2, 64, "random", 6)
    assert len(row["train_loss_by_epoch"]) == 2
    assert lines[0] == "detector: trained anew: nothing of the kind was done before"
    assert [line.split(",")[0] for line in lines[1:]] == ["detector: epoch 1/2", "detector: epoch 2/2"]
    assert row["source_sha256"] == "random"
    learnt = pl.DataFrame(row["learnt_from"], schema=LEARNT_FROM)
    assert learnt.select("patient_id", "copy").rows() == [(name, copy) for name in "BCD" for copy in (0, 1)]
    assert store.path(row["weights_path"]).is_file()


def test_a_killed_training_goes_on_and_ends_with_the_same_weights(trained, tmp_path) -> None:
    store, _, _, copies = prepare(tmp_path)
    with pytest.raises(KilledError):
        train_detector(copies, store, TINY, 7, report=kill_after_epoch(1))
    lines: list[str] = []
    resumed = train_detector(copies, store, TINY, 7, report=lines.append)
    assert lines[0] == "detector: going on after epoch 1/2"
    assert resumed.equals(trained[4])


def test_a_detector_is_trained_and_asked_elsewhere_as_it_is_here(trained, tmp_path, monkeypatch) -> None:
    here, films, _, _, model, lines = trained
    unsure = TINY.model_copy(update={"candidate_confidence": 0.001})
    candidates = detection_candidates(films, model, here, unsure)
    store, _, _, copies = prepare(tmp_path)
    there = chosen(monkeypatch)
    monkeypatch.setattr(prediction, "FILMS_OF_A_WORKER", 3)
    said: list[str] = []
    assert train_detector(copies, store, TINY, 7, report=said.append).equals(model)
    assert said == lines
    assert detection_candidates(films, model, store, unsure, report=said.append).equals(candidates)
    assert said[-1] == "7/7 films searched"
    assert there.asked == [("_train", 1, NETWORK, 0), ("_search", 3, NETWORK, 0)]


def test_a_detector_that_a_worker_keeps_to_itself_is_told_of(tmp_path, monkeypatch) -> None:
    store, _, _, copies = prepare(tmp_path)
    chosen(monkeypatch)
    monkeypatch.setattr(training, "_train", for_itself)
    with pytest.raises(UnsharedStoreError, match="OLVF_LAKE"):
        train_detector(copies, store, TINY, 7)


def for_itself(*_: object, **__: object) -> None:
    """Make nothing that this store could hold."""


def test_a_training_killed_after_its_last_epoch_only_writes_its_weights(trained, tmp_path) -> None:
    store, _, _, copies = prepare(tmp_path)
    with pytest.raises(KilledError):
        train_detector(copies, store, TINY, 7, report=kill_after_epoch(2))
    assert train_detector(copies, store, TINY, 7).equals(trained[4])


def test_a_finished_training_is_reused_and_another_seed_is_not(trained, monkeypatch) -> None:
    store, _, _, copies, model, _ = trained

    def refuse(*_: object, **__: object) -> None:
        raise KilledError

    monkeypatch.setattr(training, "_train", refuse)
    assert train_detector(copies, store, TINY, 7).equals(model)
    thresholds_changed = TINY.model_copy(update={"candidate_iou": 0.6})
    assert train_detector(copies, store, thresholds_changed, 7).equals(model)
    with pytest.raises(KilledError):
        train_detector(copies, store, TINY, 8)
    with pytest.raises(KilledError):
        train_detector(copies.filter(pl.col("film_id") != "FB"), store, TINY, 7)


def fresh(trained, **changes) -> None:
    """Hold the trained detector against the copies, settings, seed and weights folder given."""
    store, _, _, copies, model, _ = trained
    given = {"detector_copies": copies, "settings": TINY, "seed": 7, "weights_folder": store.root.parent} | changes
    refuse_stale_detector(model.row(0, named=True), **given)


def test_a_detector_is_refused_when_what_it_hangs_on_is_another(trained, monkeypatch) -> None:
    copies = trained[3]
    fresh(trained)
    fresh(trained, settings=TINY.model_copy(update={"candidate_iou": 0.6}))  # no part of training
    fresh(trained, detector_copies=copies.filter((pl.col("subset") == "train") | (pl.col("film_id") != "FA")))
    moved = pl.when(pl.col("film_id") == "FB").then(pl.lit("validation")).otherwise("subset").alias("subset")
    for changes in (
        {"seed": 8},
        {"settings": TINY.model_copy(update={"epochs": 3})},
        {"detector_copies": copies.filter(pl.col("film_id") != "FB")},  # withdrawn
        {"detector_copies": copies.with_columns(moved)},
        {"detector_copies": copies.with_columns(boxes=pl.col("boxes").list.head(4))},
    ):
        with pytest.raises(StaleDetectorError, match="materialise detector_model again"):
            fresh(trained, **changes)
    monkeypatch.setattr(provenance, "library_versions", lambda *names: dict.fromkeys(names, "0"))
    with pytest.raises(StaleDetectorError, match="libraries"):
        fresh(trained)


def test_weights_changed_behind_the_table_find_nothing(trained, tmp_path) -> None:
    store, films, _, _, model, _ = trained
    elsewhere = ArtifactStore(tmp_path)
    weights = elsewhere.path(model["weights_path"].item())
    with pytest.raises(StaleDetectorError, match="missing, or not the weights that detector_model names"):
        detection_candidates(films, model, elsewhere, TINY)
    content = store.path(model["weights_path"].item()).read_bytes()
    weights.parent.mkdir(parents=True)
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(StaleDetectorError, match="missing, or not the weights that detector_model names"):
        detection_candidates(films, model, elsewhere, TINY)


def test_start_weights_are_known_by_content_and_taken_at_the_row_s_word_once_gone(tmp_path) -> None:
    (tmp_path / "start.pt").write_bytes(b"one")
    settings = TINY.model_copy(update={"weights": "start.pt"})
    copies = DETECTOR_COPIES.to_frame()
    source = source_sha256(tmp_path / "start.pt")
    mark = fingerprint(detector_description(copies, settings, 7, "patient", source))
    row = {"protocol": "patient", "source_sha256": source, "fingerprint": mark}
    refuse_stale_detector(row, copies, settings, 7, tmp_path)
    (tmp_path / "start.pt").write_bytes(b"two")
    with pytest.raises(StaleDetectorError):
        refuse_stale_detector(row, copies, settings, 7, tmp_path)
    (tmp_path / "start.pt").unlink()
    refuse_stale_detector(row, copies, settings, 7, tmp_path)


def test_weights_that_are_not_there_are_named_and_never_downloaded(trained, tmp_path) -> None:
    store, _, _, copies, _, _ = trained
    named = TINY.model_copy(update={"weights": "yolov5nu.pt"})
    with pytest.raises(MissingWeightsError, match=r"yolov5nu\.pt.*nothing is downloaded.*random"):
        train_detector(copies, store, named, 7, weights_folder=tmp_path)


def test_ultralytics_is_silent_and_writes_nothing_outside_the_store(trained, tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ULTRALYTICS_API_KEY", "secret")
    store, films, boxes, copies, *_ = trained
    other = train_detector(copies, store, TINY.model_copy(update={"epochs": 1}), 7)
    detector_answers(other, copies, films, boxes, store, TINY, 7)
    assert list(tmp_path.iterdir()) == []
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""
    assert "ULTRALYTICS_API_KEY" not in os.environ


def test_metrics_cover_both_datasets_and_sources_and_candidates_every_film(trained) -> None:
    store, films, boxes, copies, model, _ = trained
    answers = detector_answers(model, copies, films, boxes, store, TINY, 7)
    assert answers.schema == DETECTOR_ANSWERS
    metrics = detector_metrics(answers)
    assert metrics.schema == DETECTOR_METRICS
    assert metrics.group_by("dataset", "source").len().sort("dataset", "source").rows() == [
        (dataset, source, 12) for dataset in ("external", "validation") for source in ("pycocotools", "ultralytics")
    ]
    assert metrics.filter(level="all").select("dataset", "n_films", "n_boxes").unique().sort("dataset").rows() == [
        ("external", 2, 10),
        ("validation", 1, 5),
    ]
    assert metrics["value"].is_between(0, 1).all()
    one_film = TINY.model_copy(update={"n_external_films": 1})
    fewer = detector_metrics(detector_answers(model, copies, films, boxes, store, one_film, 7))
    assert fewer.filter(dataset="external")["n_films"].unique().to_list() == [1]
    everything = TINY.model_copy(update={"candidate_confidence": 1e-6})
    candidates = detection_candidates(films, model, store, everything)
    assert candidates.schema == DETECTION_CANDIDATES
    assert set(candidates["film_id"]) == set(films["film_id"])
    assert detection_candidates(films.clear(), model, store, TINY).is_empty()


def test_what_is_found_on_a_film_hangs_on_no_other_film_and_is_found_once(trained, tmp_path, monkeypatch) -> None:
    store, films, boxes, copies, model, _ = trained
    everything = TINY.model_copy(update={"candidate_confidence": 1e-6, "workers": 3})
    together = detection_candidates(films, model, store, everything)
    alone = [detection_candidates(films[place], model, store, TINY.model_copy(update={"candidate_confidence": 1e-6}))
             for place in range(films.height)]  # fmt: skip
    assert pl.concat(alone).sort("institution", "film_id", "candidate").equals(together)
    answers = detector_answers(model, copies, films, boxes, store, TINY, 7)
    with KeptAnswers(ArtifactStore(tmp_path), "kept") as kept:
        detection_candidates(films[1:], model, store, everything, kept=kept)
    lines: list[str] = []
    with KeptAnswers(ArtifactStore(tmp_path), "kept") as kept:
        found = detection_candidates(films, model, store, everything, kept=kept, report=lines.append)
        assert detector_answers(model, copies, films, boxes, store, TINY, 7, kept=kept).equals(answers)
    assert found.equals(together)
    assert lines == [f"{films.height - 1} of {films.height} films were searched before", "1/1 films searched"]
    monkeypatch.setattr(prediction, "_load", None)  # no network is asked again
    with KeptAnswers(ArtifactStore(tmp_path), "kept") as kept:
        assert detection_candidates(films, model, store, everything, kept=kept).equals(together)
        assert detector_answers(model, copies, films, boxes, store, TINY, 7, kept=kept).equals(answers)
    with KeptAnswers(ArtifactStore(tmp_path), "kept") as kept, pytest.raises(TypeError):
        detection_candidates(films, model, store, TINY, kept=kept)  # another threshold
