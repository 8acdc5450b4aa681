"""Films that are no lateral spine."""

import numpy as np
import pytest

from olvf_assets.phantom.other_films import OTHER_FILMS, FrontalBeam, OtherFilm, other_film
from olvf_assets.phantom.plan import PatientPlan, plan_hospital
from olvf_assets.phantom.settings import PhantomSettings, SyntheticInstitution
from olvf_assets_tests.phantom.conftest import make_site


@pytest.fixture(scope="module")
def wide() -> tuple[SyntheticInstitution, PatientPlan]:
    site = make_site(look="wide")
    patients = plan_hospital("institution_1", PhantomSettings(institutions={"institution_1": site}), 3)
    return site, patients[0]


@pytest.mark.parametrize("kind", OTHER_FILMS)
def test_each_kind_is_a_picture_of_its_own_and_the_same_again(
    wide: tuple[SyntheticInstitution, PatientPlan], kind: OtherFilm
) -> None:
    site, patient = wide
    film, again = (other_film(patient, patient.films[0], site, kind) for _ in range(2))
    np.testing.assert_array_equal(film.pixels, again.pixels)
    assert film.pixels.dtype == np.uint16
    assert film.pixels.max() < 1 << 14
    assert film.pixels.std() > 50
    others = [other_film(patient, patient.films[0], site, each) for each in OTHER_FILMS if each != kind]
    assert all(film.pixels.shape != each.pixels.shape for each in others)


def test_seen_from_the_front_left_and_right_run_along_the_rows() -> None:
    beam = FrontalBeam(1000.0, 140.0, (0.0, 0.0), 1, (100.0, 100.0), 1.0, 200, 200, (0.0, 0.0, 200.0, 200.0))
    in_front, to_the_left = np.array([[50.0], [0.0], [0.0]]), np.array([[0.0], [0.0], [50.0]])
    x, y, grown = beam.project(in_front)
    assert (x[0], y[0]) == (100.0, 100.0)
    assert grown[0] < beam.magnification  # nearer to the detector
    assert beam.project(to_the_left)[0][0] == pytest.approx(100 + 50 * beam.magnification)


def test_a_frontal_trunk_is_nearly_its_own_mirror_image_and_a_hip_is_not() -> None:
    site = make_site(look="wide", pixel_mm=1.2, gas=0.1)
    patients = plan_hospital("institution_1", PhantomSettings(institutions={"institution_1": site}), 3)

    def symmetry(kind: OtherFilm) -> float:
        found = []
        for patient in patients:
            pixels = other_film(patient, patient.films[0], site, kind).pixels.astype(float)
            found.append(np.corrcoef(pixels.ravel(), pixels[:, ::-1].ravel())[0, 1])
        return float(np.median(found))

    assert symmetry("lumbar") > symmetry("hip") + 0.1
