"""The two partition dimensions.

What lives here: institutions (dynamic: a new hospital is a new key, never a code change) and folds (static, in order).
"""

from dagster import AllPartitionMapping, DynamicPartitionsDefinition, PartitionsDefinition, StaticPartitionsDefinition

from olvf_assets.foundation.tables import Dimension

FOLDS = (1, 2, 3, 4, 5)
INSTITUTION_PARTITIONS = DynamicPartitionsDefinition(name="institution")
FOLD_PARTITIONS = StaticPartitionsDefinition([str(fold) for fold in FOLDS])
ALL_PARTITIONS = AllPartitionMapping()


def partitions_of(dimension: Dimension | None) -> PartitionsDefinition | None:
    """Return the Dagster partitions of a table kept by `dimension`."""
    if dimension is None:
        return None
    return {"institution": INSTITUTION_PARTITIONS, "fold": FOLD_PARTITIONS}[dimension]
