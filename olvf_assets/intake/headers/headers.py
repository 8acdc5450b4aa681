"""One row per candidate DICOM file, from its header alone (table `dicom_headers`).

What lives here: reading the headers of a hospital's files that were not read before, and refusing a file because of the
others (a patient nobody knows, a film that is there twice). What does not: one file (`headers.reading`), pixels.
"""

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from olvf_assets.intake.headers.known import ROW, KnownHeaders
from olvf_assets.intake.headers.reading import read_header
from olvf_assets.intake.landing.foreign import Refusal, read_apart
from olvf_assets.intake.landing.landing import LandingError, read_files
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.intake.privacy.safe_paths import PathNames, path_names
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.intake.sheets.enrolled import NEARLY
from olvf_assets.intake.tables import DICOM_HEADERS

# A process of its own pays off only beyond this many headers (about 1 ms each; starting one costs about 1 s).
HEADERS_PER_PROCESS = 1500
# So many headers are kept at a time: a run that is killed loses no more than these, and as Python objects they take
# 3 kB each.
HEADERS_PER_KEEPING = 5_000
# What must be equal in all files of one SOP instance; exposure and detector may be missing in a re-export.
SAID_OF_FILM = (
    "film_date", "view", "bending", "body_part", "rows", "columns", "pixel_mm", "calibrated_pixel_mm", "photometric",
    "sex", "age_years",
)  # fmt: skip


class NoKnownPatientError(LandingError):
    """Films and sheet of a hospital name no patient alike."""


def dicom_headers(
    folder: Path,
    manifest: pl.DataFrame,
    known_patients: Collection[str] | None,
    names: Pseudonymiser,
    settings: IntakeSettings,
    *,
    known: KnownHeaders | None = None,
    near_patients: Callable[[], Collection[str]] = frozenset,
    paths: PathNames | None = None,
    workers: int = 0,
    report: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Return one row per file of `manifest` that could be a film.

    That is everything but sheets, box files and what is left alone by a rule; files that could not be opened keep the
    reason that stands in `manifest`.

    Args:
        folder: the landing folder of the institution.
        manifest: table `landing_manifest` of that institution.
        known_patients: pseudonyms of the patients in the subjects sheet (column `patient_id` of table `subjects`);
            None: there is no such sheet, every patient is known.
        names: makes the pseudonyms.
        settings: what counts as usable.
        known: rows of files read before; files with those contents are not opened.
        near_patients: returns the pseudonyms of ids that are nearly one of the sheet, see `enrolled.nearly_enrolled`;
            asked for only where a film's patient is not known.
        paths: the names of the files, see `safe_paths`; found anew when not given.
        workers: processes, used from some thousand files on; 0 means one per core.
        report: told of progress.

    Returns:
        Table `dicom_headers`, sorted by path; `refusal` is null for accepted films. Of several files with one SOP
        instance that say the same the first by path is kept and the others are refused as `duplicate`; when they name
        several patients (`several_patients`), or differ in what the study uses (`several_versions`), nobody knows which
        is right, and all are refused. Where the header is silent or
        contradicts itself `view` or `body_part` is null: the picture must tell, see `pixels`.
    """
    paths = paths or path_names(folder, names)
    known = known or KnownHeaders(None, names, settings)
    candidates = read_files(manifest, "candidate").select("path", "sha256")
    rows = known.rows()
    unread = candidates.join(rows, on="sha256", how="anti").unique(["sha256"], keep="first", maintain_order=True)
    if report is not None and unread.height < candidates.height:
        report(f"{candidates.height - unread.height} headers of {names.institution} were read before")
    for few in unread.iter_slices(HEADERS_PER_KEEPING):
        rows = pl.concat([rows, _read(folder, few, names, settings, paths, workers, report)])
        known.keep(rows)
    unopened = manifest.filter(kind="candidate", state="refused")
    unopened = unopened.select("path", "sha256", refusal="reason", refusal_detail="detail")
    table = pl.concat([candidates.join(rows, on="sha256", how="left"), unopened], how="diagonal").sort("path")
    table = table.with_columns(pl.lit(names.institution).alias("institution")).select(DICOM_HEADERS.names())
    table = _refuse_several_patients(table)
    if known_patients is not None:
        table = _refuse_unknown_patients(table, known_patients, near_patients)
    return _refuse_duplicates(_refuse_contradicting_versions(table)).cast(DICOM_HEADERS)


def _read(
    folder: Path,
    files: pl.DataFrame,
    names: Pseudonymiser,
    settings: IntakeSettings,
    paths: PathNames,
    workers: int,
    report: Callable[[str], None] | None,
) -> pl.DataFrame:
    """Return the rows (columns `ROW`) of files, each read behind the boundary."""
    many = files.height > HEADERS_PER_PROCESS
    answers = read_apart(
        partial(_row, folder=folder, names=names, settings=settings),
        [paths.real(path) for path in files["path"]],
        workers=workers if many else 1,
        what=f"headers of {names.institution}",
        report=report if many else None,
    )
    rows = [_refused_row(each) if isinstance(each, Refusal) else each for each in answers]
    return pl.DataFrame(rows, schema=ROW, orient="row").with_columns(files["sha256"])


def _row(path: str, folder: Path, names: Pseudonymiser, settings: IntakeSettings) -> tuple[Any, ...]:
    row = read_header(Path(path), names, settings, folder=folder)
    return tuple(row.get(name) for name in ROW.names())


def _refused_row(refusal: Refusal) -> tuple[Any, ...]:
    said = {"refusal": refusal.reason, "refusal_detail": refusal.detail}
    return tuple(said.get(name) for name in ROW.names())


def _refuse_several_patients(table: pl.DataFrame) -> pl.DataFrame:
    """Refuse every film whose SOP instance is also in a file that names another patient, be that file usable or not."""
    patients = pl.col("patient_id").drop_nulls().n_unique().over("film_id")
    shared = pl.col("refusal").is_null() & pl.col("film_id").is_not_null() & (patients > 1)
    detail = pl.format(
        "this SOP instance is handed over under {} patients (pseudonyms: {}); keep the right file only",
        patients,
        pl.col("patient_id").drop_nulls().unique().sort().str.join(", ").over("film_id"),
    )
    return _refused(table, shared, "several_patients", detail)


def _refuse_contradicting_versions(table: pl.DataFrame) -> pl.DataFrame:
    """Refuse every accepted film whose SOP instance says something else in another accepted file."""
    accepted = pl.col("refusal").is_null()
    said = pl.struct(SAID_OF_FILM)
    versions = said.filter(accepted).n_unique().over("film_id")
    detail = pl.lit(
        "several files of this SOP instance differ in date, view or geometry (a corrected export beside the old one?); "
        "keep the right file only"
    )
    return _refused(table, accepted & (versions > 1), "several_versions", detail)


def _refuse_unknown_patients(
    table: pl.DataFrame, known: Collection[str], near: Callable[[], Collection[str]]
) -> pl.DataFrame:
    stranger = pl.col("refusal").is_null() & ~pl.col("patient_id").is_in(list(known))
    detail = pl.format("patient {} (pseudonym) is not in subjects.csv; add the row or take the film out", "patient_id")
    if table.select(stranger.any()).item():
        nearly = pl.format("patient {} (pseudonym) {}", "patient_id", pl.lit(NEARLY.format("subjects.csv")))
        detail = pl.when(pl.col("patient_id").is_in(list(near()))).then(nearly).otherwise(detail)
    return _refused(table, stranger, "unknown_patient", detail)


def _refuse_duplicates(table: pl.DataFrame) -> pl.DataFrame:
    """Refuse every accepted film after the first (by path) of its SOP instance."""
    accepted = table.filter(pl.col("refusal").is_null()).select("film_id", "path", "sha256")
    first = accepted.group_by("film_id").first().rename({"path": "first_path", "sha256": "first_sha256"})
    table = table.join(first, on="film_id", how="left", maintain_order="left")
    same = pl.when(pl.col("sha256") == pl.col("first_sha256")).then(pl.lit("the same file"))
    detail = pl.format("{} as {}", same.otherwise(pl.lit("the same SOP instance in other bytes")), "first_path")
    again = pl.col("refusal").is_null() & (pl.col("path") != pl.col("first_path"))
    return _refused(table, again, "duplicate", detail).drop("first_path", "first_sha256")


def _refused(table: pl.DataFrame, where: pl.Expr, reason: str, detail: pl.Expr) -> pl.DataFrame:
    return table.with_columns(
        pl.when(where).then(pl.lit(reason)).otherwise("refusal").alias("refusal"),
        pl.when(where).then(detail).otherwise("refusal_detail").alias("refusal_detail"),
    )


def require_a_known_patient(table: pl.DataFrame) -> None:
    """Refuse a hospital of whose films none is of a patient in its sheet: the two speak of patients differently.

    Args:
        table: table `dicom_headers` of one hospital.

    Raises:
        NoKnownPatientError: says how many films, and of the first what is wrong with its patient.
    """
    strangers = table.filter(pl.col("refusal") == "unknown_patient")
    if table["refusal"].null_count() == 0 and strangers.height:
        raise NoKnownPatientError(
            f"none of {strangers.height} usable films is of a patient in the sheet subjects; the first: "
            f"{strangers['refusal_detail'][0]}"
        )
