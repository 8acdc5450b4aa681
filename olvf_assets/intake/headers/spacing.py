"""The size of a film's pixels, where its attributes agree and where they do not.

What lives here: which spacing attribute is used and why. What does not: any other attribute (`headers.reading`).

All films of the study are measured in the plane of the detector: that is what Imager Pixel Spacing (0018,1164) says and
what every detector knows. Pixel Spacing (0028,0030) of a projection radiograph is the same, or smaller because someone
calibrated it to the patient's plane (PS3.3 10.7.1.3): it is then noted beside, never mixed in.
"""

from typing import Literal, NamedTuple

from pydicom import Dataset

from olvf_assets.intake.headers.values import ACCEPTED, Judgement, letters, number, text, values, within

SpacingSource = Literal["imager", "pixel_spacing", "calibrated", "scanned", "unknown"]
SAME = 0.01  # relative; two spacings closer than this are one
# An object touches the detector (1) or lies halfway to the tube (0.5); no spine lies beyond.
SMALLEST_DEMAGNIFICATION = 0.5
# No detector has larger pixels. A greater number is none of a spacing, may be anything, and is not shown.
LARGEST_MM = 10.0
MILLIMETRES = {"MM": 1.0, "CM": 10.0, "UM": 0.001}


class Spacing(NamedTuple):
    """Spacing of a film's pixels.

    Attributes:
        pixel_mm: at the detector, mm; None when no attribute tells.
        source: `imager`; `pixel_spacing`, alone and not called calibrated; `calibrated`, Pixel Spacing alone but in the
            patient's plane, times the magnification if that is given; `scanned`, of a digitised film; `unknown`, of
            a picture that was made a film and says so, see `made_of_a_picture`.
        calibrated_pixel_mm: in the patient's plane, mm, where the header has it.
        judgement: a refusal of what contradicts itself.
    """

    pixel_mm: float | None
    source: SpacingSource | None
    calibrated_pixel_mm: float | None = None
    judgement: Judgement = ACCEPTED


def spacing_of(header: Dataset) -> Spacing:
    """Return the spacing of a film.

    An attribute that is zero, or holds no two numbers, counts as absent. Reasons for a refusal: `non_square_pixels`,
    `no_pixel_spacing`, `contradictory_spacing`.
    """
    imager, plain = _pair(header, "ImagerPixelSpacing"), _pair(header, "PixelSpacing")
    scanned = _pair(header, "NominalScannedPixelSpacing")
    used = imager or plain or scanned
    if used is None:
        silent = Judgement("no_pixel_spacing", "no attribute of pixel spacing is filled in")
        return Spacing(None, "unknown") if made_of_a_picture(header) else Spacing(None, None, None, silent)
    if (judgement := _judge_shape(used, _pair(header, "PixelAspectRatio"))).reason:
        return Spacing(round(used[0], 4) if used[0] <= LARGEST_MM else None, None, None, judgement)
    if imager is not None:
        return _of_detector(imager[0], plain[0] if plain is not None else None)
    if plain is None:
        return Spacing(round(used[0], 4), "scanned")
    if letters(text(header, "PixelSpacingCalibrationType")):
        said = number(text(header, "EstimatedRadiographicMagnificationFactor"))
        magnification = within(said, (1.0, 1 / SMALLEST_DEMAGNIFICATION)) or 1.0
        return Spacing(round(used[0] * magnification, 4), "calibrated", round(used[0], 4))
    return Spacing(round(used[0], 4), "pixel_spacing")


def made_of_a_picture(header: Dataset) -> bool:
    """Return whether a film says that a program made it of a picture, for research: nobody knows its spacing then.

    Conversion Type (0008,0064) and Content Qualification (0018,9004); no console writes both, so that a film whose
    spacing was lost on the way is refused as ever.
    """
    said = [letters(text(header, keyword)) for keyword in ("ConversionType", "ContentQualification")]
    return said == ["WSD", "RESEARCH"]


def _judge_shape(spacing: tuple[float, float], aspect: tuple[float, float] | None) -> Judgement:
    if max(spacing) > LARGEST_MM:
        return Judgement("no_pixel_spacing", f"a spacing of over {LARGEST_MM:.0f} mm is none of a detector")
    if abs(spacing[0] - spacing[1]) > SAME * spacing[0]:
        detail = f"pixels of {spacing[0]:.3f} x {spacing[1]:.3f} mm are not square"
        return Judgement("non_square_pixels", detail)
    if aspect is not None and abs(aspect[0] - aspect[1]) > SAME * aspect[0]:
        detail = "Pixel Aspect Ratio says that pixels are not square, the spacing that they are; correct one of them"
        return Judgement("non_square_pixels", detail)
    return ACCEPTED


def _of_detector(imager_mm: float, plain_mm: float | None) -> Spacing:
    detector_mm = round(imager_mm, 4)
    if plain_mm is None or abs(plain_mm - imager_mm) <= SAME * imager_mm:
        return Spacing(detector_mm, "imager")
    if SMALLEST_DEMAGNIFICATION <= plain_mm / imager_mm < 1:
        return Spacing(detector_mm, "imager", round(plain_mm, 4))
    detail = (
        f"Imager Pixel Spacing {imager_mm:.4g} mm and Pixel Spacing {_shown(plain_mm)} cannot both be true: "
        "calibration to the patient makes pixels smaller, by half at most; correct one at the modality or PACS"
    )
    return Spacing(detector_mm, None, None, Judgement("contradictory_spacing", detail))


def _shown(mm: float) -> str:
    return f"{mm:.4g} mm" if mm <= LARGEST_MM else f"over {LARGEST_MM:.0f} mm"


def _pair(header: Dataset, keyword: str) -> tuple[float, float] | None:
    """Return two positive numbers, None where an attribute does not hold two."""
    pair = [number(each, MILLIMETRES) or 0.0 for each in values(header, keyword)]
    return (pair[0], pair[1]) if len(pair) == 2 and min(pair) > 0 else None
