import math

import cv2
import numpy as np
import pytest
import torch

from olvf_assets.classification.augmentation import affine_matrices, augment_batch
from olvf_assets.classification.settings import AugmentationRanges

STILL = {"scale": (1.0, 1.0), "rotation_deg": 0.0, "brightness": 0.0, "contrast": 1.0}


def smooth_picture(height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(3).uniform(0, 255, (height, width)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 4)


def draws(pictures: torch.Tensor, seed: int = 1) -> torch.Tensor:
    return torch.rand((4, len(pictures)), generator=torch.Generator().manual_seed(seed))


def test_without_any_range_pictures_stay_as_they_are() -> None:
    pictures = torch.from_numpy(smooth_picture(35, 42))[None, None]
    torch.testing.assert_close(
        augment_batch(pictures, AugmentationRanges(**STILL), draws(pictures)), pictures, atol=1e-3, rtol=0
    )


@pytest.mark.parametrize(("scale", "degrees"), [(0.8, 0.0), (1.05, 15.0), (1.0, -20.0)])
def test_scale_and_rotation_keep_pixels_square_as_opencv_does(scale: float, degrees: float) -> None:
    height, width = 70, 83
    picture = smooth_picture(height, width)
    theta = affine_matrices(torch.tensor([scale]), torch.tensor([math.radians(degrees)]), height, width)
    grid = torch.nn.functional.affine_grid(theta, [1, 1, height, width], align_corners=False)
    ours = torch.nn.functional.grid_sample(torch.from_numpy(picture)[None, None], grid, align_corners=False)[
        0, 0
    ].numpy()
    centre = ((width - 1) / 2, (height - 1) / 2)
    matrix = cv2.getRotationMatrix2D(centre, -degrees, scale)  # OpenCV turns anticlockwise
    theirs = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR)
    inner = (slice(20, -20), slice(20, -20))
    np.testing.assert_allclose(ours[inner], theirs[inner], atol=1.0)


def test_brightness_and_contrast_stay_within_table_4_about_mid_grey() -> None:
    grey = torch.full((400, 1, 8, 8), 127.5)
    shifts = augment_batch(grey, AugmentationRanges(**{**STILL, "brightness": 0.2}), draws(grey))[:, 0, 0, 0] - 127.5
    assert -51 <= shifts.min() < -48
    assert 48 < shifts.max() <= 51
    dark = torch.full((400, 1, 8, 8), 27.5)
    gains = (
        127.5 - augment_batch(dark, AugmentationRanges(**{**STILL, "contrast": 1.5}), draws(dark))[:, 0, 0, 0]
    ) / 100
    assert 1 / 1.5 <= gains.min() < 0.68
    assert 1.48 < gains.max() <= 1.5 + 1e-5
    assert abs(gains.log().mean()) < 0.03  # as often a half more as a third less


def test_the_same_draws_give_the_same_batch_and_others_another() -> None:
    pictures = torch.from_numpy(smooth_picture(35, 42))[None, None].repeat(3, 1, 1, 1)
    first, again, other = (augment_batch(pictures, AugmentationRanges(), draws(pictures, seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])
