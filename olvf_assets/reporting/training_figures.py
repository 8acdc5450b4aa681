"""The picture of how training went.

What lives here: loss and accuracy over the epochs. What does not: the table (`classification`).
"""

from typing import TYPE_CHECKING

import polars as pl

from olvf_assets.reporting import drawing
from olvf_assets.reporting.pictures import Look, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAINING_COLOUR, VALIDATION_COLOUR = "#888888", "#0072B2"
ROWS = (
    ("loss", (("train_loss", TRAINING_COLOUR, "training"), ("validation_loss", VALIDATION_COLOUR, "validation"))),
    ("accuracy", (("validation_accuracy", VALIDATION_COLOUR, "validation"),)),
)


@picture(
    title="Training",
    caption="Loss of the training and of the validation side and validation accuracy after every epoch, each fold "
    "thin, their mean thick. The last epoch's weights are used, whatever the curve: nothing is chosen by it.",
    section="metrics",
)
def training_curves(look: Look, training_curves: pl.DataFrame) -> "Figure":
    """Draw loss and validation accuracy, a column per protocol and architecture; folds thin, their mean thick."""
    from matplotlib.ticker import MaxNLocator

    groups = training_curves.sort("protocol", "architecture", "fold", "epoch").partition_by(
        "protocol", "architecture", maintain_order=True
    )
    figure, axes = drawing.panels(len(ROWS), max(1, len(groups)), 3.6, 2.7)
    for column, part in enumerate(groups):
        protocol, architecture = part.select("protocol", "architecture").row(0)
        for each, (quantity, lines) in zip(axes[:, column], ROWS, strict=True):
            for name, colour, label in lines:
                for (_,), fold in part.group_by("fold", maintain_order=True):
                    each.plot(fold["epoch"], fold[name], color=colour, linewidth=0.7, alpha=0.4)
                mean = part.group_by("epoch", maintain_order=True).agg(pl.col(name).mean())
                each.plot(mean["epoch"], mean[name], color=colour, linewidth=2.0, label=label)
            each.set_xlabel("epoch")
            each.xaxis.set_major_locator(MaxNLocator(integer=True))
            each.set_ylabel(quantity)
            each.grid(color=drawing.GRID, linewidth=0.6)
            each.set_axisbelow(True)
            each.legend(loc="best")
        axes[0, column].set_title(f"{architecture}, protocol {protocol}")
        axes[1, column].set_ylim(0, 1.02)
    return figure
