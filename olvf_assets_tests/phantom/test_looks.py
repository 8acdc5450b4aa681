"""Films of a wide look: what must hold whatever is drawn."""

import dataclasses
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from olvf_assets.foundation.vocabulary import LEVELS, View
from olvf_assets.phantom.dicom import make_dataset
from olvf_assets.phantom.film import Pose, pose, render_film
from olvf_assets.phantom.finish import archive, blades, curve
from olvf_assets.phantom.hospital import TRUTH_FILE, write_hospital
from olvf_assets.phantom.looks import BODY, BONES, MACHINE, PICTURE, PLAIN, Look, draw_look, draw_posture, dressed
from olvf_assets.phantom.plan import PatientPlan, plan_hospital
from olvf_assets.phantom.projection import FINE, body_boxes
from olvf_assets.phantom.settings import LookName, PhantomSettings, SyntheticInstitution
from olvf_assets.phantom.spine import build_skeleton
from olvf_assets.phantom.trunk import roughened
from olvf_assets_tests.phantom.conftest import make_site

FROM_TOP = [f"T{number}" for number in range(6, 13)] + [*LEVELS, "S1"]


def plan_of(look: LookName, seed: int = 3, **changes: object) -> tuple[SyntheticInstitution, tuple[PatientPlan, ...]]:
    site = make_site(look=look, **changes)
    return site, plan_hospital("institution_1", PhantomSettings(institutions={"institution_1": site}), seed)


def poses(look: LookName, seeds: range) -> list[tuple[View, Pose]]:
    found = []
    for seed in seeds:
        site, patients = plan_of(look, seed, variant_share=0.3)
        found += [(plan.view, pose(patient, plan, site)) for patient in patients for plan in patient.films]
    return found


def test_a_plain_hospital_is_left_as_it_is_set() -> None:
    site, (patient, *_) = plan_of("plain")
    assert draw_look(site, patient.seed, "neutral") is PLAIN
    assert dressed(site, patient.seed, "neutral") is site
    assert patient.variant == "none"


@pytest.mark.parametrize("look", ["wide", "withheld"])
def test_every_film_holds_the_lumbar_spine_and_nothing_above_t6(look: LookName) -> None:
    highest = []
    for view, posed in poses(look, range(12)):
        x0, y0, x1, y1 = posed.beam.field
        assert list(posed.outlines) == list(LEVELS if view != "thoracic" else LEVELS[:3])
        for box in posed.outlines.values():
            assert max(x0, 0) - 1 <= box[0] < box[2] <= min(x1, posed.beam.width_px) + 1
            assert max(y0, 0) - 1 <= box[1] < box[3] <= min(y1, posed.beam.height_px) + 1
        t6 = body_boxes(posed.skeleton, posed.beam, ["T6"])["T6"]
        assert t6[1] <= y0 + 0.25 * (t6[3] - t6[1])
        highest.append(next(iter(posed.helpers), "L1"))
    assert {"T6", "T7", "T8", "T9", "T10", "T11", "T12"} & set(highest) >= {"T8", "T9", "T10", "T11", "T12"}


def test_helpers_lie_wholly_in_the_field_and_run_from_head_to_foot() -> None:
    with_sacrum = 0
    for view, posed in poses("wide", range(12)):
        boxes = {**posed.helpers, **posed.outlines}
        in_order = [boxes[name] for name in FROM_TOP if name in boxes]
        assert all(above[1] + above[3] < below[1] + below[3] for above, below in pairwise(in_order))
        assert all(box[0] >= 0 and box[1] >= 0 for box in posed.helpers.values())
        assert all(box[2] <= posed.beam.width_px and box[3] <= posed.beam.height_px for box in posed.helpers.values())
        thoracic = [name for name in FROM_TOP[:7] if name in posed.helpers]
        assert thoracic == FROM_TOP[7 - len(thoracic) : 7]  # none between the highest one and L1 is missing
        assert view != "thoracic" or "S1" not in posed.helpers
        with_sacrum += "S1" in posed.helpers
    assert with_sacrum > 40


def test_the_same_seed_gives_the_same_wide_film_and_each_film_is_another() -> None:
    site, patients = plan_of("wide")
    first, second = patients[0], patients[1]
    film, again = (render_film(first, first.films[0], site) for _ in range(2))
    other = render_film(second, second.films[0], site)
    np.testing.assert_array_equal(film.pixels, again.pixels)
    assert film.pixels.dtype == np.uint16
    assert film.pixels.max() < 1 << 14
    assert film.pixels.shape != other.pixels.shape
    assert film.beam.sid_mm != other.beam.sid_mm


def test_the_header_of_a_wide_film_gives_its_own_distances() -> None:
    site, (patient, *_) = plan_of("wide")
    film = render_film(patient, patient.films[0], site)
    header = make_dataset(film, patient, patient.films[0], site)
    assert (header.Rows, header.Columns) == film.pixels.shape
    assert header.DistanceSourceToDetector == pytest.approx(film.beam.sid_mm, abs=0.05)
    assert header.DistanceSourceToDetector != site.sid_mm


def test_the_withheld_look_goes_beyond_the_wide_one_in_every_group() -> None:
    for ranges in (BONES, BODY, PICTURE, MACHINE):
        assert ranges["wide"].keys() == ranges["withheld"].keys()
        assert any(
            wide[0] > withheld[0] or wide[1] < withheld[1]
            for wide, withheld in zip(ranges["wide"].values(), ranges["withheld"].values(), strict=True)
        )


def test_a_wide_hospital_has_the_patients_labels_and_films_of_a_plain_one() -> None:
    _, plain = plan_of("plain")
    _, wide = plan_of("wide", variant_share=0.5)
    assert {each.variant for each in wide} == {"none", "transitional", "six_lumbar", "four_lumbar"}
    assert plain == tuple(dataclasses.replace(each, variant="none") for each in wide)


@pytest.mark.parametrize(("patients", "variants"), [(100, 4), (25, 1), (10, 0)])
def test_four_in_a_hundred_patients_have_a_variant(patients: int, variants: int) -> None:
    numbers = {"patients_normal": patients, "patients_fresh": 0, "patients_old": 0}
    _, plan = plan_of("wide", **numbers, excluded_fresh={}, excluded_old={})
    assert Counter(each.variant != "none" for each in plan)[True] == variants


def test_variants_change_the_lumbosacral_junction_and_nothing_above_it() -> None:
    def gap(variant: str, upper: str, lower: str) -> float:
        bodies = build_skeleton({}, "neutral", 8, variant=variant).bodies  # type: ignore[arg-type]
        return float(np.linalg.norm(bodies[upper].centre - bodies[lower].centre))

    assert gap("four_lumbar", "L5", "S1") < gap("transitional", "L5", "S1") < gap("none", "L5", "S1") - 2
    assert gap("six_lumbar", "S1", "S2") > gap("none", "S1", "S2") + 5
    for variant in ("four_lumbar", "six_lumbar", "transitional"):
        assert gap(variant, "L1", "L2") == pytest.approx(gap("none", "L1", "L2"))


def test_a_hospitals_posture_is_the_same_on_all_films_of_a_patient_and_another_of_the_next() -> None:
    site, (first, second, *_) = plan_of("wide")
    assert draw_posture(site, first.seed) == draw_posture(site, first.seed) != draw_posture(site, second.seed)
    bones = [draw_look(site, first.seed, view).plates for view in ("neutral", "flexion")]
    cuts = [draw_look(site, first.seed, view).height_mm for view in ("neutral", "flexion")]
    assert bones[0] == bones[1]
    assert cuts[0] != cuts[1]


@pytest.mark.parametrize(("gamma", "shoulder"), [(0.6, 0.0), (1.0, 1.0), (2.1, 1.6), (1.6, 0.5)])
def test_the_grey_curve_keeps_order_black_and_white(gamma: float, shoulder: float) -> None:
    grey = curve(np.linspace(-0.5, 1.5, 401, dtype=np.float32), Look(gamma=gamma, shoulder=shoulder))
    assert (np.diff(grey) >= 0).all()
    assert (grey.min(), grey.max()) == (0.0, pytest.approx(1.0))


def test_turned_blades_cut_corners_and_upright_ones_do_not() -> None:
    site, (patient, *_) = plan_of("wide")
    beam = dataclasses.replace(pose(patient, patient.films[0], site).beam, field=(40.0, 40.0, 240.0, 340.0))
    shape = (beam.height_px // FINE, beam.width_px // FINE)
    upright, turned = (blades(shape, beam, degrees) for degrees in (0.0, 8.0))
    assert upright[95, 70] == turned[95, 70] == 1.0
    assert upright[24, 117] > 0.9
    assert turned[24, 117] < 0.3
    assert upright.sum() == pytest.approx(turned.sum(), rel=0.02)


def test_frames_letters_seams_and_grids_are_drawn_and_nothing_without_them() -> None:
    def drawn(**asked: float) -> np.ndarray:
        grey = np.full((400, 300), 0.5, np.float32)
        archive(grey, Look(**asked), np.random.default_rng(1))  # type: ignore[arg-type]
        return grey

    assert (drawn() == 0.5).all()
    assert (drawn(border=0.02) > 0.8).sum() >= 6 * 300
    assert 20 < (drawn(letters=2) > 0.75).sum() < 6000
    assert (drawn(grid=0.05).std(axis=None)) == pytest.approx(0.05 / np.sqrt(2), rel=0.1)
    below, above = drawn(seam=True)[-1, 0], drawn(seam=True)[0, 0]
    assert above == 0.5
    assert below != 0.5


def assert_boxes_of_all_are_read(folder: Path, expected: Pose) -> None:
    """Check that the wide hospital's box files name levels 0 to 4 as every other, and the vertebrae beside them."""
    names = (folder / "boxes/classes.txt").read_text().split()
    drawn = [names[int(line.split()[0])] for line in sorted(folder.glob("boxes/PH*.txt"))[0].read_text().splitlines()]
    assert names[:5] == list(LEVELS)
    assert sorted(drawn) == sorted([*expected.outlines, *expected.helpers])


def test_the_truth_beyond_the_five_levels_is_written_beside_the_sheets_and_hidden(tmp_path: Path) -> None:
    site = make_site(look="wide", variant_share=1.0, patients_normal=0, patients_fresh=1, patients_old=0,
                     excluded_fresh={}, excluded_old={}, pixel_mm=1.2)  # fmt: skip
    settings = PhantomSettings(institutions={"institution_1": site})
    write_hospital(tmp_path / "institution_1", "institution_1", settings, 3, workers=1)
    assert TRUTH_FILE.startswith(".")
    truth = json.loads((tmp_path / "institution_1" / TRUTH_FILE).read_text())
    (patient,) = plan_hospital("institution_1", settings, 3)
    assert set(truth) == {film.stem for film in patient.films}
    assert {(film["projection"], film["variant"]) for film in truth.values()} == {("lateral", patient.variant)}
    expected = pose(patient, patient.films[0], site)
    assert_boxes_of_all_are_read(tmp_path / "institution_1", expected)
    own = truth[patient.films[0].stem]["boxes"]
    assert set(own) == set(expected.helpers)
    for name, box in expected.helpers.items():
        assert own[name][0] * expected.beam.width_px == pytest.approx(box[0], abs=0.01)
        assert own[name][3] * expected.beam.height_px == pytest.approx(box[3], abs=0.01)


def test_points_are_moved_in_wide_looks_only_and_by_about_so_far() -> None:
    points = np.zeros((3, 4000), np.float32)
    assert roughened(points, 0.0, 5) is points
    moved = roughened(points, 1.5, 5)
    assert moved.std() == pytest.approx(1.5, rel=0.03)
    np.testing.assert_array_equal(moved, roughened(points, 1.5, 5))
    assert (moved != roughened(points, 1.5, 6)).all()
    assert PLAIN.rough_mm == 0.0
    wide, patients = plan_of("wide")
    assert all(0.25 <= draw_look(wide, patient.seed, "neutral").rough_mm <= 0.9 for patient in patients)


@pytest.mark.parametrize(
    ("stem", "mean", "deviation", "roughness"),
    [("PH1-0001-1", 4520.762, 729.350, 311.078), ("PH1-0002-1", 5469.539, 925.806, 250.844)],
)
def test_plain_films_are_those_of_every_version_before(
    stem: str, mean: float, deviation: float, roughness: float
) -> None:
    """Not their very bytes: processors differ in the last bit. A moved point would show in the third digit."""
    site = make_site()
    patients = plan_hospital("institution_1", PhantomSettings(institutions={"institution_1": site}), 7)
    ((patient, plan),) = [(each, film) for each in patients for film in each.films if film.stem == stem]
    pixels = render_film(patient, plan, site).pixels.astype(float)
    measured = (pixels.mean(), pixels.std(), np.abs(np.diff(pixels, axis=0)).mean())
    assert measured == pytest.approx((mean, deviation, roughness), rel=2e-5)
