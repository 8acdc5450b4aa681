"""Schemas of the tables that the reporting room makes.

What lives here: column names and types. What does not: how pictures are drawn.
"""

import polars as pl

REPORT_FIGURES = pl.Schema(
    {
        "figure": pl.String,
        "title": pl.String,
        "caption": pl.String,
        "path": pl.String,  # relative to the folder of the report
        "sha256": pl.String,
    }
)

WAREHOUSE = pl.Schema({"table": pl.String, "n_rows": pl.Int64})
