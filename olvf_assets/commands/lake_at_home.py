"""A lake of an object store, brought into the data folder for a command that works on files.

What lives here: bringing it, and taking back what the command changed. What does not: the commands (`forgetting`,
`backing_up`), which know nothing of it.

The lake is held as by a run. The store is changed only when the command has done its work: a call that is killed before
leaves the store as it was. One that is killed while it takes back is finished by the next call, whichever it is. Of a
table that was written anew the old log goes first and the new one comes last: whoever looks meanwhile finds no table.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.storage.artifacts import read_json, remove, write_atomically
from olvf_assets.storage.cached_store import AT_ONCE, ERASED, PUBLISHED, CachedStore
from olvf_assets.storage.lake_lease import CLOCK, LEASE, hold_lake
from olvf_assets.storage.places import TAKING_BACK

LOG = "/_delta_log/"
STAYS = (PUBLISHED, LEASE, CLOCK, ERASED, "tried/")  # in the store


@contextmanager
def lake_at_home(study: StudyResource, report: Callable[[str], None]) -> Iterator[StudyResource]:
    """Yield a study whose lake lies in the data folder: itself, or one that was brought there for the `with` block.

    Args:
        study: the study.
        report: told how much is brought and taken back.

    Raises:
        LakeInUseError: a run works in the lake.
        ObjectStoreError: the store fails.
        DiskFullError, WriteFaultError: the lake finds no room in the data folder, or its disk fails.
    """
    store, home, note = study.store, study.data / "lake", study.data / TAKING_BACK
    if not isinstance(store, CachedStore):
        yield study
        return
    with hold_lake(study.lake, study.data, "a command that works on files", wait=False, own=False):
        if note.exists():
            _take_back(store, home, note, report)
        remove(home)
        remove(store.root)  # copies, which may be of whom the command forgets
        try:
            brought = _bring(store, home)
            report(f"{len(brought)} files of the lake are brought from {study.lake} into {home}")
            yield StudyResource(profile_name=study.profile_name, data_folder=study.data_folder)
            now = _stamps(home, _names(home))
            changed = sorted(name for name, stamp in now.items() if brought.get(name) != stamp)
            if changed or brought.keys() - now.keys():
                text = json.dumps({"changed": changed})
                write_atomically(note, lambda file: file.write_text(text, encoding="utf-8"))
                _take_back(store, home, note, report)
        finally:
            if not note.exists():
                remove(home)


def _bring(store: CachedStore, home: Path) -> dict[str, tuple[int, ...]]:
    names = [name for name in store.names() if not name.startswith(STAYS)]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda name: store.copy_out(name, home / name), names))
    return _stamps(home, names)


def _take_back(store: CachedStore, home: Path, note: Path, report: Callable[[str], None]) -> None:
    """Let the store hold what lies at home; may be done again from its beginning."""
    changed, here = read_json(note)["changed"], set(_names(home))
    store.let_no_copy_stay()
    gone = [name for name in store.names() if name not in here and not name.startswith(STAYS)]
    anew = [name for name in changed if LOG in name]
    for name in sorted({*gone, *anew}, key=lambda name: (LOG in name, name), reverse=True):
        store.remove(name)
    store.remove(PUBLISHED.rstrip("/"))
    for name in sorted(changed, key=lambda name: (LOG in name, name)):
        store.copy_in(home / name, name)
    remove(note)
    report(
        f"{len(gone)} files are removed from the store, and {len(changed)} are written anew; report and warehouse are "
        "published again by the next run"
    )


def _names(home: Path) -> list[str]:
    return [path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()]


def _stamps(home: Path, names: Iterable[str]) -> dict[str, tuple[int, ...]]:
    status = {name: (home / name).stat() for name in names}
    return {name: (each.st_ino, each.st_size, each.st_mtime_ns) for name, each in status.items()}
