"""What Dagster's UI shows of a table's rows beside a materialisation.

What lives here: which metadata a table, and each of its partitions, is shown with. What does not: the text and the
pictures themselves (`preview.py`), when they are told (`steps.py`).
"""

from collections.abc import Mapping
from typing import Any

import polars as pl
from dagster import MetadataValue

from olvf_assets.foundation.tables import OWN_SECONDS, PARTITION_ROWS, UNCHANGED, Table
from olvf_assets.orchestration.parts import Part
from olvf_assets.orchestration.preview import Find, pictures_in_markdown, rows_in_markdown

ROWS, PICTURES = "preview", "pictures"


def shown_of_part(table: Table, frame: pl.DataFrame, key: str, part: Part, find: Find) -> dict[str, Any]:
    """Return what one of several partitions is shown with.

    Args:
        table: the table.
        frame: all of its rows.
        key: the partition's.
        part: what came of it.
        find: returns where the picture of a path lies.
    """
    own = frame.filter(pl.col(str(table.by)).cast(pl.String) == key)
    told = {UNCHANGED: True} if part.standing else {OWN_SECONDS: part.own_seconds}
    return {PARTITION_ROWS: own.height, **told, **part.notes, **_rows(own), **_pictures(table, own, find)}


def shown(table: Table, frame: pl.DataFrame, parts: Mapping[str, dict[str, Any]], find: Find) -> dict[str, Any]:
    """Return what a table, or the one partition that was asked for, is shown with.

    Args:
        table: the table.
        frame: its rows.
        parts: what its partitions are shown with, if there are several: its pictures are those of the first with some.
        find: returns where the picture of a path lies.
    """
    if not parts:
        return {**_rows(frame), **_pictures(table, frame, find)}
    pictures = [each[PICTURES] for each in parts.values() if PICTURES in each]
    return {**_rows(frame), **({PICTURES: pictures[0]} if pictures else {})}


def _rows(frame: pl.DataFrame) -> dict[str, Any]:
    return {ROWS: MetadataValue.md(rows_in_markdown(frame))} if frame.height else {}


def _pictures(table: Table, frame: pl.DataFrame, find: Find) -> dict[str, Any]:
    sheet = pictures_in_markdown(frame, table.pictures, find) if table.pictures and frame.height else ""
    return {PICTURES: MetadataValue.md(sheet)} if sheet else {}
