"""Pictures of figures: ROC curves, confusion matrices, reader agreement and participant flow.

What lives here: one function a picture, from the tables that `architecture.md` promises. What does not: sheets of films
and crops (`sheets.py`), colours and saving (`drawing.py`), arithmetic on predictions (evaluation).
"""

import math
from typing import TYPE_CHECKING

import polars as pl

from olvf_assets.foundation.vocabulary import CLASSES
from olvf_assets.reporting import drawing
from olvf_assets.reporting.layout import number_text
from olvf_assets.reporting.pictures import Look, picture

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DATASET = ("protocol", "dataset", "institution")
BANDS = {"slight": 0.2, "fair": 0.4, "moderate": 0.6, "substantial": 0.8, "almost perfect": 1.0}  # up to
UNITS = ("patient", "film", "vertebra")
REASON_COLOURS = (
    "#F0B94D",
    "#D98CB3",
    "#7FC4A0",
    "#9E9AD4",
    "#EA8F83",
    "#B9A48F",
    "#6FBFD6",
    "#CFCB7A",
)  # light: text on them


@picture(
    title="ROC curves",
    caption="The ensemble of each fold (thin) and their average (thick), one class against the other two, each crop "
    "counted once; in brackets the 95 % interval of the mean AUC over resampled patients.",
    section="metrics",
)
def roc_curves(
    look: Look, roc_curves: pl.DataFrame, test_metrics: pl.DataFrame, external_metrics: pl.DataFrame
) -> "Figure":
    """Draw the ensemble's ROC curves, a panel for each institution: thin lines are folds, thick lines their average.

    The legend gives the mean AUC of the folds with its interval over patients; each crop counts once.
    """
    metrics = pl.concat([test_metrics, external_metrics])
    groups = groups_of(roc_curves.filter(pl.col("model") == "ensemble"))
    figure, axes = drawing.wrapped_panels(len(groups), 3, 4.4, 4.6)
    for each, (protocol, dataset, institution, rows) in zip(axes, groups, strict=True):
        each.plot([0, 1], [0, 1], color=drawing.FAINT, linewidth=0.8, linestyle=(0, (4, 4)))
        for name in CLASSES:
            one = rows.filter(pl.col("positive_class") == name)
            for (fold,), points in one.group_by("fold", maintain_order=True):
                thick = fold == "mean"
                each.plot(
                    points["false_positive_rate"],
                    points["true_positive_rate"],
                    color=drawing.CLASS_COLOURS[name],
                    linewidth=2.2 if thick else 0.7,
                    alpha=1.0 if thick else 0.35,
                    zorder=3 if thick else 2,
                    label=_auc_label(metrics, protocol, institution, name) if thick else None,
                )
        square(each)
        each.set_title(drawing.dataset_title(dataset, institution, protocol))
        each.set_xlabel("1 − specificity (false positive rate)")
        each.set_ylabel("sensitivity (true positive rate)")
        each.legend(loc="lower right", title="mean AUC of folds (95 % interval)", title_fontsize=8)
    return figure


@picture(
    title="Confusion matrices",
    caption="The ensembles of the folds, summed: each fold scores the same samples, replicas of the balanced test set "
    "included. Percentages are of the actual class.",
    section="metrics",
)
def confusion_matrices(look: Look, confusion_matrices: pl.DataFrame) -> "Figure":
    """Draw the ensemble's confusion matrices, **summed over the folds**, a panel for each institution.

    Every fold's ensemble scores the same samples, so each sample (replicas included) counts once per fold. The shade
    and the share are of the actual class.
    """
    import numpy as np

    groups = groups_of(confusion_matrices.filter(pl.col("model") == "ensemble"))
    figure, axes = drawing.wrapped_panels(len(groups), 3, 4.0, 4.0)
    for each, (protocol, dataset, institution, rows) in zip(axes, groups, strict=True):
        counts = _matrix(rows)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        each.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (i, j), n in np.ndenumerate(counts):
            colour = "white" if shares[i, j] > 0.55 else drawing.INK
            each.text(j, i - 0.08, f"{n}", ha="center", va="center", color=colour, fontsize=12)
            each.text(j, i + 0.2, f"{shares[i, j]:.0%}", ha="center", va="center", color=colour, fontsize=8)
        each.set_xticks(range(len(CLASSES)), CLASSES)
        each.set_yticks(range(len(CLASSES)), CLASSES)
        each.tick_params(length=0)
        each.spines[:].set_visible(False)
        each.set_xlabel("predicted")
        each.set_ylabel("actual")
        each.set_title(
            f"{drawing.dataset_title(dataset, institution, protocol)}\nsum of {rows['fold'].n_unique()} folds"
        )
    return figure


@picture(
    title="Readers and participants",
    caption="Weighted kappa between the readers and of each reader with the same reader's second reading; what was "
    "used, excluded and quarantined, and why.",
    section="readers",
)
def readers_and_flow(look: Look, reader_agreement: pl.DataFrame, participant_flow: pl.DataFrame) -> "Figure":
    """Draw the readers' weighted kappas on Landis and Koch's bands, and what became of every patient, film, vertebra.

    Of `reader_agreement` the rows with level `all` are drawn.
    """
    overall = reader_agreement.filter(pl.col("level") == "all").sort("institution", "comparison", "weighting")
    order = pl.col("unit").replace_strict(UNITS, range(len(UNITS)), default=len(UNITS))
    bars = participant_flow.select("institution", "unit").unique().sort("institution", order)
    height = max(2.6, 0.34 * max(len(overall), len(bars) + 3) + 1.2)
    figure, axes = drawing.panels(1, 2, 6.0, height)
    _draw_kappas(axes[0, 0], overall)
    _draw_flow(axes[0, 1], participant_flow, bars)
    return figure


def groups_of(rows: pl.DataFrame) -> list[tuple[str, str, str, pl.DataFrame]]:
    """Return (protocol, dataset, institution, rows), internal test sets first."""
    parts = rows.sort("dataset", descending=True, maintain_order=True).partition_by(*DATASET, maintain_order=True)
    return [(*part.select(DATASET).row(0), part) for part in parts]


def square(axes: "Axes") -> None:
    """Make both axes go from 0 to 1, to the same scale, with a grid."""
    axes.set_aspect("equal")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.grid(color=drawing.GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def _draw_kappas(axes: "Axes", overall: pl.DataFrame) -> None:
    for k, (name, high) in enumerate(BANDS.items()):
        low = high - 0.2
        axes.axvspan(low, high, color=drawing.CLASS_COLOURS["normal"], alpha=0.03 + 0.035 * k, linewidth=0)
        axes.text(
            (low + high) / 2, 1.01, name, ha="center", va="bottom", fontsize=6.5, transform=axes.get_xaxis_transform()
        )
    labels = []
    for y, row in enumerate(overall.iter_rows(named=True)):
        colour = drawing.INK if row["weighting"] == "linear" else drawing.CLASS_COLOURS["fresh"]
        kappa, low, high = (math.nan if row[name] is None else row[name] for name in ("kappa", "ci_low", "ci_high"))
        axes.plot([low, high], [y, y], color=colour, linewidth=1.6)
        axes.plot(kappa, y, "o", color=colour, markersize=5)
        axes.text(1.02, y, number_text(kappa), va="center", fontsize=8, color=colour)
        labels.append(f"{drawing.readable(row['institution'])}, {_comparison(row['comparison'])}, {row['weighting']}")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(max(len(labels), 1) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xlabel("weighted kappa, 95 % interval")
    axes.set_title("Agreement of the readers", pad=16)


def _draw_flow(axes: "Axes", flow: pl.DataFrame, bars: pl.DataFrame) -> None:
    from matplotlib.patches import Patch

    fates = flow.with_columns(
        fate=pl.when(pl.col("state") == "used")
        .then(pl.lit("used"))
        .otherwise(pl.format("{}: {}", "state", pl.col("reason").fill_null("?").str.replace_all("_", " ")))
    )
    names = ["used", *sorted(set(fates["fate"].to_list()) - {"used"})]
    colours = dict(zip(names[1:], REASON_COLOURS * len(names), strict=False)) | {"used": "#9FBFD9"}
    labels = []
    for y, (institution, unit) in enumerate(bars.iter_rows()):
        rows = fates.filter(pl.col("institution") == institution, pl.col("unit") == unit)
        counts = dict(rows.group_by("fate").agg(pl.col("n").sum()).rows())
        total = sum(counts.values()) or 1
        left = 0.0
        for name in names:
            share = counts.get(name, 0) / total
            axes.barh(y, share, left=left, color=colours[name], height=0.72, edgecolor="white", linewidth=0.6)
            if share > 0.05:
                axes.text(left + share / 2, y, str(counts[name]), ha="center", va="center", fontsize=7.5)
            left += share
        labels.append(f"{drawing.readable(institution)}, {_plural(unit)} ({total})")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(max(len(labels), 1) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_title("What became of everything that came in", pad=16)
    handles = [Patch(color=colours[name], label=name) for name in names]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.4, -0.12), ncols=2, fontsize=7.5)


def _auc_label(metrics: pl.DataFrame, protocol: str, institution: str, name: str) -> str:
    row = metrics.filter(
        pl.col("protocol") == protocol,
        pl.col("institution") == institution,
        pl.col("model") == "ensemble",
        pl.col("fold") == "mean",
        pl.col("positive_class") == name,
        pl.col("metric") == "auc",
        pl.col("ci_method") == "patient_bootstrap",
    )
    if row.is_empty():
        return name
    value, low, high = row.select("value", "ci_low", "ci_high").row(0)
    return f"{name}  {value:.3f} ({low:.3f}–{high:.3f})"


def _matrix(rows: pl.DataFrame) -> "np.ndarray":
    """Return int (actual, predicted), summed over the folds in `rows`."""
    import numpy as np

    counts = dict(rows.group_by(pl.concat_str("actual", "predicted", separator=" ")).agg(pl.col("n").sum()).rows())
    return np.array([[counts.get(f"{a} {p}", 0) for p in CLASSES] for a in CLASSES])


def _comparison(key: str) -> str:
    return {"inter": "between readers"}.get(key, key.replace("intra_reader_", "within reader "))


def _plural(unit: str) -> str:
    return {"vertebra": "vertebrae"}.get(unit, f"{unit}s")
