"""Vertebrae beside the levels: which films teach them, and that others do not unteach them."""

import shutil
from pathlib import Path

import polars as pl
import pytest
import torch
from ultralytics.cfg import get_cfg
from ultralytics.nn.tasks import DetectionModel

from olvf_assets.detection.copies import make_detector_copies
from olvf_assets.detection.helpers import helper_classes, with_helper_boxes
from olvf_assets.detection.prediction import detection_candidates
from olvf_assets.detection.settings import DetectionSettings
from olvf_assets.detection.tables import DETECTION_CANDIDATES, DETECTOR_COPIES
from olvf_assets.detection.trainer import TaughtLoss
from olvf_assets.detection.training import train_detector
from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.intake.tables import DRAWN_FILMS
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets_tests.detection.drawn_films import draw_films, split_patients
from olvf_assets_tests.detection.test_training import TINY, KilledError, kill_after_epoch

FILMS = pl.DataFrame(
    {"institution": ["a", "a", "a", "b"], "film_id": ["F1", "F2", "F3", "F4"], "width_px": 100, "height_px": 200}
)


def drawn(films: dict[tuple[str, str], dict[str, float]]) -> pl.DataFrame:
    """Return `drawn_films` with boxes 40 px wide and 20 px high, given by institution and film, vertebra and top."""
    side = {"x0_px": 10.0, "x1_px": 50.0}
    rows = [
        (
            *film,
            5,
            False,
            "yolo",
            [{"vertebra": name, "y0_px": top, "y1_px": top + 20} | side for name, top in of.items()],
        )
        for film, of in films.items()
    ]
    return pl.DataFrame(rows, schema=DRAWN_FILMS, orient="row")


DRAWN = drawn({("a", "F1"): {"T12": 20.0, "T9": 0.0}, ("a", "F2"): {"S1": 170.0}, ("a", "F3"): {}, ("b", "F4"): {}})


def test_bodies_above_t11_are_called_t11_and_edges_are_shares_of_the_film() -> None:
    film = with_helper_boxes(FILMS, DRAWN).row(0, named=True)
    assert [box["level"] for box in film["helper_boxes"]] == ["T11", "T12"]
    assert film["helper_boxes"][1] == {"level": "T12", "x0": 0.1, "y0": 0.1, "x1": 0.5, "y1": 0.2}


def test_a_film_teaches_what_its_hospital_draws_if_anything_of_it_is_drawn_there() -> None:
    taught = with_helper_boxes(FILMS, DRAWN).select("film_id", "taught").rows()
    assert taught == [("F1", ["S1", "T11", "T12"]), ("F2", ["S1", "T11", "T12"]), ("F3", []), ("F4", [])]


@pytest.mark.parametrize("known", [None, drawn({("b", "F4"): {}})])
def test_without_such_boxes_there_are_no_helpers(known: pl.DataFrame | None) -> None:
    films = with_helper_boxes(FILMS, known)
    assert films["helper_boxes"].list.len().to_list() == [0, 0, 0, 0]
    assert films["taught"].list.len().to_list() == [0, 0, 0, 0]
    assert helper_classes(films) == []


def test_copies_carry_the_helpers_of_their_film(tmp_path: Path) -> None:
    store, films, boxes = draw_films(tmp_path, {"institution_1": ["1", "2", "3"]})
    known = drawn({("institution_1", "F1"): {"S1": 200.0}})
    settings = DetectionSettings(copies=1, keep_original=True, image_px=64, workers=1)
    sides = split_patients({"1": 2, "2": 2, "3": 1})
    copies = make_detector_copies(films, boxes, sides, store, settings, 1, helpers=known)
    assert copies.schema == DETECTOR_COPIES
    assert copies.filter(film_id="F1")["taught"].to_list() == [["S1"], ["S1"]]
    assert copies.filter(pl.col("film_id") != "F1")["taught"].list.len().sum() == 0
    assert helper_classes(copies) == ["S1"]
    assert copies["boxes"].list.len().unique().to_list() == [5]


def test_a_detector_learns_the_helpers_that_are_drawn_and_a_killed_training_ends_the_same(tmp_path: Path) -> None:
    store, films, boxes = draw_films(tmp_path, {"institution_1": ["1", "2", "3"]})
    known = drawn({("institution_1", "F1"): {"S1": 200.0}, ("institution_1", "F2"): {"S1": 200.0}})
    settings = TINY.model_copy(update={"copies": 0})
    copies = make_detector_copies(
        films, boxes, split_patients({"1": 2, "2": 2, "3": 1}), store, settings, 1, helpers=known
    )
    with pytest.raises(KilledError):
        train_detector(copies, store, settings, 7, report=kill_after_epoch(1))
    model = train_detector(copies, store, settings, 7)
    whole = train_detector(copies, _copied(store, tmp_path / "whole"), settings, 7)
    assert model["weights_sha256"].item() == whole["weights_sha256"].item()
    assert model["helpers"].to_list() == [["S1"]]
    candidates = detection_candidates(films, model, store, settings.model_copy(update={"candidate_confidence": 1e-9}))
    assert candidates.schema == DETECTION_CANDIDATES
    assert candidates.height > 0
    assert candidates["p_S1"].null_count() == 0
    assert candidates["p_T12"].null_count() == candidates.height


def _copied(store: ArtifactStore, root: Path) -> ArtifactStore:
    """Return a store with the pictures of another and nothing else of it."""
    shutil.copytree(store.root / "images", root / "images")
    return ArtifactStore(root)


def test_a_picture_without_helper_boxes_leaves_the_helper_outputs_alone() -> None:
    classes = [*LEVELS, "T12", "S1"]
    model = DetectionModel("yolov5n.yaml", ch=1, nc=len(classes), verbose=False)
    model.args = get_cfg()
    copies = [
        {"image_file": "with", "boxes": [], "taught": ["S1"]},
        {"image_file": "without", "boxes": [], "taught": []},
    ]
    loss = TaughtLoss(model, copies, classes)
    batch = {
        "im_file": ["without", "with"],
        "img": torch.rand(2, 1, 64, 64),
        "batch_idx": torch.tensor([0.0, 1.0]),
        "cls": torch.zeros(2, 1),
        "bboxes": torch.full((2, 4), 0.5),
    }
    preds = model.train()(batch["img"])
    preds["scores"].retain_grad()
    value, _ = loss(preds, batch)
    value.sum().backward()
    gradient = preds["scores"].grad.abs().sum(dim=2)  # (picture, class)
    assert (gradient[0] > 0).tolist() == [True] * 5 + [False, False]
    assert (gradient[1] > 0).tolist() == [True] * 5 + [False, True]


def test_a_body_that_nobody_named_teaches_nothing() -> None:
    films = with_helper_boxes(FILMS, drawn({("a", "F1"): {"unnamed": 20.0}}))
    assert films["helper_boxes"].list.len().to_list() == [0, 0, 0, 0]
    assert films["taught"].list.len().to_list() == [0, 0, 0, 0]
