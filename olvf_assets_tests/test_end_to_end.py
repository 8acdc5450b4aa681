"""The whole lineage on profile `ci`, as its users run it. The tests of this file build on one run, in order."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb
import polars as pl
import pydicom
import pytest
from dagster import AssetKey, DagsterInstance
from deltalake import DeltaTable

from olvf_assets.intake.headers.view_rules import DESCRIPTIONS

PROJECT = Path(__file__).parents[1]
NEVER_TRAINED_AGAIN = ["detector_model", "resnet50_checkpoints", "densenet161_checkpoints", "resnext50_checkpoints"]


class Study:
    """One data folder and one Dagster home, and the commands of the README on them."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        shutil.copy(PROJECT / "dagster.yaml", self.home)
        self.environment = {
            **os.environ,
            "OLVF_PROFILE": "ci",
            "OLVF_DATA": str(self.data),
            "DAGSTER_HOME": str(self.home),
            "DAGSTER_MODULE_NAME": "olvf_assets.study",
            "OLVF_PSEUDONYM_KEY": "a secret of the end-to-end test",
        }

    def run(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=PROJECT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
        return done.stdout + done.stderr

    def table(self, name: str) -> pl.DataFrame:
        frame = pl.read_delta(str(self.data / "lake" / "tables" / f"{name}.delta"))
        plain = [column for column, dtype in frame.schema.items() if not dtype.is_nested()]
        return frame.sort(plain)

    def tables(self) -> dict[str, pl.DataFrame]:
        return {path.stem: self.table(path.stem) for path in (self.data / "lake" / "tables").glob("*.delta")}

    def versions(self) -> dict[str, int]:
        return {path.stem: DeltaTable(path).version() for path in (self.data / "lake" / "tables").glob("*.delta")}

    def work(self) -> list[Path]:
        """What was trained, rendered or decoded and is kept for the next run."""
        return sorted((self.data / "lake" / "work").glob("*/*"))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    each = Study(tmp_path_factory.mktemp("study"))
    each.run("dagster", "asset", "materialize", "--select", "*")
    yield each
    shutil.rmtree(each.data)


def test_every_table_is_in_the_lake_and_in_the_warehouse(study: Study) -> None:
    from olvf_assets.orchestration.graph import all_tables

    names = {each.name for each in all_tables()}
    assert set(study.tables()) == names
    with duckdb.connect(str(study.data / "olvf.duckdb"), read_only=True) as connection:
        for name in names - {"warehouse"}:
            (count,) = connection.execute(f'select count(*) from "{name}"').fetchone() or (None,)
            assert count == len(study.table(name)), name


def test_external_metrics_are_there_for_the_external_hospital_and_no_other(study: Study) -> None:
    metrics = study.table("external_metrics")
    assert metrics["institution"].unique().to_list() == ["institution_2"]
    assert metrics["protocol"].unique().to_list() == ["patient"]
    overall = metrics.filter(
        protocol="patient", model="ensemble", fold="mean", positive_class="all", ci_method="patient_bootstrap"
    )
    assert set(overall["metric"]) >= {"accuracy", "sensitivity", "specificity", "false_discovery_rate", "auc"}
    accuracy = overall.filter(metric="accuracy").row(0, named=True)
    assert 0.5 < accuracy["value"] <= 1
    assert accuracy["ci_low"] <= accuracy["value"] <= accuracy["ci_high"]


def test_every_vertebra_of_the_external_hospital_is_scored_by_fifteen_networks(study: Study) -> None:
    crops = study.table("vertebra_crops").filter(role="external")
    scored = study.table("fold_predictions").filter(dataset="external")
    assert len(scored) == 15 * len(crops)
    assert set(scored["crop_id"]) == set(crops["crop_id"])


def test_no_patient_is_both_trained_on_and_tested_on(study: Study) -> None:
    trained = set(study.table("balanced_training_set")["patient_id"])
    tested = set(study.table("fold_predictions")["patient_id"])
    detector = set(study.table("detector_copies")["patient_id"])
    assert not trained & tested
    assert not detector & tested


def test_every_film_and_vertebra_ends_in_one_state(study: Study) -> None:
    flow = study.table("participant_flow")
    films = flow.filter(unit="film").group_by("institution").agg(pl.col("n").sum())
    candidates = study.table("dicom_headers").group_by("institution").len()
    assert dict(films.rows()) == dict(candidates.rows())
    used = flow.filter(unit="vertebra", state="used").group_by("institution").agg(pl.col("n").sum())
    assert dict(used.rows()) == dict(
        study.table("vertebra_crops").filter(protocol="patient").group_by("institution").len().rows()
    )


def test_what_the_study_view_made_shows_in_the_operations_view(study: Study) -> None:
    with DagsterInstance.from_config(str(study.home)) as instance:
        assert instance.get_materialized_partitions(AssetKey("vertebra_crops")) == {"institution_1", "institution_2"}
        assert instance.get_materialized_partitions(AssetKey("fold_predictions")) == {"institution_1", "institution_2"}
        assert instance.get_materialized_partitions(AssetKey("resnet50_checkpoints")) == {"1", "2", "3", "4", "5"}


def test_report_pictures_and_page_are_written(study: Study) -> None:
    figures = study.table("report_figures")
    assert {"roc_curves", "confusion_matrices", "attention"} <= set(figures["figure"])
    assert all((study.data / "reports" / path).stat().st_size > 5000 for path in figures["path"])
    assert "not a medical device" in (study.data / "reports" / "index.html").read_text().lower()


@pytest.fixture(scope="module")
def first_tables(study: Study) -> dict[str, pl.DataFrame]:
    return study.tables()


@pytest.fixture(scope="module")
def untidy_hospital(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A third hospital whose folder also holds what does not belong there."""
    folder = tmp_path_factory.mktemp("from") / "hospital"
    study.run(
        "olvf_assets.phantom",
        *("--out", str(folder), "--institution", "institution_3", "--name", "Hospital 3", "--patients", "6"),
    )
    films = sorted((folder / "films").rglob("*.dcm"))
    (films[0].parent / "notes.dcm").write_text("This is a letter, not a film.")
    (films[0].parent / "cut_off.dcm").write_bytes(films[0].read_bytes()[:100_000])
    frontal = pydicom.dcmread(films[1])
    for lateral in ("ViewCodeSequence", *DESCRIPTIONS):
        if lateral in frontal:  # would contradict the view position, so that the picture would decide
            delattr(frontal, lateral)
    frontal.ViewPosition = "AP"
    frontal.SOPInstanceUID = frontal.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    frontal.save_as(films[0].parent / "frontal.dcm")
    (folder / "boxes" / "nobody.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    return folder


def take_in(study: Study, institution: str, *tables: str) -> None:
    from olvf_assets.orchestration.graph import tables_of_an_arrival

    study.run(
        *("dagster", "asset", "materialize", "-m", "olvf_assets.definitions"),
        *("--select", ",".join(tables or tables_of_an_arrival()), "--partition", institution),
    )


def rows_of(study: Study, name: str, institution: str = "institution_3") -> pl.DataFrame:
    return study.table(name).filter(pl.col("institution") == institution)


@pytest.fixture(scope="module")
def films_alone(
    study: Study, first_tables: dict[str, pl.DataFrame], untidy_hospital: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, pl.DataFrame]:
    """The tables after the third hospital has handed over its films and boxes and no sheet."""
    source = tmp_path_factory.mktemp("films_alone") / "hospital"
    shutil.copytree(untidy_hospital, source, ignore=shutil.ignore_patterns("*.csv"))
    said = study.run("olvf_assets", "add-hospital", "institution_3", str(source))
    assert "no readers.csv, or no row in it: films will be scored, no accuracy" in said
    take_in(study, "institution_3")
    return study.tables()


def test_films_alone_are_scored_and_have_no_accuracy_and_the_tables_say_why(
    study: Study, films_alone: dict[str, pl.DataFrame]
) -> None:
    assert set(films_alone["external_metrics"]["institution"]) == {"institution_2"}
    crops = rows_of(study, "vertebra_crops")
    assert crops["label"].null_count() == crops.height > 0
    for name in ("vertebra_predictions", "patient_predictions", "operating_point_calls"):
        assert rows_of(study, name).height > 0, name
    worklist = rows_of(study, "worklist")
    assert worklist.height == crops.height == rows_of(study, "crop_attention").height
    assert worklist.select(pl.col("p_fresh", "map_path", "predicted").null_count().sum()).row(0) == (0, 0, 0)
    flow = rows_of(study, "participant_flow").filter(pl.col("state") != "quarantined")
    assert set(flow.select("state", "reason").iter_rows()) == {("excluded", "no_label")}
    assert dict(flow.select("unit", "n").iter_rows()) == {"patient": 6, "film": 6, "vertebra": 30}
    assert "Institution 3: there is no accuracy" in (study.data / "reports" / "index.html").read_text()


class Later(NamedTuple):
    """What the sheets changed: the tables before, and the names of those that were written."""

    before: dict[str, pl.DataFrame]
    written: set[str]


@pytest.fixture(scope="module")
def labels_came(study: Study, films_alone: dict[str, pl.DataFrame], untidy_hospital: Path) -> Later:
    versions = study.versions()
    for sheet in untidy_hospital.glob("*.csv"):
        shutil.copy(sheet, study.data / "landing" / "institution_3")
    take_in(study, "institution_3")
    return Later(films_alone, {name for name, version in study.versions().items() if version > versions[name]})


def test_labels_that_come_later_give_figures_and_nothing_is_detected_cropped_scored_or_looked_at_again(
    study: Study, labels_came: Later
) -> None:
    labels_have_no_part_in = {
        "films", "film_pixels", "detection_candidates", "detected_films", "detections", "detected_crops", "crop_scores",
        "crop_attention", "picture_fingerprints", "splits", "balanced_training_set", "balanced_test_set",
        "detector_copies", *NEVER_TRAINED_AGAIN,
    }  # fmt: skip
    assert labels_came.written.isdisjoint(labels_have_no_part_in)
    assert labels_came.written >= {"reader_labels", "vertebra_crops", "fold_predictions", "external_metrics"}
    assert set(study.table("external_metrics")["institution"]) == {"institution_2", "institution_3"}
    others = pl.col("institution") == "institution_2"
    for name in ("external_metrics", "fold_predictions", "worklist"):
        assert study.table(name).filter(others).equals(labels_came.before[name].filter(others)), name
    said = rows_of(study, "patient_predictions")
    assert said["any_fresh"].null_count() == 0
    before = labels_came.before["fold_predictions"].filter(institution="institution_3").drop("label")
    now = rows_of(study, "fold_predictions")
    assert now.drop("label").join(before, on=before.columns, how="anti").is_empty()


def test_labels_that_came_later_give_what_they_give_at_once(study: Study, labels_came: Later) -> None:
    names = ("detected_crops", "vertebra_crops", "crop_scores", "fold_predictions")
    study.environment["OLVF_FORCE"] = ",".join(names)
    try:
        now = {name: rows_of(study, name) for name in names}
        take_in(study, "institution_3", *names)
    finally:
        del study.environment["OLVF_FORCE"]
    for name in names:
        assert rows_of(study, name).equals(now[name]), name


def test_a_new_hospital_is_scored_without_training_and_its_bad_files_are_kept_apart(
    study: Study, first_tables: dict[str, pl.DataFrame], labels_came: Later
) -> None:
    reasons = rows_of(study, "quarantine")["reason"].sort().to_list()
    assert reasons == ["box_without_film", "not_dicom", "not_lateral", "truncated"]
    for name in NEVER_TRAINED_AGAIN:
        assert study.table(name)["weights_sha256"].equals(first_tables[name]["weights_sha256"]), name


class SecondRun(NamedTuple):
    """The users' command once more, after the new hospital's sheet of readers was spoilt."""

    said: str
    tables_made: set[str]
    work_before: list[Path]


@pytest.fixture(scope="module")
def second_run(study: Study, labels_came: Later) -> SecondRun:
    sheet = study.data / "landing" / "institution_3" / "readers.csv"
    lines = sheet.read_text().splitlines()
    lines[1] = lines[1].replace("normal", "nromal").replace("old", "nromal").replace("fresh", "nromal")
    sheet.write_text("\n".join(lines) + "\n")
    work, versions = study.work(), study.versions()
    said = study.run("dagster", "asset", "materialize", "--select", "+external_metrics")
    made = {name for name, version in study.versions().items() if version > versions[name]}
    return SecondRun(said, made, work)


def test_a_bad_sheet_stops_its_hospital_and_leaves_the_others_as_they_were(
    study: Study, first_tables: dict[str, pl.DataFrame], second_run: SecondRun
) -> None:
    assert "institution_3 is left out of this run" in second_run.said
    assert "readers.csv" in second_run.said
    assert "'nromal' is not allowed; write one of normal, old, fresh" in second_run.said
    assert study.table("external_metrics").equals(first_tables["external_metrics"])
    assert "institution_3" not in study.table("reader_labels")["institution"]


def test_the_users_command_run_again_gives_the_same_tables_and_trains_nothing(
    study: Study, first_tables: dict[str, pl.DataFrame], second_run: SecondRun
) -> None:
    assert study.work() == second_run.work_before
    assert second_run.tables_made >= {"external_metrics", "fold_predictions"}  # institution_3 is left out of them
    assert second_run.tables_made.isdisjoint({"splits", *NEVER_TRAINED_AGAIN})
    for name in second_run.tables_made:
        now = study.table(name)
        if "institution" in now.columns:
            now = now.filter(pl.col("institution").ne_missing("institution_3"))
        assert now.equals(first_tables[name]), name


def test_no_identifier_of_a_patient_leaves_intake(study: Study) -> None:
    header = pydicom.dcmread(next((study.data / "landing" / "institution_3" / "films").rglob("*.dcm")), force=True)
    planted = [str(header.PatientID), str(header.PatientName).split("^")[0], str(header.PatientBirthDate)]
    assert all(len(each) >= 4 for each in planted)
    with duckdb.connect(str(study.data / "olvf.duckdb"), read_only=True) as connection:
        for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall():
            text = str(connection.sql(f'from "{name}"').pl().rows())
            assert not [each for each in planted if each in text], name
