"""Assets at the gate: what arrived, headers, pixels, sheets, boxes.

What lives here: names, dependencies, partitions. What does not: how a file is read. `films` and `quarantine` are SQL
models in `dbt_like_sql/staging`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from olvf_assets.foundation.tables import TableRun, table
from olvf_assets.intake.tables import (
    DICOM_HEADERS,
    DRAWN_FILMS,
    EXPECTATION_RESULTS,
    FILM_CONDITIONS,
    FILM_PIXELS,
    INSTITUTIONS,
    LANDING_MANIFEST,
    READER_BOXES,
    READER_LABELS,
    SUBJECTS,
    UNMATCHED_BOXES,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from olvf_assets.intake.boxes.boxes import DrawnBoxes
    from olvf_assets.intake.landing.landing_walk import LandedFile
    from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
    from olvf_assets.intake.privacy.safe_paths import PathNames
    from olvf_assets.storage.remembered import RememberedFacts


def _key(run: TableRun) -> str:
    """Return what tells keys for pseudonyms apart. What lies in the landing folder, `landing_manifest` tells."""
    return names_of(run).key_check()


def _key_and_decoders(run: TableRun) -> list[str]:
    from olvf_assets.intake.pixels.decoders import installed_decoders

    return [_key(run), installed_decoders()]


def _key_decoders_and_looks(run: TableRun) -> list[str]:
    """Return also the hash of the weights that look at pictures."""
    from olvf_assets.intake.pixels.picture_net import weights_sha256

    return [*_key_and_decoders(run), weights_sha256()]


def _data_docs(run: TableRun, found: pl.DataFrame | None = None) -> list[Path]:
    from olvf_assets.intake.data_docs import page_names
    from olvf_assets.intake.expectations import SCHEMAS

    return [run.data / "reports" / "data_docs" / page for page in page_names(SCHEMAS)]


@table(schema=LANDING_MANIFEST, by="institution", always=True)
def landing_manifest(run: TableRun) -> pl.DataFrame:
    """The files that a hospital handed over. A hospital that the profile makes up is written by the phantom first."""
    from olvf_assets.intake.landing.arrivals import folder_state
    from olvf_assets.intake.landing.landing import landed_files
    from olvf_assets.intake.landing.landing import landing_manifest as list_files
    from olvf_assets.storage.taken_in import FOLDER_STATE

    if _is_synthetic(run):
        from olvf_assets.phantom.hospital import write_hospital

        write_hospital(_folder(run), run.institution, run.profile.phantom, run.seed, report=run.report)
    run.notes[FOLDER_STATE] = folder_state(_folder(run))  # before the listing: what comes later is due next
    files = landed_files(_folder(run))
    hashes = _remembered(run, "hashes", "olvf_assets.intake.landing.landing:_hashed")
    return list_files(
        _folder(run), run.institution, files=files, show=paths_of(run, files).shown, hashes=hashes, report=run.report
    )


@table(schema=INSTITUTIONS, by="institution", outside=_key)
def institutions(run: TableRun, landing_manifest: pl.DataFrame) -> pl.DataFrame:
    """Name and role of each hospital, from its `institution.toml`."""
    from olvf_assets.intake.landing.institution_file import read_institution
    from olvf_assets.intake.sheets import sheets

    return sheets.institutions(read_institution(_folder(run)))


@table(schema=SUBJECTS, by="institution", kinds=("polars", "fastexcel"), outside=_key)
def subjects(run: TableRun, landing_manifest: pl.DataFrame) -> pl.DataFrame:
    """Age, sex and intervals of each patient, under a pseudonym; no row where the hospital has no such sheet."""
    from olvf_assets.intake.sheets import sheets

    return _read_sheet(run, landing_manifest, sheets.subjects)


@table(schema=READER_LABELS, by="institution", kinds=("polars", "fastexcel"), outside=_key)
def reader_labels(run: TableRun, landing_manifest: pl.DataFrame) -> pl.DataFrame:
    """What each reader said of each vertebra, and what they agreed on where they differed. Patients may have no row."""
    from olvf_assets.intake.sheets import sheets

    return _read_sheet(run, landing_manifest, sheets.reader_labels)


@table(schema=FILM_CONDITIONS, by="institution", kinds=("polars", "fastexcel"), outside=_key)
def film_conditions(run: TableRun, landing_manifest: pl.DataFrame) -> pl.DataFrame:
    """What may keep a fracture or a single vertebra image out of the study."""
    from olvf_assets.intake.sheets import sheets

    return _read_sheet(run, landing_manifest, sheets.film_conditions)


@table(schema=DICOM_HEADERS, by="institution", kinds=("polars", "pydicom"), outside=_key_and_decoders)
def dicom_headers(
    run: TableRun,
    landing_manifest: pl.DataFrame,
    subjects: pl.DataFrame,
    reader_labels: pl.DataFrame,
    film_conditions: pl.DataFrame,
) -> pl.DataFrame:
    """One row per file that could be a film: what its header says, and why it is refused if it is.

    Of labels and conditions it is only asked whether they speak of the films' patients: no row hangs on them.
    """
    from olvf_assets.intake.headers import headers
    from olvf_assets.intake.headers.known import KnownHeaders
    from olvf_assets.intake.landing.foreign import call_apart
    from olvf_assets.intake.sheets.enrolled import nearly_enrolled, refuse_strangers

    names = names_of(run)
    enrolled = set(subjects["patient_id"]) or None  # a sheet that is there names somebody
    found = headers.dicom_headers(
        _folder(run), landing_manifest, enrolled, names, run.profile.intake,
        known=KnownHeaders(run.store, names, run.profile.intake), paths=paths_of(run), report=run.report,
        near_patients=lambda: call_apart(nearly_enrolled, _folder(run), names, what="the sheet subjects"),
    )  # fmt: skip
    headers.require_a_known_patient(found)
    if enrolled is None and len(reader_labels) + len(film_conditions):
        of_films = frozenset(found["patient_id"].drop_nulls())
        call_apart(refuse_strangers, _folder(run), names, of_films, what="the sheets readers and conditions")
    run.notes["files refused by their header"] = found["refusal"].count()
    run.again.extend(found["refusal"].filter(found["refusal"] == "unreadable"))
    _say_who_is(run, found)
    return found


@table(
    schema=FILM_PIXELS,
    by="institution",
    kinds=("pydicom", "numpy", "opencv"),
    pictures=("image_path",),
    outside=_key_decoders_and_looks,
)
def film_pixels(run: TableRun, dicom_headers: pl.DataFrame) -> pl.DataFrame:
    """8-bit pictures of the accepted films: modality LUT, VOI window and MONOCHROME1 applied."""
    from olvf_assets.intake.pixels import pixels

    found = pixels.film_pixels(
        _folder(run),
        dicom_headers,
        run.store,
        names_of(run),
        run.profile.intake,
        paths=paths_of(run),
        report=run.report,
    )
    run.notes["films refused by their pixels"] = found["refusal"].count()
    run.notes["films whose picture says otherwise than their header"] = found["view_doubt"].count()
    run.again.extend(found["refusal"].filter(found["refusal"].is_in(pixels.PASSING_REFUSALS)))
    _say_who_is(run, found)
    return found


@table(schema=READER_BOXES, by="institution", outside=_key)
def reader_boxes(
    run: TableRun, landing_manifest: pl.DataFrame, dicom_headers: pl.DataFrame, film_pixels: pl.DataFrame
) -> pl.DataFrame:
    """Boxes that a technologist drew around L1 to L5, in pixels of the film."""
    return _drawn(run, landing_manifest, dicom_headers, film_pixels).reader_boxes


@table(schema=DRAWN_FILMS, by="institution", outside=_key)
def drawn_films(
    run: TableRun, landing_manifest: pl.DataFrame, dicom_headers: pl.DataFrame, film_pixels: pl.DataFrame
) -> pl.DataFrame:
    """Films of which a box file speaks, also one that draws nothing in them, and whether it was a draft."""
    return _drawn(run, landing_manifest, dicom_headers, film_pixels).drawn_films


@table(schema=UNMATCHED_BOXES, by="institution", outside=_key)
def unmatched_boxes(
    run: TableRun, landing_manifest: pl.DataFrame, dicom_headers: pl.DataFrame, film_pixels: pl.DataFrame
) -> pl.DataFrame:
    """Box files whose film is not there; they go to `quarantine`."""
    return _drawn(run, landing_manifest, dicom_headers, film_pixels).unmatched_boxes


@table(schema=EXPECTATION_RESULTS, kinds=("polars", "great_expectations"), beside=_data_docs)
def expectation_results(
    run: TableRun,
    dicom_headers: pl.DataFrame,
    subjects: pl.DataFrame,
    reader_labels: pl.DataFrame,
    reader_boxes: pl.DataFrame,
) -> pl.DataFrame:
    """What the tables above must satisfy and whether they do; the same as pages in `reports/data_docs`."""
    from olvf_assets.intake.data_docs import build_data_docs

    tables = {
        "dicom_headers": dicom_headers,
        "subjects": subjects,
        "reader_labels": reader_labels,
        "reader_boxes": reader_boxes,
    }
    index, *_ = _data_docs(run)
    found = build_data_docs(tables, index.parent, run.profile.intake)
    run.notes["pages"] = str(index)
    return found


def _read_sheet(run: TableRun, manifest: pl.DataFrame, read: "Callable[..., pl.DataFrame]") -> pl.DataFrame:
    """Return what `read` makes of a sheet, read behind the boundary: a workbook of 5 kB may ask for 550 GB."""
    from importlib.metadata import version

    from olvf_assets.intake.landing.foreign import call_apart
    from olvf_assets.storage.artifacts import fingerprint

    content = sorted(manifest.filter(kind="sheet")["sha256"].drop_nulls())
    tried = {"read": read.__name__, "sheets": content, "libraries": [version(name) for name in ("polars", "fastexcel")]}
    frame: pl.DataFrame = call_apart(
        read,
        _folder(run),
        names_of(run),
        run.profile.intake,
        what=f"a sheet of {run.institution} that {read.__name__} rests on",
        store=run.store,
        remember=f"work/refused/{fingerprint(tried)}.txt",
    )
    return frame


def _drawn(run: TableRun, manifest: pl.DataFrame, headers: pl.DataFrame, pixels: pl.DataFrame) -> "DrawnBoxes":
    from olvf_assets.intake.boxes.boxes import drawn_boxes

    return drawn_boxes(
        _folder(run), manifest, headers, pixels, names=names_of(run), settings=run.profile.intake, paths=paths_of(run)
    )


def _say_who_is(run: TableRun, found: pl.DataFrame) -> None:
    """Say once how a refused file of a real hospital is found, whose name the tables hide."""
    from olvf_assets.foundation.unexpected import WHO_IS

    refused = found["refusal"].count()
    if refused and not _is_synthetic(run):
        run.report(f"{refused} files are refused, see table quarantine. {WHO_IS}")


def _folder(run: TableRun) -> Path:
    return run.data / "landing" / run.institution


def _is_synthetic(run: TableRun) -> bool:
    return run.institution in run.profile.phantom.institutions


def names_of(run: TableRun) -> "Pseudonymiser":
    """Return what makes the pseudonyms of the run's institution; its key is that of the tables there are."""
    from olvf_assets.intake.privacy.key_check import require_same_key
    from olvf_assets.intake.privacy.pseudonyms import pseudonymiser

    if _is_synthetic(run):
        from olvf_assets.phantom.hospital import refuse_foreign_files

        refuse_foreign_files(_folder(run))
    names = pseudonymiser(run.institution, _is_synthetic(run), run.data)
    require_same_key(names, run.store)
    return names


def paths_of(run: TableRun, files: "Sequence[LandedFile] | None" = None) -> "PathNames":
    """Return the names that the files of the run's institution are shown by."""
    from olvf_assets.intake.privacy.safe_paths import path_names

    found_before = _remembered(run, "identifiers", "olvf_assets.intake.privacy.safe_paths:_header_digests")
    return path_names(_folder(run), names_of(run), found_before, files)


def _remembered(run: TableRun, what: str, finder: str) -> "RememberedFacts":
    """Return what earlier runs found in each file, so that one that did not change is not opened again.

    Args:
        run: of the institution.
        what: the facts' name.
        finder: the function, `module:name`, whose facts they are; those of other code are not known.
    """
    from olvf_assets.foundation.code_identity import code_digest
    from olvf_assets.storage.remembered import RememberedFacts

    names, code = names_of(run), code_digest(finder)
    file = f"arrivals/{run.institution}.{what}.parquet"
    return RememberedFacts(run.store, file, lambda path: names.film(f"{code} {path}"))
