"""The asset of the crops.

What lives here: its name and dependencies. What does not: cutting.
"""

import polars as pl

from olvf_assets.crops.tables import VERTEBRA_CROPS
from olvf_assets.foundation.tables import TableRun, table
from olvf_assets.storage.kept_answers import KeptAnswers


@table(schema=VERTEBRA_CROPS, by="institution", kinds=("polars", "opencv"), pictures=("image_path",))
def vertebra_crops(
    run: TableRun, cohort_vertebrae: pl.DataFrame, detections: pl.DataFrame, films: pl.DataFrame
) -> pl.DataFrame:
    """One equalised 166 x 140 picture per vertebra image of the cohort that a detector found. Intake ends here."""
    from olvf_assets.crops.crop import crop_vertebrae

    with KeptAnswers.of(run, "vertebra_crops") as kept:
        crops = crop_vertebrae(
            cohort_vertebrae, detections, films, run.store, run.profile.crops, kept=kept, report=run.report
        )
    for protocol in run.profile.protocols:
        found = crops.filter(protocol=protocol)
        run.notes[f"vertebra images not detected, protocol {protocol}"] = len(cohort_vertebrae) - len(found)
    return crops
