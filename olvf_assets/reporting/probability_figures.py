"""Pictures of what the probabilities are worth: reliability curves and decision curves.

What lives here: two pictures of the evaluation's tables. What does not: ROC curves and matrices (`figures.py`),
arithmetic (evaluation).
"""

from typing import TYPE_CHECKING

import polars as pl

from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.reporting import drawing
from olvf_assets.reporting.figures import groups_of, square
from olvf_assets.reporting.pictures import Look, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PROBABILITIES = {
    "raw": "as given",
    "temperature_scaled": "temperature-scaled",
    "refitted_at_site": "refitted on its own other patients",
}
STYLES = {"raw": ("--", 1.0), "temperature_scaled": ("-", 1.8)}  # line style, width


@picture(
    title="Calibration",
    caption="Mean probability of a bin against the share that was of the class, one class against the other two, each "
    "crop counted once, folds pooled; bars are 95 % intervals over resampled patients. The temperature was fitted on "
    "validation crops; an external hospital's refit on four fifths of its patients is measured on the rest. In the "
    "legend the expected calibration error, mean of the folds.",
    section="metrics",
)
def reliability_curves(look: Look, reliability_curves: pl.DataFrame, calibration: pl.DataFrame) -> "Figure":
    """Draw the ensemble's reliability curves, a column for each institution, a row for each kind of probability.

    A point is a bin of the pooled folds, its area the crops in it, its bar the interval over patients. The legend gives
    the mean expected calibration error of the folds.
    """
    groups = groups_of(reliability_curves.filter(pl.col("model") == "ensemble"))
    figure, axes = drawing.panels(len(PROBABILITIES), max(len(groups), 1), 4.2, 5.6)
    for column, (protocol, dataset, institution, rows) in enumerate(groups):
        for each, (name, title) in zip(axes[:, column], PROBABILITIES.items(), strict=True):
            if rows.filter(probabilities=name).is_empty():
                each.set_axis_off()
                continue
            each.plot([0, 1], [0, 1], color=drawing.FAINT, linewidth=0.8, linestyle=(0, (4, 4)))
            for c, positive_class in enumerate(CLASSES):
                filled = rows.filter(
                    pl.col("probabilities") == name, pl.col("positive_class") == positive_class, pl.col("n") > 0
                ).sort("bin_low")
                colour = drawing.CLASS_COLOURS[positive_class]
                where = (protocol, dataset, institution, name, positive_class)
                each.plot(
                    filled["mean_probability"],
                    filled["observed_share"],
                    color=colour,
                    linewidth=1.6,
                    zorder=3,
                    label=f"{positive_class}  {_calibration_error(calibration, *where)}",
                )
                shift = 0.006 * (c - 1)  # bars of two classes in one place stay apart
                each.vlines(
                    filled["mean_probability"] + shift,
                    filled["ci_low"],
                    filled["ci_high"],
                    color=colour,
                    linewidth=0.8,
                    alpha=0.6,
                )
                areas = 6 + 120 * filled["n"].to_numpy() / max(int(filled["n"].sum()), 1)
                each.scatter(filled["mean_probability"], filled["observed_share"], areas, color=colour, zorder=4)
            square(each)
            each.set_title(f"{drawing.dataset_title(dataset, institution, protocol)}\n{title}")
            each.set_xlabel("mean predicted probability")
            each.set_ylabel("share that was of the class")
            each.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), title="calibration error", title_fontsize=8)
    if not groups:
        for each in axes.ravel():
            each.set_axis_off()
    return figure


@picture(
    title="Decision curves",
    caption="Net benefit (Vickers and Elkin) of treating as fresh what has at least the threshold probability, mean of "
    "the folds' ensembles, each crop counted once; the band is the 95 % interval over resampled patients.",
    section="metrics",
)
def decision_curves(look: Look, decision_curves: pl.DataFrame) -> "Figure":
    """Draw the net benefit of the ensemble's probability of a fresh fracture, a panel for each institution.

    Mean of the folds with its interval over patients, against treating every vertebra or none as fresh.
    """
    import numpy as np

    groups = groups_of(decision_curves.filter(pl.col("model") == "ensemble", pl.col("fold") == "mean"))
    figure, axes = drawing.wrapped_panels(len(groups), 3, 4.6, 3.8)
    colour = drawing.CLASS_COLOURS["fresh"]
    for each, (protocol, dataset, institution, rows) in zip(axes, groups, strict=True):
        for name, (style, width) in STYLES.items():
            curve = rows.filter(pl.col("probabilities") == name).sort("threshold")
            x, y = curve["threshold"], curve["net_benefit"]
            each.plot(x, y, style, color=colour, linewidth=width, label=PROBABILITIES[name], zorder=3)
            if name == "temperature_scaled":
                each.fill_between(x, curve["ci_low"], curve["ci_high"], color=colour, alpha=0.15, linewidth=0)
        reference = rows.filter(pl.col("probabilities") == "raw").sort("threshold")
        each.plot(
            reference["threshold"],
            reference["net_benefit_treat_all"],
            color=drawing.INK,
            linewidth=1.0,
            label="every vertebra taken as fresh",
        )
        each.axhline(0, color=drawing.FAINT, linewidth=1.0, label="none taken as fresh")
        ends = rows.select(pl.col("net_benefit_treat_all", "net_benefit", "ci_high").fill_nan(None)).to_numpy()
        highest = max(float(np.nanmax(ends)), 0.01)
        each.set_ylim(-0.25 * highest, 1.1 * highest)
        each.set_xlim(0, reference["threshold"].to_numpy()[-1])
        each.grid(color=drawing.GRID, linewidth=0.6)
        each.set_axisbelow(True)
        each.set_title(drawing.dataset_title(dataset, institution, protocol))
        each.set_xlabel("threshold probability of a fresh fracture")
        each.set_ylabel("net benefit per vertebra image")
        each.legend(loc="upper right")
    return figure


def _calibration_error(
    figures: pl.DataFrame, protocol: str, dataset: str, institution: str, probabilities: str, positive_class: str
) -> str:
    row = figures.filter(
        pl.col("protocol") == protocol,
        pl.col("dataset") == dataset,
        pl.col("institution") == institution,
        pl.col("probabilities") == probabilities,
        pl.col("positive_class") == positive_class,
        pl.col("model") == "ensemble",
        pl.col("fold") == "mean",
        pl.col("metric") == "expected_calibration_error",
    )
    return "" if row.is_empty() else f"{row['value'][0]:.3f} ({row['ci_low'][0]:.3f}–{row['ci_high'][0]:.3f})"
