"""The study's resources: where a run may write, and the lake that its tables go through."""

import shutil
from pathlib import Path
from typing import Literal

import polars as pl
import pytest
from dagster import asset, build_init_resource_context, materialize

from olvf_assets.orchestration import resources
from olvf_assets.orchestration.resources import AbsentTableError, DataFolderError, LakeResource, StudyResource


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


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the tables that are read from the disk, as they are."""
    read, names = pl.read_delta, list[str]()

    def counting(source: str) -> pl.DataFrame:
        names.append(Path(source).stem)
        return read(source)

    monkeypatch.setattr(resources.pl, "read_delta", counting)
    return names


def write(data: Path, rows: list[int], mode: Literal["overwrite", "append"] = "overwrite") -> None:
    (data / "lake" / "tables").mkdir(parents=True, exist_ok=True)
    pl.DataFrame({"n": rows}).write_delta(data / "lake" / "tables" / "numbers.delta", mode=mode)


def test_each_version_of_a_table_is_read_once(tmp_path: Path, reads: list[str]) -> None:
    study = StudyResource(profile_name="ci", data_folder=str(tmp_path))
    assert study.stored("numbers") is None
    write(tmp_path, [1])
    digests = [study.stored_digest("numbers") for _ in range(2)]
    assert [study.table("numbers")["n"].to_list() for _ in range(3)] == [[1]] * 3
    assert reads == ["numbers"]
    write(tmp_path, [2], "append")
    assert sorted(study.table("numbers")["n"]) == [1, 2]
    write(tmp_path, [3])
    assert study.table("numbers")["n"].to_list() == [3]
    assert len({*digests, study.stored_digest("numbers")}) == 2
    assert reads == ["numbers"] * 3


def test_a_table_that_took_the_place_of_another_is_read(tmp_path: Path, reads: list[str]) -> None:
    study = StudyResource(profile_name="ci", data_folder=str(tmp_path))
    for rows in ([1], [2]):
        shutil.rmtree(tmp_path / "lake", ignore_errors=True)
        write(tmp_path, rows)
        assert study.table("numbers")["n"].to_list() == rows
    assert len(reads) == 2


def test_what_a_reader_does_with_its_rows_is_not_seen_by_the_next(tmp_path: Path) -> None:
    study = StudyResource(profile_name="ci", data_folder=str(tmp_path))
    write(tmp_path, [1])
    study.table("numbers").drop_in_place("n")
    assert study.table("numbers").columns == ["n"]


def test_large_tables_are_not_kept_in_memory(tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "MOST_KEPT_BYTES", 100)
    study = StudyResource(profile_name="ci", data_folder=str(tmp_path))
    write(tmp_path, list(range(100)))
    for _ in range(2):
        assert study.table("numbers").height == 100
    assert len(reads) == 2


def test_a_table_that_is_being_written_for_the_first_time_is_not_there_yet(tmp_path: Path) -> None:
    study = StudyResource(profile_name="ci", data_folder=str(tmp_path))
    (tmp_path / "lake" / "tables" / "numbers.delta" / "_delta_log").mkdir(parents=True)
    assert not study.has_table("numbers")
    assert study.stored("numbers") is None
    assert study.stored_digest("numbers") == "absent"
    with pytest.raises(AbsentTableError, match="numbers is not in the lake"):
        study.table("numbers")
