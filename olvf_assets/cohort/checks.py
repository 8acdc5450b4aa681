"""Rules over the cohort's tables that are not SQL.

What lives here: functions that return the rows that break a rule. What does not: Dagster.
"""

import polars as pl

from olvf_assets.foundation.tables import TableRun, check, learnt_from


@check(table="patient_splits")
def every_development_patient_has_one_side(
    run: TableRun, patient_splits: pl.DataFrame, cohort_vertebrae: pl.DataFrame
) -> pl.DataFrame:
    """Each patient of a development institution is once in the split, and no one else is.

    Where the detector is the one that ships and the patients are too few to learn from, nobody is.
    """
    patient = ["institution", "patient_id"]
    if run.profile.detection.shipped and patient_splits.is_empty():
        return patient_splits.select(patient)
    wanted = learnt_from(run, cohort_vertebrae).filter(role="development").select(patient).unique()
    repeated = patient_splits.filter(pl.struct("protocol", *patient).is_duplicated()).select(patient)
    missing = wanted.join(patient_splits, on=patient, how="anti")
    strangers = patient_splits.select(patient).join(wanted, on=patient, how="anti")
    return pl.concat([repeated, missing, strangers])


@check(table="patient_splits")
def no_hospital_has_lost_its_labels(
    run: TableRun, patient_splits: pl.DataFrame, institutions: pl.DataFrame
) -> pl.DataFrame:
    """No development hospital that was learnt from is without any label now: a sheet was taken away or renamed.

    Put its sheet readers back; or decide to learn without it: `train_without` in the profile, or OLVF_TRAIN_WITHOUT.
    """
    before = run.stored("patient_splits")
    teachers = learnt_from(run, institutions).filter(role="development").select("institution")
    if before is None:
        return teachers.clear()
    taught = teachers.join(before, on="institution", how="semi")
    return taught.join(patient_splits, on="institution", how="anti")


@check(table="exclusions")
def exclusions_are_as_many_as_expected(run: TableRun, exclusions: pl.DataFrame) -> pl.DataFrame:
    """In a hospital that the profile makes up each rule touches as many rows as the committed counts say.

    After a change that is meant: `python -m olvf_assets.cohort`. Other hospitals are not held against the counts.
    """
    from olvf_assets.cohort.expected import expected_exclusions, unexpected_exclusions

    expected = expected_exclusions().filter(pl.col("institution").is_in(list(run.profile.phantom.institutions)))
    return unexpected_exclusions(exclusions, run.profile.name, run.institution, expected)


@check(table="participant_states")
def every_file_has_one_state(
    run: TableRun, participant_states: pl.DataFrame, landing_manifest: pl.DataFrame
) -> pl.DataFrame:
    """Each file that could be a film is one film, used, excluded or quarantined, and no other is."""
    files = landing_manifest.filter(pl.col("state").is_in(["arrived", "refused"]), kind="candidate").select("path")
    counted = participant_states.filter(pl.col("unit") == "film").group_by("path").len("n_states")
    both = files.join(counted, on="path", how="full", coalesce=True)
    strangers = counted.join(files, on="path", how="anti")
    return pl.concat([both.filter(pl.col("n_states").fill_null(0) != 1), strangers])
