"""The attention analysis in one picture.

What lives here: `attention_picture`, drawn from this room's tables alone. What does not: any other number.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from olvf_assets.attention.grid import COLUMNS, ROWS, grid_place, section_number
from olvf_assets.attention.statistics import PAIRS, mean_grid
from olvf_assets.foundation.artifacts import ArtifactStore, write_atomically
from olvf_assets.foundation.vocabulary import CLASSES

COLOURS = {"normal": "#3B6FB6", "old": "#E0A030", "fresh": "#B5364A"}
PLAIN = "#F1F1EE"
SOURCE_NAMES = {"red": "red channel (0-255)", "cam": "raw map"}


def attention_picture(
    section_means: pl.DataFrame,
    statistics: pl.DataFrame,
    examples: pl.DataFrame,
    store: ArtifactStore,
    path: Path,
    *,
    title: str = "Where the network looks",
    significance: float = 0.05,
) -> None:
    """Write one PNG: mean maps, row means, sections that differ, and example crops.

    Args:
        section_means: table `gradcam_section_means` of one protocol.
        statistics: table `gradcam_statistics` of that protocol.
        examples: table `gradcam_examples` of that protocol.
        store: where the examples' pictures lie.
        path: the PNG to write; its folder is made if needed.
        title: heading, e.g. naming network and fold.
        significance: the level used in `statistics`, for the legend.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 15.5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=15, fontweight="bold")
    parts: Any = figure.subfigures(4, 1, height_ratios=[1.0, 0.85, 1.0, 1.45])
    means, rows, differences, strips = parts
    _draw_means(means, section_means)
    _draw_row_means(rows, section_means)
    _draw_differences(differences, statistics, significance)
    _draw_examples(strips, examples, store)
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=110, format="png"))


def _draw_means(figure: Any, section_means: pl.DataFrame) -> None:
    figure.suptitle("Mean red channel of the attention pictures, by predicted class", fontsize=11, x=0.02, ha="left")
    axes = figure.subplots(1, len(CLASSES))
    grids = {name: mean_grid(section_means, name, "red") for name in CLASSES}
    shown = None
    for axis, name in zip(axes, CLASSES, strict=True):
        shown = axis.imshow(grids[name], cmap="magma", vmin=0, vmax=255, aspect=140 / 166 * COLUMNS / ROWS)
        for row, column in np.ndindex(ROWS, COLUMNS):
            value = grids[name][row, column]
            if np.isfinite(value):
                ink = "white" if value < 150 else "black"
                axis.text(column, row, f"{value:.0f}", ha="center", va="center", color=ink, fontsize=8)
        counted = section_means.filter((pl.col("predicted") == name) & (pl.col("source") == "red"))["n_images"]
        axis.set_title(
            f"{name} ({counted.sum() // (ROWS * COLUMNS)} images)", color=COLOURS[name], fontsize=11, fontweight="bold"
        )
        _number_axes(axis)
    figure.colorbar(shown, ax=list(axes), shrink=0.85, label="mean red, 0-255")


def _draw_row_means(figure: Any, section_means: pl.DataFrame) -> None:
    figure.suptitle("Mean by grid row, top (1) to bottom (6)", fontsize=11, x=0.02, ha="left")
    for axis, (source, label) in zip(figure.subplots(1, 2), SOURCE_NAMES.items(), strict=True):
        for name in CLASSES:
            by_row = mean_grid(section_means, name, source).mean(axis=1)
            axis.plot(np.arange(1, ROWS + 1), by_row, "o-", color=COLOURS[name], label=name)
        axis.set_xlabel("row")
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False)


def _draw_differences(figure: Any, statistics: pl.DataFrame, significance: float) -> None:
    from matplotlib.patches import Patch, Rectangle

    figure.suptitle(
        f"Sections that differ between two predicted classes (Steel-Dwass p < {significance:g}, red channel)",
        fontsize=11,
        x=0.02,
        ha="left",
    )
    axes = figure.subplots(1, len(PAIRS))
    for axis, (first, second) in zip(axes, PAIRS, strict=True):
        verdicts = {source: _higher_classes(statistics, source, f"{first}_{second}") for source in SOURCE_NAMES}
        for section, higher in verdicts["red"].items():
            row, column = grid_place(section)
            face = COLOURS[higher] if higher else PLAIN
            axis.add_patch(Rectangle((column - 1.5, row - 1.5), 1, 1, facecolor=face, edgecolor="white"))
            if higher:
                number = CLASSES.index(higher)  # the thesis's numbers: 0 normal, 1 old, 2 fresh
                axis.text(column - 1, row - 1, str(number), ha="center", va="center", color="white", fontweight="bold")
            if verdicts["cam"].get(section) != higher:
                axis.add_patch(
                    Rectangle((column - 1.42, row - 1.42), 0.84, 0.84, fill=False, edgecolor="black", ls=":")
                )
        axis.set_xlim(-0.5, COLUMNS - 0.5)
        axis.set_ylim(ROWS - 0.5, -0.5)
        axis.set_aspect(140 / 166 * COLUMNS / ROWS)
        axis.set_title(f"{first} against {second}", fontsize=11)
        _number_axes(axis)
    marks = [Patch(facecolor=COLOURS[name], label=f"{index}: {name} higher") for index, name in enumerate(CLASSES)]
    marks.append(Patch(facecolor=PLAIN, label="no difference shown"))
    marks.append(Patch(fill=False, edgecolor="black", ls=":", label="raw map says otherwise"))
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), frameon=False, fontsize=9)


def _higher_classes(statistics: pl.DataFrame, source: str, comparison: str) -> dict[int, str | None]:
    chosen = statistics.filter((pl.col("source") == source) & (pl.col("comparison") == comparison))
    return dict(chosen.select("section", "higher_class").iter_rows())


def _draw_examples(figure: Any, examples: pl.DataFrame, store: ArtifactStore) -> None:
    figure.suptitle(
        "Crops drawn at random, by predicted class (true class above each), with their attention",
        fontsize=11,
        x=0.02,
        ha="left",
    )
    most = max([len(part) for _, part in examples.group_by("predicted")], default=1)
    grid = figure.subplots(len(CLASSES), 2 * most, squeeze=False)
    for axis in grid.flat:
        axis.set_axis_off()
    for axes, name in zip(grid, CLASSES, strict=True):
        axes[0].text(-0.08, 0.5, name, transform=axes[0].transAxes, rotation=90, va="center", ha="right", fontsize=11,
                     color=COLOURS[name], fontweight="bold")  # fmt: skip
        for number, row in enumerate(examples.filter(pl.col("predicted") == name).iter_rows(named=True)):
            crop, levels = store.load_image(row["image_path"]), store.load_image(row["map_path"])
            plain, overlaid = axes[2 * number], axes[2 * number + 1]
            plain.imshow(crop, cmap="gray", vmin=0, vmax=255)
            plain.set_title(row["label"], fontsize=9, color=COLOURS[row["label"]], loc="left", pad=2)
            overlaid.imshow(crop, cmap="gray", vmin=0, vmax=255)
            overlaid.imshow(levels, cmap="jet", vmin=0, vmax=255, alpha=0.45)


def _number_axes(axis: Any) -> None:
    """Label columns 1-8 above and give each row the number of its first section."""
    axis.set_xticks(range(COLUMNS), range(1, COLUMNS + 1), fontsize=8)
    axis.set_yticks(range(ROWS), [section_number(row, 1) for row in range(1, ROWS + 1)], fontsize=8)
    axis.tick_params(length=0)
