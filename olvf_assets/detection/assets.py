"""Assets of the detector: copies, training, mAP, candidate bodies and the levels they are resolved to.

What lives here: names, dependencies, partitions, one pass per protocol. What does not: how anything is done.
"""

import polars as pl

from olvf_assets.detection.tables import (
    DETECTED_FILMS,
    DETECTION_CANDIDATES,
    DETECTIONS,
    DETECTOR_ANSWERS,
    DETECTOR_COPIES,
    DETECTOR_ERRORS,
    DETECTOR_EVOLUTION,
    DETECTOR_METRICS,
    DETECTOR_MODEL,
    DETECTOR_PR_CURVES,
    DRAFT_CORRECTIONS,
)
from olvf_assets.foundation.tables import TableRun, table
from olvf_assets.storage.kept_answers import KeptAnswers


def start_weights(run: TableRun) -> str:
    """Return the hash of the file that the detector starts from."""
    from olvf_assets.detection.provenance import source_sha256
    from olvf_assets.detection.shipped import shipped_fingerprint
    from olvf_assets.detection.ultralytics_home import MissingWeightsError, source_weights_path
    from olvf_assets.storage.shipped import ShippedWeightsError

    try:
        if run.profile.detection.shipped:
            return shipped_fingerprint()
        return source_sha256(source_weights_path(run.profile.detection.weights, run.data / "weights"))
    except (MissingWeightsError, ShippedWeightsError):
        return "missing"


def _drafts(run: TableRun) -> str:
    """Return what changes whenever a draft is written."""
    from olvf_assets.detection.drafts.remembered import drafts_digest

    return drafts_digest(run.store, run.institution)


@table(schema=DETECTOR_COPIES, learns=True, kinds=("polars", "imgaug", "opencv"), pictures=("image_path",))
def detector_copies(
    run: TableRun,
    films: pl.DataFrame,
    reader_boxes: pl.DataFrame,
    drawn_films: pl.DataFrame,
    patient_splits: pl.DataFrame,
) -> pl.DataFrame:
    """Square training pictures with their boxes: imgaug copies (Table 3) of films, split as the protocol says."""
    if run.profile.detection.shipped:
        run.notes["detector"] = "the one that ships is taken as it is; no film of this study is learnt from"
        return DETECTOR_COPIES.to_frame()
    from olvf_assets.detection.copies import make_detector_copies

    return pl.concat(
        make_detector_copies(
            films,
            reader_boxes,
            patient_splits,
            run.store,
            run.profile.detection,
            run.seed,
            helpers=drawn_films,
            protocol=protocol,
            report=run.report,
        )
        for protocol in run.profile.protocols
    )


@table(schema=DETECTOR_EVOLUTION, pool="gpu", kinds=("torch", "ultralytics"), outside=start_weights)
def detector_evolution(run: TableRun, detector_copies: pl.DataFrame) -> pl.DataFrame:
    """Generations of hyper-parameters with the validation mAP that each reached; none unless the profile asks."""
    from olvf_assets.detection.evolution import evolve_detector

    return pl.concat(
        evolve_detector(
            detector_copies,
            run.store,
            run.profile.detection,
            run.seed,
            protocol=protocol,
            weights_folder=run.data / "weights",
            report=run.report,
        )
        for protocol in run.profile.protocols
    )


@table(schema=DETECTOR_MODEL, pool="gpu", kinds=("torch", "ultralytics"), outside=start_weights)
def detector_model(run: TableRun, detector_copies: pl.DataFrame, detector_evolution: pl.DataFrame) -> pl.DataFrame:
    """YOLOv5 trained to find L1 to L5, one detector per protocol; or the one that ships, for every protocol."""
    if run.profile.detection.shipped:
        from olvf_assets.detection.shipped import shipped_model

        run.notes["detector"] = "the one that ships, trained on phantoms alone"
        return shipped_model(run.store, run.profile.protocols)
    from olvf_assets.detection.evolution import chosen_settings
    from olvf_assets.detection.training import train_detector

    models = []
    for protocol in run.profile.protocols:
        settings, generation = chosen_settings(run.profile.detection, detector_evolution, protocol)
        model = train_detector(
            detector_copies,
            run.store,
            settings,
            run.seed,
            protocol=protocol,
            weights_folder=run.data / "weights",
            generation=generation,
            report=run.report,
            observe=run.observe,
        )
        run.notes[f"network, protocol {protocol}"] = model["network"].item()
        models.append(model)
    return pl.concat(models)


@table(schema=DETECTOR_ANSWERS, by="institution", pool="gpu", kinds=("torch", "ultralytics"), outside=start_weights)
def detector_answers(
    run: TableRun,
    detector_model: pl.DataFrame,
    detector_copies: pl.DataFrame,
    detector_evolution: pl.DataFrame,
    films: pl.DataFrame,
    reader_boxes: pl.DataFrame,
) -> pl.DataFrame:
    """Drawn and detected boxes on the validation pictures and on films of external hospitals, for the metrics."""
    from olvf_assets.detection.metrics import detector_answers

    settings = run.profile.detection
    with KeptAnswers.of(run, "detector_answers") as kept:
        return pl.concat(
            detector_answers(
                one, detector_copies, films, reader_boxes, run.store, settings, run.seed, kept=kept, report=run.report
            )
            for one in _fresh_detectors(run, detector_model, detector_copies, detector_evolution)
        )


@table(schema=DETECTOR_METRICS, kinds=("polars", "pycocotools", "ultralytics"))
def detector_metrics(run: TableRun, detector_answers: pl.DataFrame) -> pl.DataFrame:
    """mAP@0.5 and mAP@0.5:0.95 per level, on validation pictures and on films of external hospitals."""
    from olvf_assets.detection import metrics

    measured = metrics.detector_metrics(detector_answers)
    for row in measured.filter(level="all", source="pycocotools").iter_rows(named=True):
        run.notes[f"{row['protocol']}, {row['dataset']} {row['metric']}"] = row["value"]
    return measured


@table(schema=DETECTOR_PR_CURVES, kinds=("polars", "pycocotools"))
def detector_pr_curves(run: TableRun, detector_answers: pl.DataFrame) -> pl.DataFrame:
    """Precision over recall at IoU 0.5 of each level, on validation pictures and on films of external hospitals."""
    from olvf_assets.detection import metrics

    return metrics.pr_curves(detector_answers)


@table(schema=DETECTOR_ERRORS)
def detector_errors(
    run: TableRun,
    detections: pl.DataFrame,
    films: pl.DataFrame,
    reader_boxes: pl.DataFrame,
    detector_answers: pl.DataFrame,
) -> pl.DataFrame:
    """How far resolved detections lie from the drawn boxes and how their sizes differ, per level, in millimetres."""
    from olvf_assets.detection import errors

    return errors.detector_errors(errors.box_errors(detections, films, reader_boxes, detector_answers))


@table(schema=DETECTION_CANDIDATES, by="institution", pool="gpu", kinds=("torch", "ultralytics"), outside=start_weights)
def detection_candidates(
    run: TableRun,
    films: pl.DataFrame,
    detector_model: pl.DataFrame,
    detector_copies: pl.DataFrame,
    detector_evolution: pl.DataFrame,
) -> pl.DataFrame:
    """The distinct bodies that the detector finds on every film, with the probabilities of all five levels."""
    from olvf_assets.detection import prediction

    settings = run.profile.detection
    with KeptAnswers.of(run, "detection_candidates") as kept:
        return pl.concat(
            prediction.detection_candidates(films, one, run.store, settings, kept=kept, report=run.report)
            for one in _fresh_detectors(run, detector_model, detector_copies, detector_evolution)
        )


@table(schema=DETECTED_FILMS, by="institution", kinds=("polars", "numpy"))
def detected_films(
    run: TableRun, detection_candidates: pl.DataFrame, films: pl.DataFrame, detector_model: pl.DataFrame
) -> pl.DataFrame:
    """Which candidate is which level on every film, and whether that can be told at all."""
    from olvf_assets.detection import resolution

    found = resolution.detected_films(detection_candidates, films, detector_model, run.profile.detection)
    for state, n in found["state"].value_counts().sort("state").iter_rows():
        run.notes[f"films {state}"] = n
    return found


@table(schema=DETECTIONS, by="institution")
def detections(
    run: TableRun, detection_candidates: pl.DataFrame, detected_films: pl.DataFrame, films: pl.DataFrame
) -> pl.DataFrame:
    """The levels found on every resolved film, at most one box each, in anatomical order."""
    from olvf_assets.detection import resolution

    return resolution.detections(detection_candidates, detected_films, films)


@table(schema=DRAFT_CORRECTIONS, by="institution", kinds=("polars", "scipy"), outside=_drafts)
def draft_corrections(run: TableRun, drawn_films: pl.DataFrame, reader_boxes: pl.DataFrame) -> pl.DataFrame:
    """What people changed in the boxes that the detector had drafted for them, film by film."""
    from olvf_assets.detection.drafts.corrections import draft_corrections
    from olvf_assets.detection.drafts.remembered import remembered

    found = draft_corrections(run.institution, remembered(run.store, run.institution), drawn_films, reader_boxes)
    if returned := int(found["returned"].sum()):
        run.notes["drafts that came back"] = f"{returned} of {len(found)}, {int(found['unchanged'].sum())} unchanged"
    return found


def _fresh_detectors(
    run: TableRun, detector_model: pl.DataFrame, detector_copies: pl.DataFrame, detector_evolution: pl.DataFrame
) -> list[pl.DataFrame]:
    """Return the row of each protocol's detector; all of them are of the copies, settings and code at hand."""
    from olvf_assets.detection.evolution import chosen_settings
    from olvf_assets.detection.provenance import refuse_stale_detector

    rows = detector_model.sort("protocol").partition_by("protocol")
    for one in rows:
        settings, _ = chosen_settings(run.profile.detection, detector_evolution, one["protocol"].item())
        refuse_stale_detector(one.row(0, named=True), detector_copies, settings, run.seed, run.data / "weights")
    return rows
