"""What of a header's dates and free text may leave intake.

What lives here: the shifted day of a film, which words of a detector's name are kept, and which coded values may be
shown. What does not: pseudonyms and shifts themselves (`pseudonyms`), reading files (`headers`).
"""

import re
from datetime import datetime
from typing import TYPE_CHECKING

from pydicom import Dataset

from olvf_assets.intake.header_values import text
from olvf_assets.intake.pseudonyms import Pseudonymiser

if TYPE_CHECKING:
    from datetime import date

# In order of trust; the study may be older than its image.
DATE_ATTRIBUTES = ("AcquisitionDate", "ContentDate", "StudyDate", "SeriesDate")
FIRST_YEAR = 1900  # an earlier one is a placeholder
DETECTOR_ATTRIBUTES = ("DetectorManufacturerModelName", "ManufacturerModelName")
UNLISTED_DETECTOR = "unlisted"
# Defined terms of DICOM that a table may show: Modality (PS3.3 C.7.3.1.1.1), Photometric Interpretation (C.7.6.3.1.2),
# View Position (C.8.11.5), Body Part Examined (PS3.16 annex L) and letters of Patient Orientation.
_CODES = """
AR AU BI BMD CR CT DG DOC DX DR EC ECG EPS ES FID GM HC HD IO IVOCT IVUS KER KO LEN LS MG MR NM OAM OCT OP OPM OPT OPV
OSS OT PLAN PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTPLAN RTRECORD RTSTRUCT RWV SC SEG SM SMR SR SRF STAIN TG US VA XA
XC MONOCHROME1 MONOCHROME2 PALETTECOLOR RGB HSV ARGB CMYK YBR_FULL YBR_FULL_422 YBR_PARTIAL_420 YBR_ICT YBR_RCT XYB
AP PA LL RL RLD LLD RLO LLO LAT LATERAL FRONTAL OBLIQUE A P L R H F
ABDOMEN ABDOMENPELVIS ANKLE AORTA ARM AXILLA BACK BLADDER BRAIN BREAST BRONCHUS BUTTOCK CALCANEUS CALF CAROTID CERVIX
CHEEK CHEST CHESTABDOMEN CHESTABDPELVIS CLAVICLE COCCYX COLON CSPINE CTSPINE DUODENUM EAR ELBOW ESOPHAGUS EXTREMITY EYE
FACE FEMUR FINGER FOOT GALLBLADDER HAND HEAD HEADNECK HEART HIP HUMERUS ILEUM ILIUM IAC JAW JEJUNUM KIDNEY KNEE LARYNX
LEG LIVER LSPINE LSSPINE LUNG MAXILLA MEDIASTINUM MOUTH NECK NECKCHEST NOSE ORBIT OVARY PANCREAS PAROTID PATELLA PELVIS
PENIS PHARYNX PROSTATE RECTUM RIB SCALP SCAPULA SCROTUM SHOULDER SKULL SPINE SPLEEN SSPINE STERNUM STOMACH TESTIS THIGH
THUMB THYMUS THYROID TLSPINE TMJ TOE TONGUE TRACHEA TSPINE UTERUS VAGINA VULVA WHOLEBODY WRIST ZYGOMA
"""
CODES = frozenset(_CODES.split())
OTHER_CODE = "a term that DICOM does not define"
WORD = re.compile(r"[^\W\d_]{2,}")


def film_date(header: Dataset, names: Pseudonymiser) -> "date | None":
    """Return the day the film was taken, shifted as all dates of its patient; null without such a day or a patient."""
    patient_id = text(header, "PatientID")
    for keyword in DATE_ATTRIBUTES:
        try:
            day = datetime.strptime(text(header, keyword), "%Y%m%d").date()
        except ValueError:
            continue
        return names.shifted(patient_id, day) if patient_id and day.year >= FIRST_YEAR else None
    return None


def detector_name(header: Dataset, known_words: tuple[str, ...]) -> str | None:
    """Return the detector's model name, never a serial number; `unlisted` for a name with a word that is not known.

    The attributes are free text, and what people type there may name a person or a place.

    Args:
        header: of a film.
        known_words: words of detectors' names, capitals (`IntakeSettings.detector_words`).
    """
    for keyword in DETECTOR_ATTRIBUTES:
        name = text(header, keyword)
        if not name:
            continue
        known = all(word.upper() in known_words for word in WORD.findall(name)) and not re.search(r"\d{5}", name)
        return name[:64] if known else UNLISTED_DETECTOR
    return None


def shown_code(value: str) -> str:
    """Return a coded value if it is a defined term of DICOM, else words for one that is not: people type there, too."""
    letters = re.sub(r"[^A-Z0-9_]", "", value.upper())
    if not value.strip():
        return "empty"
    return letters if letters in CODES else OTHER_CODE
