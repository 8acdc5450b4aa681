"""What people are told of: looked up in real runs of a small graph, and received by a webhook and a mailbox."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetCheckKey,
    AssetCheckResult,
    AssetCheckSpec,
    AssetKey,
    DagsterInstance,
    DagsterRun,
    MaterializeResult,
    SkipReason,
    StaticPartitionsDefinition,
    asset,
    build_sensor_context,
    materialize,
)
from dagster._core.storage.tags import WILL_RETRY_TAG

from olvf_assets.alerts.settings import AlertsFileError
from olvf_assets.intake.pacs.state import State
from olvf_assets.orchestration.alerts import NOBODY, SITES_CHECK, SITES_TABLE, alerts
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.orchestration.steps import INSTITUTIONS_CHECK
from olvf_assets_tests.alerts.receivers import Mailbox, Webhook

PROJECT = Path(__file__).parents[2]
SHOWN = AssetCheckKey(AssetKey(SITES_TABLE), SITES_CHECK)
PATIENT = "P00000000000000aa"
SETTINGS = """
ui = "https://olvf.hospital.example"
webhook = true
[mail]
host = "127.0.0.1"
port = {port}
tls = "none"
sender = "olvf@h.example"
to = ["it@h.example"]
"""


class Watched:
    """A data folder, an instance and receivers, and the sensor's word on them."""

    def __init__(self, root: Path, instance: DagsterInstance, webhook: Webhook, mailbox: Mailbox) -> None:
        self.study = StudyResource(profile_name="ci", data_folder=str(root))
        self.instance, self.webhook, self.mailbox = instance, webhook, mailbox
        self.write(SETTINGS.format(port=mailbox.port))
        self.tick()  # what was before is nobody's news

    def write(self, text: str) -> None:
        file = self.study.data / "alerts" / "alerts.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def tick(self) -> str:
        with build_sensor_context(instance=self.instance, resources={"study": self.study}) as context:
            found = alerts(context)
        assert isinstance(found, SkipReason)
        return str(found.skip_message)

    def told(self) -> list[str]:
        """Tick twice, and return the subjects that the webhook received meanwhile; the mailbox received the same."""
        known = len(self.webhook.said)
        self.tick()
        self.tick()
        assert [f"OLVF: {each['subject']}" for each in self.webhook.said] == [
            str(letter["Subject"]).strip() for letter in self.mailbox.letters
        ]
        return [each["subject"] for each in self.webhook.said[known:]]


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    (tmp_path / "home").mkdir()
    shutil.copy(PROJECT / "dagster.yaml", tmp_path / "home")
    with (
        Webhook().up() as webhook,
        Mailbox().up() as mailbox,
        DagsterInstance.local_temp(str(tmp_path / "home")) as instance,
    ):
        monkeypatch.setenv("OLVF_ALERTS_WEBHOOK_URL", webhook.address)
        yield Watched(tmp_path / "data", instance, webhook, mailbox)


def table(breaking: int, *, left_out: str = "", fails: bool = False) -> Any:
    specs = [AssetCheckSpec(name, asset="films") for name in ("every_film_once", INSTITUTIONS_CHECK)]

    @asset(check_specs=specs, partitions_def=StaticPartitionsDefinition(["institution_1", "institution_2"]))
    def films():  # type: ignore[no-untyped-def]
        if fails:
            raise ValueError(f"nothing of {PATIENT} may be told")
        rows = {"breaking_rows": breaking, "rows": f"the film of {PATIENT}"}
        stopped = {left_out: f"row 3 of {PATIENT}"} if left_out else {}
        return MaterializeResult(
            check_results=[
                AssetCheckResult(
                    check_name="every_film_once", passed=not breaking, metadata=rows, description=f"first: {PATIENT}"
                ),
                AssetCheckResult(check_name=INSTITUTIONS_CHECK, passed=not left_out, metadata=stopped),
            ]
        )

    return films


def run(watched: Watched, made: Any, partition: str = "institution_1") -> str:
    return materialize([made], instance=watched.instance, partition_key=partition, raise_on_error=False).run_id


def test_a_broken_check_is_told_of_once_by_name_and_count(watched: Watched) -> None:
    first = run(watched, table(3))
    assert watched.told() == ["check every_film_once of films of institution_1 is red: 3 rows break it"]
    assert watched.webhook.said[0]["url"] == f"https://olvf.hospital.example/runs/{first}"
    assert watched.webhook.said[0]["kind"] == "check_failed"
    run(watched, table(3))
    assert watched.told() == []
    run(watched, table(0), "institution_2")  # another one's green says nothing of the first
    run(watched, table(5))
    assert watched.told() == ["check every_film_once of films of institution_1 is red: 5 rows break it"]
    run(watched, table(0))
    assert watched.told() == []
    run(watched, table(5))
    assert watched.told() == ["check every_film_once of films of institution_1 is red: 5 rows break it"]


def test_a_hospital_that_is_left_out_is_named_and_nothing_of_its_patients_is(watched: Watched) -> None:
    run(watched, table(0, left_out="institution_2"))
    assert watched.told() == [f"check {INSTITUTIONS_CHECK} of films of institution_1 is red: left out: institution_2"]
    run(watched, table(2))
    run(watched, table(0, fails=True))
    assert len(watched.told()) == 2
    everything = json.dumps(watched.webhook.said) + "".join(letter.as_string() for letter in watched.mailbox.letters)
    assert PATIENT not in everything + (watched.study.data / "alerts" / "state.json").read_text()
    assert "row 3" not in everything


def test_a_failed_run_is_told_of_unless_it_is_tried_again(watched: Watched) -> None:
    failed = run(watched, table(0, fails=True))
    assert watched.told() == [f"run {failed[:8]} (tables of institution_1) failed"]
    for number, tags in enumerate([{WILL_RETRY_TAG: "true"}, {WILL_RETRY_TAG: "false"}]):
        watched.instance.add_run(DagsterRun("take_in_institution", f"{number}-a-run", tags=tags))
        started = watched.instance.get_run_by_id(f"{number}-a-run")
        assert started is not None
        watched.instance.report_run_failed(started, "its process is gone")
        watched.instance.add_run_tags(started.run_id, tags)
    assert watched.told() == ["run 1-a-run (take_in_institution) failed"]


def test_what_happened_before_anybody_was_to_be_told_is_not_told(watched: Watched) -> None:
    watched.write("")
    run(watched, table(0, fails=True))
    run(watched, table(3))
    assert watched.tick() == NOBODY
    watched.write(SETTINGS.format(port=watched.mailbox.port))
    assert watched.told() == []


def test_receivers_that_are_down_stop_nothing_and_are_told_later(watched: Watched) -> None:
    watched.webhook.status, watched.mailbox.refuses = 500, True
    run(watched, table(3))
    assert watched.tick() == "1 new things to tell, 0 messages handed over, 2 wait"
    assert watched.tick() == "0 new things to tell, 0 messages handed over, 2 wait"
    watched.webhook.status, watched.mailbox.refuses = 200, False
    assert watched.tick() == "0 new things to tell, 2 messages handed over, 0 wait"
    assert len(watched.webhook.said) == len(watched.mailbox.letters) == 1


def test_a_setting_that_is_not_understood_fails_the_tick_where_the_ui_shows_it(watched: Watched) -> None:
    watched.write("webhook = 3")
    with pytest.raises(AlertsFileError, match="webhook: "):
        watched.tick()


def aged(watched: Watched, days: float) -> None:
    film = watched.study.data / "landing" / "institution_3" / "films" / "1.dcm"
    film.parent.mkdir(parents=True, exist_ok=True)
    film.write_bytes(b"film")
    watched.write(f"{SETTINGS.format(port=watched.mailbox.port)}\n[sites.institution_3]\nfilms_every_days = {days}\n")


def sites_check(watched: Watched) -> tuple[bool, dict[str, Any]]:
    (record,) = watched.instance.event_log_storage.get_asset_check_execution_history(SHOWN, limit=1)
    assert record.event is not None
    assert record.event.dagster_event is not None
    found = record.event.dagster_event.asset_check_evaluation_data
    return found.passed, {name: value.value for name, value in found.metadata.items()}


def test_a_hospital_from_which_nothing_comes_is_told_of_and_shown(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    aged(watched, 7)
    assert watched.told() == []
    assert sites_check(watched) == (True, {})
    aged(watched, 1e-9)
    assert watched.told() == ["institution_3 brings nothing"]
    assert "No film has come for 0 days; expected within 1e-09." in watched.webhook.said[-1]["text"]
    assert sites_check(watched) == (False, {"institution_3": "No film has come for 0 days; expected within 1e-09."})
    aged(watched, 7)
    assert watched.told() == []
    assert sites_check(watched) == (True, {})


def polled(watched: Watched, change: Callable[[State], None], more: str = "") -> None:
    folder = watched.study.data / "pacs" / "institution_3"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pacs.toml").write_text(
        f'{more}\n[dimse]\nhost = "127.0.0.1"\nport = 104\ncalled_ae = "STORE"\n[what]\nsince = 2026-01-01\n'
    )
    with closing(State(folder)) as state:
        change(state)


def test_an_image_store_that_cannot_be_polled_for_long_is_told_of(watched: Watched) -> None:
    polled(watched, lambda state: state.note(last_success=time.time() - 23 * 3600, last_reason="unreachable"))
    assert watched.told() == []  # a failure or two are no news
    polled(watched, lambda state: state.note(last_success=time.time() - 30 * 3600))
    assert watched.told() == ["institution_3 brings nothing"]
    assert "No poll of its image store has succeeded for 30 h; expected within 24." in watched.webhook.said[-1]["text"]
    polled(watched, lambda state: None, "every_minutes = 0")  # by hand only
    assert watched.told() == []
    polled(watched, lambda state: state.note(last_success=None))
    assert watched.told() == []
    file = watched.study.data / "pacs" / "institution_3" / "pacs.toml"
    os.utime(file, (time.time() - 1e6, time.time() - 1e6))  # connected long ago and never polled with success
    assert watched.told() == ["institution_3 brings nothing"]
    file.write_text("not TOML")
    os.utime(file, (time.time() - 1e6, time.time() - 1e6))
    assert watched.told() == []  # is told of already
