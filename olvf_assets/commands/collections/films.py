"""A picture of a collection as the DICOM film that the door takes.

What lives here: the attributes of such a film, completing the header of a collection's own DICOM file, and one file's
way from the download to the folder. What does not: reading pictures (`rasters.py`), the folder (`importing.py`).

A film says no more than the collection does. Nobody knows the spacing of its pixels, so none is written, and the film
says that a program made it of a picture, for research (Conversion Type, Content Qualification; see
`intake.headers.spacing`). View and body part stand there where the collection states them. Nobody knows whether text is
burned in. There is no day, no device, no name.
"""

import hashlib
import json
import re
import warnings
from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from olvf_assets.commands.collections.planned import PlannedFilm
from olvf_assets.commands.collections.rasters import Raster, UnusablePictureError, read_raster
from olvf_assets.evaluation.firewall.fingerprints import SIDE_PX
from olvf_assets.foundation.errors import is_of_the_machine
from olvf_assets.intake.headers.spacing import spacing_of
from olvf_assets.intake.landing.archives import UnusableArchiveError, open_landed
from olvf_assets.intake.settings import IntakeSettings
from olvf_assets.storage.artifacts import read_if_whole, read_json, write_atomically

LEAST_SIDE_PX = IntakeSettings().min_side_px
LARGEST_FILE_BYTES = 1 << 28
MODALITY = "RG"  # a radiograph, made by nobody knows which system
LATERAL = ("399067008", "lateral projection")
LUMBAR = ("122496007", "Lumbar spine")
LONGEST_ID, FORBIDDEN = 64, re.compile(r"[\\\x00-\x1f\x7f]")
DERIVATION = "made of a picture of a public collection; spacing, day and device are not known"


class Job(NamedTuple):
    """One film to be made: of which collection, from which download, to which file, and where that is remembered."""

    kind: str
    is_dicom: bool
    film: PlannedFilm
    folder: Path
    place: Path
    record: Path


class Made(NamedTuple):
    """A film that was made.

    Attributes:
        width_px, height_px: of the film.
        pixel_sha256: of shape and stored values.
        thumbnail: 24 x 24 grey bytes as base64, by which nearly equal pictures are found.
    """

    width_px: int
    height_px: int
    pixel_sha256: str
    thumbnail: str


def make_film(job: Job) -> Made:
    """Make one film, unless an earlier try did of the same file, and return what it shows.

    Raises:
        UnusablePictureError: the file cannot become a film; reasons as `read_raster`, and those of archives.
        DiskFullError, WriteFaultError: the disk.
    """
    content = _content(job.folder, job.film.source)
    digest = hashlib.sha256(content).hexdigest()
    film = job.film
    said = [digest, film.name, film.patient_id, film.sex, film.age_years, film.lateral]
    known = read_if_whole(job.record, read_json)
    if known is not None and known["said"] == said and job.place.is_file():
        return Made(**known["made"])
    if job.is_dicom:
        dataset, values = completed(content, job.film, job.kind)
    else:
        raster = read_raster(content, LEAST_SIDE_PX)
        dataset, values = dataset_of(raster, job.film, uid(job.kind, job.film.name, digest)), raster.values
    made = Made(values.shape[1], values.shape[0], _pixel_sha256(values), _thumbnail(values))
    write_atomically(job.place, lambda path: pydicom.dcmwrite(path, dataset, enforce_file_format=True))
    text = json.dumps({"said": said, "made": made._asdict()})
    write_atomically(job.record, lambda path: path.write_text(text, encoding="utf-8"))
    return made


def _content(folder: Path, path: str) -> bytes:
    try:
        with open_landed(folder, path) as handle:
            content = handle.read(LARGEST_FILE_BYTES + 1)
    except UnusableArchiveError as error:
        raise UnusablePictureError(error.reason, error.detail) from None
    except OSError as error:
        if is_of_the_machine(error):
            raise
        raise UnusablePictureError("unreadable", f"the file cannot be opened ({type(error).__name__})") from None
    if len(content) > LARGEST_FILE_BYTES:
        raise UnusablePictureError("too_large", f"more than {LARGEST_FILE_BYTES} bytes are no film")
    return content


def uid(*names: str) -> str:
    """Return a DICOM UID under 2.25 that depends on nothing but names."""
    return f"2.25.{int(hashlib.sha256(chr(0).join(names).encode()).hexdigest()[:32], 16)}"


def dataset_of(raster: Raster, film: PlannedFilm, instance_uid: str) -> Dataset:
    """Return a picture as a film's data set, with file meta information."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = SecondaryCaptureImageStorage, instance_uid
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid("study", film.patient_id), uid("series", instance_uid)
    ds.PatientName = ""
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.DerivationDescription = DERIVATION
    if raster.lossy:
        ds.LossyImageCompression = "01"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME1" if raster.white_is_zero else "MONOCHROME2"
    ds.Rows, ds.Columns = raster.values.shape
    bits = 8 * raster.values.dtype.itemsize
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = bits, bits, bits - 1, 0
    pixels = raster.values.astype(raster.values.dtype.newbyteorder("<")).tobytes()
    ds.add_new("PixelData", "OB" if bits == 8 else "OW", pixels + b"\0" * (len(pixels) % 2))
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    _state(ds, film)
    return ds


def completed(content: bytes, film: PlannedFilm, kind: str) -> tuple[Dataset, np.ndarray]:
    """Return a collection's own DICOM file with what intake asks for and its makers took out, and its stored values.

    What the file says stays; identifiers that are missing are made of the film's name.

    Raises:
        UnusablePictureError: it is no DICOM file, or its pixels cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's, about values that it reads all the same
            ds = pydicom.dcmread(BytesIO(content))
            values = ds.pixel_array
    except Exception as error:  # of many kinds, raised by pydicom and its decoders
        detail = f"no DICOM film that can be read ({type(error).__name__})"
        raise UnusablePictureError("not_a_film", detail) from None
    if values.ndim != 2:
        raise UnusablePictureError("not_a_film", "several pictures, or one in colours")
    if not ds.get("SOPInstanceUID"):
        ds.SOPInstanceUID = uid(kind, film.name, hashlib.sha256(content).hexdigest())
    if not ds.get("SOPClassUID"):
        ds.SOPClassUID = ds.file_meta.get("MediaStorageSOPClassUID") or SecondaryCaptureImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID, ds.file_meta.MediaStorageSOPClassUID = ds.SOPInstanceUID, ds.SOPClassUID
    _state(ds, film)
    return ds, values


def _state(ds: Dataset, film: PlannedFilm) -> None:
    """Write what the collection states of a film, where the film itself does not say it."""
    said: dict[str, Any] = {"Modality": MODALITY, "PatientID": patient_id(film.patient_id)}
    if film.sex is not None:
        said["PatientSex"] = film.sex
    if film.age_years is not None:
        said["PatientAge"] = f"{film.age_years:03d}Y"
    if film.lateral:
        said |= {"BodyPartExamined": "LSPINE", "ViewCodeSequence": Sequence([_code(*LATERAL)])}
        said["AnatomicRegionSequence"] = Sequence([_code(*LUMBAR)])
    for keyword, value in said.items():
        if not ds.get(keyword):
            setattr(ds, keyword, value)
    if spacing_of(ds).judgement.reason == "no_pixel_spacing":
        ds.ConversionType, ds.ContentQualification = "WSD", "RESEARCH"


def patient_id(name: str) -> str:
    """Return a name as PatientID (LO: at most 64 characters, no backslash); a longer one ends in what stands for it."""
    if len(name) <= LONGEST_ID and not FORBIDDEN.search(name):
        return name
    return f"{FORBIDDEN.sub('_', name)[:40]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "SCT", meaning
    return code


def _pixel_sha256(values: np.ndarray) -> str:
    return hashlib.sha256(repr(values.shape).encode() + np.ascontiguousarray(values).tobytes()).hexdigest()


def _thumbnail(values: np.ndarray) -> str:
    grey = values.astype(np.float32)
    grey = (grey - grey.min()) * (255 / max(float(np.ptp(grey)), 1.0))
    small: Any = cv2.resize(grey, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    return b64encode(np.rint(small).astype(np.uint8).tobytes()).decode()
