"""Steps as Jobs of Kubernetes.

What lives here: what a step asks a cluster for, and which executor a run has. What does not: what work within a step
needs (`foundation/engine.py`), any cluster's own configuration: image, namespace, volumes (docs/scale.md).
"""

import math
from typing import Any

from dagster import ExecutorDefinition, in_process_executor

from olvf_assets.foundation.engine import FILMS, NETWORK, engine_name, gpu_share

NAME = "kubernetes"
CONFIG_TAG = "dagster-k8s/config"
LEAST_MEMORY_GIB = 2  # Dagster, polars and what they load
MEMORY_LIMIT = 4  # times what is asked for: a step beyond that is ended by the cluster, and tried again by hand


def demands(pool: str | None) -> dict[str, Any]:
    """Return the tags by which a step asks a cluster of Kubernetes for what it needs; elsewhere nobody reads them.

    Args:
        pool: of the table; tables of pool `gpu` get a GPU, unless OLVF_GPU_SHARE is 0.

    Raises:
        EngineError: `OLVF_GPU_SHARE` is no share.
    """
    needs = NETWORK if pool == "gpu" else FILMS
    memory_gib = needs.memory_gib + LEAST_MEMORY_GIB
    limits: dict[str, Any] = {"memory": f"{MEMORY_LIMIT * memory_gib}Gi"}
    share = gpu_share()
    if gpus := math.ceil(1.0 if share is None else share) if needs.gpu else 0:
        limits["nvidia.com/gpu"] = str(gpus)  # Kubernetes lends whole ones
    resources = {"requests": {"cpu": str(max(1, needs.cores)), "memory": f"{memory_gib}Gi"}, "limits": limits}
    return {CONFIG_TAG: {"container_config": {"resources": resources}}}


def executor() -> ExecutorDefinition:
    """Return what carries a run's steps out: this process, or with `OLVF_ENGINE=kubernetes` a Job each."""
    if engine_name() != NAME:
        return in_process_executor
    from dagster_k8s import k8s_job_executor

    return k8s_job_executor
