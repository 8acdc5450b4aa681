"""All rooms as one graph.

What lives here: which tables and checks there are, found once a process, and the definitions of a view. What does not:
any of them.
"""

import functools
from collections.abc import Mapping
from types import ModuleType
from typing import Any, TypeVar

from dagster import Definitions

from olvf_assets.attention import assets as attention
from olvf_assets.classification import assets as classification
from olvf_assets.classification import checks as classification_checks
from olvf_assets.cohort import assets as cohort
from olvf_assets.cohort import checks as cohort_checks
from olvf_assets.crops import assets as crops
from olvf_assets.crops import checks as crops_checks
from olvf_assets.detection import assets as detection
from olvf_assets.evaluation import assets as evaluation
from olvf_assets.evaluation import checks as evaluation_checks
from olvf_assets.foundation.tables import Check, Dimension, Table, all_reads, descendants
from olvf_assets.intake import assets as intake
from olvf_assets.intake import checks as intake_checks
from olvf_assets.orchestration import console
from olvf_assets.orchestration.kubernetes import executor
from olvf_assets.orchestration.resources import LakeResource, StudyResource
from olvf_assets.orchestration.sql_models import load_models, load_tests
from olvf_assets.orchestration.views import View, build_assets
from olvf_assets.profiles import profile_name
from olvf_assets.reporting import assets as reporting
from olvf_assets.reporting.assets import warehouse_of
from olvf_assets.storage.places import data_folder, lake_address, store_of

ROOMS = (intake, cohort, detection, crops, classification, evaluation, attention, reporting)
ROOM_CHECKS = (intake_checks, cohort_checks, crops_checks, classification_checks, evaluation_checks)
NAMED_BY_USERS = ("test_metrics", "external_metrics", "report_figures", "warehouse")
Kind = TypeVar("Kind")


@functools.cache
def all_tables() -> tuple[Table, ...]:
    """Return every table of the project, those of SQL models included."""
    tables = (*_members(ROOMS, Table), *load_models())
    return *tables, warehouse_of(tables)


def tables_by(dimension: Dimension | None) -> list[str]:
    """Return the names of the tables kept by one partition dimension, or by none."""
    return [each.name for each in all_tables() if each.by == dimension]


def tables_of_an_arrival() -> list[str]:
    """Return the names of the tables that a new or changed hospital's films reach without any training, sorted."""
    reads = all_reads(all_tables(), all_checks())
    own = ("crop_scores", "detector_answers", "picture_fingerprints")
    what_follows = {name for each in own for name in descendants(each, reads)}
    return sorted({*tables_by("institution"), "expectation_results", *what_follows})


def tables_scored_again() -> list[str]:
    """Return the names of the tables that are made again without any training.

    That is what a new hospital changes, and what follows from new validation predictions, which only a training makes:
    else predictions of new networks would be held against temperatures and thresholds of the old ones.
    """
    reads = all_reads(all_tables(), all_checks())
    of_crops, of_training = descendants("crop_scores", reads), descendants("validation_predictions", reads)
    return sorted({"expectation_results", "crop_scores", "crop_attention", *of_crops, *of_training})


@functools.cache
def all_checks() -> tuple[Check, ...]:
    """Return every check of the project, those of `dbt_like_sql/tests` included."""
    return *_members(ROOM_CHECKS, Check), *evaluation_checks.FIREWALLS, *evaluation_checks.FRESHNESS, *load_tests()


def build_definitions(view: View, overrides: Mapping[str, Any] | None = None, **more: Any) -> Definitions:
    """Return the definitions of one view.

    Args:
        view: `operations` (partitioned) or `study` (one run over everything).
        overrides: resources to use instead of the default ones.
        more: jobs, sensors, schedules and further checks of the view.
    """
    data, lake = data_folder(), lake_address()
    resources = {
        "study": StudyResource(profile_name=profile_name(), data_folder=str(data), lake=lake),
        "lake": LakeResource(base_dir=store_of(data, lake).tables.base),
        **(overrides or {}),
    }
    return Definitions(
        assets=build_assets(view, all_tables(), all_checks(), NAMED_BY_USERS, tables_scored_again()),
        resources=resources,
        executor=executor(),
        loggers={console.NAME: console.console_logger(data)},
        **more,
    )


def _members(modules: tuple[ModuleType, ...], kind: type[Kind]) -> list[Kind]:
    return [each for module in modules for each in vars(module).values() if isinstance(each, kind)]
