"""Assets of the cohort that are not SQL: agreement of the readers, baseline characteristics, split of the patients.

What lives here: names, dependencies, partitions. What does not: how anything is computed. Consensus, exclusions, cohort
and flow are SQL models in `dbt_like_sql`.
"""

import polars as pl

from olvf_assets.cohort.tables import BASELINE_CHARACTERISTICS, PATIENT_SPLITS, READER_AGREEMENT, READER_CONFUSION
from olvf_assets.foundation.tables import TableRun, learnt_from, table


@table(schema=READER_AGREEMENT, by="institution", kinds=("polars", "numpy"))
def reader_agreement(run: TableRun, reader_labels: pl.DataFrame) -> pl.DataFrame:
    """Weighted kappa between the readers and of each reader with himself, with intervals over patients."""
    from olvf_assets.cohort import agreement

    return agreement.reader_agreement(reader_labels, run.profile.cohort, run.seed)


@table(schema=READER_CONFUSION, by="institution")
def reader_confusion(run: TableRun, reader_labels: pl.DataFrame) -> pl.DataFrame:
    """What one reader or reading called the vertebrae that the other called normal, old or fresh."""
    from olvf_assets.cohort import agreement

    return agreement.reader_confusion(reader_labels)


@table(schema=BASELINE_CHARACTERISTICS, by="institution", kinds=("polars", "scipy"))
def baseline_characteristics(
    run: TableRun,
    subjects: pl.DataFrame,
    cohort_vertebrae: pl.DataFrame,
    consensus_labels: pl.DataFrame,
    films: pl.DataFrame,
) -> pl.DataFrame:
    """Who is in the study: age, sex, fractures, delays and devices of patients with a fresh and with old fractures."""
    from olvf_assets.cohort import baseline

    return baseline.baseline_characteristics(subjects, cohort_vertebrae, consensus_labels, films)


@table(schema=PATIENT_SPLITS, learns=True)
def patient_splits(run: TableRun, cohort_vertebrae: pl.DataFrame) -> pl.DataFrame:
    """Which development patient is held out, and in which fold each other one validates; all training shares it."""
    from olvf_assets.cohort import patient_split

    try:
        return patient_split.patient_splits(learnt_from(run, cohort_vertebrae), run.profile.cohort, run.seed)
    except patient_split.PatientSplitError as error:
        if not run.profile.detection.shipped:
            raise
        run.notes["nothing can be learnt"] = str(error)  # and need not be, for boxes and levels
        return PATIENT_SPLITS.to_frame()
