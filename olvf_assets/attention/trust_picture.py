"""How far the maps can be trusted, in one picture.

What lives here: the agreement of the networks and the randomised network. What does not: any figure that is not in
`gradcam_agreement` or `gradcam_sanity`.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from olvf_assets.attention.picture import new_figure, subtitle

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SOURCE_LINES = {"cam": ("#333333", "raw map"), "red": ("#CC3311", "red channel")}


def trust_picture(agreement: pl.DataFrame, sanity: pl.DataFrame, *, title: str) -> "Figure":
    """Return one figure: rank agreement of each two networks' maps, and of the trained with the randomised network's.

    Args:
        agreement: table `gradcam_agreement` of one protocol.
        sanity: table `gradcam_sanity` of that protocol.
        title: heading.
    """
    figure = new_figure(13, 6.4, title)
    left, right = figure.subfigures(1, 2, width_ratios=[1.15, 1])
    _draw_agreement(left, agreement.filter(source="cam"))
    _draw_sanity(right, sanity)
    return figure


def _draw_agreement(figure: Any, rows: pl.DataFrame) -> None:
    subtitle(figure, "Rank correlation of the maps of each two networks (raw, for the label)")
    pairs = rows.select("architecture_1", "fold_1", "architecture_2", "fold_2").rows()
    networks = sorted({network for pair in pairs for network in (pair[:2], pair[2:])})
    place = {network: number for number, network in enumerate(networks)}
    grid = np.full((len(networks), len(networks)), np.nan)
    for row in rows.iter_rows(named=True):
        first, second = place[row["architecture_1"], row["fold_1"]], place[row["architecture_2"], row["fold_2"]]
        grid[first, second] = grid[second, first] = row["spearman"]
    axis = figure.subplots()
    if not networks:
        axis.set_axis_off()
        return
    shown = axis.imshow(grid, cmap="RdBu_r", vmin=-1, vmax=1)
    for first, second in np.argwhere(np.isfinite(grid)):
        value = grid[first, second]
        ink = "white" if abs(value) > 0.6 else "black"
        axis.text(second, first, f"{value:.2f}".replace("0.", "."), ha="center", va="center", fontsize=7, color=ink)
    names = [f"{architecture} {fold}" for architecture, fold in networks]
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.tick_params(length=0)
    chance = rows["spearman_other_image"].to_numpy()
    if np.isfinite(chance).any():
        axis.set_xlabel(f"between different images: {np.nanmean(chance):.2f} on average", fontsize=9)
    figure.colorbar(shown, ax=axis, shrink=0.7)


def _draw_sanity(figure: Any, rows: pl.DataFrame) -> None:
    subtitle(figure, "The same with one network randomised, from its head downwards")
    axis = figure.subplots()
    parts = rows.sort("step")["randomised_down_to"].unique(maintain_order=True).to_list()
    for source, (colour, label) in SOURCE_LINES.items():
        own = rows.filter(source=source).sort("step")
        axis.plot([0, *own["step"]], [1.0, *own["spearman"]], "o-", color=colour, label=f"{label}, same image")
        axis.plot(own["step"], own["spearman_other_image"], "o:", color=colour, ms=3, label=f"{label}, another image")
    axis.axhline(0, color="#999999", lw=0.8)
    axis.set_xticks(range(len(parts) + 1), ["trained", *parts], rotation=45, ha="right", fontsize=9)
    axis.set_ylim(-1.05, 1.05)
    axis.set_ylabel("mean rank correlation with the trained network's map")
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="lower left")
