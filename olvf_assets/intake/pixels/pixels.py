"""Accepted films as 8-bit pictures in the artifact store (table `film_pixels`).

What lives here: decoding, refusing films whose pixels cannot be used, remembering finished films, and the last word on
view and body part. What does not: grey levels (`grey_levels`), headers (`headers`), which decoder (`decoders`), what a
picture shows (`picture_views`). Threads do not help compressed films, so processes are used.
"""

import hashlib
import json
import warnings
import zlib
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydicom import Dataset

from olvf_assets.foundation.code_identity import code_digest
from olvf_assets.foundation.errors import is_of_the_machine
from olvf_assets.intake.headers.values import integer
from olvf_assets.intake.landing.archives import UnusableArchiveError, open_landed
from olvf_assets.intake.landing.foreign import Refusal, read_apart
from olvf_assets.intake.pixels.decoders import installed_decoders
from olvf_assets.intake.pixels.grey_levels import GreyLevels, ModalityLutError, grey_levels
from olvf_assets.intake.pixels.picture_net import PictureKind, weights_sha256
from olvf_assets.intake.pixels.picture_views import decide_view, kind_of_picture
from olvf_assets.intake.pixels.pixel_data import UnusablePixelsError, stored_film
from olvf_assets.intake.pixels.repeated_films import PICTURE_COLUMNS, refuse_equal_pictures, refuse_other_versions
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.intake.privacy.safe_paths import PathNames, path_names
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.intake.tables import FILM_PIXELS
from olvf_assets.storage.artifacts import ArtifactStore, read_json

RESULT_FILE = "result.json"
HASHED_ROWS = 8
# Fewer films than this are done in this process: starting others takes about as long (1.3 s of each core).
FILMS_PER_PROCESS = 24
# These say something of the folder at this moment, not of the film: the next run tries again.
PASSING_REFUSALS = ("unreadable", "changed_since_listed")


def film_pixels(
    folder: Path,
    headers: pl.DataFrame,
    store: ArtifactStore,
    names: Pseudonymiser,
    settings: IntakeSettings,
    *,
    paths: PathNames | None = None,
    workers: int = 0,
    report: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Decode the accepted films of an institution and store them as 8-bit pictures.

    Films done by an earlier run (same bytes, same settings, same code) are not decoded again, whether they were used
    or refused.

    Args:
        folder: the landing folder of the institution.
        headers: table `dicom_headers`; rows with a refusal are left out.
        store: where pictures go (0 black, 255 white, full resolution).
        names: tells the institution and the names of its files.
        settings: the percentiles used when a header has no window.
        paths: the names of the files, see `safe_paths`; found anew when not given.
        workers: processes; 0 means one per core.
        report: told of progress.

    Returns:
        Table `film_pixels`, one row per accepted header, sorted by path. Reasons for a refusal: those of
        `pixel_data.stored_film`, `bad_header` (of the Modality LUT), `constant_image`, `changed_since_listed`,
        `several_patients` (the very same picture under two patients; all of them), `duplicate` (under one),
        `several_versions` (another file of the same SOP instance has other pixels), and those of
        `picture_views.decide_view`.
    """
    paths = paths or path_names(folder, names)
    accepted = headers.filter(pl.col("refusal").is_null()).sort("path")
    films = [*accepted.to_dicts(), *_other_versions(headers, accepted).to_dicts()]
    # Kept film by film, so that a run that was killed, or a film that came, costs the missing ones only.
    records = [_work_folder(store, film, settings) / RESULT_FILE for film in films]
    is_there = store.image_check()
    results = [_finished(result, is_there) for result in store.read_all(records, read_json)]
    todo = [place for place, result in enumerate(results) if result is None]
    if report is not None and len(todo) < len(films):
        report(f"{len(films) - len(todo)} films of {names.institution} were decoded before")
    entries = [(paths.real(films[place]["path"]), films[place], records[place]) for place in todo]
    work = partial(_decode_one, folder=folder, store=store, settings=settings)
    processes = workers if len(todo) >= FILMS_PER_PROCESS else 1
    done = read_apart(work, entries, workers=processes, what=f"films of {names.institution}", report=report)
    for place, result in zip(todo, done, strict=True):
        results[place] = _kept(store, records[place], result) if isinstance(result, Refusal) else result
    found = [result or {} for result in results]
    rows = [_row(film, result) for film, result in zip(films[: accepted.height], found, strict=False)]
    refuse_other_versions(rows, films, found)
    refuse_equal_pictures(rows, films, found)
    return pl.DataFrame(rows, schema=FILM_PIXELS)


def _other_versions(headers: pl.DataFrame, accepted: pl.DataFrame) -> pl.DataFrame:
    """Return the files, other in bytes, that were refused for holding the SOP instance of an accepted film again."""
    again = headers.filter(pl.col("refusal") == "duplicate")
    return again.join(accepted, on="film_id", how="semi").join(accepted, on="sha256", how="anti").sort("path")


def _row(film: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    row = {name: film.get(name) for name in FILM_PIXELS.names()}
    row |= {"refusal": result.get("refusal"), "refusal_detail": result.get("refusal_detail")}
    if row["refusal"] is not None:
        return row
    row |= {name: result[name] for name in PICTURE_COLUMNS} | decide_view(film, PictureKind(**result["kind"]))
    return row if row["refusal"] is None else row | dict.fromkeys(PICTURE_COLUMNS)


def _work_folder(store: ArtifactStore, film: dict[str, Any], settings: IntakeSettings) -> Path:
    description = {
        "source_sha256": film["sha256"],
        "pixel_mm": film["pixel_mm"],
        "window_percentiles": list(settings.window_percentiles),
        "code": code_digest("olvf_assets.intake.pixels.pixels:_decode_one"),
        "looks": weights_sha256(),
    }
    return store.work_folder("film_pixels", description)


def _finished(result: dict[str, Any] | None, is_there: Callable[[str], bool]) -> dict[str, Any] | None:
    """Return the result of an earlier run (None: there is none that is whole) if it holds.

    Its picture must still be there; a refusal holds until other decoders are installed.
    """
    if result is None:
        return None
    if "refusal" in result:
        return result if result["decoders"] == installed_decoders() else None
    return result if is_there(result["image_path"]) else None


def _decode_one(
    entry: tuple[str, dict[str, Any], Path], folder: Path, store: ArtifactStore, settings: IntakeSettings
) -> dict[str, Any]:
    """Decode and store one film, or say why it cannot be used."""
    real_path, film, record = entry
    try:
        levels, values_sha256 = _picture(folder, real_path, film["sha256"], settings)
    except UnusablePixelsError as refused:
        return _kept(store, record, Refusal(refused.reason, refused.detail))
    image_path, pixel_sha256 = store.save_image(levels.pixels)
    result: dict[str, Any] = {
        "image_path": image_path,
        "pixel_sha256": pixel_sha256,
        "values_sha256": values_sha256,
        "voi": levels.voi,
        "voi_detail": levels.voi_detail,
        "kind": kind_of_picture(levels.pixels, film["pixel_mm"])._asdict(),
    }
    _keep(store, record, result)
    return result


def _kept(store: ArtifactStore, record: Path, refusal: Refusal) -> dict[str, Any]:
    """Return a refusal as a result, remembered for the next run unless it may have passed by then."""
    result = {"refusal": refusal.reason, "refusal_detail": refusal.detail, "decoders": installed_decoders()}
    if refusal.reason not in PASSING_REFUSALS:
        _keep(store, record, result)
    return result


def _keep(store: ArtifactStore, record: Path, result: dict[str, Any]) -> None:
    store.write_text(record, json.dumps(result))


def _picture(folder: Path, path: str, sha256: str, settings: IntakeSettings) -> tuple[GreyLevels, str]:
    """Return a film as a picture, and the hash of its stored values."""
    try:
        with open_landed(folder, path) as handle:
            content = handle.read()
    except (OSError, UnusableArchiveError) as error:
        if isinstance(error, OSError) and is_of_the_machine(error):
            raise
        raise UnusablePixelsError("unreadable", f"the file cannot be opened ({type(error).__name__})") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UnusablePixelsError(
            "changed_since_listed", "the file is not the one that was listed; take the folder in again"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, about values that it reads all the same
            stored, header = stored_film(BytesIO(content))
            levels = grey_levels(stored, header, settings.window_percentiles)
    except (UnusablePixelsError, MemoryError):
        raise
    except ModalityLutError as error:
        raise UnusablePixelsError("bad_header", str(error)) from error
    except Exception as error:
        # Every decoder plug-in has exceptions of its own; none of them may stop the other films of the hospital.
        detail = f"no decoder can read the pixels to their end ({type(error).__name__}); copy or export the film again"
        raise UnusablePixelsError("corrupt_pixels", detail) from error
    if levels.pixels.min() == levels.pixels.max():
        raise UnusablePixelsError("constant_image", "every pixel has the same value")
    return levels, _hash_of(stored, header)


def _hash_of(stored: np.ndarray, header: Dataset) -> str:
    mask = np.uint16((1 << (integer(header, "BitsStored") or 16)) - 1)
    values = np.ascontiguousarray(stored.astype(np.uint16, copy=False) & mask)
    # All of it by the quicker sum, a part by the surer one: films differ everywhere, if only by noise.
    sample = f"{values.shape} {zlib.crc32(values.data):08x}".encode() + values[::HASHED_ROWS].tobytes()
    return hashlib.sha256(sample).hexdigest()
