"""Making room: what no current table reaches.

What lives here: which pictures, work, old versions of tables and leftovers of killed runs may go. What does not:
erasing a person (`erase`), which removes more than this and proves it.

A picture is reached when a current table or a piece of work that is kept names it. Work is reached when a table names
its folder, or when all that it was made of (films, pictures, weights) stands in current tables. A training that is not
finished is never reached by a table: it stays until one that took its place was finished after its last step.
Whatever changed within the last days stays in any case, and everything stays while tables are missing.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from olvf_assets.storage import erasure
from olvf_assets.storage.artifacts import ArtifactStore
from olvf_assets.storage.lake_lease import hold_lake
from olvf_assets.storage.object_store import faults_named
from olvf_assets.storage.places import lake_address, store_of
from olvf_assets.storage.stored_tables import StoredTables
from olvf_assets.storage.traces import ID, frame_text

KEEP_DAYS = 7.0
DAY_S = 86_400
LEFTOVER_S = 3600  # a file of this age under a passing name was left by a killed process
FINISHED = {"classifiers": "checkpoint.json", "detector": "detector.safetensors"}
SAME_TRAINING = ("architecture", "fold", "protocol")
WORK_FOLDER = re.compile(r"work/(\w+/[0-9a-f]{16})/")
FINGERPRINT = re.compile(rb"(?<![0-9a-f])[0-9a-f]{16}(?![0-9a-f])")
Report = Callable[[str], None]


@dataclass
class Reached:
    """What current tables name."""

    ids: set[str] = field(default_factory=set)
    pictures: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)


def tidy(
    data: Path, tables: Collection[str], *, keep_days: float = KEEP_DAYS, dry_run: bool = False, report: Report
) -> int:
    """Remove what no current table reaches, and return how many bytes that freed (or would free).

    Args:
        data: the data folder.
        tables: the names of all tables of the study. While one of them is missing, pictures and work stay: the next run
            may need them.
        keep_days: whatever is younger stays, old versions of tables as well.
        dry_run: only say what would go.
        report: told what went, and how many bytes that freed.

    Raises:
        DataFolderBusyError: a run is under way.
        LakeInUseError, ObjectStoreError: the lake lies in an object store, and a run on another machine works there, or
            the store fails.
    """
    if address := lake_address():
        return _tidy_store(data, address, tables, keep_days, dry_run, report)
    lake, limit_s = data / "lake", time.time() - keep_days * DAY_S
    with erasure.data_folder_held(data):
        freed = _said(report, "leftovers of killed runs", [_remove(path, dry_run) for path in list(_leftovers(data))])
        names = [table.stem for table in erasure.tables(lake)]
        freed += _tidy_tables(ArtifactStore(lake).tables, names, keep_days, dry_run, report)
        reached, missing = _reached(lake, tables)
        if missing:
            report(f"pictures and work stay: {len(missing)} tables are not made yet, for example {missing[0]}")
            return freed
        gone = [
            work for work in erasure.work_folders(lake) if _changed_s(work) < limit_s and not _is_kept(work, reached)
        ]
        kept = (work for work in erasure.work_folders(lake) if work not in gone)
        used = reached.pictures.union(*map(erasure.pictures_of_work, kept))
        pictures = [path for path in erasure.unused_pictures(lake, used) if path.stat().st_mtime < limit_s]
        freed += _said(report, "pieces of work", [_remove(path, dry_run) for path in gone])
        freed += _said(report, "pictures", [_remove(path, dry_run) for path in pictures])
    return freed


def _tidy_store(
    data: Path, address: str, tables: Collection[str], keep_days: float, dry_run: bool, report: Report
) -> int:
    """Remove what is old of the tables of a lake in an object store, and nothing else there yet."""
    with erasure.data_folder_held(data), hold_lake(address, data, "tidy", wait=False):
        there = store_of(data, address).tables
        names = [name for name in sorted(tables) if there.is_there(name)]
        with faults_named(address):
            freed = _tidy_tables(there, names, keep_days, dry_run, report)
    report("pictures and work stay: of a lake in an object store only old versions of tables are removed")
    return freed


def _tidy_tables(there: StoredTables, names: list[str], keep_days: float, dry_run: bool, report: Report) -> int:
    sizes = [size for name in names for size in _old_versions(there, name, keep_days * 24, dry_run)]
    return _said(report, f"files of old versions of tables, older than {keep_days:g} days", sizes)


def _said(report: Report, what: str, sizes: list[int]) -> int:
    report(f"{len(sizes)} {what}: {sum(sizes) / 1e6:.1f} MB")
    return sum(sizes)


def _remove(path: Path, dry_run: bool) -> int:
    return _size(path) if dry_run else erasure.remove(path)


def _size(path: Path) -> int:
    files = [path] if not path.is_dir() else [each for each in path.rglob("*") if not each.is_dir()]
    return sum(each.lstat().st_size for each in files)


def _leftovers(data: Path) -> Iterator[Path]:
    """Yield what killed processes left under passing names: half-written files, a half-copied hospital, a warehouse."""
    found = [*data.glob("lake/**/.partial-*"), *data.glob("reports/**/.partial-*"), *data.glob("landing/.*.partial"),
             *data.glob("draft_boxes/.*"), *data.glob("results/**/.partial-*"),
             *data.glob("olvf.duckdb.tmp*"), *data.glob(".partial-*")]  # fmt: skip
    yield from (path for path in sorted(found) if path.exists() and _changed_s(path) < time.time() - LEFTOVER_S)


def _changed_s(path: Path) -> float:
    """Return when anything of a file or folder last changed, in seconds since 1970."""
    files = [path, *(path.rglob("*") if path.is_dir() else [])]
    return max(each.lstat().st_mtime for each in files)


def _old_versions(there: StoredTables, table: str, retention_hours: float, dry_run: bool) -> list[int]:
    """Remove the files that only old versions of a table name, and the log of these; return their sizes in bytes."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        delta = DeltaTable(there.address(table))
        clear = partial(delta.vacuum, int(retention_hours), enforce_retention_duration=False, full=True)
        names, known = clear(dry_run=True), there.sizes(table)
        sizes = [known[name] for name in names if name in known]
        if not dry_run and names:
            clear(dry_run=False)
            delta.create_checkpoint()
            delta.cleanup_metadata()
    except DeltaError:
        return []  # a damaged table is made again by its asset
    return sizes


def _reached(lake: Path, tables: Collection[str]) -> tuple[Reached, list[str]]:
    """Return what the tables name, and which of them are not there or damaged."""
    reached, missing = Reached(), set(tables)
    for table in erasure.tables(lake):
        frame, _ = erasure.read(table)
        if not frame.width:
            missing.add(table.stem)
            continue
        missing.discard(table.stem)
        text = frame_text(frame)
        reached.ids |= {match.group().decode() for match in ID.finditer(text)}
        reached.pictures |= erasure.pictures_in(text)
        reached.folders |= set(WORK_FOLDER.findall(text.decode()))
    return reached, sorted(missing)


def _is_kept(work: Path, reached: Reached) -> bool:
    kind = work.parent.name
    if f"{kind}/{work.name}" in reached.folders:
        return True
    made_of = (work / "provenance.json").read_bytes() if (work / "provenance.json").exists() else b""
    match kind:
        case "classifiers" | "detector":
            kept = _is_training_kept(work, reached)
        case "dicom_headers":  # one file for each institution and each way of reading
            own = work.parent.glob(f"{work.name.rpartition('-')[0]}-*")
            kept = work == max(own, key=lambda each: each.stat().st_mtime)
        case "replicas":  # of an older release
            kept = False
        case "detector_copies" | "packed_pixels":
            kept = erasure.pictures_of_work(work) <= reached.pictures
        case "film_pixels" | "gradcam":
            kept = {match.group().decode() for match in ID.finditer(made_of)} <= reached.ids
        case "detector_generations":
            models = [work.parents[1] / "detector" / match.group().decode() for match in FINGERPRINT.finditer(made_of)]
            kept = any(model.exists() and _is_kept(model, reached) for model in models)
        case _:  # not known here
            kept = True
    return kept


def _is_training_kept(work: Path, reached: Reached) -> bool:
    done = work / FINISHED[work.parent.name]
    if not done.exists():
        return not _is_replaced(work, reached)
    return hashlib.sha256(done.read_bytes()).hexdigest() in reached.ids  # a generation of `detector_evolution`


def _is_replaced(unfinished: Path, reached: Reached) -> bool:
    """Return whether another training of the same network that tables name was finished after this one's last step."""
    kind, about = unfinished.parent.name, _about(unfinished)
    others = (unfinished.parents[1] / name for name in reached.folders if name.startswith(f"{kind}/"))
    done = [other / FINISHED[kind] for other in others if _about(other) == about]
    return any(each.exists() and each.stat().st_mtime > _changed_s(unfinished) for each in done)


def _about(work: Path) -> dict[str, Any]:
    try:
        said = json.loads((work / "provenance.json").read_text())
    except (OSError, ValueError):
        return {}
    return {name: said.get(name) for name in SAME_TRAINING}
