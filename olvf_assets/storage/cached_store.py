"""A lake whose bytes lie in an object store, with a cache on each machine.

What lives here: `CachedStore`, the verbs of `ArtifactStore` over such a store. What does not: the store itself
(`object_store.py`), the bound of the cache (`node_cache.py`), tables (`remote_tables.py`).

The store is the truth. What bears the hash of its content or of all that it was made from never changes: once it is
here it is not asked for again. Of anything else the store is asked each time whether it is still the version that is
here. A file is in the store, whole, before it bears its name here, and gone from the store before it is gone here.
"""

import os
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from olvf_assets.foundation.made import text_digest
from olvf_assets.foundation.write_faults import write_faults_named
from olvf_assets.storage.artifacts import ABSENT, PROVENANCE, ArtifactStore, read_if_whole
from olvf_assets.storage.node_cache import NodeCache
from olvf_assets.storage.object_store import opened, patiently
from olvf_assets.storage.remote_tables import RemoteTables
from olvf_assets.storage.stored_tables import StoredTables

CACHE_VARIABLE = "OLVF_CACHE"  # where a machine keeps copies, if its data folder is not the place
IMAGES, PUBLISHED = "images/", "published/"
ERASED = "erased"  # another one each time that something was erased for good
AT_ONCE = 16  # requests
LISTED_FROM = 100  # files to be looked at; for fewer each is asked for
CHUNK_BYTES = 8 * 2**20
_ONE_CACHE = threading.Lock()  # of several threads that ask first, one makes it: it notes what is held open
Found = TypeVar("Found")


@cache
def _cache_of(root: Path, address: str) -> NodeCache:
    """Return the cache below a folder; without copies of what was erased while this machine did not look."""
    import obstore

    def said() -> str:
        try:
            return bytes(obstore.get(opened(address), ERASED).bytes()).decode()
        except FileNotFoundError:
            return "nothing"

    cache = NodeCache(root)
    cache.begin(patiently(said, address))
    return cache


class CachedStore(ArtifactStore):
    """A lake in an object store. Another process, here or on another machine, gets it by pickling.

    Args:
        address: as `places.lake_address` gives it.
        folder: of this machine's copies, of all lakes; `OLVF_CACHE` has the last word.
    """

    def __init__(self, address: str, folder: Path) -> None:
        super().__init__(Path(os.environ.get(CACHE_VARIABLE) or folder) / text_digest(address)[:16])
        self.address, self._folder = address, folder

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how another process makes this: with its own connection, and its own cache where it says so."""
        return CachedStore, (self.address, self._folder)

    @property
    def tables(self) -> StoredTables:
        """Return the tables beside."""
        return RemoteTables(f"{self.address}/tables", self.address)

    def at_hand(self, file: Path | str) -> Path:
        """Return the path by which a file can be opened as long as this process lives, if it is there."""
        name = self._name(file)
        self._cache.hold(name)
        self._fetched(name)
        return self.root / name

    def fetch(self, files: Iterable[Path | str]) -> None:
        """Bring files to this machine that are about to be read one after another; only for speed."""
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for _ in threads.map(self._fetched, {self._name(file) for file in files}):
                pass

    def read(self, file: Path | str, read: Callable[[Path], Found]) -> Found | None:
        """Return `read(path)`; None if the file is absent or not what was written."""
        name = self._name(file)
        if _never_changes(name) and (found := self._read_copy(name, read)) is not None:
            return found
        return patiently(lambda: self._read(name, read), self.address)

    def read_all(self, files: Iterable[Path | str], read: Callable[[Path], Found]) -> list[Found | None]:
        """Return `read(path)` of each of many files, in order; the store is asked for several at once."""
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return list(threads.map(lambda file: self.read(file, read), files))

    def write(self, file: Path | str, write: Callable[[Path], object]) -> None:
        """Call `write(temporary_path)`; whoever reads has what was there before until the store has all of it.

        Raises:
            DiskFullError, WriteFaultError: this machine's disk.
            ObjectStoreError: the store.
        """
        import obstore

        name = self._name(file)
        with self._cache.passing(name) as temporary:
            write(temporary)
            store = opened(self.address)
            put = patiently(lambda: obstore.put(store, name, temporary, chunk_size=CHUNK_BYTES), self.address)
            self._cache.take(temporary, name, _mark(name, put["e_tag"]))

    def remove(self, file: Path | str) -> None:
        """Remove a file, or a folder with all that is in it, from the store and from here; nothing need be there."""
        import obstore

        name, store = self._name(file), opened(self.address)

        def delete() -> None:
            inside = [each["path"] for each in self._listed(f"{name}/")]
            obstore.delete(store, [*inside, name])

        patiently(delete, self.address)
        with write_faults_named(self.root / name):
            self._cache.drop(name)

    def exists(self, file: Path | str) -> bool:
        """Return whether the store has a file."""
        return self._stamp(self._name(file)) != ABSENT

    def files(self, folder: Path | str, pattern: str) -> list[Path]:
        """Return the store's files of a folder whose relative paths match a pattern, sorted, as paths for the verbs."""
        name = self._name(folder)
        depth = pattern.count("/")
        inside = (each["path"].removeprefix(f"{name}/") for each in self._all_listed(f"{name}/"))
        return sorted(
            self.root / name / each
            for each in inside
            if each.count("/") == depth and PurePosixPath(each).match(pattern)
        )

    def stamps(self, files: Iterable[str]) -> dict[str, str]:
        """Return, by relative path, what changes whenever a file does; `absent` for one that is not in the store."""
        asked = list(files)
        if len(asked) < LISTED_FROM:
            with ThreadPoolExecutor(AT_ONCE) as threads:
                return dict(zip(asked, threads.map(self._stamp, asked), strict=True))
        known: dict[str, str] = {}
        for top in {name.partition("/")[0] for name in asked}:
            known |= {each["path"]: _stamp_of(each["path"], each) for each in self._all_listed(f"{top}/")}
        return {name: known.get(name, ABSENT) for name in asked}

    def publish(self, file: Path, name: str) -> None:
        """Put a file that lies with the driver (report, warehouse) into the store, under `published/`."""
        self.copy_in(file, f"{PUBLISHED}{name}")

    def names(self) -> list[str]:
        """Return the name of everything in the store, sorted."""
        return sorted(each["path"] for each in self._all_listed(""))

    def copy_out(self, name: str, place: Path) -> None:
        """Copy a file of the store to a place outside the cache."""
        with write_faults_named(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            patiently(lambda: self._download(name, None, place), self.address)

    def copy_in(self, place: Path, name: str) -> None:
        """Copy a file from outside the cache into the store."""
        import obstore

        store = opened(self.address)
        patiently(lambda: obstore.put(store, name, place, chunk_size=CHUNK_BYTES), self.address)

    def let_no_copy_stay(self) -> None:
        """Let each machine begin a new cache with its next process: something is erased for good."""
        import obstore

        store, mark = opened(self.address), uuid.uuid4().hex.encode()
        patiently(lambda: obstore.put(store, ERASED, mark), self.address)

    def has_image(self, relative: str) -> bool:
        """Return whether the store has a picture; what it has, it has whole."""
        return self.exists(relative)

    def image_check(self) -> Callable[[str], bool]:
        """Return `has_image` for whoever is about to ask for many: the store says once what it has."""
        there: set[str] | None = None

        def is_there(relative: str) -> bool:
            nonlocal there
            if there is None:
                there = {each["path"] for each in self._all_listed(IMAGES)}
            return relative in there

        return is_there

    @property
    def _cache(self) -> NodeCache:
        with _ONE_CACHE:
            return _cache_of(self.root, self.address)

    def path(self, relative: Path | str) -> Path:
        """Return where on this machine something lies, or would lie; also of a path that another machine gave it."""
        return self.root / self._name(relative)

    def _name(self, file: Path | str) -> str:
        """Return the name in the store of a path below this machine's cache, or below another's of the same lake."""
        path = Path(file)
        if path.is_absolute() and self.root.name in path.parts:
            return Path(*path.parts[path.parts.index(self.root.name) + 1 :]).as_posix()
        return (path.relative_to(self.root) if path.is_absolute() else path).as_posix()

    def _fetched(self, name: str) -> bool:
        """Return whether the store has a file; the copy here is what it has."""
        if _never_changes(name) and (self._cache.root / name).exists():
            return True
        return patiently(lambda: self._fetch(name), self.address)

    def _fetch(self, name: str) -> bool:
        return self._read(name, lambda path: True) or False

    def _read(self, name: str, read: Callable[[Path], Found]) -> Found | None:
        """Return what `read` makes of the store's version of a file: of the copy here if it is that one."""
        from obstore.exceptions import NotModifiedError

        for mark in (self._cache.mark(name), None):
            with self._cache.passing(name) as temporary:
                try:
                    e_tag = self._download(name, mark, temporary)
                except NotModifiedError:
                    if (found := self._read_copy(name, read)) is not None:
                        return found
                    continue  # damaged here, or gone for want of room this moment
                except FileNotFoundError:
                    self._cache.drop(name)
                    return None
                found = read_if_whole(temporary, read)  # before it is a copy, which may go at any time
                self._cache.take(temporary, name, _mark(name, e_tag))
                return found
        return None

    def _read_copy(self, name: str, read: Callable[[Path], Found]) -> Found | None:
        found = read_if_whole(self._cache.root / name, read)
        if found is None:
            self._cache.drop(name)
        else:
            self._cache.used(name)
        return found

    def _download(self, name: str, mark: str | None, place: Path) -> str | None:
        """Write a file of the store to a place, unless it is the version of the mark; return its version."""
        import obstore

        got = obstore.get(opened(self.address), name, options={"if_none_match": mark} if mark else None)
        with place.open("wb") as handle:
            for chunk in got.stream(min_chunk_size=CHUNK_BYTES):
                handle.write(chunk)
        return got.meta["e_tag"]

    def _stamp(self, name: str) -> str:
        import obstore

        try:
            return _stamp_of(name, patiently(lambda: obstore.head(opened(self.address), name), self.address))
        except FileNotFoundError:
            return ABSENT

    def _listed(self, prefix: str) -> Iterator[Any]:
        import obstore

        for part in obstore.list(opened(self.address), prefix=prefix):
            yield from part

    def _all_listed(self, prefix: str) -> list[Any]:
        return patiently(lambda: list(self._listed(prefix)), self.address)


def _never_changes(name: str) -> bool:
    """Return whether a name says all of a file's content."""
    return name.startswith(IMAGES) or PurePosixPath(name).name == PROVENANCE


def _mark(name: str, e_tag: str | None) -> str | None:
    """Return the mark of a copy; a store that names no versions is asked for the file each time."""
    return None if _never_changes(name) else e_tag or "unnamed"


def _stamp_of(name: str, meta: Any) -> str:
    return f"{meta['size']}" if _never_changes(name) else f"{meta['size']} {meta['e_tag']}"
