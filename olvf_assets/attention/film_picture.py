"""Whole films with the maps of all their levels.

What lives here: which films are shown, and the picture. What does not: the way of a map back to its film
(`film_maps.py`).
"""

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import polars as pl

from olvf_assets.attention.colours import CLASS_COLOURS, overlaid
from olvf_assets.attention.film_maps import film_map
from olvf_assets.attention.picture import new_figure
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.storage.artifacts import ArtifactStore

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILM_HEIGHT_PX = 620
FILMS_IN_A_ROW = 3


def crops_on_films(gradcam_maps: pl.DataFrame, vertebra_crops: pl.DataFrame, films: pl.DataFrame) -> pl.DataFrame:
    """Return `gradcam_maps` with, for each crop, its place (columns of `vertebra_crops`) and its film's `film_path`.

    Args:
        gradcam_maps: table `gradcam_maps`.
        vertebra_crops: table `vertebra_crops`.
        films: table `films`.
    """
    place = ("x0_px", "y0_px", "x1_px", "y1_px", "scale", "pad_left_px", "pad_top_px", "view")
    placed = vertebra_crops.select("protocol", "institution", "crop_id", "film_id", *place)
    paths = films.select("institution", "film_id", film_path="image_path")
    placed = placed.join(paths, on=["institution", "film_id"])
    return gradcam_maps.join(placed, on=["protocol", "institution", "crop_id"])


def some_films(crops: pl.DataFrame, count: int, seed: int) -> list[pl.DataFrame]:
    """Return the rows of `crops` of some films, a frame each, sorted by level.

    Drawn at random, not picked, among the films with the most levels; only when these run out, those with fewer follow.
    """
    films = crops.group_by("institution", "film_id").len().sort("institution", "film_id")
    shuffled = films.sample(fraction=1, shuffle=True, seed=derive_seed(seed, "attention", "films"))
    chosen = shuffled.sort("len", descending=True, maintain_order=True).head(count)
    return [
        crops.filter(institution=institution, film_id=film_id).sort("level")
        for institution, film_id in chosen.select("institution", "film_id").iter_rows()
    ]


def film_picture(crops: pl.DataFrame, store: ArtifactStore, *, title: str) -> "Figure":
    """Return one figure of films, each beside itself with the maps of all its levels laid over it.

    Args:
        crops: what `some_films` returns, one after the other.
        store: where films and maps lie.
        title: heading.
    """
    shown = crops.partition_by("institution", "film_id", maintain_order=True)
    rows = max(1, -(-len(shown) // FILMS_IN_A_ROW))
    figure = new_figure(13, 0.6 + 3.0 * rows, title)
    axes = figure.subplots(rows, 2 * FILMS_IN_A_ROW, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for plain, covered, film in zip(axes[:, ::2].flat, axes[:, 1::2].flat, shown, strict=False):
        _draw_film(plain, covered, film, store)
    return figure


def _draw_film(plain: Any, covered: Any, crops: pl.DataFrame, store: ArtifactStore) -> None:
    from matplotlib.patches import Rectangle

    pixels = store.load_image(crops["film_path"][0])
    height, width = pixels.shape
    whole = film_map((height, width), [(store.load_image(row["map_path"]), row) for row in crops.to_dicts()])
    size = (round(width * FILM_HEIGHT_PX / height), FILM_HEIGHT_PX)
    small, small_map = (cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (pixels, whole))
    extent = (0, width, height, 0)
    plain.imshow(np.stack([small] * 3, axis=-1), extent=extent)
    covered.imshow(overlaid(small, small_map), extent=extent)
    plain.set_title(f"{crops['view'][0]}, {len(crops)} levels", fontsize=9, loc="left")
    covered.set_title("predicted (actual)", fontsize=9, loc="left")
    for row in crops.iter_rows(named=True):
        corner = (row["x0_px"], row["y0_px"])
        across, down = row["x1_px"] - row["x0_px"], row["y1_px"] - row["y0_px"]
        colour = CLASS_COLOURS[row["predicted"]]
        covered.add_patch(Rectangle(corner, across, down, fill=False, edgecolor=colour, lw=1.6))
        actual = "" if row["label"] == row["predicted"] else f" ({row['label']})"
        at_left = row["x0_px"] > width / 2
        covered.text(
            row["x0_px"] - 0.02 * width if at_left else row["x1_px"] + 0.02 * width,
            row["y0_px"] + down / 2,
            f"{row['level']}: {row['predicted']}{actual}",
            ha="right" if at_left else "left",
            va="center",
            fontsize=7.5,
            color="white",
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.5},
        )
