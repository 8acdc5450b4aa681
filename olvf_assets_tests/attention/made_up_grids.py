"""`gradcam_grids` with known values, for the tests of what comes after it."""

import numpy as np
import polars as pl

from olvf_assets.attention.tables import GRADCAM_GRIDS, SOURCES
from olvf_assets_tests.attention.table_7 import TABLE_7


def grids(values: dict[str, np.ndarray], images_per_patient: int = 1, **other: dict[str, np.ndarray]) -> pl.DataFrame:
    """Return `gradcam_grids` with the same values (images, 48) as red and as raw map, unless `other` gives a source's.

    Patients have the same number in every predicted class: patient 0 has the first images of each, and so on.
    """
    rows = [
        {
            "protocol": "patient",
            "architecture": "densenet161",
            "fold": 5,
            "sample_id": f"{predicted}{image:03d}",
            "crop_id": f"{predicted}{image:03d}",
            "patient_id": f"P{image // images_per_patient:03d}",
            "label": predicted,
            "predicted": predicted,
            "section": section + 1,
            "source": source,
            "value": float(value),
        }
        for source in SOURCES
        for predicted, images in other.get(source, values).items()
        for image, sections in enumerate(images)
        for section, value in enumerate(sections)
    ]
    return pl.DataFrame(rows, schema=GRADCAM_GRIDS)


def around_table_7(images: int, spread: float, seed: int = 8) -> dict[str, np.ndarray]:
    """Return, per class, (images, 48) values that scatter around the means of Table 7."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(means, spread, (images, 48)) for name, means in TABLE_7.items()}
