"""The object store that a lake may lie in.

What lives here: its address, opening it, trying it out, going on after a short absence, and the named errors for what
it says. What does not: which bytes go there (`cached_store.py`, `remote_tables.py`, `lake.py`).

Where it is and with which keys is said by the usual variables (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY`, `AWS_REGION`), which boto3, deltalake and polars read, too. What a store answers may repeat a
key: of its words only its own code for the fault (`NoSuchBucket`) is passed on.
"""

import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from olvf_assets.foundation.errors import MachineError, OlvfError

if TYPE_CHECKING:
    from obstore.store import S3Store

PATIENCE_VARIABLE = "OLVF_STORE_PATIENCE_S"  # how long a store may be away before a run ends
PATIENCE_S = 120.0
LONGEST_PAUSE_S = 5.0
AT_START_S = 10.0  # nothing is lost yet: whoever starts a run shall soon know
REFUSED_FOR_GOOD = re.compile(
    "InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|ExpiredToken|InvalidToken|NoSuchBucket|InvalidBucketName|"
    "PermanentRedirect|QuotaExceeded|XMinioStorageFull"
)
OF_A_STORE = re.compile(
    "Generic S3 error|Error performing [A-Z]+ http|error sending request|lacked the necessary priv|lacked valid auth"
)
SAID = re.compile(r"<Code>(\w{3,60})</Code>")
STATUS = re.compile(r"status[: ]+(?:code: )?([45]\d\d)")
Found = TypeVar("Found")


class ObjectStoreError(MachineError):
    """The object store that the lake lies in does not do what it must."""


class StoreUnreachableError(ObjectStoreError):
    """The object store does not answer."""


class StoreRefusesError(ObjectStoreError):
    """The object store answers and refuses: wrong keys, no such bucket, no room."""


class UnsafeStoreError(ObjectStoreError):
    """The object store does not keep to its word on conditional writes, so that two writers would lose a table."""


class NoClientError(ObjectStoreError):
    """What talks to object stores is not installed."""


def bucket_and_prefix(address: str) -> tuple[str, str]:
    """Return bucket and prefix of an address as `places.lake_address` gives it."""
    bucket, _, prefix = address.partition("://")[2].partition("/")
    return bucket, prefix.strip("/")


@cache
def opened(address: str) -> "S3Store":
    """Return what talks to the store below an address, one a process; nothing is asked of the store yet.

    Raises:
        NoClientError: obstore is not installed.
        StoreRefusesError: what the variables say cannot be an object store.
    """
    if find_spec("obstore") is None:
        raise NoClientError(
            "OLVF_LAKE names an object store, and obstore is not installed; make setup EXTRAS=cluster, or "
            "pip install '.[cluster]'"
        )
    from datetime import timedelta

    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    allow_http()
    bucket, prefix = bucket_and_prefix(address)
    # Short, for `patiently` tries again, which knows what may pass.
    retry: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}
    options: Any = {"connect_timeout": "5s", "timeout": "120s", "allow_http": "AWS_ALLOW_HTTP" in os.environ}
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    try:
        return S3Store(bucket, prefix=prefix or None, region=region, client_options=options, retry_config=retry)
    except (BaseError, ValueError) as error:
        raise StoreRefusesError(
            f"{_where(address)} cannot be opened ({type(error).__name__}); look at the AWS_* variables"
        ) from None


def allow_http() -> None:
    """Let deltalake and polars talk to a store whose given address has no TLS, as obstore does."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    if endpoint.startswith("http://"):
        os.environ.setdefault("AWS_ALLOW_HTTP", "true")
    os.environ.setdefault("AWS_REGION", os.environ.get("AWS_DEFAULT_REGION") or "us-east-1")


def register_for_tables() -> None:
    """Let Dagster's storage of tables find its paths in an object store, with the same variables."""
    from obstore.fsspec import register

    allow_http()
    register("s3")


def try_out(address: str) -> None:
    """Write one key again on conditions that do not hold; delete it again.

    Tables are safe in a store that refuses to write what is there already: two writers then never make the same version
    of one. The lease of a run is, where it also refuses to write over another version than the one that is named.

    Raises:
        UnsafeStoreError: it takes the second one.
        StoreUnreachableError, StoreRefusesError, NoClientError: see there.
    """
    store, key = opened(address), f"tried/{uuid.uuid4().hex}"
    import obstore
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    patiently(lambda: obstore.put(store, key, b"1", mode="overwrite"), address, patience_s=AT_START_S)
    conditions: dict[str, Any] = {
        "nothing is there (If-None-Match: *)": "create",
        "a certain version is there (If-Match)": {"e_tag": f'"{"0" * 32}"'},
    }
    try:
        for words, mode in conditions.items():
            with faults_named(address), suppress(AlreadyExistsError, PreconditionError):
                obstore.put(store, key, b"2", mode=mode)
                raise UnsafeStoreError(
                    f"{_where(address)} took a second write under the condition that {words}: two writers would lose "
                    "each other's tables. Use a store that keeps to it (Amazon S3, MinIO and SeaweedFS do), or leave "
                    "OLVF_LAKE unset"
                )
    finally:
        with faults_named(address):
            obstore.delete(store, key)


def patience() -> float:
    """Return how many seconds a store may be away before a run ends."""
    return float(os.environ.get(PATIENCE_VARIABLE) or PATIENCE_S)


def patiently(act: Callable[[], Found], address: str, *, patience_s: float | None = None) -> Found:
    """Return `act()`, tried again with growing pauses while the store is away.

    Args:
        act: what may be done twice.
        address: of the lake.
        patience_s: for how long.

    Raises:
        StoreUnreachableError: it stayed away.
        StoreRefusesError: it refuses, now and later.
    """
    ends = time.monotonic() + (patience() if patience_s is None else patience_s)
    pause_s, waiting = 0.1, threading.Event()
    while True:
        try:
            with faults_named(address):
                return act()
        except StoreUnreachableError:
            if time.monotonic() >= ends:
                raise
            waiting.wait(min(pause_s, max(0.0, ends - time.monotonic())))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


@contextmanager
def faults_named(address: str) -> Iterator[None]:
    """Let what obstore, deltalake or polars raise because of the store leave a `with` block under a name of ours.

    Answers that a caller may expect (nothing there, there already, not changed) leave it as they are.

    Raises:
        StoreUnreachableError, StoreRefusesError: see there.
    """
    try:
        yield
    except Exception as error:
        fault = None if isinstance(error, OlvfError) else _fault(error, address)
        if fault is None:
            raise
        raise fault from None  # no log is to show what the store said


def _fault(error: Exception, address: str) -> ObjectStoreError | None:
    """Return what an error says of the store, None if it says nothing of it."""
    from obstore import exceptions as of_obstore

    text = str(error)
    said = SAID.search(text) or REFUSED_FOR_GOOD.search(text)
    code = said.group(said.lastindex or 0) if said else ""
    answers = (FileNotFoundError, of_obstore.NotModifiedError, of_obstore.AlreadyExistsError)
    if isinstance(error, (*answers, of_obstore.PreconditionError)) and code != "NoSuchBucket":
        return None
    if not isinstance(error, of_obstore.BaseError) and not OF_A_STORE.search(text):
        return None
    denied = isinstance(error, of_obstore.PermissionDeniedError | of_obstore.UnauthenticatedError)
    status = STATUS.search(text)
    number = status.group(1) if status else ""
    if denied or REFUSED_FOR_GOOD.search(code) or number in ("401", "403"):
        return StoreRefusesError(
            f"{_where(address)} refuses ({code or number or 'no access'}); look at the bucket's name and rights, and "
            "at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION"
        )
    return StoreUnreachableError(
        f"{_where(address)} does not answer as it must ({code or number or 'no connection'}); see to it, or to "
        "AWS_ENDPOINT_URL, and start the same command again: finished work is kept"
    )


def _where(address: str) -> str:
    return f"the object store of the lake, {address},"
