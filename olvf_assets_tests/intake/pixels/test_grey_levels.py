from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from olvf_assets.intake.pixels.grey_levels import ModalityLutError, grey_levels, window
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
    stored = np.array([[0, 4095, 4095 | 0x8000]], dtype=np.uint16)
    assert grey_levels(stored, header, PERCENTILES).pixels.tolist() == [[0, 255, 255]]


def lut(descriptor: list[int], data: list[int] | bytes) -> Dataset:
    """Return an item of a Modality or VOI LUT Sequence."""
    table = Dataset()
    table.add_new("LUTDescriptor", "US", descriptor)
    table.add_new("LUTData", "OW" if isinstance(data, bytes) else "US", data)
    return table


def test_a_voi_table_goes_before_the_window() -> None:
    header = film(VOILUTSequence=[lut([4, 100, 8], [0, 51, 102, 255])], WindowCenter=1, WindowWidth=2)
    shown = grey_levels(np.array([[0, 100, 101, 102, 103, 9000]], dtype=np.uint16), header, PERCENTILES)
    assert (shown.voi, shown.voi_detail) == ("lut", None)
    assert shown.pixels.tolist() == [[0, 0, 51, 102, 255, 255]]


@pytest.mark.parametrize("packing", ["words", "bytes", "two to a word"])
def test_a_voi_table_of_more_than_256_entries_of_8_bit_is_read_in_every_packing(packing: str) -> None:
    entries = [number // 16 for number in range(4096)]
    data: list[int] | bytes = entries
    if packing != "words":
        data = np.array(entries, "<u2" if packing == "bytes" else np.uint8).tobytes()
    stored = np.array([[0, 16, 2048, 4095]], dtype=np.uint16)
    shown = grey_levels(stored, film(VOILUTSequence=[lut([4096, 0, 8], data)]), PERCENTILES)
    assert (shown.voi, shown.pixels.tolist()) == ("lut", [[0, 1, 128, 255]])


def test_a_modality_table_comes_before_the_window() -> None:
    table = lut([3, 1, 16], [0, 1000, 4000])
    header = film(ModalityLUTSequence=[table], WindowCenter=2000.5, WindowWidth=4001)
    shown = grey_levels(np.array([[0, 1, 2, 3, 9]], dtype=np.uint16), header, PERCENTILES)
    assert shown.pixels.tolist() == [[0, 0, 64, 255, 255]]


@pytest.mark.parametrize(
    "changes",
    [
        {"RescaleSlope": 0, "RescaleIntercept": 0},
        {"ModalityLUTSequence": [lut([3, 1, 16], [7, 7, 7])]},
        {"ModalityLUTSequence": [Dataset()]},
    ],
)
def test_a_modality_transformation_that_makes_all_alike_is_an_error(changes: dict[str, Any]) -> None:
    with pytest.raises(ModalityLutError):
        grey_levels(ramp(), film(**changes), PERCENTILES)


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"WindowCenter": None, "WindowWidth": None}, "no VOI LUT, no window"),
        ({"WindowCenter": 60000, "WindowWidth": 10}, "window 60000 / 10 shows every pixel alike"),
        ({"WindowWidth": 0}, "window 8192 / 0 shows every pixel alike"),
        ({"WindowWidth": -100}, "window 8192 / -100 shows every pixel alike"),
        ({"WindowWidth": None}, "no VOI LUT, no window"),
        ({"VOILUTFunction": "CUBIC"}, "window 8192 / 16384 shows every pixel alike"),
    ],
)
def test_a_missing_or_contradictory_window_gives_way_to_the_film_s_own_percentiles(
    changes: dict[str, Any], detail: str
) -> None:
    shown = grey_levels(ramp(), film(**changes), PERCENTILES)
    assert (shown.voi, shown.voi_detail) == ("percentile", detail)
    assert (shown.pixels.min(), shown.pixels.max()) == (0, 255)


def test_what_is_wrong_with_one_table_or_window_does_not_hide_the_next() -> None:
    broken = lut([4096, 0, 8], [1, 2])
    header = film(VOILUTSequence=[broken], WindowCenter=[60000, 8192], WindowWidth=[10, 16384])
    shown = grey_levels(ramp(), header, PERCENTILES)
    assert (shown.voi, shown.voi_detail) == (
        "window", "VOI LUT 1 shows every pixel alike or is no table; window 60000 / 10 shows every pixel alike",
    )  # fmt: skip
    assert np.array_equal(shown.pixels, grey_levels(ramp(), film(), PERCENTILES).pixels)


@pytest.mark.parametrize(("bits", "signed"), [(bits, signed) for bits in (8, 10, 12, 14, 16) for signed in (0, 1)])
def test_every_depth_signed_or_not_spans_black_to_white(bits: int, signed: int) -> None:
    low = -(1 << (bits - 1)) if signed else 0
    dtype = np.dtype(f"{'i' if signed else 'u'}{1 if bits == 8 else 2}")
    stored = np.linspace(low, low + (1 << bits) - 1, 1200).round().astype(dtype).reshape(40, 30)
    header = film(
        BitsAllocated=8 if bits == 8 else 16, BitsStored=bits, HighBit=bits - 1, PixelRepresentation=signed,
        WindowCenter=low + (1 << (bits - 1)), WindowWidth=1 << bits,
    )  # fmt: skip
    reference = apply_voi_lut(stored.astype(np.int32), header).astype(float)
    shown = grey_levels(stored, header, PERCENTILES).pixels
    expected = np.rint(255 * (stored.astype(float) - low) / ((1 << bits) - 1))
    assert np.abs(shown - expected).max() <= 1
    assert np.corrcoef(reference.ravel(), shown.ravel())[0, 1] > 0.999


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
