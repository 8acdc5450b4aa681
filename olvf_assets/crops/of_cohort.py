"""Which of the crops there are belong to the study, and under which label.

What lives here: `vertebra_crops`: crops of the cohort with their reference standard, unlabelled ones without. What does
not: cutting (`crop.py`), who is in the cohort (SQL models). Light: no pixels; a label that comes later costs a join.
"""

import polars as pl

from olvf_assets.crops.tables import VERTEBRA_CROPS

IMAGE = ["institution", "film_id", "level"]


def scored_vertebrae(cohort_vertebrae: pl.DataFrame, unlabelled_vertebrae: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of both tables together, label null for unlabelled ones."""
    return pl.concat([cohort_vertebrae, unlabelled_vertebrae], how="diagonal")


def vertebra_crops(
    detected_crops: pl.DataFrame, cohort_vertebrae: pl.DataFrame, unlabelled_vertebrae: pl.DataFrame
) -> pl.DataFrame:
    """Return `vertebra_crops`: the detected crops of the vertebra images that no rule excludes.

    Args:
        detected_crops: `detected_crops`.
        cohort_vertebrae: `cohort_vertebrae` of the same institutions.
        unlabelled_vertebrae: `unlabelled_vertebrae` of the same.
    """
    wanted = scored_vertebrae(cohort_vertebrae, unlabelled_vertebrae).select(*IMAGE, "role", "label")
    crops = detected_crops.join(wanted, on=IMAGE, how="inner")
    return crops.select(VERTEBRA_CROPS.names()).cast(VERTEBRA_CROPS).sort("protocol", "institution", "crop_id")
