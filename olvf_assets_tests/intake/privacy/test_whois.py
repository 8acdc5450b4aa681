"""Whoever holds the key finds patients and files behind the names of tables and messages."""

from datetime import date
from pathlib import Path

import pytest

from olvf_assets.commands.hospitals import who_is_asked_for
from olvf_assets.intake.privacy.key_check import require_same_key
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser, PseudonymKeyError
from olvf_assets.intake.privacy.safe_paths import path_names
from olvf_assets.intake.privacy.whois import NobodyFoundError, films_of, patient_ids, who_is
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets_tests.intake.samples import film, hospital, packed

REAL = Pseudonymiser("institution_1", b"a secret of the hospital")
TELLING = {
    "A-1/YAMADA_20190403.dcm": film("one"),
    "YAMADA.zip": packed({"A-2/IM0001": film("two", "A-2")}),
    "Suzuki letter.txt": b"not dicom",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return hospital(tmp_path, TELLING)


def test_a_patient_s_pseudonym_leads_to_the_patient_his_shift_and_his_films(folder: Path) -> None:
    said = who_is(REAL.patient("A-1"), {folder: REAL})
    days = (REAL.shifted("A-1", date(2019, 4, 3)) - date(2019, 4, 3)).days
    assert said[0] == f"institution_1: {REAL.patient('A-1')} is patient A-1, whose dates are moved by {days:+d} days"
    assert len(said) == 2
    assert f"is {folder}/films/A-1/YAMADA_20190403.dcm" in said[1]


@pytest.mark.parametrize("behind", ["", "-L3", "-L3-r2"])
def test_a_film_crop_or_sample_leads_to_its_file(folder: Path, behind: str) -> None:
    (line,) = who_is(REAL.film(film("two", "A-2").SOPInstanceUID) + behind, {folder: REAL})
    assert f"is {folder}/films/YAMADA.zip/A-2/IM0001" in line
    assert f"of patient A-2 ({REAL.patient('A-2')})" in line


def test_a_uid_of_ours_leads_to_the_film(folder: Path) -> None:
    (line,) = who_is(REAL.uid(film("one").SOPInstanceUID), {folder: REAL})
    assert "YAMADA_20190403.dcm" in line


def test_every_shown_path_and_every_hidden_word_leads_to_the_file(folder: Path) -> None:
    shown = path_names(folder, REAL).shown_by_real
    for real, name in shown.items():
        assert any(f"is {folder}/{real}" in line for line in who_is(name, {folder: REAL})), name
    hidden = shown["films/Suzuki letter.txt"].removeprefix("films/").split(" ")[0]
    assert who_is(hidden, {folder: REAL}) == [
        f"institution_1: {shown['films/Suzuki letter.txt']} is {folder}/films/Suzuki letter.txt"
    ]
    last = shown["films/A-1/YAMADA_20190403.dcm"].rsplit("/", 1)[1]
    assert "YAMADA_20190403" in who_is(last, {folder: REAL})[0]


def test_a_patient_of_the_sheets_alone_is_found_as_well(folder: Path) -> None:
    (folder / "films" / "YAMADA.zip").unlink()
    (line,) = who_is(REAL.patient("A-2"), {folder: REAL})
    assert "is patient A-2" in line
    assert patient_ids(folder) == {"A-1", "A-2"}
    assert films_of(folder, REAL.patient("Ａ-1 "), REAL) == ["films/A-1/YAMADA_20190403.dcm"]
    assert films_of(folder, REAL.patient("A-2"), REAL) == []


@pytest.mark.parametrize("asked", ["P0123456789abcdef", "F0123456789abcdef", "xaaaaaaaa", "2.25.1", "", "YAMADA"])
def test_what_nothing_is_called_is_said_so(folder: Path, asked: str) -> None:
    with pytest.raises(NobodyFoundError, match=r"institution_1.*another key"):
        who_is(asked, {folder: REAL})


def test_the_command_wants_the_key_that_the_tables_were_made_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hospital(tmp_path / "landing", TELLING).rename(tmp_path / "landing" / "city")
    monkeypatch.setenv("OLVF_DATA", str(tmp_path))
    monkeypatch.setenv("OLVF_PROFILE", "ci")
    monkeypatch.delenv("OLVF_PSEUDONYM_KEY", raising=False)
    names = Pseudonymiser("city", b"a secret of the hospital")
    with pytest.raises(PseudonymKeyError, match="no key"):
        who_is_asked_for(names.patient("A-1"))
    monkeypatch.setenv("OLVF_PSEUDONYM_KEY", "a secret of the hospital")
    require_same_key(names, ArtifactStore(tmp_path / "lake"))
    assert "is patient A-1" in who_is_asked_for(names.patient("A-1"))[0]
    monkeypatch.setenv("OLVF_PSEUDONYM_KEY", "another secret of the hospital")
    with pytest.raises(PseudonymKeyError, match="city"):
        who_is_asked_for(names.patient("A-1"))
    assert folder.is_dir()
