"""Data Docs: the HTML pages of Great Expectations about the tables of the gate, and their results as a table.

What lives here: running every suite over its table, building the site, and making its pages need nothing from the
network. What does not: the expectations (`expectations`). Pages and table count rows and quote none of them.
"""

import html
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from olvf_assets.intake.expectations import quiet_context, run_suite
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.intake.tables import EXPECTATION_RESULTS

INDEX = "index.html"
# Great Expectations would quote the first unexpected values.
COUNTS_ONLY = {"result_format": "BASIC", "partial_unexpected_count": 0}
NOT_ARGUMENTS = {"batch_id", "column"}

# What the pages would fetch from six content delivery networks, and what stands there without them.
REMOTE = re.compile(
    r"<script[^>]*src=\"https?://[^>]*></script>|<link[^>]*href=\"https?://[^>]*>|<img[^>]*src=\"https?://[^>]*>"
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
        folder: of the site; its first page is `index.html`.
        settings: the ranges.

    Returns:
        One row per expectation, in the order of the tables and of each suite. The same tables give the same rows.
    """
    context = quiet_context()
    unfinished = folder.with_name(f".{folder.name}-partial")
    shutil.rmtree(unfinished, ignore_errors=True)  # left by a killed run
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(unfinished)}
    site = {"class_name": "SiteBuilder", "show_how_to_buttons": False, "store_backend": store}
    try:
        context.add_data_docs_site("data_docs", site)
        results = {name: run_suite(context, name, frame, settings, COUNTS_ONLY) for name, frame in tables.items()}
        context.build_data_docs(["data_docs"], build_index=False)
        rows = [row for name, found in results.items() for row in _rows(name, found)]
        table = pl.DataFrame(rows, schema=EXPECTATION_RESULTS)
        for page in unfinished.rglob("*.html"):
            page.write_text(_standing_alone(page.read_text(encoding="utf-8")), encoding="utf-8")
        (unfinished / INDEX).write_text(_index(unfinished, table), encoding="utf-8")
        _put_in_place(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return table


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
    """Return a page with its own style and without scripts, so that a browser asks the network for nothing."""
    return REMOTE.sub("", page).replace("</head>", f"<style>{STYLE}</style></head>", 1)


def _index(folder: Path, results: pl.DataFrame) -> str:
    """Return the first page: one row per table. The library's own is drawn by scripts from the network."""
    lines = []
    for part in results.partition_by("table_name", maintain_order=True):
        name = part["table_name"][0]
        (validation,) = (folder / "validations" / name).rglob("*.html")
        suite = f"expectations/{name}.html"
        met = part["success"].sum()
        icon = "fa-check-circle" if met == part.height else "fa-times"
        lines.append(
            f'<tr><td><i class="{icon}"></i></td><td>{html.escape(name)}</td><td>{met} of {part.height}</td>'
            f'<td><a href="{validation.relative_to(folder).as_posix()}">results</a></td>'
            f'<td><a href="{suite}">expectations</a></td></tr>'
        )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Data Docs</title><style>{STYLE}</style>'
        "</head><body><h1>Data Docs</h1>"
        "<p>What every row of the tables at the gate must satisfy, and whether it does (Great Expectations).</p>"
        "<table><thead><tr><th></th><th>table</th><th>expectations met</th><th></th><th></th></tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
        '<p class="note">Films are those that were accepted. Rows are counted and not quoted.</p></body></html>\n'
    )


def _put_in_place(unfinished: Path, folder: Path) -> None:
    """Replace the folder by the new one."""
    old = folder.with_name(f".{folder.name}-old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    unfinished.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
