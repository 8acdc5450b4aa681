"""From a box to a crop and back."""

import cv2
import numpy as np
import polars as pl
import pytest

from olvf_assets.crops import crop as crop_module
from olvf_assets.crops.crop import EmptyBoxError, crop_vertebrae, cut_crop, film_position
from olvf_assets.crops.of_cohort import vertebra_crops
from olvf_assets.crops.settings import CropSettings
from olvf_assets.crops.tables import DETECTED_CROPS, VERTEBRA_CROPS
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.kept_answers import KeptAnswers
from olvf_assets_tests.detection.drawn_films import draw_films

THESIS = CropSettings(workers=1)


@pytest.fixture
def film() -> np.ndarray:
    return np.random.default_rng(3).integers(40, 90, (600, 500), dtype=np.uint8)


def test_a_wide_box_fills_the_width_and_is_centred_between_black_bands(film) -> None:
    crop = cut_crop(film, (100.0, 200.0, 432.0, 300.0), THESIS)
    assert crop.pixels.shape == (140, 166)
    assert crop.scale == 0.5
    assert (crop.pad_left_px, crop.pad_top_px) == (0, 45)
    assert not crop.pixels[:45].any()
    assert not crop.pixels[95:].any()
    assert crop.pixels[45:95].std() > 20


def test_a_tall_box_fills_the_height(film) -> None:
    crop = cut_crop(film, (10.0, 20.0, 110.0, 300.0), THESIS)
    assert (crop.scale, crop.pad_left_px, crop.pad_top_px) == (0.5, 58, 0)
    assert not crop.pixels[:, :58].any()
    assert not crop.pixels[:, 108:].any()


def test_the_box_alone_is_equalised_exactly_once_before_it_is_resized(film) -> None:
    crop = cut_crop(film, (100.0, 200.0, 266.0, 340.0), THESIS)
    assert crop.scale == 1.0
    assert np.array_equal(crop.pixels, cv2.equalizeHist(film[200:340, 100:266]))


def test_boxes_are_rounded_outwards_grown_by_the_margin_and_clipped(film) -> None:
    assert cut_crop(film, (10.2, 20.9, 99.1, 80.0), THESIS).rectangle == (10, 20, 100, 80)
    assert cut_crop(film, (100.0, 200.0, 200.0, 250.0), CropSettings(margin=0.1)).rectangle == (90, 195, 210, 255)
    assert cut_crop(film, (-5.0, -7.5, 30.0, 40.0), THESIS).rectangle == (0, 0, 30, 40)
    assert cut_crop(film, (480.0, 580.0, 520.0, 640.0), THESIS).rectangle == (480, 580, 500, 600)


def test_a_box_outside_the_film_is_an_error(film) -> None:
    with pytest.raises(EmptyBoxError, match="500 x 600"):
        cut_crop(film, (600.0, 10.0, 640.0, 40.0), THESIS)


@pytest.mark.parametrize("box", [(100.3, 200.7, 371.0, 417.2), (30.0, 40.0, 75.5, 70.1), (7.0, 9.0, 60.0, 300.0)])
def test_a_mark_on_the_film_is_found_again_through_its_crop(box) -> None:
    film = np.zeros((600, 500), np.uint8)
    x, y = int(box[0] * 0.4 + box[2] * 0.6), int(box[1] * 0.7 + box[3] * 0.3)
    film[y - 2 : y + 3, x - 2 : x + 3] = 255
    crop = cut_crop(film, box, THESIS)
    rows, columns = np.nonzero(crop.pixels == crop.pixels.max())
    centre = (columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2
    back = film_position(*centre, *crop.rectangle[:2], crop.scale, crop.pad_left_px, crop.pad_top_px)
    assert back == pytest.approx((x + 0.5, y + 0.5), abs=0.5 + 0.5 / crop.scale)


def test_corners_of_the_picture_in_the_crop_are_the_corners_of_the_rectangle(film) -> None:
    crop = cut_crop(film, (100.0, 200.0, 432.0, 300.0), THESIS)
    place = (*crop.rectangle[:2], crop.scale, crop.pad_left_px, crop.pad_top_px)
    assert film_position(0, 45, *place) == (100.0, 200.0)
    assert film_position(166, 95, *place) == (432.0, 300.0)


@pytest.fixture
def cohort(tmp_path):
    store, films, boxes = draw_films(tmp_path, {"institution_1": ["A", "B"]})
    detections = boxes.filter(~((pl.col("film_id") == "FB") & (pl.col("level") == "L3"))).with_columns(
        protocol=pl.lit("patient"), confidence=0.5
    )
    vertebrae = (
        boxes.select("institution", "film_id", "level")
        .join(films.select("film_id", "patient_id", "view"), on="film_id")
        .with_columns(role=pl.lit("development"), label=pl.lit("normal"))
        .filter(~((pl.col("film_id") == "FA") & (pl.col("level") == "L5")))
    )
    return store, films, detections, vertebrae


UNLABELLED = pl.Schema(dict.fromkeys(("institution", "role", "film_id", "patient_id", "view", "level"), pl.String))


def test_every_vertebra_that_was_found_gets_a_crop_in_the_cohort_or_not(cohort) -> None:
    store, films, detections, _ = cohort
    crops = crop_vertebrae(detections, films, store, THESIS)
    assert crops.schema == DETECTED_CROPS
    expected = [f"FA-L{level}" for level in (1, 2, 3, 4, 5)] + [f"FB-L{level}" for level in (1, 2, 4, 5)]
    assert crops["crop_id"].to_list() == expected
    for row in crops.iter_rows(named=True):
        film = store.load_image(films.filter(film_id=row["film_id"])["image_path"][0])
        box = detections.filter(film_id=row["film_id"], level=row["level"]).row(0, named=True)
        again = cut_crop(film, (box["x0_px"], box["y0_px"], box["x1_px"], box["y1_px"]), THESIS)
        assert np.array_equal(store.load_image(row["image_path"]), again.pixels)
        assert (row["scale"], row["pad_left_px"], row["pad_top_px"]) == again[2:]
        assert (row["patient_id"], row["confidence"]) == (row["film_id"][1:], 0.5)


def test_crops_of_the_study_are_those_of_the_cohort_and_unlabelled_ones_without_a_label(cohort) -> None:
    store, films, detections, vertebrae = cohort
    detected = crop_vertebrae(detections, films, store, THESIS)
    crops = vertebra_crops(detected, vertebrae, UNLABELLED.to_frame())
    assert crops.schema == VERTEBRA_CROPS
    labelled = [f"FA-L{level}" for level in (1, 2, 3, 4)] + [f"FB-L{level}" for level in (1, 2, 4, 5)]
    assert crops["crop_id"].to_list() == labelled
    assert set(crops["label"]) == {"normal"}
    unlabelled = vertebrae.filter(film_id="FA").drop("label").select(UNLABELLED.names())
    part = vertebra_crops(detected, vertebrae.filter(film_id="FB"), unlabelled)
    assert part["crop_id"].to_list() == labelled
    assert part.filter(film_id="FA")["label"].null_count() == 4
    assert part.drop("label").equals(crops.drop("label"))
    assert vertebra_crops(detected, vertebrae.clear(), UNLABELLED.to_frame()).schema == VERTEBRA_CROPS


def test_the_same_input_in_another_order_and_by_more_workers_gives_the_same_bytes(cohort) -> None:
    store, films, detections, _ = cohort
    first = crop_vertebrae(detections, films, store, THESIS)
    files = {path: store.path(path).read_bytes() for path in first["image_path"]}
    for path in files:
        store.path(path).unlink()
    two = CropSettings(workers=2)
    assert crop_vertebrae(detections.reverse(), films.reverse(), store, two).equals(first)
    assert {path: store.path(path).read_bytes() for path in files} == files


def test_a_film_is_cropped_once_unless_a_picture_is_gone_or_a_box_moved(cohort, tmp_path, monkeypatch) -> None:
    store, films, detections, _ = cohort
    cropped: list[str] = []

    def crop(job):
        cropped.append(job.image_path)
        return cut(job)

    cut = crop_module._crop_film
    monkeypatch.setattr(crop_module, "_crop_film", crop)
    path_of = dict(films.select("film_id", "image_path").iter_rows())

    def crops_of(detections: pl.DataFrame, films_cropped: list[str], settings: CropSettings = THESIS) -> pl.DataFrame:
        cropped.clear()
        with KeptAnswers(ArtifactStore(tmp_path), "kept") as kept:
            crops = crop_vertebrae(detections, films, store, settings, kept=kept)
        assert cropped == [path_of[film] for film in films_cropped]
        return crops

    first = crops_of(detections, ["FA", "FB"])
    assert crops_of(detections, []).equals(first)
    moved = pl.when(film_id="FB", level="L2").then(pl.col("x0_px") + 1).otherwise("x0_px").alias("x0_px")
    assert not crops_of(detections.with_columns(moved), ["FB"]).equals(first)
    crops_of(detections, ["FB"])
    picture = store.path(first.filter(crop_id="FA-L1")["image_path"].item())
    picture.unlink()
    assert crops_of(detections, ["FA"]).equals(first)
    assert picture.is_file()
    crops_of(detections, ["FA", "FB"], CropSettings(margin=0.2))


def test_films_without_a_detection_give_an_empty_table(cohort) -> None:
    store, films, detections, _ = cohort
    crops = crop_vertebrae(detections.clear(), films, store, THESIS)
    assert crops.is_empty()
    assert crops.schema == DETECTED_CROPS
