"""Sheets of pictures to look at: films with their boxes, crops with what the ensemble said.

What lives here: the choice and layout of pictures. What does not: detection and classification themselves.
"""

from typing import TYPE_CHECKING, Any

import polars as pl

from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.reporting import drawing
from olvf_assets.reporting.pictures import Frames, Look, picture

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN_PROTOCOL = "patient"  # of the two, the one whose boxes and classes are shown on films and crops
FILM = ("institution", "film_id")
CROP = ("protocol", "institution", "crop_id")
BOX = ("x0_px", "y0_px", "x1_px", "y1_px")
DRAWN_COLOUR = "#33CCDD"
DETECTED_COLOUR = "#FF8844"
FILM_HEIGHT_PX = 480
FILMS_IN_A_ROW = 6


def films_on_the_sheet(look: Look, films: pl.DataFrame, reader_boxes: pl.DataFrame, detections: pl.DataFrame) -> Frames:
    """Return some films of an institution, chosen at random, with their drawn and detected boxes."""
    columns = (*FILM, "view", "image_path", "width_px", "height_px")
    own = films.select(columns).sort(FILM)
    chosen = _some(own, look.settings.films_per_institution, look.seed, "film_sheet", *own["institution"].head(1))

    def on_them(boxes: pl.DataFrame) -> pl.DataFrame:
        return boxes.join(chosen, on=FILM, how="semi").select(*FILM, "level", *BOX).sort(*FILM, "level", *BOX)

    return {
        "films": chosen,
        "reader_boxes": on_them(reader_boxes),
        "detections": on_them(detections.filter(protocol=SHOWN_PROTOCOL)),
    }


@picture(
    title="Films with drawn and detected boxes, {key}",
    caption="Randomly chosen films of the hospital. IoU: mean intersection over union of the levels found.",
    section="detector",
    per="institution",
    shown=films_on_the_sheet,
)
def film_sheet(look: Look, films: pl.DataFrame, reader_boxes: pl.DataFrame, detections: pl.DataFrame) -> "Figure":
    """Draw films with the drawn boxes and the detected ones.

    A film's title gives its view and the mean intersection over union of the levels that were both drawn and detected.
    """
    figure, axes = drawing.wrapped_panels(len(films), FILMS_IN_A_ROW, 2.0, 2.75)
    for each, film in zip(axes, films.iter_rows(named=True), strict=True):
        draw_film(each, film, look.load_image(film["image_path"]))
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
    return figure


def crops_on_the_sheet(look: Look, vertebra_crops: pl.DataFrame, ensemble_predictions: pl.DataFrame) -> Frames:
    """Return some crops of each institution and class, chosen at random among those that no network was trained on.

    The prediction is that of `ensemble_of_15`, of crops as they are (replica 0).
    """
    own = {"protocol": SHOWN_PROTOCOL, "model": "ensemble_of_15", "replica": 0}
    scored = (
        ensemble_predictions.filter(pl.col("label").is_not_null(), **own)
        .join(vertebra_crops.select(*CROP, "image_path"), on=CROP)
        .sort("dataset", "institution", "crop_id", descending=[True, False, False])
    )
    some = [
        _some(group, look.settings.crops_per_class, look.seed, "crop_sheet", str(institution), label)
        for (_, institution), part in scored.group_by("dataset", "institution", maintain_order=True)
        for label in CLASSES
        if len(group := part.filter(label=label))
    ]
    return {"crops": pl.concat([scored.clear(), *some])}


@picture(
    title="Crops and predicted classes",
    caption="Randomly chosen crops that no network was trained on, a row for each actual class. Bold: predicted "
    "wrongly. The number is the probability that the fifteen networks together give.",
    section="metrics",
    shown=crops_on_the_sheet,
)
def crop_sheet(look: Look, crops: pl.DataFrame) -> "Figure":
    """Draw crops, a line for each institution and class, framed in the colour of the predicted class."""
    from matplotlib.patches import Rectangle

    rows = crops.partition_by("dataset", "institution", "label", maintain_order=True)
    figure, axes = drawing.panels(max(1, len(rows)), look.settings.crops_per_class, 1.42, 1.46)
    for line, row in zip(axes, rows, strict=False):
        for each, crop in zip(line, row.iter_rows(named=True), strict=False):
            _draw_crop(each, crop, look.load_image(crop["image_path"]))
        for unused in line[len(row) :]:
            unused.set_axis_off()
        dataset, institution, label = row.select("dataset", "institution", "label").row(0)
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
    return figure


def _some(rows: pl.DataFrame, most: int, seed: int, *names: str) -> pl.DataFrame:
    import numpy as np

    generator = np.random.default_rng(derive_seed(seed, *names))
    chosen = np.sort(generator.choice(len(rows), size=min(most, len(rows)), replace=False))
    return rows[chosen.tolist()]


def draw_film(axes: "Axes", film: dict[str, Any], pixels: "np.ndarray") -> None:
    """Draw a film (columns width_px, height_px) from its uint8 pixels (height_px, width_px), axes in film pixels."""
    import cv2

    height, width = pixels.shape
    small = cv2.resize(pixels, (round(width * FILM_HEIGHT_PX / height), FILM_HEIGHT_PX), interpolation=cv2.INTER_AREA)
    axes.imshow(small, cmap="gray", vmin=0, vmax=255, extent=(0, film["width_px"], film["height_px"], 0))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def draw_boxes(axes: "Axes", boxes: pl.DataFrame, colour: str, style: str) -> None:
    """Draw the boxes (x0_px, y0_px, x1_px, y1_px) of a film."""
    from matplotlib.patches import Rectangle

    for x0, y0, x1, y1 in boxes.select(BOX).iter_rows():
        axes.add_patch(
            Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=0.9, linestyle=style)
        )


def label_boxes(axes: "Axes", boxes: pl.DataFrame) -> None:
    """Write the level beside each detected box."""
    from matplotlib.patheffects import withStroke

    outline = withStroke(linewidth=1.6, foreground="#101010")
    for level, x1, y0, y1 in boxes.select("level", "x1_px", "y0_px", "y1_px").iter_rows():
        axes.text(x1 + 25, (y0 + y1) / 2, level, color=DETECTED_COLOUR, fontsize=7, va="center", path_effects=[outline])


def label_kinds_of_boxes(figure: "Figure") -> None:
    """Put a legend under a sheet of films."""
    from matplotlib.patches import Rectangle

    kinds = {"drawn by a reader": (DRAWN_COLOUR, "-"), "detected": (DETECTED_COLOUR, "--")}
    handles = [
        Rectangle((0, 0), 1, 1, fill=False, edgecolor=colour, linewidth=1.6, linestyle=style, label=label)
        for label, (colour, style) in kinds.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)


def _draw_crop(axes: "Axes", crop: dict[str, Any], pixels: "np.ndarray") -> None:
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
