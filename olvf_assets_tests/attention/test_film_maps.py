from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

from olvf_assets.attention.film_maps import film_map, map_on_film
from olvf_assets.attention.film_picture import crops_on_films, film_picture, some_films
from olvf_assets.crops.crop import Crop, cut_crop, film_position
from olvf_assets.crops.settings import CropSettings
from olvf_assets.reporting import drawing
from olvf_assets.storage.artifacts import ArtifactStore

BOXES = [(200.0, 300.0, 410.0, 430.0), (61.2, 70.9, 130.4, 300.1), (0.0, 0.0, 40.0, 30.0)]  # wide, high, small


def row_of(crop: Crop) -> dict[str, float | int]:
    corners = dict(zip(("x0_px", "y0_px", "x1_px", "y1_px"), map(float, crop.rectangle), strict=True))
    return {**corners, "scale": crop.scale, "pad_left_px": crop.pad_left_px, "pad_top_px": crop.pad_top_px}


@pytest.mark.parametrize("box", BOXES)
def test_a_spot_of_the_film_goes_through_the_crop_and_back_to_its_place(box: tuple[float, float, float, float]) -> None:
    x, y = int(box[0] + 0.3 * (box[2] - box[0])), int(box[1] + 0.6 * (box[3] - box[1]))
    film = np.zeros((500, 600), np.uint8)
    film[y - 2 : y + 3, x - 2 : x + 3] = 255
    crop = cut_crop(film, box, CropSettings())
    back = film_map(film.shape, [(crop.pixels, row_of(crop))])
    rows, columns = np.nonzero(back > 200)
    assert rows.mean() == pytest.approx(y, abs=1.5 / crop.scale if crop.scale < 1 else 1)
    assert columns.mean() == pytest.approx(x, abs=1.5 / crop.scale if crop.scale < 1 else 1)


@pytest.mark.parametrize("box", BOXES)
def test_every_pixel_of_the_film_gets_what_the_map_has_at_its_place(box: tuple[float, float, float, float]) -> None:
    crop = cut_crop(np.zeros((500, 600), np.uint8), box, CropSettings())
    row = row_of(crop)
    height, width = crop.pixels.shape
    for axis, places in enumerate(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)):
        part, (x0, y0) = map_on_film(places.astype(np.float32), row)
        for y, x in ((0, 0), (part.shape[0] // 2, part.shape[1] // 3), (part.shape[0] - 1, part.shape[1] - 1)):
            at = [0.0, 0.0]
            at[axis] = float(part[y, x])
            found = film_position(at[0], at[1], **{name: row[name] for name in row if name not in ("x1_px", "y1_px")})
            wanted = (x0 + x + 0.5, y0 + y + 0.5)[axis]
            assert found[axis] == pytest.approx(wanted, abs=0.75 / crop.scale)


def test_padding_is_left_out_and_overlapping_crops_keep_the_higher_value() -> None:
    place = {"x0_px": 10.0, "y0_px": 20.0, "x1_px": 30.0, "y1_px": 30.0, "scale": 2.0}
    padded = np.full((40, 40), 9, np.uint8)
    padded[10:30] = 100
    first = (padded, {**place, "pad_left_px": 0, "pad_top_px": 10})
    second = (np.full((20, 40), 50, np.uint8), {**place, "y0_px": 25.0, "y1_px": 35.0, "pad_left_px": 0,
                                                "pad_top_px": 0})  # fmt: skip
    whole = film_map((60, 50), [first, second])
    wanted = np.zeros((60, 50), np.uint8)
    wanted[25:35, 10:30] = 50
    wanted[20:30, 10:30] = 100
    np.testing.assert_array_equal(whole, wanted)


def made_up_crops(store: ArtifactStore) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return gradcam_maps, vertebra_crops and films of one film with three levels and one with a single level."""
    rng = np.random.default_rng(6)
    films, places, maps = [], [], []
    for film_id, levels in (("F1", ("L1", "L2", "L3")), ("F2", ("L1",))):
        film = cv2.GaussianBlur(rng.integers(0, 256, (500, 400)).astype(np.uint8), (0, 0), 8)
        films.append({"institution": "i", "film_id": film_id, "image_path": store.save_image(film)[0]})
        for number, level in enumerate(levels):
            crop = cut_crop(film, (120.0, 60 + 120.0 * number, 250.0, 160 + 120.0 * number), CropSettings())
            crop_id = f"{film_id}-{level}"
            about = {"protocol": "patient", "institution": "i", "crop_id": crop_id}
            places.append({**about, "film_id": film_id, "view": "neutral", **row_of(crop)})
            hot = np.zeros((140, 166), np.uint8)
            hot[40:90, 60:120] = 255
            said = {"level": level, "label": "old", "predicted": "fresh"}
            maps.append({**about, **said, "map_path": store.save_image(hot)[0]})
    return pl.DataFrame(maps), pl.DataFrame(places), pl.DataFrame(films)


def test_the_film_picture_shows_the_films_with_the_most_levels_and_their_maps(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    crops = crops_on_films(*made_up_crops(store))
    assert len(crops) == 4
    assert crops["film_path"].null_count() == 0
    first, second = some_films(crops, 5, seed=1)
    assert first["level"].to_list() == ["L1", "L2", "L3"]
    assert second["film_id"].to_list() == ["F2"]
    written = tmp_path / "films.png"
    (most_levels,) = some_films(crops, 1, seed=1)
    drawing.save(film_picture(most_levels, store, title="films"), written, 110)
    colours = cv2.imread(str(written)).astype(int)
    red = (colours[..., 2] > colours[..., 0] + 60) & (colours[..., 2] > colours[..., 1] + 60)
    assert red.sum() > 3 * 300  # three maps
    drawing.save(film_picture(crops.clear(), store, title="no films"), tmp_path / "none.png", 110)
    assert (tmp_path / "none.png").stat().st_size > 0
