"""What is asked of an object store before it is trusted, and what is said of one that fails."""

import traceback

import pytest

from olvf_assets.foundation.errors import MachineError
from olvf_assets.storage.object_store import (
    NoClientError,
    StoreRefusesError,
    StoreUnreachableError,
    UnsafeStoreError,
    allow_http,
    bucket_and_prefix,
    opened,
    patiently,
    try_out,
)
from olvf_assets_tests.storage.made_up_store import (
    AlreadyExistsError,
    BaseError,
    MadeUpStore,
    PermissionDeniedError,
    away,
    refusing,
)

ADDRESS = "s3://bucket/study"


def test_a_store_that_keeps_conditions_is_taken_and_nothing_stays_there(bucket: MadeUpStore) -> None:
    try_out(ADDRESS)
    assert bucket.objects == {}
    assert [verb for verb, _ in bucket.asked] == ["put", "put", "put", "delete"]


@pytest.mark.parametrize("broken", [{"create"}, {"update"}, {"create", "update"}])
def test_a_store_that_takes_the_second_put_is_refused(bucket: MadeUpStore, broken: set[str]) -> None:
    bucket.broken = broken
    with pytest.raises(UnsafeStoreError, match=r"s3://bucket/study, took a second write.*leave OLVF_LAKE unset"):
        try_out(ADDRESS)
    assert bucket.objects == {}


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (refusing("InvalidAccessKeyId"), r"refuses \(InvalidAccessKeyId\).*AWS_ACCESS_KEY_ID"),
        (refusing("SignatureDoesNotMatch", PermissionDeniedError), r"refuses \(SignatureDoesNotMatch\)"),
        (refusing("NoSuchBucket"), r"refuses \(NoSuchBucket\).*bucket's name"),
        (PermissionDeniedError("no"), r"refuses \(no access\)"),
        (FileNotFoundError("Error performing PUT http://x: 404: <Code>NoSuchBucket</Code>"), r"\(NoSuchBucket\)"),
        (OSError("Generic S3 error: <Code>AccessDenied</Code>"), r"refuses \(AccessDenied\)"),
    ],
)
def test_a_refusal_is_told_with_the_stores_code_and_no_key(bucket: MadeUpStore, fault: Exception, says: str) -> None:
    bucket.faults = [fault]
    with pytest.raises(StoreRefusesError, match=says) as refused:
        try_out(ADDRESS)
    assert isinstance(refused.value, MachineError)
    assert "THE-KEY-OF-SOMEBODY" not in "".join(traceback.format_exception(refused.value))


def test_a_store_that_does_not_answer_is_named_with_the_way_out(
    bucket: MadeUpStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("olvf_assets.storage.object_store.AT_START_S", 0)
    bucket.faults = [away()]
    with pytest.raises(
        StoreUnreachableError, match=r"does not answer.*AWS_ENDPOINT_URL.*finished work is kept"
    ) as found:
        try_out(ADDRESS)
    assert isinstance(found.value, MachineError)


@pytest.mark.parametrize("times", [0, 1, 4])
def test_an_absence_is_waited_out(bucket: MadeUpStore, times: int) -> None:
    faults = [away() for _ in range(times)]

    def act() -> str:
        if faults:
            raise faults.pop()
        return "done"

    assert patiently(act, ADDRESS, patience_s=60) == "done"


def test_a_refusal_is_not_waited_for(bucket: MadeUpStore) -> None:
    asked = []

    def act() -> None:
        asked.append(1)
        raise refusing("AccessDenied")

    with pytest.raises(StoreRefusesError):
        patiently(act, ADDRESS, patience_s=60)
    assert asked == [1]


@pytest.mark.parametrize(
    "error", [AlreadyExistsError("x"), FileNotFoundError("x"), ValueError("x"), KeyError("x"), OSError(28, "No space")]
)
def test_what_is_no_fault_of_the_store_comes_through(bucket: MadeUpStore, error: Exception) -> None:
    def act() -> None:
        raise error

    with pytest.raises(type(error)) as found:
        patiently(act, ADDRESS)
    assert found.value is error


def test_an_unknown_word_of_a_store_may_pass(bucket: MadeUpStore) -> None:
    with pytest.raises(StoreUnreachableError, match=r"\(SlowDown\)"):
        patiently(lambda: (_ for _ in ()).throw(BaseError("503 <Code>SlowDown</Code>")), ADDRESS)


def test_without_obstore_the_way_out_is_named(bucket: MadeUpStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("olvf_assets.storage.object_store.find_spec", lambda name: None)
    with pytest.raises(NoClientError, match=r"make setup EXTRAS=cluster, or pip install '\.\[cluster\]'"):
        opened(ADDRESS)


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("s3://bucket", ("bucket", "")),
        ("s3://bucket/a", ("bucket", "a")),
        ("s3://bucket/a/b/", ("bucket", "a/b")),
    ],
)
def test_an_address_is_a_bucket_and_a_prefix(address: str, parts: tuple[str, str]) -> None:
    assert bucket_and_prefix(address) == parts


@pytest.mark.parametrize(
    ("endpoint", "allowed"), [("http://127.0.0.1:1", True), ("https://s3.site", False), ("", False)]
)
def test_without_tls_only_where_the_address_says_so(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, allowed: bool
) -> None:
    environment = {"AWS_ENDPOINT_URL": endpoint}
    monkeypatch.setattr("os.environ", environment)
    allow_http()
    assert ("AWS_ALLOW_HTTP" in environment) == allowed
    assert environment["AWS_REGION"] == "us-east-1"
