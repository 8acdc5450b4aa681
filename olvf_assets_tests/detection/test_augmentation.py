"""The six operators of Table 3."""

from dataclasses import dataclass

import numpy as np
import pytest

from olvf_assets.detection.augmentation import augment, draw_strengths, imgaug_augmenters, operators_seed
from olvf_assets.detection.settings import AugmentationRanges

NOTHING = {
    "dropout": (0.0, 0.0),
    "blur_sigma_px": (0.0, 0.0),
    "sharpness": (1.0, 1.0),
    "gamma": (1.0, 1.0),
    "noise": (0.0, 0.0),
    "edge_alpha": (0.0, 0.0),
}


@dataclass
class Only:
    """Ranges with one operator at work."""

    name: str
    strength: float

    def ranges(self) -> AugmentationRanges:
        return AugmentationRanges(**NOTHING | {self.name: (self.strength, self.strength)})


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (140, 166), dtype=np.uint8)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(picture: np.ndarray) -> None:
    ranges = AugmentationRanges()
    first = augment(picture, 11, ranges)
    other = augment(picture, 12, ranges)
    assert np.array_equal(first, augment(picture, 11, ranges))
    assert not np.array_equal(first, other)
    assert first.shape == picture.shape
    assert first.dtype == np.uint8


def test_global_random_state_neither_matters_nor_changes(picture: np.ndarray) -> None:
    np.random.seed(0)  # noqa: NPY002 - the old global generator is what must not matter
    first = augment(picture, 11, AugmentationRanges())
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    assert np.array_equal(first, augment(picture, 11, AugmentationRanges()))
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_strengths_are_uniform_within_table_3() -> None:
    ranges = AugmentationRanges()
    drawn = np.array([draw_strengths(seed, ranges) for seed in range(2000)])
    low, high = np.array([getattr(ranges, name) for name in AugmentationRanges.model_fields]).T
    assert low.tolist() == [0.0, 0.0, 0.0, 0.5, 0.0, 0.05]
    assert high.tolist() == [0.1, 0.5, 2.5, 2.0, 0.05, 0.3]
    assert (drawn >= low).all()
    assert (drawn <= high).all()
    assert drawn.mean(axis=0) == pytest.approx((low + high) / 2, rel=0.05)
    assert np.abs(np.corrcoef(drawn.T) - np.eye(6)).max() < 0.08


def test_operators_at_rest_leave_the_picture_as_it_is(picture: np.ndarray) -> None:
    assert np.array_equal(augment(picture, 3, AugmentationRanges(**NOTHING)), picture)


def test_gamma_follows_its_formula(picture: np.ndarray) -> None:
    expected = 255 * (picture / 255) ** 2
    assert np.abs(augment(picture, 3, Only("gamma", 2.0).ranges()) - expected).max() <= 1


def test_dropout_blackens_its_share_of_pixels() -> None:
    white = np.full((200, 200), 255, np.uint8)
    dropped = augment(white, 3, Only("dropout", 0.1).ranges())
    assert set(np.unique(dropped)) == {0, 255}
    assert (dropped == 0).mean() == pytest.approx(0.1, abs=0.01)


def test_noise_has_its_standard_deviation() -> None:
    grey = np.full((300, 300), 128, np.uint8)
    noisy = augment(grey, 3, Only("noise", 0.05).ranges()).astype(float)
    assert noisy.mean() == pytest.approx(128, abs=0.5)
    assert noisy.std() == pytest.approx(0.05 * 255, rel=0.05)


def test_edges_are_mixed_in_by_alpha() -> None:
    flat = np.full((50, 50), 200, np.uint8)
    assert augment(flat, 3, Only("edge_alpha", 0.3).ranges())[25, 25] == 140  # 0.7 x 200, no edge in the middle


def test_a_picture_that_is_not_8_bit_grey_is_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        augment(np.zeros((4, 4)), 1, AugmentationRanges())


def by_imgaug(image: np.ndarray, seed: int, ranges: AugmentationRanges) -> np.ndarray:
    """Return what imgaug's own augmenters make of a picture, as its README calls them."""
    iaa = imgaug_augmenters()
    drawn, own = draw_strengths(seed, ranges), operators_seed(seed)
    steps = iaa.Sequential(
        [
            iaa.Dropout(p=drawn.dropout, seed=own),
            iaa.GaussianBlur(sigma=drawn.blur_sigma_px, seed=own),
            iaa.pillike.EnhanceSharpness(factor=drawn.sharpness, seed=own),
            iaa.GammaContrast(gamma=drawn.gamma, seed=own),
            iaa.AdditiveGaussianNoise(scale=drawn.noise * 255, seed=own + 1),
            iaa.EdgeDetect(alpha=drawn.edge_alpha, seed=own),
        ],
        random_order=False,
        seed=own,
    )
    return steps.augment_image(image)


@pytest.mark.parametrize("shape", [(140, 166), (256, 256), (640, 640), (35, 42), (3, 3), (2, 5)])
def test_every_pixel_is_imgaug_s(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    flat = np.zeros(shape, np.uint8)
    for seed in range(40 if shape[0] < 300 else 12):
        noise = rng.integers(0, 256, shape, dtype=np.uint8)
        for image in (noise, flat, np.full(shape, 255, np.uint8)):
            before = image.copy()
            np.testing.assert_array_equal(
                augment(image, seed, AugmentationRanges()), by_imgaug(image, seed, AugmentationRanges())
            )
            np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("name", NOTHING)
@pytest.mark.parametrize("end", [0, 1])
def test_the_ends_of_every_range_are_imgaug_s(name: str, end: int, picture: np.ndarray) -> None:
    ranges = Only(name, getattr(AugmentationRanges(), name)[end]).ranges()
    for seed in range(5):
        np.testing.assert_array_equal(augment(picture, seed, ranges), by_imgaug(picture, seed, ranges))
