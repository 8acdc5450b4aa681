"""An object store in memory, in the place of obstore: what is asked of it is counted, and it can be made to fail."""

import hashlib
import importlib.machinery
import sys
import types
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest


class BaseError(Exception):
    """Of obstore, as all below."""


class GenericError(BaseError):
    pass


class NotModifiedError(BaseError):
    pass


class AlreadyExistsError(BaseError):
    pass


class PreconditionError(BaseError):
    pass


class PermissionDeniedError(BaseError):
    pass


class UnauthenticatedError(BaseError):
    pass


ERRORS = (BaseError, GenericError, NotModifiedError, AlreadyExistsError, PreconditionError, PermissionDeniedError,
          UnauthenticatedError)  # fmt: skip


class Got:
    """What a `get` gives."""

    def __init__(self, content: bytes) -> None:
        self.content, self.meta = content, meta_of(content)

    def stream(self, min_chunk_size: int) -> Iterator[bytes]:
        yield self.content[: len(self.content) // 2]
        yield self.content[len(self.content) // 2 :]

    def bytes(self) -> bytes:
        return self.content


def meta_of(content: bytes) -> dict[str, Any]:
    return {"size": len(content), "e_tag": f'"{hashlib.md5(content).hexdigest()}"'}


class MadeUpStore:
    """The bucket.

    Attributes:
        objects: content by key.
        asked: (verb, key) of everything that was asked, but of whether something was erased.
        faults: errors that the next requests meet, the first one first.
        broken: conditions that it does not keep, `create` or `update`.
        now: its clock.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.faults: list[Exception] = []
        self.broken: set[str] = set()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self._written: dict[str, datetime] = {}

    def _ask(self, verb: str, key: str) -> None:
        if key == "erased":  # asked once by each process
            return
        self.asked.append((verb, key))
        if self.faults:
            raise self.faults.pop(0)

    def put(
        self, store: object, key: str, file: Path | bytes, *, mode: str | dict[str, str] = "overwrite", **how: Any
    ) -> dict[str, Any]:
        self._ask("put", key)
        if mode == "create" and "create" not in self.broken and key in self.objects:
            raise AlreadyExistsError(key)
        there = meta_of(self.objects[key])["e_tag"] if key in self.objects else None
        if isinstance(mode, dict) and "update" not in self.broken and mode["e_tag"] != there:
            raise PreconditionError(key)
        self.objects[key] = file if isinstance(file, bytes) else file.read_bytes()
        self._written[key] = self.now
        return meta_of(self.objects[key])

    def get(self, store: object, key: str, *, options: dict[str, str] | None = None) -> Got:
        self._ask("get", key)
        found = Got(self._found(key))
        found.meta["last_modified"] = self._written.get(key, self.now)
        if options and options["if_none_match"] == found.meta["e_tag"]:
            raise NotModifiedError(key)
        return found

    def head(self, store: object, key: str) -> dict[str, Any]:
        self._ask("head", key)
        return {**meta_of(self._found(key)), "last_modified": self._written.get(key, self.now)}

    def list_(self, store: object, *, prefix: str) -> Iterator[list[dict[str, Any]]]:
        self._ask("list", prefix)
        for key in sorted(self.objects):
            if key.startswith(prefix):
                yield [{"path": key, **meta_of(self.objects[key])}]

    def delete(self, store: object, keys: str | list[str]) -> None:
        for key in [keys] if isinstance(keys, str) else keys:
            self._ask("delete", key)
            self.objects.pop(key, None)

    def _found(self, key: str) -> bytes:
        if key not in self.objects:
            raise FileNotFoundError(f"Object at location {key} not found: Error performing GET http://x: 404")
        return self.objects[key]

    def put_in_the_place_of_obstore(self, monkeypatch: pytest.MonkeyPatch) -> None:
        module, exceptions, store = (types.ModuleType(f"obstore{part}") for part in ("", ".exceptions", ".store"))
        module.__spec__ = importlib.machinery.ModuleSpec("obstore", None)
        for verb in (self.put, self.get, self.head, self.list_, self.delete):
            setattr(module, verb.__name__.rstrip("_"), verb)
        for error in ERRORS:
            setattr(exceptions, error.__name__, error)
        store.S3Store = lambda bucket, **how: bucket  # type: ignore[attr-defined]
        for each in (module, exceptions, store):
            monkeypatch.setitem(sys.modules, each.__name__, each)


def away() -> GenericError:
    """What is said of a store that does not answer."""
    return GenericError(
        "Generic S3 error: Error performing PUT http://127.0.0.1:1/x - HTTP error: error sending request"
    )


def refusing(code: str, kind: type[BaseError] = GenericError) -> BaseError:
    """What is said of a store that refuses; stores repeat the key that they were asked with."""
    return kind(
        f"Error performing PUT http://127.0.0.1:1/x - Server returned non-2xx status code: 403 Forbidden: <Error><Code>"
        f"{code}</Code><AWSAccessKeyId>THE-KEY-OF-SOMEBODY</AWSAccessKeyId></Error>"
    )
