from typing import Any

import pytest
from pydicom.dataset import Dataset

from olvf_assets.intake.headers.spacing import spacing_of


def header(**attributes: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"ImagerPixelSpacing": [0.15, 0.15]}, (0.15, "imager", None)),
        ({"ImagerPixelSpacing": [0.15, 0.15], "PixelSpacing": [0.15, 0.15]}, (0.15, "imager", None)),
        # calibrated to the patient's plane: 0.15 mm at 1.27 times magnification
        (
            {
                "ImagerPixelSpacing": [0.15, 0.15],
                "PixelSpacing": [0.118, 0.118],
                "PixelSpacingCalibrationType": "GEOMETRY",
            },
            (0.15, "imager", 0.118),
        ),
        ({"ImagerPixelSpacing": [0.15, 0.15], "PixelSpacing": [0.118, 0.118]}, (0.15, "imager", 0.118)),
        ({"PixelSpacing": [0.2, 0.2]}, (0.2, "pixel_spacing", None)),
        ({"PixelSpacing": [0.118, 0.118], "PixelSpacingCalibrationType": "FIDUCIAL"}, (0.118, "calibrated", 0.118)),
        (
            {
                "PixelSpacing": [0.12, 0.12],
                "PixelSpacingCalibrationType": "GEOMETRY",
                "EstimatedRadiographicMagnificationFactor": 1.25,
            },
            (0.15, "calibrated", 0.12),
        ),
        ({"NominalScannedPixelSpacing": [0.1, 0.1]}, (0.1, "scanned", None)),
    ],
)
def test_spacing_is_that_of_the_detector_and_a_calibration_is_noted_beside(
    attributes: dict[str, Any], expected: tuple[float, str, float | None]
) -> None:
    found = spacing_of(header(**attributes))
    assert found.judgement.reason is None
    assert (found.pixel_mm, found.source, found.calibrated_pixel_mm) == expected


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"ImagerPixelSpacing": [0.15, 0.15], "PixelSpacing": [0.3, 0.3]}, "contradictory_spacing"),  # shrunk by half
        ({"ImagerPixelSpacing": [0.15, 0.15], "PixelSpacing": [0.05, 0.05]}, "contradictory_spacing"),
        (
            {"ImagerPixelSpacing": [0.15, 0.15], "PixelSpacing": [0.3, 0.3], "PixelSpacingCalibrationType": "FIDUCIAL"},
            "contradictory_spacing",
        ),
        ({"ImagerPixelSpacing": [0.15, 0.2]}, "non_square_pixels"),
        ({"PixelSpacing": [0, 0]}, "no_pixel_spacing"),
        ({}, "no_pixel_spacing"),
    ],
)
def test_a_spacing_that_cannot_be_true_is_refused(attributes: dict[str, Any], reason: str) -> None:
    judgement = spacing_of(header(**attributes)).judgement
    assert judgement.reason == reason
    assert judgement.detail


def test_a_picture_that_was_made_a_film_and_says_so_has_an_unknown_spacing() -> None:
    made = {"ConversionType": "WSD", "ContentQualification": "RESEARCH"}
    found = spacing_of(header(**made))
    assert (found.judgement.reason, found.pixel_mm, found.source) == (None, None, "unknown")
    assert spacing_of(header(**made, ImagerPixelSpacing=[0.15, 0.15])).pixel_mm == 0.15


@pytest.mark.parametrize(
    "said",
    [
        {"ConversionType": "WSD"},  # a screenshot of a workstation
        {"ContentQualification": "RESEARCH"},
        {"ConversionType": "DF", "ContentQualification": "RESEARCH"},
        {"ConversionType": "WSD", "ContentQualification": "PRODUCT"},
    ],
)
def test_any_other_film_whose_spacing_was_lost_is_refused_as_ever(said: dict[str, Any]) -> None:
    assert spacing_of(header(**said)).judgement.reason == "no_pixel_spacing"
