"""One detected vertebra, one crop.

What lives here: rounding a box to whole pixels, histogram equalisation, resizing with the aspect kept, padding, the way
back from a crop's pixel to the film's. What does not: finding vertebrae (`detection`), replicas (`classification`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from olvf_assets.crops.settings import CropSettings
from olvf_assets.crops.tables import DETECTED_CROPS
from olvf_assets.foundation.code_identity import code_digest
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.foundation.parallel import parallel_map
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.kept_answers import KeptAnswers

FILMS_PER_PROCESS = 24  # fewer are cropped in this process: starting others takes about as long
Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in film pixels; x1, y1 exclusive


class EmptyBoxError(OlvfError):
    """A detected box covers no pixel of its film."""


class Crop(NamedTuple):
    """A crop and its place.

    pixels: uint8 (height_px, width_px) of the settings. rectangle: whole film pixels x0, y0, x1, y1. scale: crop pixels
    per film pixel. pad_left_px, pad_top_px: black columns and rows before the picture.
    """

    pixels: np.ndarray
    rectangle: tuple[int, int, int, int]
    scale: float
    pad_left_px: int
    pad_top_px: int


class _Job(NamedTuple):
    """All vertebrae of one film: what one worker needs."""

    store: ArtifactStore
    image_path: str
    boxes: list[Box]
    settings: CropSettings


def crop_vertebrae(
    detections: pl.DataFrame,
    films: pl.DataFrame,
    store: ArtifactStore,
    settings: CropSettings,
    *,
    kept: KeptAnswers | None = None,
    report: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Return `detected_crops`: a crop for every vertebra that a protocol's detector found, whatever it is labelled.

    Args:
        detections: `detections`.
        films: `films` of the same institutions, for the pictures.
        store: where films lie and crops go.
        settings: size and margin.
        kept: the crops that earlier runs cut from films, and where it is kept that this one does.
        report: gets progress lines.

    Raises:
        EmptyBoxError: if a detection lies outside its film.
    """
    wanted = detections.join(
        films.select("institution", "film_id", "patient_id", "view", film_path="image_path"),
        on=["institution", "film_id"],
        how="inner",
    ).sort("institution", "film_id", "protocol", "level")
    by_film = wanted.group_by("institution", "film_id", "film_path", maintain_order=True).agg(
        boxes=pl.concat_list("x0_px", "y0_px", "x1_px", "y1_px")
    )
    jobs = [
        _Job(store, path, [tuple(box) for box in boxes], settings)
        for path, boxes in zip(by_film["film_path"], by_film["boxes"].to_list(), strict=True)
    ]
    is_there = store.image_check()
    made = (kept or KeptAnswers()).answers(
        [[job.image_path, job.boxes] for job in jobs],
        [code_digest("olvf_assets.crops.crop:_crop_film"), settings.model_dump(mode="json", exclude={"workers"})],
        lambda places: parallel_map(
            _crop_film,
            [jobs[place] for place in places],
            workers=settings.workers if len(places) >= FILMS_PER_PROCESS else 1,
            what="films cropped",
            report=report,
        ),
        holds=lambda film: all(is_there(crop["image_path"]) for crop in film),
    )
    crops = [crop for film in made for crop in film]
    rows = [
        {name: row[name] for name in DETECTED_CROPS if name in row}
        | {"crop_id": f"{row['film_id']}-{row['level']}"}
        | crop
        for row, crop in zip(wanted.iter_rows(named=True), crops, strict=True)
    ]
    return pl.DataFrame(rows, schema=DETECTED_CROPS).sort("protocol", "institution", "crop_id")


def cut_crop(film: np.ndarray, box: Box, settings: CropSettings) -> Crop:
    """Return the equalised crop of one box, resized with its aspect kept and centred on black.

    Args:
        film: uint8 array (height_px, width_px), the film in full resolution.
        box: detected box in film pixels; grown by the margin, rounded outwards to whole pixels, clipped to the film.
        settings: size and margin.

    Raises:
        EmptyBoxError: if nothing of the film is left in the box.
    """
    import cv2

    x0, y0, x1, y1 = _whole_pixels(film.shape, box, settings.margin)
    equalised = cv2.equalizeHist(np.ascontiguousarray(film[y0:y1, x0:x1]))
    scale = min(settings.width_px / (x1 - x0), settings.height_px / (y1 - y0))
    width = min(max(round((x1 - x0) * scale), 1), settings.width_px)
    height = min(max(round((y1 - y0) * scale), 1), settings.height_px)
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    left, top = (settings.width_px - width) // 2, (settings.height_px - height) // 2
    pixels = np.zeros((settings.height_px, settings.width_px), np.uint8)
    pixels[top : top + height, left : left + width] = cv2.resize(equalised, (width, height), interpolation=kind)
    return Crop(pixels, (x0, y0, x1, y1), scale, left, top)


def film_position(
    x_crop_px: float, y_crop_px: float, x0_px: float, y0_px: float, scale: float, pad_left_px: int, pad_top_px: int
) -> tuple[float, float]:
    """Return where a crop's position lies on the film, from the crop's row in `vertebra_crops`.

    Positions are continuous: a picture's first pixel reaches from 0 to 1. Right to within half a crop pixel, since the
    resized picture has whole pixels.
    """
    return x0_px + (x_crop_px - pad_left_px) / scale, y0_px + (y_crop_px - pad_top_px) / scale


def _whole_pixels(shape: tuple[int, ...], box: Box, margin: float) -> tuple[int, int, int, int]:
    """Return the box with its margin, rounded outwards and clipped to a film of shape (height, width)."""
    x0, y0, x1, y1 = box
    grow_x, grow_y = margin * (x1 - x0), margin * (y1 - y0)
    left, top = max(int(np.floor(x0 - grow_x)), 0), max(int(np.floor(y0 - grow_y)), 0)
    right, bottom = min(int(np.ceil(x1 + grow_x)), shape[1]), min(int(np.ceil(y1 + grow_y)), shape[0])
    if right <= left or bottom <= top:
        raise EmptyBoxError(
            f"detected_crops: box {box} (x0_px, y0_px, x1_px, y1_px) covers nothing of a film of "
            f"{shape[1]} x {shape[0]} px; films and detections do not belong together, materialise `detections` again"
        )
    return left, top, right, bottom


def _crop_film(job: _Job) -> list[dict[str, Any]]:
    """Cut and store all crops of one film; return their columns in the order of the boxes."""
    store = job.store
    film = store.load_image(job.image_path)
    rows = []
    for box in job.boxes:
        crop = cut_crop(film, box, job.settings)
        path, digest = store.save_image(crop.pixels)
        corners = dict(zip(("x0_px", "y0_px", "x1_px", "y1_px"), map(float, crop.rectangle), strict=True))
        rows.append(
            {
                "image_path": path,
                "pixel_sha256": digest,
                "scale": crop.scale,
                "pad_left_px": crop.pad_left_px,
                "pad_top_px": crop.pad_top_px,
            }
            | corners
        )
    return rows
