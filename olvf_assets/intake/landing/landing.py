"""What a hospital hands over: the landing folder of one institution.

What lives here: the layout of that folder (names of sheets and folders) and the list of files that arrived
(`landing_manifest`). What does not: who the institution is (`institution_file`), ZIP archives (`archives`), reading a
film or a sheet (the stations beside this one), writing such a folder (room `phantom`).
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, get_args

import polars as pl

from olvf_assets.foundation.errors import OlvfError, SystemFaultError, is_of_the_machine
from olvf_assets.foundation.parallel import available_cores
from olvf_assets.intake.landing.archives import UnusableArchiveError, archive_of, member_digest
from olvf_assets.intake.landing.box_names import box_role, in_box_folder
from olvf_assets.intake.landing.file_names import on_disk
from olvf_assets.intake.landing.foreign import Refusal, read_apart
from olvf_assets.intake.landing.landing_walk import LandedFile, arrived_paths, walk_landing
from olvf_assets.storage.remembered import RememberedFacts, Stamp

INSTITUTION_FILE = "institution.toml"
FILMS_FOLDER = "films"

Sheet = Literal["subjects", "readers", "conditions"]
SHEETS: tuple[Sheet, ...] = get_args(Sheet)
SHEET_SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx", ".xls")
# readers.csv, or one file per reader: readers_1.xlsx, readers_2_reading_2.csv, readers_consensus.csv
SHEET_FILE = re.compile(
    r"(?P<sheet>subjects|conditions|readers)"
    r"(?:(?<=readers)_(?P<reader>1|2|consensus)(?:_reading_(?P<reading>[12]))?)?"
    rf"(?:{'|'.join(map(re.escape, SHEET_SUFFIXES))})",
    re.IGNORECASE,
)

FILES_IN_QUEUE = 1000  # a file waiting to be hashed takes memory

LANDING_MANIFEST = pl.Schema(
    {
        "institution": pl.String,
        "path": pl.String,
        "kind": pl.String,  # candidate (for a film), sheet or boxes, by its place and name
        "state": pl.String,  # arrived, archive (its files stand beside it), ignored by a rule, refused unread
        "reason": pl.String,  # of the last two
        "detail": pl.String,
        "size_bytes": pl.Int64,
        "sha256": pl.String,  # of what has arrived
    }
)
Kind = Literal["candidate", "sheet", "boxes"]
# What labelling programs leave beside boxes, by its role: the rule by which it is left alone.
BESIDE = {"picture": "picture_beside_boxes", "beside": "of_the_labelling_program"}


class LandingError(OlvfError):
    """The landing folder of an institution cannot be used as it is."""


class EmptyLandingError(LandingError):
    """The landing folder holds no film."""


def kind_of(path: str) -> Kind:
    """Return what a path (posix, relative to the landing folder) must be by its place and name."""
    role = box_role(path)
    if role in ("boxes", *BESIDE):
        return "boxes"
    known = role == "classes" or path == INSTITUTION_FILE or SHEET_FILE.fullmatch(path)
    return "sheet" if known else "candidate"


def is_sheet(path: str) -> bool:
    """Return whether a path (posix, relative to the landing folder) is a known sheet or box file, not a film."""
    return kind_of(path) != "candidate"


def landing_files(folder: Path) -> list[str]:
    """Return the sorted paths (posix, relative) of all files that have arrived, archives as they are."""
    return arrived_paths(folder)


def landed_files(folder: Path) -> list[LandedFile]:
    """Return every path below a landing folder with its state, see `landing_walk`.

    Archives among the boxes stay closed, and what labelling programs leave beside boxes is left alone.
    """
    return [_left_alone(file) for file in walk_landing(folder, unopened=in_box_folder)]


def _left_alone(file: LandedFile) -> LandedFile:
    role = box_role(file.path) if file.state == "arrived" else None
    return file._replace(state="ignored", reason=BESIDE[role]) if role in BESIDE else file


def landing_manifest(
    folder: Path,
    institution: str,
    workers: int = 0,
    *,
    files: Sequence[LandedFile] | None = None,
    show: Callable[[str], str | None] | None = None,
    hashes: RememberedFacts | None = None,
    report: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """List every path of a landing folder with its state, size and hash (table `landing_manifest`).

    Args:
        folder: the landing folder of one institution.
        institution: its key.
        workers: threads (hashing releases the interpreter lock); 0 means one per core.
        files: what `landed_files` found there; found anew when not given.
        show: turns a path into the path that may be shown, see `intake.privacy.safe_paths`; default: as it is. None
            means that the file came too late for this run.
        hashes: sha256 of files that have not changed since an earlier run; they are not read.
        report: told how many files were still being written and left out.

    Raises:
        EmptyLandingError: the folder is missing, empty, or holds sheets only.
    """
    files = landed_files(folder) if files is None else files
    if not any(file.state in ("arrived", "refused") and kind_of(file.path) == "candidate" for file in files):
        raise EmptyLandingError(
            f"{folder} holds no films ({sum(file.state == 'arrived' for file in files)} sheets); copy the DICOM files "
            f"to {folder / FILMS_FOLDER}, in any folders, and start again"
        )
    files, digests = _hashed(folder, files, hashes or RememberedFacts(None, "", str), workers or available_cores())
    listed = pl.DataFrame(
        {
            "institution": [institution] * len(files),
            "path": [show(file.path) if show else file.path for file in files],
            "kind": [kind_of(file.path) for file in files],
            "state": [file.state for file in files],
            "reason": [file.reason for file in files],
            "detail": [file.detail for file in files],
            "size_bytes": [file.size_bytes for file in files],
            "sha256": digests,
        },
        schema=LANDING_MANIFEST,
    ).drop_nulls("path")
    waiting = len(files) - listed.filter(pl.col("reason").ne_missing(STILL_CHANGING)).height
    if report is not None and waiting:
        report(f"{waiting} files of {institution} are still being written and wait for the next run")
    return listed.sort("path")


def read_files(manifest: pl.DataFrame, *kinds: Kind) -> pl.DataFrame:
    """Return the rows of table `landing_manifest` that are files of these kinds and were read."""
    return manifest.filter(pl.col("kind").is_in(kinds) & (pl.col("state") == "arrived"))


STILL_CHANGING = "still_changing"
_REFUSED = "\x1f"  # begins the remembered fact of a file that cannot be hashed


def _hashed(
    folder: Path, files: Sequence[LandedFile], hashes: RememberedFacts, workers: int
) -> tuple[list[LandedFile], list[str | None]]:
    """Return the files, some now with another state, and the sha256 of each that has arrived."""
    arrived = [file for file in files if file.state == "arrived"]
    by_path = {file.path: file for file in arrived}

    def find(paths: list[str]) -> list[str | None]:
        inside = [path for path in paths if archive_of(folder, path)]
        facts = dict(zip(inside, _member_facts(folder, inside, by_path), strict=True))
        plain = [path for path in paths if path not in facts]
        with ThreadPoolExecutor(workers) as pool:
            for start in range(0, len(plain), FILES_IN_QUEUE):
                few = plain[start : start + FILES_IN_QUEUE]
                facts |= zip(few, pool.map(lambda path: _hash(folder, by_path[path]), few), strict=True)
        return [facts[path] for path in paths]

    facts = dict(zip(by_path, hashes.facts([(file.path, file.stamp) for file in arrived], find), strict=True))
    settled = [_settled(file, facts[file.path]) if file.state == "arrived" else file for file in files]
    return settled, [facts[file.path] if file.state == "arrived" else None for file in settled]


def _settled(file: LandedFile, fact: str | None) -> LandedFile:
    if fact is None:
        return file._replace(state="ignored", reason=STILL_CHANGING, detail="the next run reads it")
    if fact.startswith(_REFUSED):
        reason, detail = fact.removeprefix(_REFUSED).split(_REFUSED)
        return file._replace(state="refused", reason=reason, detail=detail)
    return file


def _member_facts(folder: Path, paths: list[str], by_path: dict[str, LandedFile]) -> list[str | None]:
    """Return the sha256 of files in archives, unpacked behind the boundary, or why they cannot be."""
    answers = read_apart(member_digest, [archive_of(folder, path) for path in paths])
    facts: list[str | None] = []
    for path, answer in zip(paths, answers, strict=True):
        inside = archive_of(folder, path)
        if inside is None or not _is_as_listed(inside[0], by_path[path]):
            facts.append(None)
        elif isinstance(answer, Refusal | UnusableArchiveError):
            facts.append(f"{_REFUSED}{answer.reason}{_REFUSED}{answer.detail}")
        else:
            facts.append(answer)
    return facts


def _hash(folder: Path, listed: LandedFile) -> str | None:
    """Return the sha256 of a file, None if it is not the one that was listed any more."""
    file = on_disk(folder, listed.path)
    try:
        with file.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        if is_of_the_machine(error):
            raise SystemFaultError(f"a file of {folder} could not be read: {error.strerror}") from None
        return None
    return digest if _is_as_listed(file, listed) else None


def _is_as_listed(file: Path, listed: LandedFile) -> bool:
    try:
        after = file.stat()
    except OSError:
        return False
    return listed.stamp == Stamp.of(after)
