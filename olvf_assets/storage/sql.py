"""SQL over polars frames.

What lives here: where the SQL texts lie, and running one with DuckDB. What does not: what the texts are
(`orchestration/sql_models.py`), the warehouse (`reporting`).
"""

from pathlib import Path

import polars as pl

SQL_FOLDER = Path(__file__).resolve().parents[2] / "dbt_like_sql"


def run_query(query: str, frames: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the result of `query` over polars frames, each visible under its name."""
    import duckdb

    with duckdb.connect() as connection:
        for name, frame in frames.items():
            connection.register(name, frame.to_arrow())
        return connection.sql(query).pl()
