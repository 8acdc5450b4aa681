"""The report: all pictures, and the page that holds them with the main tables.

What lives here: finding the declared pictures, which tables they and the page read, and making the whole. What does
not: any picture; a new one is declared in one of the modules named here, and nowhere else.
"""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from olvf_assets.foundation.tables import TableRun
from olvf_assets.reporting import (
    attention_pictures,
    detector_figures,
    draft_figures,
    figures,
    probability_figures,
    sheets,
    stard,
    training_figures,
)
from olvf_assets.reporting.page import page_text
from olvf_assets.reporting.pictures import Picture, tables_read
from olvf_assets.reporting.redrawing import Shown, pictures_of, remove_others
from olvf_assets.reporting.tables import REPORT_FIGURES
from olvf_assets.storage.artifacts import write_atomically

PAGE = "index.html"
MODULES = (
    stard, figures, probability_figures, sheets, detector_figures, draft_figures, training_figures, attention_pictures,
)  # fmt: skip
PICTURES = tuple(each for module in MODULES for each in vars(module).values() if isinstance(each, Picture))


def tables_of_report() -> tuple[str, ...]:
    """Return the names of the tables that the pictures and the page read, sorted."""
    return tuple(sorted({*tables_read(page_text), *(name for each in PICTURES for name in each.reads)}))


def make_report(run: TableRun, tables: Mapping[str, pl.DataFrame], folder: Path) -> pl.DataFrame:
    """Draw what must be drawn, write the page, and return the table `report_figures`.

    Args:
        run: the run of that table.
        tables: those of `tables_of_report`.
        folder: made if missing; what lies there as PNG or SVG and is not of this report goes.
    """
    shown = pictures_of(PICTURES, tables, run, folder, workers=0)
    text = page_text(
        [(each, folder / next(iter(each.files))) for each in shown],
        run.profile.name,
        set(run.profile.phantom.institutions),
        **{name: tables[name] for name in tables_read(page_text)},
    )
    write_atomically(folder / PAGE, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    remove_others(shown, run, folder)
    run.notes["page"] = str(folder / PAGE)
    run.notes["pictures drawn"] = ", ".join(each.name for each in shown if each.drawn) or "none"
    return figure_table(shown)


def figure_table(shown: list[Shown]) -> pl.DataFrame:
    """Return the table `report_figures`: each file (PNG, SVG), its path below the report's folder and its hash."""
    rows = [
        {"figure": each.name, "title": each.title, "caption": each.caption, "path": path, "sha256": sha256}
        for each in shown
        for path, sha256 in each.files.items()
    ]
    return pl.DataFrame(rows, schema=REPORT_FIGURES).sort("figure", "path")
