"""Accepted films as 8-bit pictures in the artifact store (table `film_pixels`).

What lives here: decoding, refusing films whose pixels cannot be used, and remembering finished films. What does not:
grey levels (`grey_levels`), headers (`headers`).
Decoding rates per core (1693 x 2032): uncompressed 100/s, RLE 30/s, JPEG lossless 6/s, JPEG-LS 8/s, JPEG 2000 2/s;
threads do not help compressed films, so processes are used.
"""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydicom import dcmread

from olvf_assets.foundation.artifacts import ArtifactStore, write_atomically
from olvf_assets.foundation.parallel import parallel_map
from olvf_assets.intake.grey_levels import grey_levels
from olvf_assets.intake.pseudonyms import Pseudonymiser
from olvf_assets.intake.safe_paths import path_names
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.intake.tables import FILM_PIXELS

CODE_VERSION = 1
RESULT_FILE = "result.json"
# Fewer films than this are done in this process: starting others takes about as long (1.3 s of each core).
FILMS_PER_PROCESS = 24


class _UnusableError(Exception):
    """The pixels of one film cannot be used (internal; becomes a refusal in the table)."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def film_pixels(
    folder: Path,
    headers: pl.DataFrame,
    store: ArtifactStore,
    names: Pseudonymiser,
    settings: IntakeSettings,
    *,
    workers: int = 0,
    report: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Decode the accepted films of an institution and store them as 8-bit pictures.

    Films done by an earlier run (same bytes, same settings, same code) are not decoded again.

    Args:
        folder: the landing folder of the institution.
        headers: table `dicom_headers`; rows with a refusal are left out.
        store: where pictures go (0 black, 255 white, full resolution).
        names: tells the institution and the names of its files.
        settings: the percentiles used when a header has no window.
        workers: processes; 0 means one per core.
        report: told of progress.

    Returns:
        Table `film_pixels`, one row per accepted header, sorted by path. Reasons for a refusal: `corrupt_pixels`,
        `constant_image`, `changed_since_listed`, `duplicate` (another film has the very same picture).
    """
    shown = path_names(folder, names)
    films = headers.filter(pl.col("refusal").is_null()).sort("path").select("path", "film_id", "sha256").to_dicts()
    results = {film["path"]: _finished(store, _work_folder(store, film["sha256"], settings)) for film in films}
    todo = [film for film in films if results[film["path"]] is None]
    if report is not None and len(todo) < len(films):
        report(f"{len(films) - len(todo)} films of {names.institution} were decoded before")
    entries = [(shown.real(film["path"]), film["sha256"]) for film in todo]
    work = partial(_decode_one, folder=folder, store=store, settings=settings)
    processes = workers if len(todo) >= FILMS_PER_PROCESS else 1
    done = parallel_map(work, entries, workers=processes, what=f"films of {names.institution}", report=report)
    results |= {film["path"]: result for film, result in zip(todo, done, strict=True)}
    institution = {"institution": names.institution}
    empty = dict.fromkeys(FILM_PIXELS.names())
    rows = [
        empty | institution | {"path": film["path"], "film_id": film["film_id"]} | (results[film["path"]] or {})
        for film in films
    ]
    _refuse_equal_pictures(rows)
    return pl.DataFrame(rows, schema=FILM_PIXELS)


def _work_folder(store: ArtifactStore, sha256: str, settings: IntakeSettings) -> Path:
    description = {
        "source_sha256": sha256,
        "window_percentiles": list(settings.window_percentiles),
        "code_version": CODE_VERSION,
    }
    return store.work_folder("film_pixels", description)


def _finished(store: ArtifactStore, folder: Path) -> dict[str, Any] | None:
    """Return the result of an earlier run if it is whole: its picture must still be there."""
    record = folder / RESULT_FILE
    if not record.is_file():
        return None
    result: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    return result if store.path(result["image_path"]).is_file() else None


def _decode_one(entry: tuple[str, str], folder: Path, store: ArtifactStore, settings: IntakeSettings) -> dict[str, Any]:
    """Decode and store one film; refusals are not remembered, so that a repaired decoder tries again."""
    real_path, sha256 = entry
    try:
        picture, voi = _picture(folder / real_path, sha256, settings)
    except _UnusableError as refused:
        return {"refusal": refused.reason, "refusal_detail": refused.detail}
    image_path, pixel_sha256 = store.save_image(picture)
    result = {"image_path": image_path, "pixel_sha256": pixel_sha256, "voi": voi}
    record = _work_folder(store, sha256, settings) / RESULT_FILE
    write_atomically(record, lambda temporary: _write_json(temporary, result))
    return result


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _picture(file: Path, sha256: str, settings: IntakeSettings) -> tuple[np.ndarray, str]:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _UnusableError("unreadable", f"the file cannot be opened ({type(error).__name__})") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _UnusableError(
            "changed_since_listed", "the file is not the one that was listed; take the folder in again"
        )
    try:
        header = dcmread(BytesIO(content))
        stored = header.pixel_array
        if stored.shape != (header.Rows, header.Columns) or stored.dtype.kind not in "iu":
            raise _UnusableError("corrupt_pixels", f"decoded to {stored.dtype} {stored.shape}")
        constant = bool(stored.min() == stored.max())
        levels = None if constant else grey_levels(stored, header, settings.window_percentiles)
    except _UnusableError:
        raise
    except Exception as error:
        # Every decoder plug-in has exceptions of its own; none of them may stop the other films of the hospital.
        raise _UnusableError("corrupt_pixels", f"the pixels cannot be decoded ({type(error).__name__})") from error
    if levels is None:
        raise _UnusableError("constant_image", "every pixel has the same value")
    if levels.pixels.min() == levels.pixels.max():
        raise _UnusableError("constant_image", f"the {levels.voi} of the header shows every pixel alike; correct it")
    return levels.pixels, levels.voi


def _refuse_equal_pictures(rows: list[dict[str, Any]]) -> None:
    """Refuse every film after the first (by path) with the same picture: one exposure sent under two names."""
    first: dict[str, str] = {}
    for row in rows:
        digest = row.get("pixel_sha256")
        if digest is None:
            continue
        if digest in first:
            detail = f"the same picture as {first[digest]} under another SOP instance"
            row.update(refusal="duplicate", refusal_detail=detail, image_path=None, pixel_sha256=None, voi=None)
        first.setdefault(digest, row["path"])
