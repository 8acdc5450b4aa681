"""A hospital more: from its folder to a partition.

What lives here: registering institutions as partitions, and bringing a hospital's folder to `data/landing`. What does
not: reading its films (room `intake`).
"""

import itertools
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from dagster import DagsterInstance

from olvf_assets.commands.look import Look, look_at
from olvf_assets.foundation.parallel import reported
from olvf_assets.foundation.write_faults import write_fault, write_faults_named
from olvf_assets.intake.landing.file_names import on_disk
from olvf_assets.intake.landing.institution_file import read_institution
from olvf_assets.intake.landing.landing import LandingError, kind_of, landing_files
from olvf_assets.intake.landing.landing_walk import walk_files
from olvf_assets.intake.privacy.key_check import keyed_institutions, refuse_other_key, way_out
from olvf_assets.intake.privacy.pseudonyms import (
    KEY_FILE,
    KEY_VARIABLE,
    Pseudonymiser,
    PseudonymKeyError,
    make_key_file,
    pseudonymiser,
)
from olvf_assets.orchestration.lost_runs import end_runs_of_before, report_lost_runs
from olvf_assets.orchestration.partitions import INSTITUTION_PARTITIONS
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.storage.landing_folders import KEY_PATTERN, landing_folders
from olvf_assets.storage.places import data_folder

NEXT_STEPS = """{name} is registered: {files} files in {folder}.
{key_note}It is taken in within three minutes while `make ui` runs (sensor landing_folders_changed), after one of quiet,
or now by:
"""
TO_FIGURES = """  . ./env.sh && dagster asset materialize --select '*'
Its rows in external_metrics come from the networks there are; nothing is trained again."""
# Where the detector that ships is taken as it is.
TO_BOXES = """  . ./env.sh && dagster asset materialize --select '*detections' \
&& python -m olvf_assets draft-boxes {name}
The detector that ships finds its bodies and their levels, for people to look at; nothing is trained."""


def register_institutions() -> list[str]:
    """Make every institution of the profile and of `data/landing` a partition, and return their keys.

    Runs whose process is gone are reported as failed on the way, so that the UI opens on what is true.
    """
    keys = study_at_hand().institutions()
    with DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(str(INSTITUTION_PARTITIONS.name), keys)
        report_lost_runs(instance, data_folder())
    return keys


def end_restored_runs(home: Path) -> list[str]:
    """Report the runs as failed that were under way when Dagster's records were copied, and return their ids."""
    with DagsterInstance.from_config(str(home)) as instance:
        return end_runs_of_before(instance, data_folder())


def look_at_hospital(key: str, source: Path, report: Callable[[str], None]) -> Look:
    """Return what would be taken in of a hospital's folder, refused, and stop it; nothing is copied.

    Raises:
        LandingError, PseudonymKeyError: as `add_hospital`.
        MachineError: this machine's fault.
    """
    study = study_at_hand()
    _place_for(key, source, study)
    _needs_key(key, study)
    return look_at(key, source, study, report)


def add_hospital(key: str, source: Path, report: Callable[[str], None] = lambda line: None) -> str:
    """Bring a hospital's folder to `data/landing/<key>`, register it, and return what to do next.

    Films are linked where source and data folder share a disk, else copied; the folder appears under its name only when
    it is whole. A copying that was killed goes on where it stopped. A key for pseudonyms is made if there is none.

    Raises:
        LandingError: the key cannot be one, the folder is not laid out as it must be, or the name is taken.
        PseudonymKeyError: the lake holds hospitals that were taken in with a key that is not at hand.
        DiskFullError, WriteFaultError: the data folder's disk.
    """
    study = study_at_hand()
    target = _place_for(key, source, study)
    make_key = _needs_key(key, study)
    partial = target.with_name(f".{key}.partial") / key
    try:
        left_behind = _bring(source, partial, report)
        read_institution(partial)
        with write_faults_named(target):
            partial.rename(target)
    except Exception:
        shutil.rmtree(partial.parent, ignore_errors=True)
        raise
    shutil.rmtree(partial.parent, ignore_errors=True)
    key_note = ""
    if left_behind:
        counts = ", ".join(f"{reason} {n}" for reason, n in sorted(left_behind.items()))
        key_note = f"Not copied: {counts}.\n"
    if make_key:
        key_note += f"A key for pseudonyms was made: {make_key_file(study.data)}. Keep a copy of it in a safe place.\n"
    register_institutions()
    onward = NEXT_STEPS + (TO_BOXES if study.profile.detection.shipped else TO_FIGURES)
    return onward.format(name=key, files=len(landing_files(target)), folder=target, key_note=key_note)


def _place_for(key: str, source: Path, study: StudyResource) -> Path:
    """Return where a hospital's folder is to lie.

    Raises:
        LandingError: there is none for this key, or no folder at the source.
    """
    if not KEY_PATTERN.fullmatch(key):
        raise LandingError(f"NAME={key}: use lower-case letters, digits and _, starting with a letter")
    if key in study.profile.phantom.institutions:
        raise LandingError(
            f"NAME={key} is a synthetic hospital of profile {study.profile_name}, whose pseudonyms protect nobody; "
            f"choose another, for example NAME={_free_name(study)}"
        )
    if not source.is_dir():
        raise LandingError(f"FROM={source} is not a folder")
    target = study.data / "landing" / key
    if target.exists():
        raise LandingError(f"{target} exists; copy new films into it, or choose another NAME")
    return target


def _bring(source: Path, target: Path, report: Callable[[str], None]) -> Counter[str]:
    """Bring what has arrived in a hospital's folder, links followed, and count by reason what cannot be brought.

    Raises:
        DiskFullError, WriteFaultError: the data folder's disk.
        LandingError: a file was taken away or cannot be read.
    """
    left_behind: Counter[str] = Counter()
    with write_faults_named(target):
        target.mkdir(parents=True, exist_ok=True)
    jobs = []
    for file in walk_files(source):
        if file.state == "refused" or file.reason == "link_to_above":
            left_behind[file.reason or file.state] += 1
        elif file.state == "arrived":
            by_hand = kind_of(file.path) != "candidate"  # somebody may edit it here, and means this one
            jobs.append((on_disk(source, file.path), on_disk(target, file.path), not by_hand))
    try:
        _remove_others(target, {place for _, place, _ in jobs})
        for _ in reported(itertools.starmap(_bring_file, jobs), len(jobs), "files", report):
            pass
    except OSError as error:
        if (fault := write_fault(target, error)) is not None:
            raise fault from None
        raise LandingError(
            f"a file of FROM={source} could not be copied ({error.strerror}); nothing was taken in. See to it "
            "and start again"
        ) from None
    return left_behind


def _bring_file(origin: Path, place: Path, may_link: bool) -> None:
    """Link or copy one file, unless an earlier try did so already."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists() and _same(origin.stat(), place.stat()):
        return
    place.unlink(missing_ok=True)
    try:
        if may_link:
            os.link(origin.resolve(), place)
    except OSError:  # another disk, or one without links
        may_link = False
    if not may_link:
        shutil.copy2(origin, place)


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return os.path.samestat(one, other) or (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def _remove_others(folder: Path, wanted: set[Path]) -> None:
    """Remove what an earlier try brought and the source does not hold any more."""
    for path in list(folder.rglob("*")):
        if not path.is_dir() and path not in wanted:
            path.unlink()


def who_is_asked_for(asked: str) -> list[str]:
    """Return whom or what a pseudonym or hidden name stands for, see `intake.privacy.whois`.

    Raises:
        PseudonymKeyError: there is no key, or it is not the one that the hospitals were taken in with.
        NobodyFoundError: nothing is called so.
    """
    from olvf_assets.intake.privacy.whois import who_is

    return who_is(asked, landed_hospitals())


def landed_hospitals() -> dict[Path, Pseudonymiser]:
    """Return the landing folder of every institution with what makes its pseudonyms."""
    study = study_at_hand()
    synthetic = study.profile.phantom.institutions
    folders = [study.data / "landing" / key for key in landing_folders(study.data / "landing")]
    found = {
        folder: pseudonymiser(folder.name, folder.name in synthetic, study.data)
        for folder in folders
        if KEY_PATTERN.fullmatch(folder.name)
    }
    for names in found.values():
        if not names.synthetic:
            refuse_other_key(names, study.store)
    return found


def study_at_hand() -> StudyResource:
    """Return the study that environment variables name."""
    return StudyResource.at_hand()


def _free_name(study: StudyResource) -> str:
    taken = set(study.institutions())
    return next(name for number in itertools.count(1) if (name := f"institution_{number}") not in taken)


def make_key_if_needed(institution: str, study: StudyResource) -> Path | None:
    """Make the key for pseudonyms if there is none and none was used before; return its file if it was made now.

    Raises:
        PseudonymKeyError: the lake holds hospitals that were taken in with a key that is not at hand.
    """
    return make_key_file(study.data) if _needs_key(institution, study) else None


def _needs_key(institution: str, study: StudyResource) -> bool:
    """Return whether a key must be made; refuse one that is not that of the hospitals there are."""
    if os.environ.get(KEY_VARIABLE, "").strip() or (study.data / KEY_FILE).exists():
        refuse_other_key(pseudonymiser(institution, synthetic=False, data_dir=study.data), study.store)
        return False
    if held := keyed_institutions(study.store):
        raise PseudonymKeyError(f"the key that {', '.join(held)} were taken in with is not there. {way_out(held)}")
    return True
