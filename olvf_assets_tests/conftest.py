"""What several folders of tests share, made once."""

import shutil
from collections.abc import Iterator

import pytest

from olvf_assets_tests.planted_intake import Intake


@pytest.fixture(scope="session")
def intake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Intake]:
    """Return what intake of a planted hospital left; look at it, change a copy."""
    root = tmp_path_factory.mktemp("planted")
    yield Intake(root)
    shutil.rmtree(root)
