"""A synthetic hospital's way through the cohort in seconds: its sheets as they are, its films without pixels.

What lives here: plan -> sheets -> intake's sheet reading -> the SQL models, with every film accepted and every vertebra
detected; for the expected counts and for tests of the full scale. What does not: any rule of its own.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from olvf_assets.foundation.tables import Table
from olvf_assets.intake.landing.institution_file import read_institution
from olvf_assets.intake.landing.landing import landing_manifest
from olvf_assets.intake.privacy.pseudonyms import SYNTHETIC_KEY, Pseudonymiser
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.intake.sheets import sheets
from olvf_assets.intake.tables import DICOM_HEADERS, FILM_PIXELS, UNMATCHED_BOXES
from olvf_assets.phantom.hospital import hospital_sheets
from olvf_assets.phantom.plan import PatientPlan, plan_hospital
from olvf_assets.phantom.settings import PhantomSettings, SyntheticInstitution

TABLES = ("file_states", "exclusions", "consensus_queue", "cohort_vertebrae", "participant_states", "participant_flow")


def rehearse(
    key: str,
    settings: PhantomSettings,
    intake: IntakeSettings,
    seed: int,
    models: Sequence[Table],
    tables: Sequence[str] = TABLES,
) -> dict[str, pl.DataFrame]:
    """Return tables of the cohort as a run over the synthetic hospital would make them, perfect detection assumed.

    Args:
        key: one of `settings.institutions`.
        settings: the study's phantom settings.
        intake: its intake settings.
        seed: its seed.
        models: the study's SQL models.
        tables: SQL models to make; what they rest on is made and returned with them.
    """
    patients = plan_hospital(key, settings, seed)
    site = settings.institutions[key]
    names = Pseudonymiser(key, SYNTHETIC_KEY, synthetic=True)
    films = _films(patients, site, names)
    with TemporaryDirectory() as folder:
        made = films | _landed(
            Path(folder) / key, hospital_sheets(patients, site), films["dicom_headers"], names, intake
        )
    by_name = {model.name: model for model in models}

    def make(name: str) -> pl.DataFrame:
        if name == "detected_films":  # the detector is right about every vertebra
            return table("films").select("institution", "film_id", protocol=pl.lit("patient"), state=pl.lit("resolved"))
        if name == "vertebra_crops":
            return table("cohort_vertebrae").with_columns(
                protocol=pl.lit("patient"), crop_id=pl.format("{}-{}", "film_id", "level")
            )
        return by_name[name].make(None, **{each: table(each) for each in by_name[name].reads})

    def table(name: str) -> pl.DataFrame:
        if name not in made:
            made[name] = make(name)
        return made[name]

    for name in tables:
        table(name)
    return made


def _films(
    patients: Sequence[PatientPlan], site: SyntheticInstitution, names: Pseudonymiser
) -> dict[str, pl.DataFrame]:
    """Return what intake would say of the films, all of them accepted; no boxes are left over."""
    rows = [
        {
            "institution": names.institution,
            "path": f"films/{film.stem}.dcm",
            "film_id": names.film(film.stem),
            "patient_id": names.patient(patient.patient_id),
            "view": film.view,
            "detector": site.detectors[film.detector].name,
        }
        for patient in patients
        for film in patient.films
    ]
    return {
        "dicom_headers": _filled(rows, DICOM_HEADERS),
        "film_pixels": _filled(rows, FILM_PIXELS),
        "unmatched_boxes": UNMATCHED_BOXES.to_frame(),
    }


def _filled(rows: list[dict[str, str]], schema: pl.Schema) -> pl.DataFrame:
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def _landed(
    folder: Path, texts: dict[str, str], headers: pl.DataFrame, names: Pseudonymiser, intake: IntakeSettings
) -> dict[str, pl.DataFrame]:
    """Write the sheets, and a name for every film, into `folder` and return what intake reads there."""
    for path, text in [*texts.items(), *((path, path) for path in headers["path"])]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return {
        "landing_manifest": landing_manifest(folder, names.institution),
        "institutions": sheets.institutions(read_institution(folder)),
        "subjects": sheets.subjects(folder, names, intake),
        "reader_labels": sheets.reader_labels(folder, names, intake),
        "film_conditions": sheets.film_conditions(folder, names, intake),
    }
