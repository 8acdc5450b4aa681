"""The operations view: tables partitioned per institution and per fold, with jobs, sensors and the daily schedule.

`workspace.yaml` loads this module.
"""

from olvf_assets.orchestration.automation import CHECKS, JOBS, SCHEDULES, SENSORS
from olvf_assets.orchestration.graph import build_definitions

defs = build_definitions("operations", jobs=JOBS, sensors=SENSORS, schedules=SCHEDULES, asset_checks=CHECKS)
