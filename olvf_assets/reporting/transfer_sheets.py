"""Pictures of how a detector did on films of another place: every film with its verdict, and sheets of wrong ones.

What lives here: layout. What does not: the verdicts (`evaluation.transfer`), which films (`commands.measure_transfer`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from olvf_assets.detection.tables import BOX_PX
from olvf_assets.foundation.parallel import reported
from olvf_assets.reporting import drawing
from olvf_assets.reporting.sheets import DRAWN_COLOUR, draw_boxes, draw_film
from olvf_assets.storage.artifacts import ArtifactStore

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

FILMS_ON_A_SHEET, IN_A_ROW = 24, 6
NAME_COLOURS = {"right": "#66DD66", "slid": "#FF4444", "astray": "#FFAA00", "unknown": "#DDDDDD"}
VERDICT_COLOURS = {"right": "#117733", "incomplete": "#0077BB", "wrong": "#CC3311"}
DOTS_PER_INCH = 110
FOUND_COLOUR = "#C9B8FF"
LEGEND = "line: drawn; dots: found; dashes: named, green rightly, red on another body, orange on none, grey not known"


def write_pictures(
    films: pl.DataFrame,
    drawn: pl.DataFrame,
    candidates: pl.DataFrame,
    folder: Path,
    store: ArtifactStore,
    report: Callable[[str], None],
) -> None:
    """Write one picture per film, `films/<verdict>/<film>.png`, and sheets of the wrong ones, `wrong_01.png` and so on.

    Args:
        films: verdicts of one protocol (`evaluation.transfer.TRANSFER_FILMS`) with image_path, width_px, height_px.
        drawn: boxes: film_id, name, BOX_PX.
        candidates: all bodies that were found, named or not: film_id, BOX_PX.
        folder: where.
        store: where the films' pictures lie.
        report: told of progress.

    Raises:
        DamagedPictureError: a film's picture is missing or damaged.
        DiskFullError, WriteFaultError: the disk.
    """
    ordered = films.sort("verdict", "margin", "film_id", nulls_last=True)

    def draw(axes: "Axes", film: dict[str, Any]) -> None:
        own_drawn, own_found = (frame.filter(film_id=film["film_id"]) for frame in (drawn, candidates))
        _draw(axes, film, own_drawn, own_found, store.load_image(film["image_path"]))

    with drawing.styled(drawing.STYLE):
        for film in reported(ordered.iter_rows(named=True), len(ordered), "pictures", report):
            figure, axes = drawing.wrapped_panels(1, 1, 4.2, 5.4)
            draw(axes[0], film)
            figure.supxlabel(LEGEND, fontsize=5.5)
            drawing.save(figure, folder / "films" / film["verdict"] / f"{film['film_id']}.png", DOTS_PER_INCH)
        wrong = ordered.filter(verdict="wrong")
        for number, page in enumerate(wrong.iter_slices(FILMS_ON_A_SHEET), start=1):
            figure, axes = drawing.wrapped_panels(len(page), IN_A_ROW, 2.3, 3.1)
            for each, film in zip(axes, page.iter_rows(named=True), strict=True):
                draw(each, film)
            figure.supxlabel(LEGEND, fontsize=7)
            drawing.save(figure, folder / f"wrong_{number:02d}.png", DOTS_PER_INCH)


def _draw(
    axes: "Axes", film: dict[str, Any], drawn: pl.DataFrame, candidates: pl.DataFrame, pixels: "np.ndarray"
) -> None:
    from matplotlib.patheffects import withStroke

    outline = [withStroke(linewidth=1.6, foreground="#101010")]
    draw_film(axes, film, pixels)
    draw_boxes(axes, candidates, FOUND_COLOUR, ":")
    draw_boxes(axes, drawn, DRAWN_COLOUR, "-")
    for name, x0, y0, y1 in drawn.select("name", "x0_px", "y0_px", "y1_px").iter_rows():
        if name:
            axes.text(x0, (y0 + y1) / 2, f"{name} ", color=DRAWN_COLOUR, fontsize=6, ha="right", path_effects=outline)
    for each in film["named"]:
        colour = NAME_COLOURS[each["verdict"]]
        draw_boxes(axes, pl.DataFrame([{name: each[name] for name in BOX_PX}]), colour, "--")
        middle = (each["y0_px"] + each["y1_px"]) / 2
        axes.text(each["x1_px"], middle, f" {each['level']}", color=colour, fontsize=6, path_effects=outline)
    margin = "" if film["margin"] is None else f", margin {film['margin']:.1f}"
    title = f"{film['verdict'].replace('_', ' ')}{margin}\n{film['n_found_iou50']} of {film['n_bodies']} bodies found"
    axes.set_title(title, fontsize=7.5, color=VERDICT_COLOURS.get(film["verdict"], drawing.INK))
    axes.set_xlim(0, film["width_px"])
    axes.set_ylim(film["height_px"], 0)
