"""How an external hospital compares with what was learnt from, in plain sentences for the page.

What lives here: wording. What does not: any figure (evaluation's `site_shift`, `calibration`, `fresh_fractures_needed`,
SQL model `site_metric_differences`).
"""

from typing import Any

import polars as pl

from olvf_assets.reporting.drawing import readable
from olvf_assets.reporting.layout import METRIC_NAMES, Figure


def site_sentences(
    site_shift: pl.DataFrame,
    far_films: pl.DataFrame,
    calibration: pl.DataFrame,
    site_metric_differences: pl.DataFrame,
    fresh_fractures_needed: pl.DataFrame,
) -> list[dict[str, Any]]:
    """Return for each external institution what the page says of it; the parameters are the tables of these names.

    Returns:
        dicts of institution, n_features compared, `shifted` (sentences, the largest shift first), n_far films, and
        `figures` (sentences on metrics, calibration and fresh fractures).
    """
    told = []
    for part in site_shift.sort("institution").partition_by("institution", maintain_order=True):
        site = part["institution"][0]
        told.append(
            {
                "institution": site,
                "n_features": len(part),
                "shifted": part.filter(pl.col("verdict") != "alike").sort("psi", descending=True)["sentence"].to_list(),
                "n_far": far_films.filter(institution=site).height,
                "figures": [
                    *_differences(site_metric_differences.filter(institution=site)),
                    *_calibrated(calibration.filter(institution=site)),
                    *_needed(fresh_fractures_needed.filter(institution=site)),
                ],
            }
        )
    return told


def _differences(rows: pl.DataFrame) -> list[str]:
    mean = rows.filter(pl.col("metric").is_in(list(METRIC_NAMES)), model="ensemble", positive_class="all")
    sentences = []
    for part in mean.sort("protocol", "development_institution").partition_by(
        "protocol", "development_institution", maintain_order=True
    ):
        told = [
            f"{METRIC_NAMES[row['metric']]} {row['difference']:+.3f} ({row['ci_low']:+.3f} to {row['ci_high']:+.3f})"
            for row in part.filter(pl.col("verdict").is_in(["higher", "lower"])).iter_rows(named=True)
        ]
        against = f"Against the internal test of {readable(part['development_institution'][0])}{_under(part)}"
        sentences.append(f"{against}: {', '.join(told)}." if told else f"{against} no metric is surely another.")
    return sentences


def _calibrated(rows: pl.DataFrame) -> list[str]:
    error = rows.filter(model="ensemble", fold="mean", positive_class="all", metric="expected_calibration_error")
    sentences = []
    for part in error.sort("protocol").partition_by("protocol", maintain_order=True):
        of_kind = {row["probabilities"]: row for row in part.iter_rows(named=True)}
        told = [
            f"{words} {figure.value_text} {figure.interval_text}"
            for kind, words in (
                ("raw", "as given"),
                ("temperature_scaled", "with the temperature of development"),
                ("refitted_at_site", "refitted on four fifths of its patients and measured on the rest"),
            )
            if kind in of_kind and of_kind[kind]["reason"] is None
            for figure in [Figure(*(of_kind[kind][name] for name in ("value", "ci_low", "ci_high")))]
        ]
        reasons = [f" ({row['reason']})" for row in of_kind.values() if row["reason"]]
        if told:
            sentences.append(f"Calibration error{_under(part)}: {', '.join(told)}{''.join(reasons[-1:])}.")
    return sentences


def _needed(rows: pl.DataFrame) -> list[str]:
    sentences = []
    for part in rows.sort("protocol").partition_by("protocol", maintain_order=True):
        row = part.row(0, named=True)
        if row["n_fresh_needed"] is None:
            continue
        width = f"±{row['target_half_width']:g}"
        known = "" if row["sensitivity"] is None else f"is {row['sensitivity']:.3f} on {row['n_fresh']} of them and "
        more = f"{row['n_fresh_more']} more" if row["n_fresh_more"] else "no more"
        why = f" ({row['reason']})" if row["reason"] else ""
        sentences.append(
            f"Sensitivity for fresh fractures{_under(part)} {known}takes {more} to be known within {width}: "
            f"{row['n_fresh_needed']} in all, at most {row['n_fresh_needed_at_most']}{why}."
        )
    return sentences


def _under(part: pl.DataFrame) -> str:
    protocol = part["protocol"][0]
    return "" if protocol == "patient" else f" (protocol {protocol})"
