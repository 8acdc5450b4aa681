"""Adding a hospital from a folder."""

import errno
import os
import stat
from pathlib import Path

import pytest
from dagster import DagsterInstance

from olvf_assets.commands import hospitals
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.intake.landing.landing import LandingError
from olvf_assets.intake.privacy.key_check import require_same_key
from olvf_assets.intake.privacy.pseudonyms import PseudonymKeyError, pseudonymiser
from olvf_assets.storage.artifacts import ArtifactStore


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "from_hospital"
    (folder / "films").mkdir(parents=True)
    (folder / "films" / "1.dcm").write_bytes(b"film")
    (folder / "institution.toml").write_text('name = "Hospital 3"\nrole = "external"\n')
    return folder


def test_a_folder_becomes_a_landing_folder_a_partition_and_has_a_key(data: Path, source: Path) -> None:
    said = hospitals.add_hospital("institution_3", source)
    assert (data / "landing" / "institution_3" / "films" / "1.dcm").read_bytes() == b"film"
    with DagsterInstance.get() as instance:
        assert "institution_3" in instance.get_dynamic_partitions("institution")
    key = data / "pseudonym.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert str(key) in said
    assert "dagster asset materialize" in said


def test_links_are_copied_as_what_they_lead_to_and_what_cannot_be_copied_is_counted(data: Path, source: Path) -> None:
    (source.parent / "store").mkdir()
    (source.parent / "store" / "two.dcm").write_bytes(b"2")
    (source / "films" / "linked").symlink_to(source.parent / "store")
    (source / "films" / "back").symlink_to(source)
    (source / "films" / "nowhere.dcm").symlink_to("gone.dcm")
    (source / "films" / ".hidden").write_bytes(b"3")
    os.mkfifo(source / "films" / "pipe.dcm")
    said = hospitals.add_hospital("institution_3", source)
    assert "Not copied: broken_link 1, link_to_above 1, no_file 1." in said
    target = data / "landing" / "institution_3"
    assert (target / "films" / "linked" / "two.dcm").read_bytes() == b"2"
    assert not [path.name for path in target.rglob("*") if path.is_symlink() or path.name == ".hidden"]


def test_a_second_hospital_keeps_the_key(data: Path, source: Path) -> None:
    hospitals.add_hospital("institution_3", source)
    key = (data / "pseudonym.key").read_text()
    hospitals.add_hospital("institution_4", source)
    assert (data / "pseudonym.key").read_text() == key


def test_a_name_that_is_taken_is_refused_and_nothing_changes(data: Path, source: Path) -> None:
    hospitals.add_hospital("institution_3", source)
    (source / "films" / "2.dcm").write_bytes(b"another")
    with pytest.raises(LandingError, match="institution_3 exists"):
        hospitals.add_hospital("institution_3", source)
    assert not (data / "landing" / "institution_3" / "films" / "2.dcm").exists()


@pytest.mark.parametrize("key", ["Hospital 3", "../up", ""])
def test_a_name_that_cannot_be_a_key_is_refused(data: Path, source: Path, key: str) -> None:
    with pytest.raises(LandingError, match="lower-case"):
        hospitals.add_hospital(key, source)


def test_a_folder_that_does_not_say_who_it_is_leaves_nothing_behind(data: Path, source: Path) -> None:
    (source / "institution.toml").unlink()
    with pytest.raises(OlvfError, match=r"institution\.toml"):
        hospitals.add_hospital("institution_3", source)
    assert [each for each in (data / "landing").iterdir() if not each.name.startswith(".")] == []
    assert list((data / "landing").rglob("*.dcm")) == []


@pytest.mark.parametrize("key", ["institution_1", "institution_2"])
def test_the_name_of_a_synthetic_hospital_is_refused_and_another_proposed(data: Path, source: Path, key: str) -> None:
    for _ in ("before the phantom wrote it", "after"):
        with pytest.raises(LandingError, match=f"{key} is a synthetic hospital .* NAME=institution_3"):
            hospitals.add_hospital(key, source)
        (data / "landing" / key).mkdir(parents=True, exist_ok=True)
        assert not (data / "pseudonym.key").exists()


def test_a_hospital_more_does_not_make_a_key_when_the_old_one_is_lost(
    data: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospitals.add_hospital("institution_3", source)
    names = pseudonymiser("institution_3", False, data)
    require_same_key(names, ArtifactStore(data / "lake"))
    key = (data / "pseudonym.key").read_text()
    (data / "pseudonym.key").unlink()
    with pytest.raises(PseudonymKeyError, match="institution_3 were taken in with is not there"):
        hospitals.add_hospital("institution_4", source)
    assert not (data / "pseudonym.key").exists()
    assert not (data / "landing" / "institution_4").exists()
    monkeypatch.setenv("OLVF_PSEUDONYM_KEY", "another secret of the hospital")
    with pytest.raises(PseudonymKeyError, match="not the one that institution_3"):
        hospitals.add_hospital("institution_4", source)
    monkeypatch.setenv("OLVF_PSEUDONYM_KEY", key)
    assert "institution_4 is registered" in hospitals.add_hospital("institution_4", source)


@pytest.mark.parametrize(
    ("profile", "command"),
    [
        ("demo", "--select '*'\n"),
        ("pretrained", "--select '*detections' && python -m olvf_assets draft-boxes hospital_3\n"),
    ],
)
def test_what_to_do_next_is_what_the_profile_is_for(
    data: Path, source: Path, monkeypatch: pytest.MonkeyPatch, profile: str, command: str
) -> None:
    monkeypatch.setenv("OLVF_PROFILE", profile)
    assert f". ./env.sh && dagster asset materialize {command}" in hospitals.add_hospital("hospital_3", source)


def test_films_are_linked_on_one_disk_and_copied_between_two_and_sheets_are_copied(
    data: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = source / "films" / "1.dcm"
    hospitals.add_hospital("institution_3", source)
    assert (data / "landing" / "institution_3" / "films" / "1.dcm").samefile(film)
    assert not (data / "landing" / "institution_3" / "institution.toml").samefile(source / "institution.toml")

    def on_another_disk(*paths: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", on_another_disk)
    hospitals.add_hospital("institution_4", source)
    copy = data / "landing" / "institution_4" / "films" / "1.dcm"
    assert not copy.samefile(film)
    assert copy.read_bytes() == b"film"
    assert copy.stat().st_mtime_ns == film.stat().st_mtime_ns


def test_a_copying_that_was_killed_goes_on_where_it_stopped(data: Path, source: Path) -> None:
    for name in ("2.dcm", "3.dcm"):
        (source / "films" / name).write_bytes(name.encode() * 10)
    partial = data / "landing" / ".institution_3.partial" / "institution_3" / "films"
    partial.mkdir(parents=True)
    (partial / "1.dcm").write_bytes(b"film")
    stamp = (source / "films" / "1.dcm").stat()
    os.utime(partial / "1.dcm", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    brought = (partial / "1.dcm").stat().st_ino
    (partial / "2.dcm").write_bytes(b"2.dcm")  # half of it
    (partial / "gone.dcm").write_bytes(b"the hospital took it back")
    lines: list[str] = []
    hospitals.add_hospital("institution_3", source, lines.append)
    films = data / "landing" / "institution_3" / "films"
    assert sorted(path.name for path in films.iterdir()) == ["1.dcm", "2.dcm", "3.dcm"]
    assert (films / "1.dcm").stat().st_ino == brought
    assert (films / "2.dcm").read_bytes() == b"2.dcm" * 10
    assert not partial.parent.parent.exists()
    assert lines[-1] == "4/4 files"
