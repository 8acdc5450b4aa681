"""How many more fresh fractures a hospital must hand over until its sensitivity is known well enough.

What lives here: table `fresh_fractures_needed`. What does not: the sensitivities and their intervals (`metric_tables`).

The half-width is Wilson's (J Am Stat Assoc 1927;22:209-212) for a proportion of n independent fractures. Fractures of
one patient are not independent and folds are averaged, so n is multiplied by the design effect: the variance that the
bootstrap over patients found, over that of independent fractures (Kish, Survey Sampling, 1965).
"""

import math
from typing import Any

import polars as pl

from olvf_assets.evaluation.settings import EvaluationSettings
from olvf_assets.evaluation.tables import FRESH_FRACTURES_NEEDED

ASSUMED = "no label yet: the sensitivity on the internal test is taken"
NOTHING_KNOWN = "no sensitivity is known here or on the internal test"
NO_DESIGN_EFFECT = "no variance between patients yet: fractures are taken as independent"


def fresh_fractures_needed(
    test_metrics: pl.DataFrame, external_metrics: pl.DataFrame, roles: dict[str, str], settings: EvaluationSettings
) -> pl.DataFrame:
    """Return a row for each protocol and external institution; of one without fresh fractures with what is assumed.

    Args:
        test_metrics: table of that name.
        external_metrics: table of that name.
        roles: of each institution: development or external.
        settings: confidence, target_half_width.
    """
    ours, theirs = (_sensitivities(each) for each in (test_metrics, external_metrics))
    rows = []
    for protocol in sorted({protocol for protocol, _ in (*ours, *theirs)}):
        internal = [row for (each, _), row in ours.items() if each == protocol and _known(row)]
        fractures = sum(row["n_positive"] for row in internal)
        assumed = sum(row["value"] * row["n_positive"] for row in internal) / fractures if fractures else math.nan
        for site in sorted(key for key, role in roles.items() if role == "external"):
            rows.append(
                {"protocol": protocol, "institution": site}
                | _needed(theirs.get((protocol, site), {"n_positive": 0, "n_patients": 0}), assumed, settings)
            )
    return pl.DataFrame(rows, schema=FRESH_FRACTURES_NEEDED)


def wilson_n(proportion: float, half_width: float, z: float) -> float:
    """Return the n, no whole number, at which the Wilson interval of `proportion` is 2 x `half_width` wide.

    Args:
        proportion: 0 to 1.
        half_width: above 0, below 0.5.
        z: normal quantile of the coverage, 1.96 for 95 %.
    """
    a = 0.25 - half_width**2  # the half-width squared, solved for z^2 / n
    b = proportion * (1 - proportion) - 2 * half_width**2
    return z**2 * 2 * a / (-b + math.sqrt(b**2 + 4 * a * half_width**2))


def _needed(row: dict[str, Any], assumed: float, settings: EvaluationSettings) -> dict[str, Any]:
    from scipy.stats import norm

    z = float(norm.ppf((1 + settings.confidence) / 2))
    known = _known(row)
    sensitivity = row["value"] if known else assumed
    found: dict[str, Any] = {
        "n_fresh": row["n_positive"],
        "n_patients": row["n_patients"],
        "sensitivity": row["value"] if known else None,
        "target_half_width": settings.target_half_width,
        "reason": None if known else ASSUMED,
    }
    if math.isnan(sensitivity):
        return found | {"reason": NOTHING_KNOWN}
    low, high = (row["ci_low"], row["ci_high"]) if known else (math.nan, math.nan)
    independent = sensitivity * (1 - sensitivity) / max(row["n_positive"], 1)
    spread = (high - low) / (2 * z)
    design_effect = 1.0
    if spread > 0 and independent > 0:
        design_effect = spread**2 / independent
    elif known:
        found["reason"] = NO_DESIGN_EFFECT
    # The widest interval is at 0.5: as near to it as the sensitivity may be.
    least_sure = sensitivity if math.isnan(low) else min(max(0.5, low), high)
    needed, most = (
        math.ceil(design_effect * wilson_n(p, settings.target_half_width, z)) for p in (sensitivity, least_sure)
    )
    return found | {
        "ci_low": None if math.isnan(low) else low,
        "ci_high": None if math.isnan(high) else high,
        "design_effect": design_effect,
        "n_fresh_needed": needed,
        "n_fresh_needed_at_most": most,
        "n_fresh_more": max(needed - row["n_positive"], 0),
    }


def _sensitivities(metrics: pl.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    rows = metrics.filter(
        model="ensemble", fold="mean", positive_class="fresh", metric="sensitivity", ci_method="patient_bootstrap"
    )
    return {(row["protocol"], row["institution"]): row for row in rows.iter_rows(named=True)}


def _known(row: dict[str, Any]) -> bool:
    return row["n_positive"] > 0 and not math.isnan(row["value"])
