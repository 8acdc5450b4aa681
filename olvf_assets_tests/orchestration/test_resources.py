"""The study's resources: where a run may write, and the lake that its tables go through."""

from pathlib import Path

import polars as pl
import pytest
from dagster import asset, build_init_resource_context, materialize

from olvf_assets.orchestration.resources import DataFolderError, LakeResource, StudyResource


def test_a_data_folder_that_cannot_be_written_to_is_named_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    study = StudyResource(profile_name="ci", data_folder=str(tmp_path / "data"))
    with pytest.raises(DataFolderError, match=r"data: the data folder cannot be written to \(.*set OLVF_DATA"):
        study.setup_for_execution(build_init_resource_context())


def test_a_data_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    study = StudyResource(profile_name="ci", data_folder=str(tmp_path / "new" / "data"))
    study.setup_for_execution(build_init_resource_context())
    assert list((tmp_path / "new" / "data").iterdir()) == []


def test_tables_go_through_the_lake_that_a_view_names(tmp_path: Path) -> None:
    @asset(io_manager_key="lake")
    def numbers() -> pl.DataFrame:
        return pl.DataFrame({"n": [1, 2]})

    @asset(io_manager_key="lake")
    def doubled(numbers: pl.DataFrame) -> pl.DataFrame:
        return numbers * 2

    for _ in range(2):  # the second time over what is there
        assert materialize(
            [numbers, doubled], resources={"lake": LakeResource(base_dir=str(tmp_path / "lake"))}
        ).success
    assert pl.read_delta(str(tmp_path / "lake" / "doubled.delta"))["n"].to_list() == [2, 4]
