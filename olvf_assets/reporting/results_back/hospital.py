"""The objects of a hospital's films as files, and which of them are still to be sent.

What lives here: writing them beside the lake, for this user alone; going on after a kill; the list of what is to be
sent, and noting that it was. What does not: sending (`intake.pacs`), the objects themselves.

The files hold what the films' headers hold, names and numbers of patients. They lie in `results/<institution>` of the
data folder, mode 700, bear pseudonyms as names, and may be removed once they were sent.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pydicom import Dataset

from olvf_assets.foundation.write_faults import write_faults_named
from olvf_assets.intake.landing.foreign import Refusal, read_apart
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.intake.privacy.safe_paths import PathNames
from olvf_assets.reporting.results_back.attention_image import attention_image
from olvf_assets.reporting.results_back.equipment import libraries_kept_quiet, now
from olvf_assets.reporting.results_back.film_header import read_film_header
from olvf_assets.reporting.results_back.findings import Findings
from olvf_assets.reporting.results_back.structured_report import structured_report
from olvf_assets.reporting.results_back.versions import (
    Version,
    films_with_versions,
    identity_of,
    keep_versions,
    next_version,
    versions_of,
)
from olvf_assets.storage.artifacts import ArtifactStore, write_atomically

FOLDER = "results"
OWNER_ONLY_FOLDER, OWNER_ONLY_FILE = 0o700, 0o600
REPORT, PICTURE = "sr", "sc"
FILMS_PER_PROCESS = 24  # fewer are written by one process; starting another takes about as long
NEW, SUPERSEDING, AS_BEFORE = "new", "superseding", "as before"


class Outcome(NamedTuple):
    """What became of the films of a hospital.

    Attributes:
        counts: films by what was written for them: new, superseding, as before; and refused.
        refused: reasons why nothing could be written, one a film.
    """

    counts: Counter[str]
    refused: list[str]


@dataclass(frozen=True)
class _Job:
    folder: Path
    out: Path
    store: ArtifactStore
    names: Pseudonymiser
    dry_run: bool


def write_results(
    findings: Sequence[Findings],
    folder: Path,
    out: Path,
    store: ArtifactStore,
    names: Pseudonymiser,
    paths: PathNames,
    *,
    dry_run: bool,
    report: Callable[[str], None],
) -> Outcome:
    """Write the objects of every film whose result is not the last one that was written.

    Args:
        findings: of the hospital's films.
        folder: its landing folder, where each film's identifiers are read.
        out: where the files go, made for this user alone.
        store: where pictures lie and versions are kept.
        names: makes pseudonyms and UIDs.
        paths: the real names of the films' files.
        dry_run: write nothing.
        report: told of progress.

    Raises:
        DamagedPictureError: a film's picture or map is missing or damaged.
        DiskFullError, WriteFaultError: the disk.
        UnreadableStoreError: what was written before may not be read.
    """
    if not dry_run:
        with write_faults_named(out):
            out.mkdir(parents=True, exist_ok=True, mode=OWNER_ONLY_FOLDER)
            for place in (out.parent, out):
                place.chmod(OWNER_ONLY_FOLDER)
    job = partial(_write, job=_Job(folder, out, store, names, dry_run))
    todo = [(each, paths.real(each.path)) for each in findings]
    workers = 0 if len(todo) >= FILMS_PER_PROCESS else 1
    counts: Counter[str] = Counter()
    refused: list[str] = []
    for each, answer in zip(findings, read_apart(job, todo, workers=workers, what="films", report=report), strict=True):
        if isinstance(answer, str):
            counts[answer] += 1
        else:
            said = answer.detail if isinstance(answer, Refusal) else str(answer)
            refused.append(said if each.film_id in said else f"film {each.film_id}: {said}")
    if refused:
        counts["refused"] = len(refused)
    if not dry_run:
        _remove_others(out, store, {each.film_id for each in findings})
    return Outcome(counts, refused)


def unsent(data: Path, store: ArtifactStore, institution: str) -> list[Path]:
    """Return the files that are to be sent: the last version of each film, unless somebody noted that it was.

    A version that was superseded before it was sent is not among them.
    """
    out = data / FOLDER / institution
    found = []
    for film_id in films_with_versions(store, institution):
        *_, last = versions_of(store, institution, film_id)
        if last.sent is None:
            found += [path for path in _files(out, film_id, last).values() if path.is_file()]
    return found


def mark_sent(data: Path, store: ArtifactStore, institution: str, stored: Iterable[Path]) -> None:
    """Note which of the files that `unsent` returned are in the image store; a film counts when all of its are.

    Raises:
        DiskFullError, WriteFaultError: the disk.
    """
    there = set(stored)
    for film_id in films_with_versions(store, institution):
        versions = versions_of(store, institution, film_id)
        files = {path for path in _files(data / FOLDER / institution, film_id, versions[-1]).values() if path.is_file()}
        if files and files <= there and versions[-1].sent is None:
            sent = replace(versions[-1], sent=now().isoformat())
            keep_versions(store, institution, film_id, [*versions[:-1], sent])


def _write(item: tuple[Findings, str], job: _Job) -> str:
    """Write one film's objects unless they are there, and return what they are."""
    findings, path = item
    with libraries_kept_quiet():
        film = read_film_header(job.folder, path, findings.film_id, findings.patient_id, job.names)
        key = job.names.uid(f"results content {findings.content()} {film.digest()}")
        earlier = versions_of(job.store, findings.institution, findings.film_id)
        if earlier and earlier[-1].key == key:
            last = earlier[-1]
            files = _files(job.out, findings.film_id, last)
            if last.sent is not None or all(file.is_file() for file in files.values()) or job.dry_run:
                return AS_BEFORE
            versions, state = earlier, AS_BEFORE  # somebody took the files away before they were sent
        else:
            made = next_version(earlier, film.sop_instance_uid, key, job.names, now(), has_picture=findings.has_map)
            versions, state = [*earlier, made], SUPERSEDING if earlier else NEW
        if job.dry_run:
            return state
        identity = identity_of(versions)
        files = _files(job.out, findings.film_id, versions[-1])
        if findings.has_map:
            _put(attention_image(findings, film, identity, job.store), files[PICTURE])
        _put(structured_report(findings, film, identity, job.names), files[REPORT])
    keep_versions(job.store, findings.institution, findings.film_id, versions)
    return state


def _files(out: Path, film_id: str, version: Version) -> dict[str, Path]:
    """Return where the objects of a version lie, the picture first: the report names it."""
    kinds = [PICTURE, REPORT] if version.picture_uid else [REPORT]
    return {kind: out / f"{film_id}.{version.report_uid[-8:]}.{kind}.dcm" for kind in kinds}


def _put(made: Dataset, path: Path) -> None:
    def write(temporary: Path) -> None:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT, OWNER_ONLY_FILE))
        made.save_as(temporary, enforce_file_format=True)

    write_atomically(path, write)


def _remove_others(out: Path, store: ArtifactStore, films: set[str]) -> None:
    """Remove files of superseded versions, of films that are not there any more, and what a killed call left."""
    kept: set[Path] = set()
    for film_id in films:
        versions = versions_of(store, out.name, film_id)
        if versions:
            kept |= set(_files(out, film_id, versions[-1]).values())
    with write_faults_named(out):
        for path in out.iterdir():
            if path not in kept and path.suffix == ".dcm":
                path.unlink()
