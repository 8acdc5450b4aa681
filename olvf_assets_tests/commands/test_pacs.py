"""`python -m olvf_assets pacs <hospital> test|poll|status`, and that a site which is forgotten is not polled again."""

import sys
from pathlib import Path

import pytest

from olvf_assets.__main__ import main
from olvf_assets_tests.intake.pacs.peers import SITE, films_of, study_film, write_site
from olvf_assets_tests.intake.pacs.web_peer import WebPeer


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["olvf_assets", "pacs", SITE, *words])
    return main()


def test_a_site_is_tried_polled_and_asked_how_it_stands(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with WebPeer([study_film("one"), study_film("two", study=2)]) as peer:
        write_site(data, dicomweb=peer.settings())
        (data / "pseudonym.key").unlink()
        assert call(monkeypatch, "test") == 0
        assert "QIDO-RS is answered" in capsys.readouterr().out
        assert call(monkeypatch, "poll") == 0
        said = capsys.readouterr().out
        assert "A key for pseudonyms was made" in said
        assert "2/2 films" in said
        assert "2 films fetched, 2 held in all" in said
        assert call(monkeypatch, "status") == 0
        assert "held: 2 (in the landing folder, or taken in before)" in capsys.readouterr().out
    assert call(monkeypatch, "poll", "--no-wait") == 1
    assert "error: the image store of institution_7" in capsys.readouterr().err
    assert len(films_of(data)) == 2


def test_a_site_without_a_file_is_told_what_to_write(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for action in ("test", "poll", "status"):
        assert call(monkeypatch, action) == 1
        assert "pacs.toml is missing; docs/pacs.md shows one" in capsys.readouterr().err
