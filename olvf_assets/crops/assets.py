"""The assets of the crops.

What lives here: their names and dependencies. What does not: cutting, labels.
"""

import polars as pl

from olvf_assets.crops.tables import DETECTED_CROPS, VERTEBRA_CROPS
from olvf_assets.foundation.tables import TableRun, table
from olvf_assets.storage.kept_answers import KeptAnswers


@table(schema=DETECTED_CROPS, by="institution", kinds=("polars", "opencv"), pictures=("image_path",))
def detected_crops(run: TableRun, detections: pl.DataFrame, films: pl.DataFrame) -> pl.DataFrame:
    """One equalised 166 x 140 picture per vertebra that a detector found, whether or not anybody labelled it."""
    from olvf_assets.crops.crop import crop_vertebrae

    with KeptAnswers.of(run, "detected_crops") as kept:
        return crop_vertebrae(detections, films, run.store, run.profile.crops, kept=kept, report=run.report)


@table(schema=VERTEBRA_CROPS, by="institution", pictures=("image_path",))
def vertebra_crops(
    run: TableRun, detected_crops: pl.DataFrame, cohort_vertebrae: pl.DataFrame, unlabelled_vertebrae: pl.DataFrame
) -> pl.DataFrame:
    """The crops of the cohort with their labels, and those that are scored without one. Intake ends here."""
    from olvf_assets.crops import of_cohort

    crops = of_cohort.vertebra_crops(detected_crops, cohort_vertebrae, unlabelled_vertebrae)
    wanted = len(cohort_vertebrae) + len(unlabelled_vertebrae)
    for protocol in run.profile.protocols:
        run.notes[f"vertebra images not detected, protocol {protocol}"] = wanted - len(crops.filter(protocol=protocol))
    run.notes["crops without a label"] = crops["label"].null_count()
    return crops
