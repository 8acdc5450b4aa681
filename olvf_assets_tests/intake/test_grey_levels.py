import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from olvf_assets.intake.grey_levels import grey_levels, window
from olvf_assets_tests.intake.samples import film, ramp

PERCENTILES = (0.5, 99.5)


def test_the_standard_s_linear_window_example_of_width_4096_holds() -> None:
    # PS3.3 C.11.2.1.2.1: c = 2048, w = 4096 maps 0 to black, 4095 to white.
    assert window(np.array([-1.0, 0.0, 2047.5, 4095.0, 5000.0]), 2048, 4096).tolist() == [0, 0, 0.5, 1, 1]


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(8192, 16384), (7000, 5000), (12000, 900)])
def test_windows_agree_with_pydicom_s_chain_on_every_pixel(function: str, centre: float, width: float) -> None:
    header = film(VOILUTFunction=function, WindowCenter=centre, WindowWidth=width)
    shown = grey_levels(ramp(), header, PERCENTILES)
    reference = apply_voi_lut(apply_modality_lut(ramp(), header), header) / (2**14 - 1)
    assert shown.voi == "window"
    assert np.abs(shown.pixels - 255 * reference).max() <= 0.51


def test_rescale_slope_and_intercept_come_before_the_window() -> None:
    header = film(RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=1000, WindowWidth=2001)
    shown = grey_levels(np.array([[500, 1000, 1500]], dtype=np.uint16), header, PERCENTILES)
    # values 0, 1000, 2000 in a window from -0.5 to 1999.5
    assert shown.pixels.tolist() == [[0, 128, 255]]


def test_monochrome1_is_inverted() -> None:
    plain, inverted = (
        grey_levels(ramp(), film(PhotometricInterpretation=kind), PERCENTILES).pixels
        for kind in ("MONOCHROME2", "MONOCHROME1")
    )
    assert plain[0, 0] == 0
    assert inverted[0, 0] == 255
    assert np.array_equal(plain, 255 - inverted)


def test_signed_pixels_are_ordered_by_their_value() -> None:
    header = film(PixelRepresentation=1, BitsStored=12, HighBit=11, WindowCenter=0, WindowWidth=4096)
    stored = np.array([[-2048, -1024, 0, 1024, 2047]], dtype=np.int16)
    assert grey_levels(stored, header, PERCENTILES).pixels.tolist() == [[0, 64, 128, 191, 255]]


def test_bits_above_bits_stored_do_not_count() -> None:
    header = film(BitsStored=12, HighBit=11, WindowCenter=2048, WindowWidth=4096)
    stored = np.array([[4095, 4095 | 0x8000]], dtype=np.uint16)
    assert grey_levels(stored, header, PERCENTILES).pixels.tolist() == [[255, 255]]


def test_a_voi_table_goes_before_the_window() -> None:
    table = Dataset()
    table.LUTDescriptor = [4, 100, 8]
    table.LUTData = [0, 51, 102, 255]
    header = film(VOILUTSequence=[table], WindowCenter=1, WindowWidth=2)
    header["VOILUTSequence"][0]["LUTDescriptor"].VR = "US"
    header["VOILUTSequence"][0]["LUTData"].VR = "US"
    shown = grey_levels(np.array([[0, 100, 101, 102, 103, 9000]], dtype=np.uint16), header, PERCENTILES)
    assert shown.voi == "lut"
    assert shown.pixels.tolist() == [[0, 0, 51, 102, 255, 255]]


def test_without_window_the_film_s_own_percentiles_set_the_contrast() -> None:
    stored = np.full((100, 100), 5000, dtype=np.uint16)
    stored.flat[:2000] = 4000
    stored.flat[2000:4000] = 6000
    stored.flat[4000] = 16383  # one burnt pixel of ten thousand must not darken the film
    shown = grey_levels(stored, film(WindowCenter=None, WindowWidth=None), PERCENTILES)
    assert shown.voi == "percentile"
    assert sorted(np.unique(shown.pixels)) == [0, 128, 255]


def test_the_first_of_several_windows_is_used_and_a_width_of_one_is_a_threshold() -> None:
    several = grey_levels(ramp(), film(WindowCenter=[8192, 100], WindowWidth=[16384, 10]), PERCENTILES)
    assert np.array_equal(several.pixels, grey_levels(ramp(), film(), PERCENTILES).pixels)
    assert window(np.array([9.0, 9.5, 10.0]), 10, 1).tolist() == [0, 0, 1]


def test_an_unknown_window_function_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown VOI LUT Function CUBIC"):
        window(np.array([1.0]), 1, 2, "CUBIC")
