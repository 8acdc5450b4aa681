"""What polls image stores by itself, and what Dagster shows of it."""

import datetime
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, RunRequest, SensorResult, SkipReason, build_schedule_context, build_sensor_context

from olvf_assets.orchestration.pacs import (
    NO_SITE,
    SyntheticSiteError,
    ask_pacs,
    pacs_changed,
    poll_institution,
    poll_pacs,
)
from olvf_assets.orchestration.partitions import INSTITUTION_PARTITIONS
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets_tests.intake.pacs.peers import SITE, films_of, study_film, write_site
from olvf_assets_tests.intake.pacs.test_orthanc import Orthanc
from olvf_assets_tests.intake.pacs.web_peer import WebPeer

AT = datetime.datetime(2026, 3, 20, 12, tzinfo=datetime.UTC)


@pytest.fixture
def study(tmp_path: Path) -> StudyResource:
    return StudyResource(profile_name="ci", data_folder=str(tmp_path))


def asked(study: StudyResource, instance: DagsterInstance) -> list[Any]:
    given = {"instance": instance, "scheduled_execution_time": AT, "resources": {"study": study}}
    with build_schedule_context(**given) as context:
        return list(ask_pacs(context))


def told(study: StudyResource, instance: DagsterInstance) -> SensorResult | SkipReason:
    with build_sensor_context(instance=instance, resources={"study": study}) as context:
        found = pacs_changed(context)
    assert isinstance(found, SensorResult | SkipReason)
    return found


def test_without_any_site_nothing_starts(study: StudyResource) -> None:
    with DagsterInstance.ephemeral() as instance:
        (skipped,) = asked(study, instance)
        assert skipped.skip_message == NO_SITE
        skipped = told(study, instance)
        assert isinstance(skipped, SkipReason)
        assert not (study.data / "pacs").exists()


def test_a_site_that_is_due_is_polled_and_its_films_are_shown_by_number(
    study: StudyResource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLVF_DATA", str(tmp_path))
    monkeypatch.setenv("OLVF_PROFILE", "ci")
    (tmp_path / "home").mkdir()
    films = [study_film("one", PatientName="Yamada^Hanako"), study_film("two", study=2)]
    with WebPeer(films) as peer, DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        write_site(tmp_path, dicomweb=peer.settings())
        (request,) = asked(study, instance)
        assert isinstance(request, RunRequest)
        assert (request.partition_key, request.run_key) == (SITE, f"{SITE}:2026-03-20T12:00")
        assert instance.get_dynamic_partitions(str(INSTITUTION_PARTITIONS.name)) == [SITE]
        result = poll_pacs.execute_in_process(instance=instance, partition_key=SITE)
        (shown,) = [
            event.step_materialization_data.materialization
            for event in result.all_events
            if event.event_type_value == "ASSET_MATERIALIZATION"
        ]
        log = "\n".join(entry.user_message for entry in instance.all_logs(result.run_id))
        (skipped,) = asked(study, instance)
    assert len(films_of(tmp_path)) == 2
    assert (shown.asset_key.to_user_string(), shown.partition) == ("pacs_deliveries", SITE)
    values = {name: said.value for name, said in shown.metadata.items()}
    assert (values["films fetched now"], values["films held"], values["films waiting"]) == (2, 2, 0)
    assert "2 films fetched, 2 held in all" in log
    assert "1.2.826" not in log
    assert "Yamada" not in log
    assert skipped.skip_message == "no site is due"


def test_a_site_that_cannot_be_polled_fails_its_own_run_with_the_way_out(
    study: StudyResource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLVF_DATA", str(tmp_path))
    monkeypatch.setenv("OLVF_PROFILE", "ci")
    (tmp_path / "home").mkdir()
    with WebPeer(login="Basic xyz") as peer, DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        write_site(tmp_path, dicomweb=peer.settings())
        instance.add_dynamic_partitions(str(INSTITUTION_PARTITIONS.name), [SITE])
        result = poll_pacs.execute_in_process(instance=instance, partition_key=SITE, raise_on_error=False)
        log = "\n".join(entry.user_message for entry in instance.all_logs(result.run_id))
        (tmp_path / "pacs" / SITE / "pacs.toml").write_text("wrong = 1")
        (skipped,) = asked(study, instance)
    assert not result.success
    assert "does not accept our login; see to login in [dicomweb]" in str(result.all_events) + log
    assert "wrong: unknown key" in str(skipped.skip_message)


def test_what_the_change_feed_tells_of_is_polled_once(study: StudyResource, tmp_path: Path) -> None:
    with Orthanc() as peer, DagsterInstance.ephemeral() as instance:
        write_site(tmp_path, dicomweb=peer.settings(), orthanc={"url": peer.url})
        assert (
            str(getattr(told(study, instance), "skip_message", "")) == f"{SITE}: 0 series told of and not fetched yet"
        )
        peer.add(study_film("one"), 1)
        results = [told(study, instance) for _ in range(2)]
        requests = [
            request for each in results if isinstance(each, SensorResult) for request in each.run_requests or []
        ]
        assert [request.partition_key for request in requests] == [SITE, SITE]
        assert len({request.run_key for request in requests}) == 1
        assert poll_institution(study, SITE, lambda line: None).fetched == 1
        assert isinstance(told(study, instance), SkipReason)
    with DagsterInstance.ephemeral() as instance:
        skipped = told(study, instance)
    assert isinstance(skipped, SkipReason)
    assert "cannot be connected to" in str(skipped.skip_message)


def test_a_synthetic_hospital_has_no_image_store(study: StudyResource) -> None:
    name = next(iter(study.profile.phantom.institutions))
    with pytest.raises(SyntheticSiteError, match="give the site another key"):
        poll_institution(study, name, lambda line: None)


def test_what_the_lake_holds_is_not_fetched(
    study: StudyResource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import polars as pl

    asked_with: list[list[str]] = []
    monkeypatch.setattr(
        "olvf_assets.orchestration.pacs.poll_site",
        lambda data, key, *, held_elsewhere, **_: asked_with.append(held_elsewhere),
    )
    rows = {"institution": [SITE, "another", SITE], "film_id": ["F1", "F2", None]}
    pl.DataFrame(rows).write_delta(tmp_path / "lake" / "tables" / "dicom_headers.delta")
    poll_institution(study, SITE, lambda line: None)
    assert asked_with == [["F1"]]
