"""Ultralytics reads its environment when it is first imported: here, before any test of the room does so."""

import pytest

from olvf_assets.detection.ultralytics_home import prepare_ultralytics
from olvf_assets.storage.artifacts import ArtifactStore


@pytest.fixture(scope="session", autouse=True)
def _ultralytics_at_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    prepare_ultralytics(ArtifactStore(tmp_path_factory.mktemp("ultralytics")))
