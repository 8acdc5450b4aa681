"""Who is forgotten is in no file any more; the others are."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from dagster import DagsterInstance

from olvf_assets.commands.forgetting import erase
from olvf_assets.commands.forgetting.erase import StillInLandingError, TracesLeftError, forget
from olvf_assets.commands.forgetting.plan import JOURNAL, UnknownTargetError, plan_to_forget
from olvf_assets.intake.pacs.state import Known, State, mark
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.orchestration.resources import StudyResource
from olvf_assets.storage import erasure
from olvf_assets.storage.erasure import DataFolderBusyError, data_folder_held
from olvf_assets.storage.forgotten import forgotten_in, note_back_up_folder
from olvf_assets.storage.forgotten import mark as mark_of_forgotten
from olvf_assets.storage.traces import Traces, files_with
from olvf_assets_tests.planted_hospital import PATIENT_IDS
from olvf_assets_tests.planted_intake import KEY, Intake

NAMES = Pseudonymiser("clinic", KEY.encode())
SHARED_ID, HIS_ID, ANOTHER_ID = PATIENT_IDS  # copies of the first patient's film lie in other hospitals as well
HIM, ANOTHER = NAMES.patient(HIS_ID), NAMES.patient(ANOTHER_ID)


class Left:
    """A copy of what the planted hospital's intake left, whose landing folders are taken away."""

    def __init__(self, intake: Intake, root: Path) -> None:
        self.data, self.home = root / "data", root / "home"
        shutil.copytree(intake.data, self.data, symlinks=True)
        shutil.copytree(intake.home, self.home)
        self.landing = (self.data / "landing" / "clinic").rename(root / "kept apart")
        for other in (self.data / "landing").iterdir():
            shutil.rmtree(other)
        self.study = StudyResource(profile_name="ci", data_folder=str(self.data))
        self.said: list[str] = []
        work = self.study.store.work_folder("classifiers", {"of": "nobody knows whom"})
        (work / "checkpoint.safetensors").write_bytes(b"weights")

    def back(self) -> Path:
        return self.landing.rename(self.data / "landing" / "clinic")

    def forget(self, asked: str, *, landing: bool = False) -> None:
        plan = plan_to_forget(asked, self.study)
        forget(plan, self.study, self.home, landing=landing, report=self.said.append)

    def keep_only(self, institution: str) -> None:
        """Take the rows of all other hospitals out of the tables."""
        for table in list(erasure.tables(self.data / "lake")):
            rows, partition_by = erasure.read(table)
            if partition_by == ["institution"]:
                erasure.replace(table, rows.filter(institution=institution), partition_by)

    def films(self) -> pl.DataFrame:
        return erasure.read(self.data / "lake" / "tables" / "films.delta")[0]

    def tells_of(self, *ids: str, words: frozenset[str] = frozenset()) -> list[Path]:
        return list(files_with(Traces(frozenset(ids), words), [self.data, self.home]))

    def state(self) -> dict[str, bytes]:
        return {
            str(path): path.read_bytes() for path in self.data.rglob("*") if path.is_file() and ".runs" not in str(path)
        }


@pytest.fixture
def left(intake: Intake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Left]:
    monkeypatch.setenv("OLVF_PSEUDONYM_KEY", KEY)
    yield Left(intake, tmp_path)
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("asked", [HIM, "８８７０００２ "])
def test_a_patient_is_in_no_file_any_more(left: Left, asked: str) -> None:
    if asked != HIM:  # the patient's number, which the other hospitals' sheets name as well
        left.keep_only("clinic")
    films = left.films().filter(institution="clinic")
    his = films.filter(patient_id=HIM)
    assert his.height == 1
    (picture,) = his["image_path"]
    assert (left.data / "lake" / picture).is_file()
    headers = erasure.read(left.data / "lake" / "tables" / "dicom_headers.delta")[0].filter(patient_id=HIM)
    logs = {name: left.data / "logs" / f"{name}.log" for name in ("his", "other")}
    for name, path in logs.items():
        path.write_text(f"run of {HIM if name == 'his' else ANOTHER}")
    ids = {HIM, *his["film_id"], Path(picture).stem}
    assert len(left.tells_of(*ids)) > 5
    left.forget(asked)
    assert left.tells_of(*ids, *headers["film_id"]) == []
    assert "found in none" in left.said[-1]
    assert not (left.data / "lake" / picture).exists()
    assert (logs["his"].exists(), logs["other"].exists()) == (False, True)
    kept = films.filter(patient_id=ANOTHER)["image_path"].item()
    assert (left.data / "lake" / kept).is_file()
    assert not (left.data / "olvf.duckdb").exists()
    assert not (left.data / "lake" / JOURNAL).exists()


def test_his_drafts_and_results_go_and_those_of_others_stay(left: Left) -> None:
    films = dict(left.films().filter(institution="clinic").select("patient_id", "film_id").iter_rows())
    drafts = left.data / "draft_boxes" / "clinic"
    known, written = (left.data / "lake" / folder / "clinic" for folder in ("drafts", "results_back"))
    results = left.data / "results" / "clinic"
    back = left.back() / "boxes" / "labels"
    for patient in (HIM, ANOTHER):
        for folder, name in ((drafts / "labels", "0001_{}.txt"), (back, "0001_{}.txt"), (known, "{}.json"),
                             (written, "{}.json"), (results, "{}.12345678.sr.dcm"),
                             (drafts.with_name(".clinic.partial"), "0001_{}.png")):  # fmt: skip
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name.format(films[patient])).write_text("")
    (drafts / "order.csv").write_text(films[HIM])
    for sheet in ("subjects.xlsx", "readers.csv", "conditions.csv"):
        (back.parents[1] / sheet).unlink()
    left.forget(HIM, landing=True)
    kept = {path.relative_to(left.data).as_posix() for path in left.data.rglob("*") if films[ANOTHER] in path.name}
    assert kept == {
        f"draft_boxes/clinic/labels/0001_{films[ANOTHER]}.txt",
        f"draft_boxes/.clinic.partial/0001_{films[ANOTHER]}.png",
        f"landing/clinic/boxes/labels/0001_{films[ANOTHER]}.txt",
        f"lake/drafts/clinic/{films[ANOTHER]}.json",
        f"lake/results_back/clinic/{films[ANOTHER]}.json",
        f"results/clinic/{films[ANOTHER]}.12345678.sr.dcm",
    }
    assert not (drafts / "order.csv").exists()
    assert not [path for path in left.data.rglob("*") if films[HIM] in path.name]
    assert any(line.startswith("draft boxes and results that tell of him are erased") for line in left.said)


def test_back_ups_are_told_and_alerts_forget_him(left: Left, tmp_path: Path) -> None:
    kept, away = tmp_path / "kept", tmp_path / "away"
    kept.mkdir()
    for folder in (kept, away):
        note_back_up_folder(left.data, folder)
    (left.data / "alerts").mkdir()
    (left.data / "alerts" / "state.json").write_text(f"a message of {HIM}")
    left.forget(HIM)
    assert list(forgotten_in(kept)) == list(forgotten_in(left.data)) == [mark_of_forgotten(HIM)]
    assert any(f"back-ups in {kept} hold him still; `restore` will refuse them" in line for line in left.said)
    assert any(line.startswith(f"{away} has back-ups and is not there now") for line in left.said)
    assert not (left.data / "alerts" / "state.json").exists()


def test_films_that_another_hospital_handed_over_too_stay_there_and_that_is_said(left: Left) -> None:
    with pytest.raises(UnknownTargetError, match=rf"several institutions .*{NAMES.patient(SHARED_ID)} \(clinic\)"):
        left.forget(SHARED_ID)
    left.forget(NAMES.patient(SHARED_ID))
    assert left.tells_of(NAMES.patient(SHARED_ID)) == []
    assert any("were handed over by archive, box_class" in line for line in left.said)
    assert "archive" in left.films()["institution"]


def test_an_institution_is_in_no_file_any_more_and_needs_no_key(left: Left, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLVF_PSEUDONYM_KEY")
    with DagsterInstance.from_config(str(left.home)) as instance:
        assert "clinic" in instance.get_dynamic_partitions("institution")
    assert len(left.tells_of(HIM, ANOTHER, words=frozenset({"clinic"}))) > 20
    pictures = left.films().filter(pl.col("patient_id").is_in([HIM, ANOTHER]))["image_path"].to_list()
    assert len(pictures) == 2
    left.forget("clinic")
    assert left.tells_of(HIM, ANOTHER, words=frozenset({"clinic"})) == []
    assert [picture for picture in pictures if (left.data / "lake" / picture).exists()] == []
    with DagsterInstance.from_config(str(left.home)) as instance:
        assert "clinic" not in instance.get_dynamic_partitions("institution")
        assert instance.get_runs() == []


def test_old_versions_of_tables_are_gone_as_well(left: Left) -> None:
    table = left.data / "lake" / "tables" / "subjects.delta"
    rows, partition_by = erasure.read(table)
    rows.filter(pl.col("patient_id") != HIM).write_delta(
        str(table), mode="overwrite", delta_write_options={"partition_by": partition_by} if partition_by else {}
    )
    assert len([path for path in left.tells_of(HIM) if path.is_relative_to(table)]) >= 1
    left.forget(HIM)
    assert left.tells_of(HIM) == []


def test_whoever_is_in_landing_would_come_back_so_nothing_is_erased(left: Left) -> None:
    left.back()
    before = left.state()
    for landing in (False, True):
        with pytest.raises(StillInLandingError, match=r"in the landing folder of clinic \(its sheets, ") as caught:
            left.forget(HIM, landing=landing)
        assert HIS_ID not in str(caught.value)
    with pytest.raises(StillInLandingError, match="--landing"):
        left.forget("clinic")
    assert left.state() == before


def test_a_patient_s_films_and_boxes_are_removed_from_landing_when_that_is_said(left: Left) -> None:
    folder = left.back()
    for sheet in ("subjects.xlsx", "readers.csv", "conditions.csv"):
        (folder / sheet).unlink()
    (folder / "subjects.csv").write_text("patient_id\n" + f"{SHARED_ID}\n{ANOTHER_ID}\n")
    with pytest.raises(StillInLandingError, match=r"\([1-9] films\).*--landing removes"):
        left.forget(HIM)
    left.forget(HIM, landing=True)
    names = [path.name for path in folder.rglob("*") if path.is_file()]
    assert not [name for name in names if HIS_ID in name]
    assert [name for name in names if ANOTHER_ID in name]


def test_an_institution_s_landing_folder_is_removed_when_that_is_said(left: Left) -> None:
    folder = left.back()
    left.forget("clinic", landing=True)
    assert not folder.exists()


def test_what_an_image_store_sent_of_him_goes_and_that_it_was_fetched_stays_known(left: Left) -> None:
    pacs = left.data / "pacs" / "clinic"
    (film,) = left.films().filter(institution="clinic", patient_id=HIM)["film_id"]
    state = State(pacs)
    state.note_instances("a series", {mark(film): Known("held")})
    state.close()
    (pacs / "refused").mkdir()
    (pacs / "refused" / "not_dicom.dcm").write_bytes(b"Patient ID " + HIS_ID.encode())
    left.keep_only("clinic")
    left.forget(HIS_ID)
    assert "found in none" in left.said[-1]
    assert not (pacs / "refused").exists()
    state = State(pacs)
    assert list(state.instances()) == [mark(film)]
    state.close()


def test_an_institution_s_image_store_is_forgotten_with_it(left: Left) -> None:
    pacs = left.data / "pacs" / "clinic"
    pacs.mkdir(parents=True)
    (pacs / "pacs.toml").write_text("every_minutes = 5")
    with pytest.raises(StillInLandingError, match=r"pacs.clinic is there, and its films would be taken in again"):
        left.forget("clinic")
    left.forget("clinic", landing=True)
    assert not pacs.exists()


@pytest.mark.parametrize("at", ["_erase_work", "erase_records"])
def test_a_killed_call_is_finished_by_the_same_call(left: Left, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    films = set(left.films().filter(institution="clinic", patient_id=HIM)["film_id"])

    def killed(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(erasure if at == "erase_records" else erase, at, killed)
        with pytest.raises(KeyboardInterrupt):
            left.forget(HIM)
    journal = (left.data / "lake" / JOURNAL).read_text()
    assert HIS_ID not in journal
    with pytest.raises(UnknownTargetError, match="was not finished"):
        plan_to_forget("clinic", left.study)
    left.forget(HIM)
    assert left.tells_of(HIM, *films) == []


def test_what_is_left_is_named_and_the_call_fails(left: Left) -> None:
    (left.data / "a note.txt").write_text(f"the patient {HIM}")
    with pytest.raises(TracesLeftError, match=r"1 files or tables still tell of P.*\n.*a note\.txt"):
        left.forget(HIM)
    assert json.loads((left.data / "lake" / JOURNAL).read_text())["name"] == HIM


def test_weights_that_may_have_learnt_from_him_go_and_those_that_cannot_stay(left: Left) -> None:
    tables = left.data / "lake" / "tables"
    used = left.study.store.work_folder("classifiers", {"of": "the current tables"})
    weights = f"work/classifiers/{used.name}/weights.safetensors"
    pl.DataFrame({"weights_path": [weights]}).write_delta(str(tables / "resnet50_checkpoints.delta"))
    other = left.study.store.work_folder("classifiers", {"of": "nobody knows whom"})
    left.forget(HIM)  # of an external hospital
    assert used.is_dir()
    assert not other.exists()
    assert not (tables / "resnet50_checkpoints.delta").exists()
    assert (used / "provenance.json").exists()


def test_whoever_helped_to_train_is_in_every_weight(left: Left) -> None:
    tables = left.data / "lake" / "tables"
    used = left.study.store.work_folder("classifiers", {"of": "the current tables"})
    weights = f"work/classifiers/{used.name}/weights.safetensors"
    pl.DataFrame({"weights_path": [weights]}).write_delta(str(tables / "resnet50_checkpoints.delta"))
    pl.DataFrame({"institution": ["clinic"], "patient_id": [ANOTHER]}).write_delta(str(tables / "splits.delta"))
    left.forget(HIM)
    assert not used.exists()
    assert any("trainings that may have learnt from him" in line for line in left.said)


@pytest.mark.parametrize("asked", ["Pffffffffffffffff", "4711", "", "institution_9"])
def test_nobody_is_forgotten_in_place_of_another(left: Left, asked: str) -> None:
    before = left.state()
    with pytest.raises(UnknownTargetError):
        left.forget(asked)
    assert left.state() == before


def test_a_run_that_is_under_way_is_not_disturbed(left: Left) -> None:
    before = left.state()
    with data_folder_held(left.data), pytest.raises(DataFolderBusyError):
        left.forget(HIM)
    assert left.state() == before
