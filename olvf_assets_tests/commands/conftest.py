"""A data folder of its own for each test of a command."""

from pathlib import Path

import pytest


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where the data folder will lie, for a study that no hospital was added to."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("OLVF_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OLVF_PROFILE", "ci")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("OLVF_PSEUDONYM_KEY", raising=False)
    return tmp_path / "data"
