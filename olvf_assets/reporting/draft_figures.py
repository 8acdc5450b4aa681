"""Pictures of what people changed in the detector's drafts.

What lives here: layout. What does not: how changes are measured (`detection.drafts`); how long correcting took, which
nobody has measured.
"""

from typing import TYPE_CHECKING

import polars as pl

from olvf_assets.reporting import drawing
from olvf_assets.reporting.pictures import Look, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHANGES = {"unchanged": "#0077BB", "moved": "#33BBEE", "renamed": "#EE7733", "added": "#CC3311", "removed": "#8A8F98"}


@picture(
    title="Corrections of the detector's drafts, {key}",
    caption="Boxes of the drafts that came back, by what people did to them, and the overlap of drafted and drawn box. "
    "Whoever corrects a draft is led by it: such boxes are nearer to the detector than boxes drawn on a bare film.",
    section="detector",
    per="institution",
)
def draft_corrections(look: Look, draft_corrections: pl.DataFrame) -> "Figure":
    """Draw how many boxes of one hospital were changed in which way, and how far they were moved."""
    returned = draft_corrections.filter("returned")
    figure, ((counted, overlaps),) = drawing.panels(1, 2, 4.4, 2.6)
    counts = {change: int(returned[f"n_{change}"].sum()) for change in CHANGES}
    bars = counted.barh(list(counts), list(counts.values()), color=list(CHANGES.values()))
    counted.bar_label(bars, padding=3)
    counted.invert_yaxis()
    counted.margins(x=0.15)
    counted.set_xlabel("boxes")
    unchanged = int(returned["unchanged"].sum())
    counted.set_title(f"{len(returned)} of {len(draft_corrections)} films came back, {unchanged} unchanged")
    boxes = returned.select("boxes").explode("boxes").drop_nulls().unnest("boxes")["iou"].drop_nulls().to_list()
    overlaps.hist(boxes, bins=20, range=(0, 1), color=CHANGES["unchanged"])
    overlaps.set_xlim(0, 1)
    overlaps.set_xlabel("overlap (IoU) of drafted and drawn box")
    overlaps.set_ylabel("boxes")
    overlaps.set_title(f"mean {sum(boxes) / len(boxes):.3f}" if boxes else "no box came back")
    return figure
