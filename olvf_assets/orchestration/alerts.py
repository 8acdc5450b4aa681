"""What people are told of: runs that failed, checks that broke, hospitals that bring nothing.

What lives here: finding these out from Dagster's records and the sites' accounts, and the sensor that does. What does
not: the ways by which people are told, and telling them once (`alerts`).

A run is looked at when it has ended. One that Dagster tries again by itself is told of only if that fails, too. Checks
are known by table, check and partition: a broken one is told of once, and anew when more or fewer rows break it.
"""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from dagster import (
    AssetCheckEvaluation,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetKey,
    DagsterEventType,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunsFilter,
    SensorEvaluationContext,
    SkipReason,
    asset_check,
    sensor,
)
from dagster._core.storage.tags import PARTITION_NAME_TAG, WILL_RETRY_TAG

from olvf_assets.alerts.channels import Send, ways_of
from olvf_assets.alerts.messages import Message
from olvf_assets.alerts.outbox import OF_RUN, Outbox
from olvf_assets.alerts.settings import Alerts, Site, read_alerts
from olvf_assets.foundation.errors import OlvfError
from olvf_assets.intake.landing.arrivals import newest_film_s
from olvf_assets.intake.pacs.site import last_successes
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.orchestration.steps import INSTITUTIONS_CHECK

RUNS_AT_ONCE = 20
OVERLAP_S = 120.0  # runs are looked at a little further back than the last time, each once
NOBODY = "nobody is told: data/alerts/alerts.toml names no webhook and no mail (docs/operations.md)"
SITES_TABLE, SITES_CHECK = "landing_manifest", "sites_deliver"
DAY_S, HOUR_S = 86_400.0, 3_600.0


class CheckFound(NamedTuple):
    """What a check found in a run."""

    table: str
    check: str
    passed: bool
    breaking: int
    said: str


@asset_check(
    asset=SITES_TABLE,
    name=SITES_CHECK,
    description="Every hospital brings films, and its image store is polled with success, as often as expected.",
)
def sites_deliver(study: StudyResource) -> AssetCheckResult:
    """Look at all hospitals now."""
    stale = _lines(stale_sites(study, read_alerts(study.data), time.time()))
    return AssetCheckResult(passed=not stale, severity=AssetCheckSeverity.WARN, metadata=stale)


@sensor(minimum_interval_seconds=60, default_status=DefaultSensorStatus.RUNNING)
def alerts(context: SensorEvaluationContext, study: StudyResource) -> SkipReason:
    """Tell people of failed runs, broken checks and hospitals that bring nothing, each once."""
    settings = read_alerts(study.data)
    ways = ways_of(settings, study.data)
    now_s = time.time()
    outbox = Outbox(study.data, now_s)
    sites = stale_sites(study, settings, now_s)
    show_sites(context.instance, outbox, _lines(sites))
    if not ways:
        outbox.since_s = now_s  # what happens meanwhile is nobody's news
        outbox.keep()
        return SkipReason(NOBODY)
    found = look_at_runs(context.instance, outbox, settings, ways) + look_at_sites(sites, outbox, ways)
    outbox.keep()
    told = outbox.hand_over(ways, context.log.warning)
    outbox.keep()
    return SkipReason(f"{found} new things to tell, {told} messages handed over, {outbox.waiting} wait")


def look_at_runs(instance: DagsterInstance, outbox: Outbox, settings: Alerts, ways: Mapping[str, Send]) -> int:
    """Put what is to be told of runs that have ended since the last time into the outbox; return how much that is."""
    found = 0
    after = datetime.fromtimestamp(outbox.since_s - OVERLAP_S if outbox.seen else outbox.since_s, UTC)
    ended = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE]
    records = instance.get_run_records(
        RunsFilter(statuses=ended, updated_after=after), order_by="update_timestamp", ascending=True
    )
    unseen = [each for each in records if each.dagster_run.run_id not in outbox.seen]
    for record in unseen[:RUNS_AT_ONCE]:
        run = record.dagster_run
        if run.status == DagsterRunStatus.FAILURE and run.tags.get(WILL_RETRY_TAG) != "true":
            found += outbox.tell(f"{OF_RUN}{run.run_id}", "failed", _of_run(run, settings), ways)
        partition = run.tags.get(PARTITION_NAME_TAG, "")
        for each in _checks_of(instance, run.run_id):
            key = f"check {each.table} {each.check} {partition}".strip()
            if each.passed:
                outbox.over(key)
            else:
                message = _of_check(each, partition, run, settings)
                found += outbox.tell(key, each.said, message, ways)
        outbox.seen.append(run.run_id)
        outbox.since_s = max(outbox.since_s, record.update_timestamp.timestamp())
    return found


def show_sites(instance: DagsterInstance, outbox: Outbox, stale: dict[str, str]) -> None:
    """Show in the UI which hospitals are stale, whenever others are than before."""
    now = ",".join(sorted(stale))
    if outbox.sites != now:
        outbox.sites = now
        instance.report_runless_asset_event(
            AssetCheckEvaluation(
                AssetKey(SITES_TABLE), SITES_CHECK, not stale, metadata=stale, severity=AssetCheckSeverity.WARN
            )
        )


def look_at_sites(sites: Mapping[str, list[str]], outbox: Outbox, ways: Mapping[str, Send]) -> int:
    """Put what is to be told of hospitals that bring nothing into the outbox; return how much that is."""
    found = 0
    for institution, said in sites.items():
        key = f"site {institution}"
        if not said:
            outbox.over(key)
            continue
        lines = (*said, "What to do: docs/operations.md, check sites_deliver.")
        message = Message("site_stale", f"{institution} brings nothing", lines)
        found += outbox.tell(key, "stale", message, ways)
    return found


def stale_sites(study: StudyResource, settings: Alerts, now_s: float) -> dict[str, list[str]]:
    """Return for each hospital that is watched why it counts as stale; nothing for one that does not.

    Args:
        study: whose hospitals.
        settings: what is expected of them.
        now_s: seconds since 1970.
    """
    polls = last_successes(study.data)
    said: dict[str, list[str]] = {}
    for institution in sorted({*polls, *settings.sites}):
        site = settings.sites.get(institution, Site())
        said[institution] = list(_stale(study, institution, site, polls.get(institution), now_s))
    return said


def _stale(study: StudyResource, institution: str, site: Site, polled_s: float | None, now_s: float) -> Iterator[str]:
    if polled_s is not None and site.poll_within_hours and now_s - polled_s > site.poll_within_hours * HOUR_S:
        hours = (now_s - polled_s) / HOUR_S
        yield f"No poll of its image store has succeeded for {hours:.0f} h; expected within {site.poll_within_hours:g}."
    if not site.films_every_days:
        return
    try:
        came_s = newest_film_s(study.data / "landing" / institution)
    except (OSError, OlvfError) as error:
        yield f"Its landing folder cannot be read ({type(error).__name__})."
        return
    if came_s is None:
        yield "Its landing folder holds no film."
    elif now_s - came_s > site.films_every_days * DAY_S:
        days = (now_s - came_s) / DAY_S
        yield f"No film has come for {days:.0f} days; expected within {site.films_every_days:g}."


def _checks_of(instance: DagsterInstance, run_id: str) -> Iterator[CheckFound]:
    """Yield what each check of a run found last; of its rows only how many, since those name films."""
    last: dict[tuple[str, str], CheckFound] = {}
    for entry in instance.all_logs(run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION):
        if entry.dagster_event is None:
            continue
        each = entry.dagster_event.asset_check_evaluation_data
        if each.check_name == SITES_CHECK:  # told of by hospital
            continue
        table = each.asset_key.to_user_string()
        count = each.metadata.get("breaking_rows")
        breaking = int(str(count.value)) if count is not None else 0
        said = f"{breaking} rows break it" if breaking else "it does not hold"
        if each.check_name == INSTITUTIONS_CHECK:
            said = f"left out: {', '.join(sorted(each.metadata))}"
        last[table, each.check_name] = CheckFound(table, each.check_name, each.passed, breaking, said)
    yield from last.values()


def _lines(sites: Mapping[str, list[str]]) -> dict[str, str]:
    return {institution: " ".join(said) for institution, said in sites.items() if said}


def _of_run(run: DagsterRun, settings: Alerts) -> Message:
    partition = run.tags.get(PARTITION_NAME_TAG)
    of = f" of {partition}" if partition else ""
    lines = ("Its page says why; what to do: docs/operations.md. Finished work is kept.",)
    return Message("run_failed", f"run {run.run_id[:8]} ({_job(run)}{of}) failed", lines, _url(run, settings))


def _of_check(each: CheckFound, partition: str, run: DagsterRun, settings: Alerts) -> Message:
    of = f" of {partition}" if partition else ""
    subject = f"check {each.check} of {each.table}{of} is red: {each.said}"
    lines = ("What it means and what to do stands in docs/operations.md under its name.",)
    return Message("check_failed", subject, lines, _url(run, settings))


def _job(run: DagsterRun) -> str:
    return "tables" if run.job_name.startswith("__") else run.job_name


def _url(run: DagsterRun, settings: Alerts) -> str:
    return f"{settings.ui}/runs/{run.run_id}" if settings.ui else ""
