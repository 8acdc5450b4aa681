"""Results that go back by themselves. A real store is sent to in `servers/test_new_hospital.py`."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, RunRequest, SensorResult, SkipReason, build_sensor_context

from olvf_assets.orchestration import results_back
from olvf_assets.orchestration.partitions import INSTITUTION_PARTITIONS
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.orchestration.results_back import NOBODY_WANTS, NOTHING_SCORED, results_due, return_results
from olvf_assets_tests.reporting.results_back.answered import NAMES, Answered

SITE = "city"
LAKE_NAMES = {"crops": "detected_crops", "predictions": "ensemble_predictions", "maps": "crop_attention"}
Answer = Callable[[Sequence[Path]], dict[Path, str | None]]


class Hospital:
    """A study with one real external hospital that has been scored, and what its image store was given."""

    def __init__(self, data: Path) -> None:
        self.answered = Answered(data, place=f"landing/{SITE}")
        self.study = StudyResource(profile_name="ci", data_folder=str(data))
        self.given: list[Path] = []
        self.answer: Answer = dict.fromkeys
        self.says(wants=False)

    def says(self, *, wants: bool) -> None:
        text = f'name = "City"\nrole = "external"\nresults_back = {str(wants).lower()}\n'
        (self.answered.landing / "institution.toml").write_text(text)

    def scored(self) -> None:
        for name, frame in self.answered.tables.items():
            path = self.study.data / "lake" / "tables" / f"{LAKE_NAMES.get(name, name)}.delta"
            frame.write_delta(str(path), mode="overwrite")

    def has_store(self) -> None:
        folder = self.study.data / "pacs" / SITE
        folder.mkdir(parents=True)
        (folder / "pacs.toml").write_text("")

    def send_to_store(self, data: Path, institution: str, files: Sequence[Path], report: object) -> Any:
        self.given += files
        return self.answer(files)


@pytest.fixture
def hospital(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hospital:
    monkeypatch.setenv("OLVF_PSEUDONYM_KEY", NAMES.key.decode())
    monkeypatch.setenv("OLVF_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OLVF_PROFILE", "ci")
    made = Hospital(tmp_path / "data")
    monkeypatch.setattr("olvf_assets.intake.pacs.site.send_to_store", made.send_to_store)
    return made


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    (tmp_path / "home").mkdir()
    with DagsterInstance.local_temp(str(tmp_path / "home")) as made:
        yield made


def due(hospital: Hospital, instance: DagsterInstance) -> RunRequest | str:
    with build_sensor_context(instance=instance, resources={"study": hospital.study}) as context:
        found = results_due(context)
    if isinstance(found, SkipReason):
        return str(found.skip_message)
    assert isinstance(found, SensorResult)
    (asked,) = found.dynamic_partitions_requests or []
    assert list(asked.partition_keys) == [SITE]
    (request,) = found.run_requests or []
    return request


def returned(instance: DagsterInstance) -> tuple[bool, dict[str, Any], str]:
    """Return whether a run went well, what it shows of itself, and its log."""
    instance.add_dynamic_partitions(str(INSTITUTION_PARTITIONS.name), [SITE])
    result = return_results.execute_in_process(instance=instance, partition_key=SITE, raise_on_error=False)
    shown: list[Any] = [
        event.step_materialization_data.materialization
        for event in result.all_events
        if event.event_type_value == "ASSET_MATERIALIZATION"
    ]
    assert all((each.asset_key.to_user_string(), each.partition) == ("results_returned", SITE) for each in shown)
    log = "\n".join([*(entry.user_message for entry in instance.all_logs(result.run_id)), str(result.all_events)])
    for secret in ("Yamada", "Suzuki", "A-1", "1.2.3.9", "one.dcm"):
        assert secret not in log
    if not result.success:
        shown = [event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure]
    return result.success, {name: said.value for each in shown for name, said in each.metadata.items()}, log


AS_THEY_WENT = f"the results of {SITE} are as they went back"


def test_nothing_goes_back_by_itself_unless_a_hospital_says_so_and_is_scored(hospital, instance):
    hospital.scored()
    assert due(hospital, instance) == NOBODY_WANTS


def test_before_anything_is_scored_nothing_is_due(hospital, instance):
    hospital.says(wants=True)
    assert due(hospital, instance) == NOTHING_SCORED


def test_results_go_back_once_for_each_state_of_the_tables(hospital, instance):
    hospital.says(wants=True)
    hospital.has_store()
    hospital.scored()
    request = due(hospital, instance)
    assert isinstance(request, RunRequest)
    assert request.partition_key == SITE
    assert due(hospital, instance).run_key == request.run_key  # so that Dagster starts one run
    success, shown, log = returned(instance)
    assert success, log
    assert shown == {"films new": 3, "objects stored": 4, "objects not stored": 0}
    assert len(hospital.given) == 4
    assert due(hospital, instance) == AS_THEY_WENT
    hospital.answered.predict("L1", p_normal=0.4, p_old=0.5)
    hospital.scored()
    later = due(hospital, instance)
    assert isinstance(later, RunRequest)
    assert later.run_key != request.run_key
    _, shown, _ = returned(instance)
    assert shown == {"films as before": 2, "films superseding": 1, "objects stored": 2, "objects not stored": 0}
    assert due(hospital, instance) == AS_THEY_WENT


def test_without_an_image_store_they_are_written_and_wait_and_go_once_there_is_one(hospital, instance):
    hospital.says(wants=True)
    hospital.scored()
    assert isinstance(due(hospital, instance), RunRequest)
    _, shown, _ = returned(instance)
    assert shown == {"films new": 3, "objects stored": 0, "objects not stored": 0}
    assert len(list((hospital.study.data / "results" / SITE).glob("*.dcm"))) == 4
    assert hospital.given == []
    assert due(hospital, instance) == AS_THEY_WENT
    hospital.has_store()
    assert isinstance(due(hospital, instance), RunRequest)
    assert returned(instance)[1]["objects stored"] == 4


def test_what_a_store_does_not_take_fails_the_run_and_is_tried_again_later(hospital, instance, monkeypatch):
    hospital.says(wants=True)
    hospital.has_store()
    hospital.scored()
    hospital.answer = lambda files: {
        file: "holds Yamada^Hanako already" if file.name.endswith(".sc.dcm") else None for file in files
    }
    first = due(hospital, instance)
    success, shown, log = returned(instance)
    assert not success
    assert (shown["objects stored"], shown["objects not stored"]) == (3, 1)
    assert f"`python -m olvf_assets results-back {SITE} --send` shows why" in log
    again = due(hospital, instance)
    assert isinstance(first, RunRequest)
    assert isinstance(again, RunRequest)
    monkeypatch.setattr(results_back, "TRIED_AGAIN_S", results_back.TRIED_AGAIN_S / 1e6)
    later = due(hospital, instance)
    assert isinstance(later, RunRequest)
    assert later.run_key not in (first.run_key, again.run_key)
    hospital.answer = dict.fromkeys
    assert returned(instance)[0]
    assert due(hospital, instance) == AS_THEY_WENT


def test_a_film_that_cannot_be_answered_does_not_hold_the_others_up_and_is_counted(hospital, instance):
    hospital.says(wants=True)
    hospital.has_store()
    hospital.scored()
    (hospital.answered.landing / "films" / "two.dcm").unlink()
    success, shown, log = returned(instance)
    assert success
    assert shown == {"films new": 2, "films refused": 1, "objects stored": 3, "objects not stored": 0}
    assert "1 films have no result that can go back" in log
    assert due(hospital, instance) == AS_THEY_WENT


def test_a_hospital_none_of_whose_films_is_scored_yet_is_asked_again_when_the_tables_change(hospital, instance):
    hospital.says(wants=True)
    hospital.answered.tables["detected_films"] = hospital.answered.tables["detected_films"].clear()
    hospital.scored()
    assert isinstance(due(hospital, instance), RunRequest)
    success, shown, log = returned(instance)
    assert success
    assert shown == {}
    assert "no film has been searched and scored" in log
    assert due(hospital, instance) == AS_THEY_WENT


def test_a_wrong_key_fails_the_run_with_the_way_out(hospital, instance, monkeypatch):
    hospital.says(wants=True)
    hospital.scored()
    monkeypatch.setenv("OLVF_PSEUDONYM_KEY", "another key, long enough as well")
    success, shown, log = returned(instance)
    assert not success
    assert shown["films refused"] == 3
    assert f"no film of {SITE} has a result that can go back" in log
    assert isinstance(due(hospital, instance), RunRequest)


def test_a_broken_hospital_is_passed_over(hospital, instance):
    hospital.says(wants=True)
    hospital.scored()
    other = hospital.study.data / "landing" / "town"
    other.mkdir()
    (other / "institution.toml").write_text("results_back = ")
    request = due(hospital, instance)
    assert isinstance(request, RunRequest)
    assert request.partition_key == SITE
