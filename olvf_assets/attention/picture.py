"""The attention analysis in one picture, to be read like Table 7 and Figures 9 and 10 of the thesis.

What lives here: `attention_picture`, drawn from this room's tables alone. What does not: films (`film_picture.py`), how
far the maps can be trusted (`trust_picture.py`), any other number.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from olvf_assets.attention.colours import CLASS_COLOURS
from olvf_assets.attention.grid import COLUMNS, ROWS, grid_place, section_number
from olvf_assets.attention.section_means import mean_grid
from olvf_assets.attention.tables import PAIRS
from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.storage.artifacts import ArtifactStore

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAIN = "#F1F1EE"
SECTION_ASPECT = 140 / 166 * COLUMNS / ROWS
SOURCE_NAMES = {"red": "red channel (0-255)", "cam": "raw map"}
STRIPS = (  # source, unit, heading
    ("red", "image", "as in the thesis: red channel, every image counted as independent"),
    ("cam", "patient", "more careful: raw map, each patient counted once per predicted class"),
)


def attention_picture(
    section_means: pl.DataFrame,
    statistics: pl.DataFrame,
    boundaries: pl.DataFrame,
    examples: pl.DataFrame,
    store: ArtifactStore,
    *,
    title: str = "Where the network looks",
    significance: float = 0.05,
) -> "Figure":
    """Return one figure: mean maps, their profiles row by row, sections that differ, their boundaries, example crops.

    Args:
        section_means: table `gradcam_section_means` of one protocol.
        statistics: table `gradcam_statistics` of that protocol.
        boundaries: table `gradcam_boundaries` of that protocol.
        examples: table `gradcam_examples` of that protocol.
        store: where the examples' pictures lie.
        title: heading, e.g. naming network and fold.
        significance: the level used in `statistics`, for the legend.
    """
    figure = new_figure(13, 21, title)
    parts: Any = figure.subfigures(5, 1, height_ratios=[1.0, 1.25, 0.95, 1.1, 1.45])
    means, profiles, *strips, shown = parts
    _draw_means(means, section_means)
    _draw_profiles(profiles, section_means)
    for (source, unit, heading), strip in zip(STRIPS, strips, strict=True):
        chosen = statistics.filter(source=source, unit=unit)
        lines = boundaries.filter(source=source, unit=unit)
        _draw_differences(strip, chosen, lines, significance, heading)
    _add_legend(strips[-1], significance)
    _draw_examples(shown, examples, store)
    return figure


def new_figure(width: float, height: float, title: str) -> Any:
    """Return an empty figure, its size in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=15, fontweight="bold")
    return figure


def subtitle(part: Any, text: str) -> None:
    """Write a heading over a part of a figure, at its left."""
    part.suptitle(text, fontsize=11, x=0.02, ha="left")


def _draw_means(figure: Any, section_means: pl.DataFrame) -> None:
    subtitle(figure, "Mean red channel of the attention pictures, by predicted class (Table 7)")
    axes = figure.subplots(1, len(CLASSES))
    shown = None
    for axis, name in zip(axes, CLASSES, strict=True):
        grid = mean_grid(section_means, name, "red")
        shown = axis.imshow(grid, cmap="magma", vmin=0, vmax=255, aspect=SECTION_ASPECT)
        for row, column in np.ndindex(ROWS, COLUMNS):
            value = grid[row, column]
            if np.isfinite(value):
                ink = "white" if value < 150 else "black"
                axis.text(column, row, f"{value:.0f}", ha="center", va="center", color=ink, fontsize=8)
        counted = section_means.filter((pl.col("predicted") == name) & (pl.col("source") == "red"))["n_images"]
        axis.set_title(
            f"{name} ({counted.sum() // (ROWS * COLUMNS)} images)",
            color=CLASS_COLOURS[name],
            fontsize=11,
            fontweight="bold",
        )
        _number_axes(axis)
    figure.colorbar(shown, ax=list(axes), shrink=0.85, label="mean red, 0-255")


def _draw_profiles(figure: Any, section_means: pl.DataFrame) -> None:
    subtitle(figure, "Mean by column in each of the six rows of sections (Figure 9)")
    axes = figure.subplots(len(SOURCE_NAMES), ROWS, sharey="row", sharex=True)
    for line, (source, label) in zip(axes, SOURCE_NAMES.items(), strict=True):
        grids = {name: mean_grid(section_means, name, source) for name in CLASSES}
        for row, axis in enumerate(line):
            for number, (name, grid) in enumerate(grids.items()):
                axis.plot(range(1, COLUMNS + 1), grid[row], "o-", ms=3, color=CLASS_COLOURS[name],
                          label=f"{number}: {name}")  # fmt: skip
            axis.set_xticks(range(1, COLUMNS + 1))
            axis.tick_params(labelsize=8)
            axis.grid(alpha=0.3)
            axis.spines[["top", "right"]].set_visible(False)
        line[0].set_ylabel(label)
        line[0].set_ylim(bottom=0)
    for row, axis in enumerate(axes[0], start=1):
        axis.set_title(f"row {row}" + {1: ", top", ROWS: ", bottom"}.get(row, ""), fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel("column", fontsize=8)
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper right", ncols=len(names), frameon=False, fontsize=9)


def _draw_differences(
    figure: Any, statistics: pl.DataFrame, boundaries: pl.DataFrame, significance: float, heading: str
) -> None:
    subtitle(figure, f"Sections that differ between the predicted classes (Figure 10), {heading}")
    overall, *pairs = figure.subplots(1, 1 + len(PAIRS))
    _draw_effects(overall, statistics.filter(comparison="kruskal_wallis"), significance)
    for axis, (first, second) in zip(pairs, PAIRS, strict=True):
        for row in statistics.filter(comparison=f"{first}_{second}").iter_rows(named=True):
            column, line = _cell(axis, row, significance)
            if row["higher_class"]:
                number = CLASSES.index(row["higher_class"])  # the thesis's numbers: 0 normal, 1 old, 2 fresh
                axis.text(column, line, str(number), ha="center", va="center", color="white", fontweight="bold")
        for row in boundaries.filter(pl.col("comparison") == f"{first}_{second}", pl.col("reason").is_null()).iter_rows(
            named=True
        ):
            ends = [[row["column_0"] - 1, row["column_1"] - 1], [row["row_0"] - 1, row["row_1"] - 1]]
            axis.plot(*ends, color="white", lw=3.5, zorder=3)
            axis.plot(*ends, color="black", lw=1.8, ls=(0, (1.2, 1.2)), zorder=4)
        _frame(axis, f"{first} against {second}")


def _draw_effects(axis: Any, rows: pl.DataFrame, significance: float) -> None:
    grid = np.full((ROWS, COLUMNS), np.nan)
    for section, effect, p_value in rows.select("section", "effect_size", "p_value").iter_rows():
        row, column = (place - 1 for place in grid_place(section))
        grid[row, column] = effect
        if np.isfinite(effect):
            bold = "bold" if p_value < significance else "normal"
            ink = "white" if effect > 0.5 else "black"
            text = f"{effect:.2f}".lstrip("0")
            axis.text(column, row, text, ha="center", va="center", fontsize=7, fontweight=bold, color=ink)
    axis.imshow(grid, cmap="Greys", vmin=0, vmax=1, aspect=SECTION_ASPECT)
    _frame(axis, f"all three: $\\epsilon^2$ (bold: p < {significance:g})")


def _cell(axis: Any, row: dict[str, Any], significance: float) -> tuple[int, int]:
    """Colour a section by its verdict and return its place (column, row) from 0."""
    from matplotlib.patches import Rectangle

    line, column = (place - 1 for place in grid_place(row["section"]))
    higher = row["higher_class"]
    stands = higher is not None and row["p_holm"] < significance
    face = CLASS_COLOURS[higher] if higher else PLAIN
    place = (column - 0.5, line - 0.5)
    axis.add_patch(Rectangle(place, 1, 1, facecolor="white", edgecolor="white"))
    axis.add_patch(Rectangle(place, 1, 1, facecolor=face, edgecolor="white", alpha=1 if stands or not higher else 0.5))
    if row["verdict_flips"]:
        inner = (column - 0.42, line - 0.42)
        axis.add_patch(Rectangle(inner, 0.84, 0.84, fill=False, edgecolor="black", ls=":"))
    return column, line


def _frame(axis: Any, title: str) -> None:
    axis.set_xlim(-0.5, COLUMNS - 0.5)
    axis.set_ylim(ROWS - 0.5, -0.5)
    axis.set_aspect(SECTION_ASPECT)
    axis.set_title(title, fontsize=11)
    _number_axes(axis)


def _add_legend(figure: Any, significance: float) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks: list[Any] = [
        Patch(facecolor=CLASS_COLOURS[name], label=f"{index}: {name} higher") for index, name in enumerate(CLASSES)
    ]
    marks += [
        Patch(facecolor="#777777", alpha=0.5, label=f"pale: p < {significance:g}, but not after Holm over 48 sections"),
        Patch(facecolor=PLAIN, label="no difference shown"),
        Patch(fill=False, edgecolor="black", ls=":", label="red and raw map disagree"),
        Line2D([], [], color="black", lw=1.8, ls=(0, (1.2, 1.2)), label="boundary (SVM)"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), frameon=False, fontsize=8)


def _draw_examples(figure: Any, examples: pl.DataFrame, store: ArtifactStore) -> None:
    subtitle(figure, "Crops drawn at random, by predicted class (true class above each), with their attention")
    most = max([len(part) for _, part in examples.group_by("predicted")], default=1)
    grid = figure.subplots(len(CLASSES), 2 * most, squeeze=False)
    for axis in grid.flat:
        axis.set_axis_off()
    for axes, name in zip(grid, CLASSES, strict=True):
        axes[0].text(-0.08, 0.5, name, transform=axes[0].transAxes, rotation=90, va="center", ha="right", fontsize=11,
                     color=CLASS_COLOURS[name], fontweight="bold")  # fmt: skip
        for number, row in enumerate(examples.filter(pl.col("predicted") == name).iter_rows(named=True)):
            crop, map_levels = store.load_image(row["image_path"]), store.load_image(row["map_path"])
            plain, overlaid = axes[2 * number], axes[2 * number + 1]
            plain.imshow(crop, cmap="gray", vmin=0, vmax=255)
            plain.set_title(row["label"], fontsize=9, color=CLASS_COLOURS[row["label"]], loc="left", pad=2)
            overlaid.imshow(crop, cmap="gray", vmin=0, vmax=255)
            overlaid.imshow(map_levels, cmap="jet", vmin=0, vmax=255, alpha=0.45)


def _number_axes(axis: Any) -> None:
    """Label columns 1-8 above and give each row the number of its first section."""
    axis.set_xticks(range(COLUMNS), range(1, COLUMNS + 1), fontsize=8)
    axis.set_yticks(range(ROWS), [section_number(row, 1) for row in range(1, ROWS + 1)], fontsize=8)
    axis.tick_params(length=0)
