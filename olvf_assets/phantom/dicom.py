"""A rendered film as the DICOM file a hospital would send.

What lives here: attributes of the DX (for presentation) and CR objects, and writing them. What does not: pixels
(`film.py`), reading DICOM (room `intake`). Names, numbers and dates are made up and say so.
"""

import datetime as dt
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import View
from olvf_assets.phantom.film import BITS, TOP, Film
from olvf_assets.phantom.plan import FilmPlan, PatientPlan
from olvf_assets.phantom.settings import SyntheticInstitution

DESCRIPTIONS: dict[View, tuple[str, str]] = {  # series description, protocol
    "neutral": ("L-SPINE LAT", "L-Spine Lateral"),
    "flexion": ("L-SPINE LAT FLEXION", "L-Spine Lateral Flexion"),
    "extension": ("L-SPINE LAT EXTENSION", "L-Spine Lateral Extension"),
    "thoracic": ("T-SPINE LAT", "T-Spine Lateral"),
}
MODIFIERS: dict[View, tuple[str, str]] = {"flexion": ("FLEX", "Flexion"), "extension": ("EXT", "Extension")}


def make_uid(seed: int, *names: str) -> str:
    """Return a DICOM UID under 2.25 that depends on nothing but seed and names."""
    high, low = derive_seed(seed, "uid", *names), derive_seed(seed, "uid low", *names)
    return f"2.25.{(high << 63) | low}"


def make_dataset(film: Film, patient: PatientPlan, plan: FilmPlan, site: SyntheticInstitution) -> Dataset:
    """Return the complete data set of one film, with file meta information.

    Args:
        film: pixels uint16 (height_px, width_px), 14 bit, and window.
        patient: whose film it is.
        plan: which of their films.
        site: where it was taken.
    """
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    _add_identity(ds, patient, plan, site)
    _add_equipment(ds, plan, site)
    _add_exposure(ds, film, patient, plan, site)
    _add_image(ds, film, plan, site)
    if site.modality == "DX":
        _add_digital(ds, plan, site.detectors[plan.detector].scintillator)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds


def write_film(path: Path, dataset: Dataset) -> None:
    """Write a data set as a DICOM file (explicit VR little endian, uncompressed)."""
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)


def _add_identity(ds: Dataset, patient: PatientPlan, plan: FilmPlan, site: SyntheticInstitution) -> None:
    """Add patient, study and series."""
    number = next(index for index, each in enumerate(patient.films, 1) if each.stem == plan.stem)
    first = derive_seed(patient.seed, "time") % 30000
    clock = (dt.datetime(2000, 1, 1, 8, 30) + dt.timedelta(seconds=first + 150 * number)).strftime("%H%M%S")
    ds.SOPClassUID = (
        DigitalXRayImageStorageForPresentation if site.modality == "DX" else ComputedRadiographyImageStorage
    )
    ds.SOPInstanceUID = make_uid(patient.seed, "instance", plan.stem)
    ds.StudyInstanceUID = make_uid(patient.seed, "study")
    ds.SeriesInstanceUID = make_uid(patient.seed, "series", plan.stem)
    for name in ("Study", "Series", "Acquisition", "Content"):
        setattr(ds, f"{name}Date", patient.film_date.strftime("%Y%m%d"))
        setattr(ds, f"{name}Time", clock)
    ds.AccessionNumber = f"A{derive_seed(patient.seed, 'accession') % 10**8:08d}"
    ds.Modality = site.modality
    ds.ReferringPhysicianName = "Phantom^Referrer"
    ds.OperatorsName = "Phantom^Technologist"
    ds.StudyDescription = "SPINE"
    ds.SeriesDescription, ds.ProtocolName = DESCRIPTIONS[plan.view]
    ds.PatientName = f"Phantom^Patient {patient.patient_id.rsplit('-', 1)[1]}"
    ds.PatientID = patient.patient_id
    ds.PatientBirthDate = _birth_date(patient).strftime("%Y%m%d")
    ds.PatientSex = patient.sex
    ds.PatientAge = f"{patient.age_years:03d}Y"
    ds.PatientComments = "Synthetic film of a patient who does not exist"
    ds.StudyID = "1"
    ds.SeriesNumber = number
    ds.InstanceNumber = 1


def _add_equipment(ds: Dataset, plan: FilmPlan, site: SyntheticInstitution) -> None:
    """Add who made the machine and where it stands."""
    detector = site.detectors[plan.detector]
    ds.Manufacturer = detector.manufacturer
    ds.ManufacturerModelName = detector.name
    ds.InstitutionName = site.name
    ds.StationName = f"PHANTOM{plan.detector + 1}"
    ds.DeviceSerialNumber = f"SYN-{plan.detector + 1:03d}"
    ds.SoftwareVersions = "olvf-phantom"
    ds.Grid = ["FOCUSED", "PARALLEL"]
    ds.GridAspectRatio = [int(part) for part in detector.grid.split(":")]
    ds.FocalSpots = 1.2


def _add_exposure(ds: Dataset, film: Film, patient: PatientPlan, plan: FilmPlan, site: SyntheticInstitution) -> None:
    """Add body part, view, beam and exposure."""
    rng = np.random.default_rng(derive_seed(patient.seed, "header", plan.view))
    ds.BodyPartExamined = "TSPINE" if plan.view == "thoracic" else "LSPINE"
    ds.ViewPosition = "LL" if film.beam.side > 0 else "RL"
    ds.PatientOrientation = ["A", "F"] if film.beam.side > 0 else ["P", "F"]
    ds.KVP = round(site.kvp, 1)
    ds.DistanceSourceToDetector = round(film.beam.sid_mm, 1)
    ds.DistanceSourceToPatient = round(film.beam.sid_mm - film.beam.object_mm, 1)
    ds.EstimatedRadiographicMagnificationFactor = round(ds.DistanceSourceToDetector / ds.DistanceSourceToPatient, 5)
    ds.ExposureTime = int(rng.integers(80, 400))
    ds.XRayTubeCurrent = int(rng.choice([200, 250, 320, 400]))
    ds.Exposure = round(ds.ExposureTime * ds.XRayTubeCurrent / 1000)
    ds.PixelSpacing = ds.ImagerPixelSpacing = [site.pixel_mm, site.pixel_mm]


def _add_image(ds: Dataset, film: Film, plan: FilmPlan, site: SyntheticInstitution) -> None:
    """Add the pixels and how to show them."""
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""] if site.modality == "DX" else ["ORIGINAL", "PRIMARY"]
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME1" if plan.monochrome1 else "MONOCHROME2"
    ds.Rows, ds.Columns = film.pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, BITS, BITS - 1, 0
    ds.SmallestImagePixelValue, ds.LargestImagePixelValue = 0, TOP
    ds.WindowCenter, ds.WindowWidth = film.window
    ds.WindowCenterWidthExplanation = "NORMAL"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.PixelIntensityRelationship = "LOG"
    ds.PixelIntensityRelationshipSign = 1 if plan.monochrome1 else -1
    ds.PixelData = film.pixels.tobytes()


def _add_digital(ds: Dataset, plan: FilmPlan, scintillator: str) -> None:
    """Add what the DX modules ask for beyond CR (PS3.3 C.8.11)."""
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.PresentationLUTShape = "INVERSE" if plan.monochrome1 else "IDENTITY"
    ds.ImageLaterality = "U"
    ds.DetectorType = "DIRECT" if scintillator == "a-Se" else "SCINTILLATOR"
    ds.PositionerType = "NONE"
    ds.DetectorConfiguration = "AREA"
    ds.DetectorDescription = scintillator
    ds.AcquisitionContextSequence = Sequence()
    region = ("122495006", "Thoracic spine") if plan.view == "thoracic" else ("122496007", "Lumbar spine")
    ds.AnatomicRegionSequence = Sequence([_code(*region)])
    view = _code("399067008", "lateral projection")
    if plan.view in MODIFIERS:  # hospitals mark these with codes of their own
        view.ViewModifierCodeSequence = Sequence([_code(*MODIFIERS[plan.view], scheme="99OLVF")])
    ds.ViewCodeSequence = Sequence([view])


def _code(value: str, meaning: str, scheme: str = "SCT") -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


def _birth_date(patient: PatientPlan) -> dt.date:
    """Return a birth date that makes the patient `age_years` old on the day of the film."""
    days = derive_seed(patient.seed, "birth") % 364
    day = patient.film_date
    return day.replace(year=day.year - patient.age_years, day=min(day.day, 28)) - dt.timedelta(days=days)
