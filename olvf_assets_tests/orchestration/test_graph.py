"""The graph as a whole: what there is, what rests on what, what starts by itself."""

import contextvars
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dagster import AssetCheckKey, AssetKey, AssetSelection, Definitions

from olvf_assets.definitions import defs as operations
from olvf_assets.foundation.tables import all_reads
from olvf_assets.orchestration.alerts import SITES_CHECK, SITES_TABLE
from olvf_assets.orchestration.graph import all_checks, all_tables, tables_of_an_arrival, tables_scored_again
from olvf_assets.storage.sql import SQL_FOLDER
from olvf_assets.study import defs as study

SNAPSHOT = Path(__file__).parent / "graph_snapshot.txt"


@pytest.fixture(scope="module", autouse=True)
def resolved_apart_from_other_tests() -> None:
    """Resolve both graphs (they keep the result) in an empty context.

    Dagster holds the current instance's storage in a context variable. Contexts of sensors and schedules that other
    tests have built put a closed instance back there when they are collected, and no graph resolves after that.
    """
    for definitions in (operations, study):
        contextvars.Context().run(definitions.get_repository_def)


def described(definitions: Definitions) -> str:
    graph = definitions.resolve_asset_graph()
    lines = []
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        partitions = "" if node.partitions_def is None else f" by {node.partitions_def.__class__.__name__}"
        lines.append(f"{node.group_name}/{key.to_user_string()}{partitions}")
        lines += [f"    < {parent.to_user_string()}" for parent in sorted(node.parent_keys)]
        lines += [f"    ! {check.name}" for check in sorted(node.check_keys)]
    repository = definitions.get_repository_def()
    lines += [f"job {name}" for name in sorted(repository.job_names) if not name.startswith("__")]
    lines += [f"sensor {each.name}" for each in sorted(repository.sensor_defs, key=lambda each: each.name)]
    lines += [f"schedule {each.name}" for each in sorted(repository.schedule_defs, key=lambda each: each.name)]
    return "\n".join(lines) + "\n"


def test_the_graph_is_the_one_that_was_last_agreed_on() -> None:
    """After a change that is meant: OLVF_UPDATE_SNAPSHOT=1 pytest olvf_assets_tests/orchestration/test_graph.py"""
    if os.environ.get("OLVF_UPDATE_SNAPSHOT"):
        SNAPSHOT.write_text(described(operations))
    assert described(operations) == SNAPSHOT.read_text()


def test_both_views_hold_the_same_assets_and_checks() -> None:
    left, right = operations.resolve_asset_graph(), study.resolve_asset_graph()
    assert left.get_all_asset_keys() == right.get_all_asset_keys()
    watched = AssetCheckKey(AssetKey(SITES_TABLE), SITES_CHECK)  # of hospitals that bring nothing; no run's business
    assert left.asset_check_keys == {*right.asset_check_keys, watched}


def test_nothing_is_partitioned_in_the_study_view() -> None:
    graph = study.resolve_asset_graph()
    assert all(graph.get(key).partitions_def is None for key in graph.get_all_asset_keys())


@pytest.mark.parametrize("target", ["test_metrics", "external_metrics"])
def test_one_level_up_from_a_metric_table_is_all_that_it_rests_on(target: str) -> None:
    graph = study.resolve_asset_graph()
    one_level = AssetSelection.from_string(f"+{target}").resolve(graph)
    every_level = AssetSelection.assets(target).upstream().resolve(graph)
    assert one_level == every_level
    assert AssetKey("landing_manifest") in one_level


def test_every_blocking_rule_stands_on_a_table_that_exists() -> None:
    names = {each.name for each in all_tables()}
    assert {each.table for each in all_checks()} <= names
    assert {name for each in all_checks() for name in each.reads} <= names


def test_new_crops_never_start_a_training() -> None:
    again = tables_scored_again()
    assert {"crop_scores", "fold_predictions", "external_metrics", "warehouse"} <= set(again)
    assert again == sorted(set(again))
    assert not [name for name in again if name.endswith("_checkpoints") or name == "detector_model"]
    assert not {"splits", "balanced_training_set", "validation_predictions"} & set(again)


def test_an_arrival_is_all_of_its_hospital_and_what_its_films_reach_without_training() -> None:
    made = set(tables_of_an_arrival())
    assert made >= {each.name for each in all_tables() if each.by == "institution"}
    assert {"detector_metrics", "external_metrics", "thesis_comparison", "report_figures", "warehouse"} <= made
    assert not [each.name for each in all_tables() if each.name in made and (each.learns or each.by == "fold")]
    assert not {"detector_model", "balanced_test_set", "gradcam_grids", "calibration_temperatures"} & made


def test_temperatures_and_thresholds_follow_a_training_and_what_they_serve_follows_new_crops() -> None:
    again = set(tables_scored_again())
    assert {"calibration_temperatures", "operating_points"} <= again
    assert {"calibration", "reliability_curves", "decision_curves", "operating_point_metrics", "mri_avoided"} <= again
    assert {"subgroup_metrics", "human_ceiling", "review_list"} <= again


def test_what_is_detected_cropped_scored_and_compared_rests_on_no_label_of_its_hospital() -> None:
    tables = {each.name: each for each in all_tables()}
    reads = all_reads(all_tables(), all_checks())
    labels = {"reader_labels", "film_conditions", "patients", "consensus_labels", "exclusions", "unlabelled_vertebrae"}
    for name in ("detection_candidates", "detected_films", "detections", "detected_crops", "picture_fingerprints"):
        of_hospital = {each for each in reads[name] if tables[each].by == "institution"}
        assert not of_hospital & labels, name
    own = {each for each in reads["crop_scores"] if tables[each].by == "institution"}
    assert own == {"detected_crops"}


def test_heavy_work_takes_the_gpu_pool() -> None:
    pools = {each.name for each in all_tables() if each.pool == "gpu"}
    trained = {f"{name}_checkpoints" for name in ("resnet50", "densenet161", "resnext50")}
    assert {"detector_model", "crop_scores", "validation_predictions", *trained} <= pools


LOADS_BOTH_VIEWS = """
import collections, json, pathlib, sys
from olvf_assets.orchestration import views

counts = collections.Counter()
read_text, build_assets = pathlib.Path.read_text, views.build_assets

def noting_read_text(path, *positional, **named):
    counts[path.name] += 1
    return read_text(path, *positional, **named)

def noting_build_assets(view, *positional, **named):
    counts[view] += 1
    return build_assets(view, *positional, **named)

pathlib.Path.read_text, views.build_assets = noting_read_text, noting_build_assets
import olvf_assets.study, olvf_assets.definitions
for view in (olvf_assets.study, olvf_assets.definitions):
    view.defs.get_repository_def()
print(json.dumps([counts, "sqlglot" in sys.modules]))
"""


def test_the_graph_is_found_once_for_both_views() -> None:
    command = [sys.executable, "-c", LOADS_BOTH_VIEWS]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=SNAPSHOT.parents[2])
    counts, parsed = json.loads(shown.stdout)
    sql_files = [path.name for path in SQL_FOLDER.rglob("*.sql")]
    assert {name: counts[name] for name in sql_files} == dict.fromkeys(sql_files, 1)
    assert (counts["study"], counts["operations"], parsed) == (1, 1, False)
