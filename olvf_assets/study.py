"""The study view: the same assets unpartitioned, one run over all partitions.

`dagster asset materialize --select +external_metrics` loads this module.
"""

from olvf_assets.orchestration.graph import build_definitions

defs = build_definitions("study")
