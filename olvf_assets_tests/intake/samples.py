"""A small hospital to hand over: DICOM films of 40 x 30 pixels and the three sheets."""

import zipfile
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from olvf_assets.intake.boxes.boxes import DrawnBoxes, drawn_boxes
from olvf_assets.intake.headers import headers as headers_module
from olvf_assets.intake.headers.headers import dicom_headers
from olvf_assets.intake.headers.known import KnownHeaders
from olvf_assets.intake.landing.landing import landing_manifest
from olvf_assets.intake.pixels import pixels as pixels_module
from olvf_assets.intake.pixels.pixels import film_pixels
from olvf_assets.intake.privacy import safe_paths
from olvf_assets.intake.privacy.pseudonyms import SYNTHETIC_KEY, Pseudonymiser
from olvf_assets.intake.privacy.safe_paths import path_names
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.storage.artifacts import ArtifactStore

SETTINGS = IntakeSettings(min_side_mm=0.0)
NAMES = Pseudonymiser("institution_1", SYNTHETIC_KEY, synthetic=True)
ROWS, COLUMNS = 40, 30

SUBJECTS = """patient_id,sex,age_years,film_date,onset_date,mri_date
A-1,F,78,2019-04-03,2019-03-22,2019-04-24
A-2,M,93,2014-07-03,,2014-07-01
"""
READERS = "patient_id,level,reader,reading,label,pathological\n" + "".join(
    f"{patient},{level},{reader},1,{'old' if level == 'L1' else 'normal'},0\n"
    for patient in ("A-1", "A-2")
    for level in ("L1", "L2", "L3", "L4", "L5")
    for reader in (1, 2)
)
CONDITIONS = "patient_id,level,view,condition,scope,height_ratio\nA-2,L1,,severe_crush,fracture,0.55\n"


def ramp() -> np.ndarray:
    """Return 14-bit stored values that rise along the rows of the film, shape (ROWS, COLUMNS)."""
    return np.linspace(0, 16383, ROWS * COLUMNS).astype(np.uint16).reshape(ROWS, COLUMNS)


def film(name: str = "one", patient_id: str | None = "A-1", **changes: Any) -> Dataset:
    """Return a lateral DX film; `changes` set attributes, None deletes one."""
    ds = Dataset()
    ds.SOPClassUID = DigitalXRayImageStorageForPresentation
    ds.SOPInstanceUID = f"1.2.3.{sum(ord(letter) * 31**place for place, letter in enumerate(name))}"
    ds.Modality = "DX"
    ds.PatientID = patient_id
    ds.PatientName = "Yamada^Taro"
    ds.PatientBirthDate = "19410102"
    ds.StudyDate = "20190403"
    ds.AccessionNumber = "ACC90017"
    ds.BodyPartExamined = "LSPINE"
    ds.ViewPosition = "LL"
    ds.ManufacturerModelName = "CALNEO MT"
    ds.KVP, ds.DistanceSourceToDetector = 85, 1100
    ds.ImagerPixelSpacing = [0.15, 0.15]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = ROWS, COLUMNS
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 14, 13, 0
    ds.WindowCenter, ds.WindowWidth = 8192, 16384
    # Noise of the lowest bits tells films apart; two films of one exposure would be duplicates.
    marks = np.random.default_rng(abs(hash_of(name))).integers(0, 8, (ROWS, COLUMNS)).astype(np.uint16)
    ds.PixelData = (np.minimum(ramp(), 16000) + marks * 40).astype(np.uint16).tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword, value in changes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def hash_of(name: str) -> int:
    """Return a number that depends on the letters of a name only."""
    return sum(ord(letter) * 131**place for place, letter in enumerate(name))


def write(dataset: Dataset, file: Path) -> Path:
    """Write a data set as a DICOM file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    return file


def hospital(root: Path, films: dict[str, Dataset | bytes] | None = None, **sheets: str) -> Path:
    """Write a landing folder and return it.

    Args:
        root: where; the folder is `root/institution_1`.
        films: by path below `films/`; bytes are written as they are. Default: one good film of each patient.
        sheets: `subjects`, `readers`, `conditions`: text instead of the good sheet.
    """
    folder = root / "institution_1"
    (folder / "films").mkdir(parents=True)
    (folder / "institution.toml").write_text('name = "Institution 1"\nrole = "development"\n')
    (folder / "subjects.csv").write_text(sheets.get("subjects", SUBJECTS))
    (folder / "readers.csv").write_text(sheets.get("readers", READERS))
    (folder / "conditions.csv").write_text(sheets.get("conditions", CONDITIONS))
    for path, content in (films or {"one.dcm": film("one"), "two.dcm": film("two", "A-2")}).items():
        if isinstance(content, bytes):
            (folder / "films" / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "films" / path).write_bytes(content)
        else:
            write(content, folder / "films" / path)
    return folder


def manifest(folder: Path, names: Pseudonymiser = NAMES) -> pl.DataFrame:
    """Return table `landing_manifest` of a folder."""
    return landing_manifest(folder, names.institution, 1, show=path_names(folder, names).shown)


def headers(
    folder: Path,
    names: Pseudonymiser = NAMES,
    settings: IntakeSettings = SETTINGS,
    known: KnownHeaders | None = None,
) -> pl.DataFrame:
    """Return table `dicom_headers` of a folder whose subjects are A-1 and A-2."""
    patients = {names.patient("A-1"), names.patient("A-2")}
    return dicom_headers(folder, manifest(folder, names), patients, names, settings, known=known)


def read_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the boundary call its function here, so that a test can count or replace what it calls."""

    def read_here(function: Callable[[Any], Any], items: Iterable[Any], **_: object) -> list[Any]:
        return [function(item) for item in items]

    for module in (headers_module, pixels_module, safe_paths):
        monkeypatch.setattr(module, "read_apart", read_here)


def packed(members: dict[str, Dataset | bytes]) -> bytes:
    """Return a ZIP archive of films and other files."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content if isinstance(content, bytes) else content_of(content))
    return buffer.getvalue()


def content_of(dataset: Dataset) -> bytes:
    """Return a data set as the bytes of a DICOM file."""
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def pixels(
    folder: Path, root: Path, report: Callable[[str], None] | None = None, names: Pseudonymiser = NAMES
) -> pl.DataFrame:
    """Return table `film_pixels` of a folder, pictures stored under `root/lake`."""
    store = ArtifactStore(root / "lake")
    return film_pixels(folder, headers(folder, names), store, names, SETTINGS, workers=1, report=report)


def boxes(folder: Path, root: Path, names: Pseudonymiser = NAMES) -> DrawnBoxes:
    """Return the tables of drawn boxes of a folder."""
    found, decoded = headers(folder, names), pixels(folder, root, names=names)
    return drawn_boxes(folder, manifest(folder, names), found, decoded, names=names, settings=SETTINGS)
