"""A hospital more: from its folder to a partition.

What lives here: registering institutions as partitions, and bringing a hospital's folder to `data/landing`. What does
not: reading its films (room `intake`).
"""

import os
import shutil
from pathlib import Path

from dagster import DagsterInstance

from olvf_assets.foundation.landing import KEY_PATTERN, LandingError, landing_files, read_institution
from olvf_assets.foundation.partitions import INSTITUTION_PARTITIONS
from olvf_assets.intake.pseudonyms import KEY_FILE, KEY_VARIABLE, make_key_file
from olvf_assets.lost_runs import report_lost_runs
from olvf_assets.places import data_folder
from olvf_assets.profiles import profile_name
from olvf_assets.resources import StudyResource

NEXT_STEPS = """{name} is registered: {files} files in {folder}.
{key_note}It is taken in within two minutes while `make ui` runs (sensor landing_folders_changed, then score_new_films),
or now by:
  . ./env.sh && dagster asset materialize --select '*'
Its rows in external_metrics come from the networks there are; nothing is trained again."""


def register_institutions() -> list[str]:
    """Make every institution of the profile and of `data/landing` a partition, and return their keys.

    Runs whose process is gone are reported as failed on the way, so that the UI opens on what is true.
    """
    keys = StudyResource(profile_name=profile_name(), data_folder=str(data_folder())).institutions()
    with DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(str(INSTITUTION_PARTITIONS.name), keys)
        report_lost_runs(instance, data_folder())
    return keys


def add_hospital(key: str, source: Path) -> str:
    """Copy a hospital's folder to `data/landing/<key>`, register it, and return what to do next.

    The copy appears under its name only when it is whole. A key for pseudonyms is made if there is none.

    Raises:
        LandingError: the key cannot be one, the folder is not laid out as it must be, or the name is taken.
    """
    if not KEY_PATTERN.fullmatch(key):
        raise LandingError(f"NAME={key}: use lower-case letters, digits and _, starting with a letter")
    if not source.is_dir():
        raise LandingError(f"FROM={source} is not a folder")
    landing = data_folder() / "landing"
    target = landing / key
    if target.exists():
        raise LandingError(f"{target} exists; copy new films into it, or choose another NAME")
    partial = landing / f".{key}.partial" / key
    shutil.rmtree(partial.parent, ignore_errors=True)
    try:
        shutil.copytree(source, partial, ignore=shutil.ignore_patterns(".*"))
        read_institution(partial)
        partial.rename(target)
    finally:
        shutil.rmtree(partial.parent, ignore_errors=True)
    key_note = ""
    if not os.environ.get(KEY_VARIABLE) and not (data_folder() / KEY_FILE).exists():
        key_note = (
            f"A key for pseudonyms was made: {make_key_file(data_folder())}. Keep a copy of it in a safe place.\n"
        )
    register_institutions()
    return NEXT_STEPS.format(name=key, files=len(landing_files(target)), folder=target, key_note=key_note)
