"""What the detector learns from."""

import numpy as np
import polars as pl
import pytest

from olvf_assets.detection.augmentation import augment
from olvf_assets.detection.copies import NoTrainingFilmsError, make_detector_copies, planned_copies, squeeze
from olvf_assets.detection.settings import DetectionSettings
from olvf_assets.detection.tables import DETECTOR_COPIES
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets_tests.detection.drawn_films import HEIGHT_PX, WIDTH_PX, draw_films, split_patients

SETTINGS = DetectionSettings(copies=2, keep_original=True, image_px=64, workers=1)
PATIENTS = {"institution_1": ["A", "B", "C", "D"], "institution_2": ["X"]}
SPLITS = split_patients({"A": 1, "B": 2, "C": 3, "D": None})


@pytest.fixture
def drawn(tmp_path):
    return draw_films(tmp_path, PATIENTS)


def test_only_training_patients_films_are_copied_and_validation_films_are_left_as_they_are(drawn) -> None:
    store, films, boxes = drawn
    copies = make_detector_copies(films, boxes, SPLITS, store, SETTINGS, 7)
    assert copies.schema == DETECTOR_COPIES
    assert copies.select("film_id", "copy", "subset").rows() == [
        ("FA", 0, "validation"),
        *[(film_id, copy, "train") for film_id in ("FB", "FC") for copy in (0, 1, 2)],
    ]


def test_without_the_original_a_training_film_gives_augmented_copies_only(drawn) -> None:
    store, films, boxes = drawn
    thesis_like = DetectionSettings(copies=2, keep_original=False, image_px=64, workers=1)
    copies = make_detector_copies(films, boxes, SPLITS, store, thesis_like, 7)
    assert copies.filter(subset="train")["copy"].to_list() == [1, 2, 1, 2]


def test_boxes_are_shares_of_the_film_and_pictures_are_the_film_squeezed(drawn) -> None:
    store, films, boxes = drawn
    copies = make_detector_copies(films, boxes, SPLITS, store, SETTINGS, 7)
    first = copies.row(0, named=True)
    film = store.load_image(films.filter(film_id="FA")["image_path"][0])
    assert np.array_equal(store.load_image(first["image_path"]), squeeze(film, 64))
    assert [box["level"] for box in first["boxes"]] == ["L1", "L2", "L3", "L4", "L5"]
    drawn_box = boxes.filter(film_id="FA", level="L2").row(0, named=True)
    assert first["boxes"][1] == pytest.approx(
        {
            "level": "L2",
            "x0": drawn_box["x0_px"] / WIDTH_PX,
            "y0": drawn_box["y0_px"] / HEIGHT_PX,
            "x1": drawn_box["x1_px"] / WIDTH_PX,
            "y1": drawn_box["y1_px"] / HEIGHT_PX,
        }
    )


def test_a_copy_is_decided_by_film_and_number_not_by_who_else_is_copied_or_by_how_many_workers(drawn) -> None:
    store, films, boxes = drawn
    alone = make_detector_copies(films, boxes, SPLITS, store, SETTINGS, 7)
    reversed_films = films.filter(pl.col("film_id") != "FB").reverse()
    two_workers = SETTINGS.model_copy(update={"workers": 2})
    fewer = make_detector_copies(reversed_films, boxes, SPLITS, store, two_workers, 7)
    assert fewer.equals(alone.filter(pl.col("film_id") != "FB"))
    other_seed = make_detector_copies(reversed_films, boxes, SPLITS, store, SETTINGS, 8)
    changed = other_seed["image_path"] != fewer["image_path"]
    assert changed.to_list() == (fewer["copy"] > 0).to_list()


def test_the_copy_is_the_squeezed_film_augmented_with_its_derived_seed(drawn) -> None:
    store, films, boxes = drawn
    copies = make_detector_copies(films, boxes, SPLITS, store, SETTINGS, 7)
    original, first = copies.filter(film_id="FC")["image_path"].to_list()[:2]
    seed = derive_seed(7, "detector_copy", "FC", 1)
    assert np.array_equal(store.load_image(first), augment(store.load_image(original), seed, SETTINGS.augmentation))


def test_a_film_without_a_drawn_box_is_no_example(drawn) -> None:
    store, films, boxes = drawn
    copies = make_detector_copies(films, boxes.filter(pl.col("film_id") != "FB"), SPLITS, store, SETTINGS, 7)
    assert copies["film_id"].unique().sort().to_list() == ["FA", "FC"]


def test_an_empty_subset_is_an_error_that_names_the_way_out(drawn) -> None:
    store, films, boxes = drawn
    with pytest.raises(NoTrainingFilmsError, match=r"no validation film.*landing folder"):
        make_detector_copies(films, boxes, split_patients({"A": 2, "B": 3}), store, SETTINGS, 7)


def test_copies_made_before_are_reused_and_missing_pictures_made_again(drawn) -> None:
    store, films, boxes = drawn
    first = make_detector_copies(films, boxes, SPLITS, store, SETTINGS, 7)
    lost = store.path(first.filter(film_id="FC", copy=2)["image_path"][0])
    bytes_before = lost.read_bytes()
    lost.unlink()
    lines: list[str] = []
    assert make_detector_copies(films, boxes, SPLITS, store, SETTINGS, 7, report=lines.append).equals(first)
    assert lines == ["2 films were copied before", "1/1 films copied"]
    assert lost.read_bytes() == bytes_before


def test_protocol_thesis_copies_every_film_and_splits_copies_by_lot(drawn) -> None:
    store, films, boxes = drawn
    copies = make_detector_copies(films, boxes, SPLITS, store, SETTINGS, 7, protocol="thesis")
    assert copies["protocol"].unique().to_list() == ["thesis"]
    assert copies.select("film_id", "copy").rows() == [(f"F{name}", copy) for name in "ABCD" for copy in (0, 1, 2)]
    assert dict(copies["subset"].value_counts().iter_rows()) == {"train": 10, "validation": 2}  # 0.2 of 12
    patient = make_detector_copies(films, boxes, SPLITS, store, SETTINGS, 7)
    same = patient.join(copies, on=["film_id", "copy"])
    assert same["image_path"].equals(same["image_path_right"], check_names=False)  # the same copy of a film everywhere


def test_the_thesis_has_7160_copies_of_which_5728_train() -> None:
    films = pl.DataFrame(
        {"institution": "institution_1", "patient_id": "P", "film_id": [f"F{number:03}" for number in range(716)]}
    )
    planned = planned_copies(films, split_patients({"P": 1}), DetectionSettings(), 7, "thesis")
    assert planned.height == 7160
    assert dict(planned["subset"].value_counts().iter_rows()) == {"train": 5728, "validation": 1432}
    both_sides = planned.group_by("film_id").agg(pl.col("subset").n_unique().alias("sides"))
    assert both_sides["sides"].mean() > 1.8  # the leak: nearly every film is on both sides


def test_a_film_that_two_hospitals_have_is_copied_for_each(drawn) -> None:
    store, films, boxes = drawn
    shared = ["FB"]
    elsewhere = pl.lit("institution_3").alias("institution")
    films = pl.concat([films, films.filter(film_id=shared[0]).with_columns(elsewhere)])
    boxes = pl.concat([boxes, boxes.filter(film_id=shared[0]).with_columns(elsewhere)])
    splits = pl.concat([SPLITS, SPLITS.filter(patient_id="B").with_columns(elsewhere)])
    copies = make_detector_copies(films, boxes, splits, store, SETTINGS, 7)
    assert copies.filter(film_id="FB").select("institution", "copy").rows() == [
        *[("institution_1", copy) for copy in (0, 1, 2)],
        *[("institution_3", copy) for copy in (0, 1, 2)],
    ]
    own = copies.filter(film_id="FB")
    assert own.filter(institution="institution_1")["boxes"].equals(own.filter(institution="institution_3")["boxes"])
    assert copies.height == 10
