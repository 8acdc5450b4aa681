"""Results that go back by themselves in the operations view: a job that writes and sends them, and what starts it.

What lives here: when a hospital's results are due, and what Dagster shows of it: `results_returned` under Assets, one
materialisation a sending, numbers alone. What does not: writing and sending (`returning.py`).

A hospital's results are due when a table that they come from was written, or its image store was named, since they last
went back whole. What failed is tried again every quarter of an hour.
"""

import hashlib
import time
from pathlib import Path

from dagster import (
    AssetMaterialization,
    DefaultSensorStatus,
    Failure,
    OpExecutionContext,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    job,
    op,
    sensor,
)
from dagster._core.storage.tags import MAX_RETRIES_TAG

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.intake.landing.institution_file import read_institution
from olvf_assets.intake.pacs.site import pacs_sites
from olvf_assets.orchestration.lost_runs import announce, run_under_way
from olvf_assets.orchestration.partitions import INSTITUTION_PARTITIONS
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.reporting.tables import RESULTS_FROM
from olvf_assets.storage.artifacts import write_atomically
from olvf_assets.storage.landing_folders import landing_folders

RETURNED = "results_returned"
TRIED_AGAIN_S = 900.0
NOBODY_WANTS = "no hospital has results_back = true in its institution.toml"
NOTHING_SCORED = "nothing is scored yet"


@op(description="Write a hospital's results as DICOM objects, and store them in its image store if it has one.")
def write_and_send(context: OpExecutionContext) -> None:
    """Return the results of the hospital whose key is the run's partition."""
    from olvf_assets.orchestration.returning import NoResultsError, Sent, results_back, send_results

    study = StudyResource.at_hand()
    announce(context.instance, study.data, context.run_id)
    institution = context.partition_key
    try:
        state = state_of_results(study, institution)  # before the tables are read: what is written meanwhile is due
        outcome = results_back(institution, study, dry_run=False, report=context.log.info)
        has_store = institution in pacs_sites(study.data)
        sent = send_results(institution, study, report=context.log.info) if has_store else Sent(0, [])
    except NoResultsError as error:
        context.log.info(str(error))
        _note_returned(study, institution, state)
        return
    except OlvfError as error:
        raise Failure(str(error), allow_retries=False) from None
    counts = {f"films {fate}": n for fate, n in sorted(outcome.counts.items())}
    told = counts | {"objects stored": sent.stored, "objects not stored": len(sent.faults)}
    command = f"python -m olvf_assets results-back {institution} --send"
    if sent.faults:
        fault = f"the image store of {institution} would not take {len(sent.faults)} objects"
        raise Failure(f"{fault}; `{command}` shows why", told, allow_retries=False)
    if len(outcome.refused) == sum(outcome.counts.values()):
        fault = f"no film of {institution} has a result that can go back"
        raise Failure(f"{fault}; `{command}` shows why", told, allow_retries=False)
    if outcome.refused:
        context.log.warning(f"{len(outcome.refused)} films have no result that can go back; `{command}` shows why")
    context.log_event(AssetMaterialization(RETURNED, partition=institution, metadata=told))
    _note_returned(study, institution, state)


@job(
    partitions_def=INSTITUTION_PARTITIONS,
    tags={MAX_RETRIES_TAG: "0"},  # the sensor tries again
    description="A hospital's results as DICOM objects, into its image store; only where it has switched that on.",
)
def return_results() -> None:
    """Return the results of one hospital."""
    write_and_send()


@sensor(job=return_results, minimum_interval_seconds=15, default_status=DefaultSensorStatus.RUNNING)
def results_due(context: SensorEvaluationContext, study: StudyResource) -> SensorResult | SkipReason:
    """Return the results of every hospital that wants them and whose tables have changed since they last went back."""
    wanting = _wanting(context, study)
    if not wanting:
        return SkipReason(NOBODY_WANTS)
    if (under_way := run_under_way(context.instance)) is not None:
        return SkipReason(f"{under_way} is under way; it may be changing the same tables")
    if not all(study.has_table(name) for name in RESULTS_FROM.values()):
        return SkipReason(NOTHING_SCORED)
    states = {institution: state_of_results(study, institution) for institution in wanting}
    due = {key: state for key, state in states.items() if _returned(study, key) != state}
    if not due:
        return SkipReason(f"the results of {', '.join(wanting)} are as they went back")
    now = int(time.time() // TRIED_AGAIN_S)
    return SensorResult(
        run_requests=[RunRequest(run_key=f"{key}:{state}:{now}", partition_key=key) for key, state in due.items()],
        dynamic_partitions_requests=[INSTITUTION_PARTITIONS.build_add_request(sorted(due))],
    )


def state_of_results(study: StudyResource, institution: str) -> str:
    """Return what changes whenever other results, or results into another place, may be due."""
    versions = [study.version(name) for name in RESULTS_FROM.values()]
    return hashlib.sha256(repr((versions, institution in pacs_sites(study.data))).encode()).hexdigest()


def _wanting(context: SensorEvaluationContext, study: StudyResource) -> list[str]:
    wanting = []
    for institution in landing_folders(study.data / "landing"):
        try:
            if read_institution(study.data / "landing" / institution).results_back:
                wanting.append(institution)
        except (OlvfError, OSError) as error:
            context.log.warning(f"{institution}: {error}")
    return wanting


def _note_returned(study: StudyResource, institution: str, state: str) -> None:
    file = _file(study, institution)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(file, lambda temporary: temporary.write_text(state, encoding="utf-8"))


def _returned(study: StudyResource, institution: str) -> str | None:
    try:
        return _file(study, institution).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _file(study: StudyResource, institution: str) -> Path:
    return study.data / "results" / institution / "returned"
