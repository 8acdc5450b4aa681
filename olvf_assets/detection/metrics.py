"""How good the detector is: mean average precision, twice.

What lives here: mAP@0.5 and mAP@0.5:0.95 per level and over all, by pycocotools and by ultralytics' own code, on the
same boxes. What does not: the detections that the study goes on with (those are put in order first).
"""

import contextlib
import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from olvf_assets.detection.prediction import FilmBoxes, level_boxes, predict_films
from olvf_assets.detection.settings import DetectionSettings
from olvf_assets.detection.tables import DETECTOR_METRICS
from olvf_assets.detection.ultralytics_home import prepare_ultralytics
from olvf_assets.foundation.artifacts import ArtifactStore
from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import LEVELS

METRICS = ("map50", "map50_95")
THRESHOLDS = np.linspace(0.5, 0.95, 10)
Truth = dict[str, list[tuple[int, np.ndarray]]]  # film id -> (level index, box in film pixels)


def measure_detector(
    detector_model: pl.DataFrame,
    detector_copies: pl.DataFrame,
    films: pl.DataFrame,
    reader_boxes: pl.DataFrame,
    store: ArtifactStore,
    settings: DetectionSettings,
    seed: int,
    *,
    protocol: str = "patient",
    report: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Return `detector_metrics` on validation films (unaugmented) and on external films.

    Args:
        detector_model: `detector_model`, one row.
        detector_copies: names the validation films, and by its institutions which ones are development.
        films: `films` of all institutions.
        reader_boxes: `reader_boxes` of all institutions: the truth. Films without a drawn box are not measured on.
        store: where films and weights lie.
        settings: thresholds, number of external films (drawn once per institution if there are more).
        seed: the profile's seed.
        protocol: goes into the table and picks the copies.
        report: gets progress lines.
    """
    prepare_ultralytics(store)
    copies = detector_copies.filter(pl.col("protocol") == protocol)
    validation = copies.filter(pl.col("subset") == "validation")
    drawn = films.join(
        reader_boxes.select("institution", "film_id").unique(), on=["institution", "film_id"], how="semi"
    )
    datasets = {
        "validation": drawn.join(validation.select("film_id").unique(), on="film_id", how="semi"),
        "external": _external_films(drawn, copies, settings.n_external_films, seed),
    }
    rows: list[dict[str, Any]] = []
    for dataset, chosen in datasets.items():
        truth = _truth(chosen, reader_boxes)
        found = list(predict_films(chosen, detector_model, store, settings, level_boxes, report=report))
        for source, measured in (("pycocotools", coco_precision), ("ultralytics", ultralytics_precision)):
            precision = measured(found, truth)
            for level, values in precision.items():
                n_boxes = sum(level in (LEVELS[index], "all") for boxes in truth.values() for index, _ in boxes)
                rows += [
                    {
                        "protocol": protocol,
                        "dataset": dataset,
                        "level": level,
                        "metric": metric,
                        "source": source,
                        "value": value,
                        "n_films": len(truth),
                        "n_boxes": n_boxes,
                    }
                    for metric, value in zip(METRICS, values, strict=True)
                ]
    return pl.DataFrame(rows, schema=DETECTOR_METRICS).sort("protocol", "dataset", "source", "metric", "level")


def coco_precision(found: list[FilmBoxes], truth: Truth) -> dict[str, tuple[float, float]]:
    """Return (AP@0.5, AP@0.5:0.95) per level that the truth contains, and their mean as `all`, by COCOeval.

    Args:
        found: boxes per film, each for one level.
        truth: drawn boxes per film.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    image_ids = {film_id: number for number, film_id in enumerate(sorted(truth), start=1)}
    drawn = [(film_id, level, box) for film_id in image_ids for level, box in truth[film_id]]
    annotations = [
        _coco_box(box) | {"id": number, "image_id": image_ids[film_id], "category_id": level + 1, "iscrowd": 0}
        for number, (film_id, level, box) in enumerate(drawn, start=1)
    ]
    results = [
        _coco_box(box) | {"image_id": image_ids[film.film_id], "category_id": int(level) + 1, "score": float(p[level])}
        for film in found
        if film.film_id in image_ids
        for box, p, level in zip(film.boxes_px, film.probabilities, film.levels, strict=True)
    ]
    present = sorted({level for _, level, _ in drawn})
    if not results:
        return _with_mean({LEVELS[level]: np.zeros(len(THRESHOLDS)) for level in present})
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = {
            "info": {},
            "images": [{"id": number} for number in image_ids.values()],
            "categories": [{"id": level + 1, "name": LEVELS[level]} for level in present],
            "annotations": annotations,
        }
        reference.createIndex()
        evaluation = COCOeval(
            reference, reference.loadRes([r for r in results if r["category_id"] - 1 in present]), "bbox"
        )
        evaluation.params.iouThrs = THRESHOLDS
        evaluation.params.maxDets = [100, 100, 300]
        evaluation.evaluate()
        evaluation.accumulate()
    curves = evaluation.eval["precision"][:, :, :, 0, -1]  # IoU threshold, recall, level; area `all`, most boxes
    return _with_mean({LEVELS[level]: curves[:, :, column].mean(axis=1) for column, level in enumerate(present)})


def ultralytics_precision(found: list[FilmBoxes], truth: Truth) -> dict[str, tuple[float, float]]:
    """Return the same as `coco_precision`, by ultralytics' matching and precision-recall integration."""
    import torch
    from ultralytics.engine.validator import BaseValidator
    from ultralytics.utils.metrics import ap_per_class, box_iou

    thresholds: Any = SimpleNamespace(iouv=torch.from_numpy(THRESHOLDS))
    matched, confidences, levels = [np.zeros((0, len(THRESHOLDS)), bool)], [np.zeros(0)], [np.zeros(0, np.int64)]
    drawn_levels = np.array([level for boxes in truth.values() for level, _ in boxes], np.int64)
    for film in found:
        boxes = truth.get(film.film_id, [])
        if not len(film.levels):
            continue
        confidence = film.probabilities[np.arange(len(film.levels)), film.levels]
        order = np.argsort(-confidence, kind="stable")
        drawn = torch.tensor(np.array([box for _, box in boxes]).reshape(-1, 4))
        overlap = box_iou(drawn, torch.from_numpy(film.boxes_px[order]))
        drawn_here = torch.tensor([level for level, _ in boxes])
        correct = BaseValidator.match_predictions(thresholds, torch.from_numpy(film.levels[order]), drawn_here, overlap)
        matched.append(correct.numpy())
        confidences.append(confidence[order])
        levels.append(film.levels[order])
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


def _coco_box(box: np.ndarray) -> dict[str, Any]:
    x0, y0, x1, y1 = (float(value) for value in box)
    return {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}


def _external_films(drawn: pl.DataFrame, copies: pl.DataFrame, n_films: int, seed: int) -> pl.DataFrame:
    """Return at most `n_films` films of each institution that the detector did not learn from."""
    external = drawn.filter(~pl.col("institution").is_in(copies["institution"].unique().to_list()))
    lots = {film_id: derive_seed(seed, "external_film", film_id) for film_id in external["film_id"]}
    rank = pl.col("film_id").replace_strict(lots, return_dtype=pl.UInt64).rank("ordinal").over("institution")
    return external.filter(rank <= n_films) if lots else external


def _truth(films: pl.DataFrame, reader_boxes: pl.DataFrame) -> Truth:
    boxes = reader_boxes.join(films.select("institution", "film_id"), on=["institution", "film_id"], how="semi")
    truth: Truth = {}
    for row in boxes.sort("film_id", "level").iter_rows(named=True):
        corners = np.array([row[name] for name in ("x0_px", "y0_px", "x1_px", "y1_px")], np.float64)
        truth.setdefault(row["film_id"], []).append((LEVELS.index(row["level"]), corners))
    return truth
