"""One run at a time in a lake in an object store, whichever machine it runs on."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from olvf_assets.storage import lake_lease, run_lock
from olvf_assets.storage.lake_lease import (
    LEASE,
    LOST_AFTER_S,
    LakeInUseError,
    LeaseLostError,
    hold_lake,
    refuse_if_lost,
)
from olvf_assets.storage.object_store import StoreUnreachableError
from olvf_assets_tests.storage.made_up_store import MadeUpStore, away

ADDRESS = "s3://bucket/study"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "here"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there"


@contextmanager
def killed_in(bucket: MadeUpStore, data: Path) -> Iterator[None]:
    """Hold the lake and die: nothing is given back."""
    with hold_lake(ADDRESS, data, "killed", wait=False):
        left = bucket.objects[LEASE]
    bucket.objects[LEASE] = left
    yield


def test_a_lake_is_held_by_one_and_given_back(bucket: MadeUpStore, here: Path, there: Path) -> None:
    for first, second in ((here, there), (there, here)):
        with hold_lake(ADDRESS, first, "run 1", wait=False):
            refuse_if_lost(f"{ADDRESS}/tables/films.delta")
            with pytest.raises(LakeInUseError, match=r"s3://bucket/study is in use by run 1 \(.*OLVF_WAIT=0"):
                hold_lake(ADDRESS, second, "run 2", wait=False).__enter__()
        assert LEASE not in bucket.objects


def test_a_lake_in_the_data_folder_asks_no_store(bucket: MadeUpStore, here: Path) -> None:
    with hold_lake("", here, "run", wait=False):
        refuse_if_lost(str(here / "lake" / "tables" / "films.delta"))
    assert bucket.asked == []
    assert not here.exists()


def test_whoever_waits_is_told_for_whom_and_gets_it(
    bucket: MadeUpStore, here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lock, "POLL_S", 0.01)
    told: list[str] = []
    first = hold_lake(ADDRESS, here, "run 1", wait=False)
    first.__enter__()

    def hear(line: str) -> None:
        told.append(line)
        first.__exit__(None, None, None)

    with hold_lake(ADDRESS, there, "run 2", wait=True, report=hear):
        assert json.loads(bucket.objects[LEASE])["run_id"] == "run 2"
    assert len(told) == 1
    assert "run 1" in told[0]


def test_a_killed_runs_lease_is_its_own_data_folders_at_once(bucket: MadeUpStore, here: Path, there: Path) -> None:
    with killed_in(bucket, here):
        with pytest.raises(LakeInUseError, match="killed"):
            hold_lake(ADDRESS, there, "run 2", wait=False).__enter__()
        with hold_lake(ADDRESS, here, "run 3", wait=False):
            pass
    assert LEASE not in bucket.objects


@pytest.mark.parametrize(("silent_s", "may"), [(0, False), (LOST_AFTER_S - 1, False), (LOST_AFTER_S + 1, True)])
def test_a_silent_lease_runs_out_by_the_stores_clock(
    bucket: MadeUpStore, here: Path, there: Path, silent_s: float, may: bool
) -> None:
    with killed_in(bucket, here):
        bucket.now += timedelta(seconds=silent_s)
        try:
            with hold_lake(ADDRESS, there, "run 2", wait=False):
                taken = True
        except LakeInUseError:
            taken = False
        assert taken == may


def test_whoever_lost_the_lease_writes_no_table(
    bucket: MadeUpStore, here: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold_lake(ADDRESS, here, "run 1", wait=False):
        monkeypatch.setattr(lake_lease, "LOST_AFTER_S", -1.0)  # whatever was written is long ago
        other = hold_lake(ADDRESS, there, "run 2", wait=False)
        lease = lake_lease._held[ADDRESS]
        other.__enter__()
        others, lake_lease._held[ADDRESS] = lake_lease._held[ADDRESS], lease  # that of the other machine is not here
        with pytest.raises(LeaseLostError, match="another one works there"):
            refuse_if_lost(f"{ADDRESS}/tables/films.delta")
        refuse_if_lost("s3://bucket/another")
        lake_lease._held[ADDRESS] = others
        other.__exit__(None, None, None)
        lake_lease._held[ADDRESS] = lease
    assert LEASE not in bucket.objects


def test_the_end_of_one_that_lost_it_leaves_the_others(bucket: MadeUpStore, here: Path) -> None:
    with hold_lake(ADDRESS, here, "run 1", wait=False):
        bucket.objects[LEASE] = json.dumps({"nonce": "another's"}).encode()
    assert json.loads(bucket.objects[LEASE]) == {"nonce": "another's"}


def test_a_beat_whose_answer_went_astray_does_not_lose_it(bucket: MadeUpStore, here: Path) -> None:
    with hold_lake(ADDRESS, here, "run 1", wait=False):
        lease = lake_lease._held[ADDRESS]
        written = json.loads(bucket.objects[LEASE])
        bucket.objects[LEASE] = json.dumps(written | {"beats": 7}).encode()
        lease.beat()
        assert not lease.is_lost()
        lease.beat()
        assert json.loads(bucket.objects[LEASE])["beats"] > 0
    assert LEASE not in bucket.objects


def test_it_is_written_anew_while_it_is_held_also_after_an_absence(
    bucket: MadeUpStore, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_lease, "BEAT_S", 0.01)
    with hold_lake(ADDRESS, here, "run 1", wait=False):
        bucket.faults = [away()]
        pause = threading.Event()
        for _ in range(1000):
            if json.loads(bucket.objects[LEASE])["beats"] >= 5:
                break
            pause.wait(0.01)
        assert json.loads(bucket.objects[LEASE])["beats"] >= 5
        assert bucket.faults == []


def test_a_store_that_is_away_is_named_before_a_run_begins(bucket: MadeUpStore, here: Path) -> None:
    bucket.faults = [away()] * 3
    with pytest.raises(StoreUnreachableError):
        hold_lake(ADDRESS, here, "run", wait=True).__enter__()
