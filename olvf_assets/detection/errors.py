"""Where and how far the detector is wrong, on films, in millimetres.

What lives here: each drawn vertebra beside the box found for it (`box_errors`) and their summary (`detector_errors`).
What does not: mAP (`metrics.py`), which takes every box above a low confidence; here it is the resolved detections that
the study goes on with.
"""

import polars as pl

from olvf_assets.detection.tables import BOX_PX, DETECTOR_ERRORS
from olvf_assets.foundation.vocabulary import LEVELS

ERRORS = ("iou", "centre_mm", "width_error_mm", "height_error_mm")
ELSEWHERE_IOU = 0.5


def box_errors(
    detections: pl.DataFrame, films: pl.DataFrame, reader_boxes: pl.DataFrame, detector_answers: pl.DataFrame
) -> pl.DataFrame:
    """Return one row per protocol, dataset and drawn vertebra of the films that the detector is measured on.

    Columns protocol, dataset, institution, film_id, level, the drawn and (suffix `_found`) the detected box, and the
    ERRORS: intersection over union; distance of the centres; found less drawn width and height. Null where the level
    was not found, millimetres also where the film's pixel size is not known.

    Args:
        detections: `detections` of the films.
        films: `films`.
        reader_boxes: `reader_boxes`.
        detector_answers: `detector_answers`: which films are measured on.
    """
    measured = detector_answers.select("protocol", "dataset", "institution", "film_id").unique()
    pairs = (
        measured.join(reader_boxes.select("institution", "film_id", "level", *BOX_PX), on=["institution", "film_id"])
        .join(films.select("institution", "film_id", "pixel_mm"), on=["institution", "film_id"])
        .join(
            detections.select("protocol", "institution", "film_id", "level", *BOX_PX, "confidence"),
            on=["protocol", "institution", "film_id", "level"],
            how="left",
            suffix="_found",
        )
    )
    drawn, found = (
        {name[:2]: pl.col(f"{name}{suffix}") for name in BOX_PX} for suffix in ("", "_found")
    )  # by x0, y0, x1, y1

    def size(box: dict[str, pl.Expr], axis: str) -> pl.Expr:
        return box[f"{axis}1"] - box[f"{axis}0"]

    def shared(axis: str) -> pl.Expr:
        low, high = (f"{axis}0", f"{axis}1")
        length = pl.min_horizontal(drawn[high], found[high]) - pl.max_horizontal(drawn[low], found[low])
        return length.clip(lower_bound=0)

    overlap = shared("x") * shared("y")
    areas = [size(box, "x") * size(box, "y") for box in (drawn, found)]
    apart = [(drawn[f"{axis}0"] + drawn[f"{axis}1"] - found[f"{axis}0"] - found[f"{axis}1"]) / 2 for axis in "xy"]
    was_found = pl.col("confidence").is_not_null()
    return pairs.with_columns(
        iou=pl.when(was_found).then(overlap / (areas[0] + areas[1] - overlap)),
        centre_mm=(apart[0] ** 2 + apart[1] ** 2).sqrt() * pl.col("pixel_mm"),
        width_error_mm=(size(found, "x") - size(drawn, "x")) * pl.col("pixel_mm"),
        height_error_mm=(size(found, "y") - size(drawn, "y")) * pl.col("pixel_mm"),
    ).sort("protocol", "dataset", "institution", "film_id", "level")


def detector_errors(errors: pl.DataFrame) -> pl.DataFrame:
    """Return `detector_errors`: the errors of each level and of all, of what `box_errors` returns.

    Sizes and distances are measured on boxes that overlap the drawn one by half; the others are another vertebra and
    counted as `n_elsewhere`. The IoU is measured on every found box.
    """
    rows = []
    for (protocol, dataset), part in errors.group_by("protocol", "dataset", maintain_order=True):
        for level in (*LEVELS, "all"):
            own = part if level == "all" else part.filter(level=level)
            elsewhere = own.filter(pl.col("iou") < ELSEWHERE_IOU)
            on_the_spot = own.filter(pl.col("iou") >= ELSEWHERE_IOU)
            for metric in ERRORS:
                values = (own if metric == "iou" else on_the_spot)[metric].drop_nulls().sort().rechunk()
                rows.append(
                    (protocol, dataset, level, metric, values.mean(), values.std(), values.median(),
                     values.abs().quantile(0.95, "linear"), len(values), len(own), own["iou"].null_count(),
                     len(elsewhere))
                )  # fmt: skip
    return pl.DataFrame(rows, schema=DETECTOR_ERRORS, orient="row")
