"""A film with its attention maps as a DICOM Secondary Capture.

What lives here: the picture (film, maps, boxes, classes, what it is not) and its object. What does not: how a map is
made (room `attention`), the patient (`film_header.py`).
"""

import cv2
import numpy as np
from highdicom.sc import SCImage
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from olvf_assets.attention.colours import CLASS_COLOURS, overlaid
from olvf_assets.attention.film_maps import film_map
from olvf_assets.reporting.results_back.equipment import RESEARCH_ONLY, Identity, date, equipment
from olvf_assets.reporting.results_back.film_header import FilmHeader
from olvf_assets.reporting.results_back.findings import Findings
from olvf_assets.storage.artifacts import ArtifactStore

SERIES_NUMBER = 9902
LONGEST_SIDE_PX = 1024
BAND = 0.045  # height of the bands of text above and below the film, of the film's longest side
FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE = (255, 255, 255)
NO_CLASS = "#8A8F98"


def attention_image(findings: Findings, film: FilmHeader, identity: Identity, store: ArtifactStore) -> Dataset:
    """Return the picture of one film as an object of the film's patient and study.

    Args:
        findings: of the film; at least one level has a map.
        film: its identifiers.
        identity: UIDs and time of this version.
        store: where film and maps lie.

    Raises:
        DamagedPictureError: one of them is missing or damaged.
    """
    made = SCImage(
        pixel_array=drawn(findings, store),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("A", "F"),  # highdicom asks for one; the film's own is put in its place
        study_instance_uid=film.study_uid,
        series_instance_uid=identity.picture_series_uid,
        series_number=SERIES_NUMBER,
        sop_instance_uid=str(identity.picture_uid),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **equipment(identity, "OLVF attention"),
    )
    date(made, identity)
    made.DateOfSecondaryCapture, made.TimeOfSecondaryCapture = made.ContentDate, made.ContentTime
    made.ConversionType = "SYN"
    made.Laterality = ""
    made.BurnedInAnnotation = "NO"  # of the patient: what is burned in says that this is research
    made.DerivationDescription = f"Film with Grad-CAM ({findings.attention}), boxes and classes. {RESEARCH_ONLY}"
    if identity.before is not None and identity.before.picture_uid is not None:
        made.DerivationDescription += f". In place of {identity.before.picture_uid}"
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = film.sop_class_uid, film.sop_instance_uid
    made.SourceImageSequence = [source]
    film.put_into(made)
    film.put_orientation(made)
    return made


def drawn(findings: Findings, store: ArtifactStore) -> np.ndarray:
    """Return the film with maps, boxes, classes and bands of text: uint8 (height_px, width_px, 3), red, green, blue."""
    pixels = store.load_image(findings.image_path)
    maps = [(store.load_image(each.map_path), each.crop) for each in findings.vertebrae if each.map_path]
    scale = min(1.0, LONGEST_SIDE_PX / max(pixels.shape))
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    small, small_map = (
        cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (pixels, film_map(pixels.shape, maps))
    )
    picture = np.ascontiguousarray(overlaid(small, small_map))
    for each in findings.vertebrae:
        x0, y0, x1, y1 = (round(edge * scale) for edge in each.box_px)
        colour = _rgb(CLASS_COLOURS.get(each.predicted or "", NO_CLASS))
        cv2.rectangle(picture, (x0, y0), (x1, y1), colour, 2)
        said = "not classified"
        if each.predicted is not None:
            said = f"{each.predicted} {each.probabilities[each.predicted]:.2f}"
        _label(picture, f"{each.level} {said}", (x0, y0, x1, y1), colour)
    band = max(16, round(BAND * max(size)))
    legend = f"{findings.attention}; classes of the ensemble of 15"
    return np.vstack([_band(RESEARCH_ONLY, size[0], band), picture, _band(legend, size[0], band)])


def _label(picture: np.ndarray, text: str, box: tuple[int, int, int, int], colour: tuple[int, ...]) -> None:
    """Write a vertebra's level and class beside its box, where there is room."""
    height, width = picture.shape[:2]
    size = max(0.3, max(height, width) / 1700)
    (across, down), _ = cv2.getTextSize(text, FONT, size, 1)
    x0, y0, x1, y1 = box
    left = x1 + 8 if x1 + 12 + across <= width else max(0, x0 - 8 - across)
    base = min(height - 4, (y0 + y1 + down) // 2)
    cv2.rectangle(picture, (left - 3, base - down - 4), (left + across + 3, base + 5), colour, cv2.FILLED)
    cv2.putText(picture, text, (left, base), FONT, size, WHITE, 1, cv2.LINE_AA)


def _band(text: str, width: int, height: int) -> np.ndarray:
    """Return a black band with white text that fits into it: uint8 (height, width, 3)."""
    band = np.zeros((height, width, 3), np.uint8)
    (across, down), _ = cv2.getTextSize(text, FONT, 1.0, 1)
    size = min(0.9 * width / across, 0.5 * height / down)
    (across, down), _ = cv2.getTextSize(text, FONT, size, 1)
    cv2.putText(band, text, ((width - across) // 2, (height + down) // 2), FONT, size, WHITE, 1, cv2.LINE_AA)
    return band


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
