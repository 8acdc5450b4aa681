"""One key for what lies in the lake, and films of a real hospital never under the phantom's public key."""

import json
from pathlib import Path
from typing import Any

import pytest

from olvf_assets.foundation.errors import MachineError
from olvf_assets.foundation.tables import TableRun
from olvf_assets.intake import assets
from olvf_assets.intake.landing.landing import LANDING_MANIFEST
from olvf_assets.intake.privacy.key_check import check_file, require_same_key
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser, PseudonymKeyError
from olvf_assets.phantom.hospital import ForeignFolderError
from olvf_assets.profiles import load_profile
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets_tests.intake.samples import film, hospital

KEY = b"a secret of the hospital"


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "lake")


def test_the_same_key_is_taken_again_and_another_is_refused_with_the_way_out(store: ArtifactStore) -> None:
    require_same_key(Pseudonymiser("city", KEY), store)
    require_same_key(Pseudonymiser("city", KEY), store)
    with pytest.raises(PseudonymKeyError, match=r"that city were taken in .*Restore the key .* forget city") as caught:
        require_same_key(Pseudonymiser("city", KEY[::-1]), store)
    assert isinstance(caught.value, MachineError)


def test_a_new_hospital_may_not_bring_another_key_either(store: ArtifactStore) -> None:
    require_same_key(Pseudonymiser("city", KEY), store)
    with pytest.raises(PseudonymKeyError, match="city"):
        require_same_key(Pseudonymiser("town", KEY[::-1]), store)
    assert not store.path(check_file("town")).exists()
    require_same_key(Pseudonymiser("town", KEY), store)
    assert store.path(check_file("town")).read_text() == store.path(check_file("city")).read_text()


def test_the_check_value_is_no_part_of_a_key_nor_of_a_pseudonym(store: ArtifactStore) -> None:
    names = Pseudonymiser("city", KEY)
    require_same_key(names, store)
    (kept,) = [path for path in store.root.rglob("*") if path.is_file()]
    assert KEY not in kept.read_bytes()
    assert kept.read_text().strip() == names.key_check() != names.patient("which key is this")


def test_an_emptied_check_is_written_anew_and_synthetic_hospitals_have_none(store: ArtifactStore) -> None:
    store.path(check_file("city")).parent.mkdir(parents=True)
    store.path(check_file("city")).write_text("")
    require_same_key(Pseudonymiser("city", KEY), store)
    assert store.path(check_file("city")).read_text().strip() == Pseudonymiser("city", KEY).key_check()
    require_same_key(Pseudonymiser("institution_1", KEY[::-1], synthetic=True), store)
    assert not store.path(check_file("institution_1")).exists()


def landed(root: Path, institution: str, films: dict[str, Any]) -> Path:
    return hospital(root / "landing", films).rename(root / "landing" / institution)


def run_of(tmp_path: Path, institution: str) -> TableRun:
    return TableRun(load_profile("ci"), ArtifactStore(tmp_path / "lake"), tmp_path, institution)


def test_every_table_refuses_a_key_that_changed_between_two_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    landed(tmp_path, "city", {"one.dcm": film("one")})
    monkeypatch.setenv("OLVF_PSEUDONYM_KEY", "the key of the first run")
    run = run_of(tmp_path, "city")
    listed = assets.landing_manifest.make(run)
    assets.subjects.make(run, landing_manifest=listed)
    monkeypatch.setenv("OLVF_PSEUDONYM_KEY", "another key, newly made")
    with pytest.raises(PseudonymKeyError, match="city"):
        assets.landing_manifest.make(run)
    with pytest.raises(PseudonymKeyError, match="city"):
        assets.subjects.make(run, landing_manifest=listed)


def test_a_real_folder_under_a_synthetic_name_is_refused_by_every_table(tmp_path: Path) -> None:
    folder = landed(tmp_path, "institution_2", {"YAMADA.dcm": film("one")})
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    run = run_of(tmp_path, "institution_2")
    for table in (assets.landing_manifest, assets.subjects, assets.dicom_headers):
        frames = dict.fromkeys(table.reads, LANDING_MANIFEST.to_frame())
        if "subjects" in frames:
            frames["subjects"] = {"patient_id": []}
        with pytest.raises(ForeignFolderError, match="institution_2") as caught:
            table.make(run, **frames)
        assert "YAMADA" not in str(caught.value)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["films/YAMADA.dcm", "films/S-1/IM0001", "subjects.xlsx", "films/link"])
def test_a_real_film_among_the_phantom_s_is_refused(tmp_path: Path, name: str) -> None:
    folder = landed(tmp_path, "institution_2", {"S-1/1.dcm": film("one")})
    written = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    (folder / ".phantom.json").write_text(json.dumps({"files": written}))
    run = run_of(tmp_path, "institution_2")
    assert assets.names_of(run).synthetic
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    if name == "films/link":
        (folder / name).symlink_to(tmp_path)
    else:
        (folder / name).write_bytes(b"a hospital's")
    with pytest.raises(ForeignFolderError, match="holds 1 files that the phantom did not write"):
        assets.names_of(run)
    assert (folder / name).exists()
