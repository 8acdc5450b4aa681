"""Which landing folders hold something that has not been taken in yet.

What lives here: a folder's fingerprint, the mark left when it was taken in, and the decision which institutions are
due. What does not: reading any file, and Dagster (`automation.py` asks this module).
"""

import hashlib
from pathlib import Path

from olvf_assets.foundation.artifacts import ArtifactStore, write_atomically
from olvf_assets.foundation.landing import landing_files

# Longer than the pause between two files of a network copy; a day's films of a hospital arrive within minutes.
SETTLE_S = 60.0


def landing_folders(landing: Path) -> list[str]:
    """Return the keys of all institutions that have a folder under `landing`, sorted."""
    if not landing.is_dir():
        return []
    return sorted(each.name for each in landing.iterdir() if each.is_dir() and not each.name.startswith("."))


def folder_fingerprint(folder: Path) -> str:
    """Return a hash of the names, sizes and times of all files that have arrived in one landing folder."""
    listing = hashlib.sha256()
    for path in landing_files(folder):
        status = (folder / path).stat()
        listing.update(f"{path}\x1f{status.st_size}\x1f{status.st_mtime_ns}\n".encode())
    return listing.hexdigest()


def newest_change_s(folder: Path) -> float:
    """Return when a file of the folder last changed, in seconds since 1970 (0.0 when there is none)."""
    return max(((folder / path).stat().st_mtime for path in landing_files(folder)), default=0.0)


def note_arrival(store: ArtifactStore, institution: str, folder: Path) -> None:
    """Remember how an institution's folder was when its files were listed; `confirm_taken_in` makes it count."""
    fingerprint = folder_fingerprint(folder)
    write_atomically(_note(store, institution), lambda path: path.write_text(fingerprint))


def confirm_taken_in(store: ArtifactStore, institution: str) -> None:
    """Remember that what was noted on arrival has come through to the end, so that it is not due again."""
    fingerprint = _note(store, institution).read_text()
    write_atomically(_mark(store, institution), lambda path: path.write_text(fingerprint))


def institutions_due(landing: Path, store: ArtifactStore, *, now_s: float, settle_s: float) -> dict[str, str]:
    """Return {institution: fingerprint} of the folders that changed since they were taken in and have settled.

    Args:
        landing: the folder of landing folders.
        store: where the marks are.
        now_s: the time now, in seconds since 1970.
        settle_s: how long a folder must have been unchanged, so that a copy in progress is left alone.
    """
    due = {}
    for institution in landing_folders(landing):
        folder = landing / institution
        current = folder_fingerprint(folder)
        mark = _mark(store, institution)
        taken_in = mark.read_text() if mark.exists() else ""
        if current != taken_in and landing_files(folder) and now_s - newest_change_s(folder) >= settle_s:
            due[institution] = current
    return due


def _note(store: ArtifactStore, institution: str) -> Path:
    return store.path(f"arrivals/{institution}.noted")


def _mark(store: ArtifactStore, institution: str) -> Path:
    return store.path(f"arrivals/{institution}.taken_in")
