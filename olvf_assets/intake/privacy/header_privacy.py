"""What of a header's dates and free text may leave intake.

What lives here: the shifted day of a film, age and sex, which names of detectors are kept, which coded values and
transfer syntaxes may be shown. What does not: pseudonyms and shifts themselves (`pseudonyms`), reading files
(`headers.reading`).
"""

import re
import unicodedata
from datetime import date, timedelta

from pydicom import Dataset
from pydicom.uid import UID

from olvf_assets.intake.headers.values import text
from olvf_assets.intake.privacy.pseudonyms import Pseudonymiser
from olvf_assets.intake.settings import IntakeSettings

# In order of trust; the study may be older than its image.
DATE_ATTRIBUTES = ("AcquisitionDate", "ContentDate", "StudyDate", "SeriesDate")
FIRST_YEAR = 1900  # an earlier one is a placeholder
# As the standard writes a day (DA, or DT with its time behind), and as old or foreign systems do.
DAY = re.compile(r"(\d{4})([-./:年]?)(\d{1,2})[-./:月]?(\d{1,2})日?(?:\D.*|\d{6}.*)?", re.ASCII | re.DOTALL)
AGE = re.compile(r"(\d{1,3})\s*([YMWD]?)", re.ASCII)
YEARS_OF_UNIT = {"Y": 1.0, "": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
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
DETECTOR_LETTERS = re.compile(r"[A-Za-z0-9 ()+,./_-]{1,64}")
UNKNOWN_SYNTAX = "a private or unknown transfer syntax"


def film_date(header: Dataset, names: Pseudonymiser) -> date | None:
    """Return the day the film was taken, shifted as all dates of its patient; null without such a day or a patient."""
    patient_id, day = text(header, "PatientID"), _film_day(header)
    return names.shifted(patient_id, day) if patient_id and day is not None else None


def _film_day(header: Dataset) -> date | None:
    """Return the first plausible of the days that a header names; days to come and placeholders are none."""
    tomorrow = date.today() + timedelta(days=1)
    for keyword in DATE_ATTRIBUTES:
        day = _day(text(header, keyword))
        if day is not None and day <= tomorrow:
            return day
    return None


def _day(written: str) -> date | None:
    found = DAY.fullmatch(unicodedata.normalize("NFKC", written).strip()) if len(written) <= 64 else None
    if found is None or (not found[2] and not len(found[3]) == len(found[4]) == 2):
        return None
    try:
        day = date(int(found[1]), int(found[3]), int(found[4]))
    except ValueError:
        return None
    return day if day.year >= FIRST_YEAR else None


def sex(header: Dataset) -> str | None:
    """Return `M` or `F`, null for anything else."""
    said = unicodedata.normalize("NFKC", text(header, "PatientSex")).strip().upper()
    return said if said in ("M", "F") else None


def age_years(header: Dataset, settings: IntakeSettings) -> int | None:
    """Return the patient's age on the day of the film, capped as in the sheets; null where the header does not tell.

    Patient's Age (0010,1010) counts before the difference of birth date and film date.
    """
    written = AGE.fullmatch(text(header, "PatientAge").upper())
    years = None if written is None else int(int(written[1]) * YEARS_OF_UNIT[written[2]])
    born, day = _day(text(header, "PatientBirthDate")), _film_day(header)
    if years is None and born is not None and day is not None:
        years = day.year - born.year - ((day.month, day.day) < (born.month, born.day))
    low, high = settings.age_years_range
    return min(years, settings.age_cap_years) if years is not None and low <= years <= high else None


def detector_name(header: Dataset, known_words: tuple[str, ...]) -> str | None:
    """Return the detector's model name; `unlisted` for a name with a word or number that is not listed.

    The attributes are free text, and what people type there may name a person, a day or a place. A listed word may be
    written in two parts (`C 1717`, `DX-D`); nothing else of one letter, and no number that is not one of a model.

    Args:
        header: of a film.
        known_words: words and numbers of detectors' names, capitals (`IntakeSettings.detector_words`).
    """
    for keyword in DETECTOR_ATTRIBUTES:
        name = " ".join(text(header, keyword).split())
        if name:
            listed = DETECTOR_LETTERS.fullmatch(name) and _listed(name, frozenset(known_words))
            return name if listed else UNLISTED_DETECTOR
    return None


def _listed(name: str, known: frozenset[str]) -> bool:
    """Return whether a name's parts, alone or two together, are all listed."""
    parts = re.findall(r"[A-Z0-9]+", name.upper())
    reached = {0}  # numbers of parts from the beginning that can be read as listed words
    for place, part in enumerate(parts):
        if place in reached and len(part) > 1 and part in known:
            reached.add(place + 1)
        if place in reached and "".join(parts[place : place + 2]) in known and place + 1 < len(parts):
            reached.add(place + 2)
    return bool(parts) and len(parts) in reached


def shown_code(value: str) -> str:
    """Return a coded value if it is a defined term of DICOM, else words for one that is not: people type there, too."""
    letters = re.sub(r"[^A-Z0-9_]", "", value.upper())
    if not value.strip():
        return "empty"
    return letters if letters in CODES else OTHER_CODE


def shown_syntax(syntax: UID) -> str | None:
    """Return the name that DICOM gives a transfer syntax, words for another; null for none."""
    if not syntax:
        return None
    return syntax.name if syntax.type == "Transfer Syntax" else UNKNOWN_SYNTAX
