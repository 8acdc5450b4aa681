"""Who made the objects that go back, and by what names they are known.

What lives here: words and UIDs that report and picture share. What does not: the objects themselves
(`structured_report.py`, `attention_image.py`), when one is made (`versions.py`).
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

from pydicom import Dataset

from olvf_assets.foundation.code_identity import code_digest
from olvf_assets.foundation.provenance import LIBRARIES_OF_NETWORKS, library_versions

MANUFACTURER, PRODUCT = "OLVF", "OLVF vertebral fracture study"
RESEARCH_ONLY = "RESEARCH USE ONLY - NOT FOR DIAGNOSIS"
SCHEME = "99OLVF"  # our own words; those of SNOMED and DICOM are taken where pydicom's dictionary has them
LIBRARIES = (*LIBRARIES_OF_NETWORKS, "timm", "ultralytics", "highdicom")
SCORING = "olvf_assets.classification.predictions:predict"
SEARCHING = "olvf_assets.detection.prediction:detection_candidates"
DISTRIBUTION = "olvf-assets"


@dataclass(frozen=True)
class Identity:
    """The UIDs and the time of one version of a film's objects.

    Attributes:
        report_uid, report_series_uid: of the structured report.
        picture_uid, picture_series_uid: of the picture; None where there is none.
        number: of the version, from 1.
        made: when it was first written.
        before: the version that it supersedes, if there is one.
    """

    report_uid: str
    report_series_uid: str
    picture_uid: str | None
    picture_series_uid: str
    number: int
    made: datetime
    before: "Identity | None" = None


def equipment(identity: Identity, description: str) -> dict[str, Any]:
    """Return what highdicom wants to know of whoever makes an object, and when it was made."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": PRODUCT,
        "software_versions": version(DISTRIBUTION),
        "device_serial_number": "none",
        "series_description": f"{description} ({RESEARCH_ONLY})"[:64],
        "instance_number": identity.number,
        "content_date": identity.made.date(),
        "content_time": identity.made.time(),
    }


def date(made: Dataset, identity: Identity) -> None:
    """Put the version's time in the place of the present one, which highdicom notes, so that its bytes are its own."""
    made.InstanceCreationDate, made.InstanceCreationTime = made.ContentDate, made.ContentTime
    for each in made.get("ContributingEquipmentSequence", []):
        each.ContributionDateTime = identity.made.strftime("%Y%m%d%H%M%S")


def made_by() -> list[str]:
    """Return, in lines, the versions of code and libraries that findings are computed with."""
    libraries = ", ".join(f"{name} {number}" for name, number in library_versions(*LIBRARIES).items())
    return [
        RESEARCH_ONLY,
        f"OLVF {version(DISTRIBUTION)}, code of scoring {code_digest(SCORING)}, of searching {code_digest(SEARCHING)}",
        f"libraries: {libraries}",
    ]


def now() -> datetime:
    """Return the present time in whole seconds, as clocks here show it: DICOM writes local time."""
    return datetime.now().astimezone().replace(microsecond=0)


@contextmanager
def libraries_kept_quiet() -> Iterator[None]:
    """Let DICOM libraries say nothing: their messages repeat the identifiers that they are about."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
