import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from olvf_assets.intake.landing.institution_file import read_institution
from olvf_assets.phantom import hospital
from olvf_assets.phantom.__main__ import main
from olvf_assets.phantom.hospital import ForeignFolderError, UnknownInstitutionError, write_hospital
from olvf_assets.phantom.plan import plan_hospital
from olvf_assets.phantom.settings import PhantomSettings


def digests(folder: Path) -> dict[str, str]:
    files = sorted(each for each in folder.rglob("*") if each.is_file())
    return {each.relative_to(folder).as_posix(): hashlib.sha256(each.read_bytes()).hexdigest() for each in files}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory, tiny: PhantomSettings) -> Path:
    folder = tmp_path_factory.mktemp("landing") / "institution_1"
    write_hospital(folder, "institution_1", tiny, 3, workers=1)
    return folder


def test_the_folder_is_what_a_hospital_hands_over(landing: Path, tiny: PhantomSettings) -> None:
    patients = plan_hospital("institution_1", tiny, 3)
    stems = {film.stem for patient in patients for film in patient.films}
    institution = read_institution(landing)
    assert (institution.name, institution.role) == ("Institution 1 (synthetic)", "development")
    assert {each.stem for each in landing.rglob("*.dcm")} == stems
    assert {each.stem for each in (landing / "boxes").glob("*.txt")} == stems | {"classes"}
    assert (landing / "boxes/classes.txt").read_text().split() == ["L1", "L2", "L3", "L4", "L5"]
    assert {each["patient_id"] for each in rows(landing / "subjects.csv")} == {each.patient_id for each in patients}


def test_the_sheets_say_what_was_planned(landing: Path, tiny: PhantomSettings) -> None:
    patients = {each.patient_id: each for each in plan_hospital("institution_1", tiny, 3)}
    for row in rows(landing / "subjects.csv"):
        patient = patients[row["patient_id"]]
        assert (row["sex"], row["age_years"]) == (patient.sex, str(patient.age_years))
        assert row["film_date"] == patient.film_date.isoformat()
        assert row["onset_date"] == (patient.onset_date.isoformat() if patient.onset_date else "")
    readings = rows(landing / "readers.csv")
    assert {row["reader"] for row in readings} <= {"1", "2", "consensus"}
    assert len([row for row in readings if row["reader"] == "1" and row["reading"] == "1"]) == 5 * len(patients)
    conditions = rows(landing / "conditions.csv")
    assert len(conditions) == sum(len(each.conditions) for each in patients.values())
    crushed = [row for row in conditions if row["condition"] == "severe_crush"]
    assert crushed
    assert all(float(row["height_ratio"]) < 0.6 and row["scope"] == "fracture" for row in crushed)


def test_every_box_file_names_the_levels_in_the_field_once(landing: Path, tiny: PhantomSettings) -> None:
    for patient in plan_hospital("institution_1", tiny, 3):
        for film in patient.films:
            lines = (landing / f"boxes/{film.stem}.txt").read_text().splitlines()
            assert [int(line.split()[0]) for line in lines] == list(range(len(film.levels)))
            for line in lines:
                _, x, y, width, height = map(float, line.split())
                assert 0 <= x - width / 2 < x + width / 2 <= 1.000001
                assert 0 <= y - height / 2 < y + height / 2 <= 1.000001


def test_every_film_is_a_readable_dicom_file_of_its_patient(landing: Path) -> None:
    uids = set()
    for path in landing.rglob("*.dcm"):
        ds = pydicom.dcmread(path)
        assert ds.PatientID == path.parent.name
        assert ds.pixel_array.shape == (ds.Rows, ds.Columns)
        uids.add(ds.SOPInstanceUID)
    assert len(uids) == len(list(landing.rglob("*.dcm")))


def test_the_same_seed_gives_the_same_bytes_also_with_more_workers(
    tmp_path: Path, landing: Path, tiny: PhantomSettings
) -> None:
    again = tmp_path / "institution_1"
    write_hospital(again, "institution_1", tiny, 3, workers=2)
    assert digests(again) == digests(landing)


def test_a_second_run_writes_nothing_and_a_killed_run_is_finished(
    tmp_path: Path, landing: Path, tiny: PhantomSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "institution_1"
    written: list[str] = []
    original = hospital._write_film_and_boxes

    def killed(job: hospital._Job) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(job.plan.stem)
        original(job)

    monkeypatch.setattr(hospital, "_write_film_and_boxes", killed)
    with pytest.raises(KeyboardInterrupt):
        write_hospital(folder, "institution_1", tiny, 3, workers=1)
    assert len(list(folder.rglob("*.dcm"))) == 3
    (folder / "films" / ".partial-half.dcm").write_bytes(b"half")
    lines: list[str] = []

    def counted(job: hospital._Job) -> None:
        assert job.plan.stem not in written
        original(job)

    monkeypatch.setattr(hospital, "_write_film_and_boxes", counted)
    write_hospital(folder, "institution_1", tiny, 3, workers=1, report=lines.append)
    assert lines[0].startswith("3 of ")
    assert digests(folder) == digests(landing)
    assert not list(folder.rglob(".partial-*"))
    monkeypatch.setattr(hospital, "plan_hospital", None)
    write_hospital(folder, "institution_1", tiny, 3, workers=1)


WRITE_WITH_TWO_PROCESSES = """
import sys
from pathlib import Path
from olvf_assets.phantom.hospital import write_hospital
from olvf_assets.phantom.settings import PhantomSettings
settings = PhantomSettings.model_validate_json(sys.argv[2])
write_hospital(Path(sys.argv[1]), "institution_1", settings, 3, workers=2, report=lambda line: print(line, flush=True))
"""


def test_a_run_whose_processes_are_all_killed_at_once_is_finished_by_the_next(
    tmp_path: Path, landing: Path, tiny: PhantomSettings
) -> None:
    folder = tmp_path / "institution_1"
    command = [sys.executable, "-c", WRITE_WITH_TWO_PROCESSES, str(folder), tiny.model_dump_json()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as run:
        assert run.stdout is not None
        first = run.stdout.readline()
        os.killpg(run.pid, signal.SIGKILL)
    done, total = (int(each) for each in first.split()[0].split("/"))
    written = {path.stem for path in folder.glob("films/*/PH*.dcm")}
    assert done <= len(written) < total
    assert json.loads((folder / ".phantom.json").read_text())["complete"] is False
    lines: list[str] = []
    write_hospital(folder, "institution_1", tiny, 3, workers=1, report=lines.append)
    assert lines[0] == f"{len(written)} of {total} films were there already"
    assert lines[-1] == f"{total - len(written)}/{total - len(written)} films"
    assert digests(folder) == digests(landing)


def test_a_film_that_was_lost_is_written_again(tmp_path: Path, tiny: PhantomSettings) -> None:
    folder = tmp_path / "institution_2"
    write_hospital(folder, "institution_2", tiny, 3, workers=1)
    before = digests(folder)
    next(folder.rglob("*.dcm")).unlink()
    lines: list[str] = []
    write_hospital(folder, "institution_2", tiny, 3, workers=1, report=lines.append)
    assert digests(folder) == before
    assert lines[-1] == "1/1 films"


def test_another_seed_rewrites_what_the_phantom_wrote_and_keeps_what_it_did_not(
    tmp_path: Path, tiny: PhantomSettings
) -> None:
    folder = tmp_path / "institution_2"
    write_hospital(folder, "institution_2", tiny, 3, workers=1)
    before = digests(folder)
    (folder / "films" / "note.txt").write_text("mine")
    write_hospital(folder, "institution_2", tiny, 4, workers=1)
    after = digests(folder)
    assert (folder / "films" / "note.txt").read_text() == "mine"
    assert after["subjects.csv"] != before["subjects.csv"]
    films = {each.stem for patient in plan_hospital("institution_2", tiny, 4) for each in patient.films}
    assert {each.stem for each in folder.rglob("*.dcm")} == films


def test_a_real_hospitals_folder_is_refused_and_left_alone(tmp_path: Path, tiny: PhantomSettings) -> None:
    folder = tmp_path / "institution_1"
    (folder / "films").mkdir(parents=True)
    (folder / "films" / "real.dcm").write_bytes(b"real")
    with pytest.raises(ForeignFolderError, match=r"institution_1 holds files .* take institution_1 out of"):
        write_hospital(folder, "institution_1", tiny, 3)
    assert digests(folder) == {"films/real.dcm": hashlib.sha256(b"real").hexdigest()}


def test_a_folder_that_is_a_link_to_elsewhere_is_not_filled(tmp_path: Path, tiny: PhantomSettings) -> None:
    folder = tmp_path / "institution_1"
    (tmp_path / "share").mkdir()
    folder.mkdir()
    (folder / "films").symlink_to(tmp_path / "share")
    with pytest.raises(ForeignFolderError, match="institution_1 holds files"):
        write_hospital(folder, "institution_1", tiny, 3)
    assert list((tmp_path / "share").iterdir()) == []


def test_a_run_killed_at_its_first_record_is_started_again(tmp_path: Path, tiny: PhantomSettings) -> None:
    undisturbed, killed = tmp_path / "undisturbed" / "institution_1", tmp_path / "killed" / "institution_1"
    write_hospital(undisturbed, "institution_1", tiny, 3)
    (killed / "films").mkdir(parents=True)
    (killed / ".partial-1f.json").write_text('{"fingerprint": "')
    write_hospital(killed, "institution_1", tiny, 3)
    assert digests(killed) == digests(undisturbed)


def test_an_institution_that_the_profile_does_not_know_is_refused(tmp_path: Path, tiny: PhantomSettings) -> None:
    with pytest.raises(UnknownInstitutionError, match="has no institution_9; it has: institution_1, institution_2"):
        write_hospital(tmp_path / "institution_9", "institution_9", tiny, 3)


def test_the_command_line_writes_one_more_hospital(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "institution_3"
    words = [
        "--out",
        str(out),
        "--institution",
        "institution_3",
        "--name",
        "Third",
        "--patients",
        "1",
        "--workers",
        "1",
    ]
    assert main(words) == 0
    assert read_institution(out).name == "Third"
    assert len(list(out.rglob("*.dcm"))) == 1
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("x")
    assert main(["--out", str(tmp_path / "mine")]) == 1
    assert "left as it is" in capsys.readouterr().err
