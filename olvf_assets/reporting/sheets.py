"""Sheets of pictures to look at: films with their boxes, crops with what the ensemble said.

What lives here: the choice and layout of pictures. What does not: detection and classification themselves.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.reporting import drawing
from olvf_assets.reporting.settings import ReportingSettings

LoadImage = Callable[[str], np.ndarray]
CROP = ("protocol", "institution", "crop_id")
BOX = ("x0_px", "y0_px", "x1_px", "y1_px")
DRAWN_COLOUR = "#33CCDD"
DETECTED_COLOUR = "#FF8844"
OUTLINE = withStroke(linewidth=1.6, foreground="#101010")
FILM_HEIGHT_PX = 480
FILMS_IN_A_ROW = 6


def draw_film_sheet(
    films: pl.DataFrame,
    reader_boxes: pl.DataFrame,
    detections: pl.DataFrame,
    load_image: LoadImage,
    path: Path,
    settings: ReportingSettings,
    seed: int,
) -> None:
    """Draw randomly chosen films of each institution with the drawn boxes and the detected ones.

    A film's title gives its view and the mean intersection over union of the levels that were both drawn and detected.

    Args:
        films: `films`.
        reader_boxes: `reader_boxes`.
        detections: `detections` of one protocol.
        load_image: returns the uint8 film (height_px, width_px) of an `image_path`.
        path: the PNG file to write.
        settings: films_per_institution, dots_per_inch.
        seed: the profile's seed.
    """
    chosen = [
        film
        for part in films.sort("institution", "film_id").partition_by("institution", maintain_order=True)
        for film in _some(part, settings.films_per_institution, seed, "film_sheet", part["institution"][0])
    ]
    figure, axes = drawing.wrapped_panels(len(chosen), FILMS_IN_A_ROW, 2.0, 2.75)
    with drawing.styled():
        for each, film in zip(axes, chosen, strict=True):
            draw_film(each, film, load_image(film["image_path"]))
            own = {"institution": film["institution"], "film_id": film["film_id"]}
            drawn, detected = reader_boxes.filter(**own), detections.filter(**own)
            draw_boxes(each, drawn, DRAWN_COLOUR, "-")
            draw_boxes(each, detected, DETECTED_COLOUR, "--")
            label_boxes(each, detected)
            each.set_title(
                f"{drawing.readable(film['institution'])}, {film['view']}\n{_overlap(drawn, detected)}",
                fontsize=7.5,
                fontweight="normal",
            )
        label_kinds_of_boxes(figure)
    drawing.save(figure, path, settings.dots_per_inch)


def draw_crop_sheet(
    vertebra_crops: pl.DataFrame,
    ensemble_predictions: pl.DataFrame,
    load_image: LoadImage,
    path: Path,
    settings: ReportingSettings,
    seed: int,
) -> None:
    """Draw randomly chosen crops of each institution and class, framed in the colour of the predicted class.

    The prediction is that of `ensemble_of_15`, of crops that were in no training set, as they are (replica 0).

    Args:
        vertebra_crops: `vertebra_crops`.
        ensemble_predictions: `ensemble_predictions` of one protocol.
        load_image: returns the uint8 crop (140, 166) of an `image_path`.
        path: the PNG file to write.
        settings: crops_per_class, dots_per_inch.
        seed: the profile's seed.
    """
    scored = (
        ensemble_predictions.filter(pl.col("model") == "ensemble_of_15", pl.col("replica") == 0)
        .join(vertebra_crops.select(*CROP, "image_path"), on=CROP)
        .sort("dataset", "institution", "crop_id", descending=[True, False, False])
    )
    rows = [
        (dataset, institution, label, group)
        for (dataset, institution), part in scored.group_by("dataset", "institution", maintain_order=True)
        for label in CLASSES
        if len(group := part.filter(pl.col("label") == label))
    ]
    figure, axes = drawing.panels(max(1, len(rows)), settings.crops_per_class, 1.42, 1.46)
    with drawing.styled():
        for line, (dataset, institution, label, group) in zip(axes, rows, strict=False):
            crops = _some(group, settings.crops_per_class, seed, "crop_sheet", institution, label)
            for each, crop in zip(line, crops, strict=False):
                _draw_crop(each, crop, load_image(crop["image_path"]))
            for unused in line[len(crops) :]:
                unused.set_axis_off()
            line[0].set_ylabel(
                f"{drawing.readable(institution)}\n{'test' if dataset == 'test' else 'external'}\n{label}",
                fontsize=8,
                color=drawing.CLASS_COLOURS[label],
            )
        if not rows:
            for unused in axes.ravel():
                unused.set_axis_off()
        handles = [
            Rectangle((0, 0), 1, 1, fill=False, edgecolor=drawing.CLASS_COLOURS[name], linewidth=3, label=name)
            for name in CLASSES
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, title="frame and words: predicted class")
    drawing.save(figure, path, settings.dots_per_inch)


def _some(rows: pl.DataFrame, most: int, seed: int, *names: str) -> list[dict]:
    generator = np.random.default_rng(derive_seed(seed, *names))
    chosen = np.sort(generator.choice(len(rows), size=min(most, len(rows)), replace=False))
    return rows[chosen.tolist()].to_dicts()


def draw_film(axes: Axes, film: dict, pixels: np.ndarray) -> None:
    """Draw a film (columns width_px, height_px) from its uint8 pixels (height_px, width_px), axes in film pixels."""
    import cv2

    height, width = pixels.shape
    small = cv2.resize(pixels, (round(width * FILM_HEIGHT_PX / height), FILM_HEIGHT_PX), interpolation=cv2.INTER_AREA)
    axes.imshow(small, cmap="gray", vmin=0, vmax=255, extent=(0, film["width_px"], film["height_px"], 0))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def draw_boxes(axes: Axes, boxes: pl.DataFrame, colour: str, style: str) -> None:
    """Draw the boxes (x0_px, y0_px, x1_px, y1_px) of a film."""
    for x0, y0, x1, y1 in boxes.select(BOX).iter_rows():
        axes.add_patch(
            Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=0.9, linestyle=style)
        )


def label_boxes(axes: Axes, boxes: pl.DataFrame) -> None:
    """Write the level beside each detected box."""
    for level, x1, y0, y1 in boxes.select("level", "x1_px", "y0_px", "y1_px").iter_rows():
        axes.text(x1 + 25, (y0 + y1) / 2, level, color=DETECTED_COLOUR, fontsize=7, va="center", path_effects=[OUTLINE])


def label_kinds_of_boxes(figure: Figure) -> None:
    """Put a legend under a sheet of films."""
    kinds = {"drawn by a reader": (DRAWN_COLOUR, "-"), "detected": (DETECTED_COLOUR, "--")}
    handles = [
        Rectangle((0, 0), 1, 1, fill=False, edgecolor=colour, linewidth=1.6, linestyle=style, label=label)
        for label, (colour, style) in kinds.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)


def _draw_crop(axes: Axes, crop: dict, pixels: np.ndarray) -> None:
    colour = drawing.CLASS_COLOURS[crop["predicted"]]
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set(visible=True, color=colour, linewidth=3)
    axes.set_title(
        f"{crop['predicted']} {crop['p_' + crop['predicted']]:.2f}",
        fontsize=7.5,
        color=colour,
        fontweight="bold" if crop["predicted"] != crop["label"] else "normal",
        loc="center",
        pad=4,
    )


def _overlap(drawn: pl.DataFrame, detected: pl.DataFrame) -> str:
    both = drawn.join(detected, on="level", suffix="_found")
    if both.is_empty():
        return f"{len(detected)} of {len(drawn)} found"
    width = pl.min_horizontal("x1_px", "x1_px_found") - pl.max_horizontal("x0_px", "x0_px_found")
    height = pl.min_horizontal("y1_px", "y1_px_found") - pl.max_horizontal("y0_px", "y0_px_found")
    shared = width.clip(lower_bound=0) * height.clip(lower_bound=0)
    drawn_area = (pl.col("x1_px") - pl.col("x0_px")) * (pl.col("y1_px") - pl.col("y0_px"))
    found_area = (pl.col("x1_px_found") - pl.col("x0_px_found")) * (pl.col("y1_px_found") - pl.col("y0_px_found"))
    mean = both.select((shared / (drawn_area + found_area - shared)).mean()).item()
    return f"{len(both)} of {len(drawn)} found, IoU {mean:.2f}"
