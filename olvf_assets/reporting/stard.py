"""The flow of participants through the study, as STARD 2015 draws it (Bossuyt et al., BMJ 2015;351:h5527, figure).

What lives here: the boxes and their numbers, all from the table `participant_flow`, and drawing them. What does not:
counting units (SQL model `participant_flow`), colours and saving (`drawing.py`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.reporting import drawing
from olvf_assets.reporting.pictures import Look, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ALL_NORMAL, NO_FILM, NO_LABEL = "exclusion_all_normal", "exclusion_no_film", "exclusion_no_label"
LINE, GAP = 0.21, 0.34  # inches: height of a line of text, distance between boxes
MAIN_WIDTH, SIDE_WIDTH, BETWEEN, MARGIN = 3.3, 3.6, 0.45, 0.15
STAGE_COLOURS = {"Patients": "#E8F1F8", "Films": "#EEF4EA", "Vertebra images": "#FBF1E0"}


@dataclass(frozen=True)
class Box:
    """One step of the flow and what is left out on the way to it.

    Attributes:
        stage: Patients, Films or Vertebra images.
        lines: text of the box, the first line its heading.
        left_out: text of the side box between the step before and this one; empty if nothing was left out.
    """

    stage: str
    lines: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def flow_boxes(flow: pl.DataFrame) -> list[Box]:
    """Return the boxes of one institution's diagram, from top to bottom.

    Args:
        flow: rows of `participant_flow` of one institution.
    """
    patient_rules = flow.filter(pl.col("unit") == "patient")["rule"].drop_nulls().unique().to_list()
    by_patient = pl.col("rule").is_in(patient_rules).fill_null(False)
    patients, films, images = (flow.filter(pl.col("unit") == unit) for unit in ("patient", "film", "vertebra"))
    unread = patients.filter(pl.col("rule") == NO_LABEL)
    read = patients.filter(pl.col("rule").ne_missing(NO_LABEL))
    all_normal = read.filter(pl.col("rule") == ALL_NORMAL)
    fractured = read.filter(pl.col("rule").ne_missing(ALL_NORMAL))
    unjudgeable = fractured.filter(by_patient)
    included = fractured.filter(~by_patient)
    quarantined = films.filter(pl.col("state") == "quarantined")
    of_unread = films.filter(pl.col("rule") == NO_LABEL)
    of_excluded = films.filter(by_patient, pl.col("rule") != NO_LABEL)
    included_films = films.filter(~by_patient, pl.col("state") != "quarantined")
    included_images = images.filter(~by_patient)
    used = included_images.filter(pl.col("state") == "used")
    dropped = included_images.filter(pl.col("state") != "used")
    left_films = [f"of excluded patients ({_n(of_excluded)})"] if _n(of_excluded) else []
    left_films += [f"without a label, scored only ({_n(of_unread)})"] if _n(of_unread) else []
    left_films += [f"in quarantine: {line}" for line in _reasons(quarantined)]
    return [
        Box("Patients", ("Patients enrolled", f"n = {_n(patients)}")),
        *([Box("Patients", ("With a reference standard", f"n = {_n(read)}"), _unread(unread))] if _n(unread) else []),
        Box(
            "Patients",
            ("With a fracture by the reference standard", f"n = {_n(fractured)}  ({_by_group(fractured)})"),
            _side("L1 to L5 all normal", _n(all_normal), []),
        ),
        Box(
            "Patients",
            ("Patients included", f"n = {_n(included)}  ({_by_group(included)})"),
            _side(_heading(unjudgeable), _n(unjudgeable), [_by_group(unjudgeable), *_reasons(unjudgeable)]),
        ),
        Box(
            "Films",
            ("Lateral films of included patients", f"n = {_n(included_films)}  of {_n(films)} handed over"),
            _side("Films not used", _n(of_excluded) + _n(of_unread) + _n(quarantined), left_films),
        ),
        Box("Vertebra images", ("Vertebra images, five a film", f"n = {_n(included_images)}")),
        Box(
            "Vertebra images",
            ("Vertebra images used (index test)", f"n = {_n(used)}"),
            _side("Exclusion reason 2, and not detected", _n(dropped), _reasons(dropped)),
        ),
        Box(
            "Vertebra images",
            ("Class by the reference standard", "   ".join(f"{name} {_n(used, name)}" for name in CLASSES)),
        ),
    ]


@picture(
    title="Flow of participants, {key}",
    caption="After the diagram of STARD 2015; every number is a sum over the table participant_flow. Groups are the "
    "patient's: fresh with any fresh fracture, else old, else normal.",
    section="flow",
    per="institution",
    vector=True,
)
def stard_flow(look: Look, participant_flow: pl.DataFrame) -> "Figure":
    """Draw one institution's diagram."""
    from matplotlib.figure import Figure

    boxes = flow_boxes(participant_flow)
    places, height = _places(boxes)
    width = MARGIN + MAIN_WIDTH + BETWEEN + SIDE_WIDTH + MARGIN
    figure = Figure(figsize=(width, height), facecolor=drawing.BACKGROUND)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.text(MARGIN, 0.3, _title(participant_flow), fontsize=11, fontweight="bold", va="center")
    for number, (box, place) in enumerate(zip(boxes, places, strict=True)):
        _draw_box(axes, MARGIN, place.top, MAIN_WIDTH, box.lines, STAGE_COLOURS[box.stage])
        if number:
            middle = MARGIN + MAIN_WIDTH / 2
            _arrow(axes, (middle, places[number - 1].bottom), (middle, place.top))
        if box.left_out:
            left = MARGIN + MAIN_WIDTH + BETWEEN
            _draw_box(axes, left, place.side_top, SIDE_WIDTH, box.left_out, drawing.BACKGROUND)
            y = place.side_top + _height(box.left_out) / 2
            _arrow(axes, (MARGIN + MAIN_WIDTH / 2, y), (left, y))
    return figure


@dataclass(frozen=True)
class _Place:
    top: float
    bottom: float
    side_top: float


def _places(boxes: list[Box]) -> tuple[list[_Place], float]:
    """Return where each box and its side box lie, in inches from the top, and the height of the whole."""
    places = []
    y = 0.6
    for box in boxes:
        side_top = y
        if box.left_out:
            y += _height(box.left_out) + GAP
        places.append(_Place(y, y + _height(box.lines), side_top))
        y += _height(box.lines) + GAP
    return places, y - GAP + MARGIN


def _height(lines: tuple[str, ...]) -> float:
    return LINE * len(lines) + 0.14


def _draw_box(axes: "Axes", left: float, top: float, width: float, lines: tuple[str, ...], colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    height = _height(lines)
    shape = FancyBboxPatch(
        (left, top), width, height, boxstyle="round,pad=0,rounding_size=0.05", facecolor=colour,
        edgecolor=drawing.FAINT, linewidth=0.9,
    )  # fmt: skip
    axes.add_patch(shape)
    for number, line in enumerate(lines):
        weight = "bold" if number == 0 else "normal"
        axes.text(left + 0.1, top + 0.07 + LINE * (number + 0.5), line, fontsize=8.5, fontweight=weight, va="center")


def _arrow(axes: "Axes", start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": drawing.INK, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=end, xytext=start, arrowprops=style)


def _title(flow: pl.DataFrame) -> str:
    return drawing.readable(flow["institution"][0]) if flow.height else "No participants"


def _side(heading: str, n: int, further: list[str]) -> tuple[str, ...]:
    return (f"{heading} (n = {n})", *further) if n else ()


def _unread(rows: pl.DataFrame) -> tuple[str, ...]:
    return _side("No label: no reader's labels were handed over", _n(rows), ["films are scored, no accuracy"])


def _heading(excluded: pl.DataFrame) -> str:
    """Return what excluded patients have in common; a patient without a film was not judged by reason 1."""
    return "Exclusion reason 1" + (", or no usable film" if NO_FILM in excluded["rule"] else "")


def _n(rows: pl.DataFrame, name: str | None = None) -> int:
    return int(rows[f"n_{name}" if name else "n"].sum())


def _by_group(rows: pl.DataFrame) -> str:
    return ", ".join(f"{_n(rows, name)} {name}" for name in ("fresh", "old", "normal") if _n(rows, name)) or "none"


def _reasons(rows: pl.DataFrame) -> list[str]:
    counts = rows.group_by("reason").agg(pl.col("n").sum()).sort("n", "reason", descending=[True, False])
    return [f"{(reason or 'no reason').replace('_', ' ')} ({n})" for reason, n in counts.iter_rows()]
