"""Data Docs: the HTML pages of Great Expectations about the tables of the gate, and their results as a table.

What lives here: running every suite over its table, building the site, and making its pages need nothing from the
network. What does not: the expectations (`expectations`). Pages and table count rows and quote none of them.

The library only draws the pages. Its own builder of sites is not used: it writes them by itself, logs whatever goes
wrong with one (also a disk that is full or fails) and goes on without that page.
"""

import html
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from olvf_assets.intake.expectations import quiet_context, run_suite
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.intake.tables import EXPECTATION_RESULTS
from olvf_assets.storage.artifacts import write_folder

INDEX = "index.html"
# Great Expectations would quote the first unexpected values.
COUNTS_ONLY = {"result_format": "BASIC", "partial_unexpected_count": 0}
NOT_ARGUMENTS = {"batch_id", "column"}

# What the pages would fetch from six content delivery networks or a folder of pictures beside them.
REMOTE = re.compile(
    r"<script[^>]*src=\"https?://[^>]*></script>|<link[^>]*href=[^>]*>|<img[^>]*src=\"https?://[^>]*>"
    r"|<footer>.*?</footer>|<script>.*?</script>|url\(['\"]https?://[^)]*\)",
    re.DOTALL,
)
STYLE = """
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; color: #222;
       font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
a { color: #0077bb; } h1 { font-size: 1.6rem; } h2, h3, h4 { font-size: 1.1rem; margin: 1.6rem 0 .4rem; }
h5, h6 { font-size: 1rem; margin: 1rem 0 .2rem; }
table { border-collapse: collapse; margin: .5rem 0 1rem; }
th, td { border-bottom: 1px solid #e3e6ea; padding: .35rem .8rem; text-align: left; vertical-align: top; }
ol.breadcrumb { display: flex; gap: 1rem; list-style: none; padding: 0; }
.badge { background: #eef1f4; border-radius: 4px; padding: 0 .35rem; }
.fa-check-circle::before { content: "\\2713"; color: #117733; font-style: normal; }
.fa-times::before { content: "\\2717"; color: #cc3311; font-style: normal; }
.note { color: #6b717a; }
.d-none, .popover, button, [data-toggle="collapse"], .sticky .card { display: none; }
"""


def build_data_docs(tables: Mapping[str, pl.DataFrame], folder: Path, settings: IntakeSettings) -> pl.DataFrame:
    """Build the site in `folder`, replacing the one there as a whole, and return table `expectation_results`.

    Args:
        tables: by name, those that have a suite.
        folder: of the site; see `page_names` for what lies in it.
        settings: the ranges.

    Returns:
        One row per expectation, in the order of the tables and of each suite. The same tables give the same rows.

    Raises:
        DiskFullError, WriteFaultError: the disk of the folder; the site is the one before.
    """
    context = quiet_context()
    results = {name: run_suite(context, name, frame, settings, COUNTS_ONLY) for name, frame in tables.items()}
    rows = [row for name, found in results.items() for row in _rows(name, found)]
    table = pl.DataFrame(rows, schema=EXPECTATION_RESULTS)
    write_folder(folder, {INDEX: _index(table), **_drawn(context, tables)})
    return table


def page_names(tables: Iterable[str]) -> list[str]:
    """Return the paths, relative to the site's folder, of all pages about these tables."""
    return [INDEX, *(each for name in tables for each in (_suite_page(name), _results_page(name)))]


def _suite_page(table_name: str) -> str:
    return f"expectations/{table_name}.html"


def _results_page(table_name: str) -> str:
    return f"validations/{table_name}.html"


def _drawn(context: Any, tables: Iterable[str]) -> dict[str, str]:
    """Return the page of each suite and of each result that a context keeps, by path."""
    from great_expectations.render.renderer import ExpectationSuitePageRenderer, ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    view = DefaultJinjaPageView()  # one for all pages: each compiles its templates anew

    def page(content: Any) -> str:
        return _standing_alone(view.render(content, show_how_to_buttons=False))

    kept = context.validation_results_store
    results = {key.expectation_suite_identifier.name: kept.get(key) for key in kept.list_keys()}
    pages = {}
    for name in tables:
        pages[_suite_page(name)] = page(ExpectationSuitePageRenderer().render(context.suites.get(name)))
        pages[_results_page(name)] = page(ValidationResultsPageRenderer(run_info_at_end=True).render(results[name]))
    return pages


def _rows(table_name: str, results: list[Any]) -> list[dict[str, Any]]:
    rows = []
    for position, each in enumerate(results, start=1):
        arguments = each.expectation_config.to_json_dict()["kwargs"]
        columns = [arguments.get(name) for name in ("column", "column_A", "column_B") if arguments.get(name)]
        shown = {name: value for name, value in sorted(arguments.items()) if name not in NOT_ARGUMENTS}
        rows.append(
            {
                "table_name": table_name,
                "position": position,
                "expectation": each.expectation_config.type,
                "column": ", ".join(columns) or None,
                "arguments": json.dumps(shown),
                "success": bool(each.success),
                "n_rows": each.result.get("element_count"),
                "n_unexpected": each.result.get("unexpected_count"),
            }
        )
    return rows


def _standing_alone(page: str) -> str:
    """Return a page with its own style and without scripts, so that a browser asks the network for nothing.

    Its links are as deep as the library's own folders would be.
    """
    return REMOTE.sub("", page).replace("../../../../", "../").replace("</head>", f"<style>{STYLE}</style></head>", 1)


def _index(results: pl.DataFrame) -> str:
    """Return the first page: one row per table. The library's own is drawn by scripts from the network."""
    lines = []
    for part in results.partition_by("table_name", maintain_order=True):
        name = part["table_name"][0]
        met = part["success"].sum()
        icon = "fa-check-circle" if met == part.height else "fa-times"
        lines.append(
            f'<tr><td><i class="{icon}"></i></td><td>{html.escape(name)}</td><td>{met} of {part.height}</td>'
            f'<td><a href="{_results_page(name)}">results</a></td>'
            f'<td><a href="{_suite_page(name)}">expectations</a></td></tr>'
        )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Data Docs</title><style>{STYLE}</style>'
        "</head><body><h1>Data Docs</h1>"
        "<p>What every row of the tables at the gate must satisfy, and whether it does (Great Expectations).</p>"
        "<table><thead><tr><th></th><th>table</th><th>expectations met</th><th></th><th></th></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
        '<p class="note">Films are those that were accepted. Rows are counted and not quoted.</p></body></html>\n'
    )
