"""Assets of the detector: copies, training, mAP, detections.

What lives here: names, dependencies, partitions. What does not: how anything is done.
"""

import polars as pl

from olvf_assets.detection.tables import DETECTIONS, DETECTOR_COPIES, DETECTOR_METRICS, DETECTOR_MODEL
from olvf_assets.foundation.tables import TableRun, table


@table(schema=DETECTOR_COPIES)
def detector_copies(
    run: TableRun, films: pl.DataFrame, reader_boxes: pl.DataFrame, patient_splits: pl.DataFrame
) -> pl.DataFrame:
    """Square training pictures with their boxes: imgaug copies (Table 3) of training patients, plain for validation."""
    from olvf_assets.detection.copies import make_detector_copies

    return make_detector_copies(
        films, reader_boxes, patient_splits, run.store, run.profile.detection, run.seed, report=run.report
    )


@table(schema=DETECTOR_MODEL, pool="gpu")
def detector_model(run: TableRun, detector_copies: pl.DataFrame) -> pl.DataFrame:
    """YOLOv5 trained to find L1 to L5."""
    from olvf_assets.detection.training import train_detector

    model = train_detector(
        detector_copies,
        run.store,
        run.profile.detection,
        run.seed,
        weights_folder=run.data / "weights",
        report=run.report,
    )
    run.notes["model"] = model["model"].item()
    return model


@table(schema=DETECTOR_METRICS, pool="gpu")
def detector_metrics(
    run: TableRun,
    detector_model: pl.DataFrame,
    detector_copies: pl.DataFrame,
    films: pl.DataFrame,
    reader_boxes: pl.DataFrame,
) -> pl.DataFrame:
    """mAP@0.5 and mAP@0.5:0.95 per level, on validation films and on films of external hospitals."""
    from olvf_assets.detection.metrics import measure_detector

    metrics = measure_detector(
        detector_model,
        detector_copies,
        films,
        reader_boxes,
        run.store,
        run.profile.detection,
        run.seed,
        report=run.report,
    )
    for row in metrics.filter(level="all", source="pycocotools").iter_rows(named=True):
        run.notes[f"{row['dataset']} {row['metric']}"] = row["value"]
    return metrics


@table(schema=DETECTIONS, by="institution", pool="gpu")
def detections(run: TableRun, films: pl.DataFrame, detector_model: pl.DataFrame) -> pl.DataFrame:
    """The levels found on every film, at most one box each, in anatomical order."""
    from olvf_assets.detection.prediction import detect_levels

    return detect_levels(films, detector_model, run.store, run.profile.detection, report=run.report)
