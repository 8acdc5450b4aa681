"""Tables in the lake.

What lives here: the Delta Lake storage of every table, and what Dagster shows of a stored table. What does not:
pictures and long work (`artifacts.py`).
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from dagster import OutputContext, TableColumn, TableSchema
from dagster_polars import PolarsDeltaIOManager

from olvf_assets.foundation.artifacts import write_fault

if TYPE_CHECKING:
    from upath import UPath


class Lake(PolarsDeltaIOManager):
    """Delta tables, one per asset, partitioned by the asset's partition column.

    Shows the number of rows and the schema. The parent also shows statistics and sample rows of every table, which
    takes longer than storing them and fails on a table that has a column `statistic`.
    """

    def get_metadata(self, context: OutputContext, obj: pl.DataFrame | pl.LazyFrame | None) -> dict[str, Any]:
        """Return what Dagster's UI shows beside a materialisation."""
        if not isinstance(obj, pl.DataFrame):
            return {}
        columns = [TableColumn(name, str(dtype)) for name, dtype in obj.schema.items()]
        key = "dagster/partition_row_count" if context.has_partition_key else "dagster/row_count"
        return {key: obj.height, "dagster/column_schema": TableSchema(columns)}

    def write_df_to_path(self, context: OutputContext, df: pl.DataFrame, path: "UPath") -> None:
        """Write a table; readers see its old rows until all new ones are there.

        Raises:
            DiskFullError: no room is left on the lake's disk.
            WriteFaultError: the disk or its file system refuses.
        """
        try:
            super().write_df_to_path(context, df, path)
        except Exception as error:
            fault = write_fault(Path(str(path)), error)
            if fault is not None:
                raise fault from error
            raise
