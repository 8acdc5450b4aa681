"""`python -m olvf_assets results-back`: off unless the hospital says so, and what is said."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from olvf_assets.__main__ import main
from olvf_assets.reporting.results_back.hospital import unsent
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.run_lock import hold_data_folder
from olvf_assets_tests.reporting.results_back.answered import NAMES, Answered

LAKE_NAMES = {"crops": "detected_crops", "predictions": "ensemble_predictions", "maps": "crop_attention"}


@pytest.fixture
def site(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the data folder of a study with a real external hospital."""
    monkeypatch.setenv("OLVF_PSEUDONYM_KEY", NAMES.key.decode())
    answered = Answered(data, place="landing/city")
    (answered.landing / "institution.toml").write_text('name = "City"\nrole = "external"\n')
    for name, frame in answered.tables.items():
        frame.write_delta(str(data / "lake" / "tables" / f"{LAKE_NAMES.get(name, name)}.delta"))
    return data


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["olvf_assets", "results-back", *words])
    return main()


def switch_on(site: Path, value: str = "true") -> None:
    with (site / "landing" / "city" / "institution.toml").open("a") as file:
        file.write(f"results_back = {value}\n")


def test_nothing_goes_back_unless_the_hospital_says_so(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "city") == 1
    assert "does not say results_back = true" in capsys.readouterr().err
    switch_on(site, "false")
    assert run(monkeypatch, "city") == 1
    assert run(monkeypatch, "city", "--dry-run") == 0
    assert "3 films: new 3 (nothing was written)" in capsys.readouterr().out
    assert not (site / "results").exists()
    assert not (site / "lake" / "results_back").exists()


def test_what_goes_back_lies_beside_the_lake_and_waits_to_be_sent(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    switch_on(site)
    assert run(monkeypatch, "city") == 0
    said = capsys.readouterr()
    assert "3 films: new 3; files in" in said.out
    assert "4 files are to be sent" in said.out
    assert "Yamada" not in said.out + said.err
    assert len(unsent(site, ArtifactStore(site / "lake"), "city")) == 4
    assert run(monkeypatch, "city") == 0
    assert "as before 3" in capsys.readouterr().out


def test_the_switch_is_no_text(site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    switch_on(site, '"true"')
    assert run(monkeypatch, "city") == 1
    assert "results_back must be true or false, without quotes" in capsys.readouterr().err


def test_a_film_that_was_taken_away_is_named_by_its_pseudonym_and_the_others_go_on(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    switch_on(site)
    (site / "landing" / "city" / "films" / "two.dcm").unlink()
    assert run(monkeypatch, "city") == 1
    said = capsys.readouterr().out
    assert "new 2, refused 1" in said
    assert "its file cannot be read; take the folder in again" in said
    assert "two.dcm" not in said


def test_another_key_than_the_hospitals_is_refused(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    switch_on(site)
    (site / "lake" / "key_checks").mkdir()
    (site / "lake" / "key_checks" / "city.check").write_text(NAMES.key_check())
    monkeypatch.setenv("OLVF_PSEUDONYM_KEY", "another key, long enough as well")
    assert run(monkeypatch, "city") == 1
    assert "this key is not the one" in capsys.readouterr().err


def test_a_run_at_work_is_not_read_in_the_middle(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    switch_on(site)
    monkeypatch.setenv("OLVF_WAIT", "0")
    with hold_data_folder(site, "a run", wait=False):
        assert run(monkeypatch, "city") == 1
    assert "is in use by a run" in capsys.readouterr().err


def test_what_the_store_takes_is_noted_and_what_it_does_not_is_said(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A real store is sent to in `servers/test_results_in_orthanc.py`."""
    given: list[Path] = []

    def takes_no_pictures(
        data: Path, institution: str, files: Sequence[Path], report: object
    ) -> dict[Path, str | None]:
        given[:] = files
        return {file: "takes no pictures" if file.name.endswith(".sc.dcm") else None for file in files}

    monkeypatch.setattr("olvf_assets.intake.pacs.site.send_to_store", takes_no_pictures)
    switch_on(site)
    assert run(monkeypatch, "city", "--send") == 1
    said = capsys.readouterr().out
    assert "3 of 4 files are in the image store of city" in said
    assert "takes no pictures" in said
    assert len(given) == 4
    assert run(monkeypatch, "city", "--send") == 1
    assert [path.name.split(".")[2] for path in given] == ["sc", "sr"]  # of the film that is not there whole


def test_sending_needs_a_store_and_a_switch(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "city", "--send") == 1
    assert "does not say results_back = true" in capsys.readouterr().err
    switch_on(site)
    assert run(monkeypatch, "city", "--send", "--dry-run") == 0
    assert run(monkeypatch, "city", "--send") == 1
    assert "pacs.toml" in capsys.readouterr().err
