"""Pictures of the detector: precision-recall curves, and the films on which it was worst.

What lives here: layout and the choice of the worst films. What does not: the errors themselves (`detection`).
"""

from typing import TYPE_CHECKING, Any

import polars as pl

from olvf_assets.detection.errors import box_errors
from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.reporting import drawing
from olvf_assets.reporting.pictures import Frames, Look, picture
from olvf_assets.reporting.sheets import (
    DETECTED_COLOUR,
    DRAWN_COLOUR,
    FILM,
    FILMS_IN_A_ROW,
    SHOWN_PROTOCOL,
    draw_boxes,
    draw_film,
    label_boxes,
    label_kinds_of_boxes,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORST = 12
LEVEL_COLOURS = dict(zip(map(str, LEVELS), ("#332288", "#117733", "#DDAA33", "#CC6677", "#44AA99"), strict=True))


@picture(
    title="Precision and recall of the detector",
    caption="Every level of every box above the metric's confidence, by COCOeval at IoU 0.5; validation pictures are "
    "plain films in protocol patient and augmented copies in protocol thesis.",
    section="detector",
)
def detector_pr_curves(look: Look, detector_pr_curves: pl.DataFrame, detector_metrics: pl.DataFrame) -> "Figure":
    """Draw precision over recall at IoU 0.5, a panel for each protocol and dataset, a line for each level.

    The average precision in the legend is that of `detector_metrics`.
    """
    order = ["protocol", "dataset"]
    rows = detector_pr_curves.sort(order, descending=[False, True], maintain_order=True)
    groups = rows.partition_by(order, maintain_order=True)
    figure, axes = drawing.wrapped_panels(len(groups), 4, 3.9, 4.1)
    for each, part in zip(axes, groups, strict=True):
        protocol, dataset = part.select(order).row(0)
        own = detector_metrics.filter(protocol=protocol, dataset=dataset, metric="map50", source="pycocotools")
        precision = dict(own.select("level", "value").iter_rows())
        for (level,), line in part.group_by("level", maintain_order=True):
            each.plot(
                line["recall"],
                line["precision"],
                color=LEVEL_COLOURS[str(level)],
                linewidth=1.6,
                label=f"{level}  {precision.get(level, float('nan')):.3f}",
            )
        each.set_xlim(-0.01, 1.01)
        each.set_ylim(-0.01, 1.03)
        each.grid(color=drawing.GRID, linewidth=0.6)
        each.set_axisbelow(True)
        each.set_xlabel("recall")
        each.set_ylabel("precision")
        each.set_title(f"{dataset} films, protocol {protocol}")
        mean = precision.get("all", float("nan"))
        each.legend(loc="lower left", title=f"AP at IoU 0.5; mean {mean:.3f}", title_fontsize=8)
    return figure


def the_worst(
    look: Look,
    films: pl.DataFrame,
    reader_boxes: pl.DataFrame,
    detections: pl.DataFrame,
    detector_answers: pl.DataFrame,
    detected_films: pl.DataFrame,
) -> Frames:
    """Return the films with the lowest mean overlap of drawn and detected levels, a missed one as 0, and their boxes.

    Returns:
        `worst`, a row per dataset and film, the worst first, and `errors`, what `box_errors` says of them.
    """
    of_protocol = detections.filter(protocol=SHOWN_PROTOCOL)
    errors = box_errors(of_protocol, films, reader_boxes, detector_answers).filter(protocol=SHOWN_PROTOCOL)
    worst = (
        errors.group_by("dataset", *FILM)
        .agg(
            pl.col("iou").fill_null(0).mean().alias("overlap"),
            pl.col("iou").null_count().alias("n_missed"),
            (pl.col("iou") < 0.5).sum().alias("n_elsewhere"),
        )
        .sort("overlap", *FILM)
        .head(WORST)
        .join(films.select(*FILM, "view", "image_path", "width_px", "height_px"), on=FILM, maintain_order="left")
        .join(
            detected_films.filter(protocol=SHOWN_PROTOCOL).select(*FILM, "state"),
            on=FILM,
            how="left",
            maintain_order="left",
        )
    )
    own = errors.join(worst, on=["dataset", *FILM], how="semi").sort("dataset", *FILM, "level")
    return {"worst": worst, "errors": own}


@picture(
    title="The twelve films on which the detector was worst",
    caption="Validation and external films with the lowest mean overlap of drawn and detected levels, a missed level "
    "as 0; elsewhere: a box that overlaps less than half, so that another vertebra bears the name.",
    section="detector",
    shown=the_worst,
)
def worst_films(look: Look, worst: pl.DataFrame, errors: pl.DataFrame) -> "Figure":
    """Draw the films with the drawn and the detected boxes, and what went wrong above each."""
    figure, axes = drawing.wrapped_panels(worst.height, FILMS_IN_A_ROW, 2.0, 2.95)
    for each, row in zip(axes, worst.iter_rows(named=True), strict=True):
        draw_film(each, row, look.load_image(row["image_path"]))
        own = errors.filter(institution=row["institution"], film_id=row["film_id"], dataset=row["dataset"])
        draw_boxes(each, own, DRAWN_COLOUR, "-")
        found = own.filter(pl.col("confidence").is_not_null())
        found = found.select("level", **{f"{corner}_px": f"{corner}_px_found" for corner in ("x0", "y0", "x1", "y1")})
        draw_boxes(each, found, DETECTED_COLOUR, "--")
        label_boxes(each, found)
        each.set_title(f"{drawing.readable(row['institution'])}, {row['view']}\n{_wrong(row)}", fontsize=7.5,
                       fontweight="normal")  # fmt: skip
    label_kinds_of_boxes(figure)
    return figure


def _wrong(film: dict[str, Any]) -> str:
    """Return what went wrong on a film, and its mean overlap."""
    if film["state"] != "resolved":
        what = "ambiguous, not used" if film["state"] == "ambiguous" else "nothing found"
    else:
        named = {"missed": film["n_missed"], "elsewhere": film["n_elsewhere"]}
        what = ", ".join(f"{n} {name}" for name, n in named.items() if n) or "all found"
    return f"{what}; IoU {film['overlap']:.2f}"
