"""Rules over the cohort's tables that are not SQL.

What lives here: functions that return the rows that break a rule. What does not: Dagster.
"""

import polars as pl

from olvf_assets.foundation.tables import TableRun, check


@check(table="patient_splits")
def every_development_patient_has_one_side(
    run: TableRun, patient_splits: pl.DataFrame, cohort_vertebrae: pl.DataFrame
) -> pl.DataFrame:
    """Each patient of a development institution is once in the split, and no one else is."""
    patient = ["institution", "patient_id"]
    wanted = cohort_vertebrae.filter(role="development").select(patient).unique()
    repeated = patient_splits.filter(pl.struct("protocol", *patient).is_duplicated()).select(patient)
    missing = wanted.join(patient_splits, on=patient, how="anti")
    strangers = patient_splits.select(patient).join(wanted, on=patient, how="anti")
    return pl.concat([repeated, missing, strangers])
