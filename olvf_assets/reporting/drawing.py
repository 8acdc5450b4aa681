"""How every picture of the report looks and is saved.

What lives here: colours, fonts, panels, saving without dates. What does not: what a picture shows.

matplotlib is imported by whoever draws: the code location loads the declarations of all pictures at its start.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from olvf_assets.storage.artifacts import write_atomically

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Distinct to colour-blind readers (Paul Tol, "bright" and "high-contrast" schemes) and in grey print.
CLASS_COLOURS = {"normal": "#0077BB", "old": "#DD9922", "fresh": "#AA3377"}
INK = "#222222"
FAINT = "#8A8F98"
GRID = "#E3E6EA"
BACKGROUND = "#FFFFFF"
STYLE: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture on every machine
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.fonttype": "none",  # text stays text, to be searched and read aloud
    "svg.hashsalt": "olvf",  # ids that do not change from run to run
}
NO_METADATA: dict[str, Any] = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}}


@contextmanager
def styled(style: Mapping[str, Any]) -> Iterator[None]:
    """Make figures within look by matplotlib's own defaults and `style`; what the user or the machine set is not seen.

    Args:
        style: settings of matplotlib, such as STYLE.
    """
    import matplotlib

    own: dict[Any, Any] = {name: each for name, each in matplotlib.rcParamsDefault.items() if name != "backend"}
    with matplotlib.rc_context(own | dict(style)):
        yield


def panels(rows: int, columns: int, width: float, height: float) -> "tuple[Figure, np.ndarray]":
    """Return a figure and its axes, object (rows, columns); width and height of one panel in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(columns * width, rows * height), layout="constrained", facecolor=BACKGROUND)
    return figure, figure.subplots(rows, columns, squeeze=False)


def wrapped_panels(count: int, most_columns: int, width: float, height: float) -> "tuple[Figure, list[Axes]]":
    """Return a figure with `count` axes in rows of at most `most_columns`; places left over are blank."""
    columns = max(1, min(count, most_columns))
    figure, axes = panels(max(1, math.ceil(count / columns)), columns, width, height)
    flat = list(axes.ravel())
    for unused in flat[count:]:
        unused.set_axis_off()
    return figure, flat[:count]


def save(figure: "Figure", path: Path, dots_per_inch: int) -> None:
    """Write a PNG or SVG file whose bytes depend on the picture alone: no date, no program version."""
    metadata = NO_METADATA[path.suffix]
    with _laid_out(figure, dots_per_inch if path.suffix == ".png" else None):
        write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=dots_per_inch, metadata=metadata))


@contextmanager
def _laid_out(figure: "Figure", dots_per_inch: int | None) -> Iterator[None]:
    """Lay a figure out once at a PNG file's resolution; None: leave that to matplotlib.

    matplotlib lays out by drawing the whole figure, without a trace, before it draws it.
    """
    engine = figure.get_layout_engine()
    if engine is None or dots_per_inch is None:
        yield
        return
    figure.set_dpi(dots_per_inch)
    engine.execute(figure)
    figure.set_layout_engine(None)
    try:
        yield
    finally:
        figure.set_layout_engine(engine)


def readable(key: str) -> str:
    """Return a key such as `institution_1` as a reader would write it: `Institution 1`."""
    return key.replace("_", " ").capitalize()


def dataset_title(dataset: str, institution: str, protocol: str) -> str:
    """Return e.g. `Institution 1, held-out test` or `Institution 2, external (protocol thesis)`."""
    which = "" if protocol == "patient" else f" (protocol {protocol})"
    return f"{readable(institution)}, {'held-out test' if dataset == 'test' else 'external'}{which}"
