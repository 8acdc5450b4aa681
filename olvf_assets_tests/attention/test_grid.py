import numpy as np
import pytest

from olvf_assets.attention.grid import edges, grid_place, section_means, section_number


def test_sections_are_numbered_row_by_row_from_1_to_48() -> None:
    assert [section_number(1, 1), section_number(1, 8), section_number(2, 1), section_number(6, 8)] == [1, 8, 9, 48]
    assert [grid_place(section) for section in (1, 8, 9, 48)] == [(1, 1), (1, 8), (2, 1), (6, 8)]


def test_a_pixel_belongs_to_the_section_of_its_centre() -> None:
    assert np.diff([*edges(140, 6), 140]).tolist() == [23, 24, 23, 23, 24, 23]
    assert np.diff([*edges(166, 8), 166]).tolist() == [21, 20, 21, 21, 21, 20, 21, 21]
    for length, parts in ((140, 6), (166, 8), (12, 6)):
        starts = edges(length, parts)
        for pixel in range(length):
            part = int((pixel + 0.5) * parts / length)
            assert starts[part] <= pixel
            assert part == parts - 1 or pixel < starts[part + 1]


def test_the_mean_of_a_section_is_that_of_its_pixels() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (140, 166)).astype(np.uint8)
    means = section_means(picture)
    assert means.shape == (6, 8)
    assert means[0, 0] == pytest.approx(picture[:23, :21].mean())
    assert means[1, 2] == pytest.approx(picture[23:47, 41:62].mean())
    assert means[5, 7] == pytest.approx(picture[117:, 145:].mean())


def test_each_section_sees_only_its_own_pixels() -> None:
    rows, columns = np.digitize(np.arange(140), edges(140, 6)) - 1, np.digitize(np.arange(166), edges(166, 8)) - 1
    picture = rows[:, None] * 8 + columns[None, :] + 1
    np.testing.assert_array_equal(section_means(picture).ravel(), np.arange(1, 49))
