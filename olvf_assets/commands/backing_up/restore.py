"""A back-up put back as data folder and Dagster's records.

What lives here: into which folders, whole or not at all, and who must not come back unnoticed. What does not: how a
back-up is kept (`kept`), ending the runs that were under way (`orchestration/lost_runs.py`).

Files are laid down under a passing name in the data folder, each held against its hash, and take their places by a few
renames at the end, the lake last. A restoring that was killed is finished by the same command.
"""

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from olvf_assets.commands.backing_up.back_up import DAGSTER, DATA
from olvf_assets.commands.backing_up.kept import (
    BackUp,
    BackUpError,
    BackUpFolder,
    DamagedBackUpError,
    Entry,
    hash_of,
    shown,
)
from olvf_assets.foundation.write_faults import write_faults_named
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.storage import erasure
from olvf_assets.storage.artifacts import PARTIAL, put_in_place, read_if_whole, read_json, sync, write_atomically
from olvf_assets.storage.forgotten import add_forgotten, forgotten_in, mark
from olvf_assets.storage.places import refuse_elsewhere
from olvf_assets.storage.run_lock import hold_data_folder

STAGED = f"{PARTIAL}restoring"
STATE, LAID_DOWN = "restoring.json", "laid down"  # in the staged folder
MAY_LIE_THERE = frozenset({"README.md", ".runs", "dagster.yaml", STAGED})
Report = Callable[[str], None]


class FolderNotEmptyError(BackUpError):
    """Where a back-up is to be put, something lies already."""


class ForgottenInBackUpError(BackUpError):
    """A back-up holds somebody who was forgotten after it was made."""


def restore(
    study: StudyResource, home: Path, folder: Path, name: str | None, *, with_forgotten: bool, report: Report
) -> None:
    """Put a back-up back.

    Args:
        study: whose data folder, which must be empty.
        home: where Dagster keeps its records; must be empty, too.
        folder: where back-ups are kept.
        name: of the back-up; the newest if None.
        with_forgotten: also if it holds somebody who was forgotten since.
        report: told what is done, and what is to be done.

    Raises:
        BackUpError: there is no such back-up.
        DamagedBackUpError: a content is missing or not what was written; nothing was put in place.
        FolderNotEmptyError, ForgottenInBackUpError: as they say.
        DiskFullError, WriteFaultError: the disk.
        DataFolderInUseError: a run or another command works in the data folder.
        LakeElsewhereError: the lake lies in an object store.
    """
    way_out = "Restore into an empty data folder with OLVF_LAKE unset, and move the lake (docs/object_store.md)"
    refuse_elsewhere(study.lake, "restore", way_out)
    kept = BackUpFolder(folder.resolve())
    if not kept.names():
        raise BackUpError(f"{folder} holds no back-up")
    name = name or kept.names()[-1]
    made = kept.read(name)
    forgotten = _forgotten_in(made, kept.folder)
    if forgotten and not with_forgotten:
        when = f"{datetime.fromtimestamp(max(forgotten.values()), UTC):%Y-%m-%d}"
        raise ForgottenInBackUpError(
            f"back-up {name} holds {len(forgotten)} patients or institutions that were forgotten after it was made "
            f"(last on {when}). Restore a later one; or say --with-forgotten, and forget them again before anything is "
            "run: the commands are shown then"
        )
    data = study.data
    _refuse_what_lies_there(data, home)
    with hold_data_folder(data, "restore", wait=False):
        staged = data / STAGED
        report(f"back-up {name}: {len(made.files)} files")
        with write_faults_named(staged):
            if _begun(staged, name) != LAID_DOWN:
                _lay_down(kept, made, staged)
                _note(staged, name, LAID_DOWN)
            _put_in_place(staged / DAGSTER, home)
            _put_in_place(staged / DATA, data)
            shutil.rmtree(staged)
        add_forgotten(data, forgotten_in(kept.folder))
    report(f"{data} is as it was at {datetime.fromtimestamp(made.made_s, UTC):%Y-%m-%d %H:%M:%S} UTC")
    if made.books != "sqlite":
        report("Dagster's books were in PostgreSQL: restore them by pg_restore, or begin new ones (docs/operations.md)")
    for each in _names_of(forgotten, data / "lake"):
        report(f"was forgotten since; before anything is run: python -m olvf_assets forget {each} --landing")


def _forgotten_in(made: BackUp, folder: Path) -> dict[str, float]:
    """Return who stands in a back-up and was forgotten after it was made; whoever came again later is in later ones."""
    known = forgotten_in(folder)
    return {each: known[each] for each in made.marks if known.get(each, 0.0) >= made.made_s}


def _names_of(forgotten: dict[str, float], lake: Path) -> list[str]:
    names: set[str] = set()
    for table in erasure.tables(lake) if forgotten else ():
        frame, _ = erasure.read(table)
        for column in ("institution", "patient_id"):
            if frame.schema.get(column) == pl.String:
                names |= {each for each in frame[column].drop_nulls().unique() if mark(each) in forgotten}
    return sorted(names)


def _refuse_what_lies_there(data: Path, home: Path) -> None:
    for place in (data, home):
        if not place.is_dir():
            continue
        there = [
            each.name for each in place.iterdir() if each.name not in MAY_LIE_THERE and each != home and _holds(each)
        ]
        if there and not (data / STAGED).exists():
            raise FolderNotEmptyError(
                f"{place} is not empty; move it away, or name another folder with OLVF_DATA and DAGSTER_HOME: nothing "
                "is ever restored over something else"
            )


def _holds(path: Path) -> bool:
    return not path.is_dir() or any(each.is_file() for each in path.rglob("*"))


def _begun(staged: Path, name: str) -> str:
    """Return how far an earlier try to restore the same back-up came; what one of another left is removed.

    Raises:
        FolderNotEmptyError: another back-up was about to take its place.
    """
    said = read_if_whole(staged / STATE, read_json) or {}
    if said.get("of") != name:
        if said.get("state") == LAID_DOWN:
            raise FolderNotEmptyError(f"restoring {said['of']} was not finished; finish that first: --of {said['of']}")
        shutil.rmtree(staged, ignore_errors=True)
        _note(staged, name, "begun")
        return "begun"
    return str(said["state"])


def _note(staged: Path, name: str, state: str) -> None:
    text = json.dumps({"of": name, "state": state})
    write_atomically(staged / STATE, lambda file: file.write_text(text, encoding="utf-8"))


def _lay_down(kept: BackUpFolder, made: BackUp, staged: Path) -> None:
    """Lay all files down below a folder, each held against its hash; what an earlier try left and is right stays."""
    for path in (DATA, DAGSTER, *sorted(made.folders)):
        (staged / path).mkdir(parents=True, exist_ok=True)
    for path, entry in made.files.items():
        target = staged / path
        if entry.link is not None:
            target.unlink(missing_ok=True)
            target.symlink_to(entry.link)
        elif not _is_down(target, entry):
            _lay_down_file(kept, path, entry, target)
    for path, mode in sorted(made.folders.items(), reverse=True):
        (staged / path).chmod(mode)


def _is_down(target: Path, entry: Entry) -> bool:
    """Return whether an earlier try laid a file down: it bears its time and name only once it is whole."""
    if not target.is_file():
        return False
    status = target.stat()
    return (status.st_size, status.st_mtime_ns) == entry.stamp[:2]


def _lay_down_file(kept: BackUpFolder, path: str, entry: Entry, target: Path) -> None:
    content = kept.content(entry.sha256)
    temporary = target.with_name(f"{PARTIAL}{entry.sha256}")
    try:
        shutil.copyfile(content, temporary)
    except FileNotFoundError:
        raise _damaged(kept, path) from None
    if hash_of(temporary) != entry.sha256:
        raise _damaged(kept, path)
    os.chmod(temporary, entry.mode)
    os.utime(temporary, ns=(entry.stamp[1], entry.stamp[1]))
    put_in_place(temporary, target)


def _damaged(kept: BackUpFolder, path: str) -> DamagedBackUpError:
    return DamagedBackUpError(
        f"{shown(path)} is missing or damaged in the back-up, and nothing was put in place; `back-up {kept.folder} "
        f"--check` lists what is damaged in each. Restore another one with --of: {', '.join(kept.names())}"
    )


def _put_in_place(staged: Path, place: Path) -> None:
    """Give everything its place, the lake last: without it nothing counts as there."""
    place.mkdir(parents=True, exist_ok=True)
    for each in sorted(staged.iterdir(), key=lambda path: (path.name == "lake", path.name)):
        target = place / each.name
        if each.name == "dagster.yaml" and (target.exists() or target.is_symlink()):
            continue  # chosen for this machine by env.sh
        if target.exists() and _holds(target):  # made since an earlier try was killed
            raise FolderNotEmptyError(f"{target} is there by now; move it away and start again")
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        os.replace(each, target)
    sync(place)
