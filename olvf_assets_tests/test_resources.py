"""The study resource: where a run may write."""

from pathlib import Path

import pytest
from dagster import build_init_resource_context

from olvf_assets.resources import DataFolderError, StudyResource


def test_a_data_folder_that_cannot_be_written_to_is_named_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    study = StudyResource(profile_name="ci", data_folder=str(tmp_path / "data"))
    with pytest.raises(DataFolderError, match=r"data: the data folder cannot be written to \(.*set OLVF_DATA"):
        study.setup_for_execution(build_init_resource_context())


def test_a_data_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    study = StudyResource(profile_name="ci", data_folder=str(tmp_path / "new" / "data"))
    study.setup_for_execution(build_init_resource_context())
    assert list((tmp_path / "new" / "data").iterdir()) == []
