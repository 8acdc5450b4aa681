"""Schemas of the tables that the reporting room makes.

What lives here: column names and types. What does not: how pictures are drawn.
"""

import polars as pl

from olvf_assets.foundation.vocabulary import PROTOCOLS

REPORT_FIGURES = pl.Schema(
    {
        "figure": pl.String,
        "title": pl.String,
        "caption": pl.String,
        "path": pl.String,  # relative to the folder of the report
        "sha256": pl.String,
    }
)

# difference: this run's value less the thesis's; verdict: inside, outside, not_comparable
THESIS_COMPARISON = pl.Schema(
    {
        "figure": pl.String,
        "group": pl.String,
        "place": pl.String,
        "thesis": pl.Float64,
        "thesis_low": pl.Float64,
        "thesis_high": pl.Float64,
        **{
            f"{name}_{protocol}": pl.String if name in ("verdict", "reason") else pl.Float64
            for protocol in PROTOCOLS
            for name in ("value", "low", "high", "difference", "verdict", "reason")
        },
    }
)

WAREHOUSE = pl.Schema({"table": pl.String, "n_rows": pl.Int64})
