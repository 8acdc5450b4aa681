"""Image stores in the operations view: a job that polls one, and what starts it.

What lives here: when a site's image store is asked, and what Dagster shows of it: `pacs_deliveries` under Assets, one
materialisation a poll. What does not: asking (`intake.pacs`), taking in what came, which the landing sensor does with
every folder.

A poll is a run of its own: a tick of a schedule may last a minute only. It holds no lock of the data folder, since it
adds files to a landing folder as anybody may.
"""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from dagster import (
    AssetMaterialization,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    Failure,
    OpExecutionContext,
    RunRequest,
    ScheduleEvaluationContext,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    job,
    op,
    schedule,
    sensor,
)
from dagster._core.storage.tags import MAX_RETRIES_TAG

from olvf_assets.foundation.errors import OlvfError
from olvf_assets.intake.pacs.errors import PacsError
from olvf_assets.intake.pacs.site import due_sites, pacs_sites, poll_site, site_told
from olvf_assets.orchestration.lost_runs import announce
from olvf_assets.orchestration.partitions import INSTITUTION_PARTITIONS
from olvf_assets.orchestration.resources import StudyResource

if TYPE_CHECKING:
    from olvf_assets.intake.pacs.polling import Poll

DELIVERIES = "pacs_deliveries"
NO_SITE = "no site has a pacs.toml in data/pacs"


class SyntheticSiteError(PacsError):
    """A synthetic hospital has no image store: its pseudonyms protect nobody."""


def poll_institution(
    study: StudyResource,
    institution: str,
    report: Callable[[str], None],
    *,
    whole: bool = False,
    again: bool = False,
    wait: bool = True,
) -> "Poll":
    """Fetch what is new in a site's image store and is not in the lake either.

    Args:
        study: the study.
        institution: the site's key.
        report: shows a line of progress.
        whole: look through all days.
        again: fetch also what was fetched before and has been taken away since.
        wait: wait once for series that are still arriving.

    Raises:
        SyntheticSiteError: the site is a synthetic hospital of the profile.
        OlvfError: as `intake.pacs.site.poll_site`.
    """
    if institution in study.profile.phantom.institutions:
        raise SyntheticSiteError(
            f"{institution} is a synthetic hospital of profile {study.profile_name}, whose pseudonyms protect nobody; "
            "give the site another key"
        )
    held: list[str] = []
    if (headers := study.stored("dicom_headers")) is not None:
        held = headers.filter(headers["institution"] == institution)["film_id"].drop_nulls().to_list()
    return poll_site(study.data, institution, held_elsewhere=held, whole=whole, again=again, wait=wait, report=report)


@op(description="Ask a site's image store for what is new, and lay its films into the site's landing folder.")
def fetch_films(context: OpExecutionContext) -> None:
    """Poll the site whose key is the run's partition."""
    study = StudyResource.at_hand()
    announce(context.instance, study.data, context.run_id)
    institution = context.partition_key
    try:
        found = poll_institution(study, institution, context.log.info)
    except OlvfError as error:
        raise Failure(str(error), allow_retries=False) from None
    context.log.info(found.described())
    counts = {f"films {fate}": n for fate, n in found.counts.items()}
    told = {"films fetched now": found.fetched, **counts, "series still arriving": found.settling}
    odd = {f"not usable: {why}": n for why, n in (found.reasons | found.odd).items()}
    context.log_event(
        AssetMaterialization(
            DELIVERIES, description=found.described(), partition=institution, metadata={**told, **odd}
        )
    )  # fmt: skip


@job(
    partitions_def=INSTITUTION_PARTITIONS,
    tags={MAX_RETRIES_TAG: "0"},  # the next poll is the next try
    description="What is new in a site's image store, into its landing folder.",
)
def poll_pacs() -> None:
    """Poll one site."""
    fetch_films()


@schedule(job=poll_pacs, cron_schedule="*/5 * * * *", default_status=DefaultScheduleStatus.RUNNING)
def ask_pacs(context: ScheduleEvaluationContext, study: StudyResource) -> Iterator[RunRequest | SkipReason]:
    """Poll every site whose `every_minutes` are over. Without any `pacs.toml` this looks into one folder, no more."""
    due, problems = due_sites(study.data, now_s=time.time())
    for problem in problems:
        context.log.warning(problem)
    if not due:
        waiting = "no site is due" if pacs_sites(study.data) else NO_SITE
        yield SkipReason("; ".join([waiting, *problems]))
        return
    context.instance.add_dynamic_partitions(str(INSTITUTION_PARTITIONS.name), due)
    at = f"{context.scheduled_execution_time:%Y-%m-%dT%H:%M}"
    for institution in due:
        yield RunRequest(run_key=f"{institution}:{at}", partition_key=institution)


@sensor(job=poll_pacs, minimum_interval_seconds=30, default_status=DefaultSensorStatus.RUNNING)
def pacs_changed(context: SensorEvaluationContext, study: StudyResource) -> SensorResult | SkipReason:
    """Poll every site whose change feed tells of series that have stopped growing."""
    requests, said = [], []
    for institution in pacs_sites(study.data):
        try:
            told = site_told(study.data, institution)
        except OlvfError as error:
            context.log.warning(str(error))
            said.append(str(error))
            continue
        if told is None:
            continue
        said.append(f"{institution}: {told.waiting} series told of and not fetched yet")
        if told.run_key is not None:
            requests.append(RunRequest(run_key=f"{institution}:{told.run_key}", partition_key=institution))
    if not requests:
        return SkipReason("; ".join(said) or "no site has an [orthanc] in its pacs.toml")
    keys = sorted(str(request.partition_key) for request in requests)
    return SensorResult(
        run_requests=requests, dynamic_partitions_requests=[INSTITUTION_PARTITIONS.build_add_request(keys)]
    )
