"""Assets at the end: pictures, the report page, the warehouse.

What lives here: names and dependencies. What does not: drawing, writing.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from olvf_assets.foundation.columns import column_texts
from olvf_assets.foundation.tables import Table, TableRun, table
from olvf_assets.reporting.report import PAGE, make_report, tables_of_report
from olvf_assets.reporting.tables import REPORT_FIGURES, THESIS_COMPARISON, WAREHOUSE, WORKLIST, WORKLIST_PAGES


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


@table(schema=WORKLIST, by="institution", pictures=("image_path", "map_path"))
def worklist(
    run: TableRun,
    fold_predictions: pl.DataFrame,
    vertebra_crops: pl.DataFrame,
    films: pl.DataFrame,
    crop_attention: pl.DataFrame,
    operating_points: pl.DataFrame,
) -> pl.DataFrame:
    """What fifteen networks say of each vertebra that none learnt from, the most doubtful first; no label decides."""
    from olvf_assets.reporting import worklist

    folds = run.profile.classification.folds
    return worklist.worklist(fold_predictions, vertebra_crops, films, crop_attention, operating_points, folds)


def _worklist_files(run: TableRun, found: pl.DataFrame) -> list[Path]:
    from olvf_assets.reporting.worklist_page import page_files

    return [file for key in found["institution"] for file in page_files(run.data / "reports", key)]


@table(schema=WORKLIST_PAGES, by="institution", kinds=("jinja2", "opencv"), beside=_worklist_files)
def worklist_pages(
    run: TableRun,
    worklist: pl.DataFrame,
    films: pl.DataFrame,
    detected_films: pl.DataFrame,
    institutions: pl.DataFrame,
) -> pl.DataFrame:
    """The page on which a hospital's films are looked at: boxes, classes, attention; needs no server."""
    from olvf_assets.reporting.worklist_page import worklist_page

    return worklist_page(
        run.institution,
        worklist,
        films,
        detected_films,
        run.store,
        run.data / "reports",
        protocol=min(run.profile.protocols),
        made_up=run.institution in run.profile.phantom.institutions,
        external=not institutions.filter(institution=run.institution, role="external").is_empty(),
        report=run.report,
    )


def _make_report(run: TableRun, **tables: pl.DataFrame) -> pl.DataFrame:
    return make_report(run, tables, run.data / "reports")


def _report_files(run: TableRun, found: pl.DataFrame) -> list[Path]:
    folder = run.data / "reports"
    return [folder / PAGE, *(folder / path for path in found["path"])]


report_figures = Table(
    name="report_figures",
    make=_make_report,
    reads=tables_of_report(),
    by=None,
    schema=REPORT_FIGURES,
    room="reporting",
    description="The report: every picture, and one page that holds them with the main tables.",
    kinds=("matplotlib", "jinja2"),
    pictures=("path",),
    columns=column_texts("reporting", "report_figures", REPORT_FIGURES.names()),
    beside=_report_files,
)


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
