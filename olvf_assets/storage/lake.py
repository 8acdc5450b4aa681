"""Tables in the lake.

What lives here: the Delta Lake storage of every table, and what Dagster shows of a stored table. What does not:
pictures and long work (`artifacts.py`).
"""

import random
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from dagster import InputContext, OutputContext, TableColumn, TableSchema
from dagster_polars import PolarsDeltaIOManager
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from olvf_assets.foundation.errors import MachineError, OlvfError
from olvf_assets.foundation.tables import COLUMN_SCHEMA, PARTITION_ROWS, ROWS, FrameToStore
from olvf_assets.foundation.write_faults import write_faults_named
from olvf_assets.storage.crash import sync_table
from olvf_assets.storage.lake_lease import refuse_if_lost
from olvf_assets.storage.object_store import patiently
from olvf_assets.storage.places import REMOTE

if TYPE_CHECKING:
    from upath import UPath

TRIES, FIRST_PAUSE_S = 8, 0.05
PLAIN_KEY = re.compile(r"[a-z0-9_]+")


class PartitionKeyError(OlvfError):
    """A partition's key is more than a name, so that it must not become part of a predicate."""


class TableContendedError(MachineError):
    """Several writers at one table hinder each other."""


class Lake(PolarsDeltaIOManager):
    """Delta tables, one per asset, partitioned by the asset's partition column.

    Shows the number of rows and the schema. The parent also shows statistics and sample rows of every table, which
    takes longer than storing them and fails on a table that has a column `statistic`.
    """

    def handle_output(self, context: OutputContext, obj: pl.DataFrame) -> None:
        """Store a table, unless it lies there already, and tell Dagster of its partitions.

        They are told of before the table is: what Dagster knows of a table is the last that it was told.
        """
        if isinstance(obj, FrameToStore) and obj.lies_there:
            context.add_output_metadata(self.get_metadata(context, obj))
        else:
            super().handle_output(context, obj)
        if isinstance(obj, FrameToStore):
            for event in obj.told_of_parts():
                context.log_event(event)

    def write_df_to_path(self, context: OutputContext, df: pl.DataFrame, path: "UPath") -> None:
        """Write a table or one partition of it; it is on the disk, not only in memory, when this returns.

        Readers see the old rows until all new ones are there, and keep them if this fails. Rows take the place of
        others, so that writing is tried again where somebody else made the table's next version, or the table itself,
        the moment before.

        Raises:
            DiskFullError: no room is left on the lake's disk.
            WriteFaultError: the disk or its file system refuses.
            ObjectStoreError: the object store does not answer, or refuses.
            LeaseLostError: another run works in the lake now.
            TableContendedError: others wrote the table again and again.
        """
        address = str(path)

        def write() -> None:
            if context.has_asset_partitions:
                _partition_anew(address, str((context.definition_metadata or {})["partition_by"]))
            super(Lake, self).write_df_to_path(context, df, path)

        if REMOTE in address:
            refuse_if_lost(address)
            patiently(lambda: _against_others(write, path.stem), self.base_dir or address)
            return
        with write_faults_named(Path(address)):
            _against_others(write, path.stem)
            sync_table(Path(address))

    def make_directory(self, path: "UPath") -> None:
        """Make the folder that a table's own is made in; an object store knows none."""
        if REMOTE not in str(path):
            super().make_directory(path)

    def load_from_path(self, context: InputContext, path: "UPath") -> Any:
        """Return the rows of a table.

        Raises:
            ObjectStoreError: the object store does not answer, or refuses.
        """
        load = super().load_from_path
        return patiently(lambda: load(context, path), str(path)) if REMOTE in str(path) else load(context, path)

    @staticmethod
    def get_predicate(context: InputContext | OutputContext) -> str | None:
        """Return the predicate of the partitions that a run replaces.

        Raises:
            PartitionKeyError: a key holds anything that a predicate could take for more than a name.
        """
        if context.has_asset_partitions and not all(PLAIN_KEY.fullmatch(key) for key in context.asset_partition_keys):
            raise PartitionKeyError(
                "a partition's key may hold lower-case letters, digits and _ only; delete the partition in the UI"
            )
        predicate: str | None = PolarsDeltaIOManager.get_predicate(context)
        return predicate

    def get_metadata(self, context: OutputContext, obj: pl.DataFrame | pl.LazyFrame | None) -> dict[str, Any]:
        """Return what Dagster's UI shows beside a materialisation."""
        if not isinstance(obj, pl.DataFrame):
            return {}
        promised: TableSchema | None = (context.definition_metadata or {}).get(COLUMN_SCHEMA)
        texts = {each.name: each.description for each in promised.columns} if promised else {}
        columns = [TableColumn(name, str(dtype), texts.get(name)) for name, dtype in obj.schema.items()]
        return {
            PARTITION_ROWS if context.has_asset_partitions else ROWS: obj.height,
            COLUMN_SCHEMA: TableSchema(columns),
        }


def _against_others(write: Callable[[], None], table: str) -> None:
    """Write a table, again if another writer was quicker.

    Raises:
        TableContendedError: others were, each time.
    """
    for attempt in range(TRIES):
        try:
            return write()
        except CommitFailedError:
            threading.Event().wait(random.uniform(0, FIRST_PAUSE_S * 2**attempt))
    raise TableContendedError(
        f"table {table} was not written: another writer was quicker {TRIES} times; it is as that one left it. End the "
        "other run, or start this one again after it"
    )


def _partition_anew(path: str, by: str) -> None:
    """Partition a table by another column than an older release did, so that one partition of it can be replaced."""
    if DeltaTable.is_deltatable(path) and DeltaTable(path).metadata().partition_columns != [by]:
        options = {"schema_mode": "overwrite", "partition_by": [by]}
        pl.read_delta(path).write_delta(path, mode="overwrite", delta_write_options=options)
