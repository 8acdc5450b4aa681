"""The report as one page that needs nothing but itself.

What lives here: filling `page.html.jinja`. What does not: drawing, which pictures there are, any computing.
"""

import base64
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from olvf_assets.foundation.vocabulary import LEVELS, PROTOCOLS
from olvf_assets.reporting.baseline import baseline_tables
from olvf_assets.reporting.drawing import readable
from olvf_assets.reporting.figures import UNITS
from olvf_assets.reporting.layout import COLUMNS, METRIC_NAMES, metric_grids, number_text
from olvf_assets.reporting.pictures import Section
from olvf_assets.reporting.redrawing import Shown
from olvf_assets.reporting.site_sentences import site_sentences
from olvf_assets.reporting.thesis_table6 import table_6
from olvf_assets.reporting.unlabelled import why_no_accuracy

TEMPLATE = "page.html.jinja"
SECTIONS: dict[Section, str] = {
    "metrics": "Classification",
    "detector": "Detection",
    "readers": "Readers",
    "flow": "Participants",
    "attention": "Attention",
    "comparison": "Beside the thesis",
}
DETECTOR_METRIC_NAMES = {"map50": "mAP@0.5", "map50_95": "mAP@0.5:0.95"}


def page_text(
    pictures: Sequence[tuple[Shown, Path]],
    profile_name: str,
    made_up: Collection[str],
    *,
    test_metrics: pl.DataFrame,
    external_metrics: pl.DataFrame,
    detector_metrics: pl.DataFrame,
    reader_agreement: pl.DataFrame,
    participant_flow: pl.DataFrame,
    baseline_characteristics: pl.DataFrame,
    expectation_results: pl.DataFrame,
    thesis_comparison: pl.DataFrame,
    institutions: pl.DataFrame,
    worklist_pages: pl.DataFrame,
    site_shift: pl.DataFrame,
    far_films: pl.DataFrame,
    calibration: pl.DataFrame,
    site_metric_differences: pl.DataFrame,
    fresh_fractures_needed: pl.DataFrame,
) -> str:
    """Return `index.html`: no scripts, no other files, nothing from the network.

    Only links lead to other files: to the Data Docs and to the hospitals' worklists beside it. `pictures` come with
    their PNG files, which are copied into the page; `made_up` are the institutions whose data come from the phantom,
    and the page says at its top whose do; the other parameters are the tables of these names.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    keys = institutions["institution"].unique().sort().to_list()
    return environment.get_template(TEMPLATE).render(
        profile_name=profile_name,
        synthetic=[key for key in keys if key in made_up],
        real=[key for key in keys if key not in made_up],
        sections=SECTIONS,
        grids=metric_grids(test_metrics, "test") + metric_grids(external_metrics, "external"),
        without_accuracy=why_no_accuracy(participant_flow),
        columns=COLUMNS,
        metric_names=METRIC_NAMES,
        thesis=table_6(),
        levels=(*LEVELS, "all"),
        detector=_detector_rows(detector_metrics),
        agreement=reader_agreement.sort("institution", "comparison", "weighting", "level").to_dicts(),
        flow=_flow_rows(participant_flow),
        expectations_met=expectation_results["success"].to_list(),
        baseline=baseline_tables(baseline_characteristics),
        comparison=_comparison_groups(thesis_comparison),
        pictures={
            section: [_embedded(each, file) for each, file in pictures if each.section == section]
            for section in SECTIONS
        },
        number=number_text,
        sites=site_sentences(site_shift, far_films, calibration, site_metric_differences, fresh_fractures_needed),
        worklists=worklist_pages.sort("institution").to_dicts(),
        readable=readable,
    )


def _detector_rows(metrics: pl.DataFrame) -> list[dict[str, Any]]:
    order = ["protocol", "dataset", "metric", "source"]
    parts = metrics.sort(order, descending=[False, True, False, False]).partition_by(order, maintain_order=True)
    return [
        {
            "protocol": part["protocol"][0],
            "dataset": part["dataset"][0],
            "metric": DETECTOR_METRIC_NAMES.get(part["metric"][0], part["metric"][0]),
            "source": part["source"][0],
            "by_level": dict(part.select("level", "value").rows()),
        }
        for part in parts
    ]


def _comparison_groups(comparison: pl.DataFrame) -> list[dict[str, Any]]:
    """Return each group of `thesis_comparison` with its rows, and of each protocol run the verdicts' counts."""
    run = [name for name in PROTOCOLS if f"protocol {name} was not run" not in comparison[f"reason_{name}"]]
    groups = []
    for part in comparison.partition_by("group", maintain_order=True):
        counts = {
            name: dict(part[f"verdict_{name}"].value_counts().sort(f"verdict_{name}").iter_rows()) for name in run
        }
        groups.append(
            {
                "name": part["group"][0].replace("_", " "),
                "place": part["place"][0],
                "protocols": run,
                "counts": {
                    name: ", ".join(f"{n} {verdict.replace('_', ' ')}" for verdict, n in found.items())
                    for name, found in counts.items()
                },
                "reasons": {
                    name: part[f"reason_{name}"].drop_nulls().unique(maintain_order=True).to_list() for name in run
                },
                "rows": part.to_dicts(),
                "whole": part.select(pl.col("thesis").round(0).eq(pl.col("thesis")).all()).item(),
            }
        )
    return groups


def _flow_rows(flow: pl.DataFrame) -> list[dict[str, Any]]:
    state = pl.col("state").replace_strict(["used", "excluded", "quarantined"], [0, 1, 2], default=3)
    unit = pl.col("unit").replace_strict(UNITS, range(len(UNITS)), default=len(UNITS))
    return flow.sort("institution", unit, state, "reason").to_dicts()


def _embedded(picture: Shown, file: Path) -> dict[str, str]:
    data = base64.b64encode(file.read_bytes()).decode()
    return {"title": picture.title, "caption": picture.caption, "data": data}
