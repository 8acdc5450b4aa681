"""What starts by itself in the operations view: jobs, the landing sensor, the daily schedule, scoring of new films.

What lives here: when something runs. What does not: what is due (`foundation/arrivals.py`) and what is made (rooms).
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

from olvf_assets.foundation.arrivals import SETTLE_S, institutions_due
from olvf_assets.foundation.partitions import FOLD_PARTITIONS, INSTITUTION_PARTITIONS
from olvf_assets.graph import tables_by, tables_scored_again
from olvf_assets.resources import StudyResource

take_in_institution = define_asset_job(
    "take_in_institution",
    selection=AssetSelection.assets(*tables_by("institution")),
    partitions_def=INSTITUTION_PARTITIONS,
    description="Everything that is made per institution, from its landing folder to its crops.",
)
train_fold = define_asset_job(
    "train_fold",
    selection=AssetSelection.assets(*tables_by("fold")),
    partitions_def=FOLD_PARTITIONS,
    description="The three networks of one fold, and their predictions.",
)
evaluate = define_asset_job(
    "evaluate",
    selection=AssetSelection.assets(*tables_by("fold")).downstream() & AssetSelection.assets(*tables_by(None)),
    description="Ensemble, metrics, attention, pictures and the warehouse.",
)
UNDER_WAY = [DagsterRunStatus.QUEUED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]
JOBS = [take_in_institution, train_fold, evaluate]


@sensor(job=take_in_institution, minimum_interval_seconds=30, default_status=DefaultSensorStatus.RUNNING)
def landing_folders_changed(context: SensorEvaluationContext, study: StudyResource) -> SensorResult | SkipReason:
    """Take in every institution whose landing folder changed; a failed one is tried again by the daily schedule."""
    if _something_runs(context.instance):
        return SkipReason("a run or backfill is under way; it may be taking the same films in")
    due = _due(study)
    if not due:
        return SkipReason(
            "no detector is trained yet, or every landing folder is taken in as it is or still being copied"
        )
    return SensorResult(
        run_requests=[
            RunRequest(run_key=f"{institution}:{fingerprint}", partition_key=institution)
            for institution, fingerprint in due.items()
        ],
        dynamic_partitions_requests=[INSTITUTION_PARTITIONS.build_add_request(sorted(due))],
    )


@schedule(job=take_in_institution, cron_schedule="0 3 * * *", default_status=DefaultScheduleStatus.RUNNING)
def take_in_daily(context: ScheduleEvaluationContext, study: StudyResource) -> Iterator[RunRequest | SkipReason]:
    """Take in whatever is new or failed before, every night at three."""
    due = _due(study)
    if not due:
        yield SkipReason("nothing new in data/landing")
        return
    context.instance.add_dynamic_partitions(str(INSTITUTION_PARTITIONS.name), sorted(due))
    day = context.scheduled_execution_time.date().isoformat()
    for institution, fingerprint in due.items():
        yield RunRequest(run_key=f"{institution}:{fingerprint}:{day}", partition_key=institution)


score_new_films = AutomationConditionSensorDefinition(
    "score_new_films",
    target=AssetSelection.assets(*tables_scored_again()),
    default_status=DefaultSensorStatus.RUNNING,
    description="New crops are predicted, evaluated and put into the warehouse by the networks there are.",
)

SENSORS = [landing_folders_changed, score_new_films]
SCHEDULES = [take_in_daily]


def _something_runs(instance: DagsterInstance) -> bool:
    backfilling = any(each.status.value == "REQUESTED" for each in instance.get_backfills(limit=10))
    return backfilling or instance.get_runs_count(RunsFilter(statuses=UNDER_WAY)) > 0


def _due(study: StudyResource) -> dict[str, str]:
    """Return what is due, which is nothing until there is a detector to take films in with."""
    if not study.has_table("detector_model"):
        return {}
    return institutions_due(study.data / "landing", study.store, now_s=time.time(), settle_s=SETTLE_S)
