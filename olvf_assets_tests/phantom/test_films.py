import dataclasses

import numpy as np
import pytest

from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.phantom.dicom import make_dataset
from olvf_assets.phantom.exposure import develop, expose, noise_deviation
from olvf_assets.phantom.film import Film, annotate, patient_skeleton, render_film
from olvf_assets.phantom.plan import ConditionPlan, PatientPlan, plan_hospital
from olvf_assets.phantom.settings import PhantomSettings


def first(settings: PhantomSettings, key: str, view: str = "neutral") -> tuple[PatientPlan, int]:
    for patient in plan_hospital(key, settings, 3):
        for number, film in enumerate(patient.films):
            if film.view == view and (view != "neutral" or not patient.conditions):
                return patient, number
    raise AssertionError(view)


@pytest.fixture(scope="module")
def film(tiny: PhantomSettings) -> Film:
    patient, number = first(tiny, "institution_1")
    return render_film(patient, patient.films[number], tiny.institutions["institution_1"])


def test_a_film_is_fourteen_bit_and_the_same_every_time(tiny: PhantomSettings, film: Film) -> None:
    patient, number = first(tiny, "institution_1")
    again = render_film(patient, patient.films[number], tiny.institutions["institution_1"])
    assert film.pixels.dtype == np.uint16
    assert film.pixels.max() < 1 << 14
    assert film.pixels.shape == (508, 423)
    np.testing.assert_array_equal(film.pixels, again.pixels)


def test_attenuation_follows_beer_and_lambert_without_scatter() -> None:
    path = np.full((64, 64), 3.0, np.float32)
    assert expose(path, 0.0, 0.0)[32, 32] == pytest.approx(np.exp(-3.0), rel=1e-4)


def test_scatter_lowers_contrast(tiny: PhantomSettings) -> None:
    path = np.full((256, 256), 3.0, np.float32)
    path[:, 120:136] = 3.5
    contrasts = []
    for scatter in (0.0, 1.0, 2.0):
        exposure = expose(path, scatter, 150.0)
        contrasts.append(float(exposure[128, 60] / exposure[128, 128]))
    assert contrasts[0] == pytest.approx(np.exp(0.5), rel=1e-3)
    assert contrasts[0] > contrasts[1] > contrasts[2] > 1


def test_noise_is_strongest_behind_the_thickest_part(tiny: PhantomSettings) -> None:
    noise = noise_deviation(np.array([0.25, 1.0, 4.0], np.float32), 100.0, tiny.institutions["institution_1"])
    np.testing.assert_allclose(noise[0] / noise[1], 2.0, rtol=1e-5)
    np.testing.assert_allclose(noise[1] / noise[2], 2.0, rtol=1e-5)


def test_noise_falls_with_the_quanta_and_is_as_correlated_as_the_detector_makes_it(tiny: PhantomSettings) -> None:
    patient, number = first(tiny, "institution_1")

    def pixels(quanta: float, noise_blur_mm: float) -> np.ndarray:
        site = tiny.institutions["institution_1"]
        detectors = tuple(each.model_copy(update={"noise_blur_mm": noise_blur_mm}) for each in site.detectors)
        site = site.model_copy(update={"quanta": quanta, "detectors": detectors})
        return render_film(patient, patient.films[number], site).pixels.astype(float)

    silent = pixels(1e12, 0.0)
    inside = (silent > 1500) & (silent < 15000)
    edge = inside[:, 1:] & inside[:, :-1]
    side = np.exp(-1 / (2 * 0.6**2))  # of a Gaussian of 0.36 mm = 0.6 px on three pixels
    for blur_mm, correlation in ((0.0, 0.0), (0.36, 2 * side / (1 + 2 * side**2))):
        noise, quarter = pixels(300.0, blur_mm) - silent, pixels(1200.0, blur_mm) - silent
        assert noise[inside].std() == pytest.approx(2 * quarter[inside].std(), rel=0.02)
        assert noise[inside].mean() == pytest.approx(0.0, abs=2.0)
        assert np.corrcoef(noise[:, 1:][edge], noise[:, :-1][edge])[0, 1] == pytest.approx(correlation, abs=0.02)


def test_the_tone_is_brighter_where_less_arrives(tiny: PhantomSettings) -> None:
    exposure = np.full((128, 128), 1.0, np.float32)
    exposure[40:60, 40:60] = 0.5
    tone = develop(exposure, tiny.institutions["institution_1"])
    assert tone[50, 50] > tone[100, 100] + 0.3


def test_vertebrae_stand_out_from_the_disc_and_the_background_is_burnt_out(film: Film) -> None:
    x0, y0, x1, y1 = (int(each) for each in film.outlines["L3"])
    body = film.pixels[y0 + 4 : y1 - 4, x0 + 8 : x1 - 8].mean()
    disc = film.pixels[y1 + 2 : y1 + 4, x0 + 20 : x1 - 20].mean()
    assert body > disc
    assert (film.pixels == 0).mean() > 0.03


def test_monochrome1_is_the_same_film_inverted(tiny: PhantomSettings) -> None:
    patient, number = first(tiny, "institution_1")
    site = tiny.institutions["institution_1"]
    plain = render_film(patient, patient.films[number], site)
    inverted = render_film(patient, dataclasses.replace(patient.films[number], monochrome1=True), site)
    np.testing.assert_array_equal(plain.pixels, (1 << 14) - 1 - inverted.pixels)
    assert plain.window[0] + inverted.window[0] == (1 << 14) - 1


def test_the_second_institution_is_larger_noisier_and_less_magnified(tiny: PhantomSettings, film: Film) -> None:
    patient, number = first(tiny, "institution_2")
    other = render_film(patient, patient.films[number], tiny.institutions["institution_2"])
    assert other.pixels.shape == (720, 593)
    assert other.beam.magnification < film.beam.magnification
    assert tiny.institutions["institution_2"].quanta < tiny.institutions["institution_1"].quanta


def test_drawn_boxes_hold_the_outline_and_are_not_all_the_same_margin(film: Film) -> None:
    boxes = annotate(film.outlines, film.beam, 1)
    assert list(boxes) == list(LEVELS)
    margins = []
    for level, (x0, y0, x1, y1) in film.outlines.items():
        box = boxes[level]
        inside = (min(x1, box[2]) - max(x0, box[0])) * (min(y1, box[3]) - max(y0, box[1]))
        drawn = (box[2] - box[0]) * (box[3] - box[1])
        assert inside / ((x1 - x0) * (y1 - y0) + drawn - inside) > 0.75
        margins.append(x0 - box[0])
    assert len(set(np.round(margins, 3))) > 1


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("institution_1", {"Modality": "DX", "KVP": 85, "DistanceSourceToDetector": 1100, "Rows": 508,
                           "DetectorType": "SCINTILLATOR", "PhotometricInterpretation": "MONOCHROME2"}),
        ("institution_2", {"Modality": "CR", "KVP": 90, "DistanceSourceToDetector": 1300, "Rows": 720,
                           "ManufacturerModelName": "BENEO", "PhotometricInterpretation": "MONOCHROME1"}),
    ],
)  # fmt: skip
def test_the_header_says_how_the_film_was_made(tiny: PhantomSettings, key: str, expected: dict[str, object]) -> None:
    patient, number = first(tiny, key)
    site = tiny.institutions[key]
    ds = make_dataset(render_film(patient, patient.films[number], site), patient, patient.films[number], site)
    assert {name: ds[name].value for name in expected} == expected
    assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation) == (16, 14, 13, 0)
    assert (ds.PatientID, ds.BodyPartExamined) == (patient.patient_id, "LSPINE")
    assert ds.ViewPosition in ("LL", "RL")
    assert list(ds.ImagerPixelSpacing) == [0.6, 0.6]
    assert str(ds.PatientName).startswith("Phantom^")
    born, taken = int(ds.PatientBirthDate), int(ds.StudyDate)
    assert (taken - born) // 10000 == patient.age_years
    assert len(ds.SOPInstanceUID) <= 64
    pixels = ds.pixel_array
    low, high = ds.WindowCenter - ds.WindowWidth / 2, ds.WindowCenter + ds.WindowWidth / 2
    assert np.mean((pixels > low) & (pixels < high)) > 0.35


def test_flexion_and_extension_are_marked_as_hospitals_do(tiny: PhantomSettings) -> None:
    site = tiny.institutions["institution_1"]
    for view, word in (("flexion", "FLEXION"), ("extension", "EXTENSION")):
        patient, number = first(tiny, "institution_1", view)
        ds = make_dataset(render_film(patient, patient.films[number], site), patient, patient.films[number], site)
        assert word in ds.SeriesDescription
        assert ds.ViewCodeSequence[0].ViewModifierCodeSequence[0].CodeMeaning.upper() == word


def with_condition(patient: PatientPlan, level: str, scope: str, condition: str) -> PatientPlan:
    return dataclasses.replace(patient, conditions=(ConditionPlan(level, None, scope, condition),))  # type: ignore[arg-type]


@pytest.mark.parametrize("scope", ["fracture", "crop"])
def test_a_foreign_substance_is_seen_on_its_vertebra_only(tiny: PhantomSettings, film: Film, scope: str) -> None:
    patient, number = first(tiny, "institution_1")
    site = tiny.institutions["institution_1"]
    spoilt = render_film(with_condition(patient, "L3", scope, "foreign_substance"), patient.films[number], site)

    def change(level: str) -> float:
        x0, y0, x1, y1 = (int(each) for each in film.outlines[level])  # type: ignore[index]
        window = np.s_[y0:y1, x0:x1]
        return float(np.percentile(np.abs(spoilt.pixels[window].astype(float) - film.pixels[window]), 99))

    assert change("L3") > 600
    assert change("L5") < 0.5 * change("L3")


def test_poor_image_quality_drowns_a_whole_film_or_one_vertebra_in_noise(tiny: PhantomSettings, film: Film) -> None:
    patient, number = first(tiny, "institution_1")
    site = tiny.institutions["institution_1"]

    def roughness(one: Film, level: str) -> float:
        x0, y0, x1, y1 = (int(each) for each in film.outlines[level])  # type: ignore[index]
        return float(np.abs(np.diff(one.pixels[y0:y1, x0:x1].astype(float))).mean())

    whole, one = (
        render_film(with_condition(patient, "L3", scope, "poor_image_quality"), patient.films[number], site)
        for scope in ("fracture", "crop")
    )
    assert roughness(whole, "L3") > 2 * roughness(film, "L3")
    assert roughness(whole, "L2") > 2 * roughness(film, "L2")
    assert roughness(one, "L3") > 1.7 * roughness(film, "L3")
    assert roughness(one, "L5") == pytest.approx(roughness(film, "L5"), rel=0.05)


def test_a_badly_placed_vertebra_is_turned_out_of_the_plane(tiny: PhantomSettings) -> None:
    patient, number = first(tiny, "institution_1")
    turned = patient_skeleton(with_condition(patient, "L3", "crop", "poor_positioning"), patient.films[number])
    plain = patient_skeleton(patient, patient.films[number])
    assert abs(turned.bodies["L3"].axes[0, 2] - plain.bodies["L3"].axes[0, 2]) > 0.2
    np.testing.assert_array_equal(turned.bodies["L4"].axes, plain.bodies["L4"].axes)
