"""All pictures of one report, in order.

What lives here: which pictures a report has, their titles and captions. What does not: drawing them.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from olvf_assets.detection.errors import box_errors
from olvf_assets.reporting import drawing
from olvf_assets.reporting.detector_figures import draw_pr_curves, draw_worst_films
from olvf_assets.reporting.figures import draw_confusion_matrices, draw_readers_and_flow, draw_roc_curves
from olvf_assets.reporting.probability_figures import draw_calibration, draw_decision_curves
from olvf_assets.reporting.settings import ReportingSettings
from olvf_assets.reporting.sheets import LoadImage, draw_crop_sheet, draw_film_sheet
from olvf_assets.reporting.stard import draw_stard_flow
from olvf_assets.reporting.tables import REPORT_FIGURES
from olvf_assets.reporting.training_figures import draw_training_curves

STARD_FLOW = "stard_flow"


@dataclass(frozen=True)
class Picture:
    """A picture of the report.

    Attributes:
        name: file name without `.png`.
        title: heading above it.
        caption: what is to be seen, in a sentence or two.
        path: the PNG file.
        vector: the same as SVG, if there is one.
    """

    name: str
    title: str
    caption: str
    path: Path
    vector: Path | None = None


def draw_gallery(
    folder: Path,
    tables: Mapping[str, pl.DataFrame],
    load_image: LoadImage,
    settings: ReportingSettings,
    seed: int,
) -> list[Picture]:
    """Draw every picture of the report into `folder` and return them in the order of the page.

    Args:
        folder: made if missing; files of the same names are replaced.
        tables: roc_curves, test_metrics, external_metrics, confusion_matrices, reliability_curves, calibration,
            decision_curves, films, reader_boxes, detections, vertebra_crops, ensemble_predictions, reader_agreement,
            participant_flow, detector_answers, detector_metrics, detector_pr_curves, detected_films,
            training_curves; rows of all institutions.
        load_image: returns the pixels of an `image_path`, e.g. `ArtifactStore.load_image`.
        settings: sizes.
        seed: the profile's seed, for the choice of films and crops.
    """
    dpi = settings.dots_per_inch
    roc, confusion = _picture(folder, "roc_curves"), _picture(folder, "confusion_matrices")
    reliability, decision = _picture(folder, "reliability_curves"), _picture(folder, "decision_curves")
    films, crops = _picture(folder, "film_sheet"), _picture(folder, "crop_sheet")
    readers = _picture(folder, "readers_and_flow")
    metrics = pl.concat([tables["test_metrics"], tables["external_metrics"]])
    draw_roc_curves(tables["roc_curves"], metrics, roc.path, dpi)
    draw_confusion_matrices(tables["confusion_matrices"], confusion.path, dpi)
    draw_calibration(tables["reliability_curves"], tables["calibration"], reliability.path, dpi)
    draw_decision_curves(tables["decision_curves"], decision.path, dpi)
    draw_readers_and_flow(tables["reader_agreement"], tables["participant_flow"], readers.path, dpi)
    detections, predictions = (
        tables[name].filter(protocol="patient") for name in ("detections", "ensemble_predictions")
    )
    draw_film_sheet(tables["films"], tables["reader_boxes"], detections, load_image, films.path, settings, seed)
    draw_crop_sheet(tables["vertebra_crops"], predictions, load_image, crops.path, settings, seed)
    errors = box_errors(detections, tables["films"], tables["reader_boxes"], tables["detector_answers"])
    curves, worst = _picture(folder, "detector_pr_curves"), _picture(folder, "worst_films")
    draw_pr_curves(tables["detector_pr_curves"], tables["detector_metrics"], curves.path, dpi)
    states = tables["detected_films"].filter(protocol="patient")
    draw_worst_films(errors.filter(protocol="patient"), tables["films"], states, load_image, worst.path, dpi)
    training = _picture(folder, "training_curves")
    draw_training_curves(tables["training_curves"], training.path, dpi)
    flows = [_flow_picture(folder, part, dpi) for part in _by_institution(tables["participant_flow"])]
    return [*flows, roc, confusion, reliability, decision, readers, films, curves, worst, crops, training]


def figure_table(pictures: list[Picture], folder: Path) -> pl.DataFrame:
    """Return the table `report_figures`: each file drawn (PNG, SVG), its path relative to `folder` and its hash."""
    rows = [
        {
            "figure": each.name,
            "title": each.title,
            "caption": each.caption,
            "path": path.relative_to(folder).as_posix(),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for each in pictures
        for path in (each.path, each.vector)
        if path is not None
    ]
    return pl.DataFrame(rows, schema=REPORT_FIGURES).sort("figure", "path")


CAPTIONS = {
    "roc_curves": (
        "ROC curves",
        "The ensemble of each fold (thin) and their average (thick), one class against the other two, each crop "
        "counted once; in brackets the 95 % interval of the mean AUC over resampled patients.",
    ),
    "confusion_matrices": (
        "Confusion matrices",
        "The ensembles of the folds, summed: each fold scores the same samples, replicas of the balanced test set "
        "included. Percentages are of the actual class.",
    ),
    "reliability_curves": (
        "Calibration",
        "Mean probability of a bin against the share that was of the class, one class against the other two, each crop "
        "counted once, folds pooled; bars are 95 % intervals over resampled patients. The temperature was fitted on "
        "validation crops. In the legend the expected calibration error, mean of the folds.",
    ),
    "decision_curves": (
        "Decision curves",
        "Net benefit (Vickers and Elkin) of treating as fresh what has at least the threshold probability, mean of the "
        "folds' ensembles, each crop counted once; the band is the 95 % interval over resampled patients.",
    ),
    "training_curves": (
        "Training",
        "Loss of the training and of the validation side and validation accuracy after every epoch, each fold thin, "
        "their mean thick. The last epoch's weights are used, whatever the curve: nothing is chosen by it.",
    ),
    "detector_pr_curves": (
        "Precision and recall of the detector",
        "Every level of every box above the metric's confidence, by COCOeval at IoU 0.5; validation pictures are plain "
        "films in protocol patient and augmented copies in protocol thesis.",
    ),
    "worst_films": (
        "The twelve films on which the detector was worst",
        "Validation and external films with the lowest mean overlap of drawn and detected levels, a missed level as 0; "
        "elsewhere: a box that overlaps less than half, so that another vertebra bears the name.",
    ),
    "readers_and_flow": (
        "Readers and participants",
        "Weighted kappa between the readers and of each reader with the same reader's second reading; what was used, "
        "excluded and quarantined, and why.",
    ),
    "film_sheet": (
        "Films with drawn and detected boxes",
        "Randomly chosen films of each institution. IoU: mean intersection over union of the levels found.",
    ),
    "crop_sheet": (
        "Crops and predicted classes",
        "Randomly chosen crops that no network was trained on, a row for each actual class. Bold: predicted wrongly. "
        "The number is the probability that the fifteen networks together give.",
    ),
}


def _by_institution(flow: pl.DataFrame) -> list[pl.DataFrame]:
    return flow.sort("institution").partition_by("institution", maintain_order=True)


def _flow_picture(folder: Path, flow: pl.DataFrame, dots_per_inch: int) -> Picture:
    institution = flow["institution"][0]
    name = f"{STARD_FLOW}_{institution}"
    vector = draw_stard_flow(flow, folder / f"{name}.png", dots_per_inch)
    return Picture(
        name,
        f"Flow of participants, {drawing.readable(institution)}",
        "After the diagram of STARD 2015; every number is a sum over the table participant_flow. Groups are the "
        "patient's: fresh with any fresh fracture, else old, else normal.",
        folder / f"{name}.png",
        vector,
    )


def _picture(folder: Path, name: str) -> Picture:
    title, caption = CAPTIONS[name]
    return Picture(name, title, caption, folder / f"{name}.png")
