"""Tables that several writers write, and those that lie in an object store."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster import DagsterInstance, asset, materialize
from dagster_polars import PolarsDeltaIOManager
from deltalake.exceptions import CommitFailedError

from olvf_assets.storage import lake
from olvf_assets.storage.lake import Lake, TableContendedError


@asset(io_manager_key="lake")
def numbers() -> pl.DataFrame:
    return pl.DataFrame({"n": [1, 2, 3]})


def stored(folder: Path) -> pl.DataFrame:
    with DagsterInstance.ephemeral() as instance:
        materialize([numbers], resources={"lake": Lake(base_dir=str(folder))}, instance=instance)
    return pl.read_delta(str(folder / "numbers.delta"))


class Others:
    """Writers that are quicker so many times."""

    def __init__(self, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.tried, write = times, 0, PolarsDeltaIOManager.write_df_to_path

        def slower(manager: Any, *arguments: Any) -> None:
            self.tried += 1
            if self.left:
                self.left -= 1
                raise CommitFailedError("Transaction failed: a concurrent transaction made version 0")
            write(manager, *arguments)

        monkeypatch.setattr(PolarsDeltaIOManager, "write_df_to_path", slower)
        monkeypatch.setattr(lake, "FIRST_PAUSE_S", 0.0)


@pytest.mark.parametrize("times", [0, 1, lake.TRIES - 1])
def test_a_table_that_others_made_the_moment_before_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    others = Others(times, monkeypatch)
    assert stored(tmp_path)["n"].to_list() == [1, 2, 3]
    assert others.tried == times + 1


def test_who_is_always_too_late_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others = Others(100, monkeypatch)
    with pytest.raises(TableContendedError, match=r"table numbers was not written.*End the other run"):
        stored(tmp_path)
    assert others.tried == lake.TRIES


def test_another_fault_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fails(*arguments: Any) -> None:
        tried.append(1)
        raise ValueError("no")

    monkeypatch.setattr(PolarsDeltaIOManager, "write_df_to_path", fails)
    with pytest.raises(ValueError, match="no"):
        stored(tmp_path)
    assert tried == [1]
