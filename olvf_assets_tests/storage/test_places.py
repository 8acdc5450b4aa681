"""Where the lake lies, and what is refused where it lies in an object store."""

from pathlib import Path

import pytest

from olvf_assets.commands.backing_up.restore import restore
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.storage.places import (
    LAKE_VARIABLE,
    LakeElsewhereError,
    LakePlaceError,
    lake_address,
    require_lake_of,
    store_of,
)

ADDRESS = "s3://bucket/study"


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("", ""),
        ("  ", ""),
        (ADDRESS, ADDRESS),
        (f"{ADDRESS}/", ADDRESS),
        (f" {ADDRESS} ", ADDRESS),
        ("s3://bucket", "s3://bucket"),
    ],
)
def test_the_lake_is_where_the_variable_says(monkeypatch: pytest.MonkeyPatch, said: str, address: str) -> None:
    monkeypatch.setenv(LAKE_VARIABLE, said)
    assert lake_address() == address


@pytest.mark.parametrize(
    "said", ["/srv/lake", "bucket/study", "s3:/bucket", "s3://", "s3:///x", "gs://bucket", "S3://b"]
)
def test_what_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv(LAKE_VARIABLE, said)
    with pytest.raises(LakePlaceError, match=r"write s3://bucket/prefix, or leave it unset"):
        lake_address()


def test_without_an_address_the_lake_is_in_the_data_folder(tmp_path: Path) -> None:
    assert store_of(tmp_path, "").root == tmp_path / "lake"
    assert store_of(tmp_path, "").tables.base == str(tmp_path / "lake" / "tables")
    assert store_of(tmp_path, ADDRESS).root.parent == tmp_path / "lake-cache"
    assert store_of(tmp_path, ADDRESS).tables.base == f"{ADDRESS}/tables"


def test_a_data_folder_belongs_to_one_lake(tmp_path: Path) -> None:
    require_lake_of(tmp_path, "")
    assert list(tmp_path.iterdir()) == []  # a laptop's stays as it is
    require_lake_of(tmp_path, ADDRESS)
    require_lake_of(tmp_path, ADDRESS)
    for other in ("", "s3://bucket/another"):
        with pytest.raises(LakePlaceError, match=r"lie in s3://bucket/study; set OLVF_LAKE=s3://bucket/study"):
            require_lake_of(tmp_path, other)
        with pytest.raises(LakePlaceError):
            StudyResource(profile_name="ci", data_folder=str(tmp_path), lake=other).setup_for_execution(None)  # type: ignore[arg-type]


def test_a_data_folder_with_a_lake_of_its_own_gets_no_other(tmp_path: Path) -> None:
    (tmp_path / "lake" / "tables" / "films.delta").mkdir(parents=True)
    require_lake_of(tmp_path, "")
    with pytest.raises(LakePlaceError, match=r"holds tables.*copy what is in it there.*move it away"):
        require_lake_of(tmp_path, ADDRESS)


def test_what_works_on_a_folder_only_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = StudyResource(profile_name="ci", data_folder=str(tmp_path / "data"), lake=ADDRESS)
    monkeypatch.setenv(LAKE_VARIABLE, ADDRESS)
    refused = {
        "restore": lambda: restore(study, tmp_path, tmp_path / "kept", None, with_forgotten=False, report=print),
    }
    for command, call in refused.items():
        with pytest.raises(LakeElsewhereError, match=rf"^{command} does not work on a lake in an object store \(s3://"):
            call()
    assert list(tmp_path.iterdir()) == []
