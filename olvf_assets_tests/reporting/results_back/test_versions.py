"""Equal results are the same object; other ones supersede; whatever ends a call, the next one ends as if it had not."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pydicom
import pytest

from olvf_assets.foundation.errors import MachineError, OlvfError
from olvf_assets.reporting.results_back import hospital
from olvf_assets.reporting.results_back.findings import StaleResultsError
from olvf_assets.reporting.results_back.hospital import mark_sent, unsent
from olvf_assets.reporting.results_back.versions import versions_of
from olvf_assets.storage.artifacts import DamagedPictureError
from olvf_assets_tests.intake import samples
from olvf_assets_tests.intake.samples import write
from olvf_assets_tests.reporting.results_back.answered import NAMES, Answered, named


def read_here(function: Callable[[Any], Any], items: Iterable[Any], **_: object) -> list[Any]:
    """Do here what `read_apart` does in another process."""

    def answer(item: Any) -> Any:
        try:
            return function(item)
        except MachineError:
            raise
        except OlvfError as error:
            return error

    return [answer(each) for each in items]


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    samples.read_in_this_process(monkeypatch)
    monkeypatch.setattr(hospital, "read_apart", read_here)


@pytest.fixture
def answered(tmp_path: Path) -> Answered:
    return Answered(tmp_path)


def uid(path: Path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)


def predecessors(path: Path) -> list[tuple[str, str]]:
    """Return series and instance of each document that a report supersedes."""
    report = pydicom.dcmread(path)
    return [
        (series.SeriesInstanceUID, item.ReferencedSOPInstanceUID)
        for study in report.get("PredecessorDocumentsSequence", [])
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]


def test_an_equal_result_makes_nothing(answered: Answered) -> None:
    answered.write()
    before = {path: path.read_bytes() for path in answered.out.iterdir()}
    answered.predict("L1", p_normal=0.7 + 1e-9)  # another machine's last digits
    assert dict(answered.write().counts) == {"as before": 3}
    assert {path: path.read_bytes() for path in answered.out.iterdir()} == before


def test_an_equal_result_elsewhere_is_the_same_object(answered: Answered, tmp_path: Path) -> None:
    answered.write()
    other = Answered(tmp_path / "elsewhere")
    other.write()
    for kind in ("sr", "sc"):
        assert uid(other.file("one", kind)) == uid(answered.file("one", kind))


def test_a_corrected_result_supersedes_and_takes_the_place_of_the_file(answered: Answered) -> None:
    answered.write()
    first, picture = pydicom.dcmread(answered.file("one", "sr")), uid(answered.file("one", "sc"))
    assert predecessors(answered.file("one", "sr")) == []
    answered.predict("L1", p_normal=0.4, p_old=0.5)
    assert dict(answered.write().counts) == {"superseding": 1, "as before": 2}
    second = pydicom.dcmread(answered.file("one", "sr"))
    assert second.SOPInstanceUID != first.SOPInstanceUID
    assert predecessors(answered.file("one", "sr")) == [(first.SeriesInstanceUID, first.SOPInstanceUID)]
    assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)
    assert second.SeriesInstanceUID == first.SeriesInstanceUID
    assert picture in pydicom.dcmread(answered.file("one", "sc")).DerivationDescription
    assert dict(answered.write().counts) == {"as before": 3}


def test_a_result_that_comes_again_is_another_object_than_the_first_time(answered: Answered) -> None:
    answered.write()
    first = uid(answered.file("one", "sr"))
    answered.predict("L1", p_normal=0.4)
    answered.write()
    second = uid(answered.file("one", "sr"))
    answered.predict("L1", p_normal=0.7)
    answered.write()
    third = pydicom.dcmread(answered.file("one", "sr"))
    assert third.SOPInstanceUID not in (first, second)
    assert [each for _, each in predecessors(answered.file("one", "sr"))] == [second]
    assert third.InstanceNumber == 3


def test_levels_that_cannot_be_told_any_more_supersede_what_was_said_of_them(answered: Answered) -> None:
    answered.write()
    first = uid(answered.file("one", "sr"))
    answered.tables["detected_films"] = answered.tables["detected_films"].with_columns(state=pl.lit("ambiguous"))
    answered.tables["detections"] = answered.tables["detections"].clear()
    assert dict(answered.write().counts) == {"superseding": 2, "as before": 1}
    assert [each for _, each in predecessors(answered.file("one", "sr"))] == [first]
    assert not list(answered.out.glob(f"{answered.ids['one']}.*.sc.dcm"))


def test_a_corrected_name_of_the_patient_supersedes(answered: Answered) -> None:
    answered.write()
    first = uid(answered.file("one", "sr"))
    write(named("one", PatientName="Yamada^Hanae"), answered.landing / "films" / "one.dcm")
    assert dict(answered.write().counts) == {"superseding": 1, "as before": 2}
    assert [each for _, each in predecessors(answered.file("one", "sr"))] == [first]
    assert str(pydicom.dcmread(answered.file("one", "sr")).PatientName) == "Yamada^Hanae"


def test_a_dry_run_writes_nothing_and_says_what_would_be(answered: Answered) -> None:
    assert dict(answered.write(dry_run=True).counts) == {"new": 3}
    assert not answered.out.exists()
    assert not (answered.root / "lake" / "results_back").exists()


def test_what_is_to_be_sent_is_the_last_version_until_it_is_sent(answered: Answered) -> None:
    answered.write()
    data, store = answered.root, answered.store
    first = unsent(data, store, "institution_1")
    assert sorted(path.name.split(".", 2)[2] for path in first) == ["sc.dcm", "sr.dcm", "sr.dcm", "sr.dcm"]
    of_one = [path for path in first if path.name.startswith(answered.ids["one"])]
    assert [path.name.split(".")[2] for path in of_one] == ["sc", "sr"]  # the report names the picture
    mark_sent(data, store, "institution_1", of_one[:1])
    assert unsent(data, store, "institution_1") == first  # half of a film is not sent
    mark_sent(data, store, "institution_1", of_one)
    assert unsent(data, store, "institution_1") == [path for path in first if path not in of_one]
    for path in of_one:
        path.unlink()
    assert dict(answered.write().counts) == {"as before": 3}
    assert not any(path.exists() for path in of_one)
    answered.predict("L1", p_normal=0.4)
    answered.write()
    assert answered.file("one", "sr") in unsent(data, store, "institution_1")


def test_files_taken_away_before_they_were_sent_are_written_again_as_the_same_objects(answered: Answered) -> None:
    answered.write()
    path = answered.file("one", "sr")
    before = path.read_bytes()
    path.unlink()
    assert dict(answered.write().counts) == {"as before": 3}
    assert path.read_bytes() == before


@pytest.mark.parametrize("killed_at", range(1, 6))
def test_a_call_killed_anywhere_ends_as_if_it_had_not_been(
    answered: Answered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    class KilledError(BaseException):
        pass

    undisturbed = Answered(tmp_path / "undisturbed")
    for each in (undisturbed, answered):
        each.write()
        each.predict("L1", p_normal=0.4)
    undisturbed.write()
    calls: list[str] = []

    def dying(name: str) -> None:
        step = getattr(hospital, name)

        def die_before(*given: object, **others: object) -> object:
            calls.append(name)
            if len(calls) == killed_at:
                raise KilledError
            return step(*given, **others)

        monkeypatch.setattr(hospital, name, die_before)

    for name in ("next_version", "_put", "keep_versions", "_remove_others"):
        dying(name)
    with pytest.raises(KilledError):
        answered.write()
    monkeypatch.undo()
    answered.write()
    files = [sorted(path.name for path in each.out.iterdir()) for each in (answered, undisturbed)]
    assert files[0] == files[1]
    assert predecessors(answered.file("one", "sr")) == predecessors(undisturbed.file("one", "sr"))
    assert len(versions_of(answered.store, "institution_1", answered.ids["one"])) == 2


def test_half_a_file_of_a_killed_call_goes(answered: Answered) -> None:
    answered.write()
    half = answered.out / ".partial-0123.dcm"
    half.write_bytes(b"Yamada")
    answered.write()
    assert not half.exists()


def test_a_film_of_another_patient_in_the_place_of_the_one_taken_in_is_refused(answered: Answered) -> None:
    write(named("one", PatientID="A-2"), answered.landing / "films" / "one.dcm")
    write(named("another"), answered.landing / "films" / "two.dcm")
    (answered.landing / "films" / "three.dcm").unlink()
    outcome = answered.write()
    assert dict(outcome.counts) == {"refused": 3}
    assert all(each.startswith("film F") for each in outcome.refused)
    assert [("another film or patient" in each) for each in outcome.refused].count(True) == 2
    assert not list(answered.out.iterdir())


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_a_film_without_a_study_or_series_is_refused_by_name(tmp_path: Path, keyword: str) -> None:
    made = Answered(tmp_path, films={"one": named("one", **{keyword: None}), "two": named("two")})
    outcome = made.write()
    assert dict(outcome.counts) == {"new": 1, "refused": 1}
    assert keyword in outcome.refused[0]


def test_predictions_of_other_crops_than_the_boxes_give_now_are_refused(answered: Answered) -> None:
    answered.tables["crops"] = answered.tables["crops"].with_columns(image_path=pl.lit("images/aa/other.png"))
    with pytest.raises(StaleResultsError, match="materialise ensemble_predictions"):
        answered.write()


def test_films_that_networks_may_have_learnt_from_have_no_report(answered: Answered) -> None:
    assert [each.film_id for each in answered.findings(only_predicted=True)] == [answered.ids["one"]]


def test_a_film_that_is_gone_takes_its_files_with_it(answered: Answered) -> None:
    answered.write()
    answered.tables["films"] = answered.tables["films"].filter(pl.col("film_id") != answered.ids["one"])
    answered.write()
    assert not list(answered.out.glob(f"{answered.ids['one']}*"))


def test_a_damaged_map_ends_the_call_and_names_itself(answered: Answered) -> None:
    path = answered.tables["maps"]["map_path"][0]
    answered.store.path(path).write_bytes(b"")
    with pytest.raises(DamagedPictureError, match="materialise"):
        answered.write()
    assert versions_of(answered.store, "institution_1", answered.ids["one"]) == []


def test_dicom_libraries_name_nobody_while_objects_are_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """highdicom logs the film's UID, and names that it finds odd."""
    one = named("one", PatientName="Yamada^^^^^^Hanako", SpecificCharacterSet="ISO_IR 100")
    made = Answered(tmp_path, films={"one": one})
    for logger in ("root", "pydicom", "highdicom"):
        caplog.set_level("DEBUG", logger)
    assert made.write().refused == []
    said = [each.getMessage() for each in caplog.records if not each.name.startswith("olvf")]
    planted = ("Yamada", "Hanako", str(one.PatientID), one.StudyInstanceUID, one.SeriesInstanceUID, one.SOPInstanceUID)
    assert [line for line in said if any(each in line for each in planted)] == []
    assert NAMES.institution == "institution_1"
