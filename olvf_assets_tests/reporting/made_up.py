"""A made-up study for the tests of reporting: every table that the report reads, and a run that draws it."""

from itertools import product
from pathlib import Path

import numpy as np
import polars as pl

from olvf_assets.attention import tables as attention
from olvf_assets.classification.tables import TRAINING_CURVES
from olvf_assets.cohort.tables import BASELINE_CHARACTERISTICS
from olvf_assets.detection.metrics import pr_curves
from olvf_assets.detection.tables import DETECTOR_ANSWERS, DRAFT_CORRECTIONS
from olvf_assets.evaluation import calibration, confusion, decision, metric_tables, roc, temperature
from olvf_assets.evaluation.needed import fresh_fractures_needed
from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.foundation.tables import TableRun
from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.profiles import Profile, load_profile
from olvf_assets.reporting.settings import ReportingSettings
from olvf_assets.reporting.tables import THESIS_COMPARISON, WORKLIST_PAGES
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets_tests.evaluation.samples import study_predictions, validation_predictions

EVALUATION = EvaluationSettings(
    draws=50, confidence=0.95, min_defined_share=0.5, roc_points=50, probability_tolerance=1e-4
)
REPORTING = ReportingSettings(films_per_institution=3, crops_per_class=3, dots_per_inch=40)
WIDTH, HEIGHT = 1693, 2032


NO_LEAK = pl.lit(None, pl.String)


def made_up_tables(patients: int = 12, seed: int = 1) -> dict[str, pl.DataFrame]:
    """Return the tables of a study with one development and one external institution."""
    test, test_folds = study_predictions("test", "institution_1", patients, seed)
    external, external_folds = study_predictions("external", "institution_2", patients, seed + 1, skill=1.0)
    ensemble, folds = pl.concat([test, external]), pl.concat([test_folds, external_folds])
    crops = ensemble.select("protocol", "institution", "crop_id", "label").unique().sort("institution", "crop_id")
    temperatures = temperature.calibration_temperatures(validation_predictions(patients, seed + 2))
    internal_figures, external_figures = (
        make(ensemble, folds, EVALUATION, seed).with_columns(leaks=NO_LEAK)
        for make in (metric_tables.internal_metrics, metric_tables.external_metrics)
    )
    roles = {"institution_1": "development", "institution_2": "external"}
    return {
        "ensemble_predictions": ensemble,
        "test_metrics": internal_figures,
        "external_metrics": external_figures,
        "site_metric_differences": difference_rows(),
        "fresh_fractures_needed": fresh_fractures_needed(internal_figures, external_figures, roles, EVALUATION),
        "confusion_matrices": confusion.confusion_matrices(ensemble),
        "roc_curves": roc.roc_curves(ensemble, EVALUATION),
        "calibration": calibration.calibration(ensemble, temperatures, EVALUATION, seed),
        "reliability_curves": calibration.reliability_curves(ensemble, temperatures, EVALUATION, seed),
        "decision_curves": decision.decision_curves(ensemble, temperatures, EVALUATION, seed),
        "vertebra_crops": crops.with_columns(image_path=pl.lit("crop")),
        "reader_agreement": agreement_rows(),
        "participant_flow": flow_rows(),
        "baseline_characteristics": baseline_rows(),
        "expectation_results": pl.DataFrame({"success": [True] * 81 + [False]}),
        "detector_metrics": detector_rows(),
        "thesis_comparison": comparison_rows(),
        "institutions": pl.DataFrame({"institution": ["institution_1", "institution_2"]}),
        "site_shift": pl.DataFrame(
            [
                {"institution": "institution_2", "psi": psi, "verdict": verdict, "sentence": f"{name} (PSI {psi})"}
                for name, psi, verdict in (("age", 0.05, "alike"), ("kvp", 0.15, "shifted"), ("device", 4.0, "far"))
            ]
        ),
        "far_films": pl.DataFrame({"institution": ["institution_2"] * 3}),
        "worklist_pages": pl.DataFrame(
            [("institution_2", "worklists/institution_2/index.html", "0" * 64, 12, 11, 50, 7)],
            schema=WORKLIST_PAGES,
            orient="row",
        ),
        "training_curves": pl.DataFrame(
            [
                ("patient", "resnet50", fold, epoch, 1 / epoch, 1.2 / epoch, 0.5 + 0.1 * epoch)
                for fold in (1, 2)
                for epoch in (1, 2, 3)
            ],
            schema=TRAINING_CURVES,
            orient="row",
        ),
        **film_tables(),
        **answer_rows(),
        **draft_rows(),
        **no_attention(),
    }


def difference_rows() -> pl.DataFrame:
    """Return three metrics of the ensemble held against the internal test: lower, higher, open."""
    shared = {
        "protocol": "patient",
        "institution": "institution_2",
        "development_institution": "institution_1",
        "model": "ensemble",
        "positive_class": "all",
    }
    figures = [
        ("accuracy", -0.085, -0.144, -0.023, "lower"),
        ("auc", 0.02, -0.05, 0.09, "open"),
        ("false_discovery_rate", 0.149, 0.033, 0.266, "higher"),
    ]
    names = ("metric", "difference", "ci_low", "ci_high", "verdict")
    return pl.DataFrame([shared | dict(zip(names, each, strict=True)) for each in figures])


def draft_rows() -> dict[str, pl.DataFrame]:
    """Return what became of a draft of two boxes, one of which was moved; another draft is still out."""
    boxes = [
        {"change": change, "drafted_level": level, "level": level, "iou": overlap}
        for change, level, overlap in (("unchanged", "L1", 1.0), ("moved", "L2", 0.7))
    ]
    counts = {"drafted": 2, "drawn": 2, "unchanged": 1, "moved": 1, "renamed": 0, "added": 0, "removed": 0}
    own = {"institution": "institution_2", "state": "resolved"}
    film = own | {"film_id": "F20", "returned": True, "unchanged": False, "boxes": boxes, "mean_iou": 0.85}
    waiting = own | {"film_id": "F21", "returned": False, "n_drafted": 5}
    rows = [film | {f"n_{name}": n for name, n in counts.items()}, waiting]
    return {"draft_corrections": pl.DataFrame(rows, schema=DRAFT_CORRECTIONS)}


def no_attention() -> dict[str, pl.DataFrame]:
    """Return the tables of the attention room without a row."""
    schemas = {name.lower(): each for name, each in vars(attention).items() if isinstance(each, pl.Schema)}
    return {name: each.to_frame() for name, each in schemas.items() if name.startswith("gradcam_")}


class MadeUpStore(ArtifactStore):
    """A store whose pictures are grey ramps, whatever their names; it notes which were asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked: list[str] = []

    def load_image(self, relative: str) -> np.ndarray:
        self.asked.append(relative)
        return load_made_up_image(relative)


def run_in(data: Path, profile: Profile | None = None) -> TableRun:
    """Return a run that keeps everything below `data`, with small pictures unless a profile says otherwise."""
    small = load_profile("ci").model_copy(update={"reporting": REPORTING})
    return TableRun(profile or small, MadeUpStore(data / "lake"), data)


def comparison_rows() -> pl.DataFrame:
    """Return `thesis_comparison` with a count and a figure with intervals; protocol thesis was not run."""
    rows = [
        ("institution_1/films_used", "flow", "text", 716.0, None, None, 716.0, None, None, 0.0, "inside", None),
        ("test/auc/all", "classification", "Table 6", 0.912, 0.861, 0.963, 0.85, 0.8, 0.9, -0.062, "not_comparable",
         "synthetic films"),
    ]  # fmt: skip
    not_run = (None, None, None, None, "not_comparable", "protocol thesis was not run")
    return pl.DataFrame([(*row, *not_run) for row in rows], schema=THESIS_COMPARISON, orient="row")


def agreement_rows() -> pl.DataFrame:
    """Return `reader_agreement`, with levels that were never re-read."""
    keys = product(("institution_1", "institution_2"), ("inter", "intra_reader_1", "intra_reader_2"))
    rows = [
        {
            "institution": institution,
            "comparison": comparison,
            "level": level,
            "weighting": weighting,
            "kappa": None if level == "L5" else 0.78 + 0.01 * i + 0.03 * (weighting == "quadratic"),
            "ci_low": None if level == "L5" else 0.7 + 0.01 * i,
            "ci_high": None if level == "L5" else 0.88 + 0.01 * i,
            "band": None if level == "L5" else "substantial",
        }
        for i, (institution, comparison) in enumerate(keys)
        for level in (*LEVELS, "all")
        for weighting in ("linear", "quadratic")
    ]
    return pl.DataFrame(rows)


def flow_rows() -> pl.DataFrame:
    """Return `participant_flow`."""
    columns = ["institution", "unit", "state", "reason", "rule", "n", "n_normal", "n_old", "n_fresh"]
    normal, crush, crop = "exclusion_all_normal", "exclusion_severe_crush", "exclusion_crop_condition"
    rows = [
        ("institution_1", "patient", "used", None, None, 88, 0, 30, 58),
        ("institution_1", "patient", "excluded", "all_normal", normal, 18, 18, 0, 0),
        ("institution_1", "patient", "excluded", "severe_crush", crush, 4, 0, 1, 3),
        ("institution_1", "film", "used", None, None, 150, 0, 50, 100),
        ("institution_1", "film", "excluded", "all_normal", normal, 18, 18, 0, 0),
        ("institution_1", "film", "excluded", "severe_crush", crush, 4, 0, 1, 3),
        ("institution_1", "film", "quarantined", "not_lateral", None, 9, 0, 0, 0),
        ("institution_1", "vertebra", "used", None, None, 700, 480, 120, 100),
        ("institution_1", "vertebra", "excluded", "all_normal", normal, 90, 90, 0, 0),
        ("institution_1", "vertebra", "excluded", "severe_crush", crush, 20, 16, 1, 3),
        ("institution_1", "vertebra", "excluded", "poor_image_quality", crop, 30, 20, 5, 5),
        ("institution_1", "vertebra", "excluded", "not_detected", None, 20, 15, 5, 0),
        ("institution_2", "patient", "used", None, None, 40, 0, 20, 20),
        ("institution_2", "film", "used", None, None, 40, 0, 20, 20),
        ("institution_2", "vertebra", "used", None, None, 195, 145, 25, 25),
        ("institution_2", "vertebra", "excluded", "foreign_substance", crop, 5, 5, 0, 0),
    ]
    return pl.DataFrame(rows, schema=columns, orient="row")


def baseline_rows() -> pl.DataFrame:
    """Return `baseline_characteristics`: age, sex and early films of one hospital."""
    rows = []
    for group, n, women, mean, early in (
        ("fresh", 58, 40, 78.54, 41),
        ("old", 30, 19, 77.1, 0),
        ("all", 88, 59, 78, 41),
    ):
        known = 0 if group == "old" else 58
        p = 0.1837 if group == "all" else None
        rows += [
            ("institution_1", "patients", "all", group, "patient", n, 88, None, None, None, None),
            ("institution_1", "age_years", "all", group, "patient", n, n, mean, 11.36, "welch_t", p),
            ("institution_1", "sex", "F", group, "patient", women, n, None, None, None, None),
            ("institution_1", "sex", "M", group, "patient", n - women, n, None, None, None, None),
            ("institution_1", "film_within_14_days_of_onset", "true", group, "patient", early, known, *[None] * 4),
        ]
    return pl.DataFrame(rows, schema=BASELINE_CHARACTERISTICS, orient="row")


def answer_rows() -> dict[str, pl.DataFrame]:
    """Return detector_answers, detector_pr_curves and detected_films that fit `film_tables`."""
    films = film_tables()
    about = films["films"].select("institution", "film_id")
    drawn = films["reader_boxes"].with_columns(
        protocol=pl.lit("patient"),
        dataset=pl.lit("external"),
        copy=0,
        source=pl.lit("drawn"),
        confidence=1.0,
        detector_sha256=pl.lit("d0"),
    )
    answers = drawn.select(DETECTOR_ANSWERS.names()).cast(DETECTOR_ANSWERS)
    return {
        "detector_answers": answers,
        "detector_pr_curves": pr_curves(pl.concat([answers, answers.with_columns(source=pl.lit("detected"))])),
        "detected_films": about.with_columns(protocol=pl.lit("patient"), state=pl.lit("resolved")),
    }


def detector_rows() -> pl.DataFrame:
    """Return `detector_metrics`, without ultralytics' figure for single levels of the external films."""
    rows = [
        {
            "protocol": "patient",
            "dataset": dataset,
            "level": level,
            "metric": metric,
            "source": source,
            "value": value - 0.01 * i,
        }
        for dataset, metric, value in (
            ("validation", "map50", 0.995),
            ("validation", "map50_95", 0.9),
            ("external", "map50", 0.98),
            ("external", "map50_95", 0.8),
        )
        for i, level in enumerate((*LEVELS, "all"))
        for source in ("pycocotools", "ultralytics")
        if source == "pycocotools" or level == "all"
    ]
    return pl.DataFrame(rows)


def film_tables() -> dict[str, pl.DataFrame]:
    """Return films, reader_boxes and detections of four films each; on the last one nothing was detected."""
    films, boxes, found = [], [], []
    for institution, number in product(("institution_1", "institution_2"), range(4)):
        film_id = f"F{institution[-1]}{number}"
        films.append(
            {
                "institution": institution,
                "film_id": film_id,
                "view": "neutral",
                "image_path": film_id,
                "width_px": WIDTH,
                "pixel_mm": 0.15,
                "height_px": HEIGHT,
            }
        )
        for k, level in enumerate(LEVELS):
            corner = np.array([700 + 20 * k, 300 + 260 * k, 1000 + 20 * k, 520 + 260 * k], dtype=float)
            boxes.append((institution, film_id, level, *corner))
            if number < 3:
                found.append((institution, film_id, level, *(corner + 15), 0.9))
    columns = ["institution", "film_id", "level", "x0_px", "y0_px", "x1_px", "y1_px"]
    return {
        "films": pl.DataFrame(films),
        "reader_boxes": pl.DataFrame(boxes, schema=columns, orient="row"),
        "detections": pl.DataFrame(found, schema=[*columns, "confidence"], orient="row").with_columns(
            protocol=pl.lit("patient")
        ),
    }


def load_made_up_image(relative: str) -> np.ndarray:
    """Return a grey ramp as the pixels of a film or crop."""
    shape = (140, 166) if relative == "crop" else (HEIGHT, WIDTH)
    return np.tile(np.linspace(0, 255, shape[1], dtype=np.uint8), (shape[0], 1))
