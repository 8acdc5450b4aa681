"""The report as one page that needs nothing but itself.

What lives here: filling `page.html.jinja`. What does not: drawing (`figures.py`, `sheets.py`), any computing.
"""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from olvf_assets.foundation.vocabulary import LEVELS, PROTOCOLS
from olvf_assets.reporting.baseline import baseline_tables
from olvf_assets.reporting.figures import UNITS
from olvf_assets.reporting.gallery import STARD_FLOW, Picture
from olvf_assets.reporting.layout import COLUMNS, METRIC_NAMES, metric_grids, number_text
from olvf_assets.reporting.thesis_table6 import table_6
from olvf_assets.storage.artifacts import write_atomically

TEMPLATE = "page.html.jinja"
SECTIONS = (
    ("metrics", "Classification"),
    ("detector", "Detection"),
    ("readers", "Readers"),
    ("flow", "Participants"),
    ("comparison", "Beside the thesis"),
    ("pictures", "Pictures"),
)
DETECTOR_METRIC_NAMES = {"map50": "mAP@0.5", "map50_95": "mAP@0.5:0.95"}


def write_report(
    folder: Path,
    pictures: Sequence[Picture],
    tables: Mapping[str, pl.DataFrame],
    profile_name: str,
    synthetic: Mapping[str, bool],
) -> Path:
    """Write `index.html` into `folder` and return its path: no scripts, no other files, nothing from the network.

    Only the link to the Data Docs leads to another file, `data_docs/index.html` beside it.

    Args:
        folder: made if missing.
        pictures: in the order of the page; their files are copied into it.
        tables: test_metrics, external_metrics, detector_metrics, reader_agreement, participant_flow,
            baseline_characteristics, expectation_results, thesis_comparison.
        profile_name: of the run.
        synthetic: of each institution, whether its data come from the phantom; the page says at its top whose do.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    grids = metric_grids(tables["test_metrics"], "test") + metric_grids(tables["external_metrics"], "external")
    text = environment.get_template(TEMPLATE).render(
        profile_name=profile_name,
        synthetic=[key for key, made_up in synthetic.items() if made_up],
        real=[key for key, made_up in synthetic.items() if not made_up],
        sections=SECTIONS,
        grids=grids,
        columns=COLUMNS,
        metric_names=METRIC_NAMES,
        thesis=table_6(),
        levels=(*LEVELS, "all"),
        detector=_detector_rows(tables["detector_metrics"]),
        agreement=tables["reader_agreement"].sort("institution", "comparison", "weighting", "level").to_dicts(),
        flow=_flow_rows(tables["participant_flow"]),
        expectations_met=tables["expectation_results"]["success"].to_list(),
        baseline=baseline_tables(tables["baseline_characteristics"]),
        comparison=_comparison_groups(tables["thesis_comparison"]),
        flow_pictures=[_embedded(each) for each in pictures if each.name.startswith(STARD_FLOW)],
        pictures=[_embedded(each) for each in pictures if not each.name.startswith(STARD_FLOW)],
        number=number_text,
        readable=lambda key: key.replace("_", " ").capitalize(),
    )
    page = folder / "index.html"
    write_atomically(page, lambda temporary: _write(temporary, text))
    return page


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


def _embedded(picture: Picture) -> dict[str, str]:
    data = base64.b64encode(picture.path.read_bytes()).decode()
    return {"title": picture.title, "caption": picture.caption, "data": data}


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
