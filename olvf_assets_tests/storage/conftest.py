"""What tests of stores share."""

from collections.abc import Iterator

import pytest

from olvf_assets.storage.object_store import PATIENCE_VARIABLE, opened
from olvf_assets_tests.storage.made_up_store import MadeUpStore


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[MadeUpStore]:
    """An object store in memory, of which nobody waits for an answer."""
    made_up = MadeUpStore()
    made_up.put_in_the_place_of_obstore(monkeypatch)
    monkeypatch.setenv(PATIENCE_VARIABLE, "0")
    monkeypatch.setenv("AWS_REGION", "us-east-1")  # so that what `opened` sets is taken back
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.delenv("OLVF_CACHE", raising=False)
    opened.cache_clear()
    yield made_up
    opened.cache_clear()
