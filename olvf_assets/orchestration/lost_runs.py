"""Which runs are alive, and those whose process is gone, reported as failed.

What lives here: telling such runs from those that are alive, in the words that Dagster's UI shows, and giving back what
they held. Dagster itself cannot look after a run that a command line started. What does not: the locks by which the
living are known (`storage/run_lock.py`).
"""

import socket
import time
from collections.abc import Callable
from pathlib import Path

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunRecord, RunsFilter
from dagster._core.storage.tags import HIDDEN_TAG_PREFIX

from olvf_assets.storage.run_lock import is_alive, keep_run_lock, remove_dead_locks

# By these a run is found again; Dagster's UI, which shows every other tag beside each run, hides tags of this prefix.
HOST_TAG, DATA_TAG, LOST_TAG = f"{HIDDEN_TAG_PREFIX}olvf_host", f"{HIDDEN_TAG_PREFIX}olvf_data_folder", "olvf/lost"
UNDER_WAY = [DagsterRunStatus.QUEUED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]
WHOSE_TAG = f"{HIDDEN_TAG_PREFIX}olvf_run"  # whose the tags are: a run that is tried again bears the first's
MAY_BE_LOST = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
# Between the beginning of a run and its lock lies the import of this package, slow on a busy machine.
GRACE_S = 600.0
GONE = (
    "The process of this run is gone (killed, out of memory, or the machine was switched off). What it had finished is "
    "kept: start the same command again, or materialise the same tables; it goes on where it stopped."
)


def announce(instance: DagsterInstance, data: Path, run_id: str) -> None:
    """Make a run known as alive until its process ends, to `report_lost_runs` on this host and data folder."""
    keep_run_lock(data, run_id)
    if instance.has_run(run_id):
        tags = {HOST_TAG: socket.gethostname(), DATA_TAG: str(data.resolve()), WHOSE_TAG: run_id}
        instance.add_run_tags(run_id, tags)


def run_under_way(instance: DagsterInstance) -> str | None:
    """Return words for a run or backfill that is queued or at work, None if there is none."""
    if any(each.status.value == "REQUESTED" for each in instance.get_backfills(limit=10)):
        return "a backfill"
    for run in instance.get_runs(RunsFilter(statuses=UNDER_WAY), limit=1):
        return f"run {run.run_id} ({run.status.value.lower()}, host {run.tags.get(HOST_TAG, 'not known yet')})"
    return None


def report_lost_runs(
    instance: DagsterInstance, data: Path, *, report: Callable[[str], None] = lambda line: None
) -> list[str]:
    """Report every run of this data folder whose process is gone as failed, free its pool slots, return their ids.

    Runs of other data folders, hosts or projects on the same instance are left alone.

    Args:
        instance: whose runs.
        data: the data folder.
        report: gets a line per lost run.
    """
    lost = []
    for record in instance.get_run_records(RunsFilter(statuses=MAY_BE_LOST)):
        run = record.dagster_run
        if not _is_lost(record, data) or not _still_unfinished(instance, run):
            continue
        if run.status == DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, GONE)
        else:
            instance.report_run_failed(run, GONE)
        if instance.event_log_storage.supports_global_concurrency_limits:
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        instance.add_run_tags(run.run_id, {LOST_TAG: "true"})
        report(f"run {run.run_id} was lost and is reported as failed: its process is gone")
        lost.append(run.run_id)
    remove_dead_locks(data)
    return lost


def end_runs_of_before(instance: DagsterInstance, data: Path) -> list[str]:
    """Report every unfinished run as failed and return their ids: they were under way when the records were copied.

    Args:
        instance: whose runs; where it is shared (a server), those of another data folder are left alone.
        data: the data folder that was restored.
    """
    ended = []
    for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.QUEUED, *MAY_BE_LOST])):
        here = run.tags.get(DATA_TAG) == str(data.resolve())
        if here or (not hasattr(instance.run_storage, "postgres_url") and (DATA_TAG in run.tags or _is_ours(run))):
            instance.report_run_failed(run, "This run was under way when the back-up was made; start it again.")
            if instance.event_log_storage.supports_global_concurrency_limits:
                instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            ended.append(run.run_id)
    return ended


def _is_lost(record: RunRecord, data: Path) -> bool:
    run = record.dagster_run
    if DATA_TAG in run.tags and run.tags.get(WHOSE_TAG, run.run_id) == run.run_id:
        here = run.tags[DATA_TAG] == str(data.resolve()) and run.tags.get(HOST_TAG) == socket.gethostname()
        return here and not is_alive(data, run.run_id)
    # Killed before it could say where it works: only age tells, on any host and folder alike.
    began_s = record.start_time or record.create_timestamp.timestamp()
    return _is_ours(run) and time.time() - began_s > GRACE_S and not is_alive(data, run.run_id)


def _is_ours(run: DagsterRun) -> bool:
    """Return whether a run is of this project's code: other projects may share the instance and tag nothing."""
    package = __name__.split(".", maxsplit=1)[0]
    return package in str(run.job_code_origin) or package in str(run.remote_job_origin)


def _still_unfinished(instance: DagsterInstance, run: DagsterRun) -> bool:
    """Look again: it may have ended, and let go of its lock, since the list was made."""
    now = instance.get_run_by_id(run.run_id)
    return now is not None and now.status in MAY_BE_LOST
