"""Reading the network's raw answer, and detections on the film."""

import numpy as np
import polars as pl
import pytest
import torch

from olvf_assets.detection import prediction
from olvf_assets.detection.prediction import FilmBoxes, candidate_bodies, detection_candidates, level_boxes
from olvf_assets.detection.settings import DetectionSettings
from olvf_assets.storage.artifacts import ArtifactStore

SETTINGS = DetectionSettings()


def answer(*boxes: tuple[float, float, float, float, list[float]]) -> torch.Tensor:
    """Return a raw answer (9, n) of boxes given as centre, size and five probabilities."""
    return torch.tensor([[x, y, w, h, *p] for x, y, w, h, p in boxes]).T


TWO_ON_ONE_BODY = answer(
    (50, 50, 40, 20, [0.0, 0.6, 0.3, 0.0, 0.0]),
    (51, 50, 40, 20, [0.0, 0.5, 0.4, 0.0, 0.0]),
    (50, 90, 40, 20, [0.0, 0.0, 0.0, 0.002, 0.0]),
)


def test_the_metric_sees_every_level_of_a_box_and_overlaps_dropped_per_level() -> None:
    boxes, probabilities, levels = level_boxes(TWO_ON_ONE_BODY, SETTINGS)
    assert levels.tolist() == [1, 2, 3]
    assert probabilities.max(dim=1).values.tolist() == pytest.approx([0.6, 0.4, 0.002])
    assert boxes.tolist() == [[30, 40, 70, 60], [31, 40, 71, 60], [30, 80, 70, 100]]


def test_candidates_are_distinct_bodies_with_all_their_probabilities() -> None:
    boxes, probabilities, levels = candidate_bodies(TWO_ON_ONE_BODY, SETTINGS)
    assert boxes.tolist() == [[30, 40, 70, 60]]
    assert probabilities[0].tolist() == pytest.approx([0.0, 0.6, 0.3, 0.0, 0.0])
    assert levels.tolist() == [-1]


LUMBAR_AND_SACRUM = answer(
    (50, 50, 40, 20, [0.0, 0.0, 0.0, 0.0, 0.6, 0.01]),
    (50, 75, 40, 30, [0.0, 0.0, 0.0, 0.0, 0.05, 0.7]),
)


def test_a_helper_is_a_candidate_and_no_detection_of_the_metric() -> None:
    boxes, probabilities, _ = candidate_bodies(LUMBAR_AND_SACRUM, SETTINGS)
    assert boxes.tolist() == [[30, 60, 70, 90], [30, 40, 70, 60]]
    assert probabilities[:, 4:].flatten().tolist() == pytest.approx([0.05, 0.7, 0.6, 0.01])
    boxes, probabilities, levels = level_boxes(LUMBAR_AND_SACRUM, SETTINGS)
    assert levels.tolist() == [4, 4]
    assert probabilities[:, 4].tolist() == pytest.approx([0.6, 0.05])


def test_a_single_candidate_and_none_keep_their_shapes() -> None:
    assert candidate_bodies(TWO_ON_ONE_BODY[:, 2:], SETTINGS)[1].shape == (0, 5)
    assert level_boxes(TWO_ON_ONE_BODY[:, 2:] * 0, SETTINGS)[0].shape == (0, 4)


def test_every_distinct_body_is_kept_with_its_probabilities(monkeypatch, tmp_path) -> None:
    found = FilmBoxes(
        "00000000",
        np.array([[-3.0, 10.0, 40.0, 40.0], [0.0, 46.0, 45.0, 101.5]]),
        np.array([[0.01, 0.02, 0.03, 0.9, 0.05], [0.01, 0.01, 0.01, 0.01, 0.8]]),
        np.array([-1, -1]),
    )
    monkeypatch.setattr(prediction, "predict_films", lambda *_, **__: iter([found]))
    films = pl.DataFrame({"institution": ["institution_9"], "film_id": ["Fa"], "width_px": [44], "height_px": [100]})
    model = pl.DataFrame({"protocol": ["patient"], "weights_sha256": ["d0"], "helpers": [[]]})
    candidates = detection_candidates(films, model, ArtifactStore(tmp_path), SETTINGS)
    assert candidates.rows() == [
        (
            "patient",
            "institution_9",
            "Fa",
            0,
            -3.0,
            10.0,
            40.0,
            40.0,
            0.01,
            0.02,
            0.03,
            0.9,
            0.05,
            None,
            None,
            None,
            "d0",
        ),
        (
            "patient",
            "institution_9",
            "Fa",
            1,
            0.0,
            46.0,
            45.0,
            101.5,
            0.01,
            0.01,
            0.01,
            0.01,
            0.8,
            None,
            None,
            None,
            "d0",
        ),
    ]


def test_helper_classes_have_columns_of_their_own_whatever_their_order_in_the_network(monkeypatch, tmp_path) -> None:
    found = FilmBoxes("00000000", np.zeros((1, 4)), np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]]), np.array([-1]))
    monkeypatch.setattr(prediction, "predict_films", lambda *_, **__: iter([found]))
    films = pl.DataFrame({"institution": ["institution_9"], "film_id": ["Fa"]})
    model = pl.DataFrame({"protocol": ["patient"], "weights_sha256": ["d0"], "helpers": [["T12", "S1"]]})
    (row,) = detection_candidates(films, model, ArtifactStore(tmp_path), SETTINGS).to_dicts()
    assert (row["p_L5"], row["p_T12"], row["p_T11"], row["p_S1"]) == (0.5, 0.6, None, 0.7)


def test_a_film_that_two_hospitals_have_is_searched_for_each(monkeypatch, tmp_path) -> None:
    box, chances = np.array([[0.0, 1.0, 2.0, 3.0]]), np.array([[0.1, 0.2, 0.3, 0.4, 0.5]])

    def searched(films: pl.DataFrame, *_: object, **__: object):
        return (FilmBoxes(film_id, box, chances, np.array([-1])) for film_id in films["film_id"])

    monkeypatch.setattr(prediction, "predict_films", searched)
    films = pl.DataFrame({"institution": ["institution_2", "institution_1"], "film_id": ["Fa", "Fa"]})
    model = pl.DataFrame({"protocol": ["patient"], "weights_sha256": ["0" * 64], "helpers": [[]]})
    candidates = detection_candidates(films, model, ArtifactStore(tmp_path), SETTINGS)
    assert candidates.select("institution", "film_id").rows() == [("institution_1", "Fa"), ("institution_2", "Fa")]
