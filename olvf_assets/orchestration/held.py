"""The data folder held for a command, or a job of no table, as a run holds it.

What lives here: waiting for whoever works there, and tidying after one that was killed. What does not: the lock itself
(`storage/run_lock.py`), runs (`orchestration/resources.py`).
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.storage.crash import tidy_after_crash
from olvf_assets.storage.lake_lease import hold_lake
from olvf_assets.storage.run_lock import hold_data_folder


@contextmanager
def data_folder_of(study: StudyResource, command: str, report: Callable[[str], None]) -> Iterator[None]:
    """Hold a study's data folder for the time of a `with` block; wait for a run, or end at once where OLVF_WAIT is 0.

    Args:
        study: whose folder.
        command: its name, shown to whoever waits.
        report: told whom this one waits for.

    Raises:
        DataFolderInUseError, DataFolderLockError, DiskFullError, WriteFaultError: as `hold_data_folder`.
        LakeInUseError, ObjectStoreError: as `hold_lake`.
    """
    wait = os.environ.get("OLVF_WAIT") != "0"
    with (
        hold_data_folder(study.data, command, wait=wait, report=report) as died,
        hold_lake(study.lake, study.data, command, wait=wait, report=report),
    ):
        if died is not None:
            tidy_after_crash(study.data, study.store, report=report)
        yield
