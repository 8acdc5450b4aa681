"""How good the detector is: mean average precision, twice.

What lives here: the answers that are measured, and mAP@0.5 and mAP@0.5:0.95 per level and over all, by pycocotools and
by ultralytics' own code, on the same boxes. What does not: the detections that the study goes on with (those are put
in order first).
"""

import contextlib
import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from olvf_assets.detection.copies import drawn_films
from olvf_assets.detection.prediction import level_boxes, predict_films
from olvf_assets.detection.settings import DetectionSettings
from olvf_assets.detection.tables import BOX_PX, DETECTOR_ANSWERS, DETECTOR_METRICS, DETECTOR_PR_CURVES
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.kept_answers import KeptAnswers

METRICS = ("map50", "map50_95")
THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
PICTURE = ["institution", "film_id", "copy"]


def detector_answers(
    detector_model: pl.DataFrame,
    detector_copies: pl.DataFrame,
    films: pl.DataFrame,
    reader_boxes: pl.DataFrame,
    store: ArtifactStore,
    settings: DetectionSettings,
    seed: int,
    *,
    kept: KeptAnswers | None = None,
    report: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Return `detector_answers`: what was drawn and what was detected on validation pictures and external films.

    Args:
        detector_model: `detector_model`, one row, whose protocol is the table's.
        detector_copies: `detector_copies`: its validation pictures, and which institutions are development.
        films: `films` of the institutions that are measured on.
        reader_boxes: their `reader_boxes`: the truth. Films without a drawn box are not measured on.
        store: where pictures and weights lie.
        settings: thresholds, number of external films (drawn once per institution if there are more).
        seed: the profile's seed.
        kept: what earlier runs found on pictures, and where it is kept that this one does.
        report: gets progress lines.
    """
    (protocol,) = detector_model["protocol"]
    validation = detector_copies.filter(
        pl.col("protocol") == protocol,
        pl.col("subset") == "validation",
        pl.col("institution").is_in(films["institution"].unique().to_list()),
    )
    external = _external_films(
        films.join(reader_boxes, on=["institution", "film_id"], how="semi"),
        detector_copies["institution"].unique().to_list(),
        settings.n_external_films,
        seed,
    )
    external = drawn_films(external, reader_boxes).with_columns(copy=pl.lit(0, pl.Int64))
    return pl.concat(
        picture_answers(dataset, pictures, detector_model, store, settings, kept=kept, report=report)
        for dataset, pictures in (("validation", validation), ("external", external))
    )


def picture_answers(
    dataset: str,
    pictures: pl.DataFrame,
    detector_model: pl.DataFrame,
    store: ArtifactStore,
    settings: DetectionSettings,
    *,
    kept: KeptAnswers | None = None,
    report: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Return the rows of `detector_answers` of some pictures.

    Args:
        dataset: what to call them.
        pictures: columns institution, film_id, copy, image_path and boxes, as in `detector_copies`.
        detector_model: `detector_model`, one row.
        store: where pictures and weights lie.
        settings: thresholds.
        kept: what earlier runs found on the same pictures.
        report: gets progress lines.
    """
    (protocol,) = detector_model["protocol"]
    image_px = detector_model["image_px"].item()
    numbered = pictures.sort(PICTURE).with_row_index("number")
    drawn = (
        numbered.select("number", "boxes").explode("boxes").unnest("boxes")
        .select("number", "level", **{f"{c}_px": pl.col(c) * image_px for c in ("x0", "y0", "x1", "y1")})
        .with_columns(source=pl.lit("drawn"), confidence=pl.lit(1.0))
    )  # fmt: skip
    squares = numbered.select(
        pl.col("number").cast(pl.String).str.zfill(8).alias("film_id"),
        "image_path",
        width_px=pl.lit(image_px),
        height_px=pl.lit(image_px),
    )
    detected = [
        (int(found.film_id), LEVELS[level], *box, "detected", p[level])
        for found in predict_films(squares, detector_model, store, settings, level_boxes, kept=kept, report=report)
        for box, p, level in zip(
            found.boxes_px.tolist(), found.probabilities.tolist(), found.levels.tolist(), strict=True
        )
    ]
    found_boxes = pl.DataFrame(detected, schema=drawn.schema, orient="row")
    return (
        pl.concat([drawn, found_boxes])
        .join(numbered.select("number", *PICTURE), on="number")
        .with_columns(
            protocol=pl.lit(protocol),
            dataset=pl.lit(dataset),
            detector_sha256=pl.lit(detector_model["weights_sha256"].item()),
        )
        .select(DETECTOR_ANSWERS.names())
        .cast(DETECTOR_ANSWERS)
        .sort(*PICTURE, "source", "level", "confidence")
    )


def detector_metrics(answers: pl.DataFrame) -> pl.DataFrame:
    """Return `detector_metrics`: mAP by two programs for each protocol and dataset of `detector_answers`."""
    rows: list[dict[str, Any]] = []
    for (protocol, dataset), part in answers.sort("protocol", "dataset").group_by(
        "protocol", "dataset", maintain_order=True
    ):
        drawn = part.filter(source="drawn")
        for source, measured in (("pycocotools", coco_precision), ("ultralytics", ultralytics_precision)):
            rows += [
                {
                    "protocol": protocol,
                    "dataset": dataset,
                    "level": level,
                    "metric": metric,
                    "source": source,
                    "value": value,
                    "n_films": drawn.n_unique(PICTURE),
                    "n_boxes": len(drawn if level == "all" else drawn.filter(level=level)),
                }
                for level, values in measured(part).items()
                for metric, value in zip(METRICS, values, strict=True)
            ]
    return pl.DataFrame(rows, schema=DETECTOR_METRICS).sort("protocol", "dataset", "source", "metric", "level")


def coco_precision(answers: pl.DataFrame) -> dict[str, tuple[float, float]]:
    """Return (AP@0.5, AP@0.5:0.95) per level that was drawn, and their mean as `all`, by COCOeval.

    Args:
        answers: rows of `detector_answers` of one protocol and dataset.
    """
    return _with_mean({level: curves.precision.mean(axis=1) for level, curves in coco_curves(answers).items()})


class CocoCurves(NamedTuple):
    """COCOeval's curves of one level, float64 (10 IoU thresholds, 101 recalls from 0 to 1).

    precision: 0 where the recall is not reached. confidence: of the box that reaches the recall, else 0.
    """

    precision: np.ndarray
    confidence: np.ndarray


def pr_curves(answers: pl.DataFrame) -> pl.DataFrame:
    """Return `detector_pr_curves`: precision over recall at IoU 0.5, per protocol, dataset and drawn level."""
    rows = [
        (protocol, dataset, level, THRESHOLDS[0], recall, precision, confidence if precision > 0 else None)
        for (protocol, dataset), part in answers.sort("protocol", "dataset").group_by(
            "protocol", "dataset", maintain_order=True
        )
        for level, curves in coco_curves(part).items()
        for recall, precision, confidence in zip(RECALLS, curves.precision[0], curves.confidence[0], strict=True)
    ]
    return pl.DataFrame(rows, schema=DETECTOR_PR_CURVES, orient="row")


def coco_curves(answers: pl.DataFrame) -> dict[str, CocoCurves]:
    """Return COCOeval's curves per level that was drawn."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rows = answers.with_columns(
        image_id=pl.struct(PICTURE).rank("dense").cast(pl.Int64),
        category_id=pl.col("level").replace_strict(list(LEVELS), range(1, len(LEVELS) + 1), return_dtype=pl.Int64),
        bbox=pl.concat_list("x0_px", "y0_px", pl.col("x1_px") - pl.col("x0_px"), pl.col("y1_px") - pl.col("y0_px")),
    ).with_columns(area=pl.col("bbox").list.get(2) * pl.col("bbox").list.get(3))
    drawn = rows.filter(source="drawn").with_row_index("id", offset=1)
    present = [level for level in LEVELS if level in set(drawn["level"])]
    results = rows.filter(pl.col("source") == "detected", pl.col("level").is_in(present))
    if results.is_empty():
        nothing = np.zeros((len(THRESHOLDS), len(RECALLS)))
        return {level: CocoCurves(nothing, nothing) for level in present}
    columns = ["image_id", "category_id", "bbox", "area"]
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = {
            "info": {},
            "images": [{"id": number} for number in rows["image_id"].unique().sort()],
            "categories": [{"id": LEVELS.index(level) + 1, "name": level} for level in present],
            "annotations": drawn.select("id", *columns, iscrowd=pl.lit(0)).to_dicts(),
        }
        reference.createIndex()
        found = reference.loadRes(results.select(*columns, score="confidence").to_dicts())
        evaluation = COCOeval(reference, found, "bbox")
        evaluation.params.iouThrs = THRESHOLDS
        evaluation.params.maxDets = [100, 100, 300]
        evaluation.evaluate()
        evaluation.accumulate()
    # IoU threshold, recall, level; area `all`, most boxes
    precision, scores = (evaluation.eval[name][:, :, :, 0, -1] for name in ("precision", "scores"))
    return {level: CocoCurves(precision[:, :, k], scores[:, :, k]) for k, level in enumerate(present)}


def ultralytics_precision(answers: pl.DataFrame) -> dict[str, tuple[float, float]]:
    """Return the same as `coco_precision`, by ultralytics' matching and precision-recall integration."""
    import torch
    from ultralytics.engine.validator import BaseValidator
    from ultralytics.utils.metrics import ap_per_class, box_iou

    thresholds: Any = SimpleNamespace(iouv=torch.from_numpy(THRESHOLDS))
    matched, confidences, levels = [np.zeros((0, len(THRESHOLDS)), bool)], [np.zeros(0)], [np.zeros(0, np.int64)]
    numbered = answers.with_columns(
        number=pl.col("level").replace_strict(list(LEVELS), range(len(LEVELS)), return_dtype=pl.Int64)
    )
    drawn_levels = numbered.filter(source="drawn")["number"].to_numpy()
    for _, picture in numbered.group_by(PICTURE, maintain_order=True):
        drawn, found = picture.filter(source="drawn"), picture.filter(source="detected")
        if found.is_empty():
            continue
        found = found.sort("confidence", descending=True, maintain_order=True)
        drawn_boxes, found_boxes = (torch.tensor(each.select(BOX_PX).rows()).double() for each in (drawn, found))
        drawn_here, found_here = (torch.tensor(each["number"].to_list()) for each in (drawn, found))
        overlap = box_iou(drawn_boxes, found_boxes)
        correct = BaseValidator.match_predictions(thresholds, found_here, drawn_here, overlap)
        matched.append(correct.numpy())
        confidences.append(found["confidence"].to_numpy())
        levels.append(found["number"].to_numpy())
    results = ap_per_class(np.concatenate(matched), np.concatenate(confidences), np.concatenate(levels), drawn_levels)
    precision, present = results[5], results[6]
    return _with_mean({LEVELS[level]: precision[row] for row, level in enumerate(present)})


def _with_mean(by_level: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """Return (first threshold, mean over thresholds) per level, with the mean over levels as `all`."""
    result = {level: (float(values[0]), float(values.mean())) for level, values in by_level.items()}
    if result:
        at_50, mean = zip(*result.values(), strict=True)
        result["all"] = (float(np.mean(at_50)), float(np.mean(mean)))
    return result


def _external_films(films: pl.DataFrame, development: list[str], n_films: int, seed: int) -> pl.DataFrame:
    """Return at most `n_films` films, chosen by lot, of each institution that is not a development one."""
    external = films.filter(~pl.col("institution").is_in(development))
    lots = {film_id: derive_seed(seed, "external_film", film_id) for film_id in external["film_id"]}
    rank = pl.col("film_id").replace_strict(lots, return_dtype=pl.UInt64).rank("ordinal").over("institution")
    return external.filter(rank <= n_films) if lots else external
