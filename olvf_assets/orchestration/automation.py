"""What starts by itself in the operations view: jobs, the landing sensor, the daily schedule, scoring of new films.

What lives here: when something runs. What does not: what is due (`intake/landing/arrivals.py`), what is made (rooms).
"""

import time
from collections.abc import Iterator

from dagster import (
    AssetSelection,
    AutomationConditionSensorDefinition,
    DagsterInstance,
    DagsterRunStatus,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
    ScheduleEvaluationContext,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    define_asset_job,
    schedule,
    sensor,
)
from dagster._core.storage.tags import MAX_RETRIES_TAG, RUN_FAILURE_REASON_TAG

from olvf_assets.intake.landing.arrivals import Arrivals, institutions_due, settling_time
from olvf_assets.orchestration.alerts import alerts, sites_deliver
from olvf_assets.orchestration.graph import NAMED_BY_USERS, tables_by, tables_of_an_arrival, tables_scored_again
from olvf_assets.orchestration.lost_runs import LOST_TAG, report_lost_runs, run_under_way
from olvf_assets.orchestration.pacs import ask_pacs, pacs_changed, poll_pacs
from olvf_assets.orchestration.partitions import FOLD_PARTITIONS, INSTITUTION_PARTITIONS
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.orchestration.results_back import results_due, return_results

# Dagster starts runs whose process is gone again (dagster.yaml), but for those that a sensor starts again.
NOT_BY_DAGSTER = {MAX_RETRIES_TAG: "0"}
TAKEN_IN_WITH = [*tables_by("institution"), *NAMED_BY_USERS]
take_in_institution = define_asset_job(
    "take_in_institution",
    selection=AssetSelection.assets(*tables_of_an_arrival()),
    partitions_def=INSTITUTION_PARTITIONS,
    tags=NOT_BY_DAGSTER,
    description="A hospital in one run, from its landing folder to metrics, report and warehouse; nothing is trained.",
)
train_fold = define_asset_job(
    "train_fold",
    selection=AssetSelection.assets(*tables_by("fold")),
    partitions_def=FOLD_PARTITIONS,
    description="The three networks of one fold, and their word on the crops that it validates.",
)
evaluate = define_asset_job(
    "evaluate",
    selection=AssetSelection.assets(*tables_by("fold")).downstream() & AssetSelection.assets(*tables_by(None)),
    description="Ensemble, metrics, attention, pictures and the warehouse.",
)
NO_DETECTOR = "no detector is trained yet to take films in with"
# How Dagster calls the failure of a run whose process it saw end: killed, or stopped with the service that ran it.
CUT_OFF = ("", "UNKNOWN", "UNEXPECTED_TERMINATION", "START_TIMEOUT", "RUN_WORKER_RESTART")
RUNS_LOOKED_AT = 20
TRIES_AFTER_LOSS = 3  # then the daily schedule: a run that is killed each time may be what fills the memory
JOBS = [take_in_institution, train_fold, evaluate, poll_pacs, return_results]


@sensor(job=take_in_institution, minimum_interval_seconds=10, default_status=DefaultSensorStatus.RUNNING)
def landing_folders_changed(context: SensorEvaluationContext, study: StudyResource) -> SensorResult | SkipReason:
    """Take in every institution whose landing folder changed; a failed one is tried again by the daily schedule."""
    report_lost_runs(context.instance, study.data, report=context.log.warning)
    if (under_way := run_under_way(context.instance)) is not None:
        return SkipReason(f"{under_way} is under way; it may be taking the same films in")
    if not study.has_table("detector_model"):
        return SkipReason(NO_DETECTOR)
    due, waiting, problems = _arrivals(study)
    for problem in problems:
        context.log.warning(problem)
    if not due:
        return SkipReason(_nothing_to_do(waiting, problems))
    return SensorResult(
        run_requests=[
            RunRequest(run_key=_run_key(context.instance, institution, state), partition_key=institution)
            for institution, state in due.items()
        ],
        dynamic_partitions_requests=[INSTITUTION_PARTITIONS.build_add_request(sorted(due))],
    )


@schedule(job=take_in_institution, cron_schedule="0 3 * * *", default_status=DefaultScheduleStatus.RUNNING)
def take_in_daily(context: ScheduleEvaluationContext, study: StudyResource) -> Iterator[RunRequest | SkipReason]:
    """Take in whatever is new or failed before, every night at three."""
    report_lost_runs(context.instance, study.data, report=context.log.warning)
    if not study.has_table("detector_model"):
        yield SkipReason(NO_DETECTOR)
        return
    due, waiting, problems = _arrivals(study)
    if not due:
        yield SkipReason(_nothing_to_do(waiting, problems))
        return
    context.instance.add_dynamic_partitions(str(INSTITUTION_PARTITIONS.name), sorted(due))
    day = context.scheduled_execution_time.date().isoformat()
    for institution, state in due.items():
        yield RunRequest(run_key=f"{institution}:{state}:{day}", partition_key=institution)


score_new_films = AutomationConditionSensorDefinition(
    "score_new_films",
    target=AssetSelection.assets(*tables_scored_again()),
    default_status=DefaultSensorStatus.RUNNING,
    description="New crops are predicted, evaluated and put into the warehouse by the networks there are.",
)

SENSORS = [landing_folders_changed, pacs_changed, results_due, score_new_films, alerts]
CHECKS = [sites_deliver]
SCHEDULES = [take_in_daily, ask_pacs]


def _run_key(instance: DagsterInstance, institution: str, state: str) -> str:
    """Return the key under which Dagster starts one run only; runs that were cut off say nothing of the folder."""
    partition = {"dagster/partition": institution}
    lost = instance.get_runs_count(RunsFilter(tags={LOST_TAG: "true", **partition}))
    failed = instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.FAILURE], tags=partition), limit=RUNS_LOOKED_AT)
    seen = [each for each in failed if LOST_TAG not in each.tags]
    others = [each for each in seen if each.tags.get(RUN_FAILURE_REASON_TAG, "") in CUT_OFF]
    return ":".join([institution, state, *["again"] * min(lost + len(others), TRIES_AFTER_LOSS)])


def _arrivals(study: StudyResource) -> Arrivals:
    return institutions_due(
        study.data / "landing", study.store, TAKEN_IN_WITH, now_s=time.time(), settle_s=settling_time()
    )


def _nothing_to_do(waiting: dict[str, str], problems: list[str]) -> str:
    """Return why nothing starts now: which folder waits for what."""
    others = "every other landing folder" if waiting else "every landing folder"
    return "; ".join(
        [*(f"{key} waits: {why}" for key, why in waiting.items()), f"{others} is taken in as it is", *problems]
    )
