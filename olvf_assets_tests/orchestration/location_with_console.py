"""A code location of small tables with our console, for the tests that look at what a run says."""

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    Definitions,
    Failure,
    MaterializeResult,
    Output,
    asset,
    in_process_executor,
)

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.orchestration import console
from olvf_assets.storage.places import data_folder


@asset
def whole() -> MaterializeResult[Any]:
    """Is written as a whole, and prints as libraries do."""
    print("a library prints")  # noqa: T201
    os.write(2, b"a program writes\n")
    warnings.warn("a library warns", stacklevel=1)
    return MaterializeResult(metadata={"dagster/row_count": 1234})


@asset(deps=[whole])
def by_institution(context: AssetExecutionContext) -> Iterator[Any]:
    """Is written as a whole and told by partition, as in the study view."""
    for done in (1, 2, 3, 4):
        context.log.info(f"institution_1: {done}/4 films")
    context.log.warning("look at this")
    context.log.warning("look at this")
    context.log.debug("nobody wants to see this")
    yield MaterializeResult(metadata={"dagster/row_count": 30})
    for key, count in (("a", 10), ("b", 20)):
        metadata = {"dagster/partition_row_count": count}
        yield AssetMaterialization("by_institution", partition=key, metadata=metadata)


@asset(deps=[whole])
def one_partition() -> Iterator[Any]:
    """Tells the rows of its partitions only."""
    for key, count in (("a", 1), ("b", 2)):
        yield AssetMaterialization("one_partition", partition=key, metadata={"dagster/partition_row_count": count})
    yield MaterializeResult()


@asset
def unchanged_by_metadata() -> MaterializeResult[Any]:
    """Says in its metadata that it was not made again."""
    return MaterializeResult(metadata={console.UNCHANGED: True, "dagster/row_count": 7})


@asset
def unchanged_by_observation(context: AssetExecutionContext) -> None:
    """Says so in an observation."""
    context.log_event(AssetObservation(AssetKey("unchanged_by_observation"), metadata={console.UNCHANGED: True}))


@asset
def unchanged_by_line(context: AssetExecutionContext) -> None:
    """Says so in a line."""
    context.log.info("unchanged: nothing that it is made of has changed")


@asset
def made_but_for_a_partition() -> Iterator[Any]:
    """Is made, and says of one of its partitions that it is as it was."""
    yield AssetMaterialization("made_but_for_a_partition", partition="a", metadata={console.UNCHANGED: True})
    yield Output(None, metadata={"dagster/row_count": 2})


@asset
def made_again() -> MaterializeResult[Any]:
    """Says that it was made again."""
    return MaterializeResult(metadata={console.UNCHANGED: False, "dagster/row_count": 0})


@asset(check_specs=[AssetCheckSpec("few", asset="odd"), AssetCheckSpec("all_there", asset="odd")])
def odd() -> Iterator[Any]:
    """Breaks a rule that stops nothing."""
    broken = AssetCheckResult(
        check_name="few", passed=False, severity=AssetCheckSeverity.WARN, metadata={"breaking_rows": 3}
    )
    yield MaterializeResult(check_results=[broken, AssetCheckResult(check_name="all_there", passed=True)])


class SheetError(OlvfError):
    """A sheet is bad."""


SheetError.__module__ = "olvf_assets.intake.sheets.sheets"  # named as errors of the package are


@asset
def bad_sheet() -> None:
    """Fails on purpose, with an error of the system below."""
    try:
        raise OSError("what the system said")
    except OSError as error:
        raise SheetError("readers.csv: row 2, column label: 'frehs' is not allowed") from error


@asset(deps=[bad_sheet])
def rests_on_it() -> None:
    """Cannot be made."""


@asset
def defect() -> None:
    """Fails by a defect of ours."""
    raise TypeError("nobody thought of this")


@asset
def broken_rule() -> None:
    """Fails by a rule that stops its table."""
    raise Failure("broken_rule was not written. 2 rows break one_label")


defs = Definitions(
    assets=[
        whole, by_institution, one_partition, unchanged_by_metadata, unchanged_by_observation, unchanged_by_line,
        made_but_for_a_partition, made_again, odd, bad_sheet, rests_on_it, defect, broken_rule,
    ],
    executor=in_process_executor,
    loggers={console.NAME: console.console_logger(Path(os.environ.get("OLVF_DATA", data_folder())))},
)  # fmt: skip
