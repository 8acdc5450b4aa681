"""Assets at the end: pictures, the report page, the warehouse.

What lives here: names and dependencies. What does not: drawing, writing.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from olvf_assets.foundation.columns import column_texts
from olvf_assets.foundation.tables import Table, TableRun, table
from olvf_assets.reporting.tables import REPORT_FIGURES, THESIS_COMPARISON, WAREHOUSE


def _report_files(run: TableRun, found: pl.DataFrame) -> list[Path]:
    folder = run.data / "reports"
    return [folder / "index.html", *(folder / path for path in found["path"])]


@table(schema=THESIS_COMPARISON, kinds=("polars", "scipy"))
def thesis_comparison(
    run: TableRun,
    participant_flow: pl.DataFrame,
    vertebra_crops: pl.DataFrame,
    baseline_characteristics: pl.DataFrame,
    reader_agreement: pl.DataFrame,
    consensus_queue: pl.DataFrame,
    detector_copies: pl.DataFrame,
    detector_answers: pl.DataFrame,
    detector_model: pl.DataFrame,
    detector_metrics: pl.DataFrame,
    splits: pl.DataFrame,
    balanced_test_set: pl.DataFrame,
    balanced_training_set: pl.DataFrame,
    test_metrics: pl.DataFrame,
    external_metrics: pl.DataFrame,
    gradcam_section_means: pl.DataFrame,
    institutions: pl.DataFrame,
) -> pl.DataFrame:
    """Every figure that the thesis printed beside this run's, under both protocols, with a verdict."""
    from olvf_assets.reporting.thesis_comparison import Study, thesis_comparison

    tables = {
        "participant_flow": participant_flow,
        "vertebra_crops": vertebra_crops,
        "baseline_characteristics": baseline_characteristics,
        "reader_agreement": reader_agreement,
        "consensus_queue": consensus_queue,
        "detector_copies": detector_copies,
        "detector_answers": detector_answers,
        "detector_model": detector_model,
        "detector_metrics": detector_metrics,
        "splits": splits,
        "balanced_test_set": balanced_test_set,
        "balanced_training_set": balanced_training_set,
        "test_metrics": test_metrics,
        "external_metrics": external_metrics,
        "gradcam_section_means": gradcam_section_means,
        "institutions": institutions,
    }
    profile = run.profile
    networks = list(profile.classification.networks.values())
    compared = thesis_comparison(tables, Study(profile.protocols, set(profile.phantom.institutions), networks))
    for protocol in run.profile.protocols:
        for verdict, n in compared[f"verdict_{protocol}"].value_counts().sort(f"verdict_{protocol}").iter_rows():
            run.notes[f"protocol {protocol}, {verdict}"] = n
    return compared


@table(schema=REPORT_FIGURES, kinds=("matplotlib", "jinja2"), pictures=("path",), beside=_report_files)
def report_figures(
    run: TableRun,
    roc_curves: pl.DataFrame,
    test_metrics: pl.DataFrame,
    external_metrics: pl.DataFrame,
    confusion_matrices: pl.DataFrame,
    reliability_curves: pl.DataFrame,
    calibration: pl.DataFrame,
    decision_curves: pl.DataFrame,
    films: pl.DataFrame,
    reader_boxes: pl.DataFrame,
    detections: pl.DataFrame,
    detected_films: pl.DataFrame,
    detector_answers: pl.DataFrame,
    detector_metrics: pl.DataFrame,
    detector_pr_curves: pl.DataFrame,
    training_curves: pl.DataFrame,
    vertebra_crops: pl.DataFrame,
    ensemble_predictions: pl.DataFrame,
    reader_agreement: pl.DataFrame,
    participant_flow: pl.DataFrame,
    baseline_characteristics: pl.DataFrame,
    institutions: pl.DataFrame,
    expectation_results: pl.DataFrame,
    thesis_comparison: pl.DataFrame,
    gradcam_section_means: pl.DataFrame,
    gradcam_statistics: pl.DataFrame,
    gradcam_boundaries: pl.DataFrame,
    gradcam_agreement: pl.DataFrame,
    gradcam_sanity: pl.DataFrame,
    gradcam_maps: pl.DataFrame,
    gradcam_examples: pl.DataFrame,
) -> pl.DataFrame:
    """The report: every picture, and one page that holds them with the main tables."""
    from olvf_assets.reporting.attention_pictures import draw_attention
    from olvf_assets.reporting.gallery import draw_gallery, figure_table
    from olvf_assets.reporting.page import write_report

    folder = run.data / "reports"
    tables = {
        "roc_curves": roc_curves,
        "test_metrics": test_metrics,
        "external_metrics": external_metrics,
        "confusion_matrices": confusion_matrices,
        "reliability_curves": reliability_curves,
        "calibration": calibration,
        "decision_curves": decision_curves,
        "films": films,
        "reader_boxes": reader_boxes,
        "detections": detections,
        "detected_films": detected_films,
        "detector_answers": detector_answers,
        "detector_metrics": detector_metrics,
        "detector_pr_curves": detector_pr_curves,
        "training_curves": training_curves,
        "vertebra_crops": vertebra_crops,
        "ensemble_predictions": ensemble_predictions,
        "reader_agreement": reader_agreement,
        "participant_flow": participant_flow,
        "baseline_characteristics": baseline_characteristics,
        "expectation_results": expectation_results,
        "thesis_comparison": thesis_comparison,
    }
    pictures = draw_gallery(folder, tables, run.store.load_image, run.profile.reporting, run.seed)
    attention = {
        "gradcam_section_means": gradcam_section_means,
        "gradcam_statistics": gradcam_statistics,
        "gradcam_boundaries": gradcam_boundaries,
        "gradcam_agreement": gradcam_agreement,
        "gradcam_sanity": gradcam_sanity,
        "gradcam_maps": gradcam_maps,
        "gradcam_examples": gradcam_examples,
        "vertebra_crops": vertebra_crops,
        "films": films,
    }
    pictures += draw_attention(folder, attention, run.store, run.profile.attention, run.seed)
    made_up = set(run.profile.phantom.institutions)
    synthetic = {key: key in made_up for key in institutions["institution"].unique().sort()}
    page = write_report(folder, pictures, tables, run.profile.name, synthetic)
    run.notes["page"] = str(page)
    return figure_table(pictures, folder)


def _warehouse_file(run: TableRun, found: pl.DataFrame | None = None) -> list[Path]:
    return [run.data / "olvf.duckdb"]


def warehouse_of(tables: Sequence[Table]) -> Table:
    """Return the asset that puts `tables` into `olvf.duckdb`, all at once, at the very end."""
    descriptions = {each.name: each.description for each in tables}
    columns = {each.name: dict(each.columns) for each in tables}

    def write(run: TableRun, **frames: pl.DataFrame) -> pl.DataFrame:
        from olvf_assets.reporting.warehouse import build_warehouse

        (path,) = _warehouse_file(run)
        counts = build_warehouse(frames, path, descriptions, columns)
        run.notes["file"] = str(path)
        return pl.DataFrame({"table": list(counts), "n_rows": list(counts.values())}, schema=WAREHOUSE)

    return Table(
        name="warehouse",
        make=write,
        reads=tuple(each.name for each in tables),
        by=None,
        schema=WAREHOUSE,
        room="reporting",
        description="All tables in one DuckDB file, built beside the old one and put in its place.",
        beside=_warehouse_file,
        kinds=("duckdb",),
        columns=column_texts("reporting", "warehouse", WAREHOUSE.names()),
    )
