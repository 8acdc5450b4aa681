"""What of a header's dates and free text may leave intake.

What lives here: the shifted day of a film, and which words of a detector's name are kept. What does not: pseudonyms
and shifts themselves (`pseudonyms`), reading files (`headers`).
"""

import re
from datetime import datetime
from typing import TYPE_CHECKING

from pydicom import Dataset

from olvf_assets.intake.pseudonyms import Pseudonymiser

if TYPE_CHECKING:
    from datetime import date

# In order of trust; the study may be older than its image.
DATE_ATTRIBUTES = ("AcquisitionDate", "ContentDate", "StudyDate", "SeriesDate")
FIRST_YEAR = 1900  # an earlier one is a placeholder
DETECTOR_ATTRIBUTES = ("DetectorManufacturerModelName", "ManufacturerModelName")
UNLISTED_DETECTOR = "unlisted"
WORD = re.compile(r"[^\W\d_]{2,}")


def film_date(header: Dataset, names: Pseudonymiser) -> "date | None":
    """Return the day the film was taken, shifted as all dates of its patient; null without such a day or a patient."""
    patient_id = str(header.get("PatientID") or "").strip()
    for keyword in DATE_ATTRIBUTES:
        try:
            day = datetime.strptime(str(header.get(keyword) or "").strip(), "%Y%m%d").date()
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
        text = str(header.get(keyword) or "").strip()
        if not text:
            continue
        known = all(word.upper() in known_words for word in WORD.findall(text)) and not re.search(r"\d{5}", text)
        return text[:64] if known else UNLISTED_DETECTOR
    return None
