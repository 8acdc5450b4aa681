"""Who was forgotten, so that no back-up brings him back unnoticed.

What lives here: the list of marks, in the data folder and in every back-up folder that it was copied to, and which
folders those are. What does not: erasing (`erasure`), copying (`commands.backing_up`).

A mark is a digest of a keyed pseudonym or of an institution's key: it tells whether someone who stands in a back-up was
forgotten, and nothing to whoever does not have his pseudonym already.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from olvf_assets.storage.artifacts import read_if_whole, read_json, write_atomically

FORGOTTEN_FILE = "forgotten.json"  # {mark: seconds since 1970}
BACK_UPS_FILE = "back_ups.json"  # {"folders": [...]}


def mark(name: str) -> str:
    """Return what stands in the list for a patient's pseudonym or an institution's key."""
    return hashlib.sha256(f"forgotten|{name}".encode()).hexdigest()[:32]


def forgotten_in(folder: Path) -> dict[str, float]:
    """Return when each mark of a data folder's or back-up folder's list was forgotten last, in seconds since 1970."""
    found = read_if_whole(folder / FORGOTTEN_FILE, read_json) or {}
    return {mark: float(when_s) for mark, when_s in found.items()}


def add_forgotten(folder: Path, marks: dict[str, float]) -> None:
    """Add to the list of a folder.

    Raises:
        DiskFullError, WriteFaultError: the disk.
    """
    known = forgotten_in(folder)
    merged = {each: max(known.get(each, 0.0), marks.get(each, 0.0)) for each in known | marks}
    if merged != known:
        text = json.dumps(merged, indent=1, sort_keys=True)
        write_atomically(folder / FORGOTTEN_FILE, lambda file: file.write_text(text, encoding="utf-8"))


def back_up_folders(data: Path) -> list[Path]:
    """Return the folders that a data folder was ever copied to, sorted."""
    found = read_if_whole(data / BACK_UPS_FILE, read_json) or {}
    return sorted(Path(each) for each in found.get("folders", []))


def note_back_up_folder(data: Path, folder: Path) -> None:
    """Remember a folder that a data folder was copied to.

    Raises:
        DiskFullError, WriteFaultError: the disk.
    """
    known = back_up_folders(data)
    if folder not in known:
        text = json.dumps({"folders": sorted(map(str, [*known, folder]))}, indent=1)
        write_atomically(data / BACK_UPS_FILE, lambda file: file.write_text(text, encoding="utf-8"))


def note_forgotten(data: Path, names: Iterable[str], now_s: float) -> tuple[list[Path], list[Path]]:
    """Note who was forgotten in the data folder and in all its back-up folders.

    Returns:
        The back-up folders that were told, and those that are not there now and were not.

    Raises:
        DiskFullError, WriteFaultError: a disk.
    """
    marks = {mark(name): now_s for name in names}
    add_forgotten(data, marks)
    told, away = [], []
    for folder in back_up_folders(data):
        if folder.is_dir():
            add_forgotten(folder, marks)
            told.append(folder)
        else:
            away.append(folder)
    return told, away
