"""Pictures of the detector: precision-recall curves, and the films on which it was worst.

What lives here: layout and the choice of the worst films. What does not: the errors themselves (`detection`).
"""

from pathlib import Path

import polars as pl

from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.reporting import drawing
from olvf_assets.reporting.sheets import (
    DETECTED_COLOUR,
    DRAWN_COLOUR,
    FILMS_IN_A_ROW,
    LoadImage,
    draw_boxes,
    draw_film,
    label_boxes,
    label_kinds_of_boxes,
)

WORST = 12
LEVEL_COLOURS = dict(zip(map(str, LEVELS), ("#332288", "#117733", "#DDAA33", "#CC6677", "#44AA99"), strict=True))


def draw_pr_curves(curves: pl.DataFrame, metrics: pl.DataFrame, path: Path, dots_per_inch: int) -> None:
    """Draw precision over recall at IoU 0.5, a panel for each protocol and dataset, a line for each level.

    Args:
        curves: `detector_pr_curves`.
        metrics: `detector_metrics`, for the average precision in the legend.
        path: the PNG file to write.
        dots_per_inch: its resolution.
    """
    order = ["protocol", "dataset"]
    groups = curves.sort(order, descending=[False, True], maintain_order=True).partition_by(order, maintain_order=True)
    figure, axes = drawing.wrapped_panels(len(groups), 4, 3.9, 4.1)
    with drawing.styled():
        for each, part in zip(axes, groups, strict=True):
            protocol, dataset = part.select(order).row(0)
            own = metrics.filter(protocol=protocol, dataset=dataset, metric="map50", source="pycocotools")
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
    drawing.save(figure, path, dots_per_inch)


def draw_worst_films(
    errors: pl.DataFrame,
    films: pl.DataFrame,
    detected_films: pl.DataFrame,
    load_image: LoadImage,
    path: Path,
    dots_per_inch: int,
) -> None:
    """Draw the twelve films with the lowest mean overlap of drawn and detected levels, a missed one counted as 0.

    Args:
        errors: what `detection.errors.box_errors` returns, one protocol.
        films: `films`.
        detected_films: `detected_films` of that protocol.
        load_image: returns the uint8 film (height_px, width_px) of an `image_path`.
        path: the PNG file to write.
        dots_per_inch: its resolution.
    """
    film = ["institution", "film_id"]
    worst = (
        errors.group_by("dataset", *film)
        .agg(
            pl.col("iou").fill_null(0).mean().alias("overlap"),
            pl.col("iou").null_count().alias("n_missed"),
            (pl.col("iou") < 0.5).sum().alias("n_elsewhere"),
        )
        .sort("overlap", *film)
        .head(WORST)
        .join(films.select(*film, "view", "image_path", "width_px", "height_px"), on=film, maintain_order="left")
        .join(detected_films.select(*film, "state"), on=film, how="left", maintain_order="left")
    )
    figure, axes = drawing.wrapped_panels(worst.height, FILMS_IN_A_ROW, 2.0, 2.95)
    with drawing.styled():
        for each, row in zip(axes, worst.iter_rows(named=True), strict=True):
            draw_film(each, row, load_image(row["image_path"]))
            own = errors.filter(institution=row["institution"], film_id=row["film_id"], dataset=row["dataset"])
            draw_boxes(each, own, DRAWN_COLOUR, "-")
            found = own.filter(pl.col("confidence").is_not_null())
            found = found.select(
                "level", **{f"{corner}_px": f"{corner}_px_found" for corner in ("x0", "y0", "x1", "y1")}
            )
            draw_boxes(each, found, DETECTED_COLOUR, "--")
            label_boxes(each, found)
            each.set_title(f"{drawing.readable(row['institution'])}, {row['view']}\n{_wrong(row)}", fontsize=7.5,
                           fontweight="normal")  # fmt: skip
        label_kinds_of_boxes(figure)
    drawing.save(figure, path, dots_per_inch)


def _wrong(film: dict) -> str:
    """Return what went wrong on a film, and its mean overlap."""
    if film["state"] != "resolved":
        what = "ambiguous, not used" if film["state"] == "ambiguous" else "nothing found"
    else:
        named = {"missed": film["n_missed"], "elsewhere": film["n_elsewhere"]}
        what = ", ".join(f"{n} {name}" for name, n in named.items() if n) or "all found"
    return f"{what}; IoU {film['overlap']:.2f}"
