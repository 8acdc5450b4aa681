import dataclasses
import itertools

import numpy as np
import pytest

from olvf_assets.foundation.vocabulary import LEVELS
from olvf_assets.phantom.bodies import arch_cloud, body_cloud, lower, outline, quasi_random, upper
from olvf_assets.phantom.maps import choose, power
from olvf_assets.phantom.projection import FINE, Beam, body_boxes, frame_film, path_length
from olvf_assets.phantom.settings import SyntheticInstitution
from olvf_assets.phantom.signs import Shape, Signs, draw_signs
from olvf_assets.phantom.spine import NO_SIGNS, SPACING, Body, build_skeleton

SITE = SyntheticInstitution()
BEAM = Beam(1000.0, 200.0, (0.0, 0.0), 1, (500.0, 500.0), 0.2, 1000, 1000, (0.0, 0.0, 1000.0, 1000.0))


def heights(body: Body) -> np.ndarray:
    """Back, middle and front height in the midplane, mm."""
    u = np.array([-0.86, 0.0, 1.0])
    return lower(body, u, 0 * u) - upper(body, u, 0 * u)


@pytest.mark.parametrize(("shape", "part"), [("wedge", 2), ("biconcave", 1), ("crush", 2)])
@pytest.mark.parametrize("loss", [0.15, 0.30, 0.55])
def test_the_genant_loss_is_found_again_in_the_outline(shape: Shape, part: int, loss: float) -> None:
    sound = build_skeleton({}, "neutral", 4).bodies["L3"]
    sound = dataclasses.replace(sound, signs=NO_SIGNS)
    broken = dataclasses.replace(sound, signs=dataclasses.replace(NO_SIGNS, shape=shape, loss=loss))
    lost = 1 - heights(broken) / heights(sound)
    assert lost[part] == pytest.approx(loss, abs=0.05)
    assert lost.argmax() == part


def test_the_loss_is_also_found_in_the_projected_outline() -> None:
    sound = build_skeleton({"L3": NO_SIGNS}, "neutral", 4)
    crushed = Signs("crush", 0.5, 0.0, 0.0, 0.0, 0.0, 0.0)
    bodies = {"L3": dataclasses.replace(sound.bodies["L3"], signs=crushed)}
    fallen = dataclasses.replace(sound, bodies={**sound.bodies, **bodies})
    (_, top, _, bottom), (_, low_top, _, low_bottom) = (
        body_boxes(each, BEAM_OF_PATIENT, ["L3"])["L3"] for each in (sound, fallen)
    )
    assert 1 - (low_bottom - low_top) / (bottom - top) == pytest.approx(0.5, abs=0.12)


BEAM_OF_PATIENT = frame_film(build_skeleton({}, "neutral", 4), SITE, "neutral", 4)


def test_centres_are_spaced_as_in_living_people() -> None:
    signs = dict.fromkeys(LEVELS, NO_SIGNS)
    gaps = {level: [] for level in LEVELS[:-1]}
    for seed in range(80):
        bodies = build_skeleton(signs, "neutral", seed, age_years=60).bodies
        for level, below in itertools.pairwise(LEVELS):
            gaps[level].append(float(np.linalg.norm(bodies[level].centre - bodies[below].centre)))
    expected = {"L1": (34.6, 2.5), "L2": (35.8, 2.5), "L3": (36.4, 2.8), "L4": (36.3, 2.9)}
    for level, (mean, deviation) in expected.items():
        assert np.mean(gaps[level]) == pytest.approx(mean, abs=1.2)
        assert np.std(gaps[level]) == pytest.approx(deviation, abs=1.2)
    assert set(expected) < set(SPACING)


def test_flexion_straightens_and_extension_bends_the_same_spine() -> None:
    def lordosis(view: str) -> float:
        bodies = build_skeleton({}, view, 11).bodies  # type: ignore[arg-type]
        return float(np.degrees(np.arccos(np.clip(bodies["L1"].axes[0] @ bodies["S1"].axes[0], -1, 1))))

    assert lordosis("flexion") < lordosis("neutral") - 6 < lordosis("extension") - 6


def test_a_patient_keeps_their_bones_in_every_view() -> None:
    neutral, flexion = (build_skeleton({}, view, 11).bodies["L2"] for view in ("neutral", "flexion"))
    assert (neutral.depth, neutral.front, neutral.seed) == (flexion.depth, flexion.front, flexion.seed)


def test_a_point_nearer_to_the_source_is_magnified_more() -> None:
    points = np.array([[10.0, 10.0], [0.0, 0.0], [0.0, -100.0]], np.float32)
    x, y, grown = BEAM.project(points)
    np.testing.assert_allclose(grown, [1000 / 800, 1000 / 700], rtol=1e-6)
    np.testing.assert_allclose(x, [500 + 10 * 1.25 / 0.2, 500 + 10 * (1000 / 700) / 0.2], rtol=1e-6)
    np.testing.assert_allclose(y, 500)


def test_a_slab_of_known_thickness_has_that_path_length() -> None:
    rng = np.random.default_rng(0)
    cube = (rng.random((3, 400_000)) * np.array([[40.0], [40.0], [12.0]]) - np.array([[20.0], [20.0], [6.0]])).astype(
        "f4"
    )
    path = path_length([(cube, np.full(400_000, 40 * 40 * 12 / 400_000, np.float32))], BEAM, 4)
    middle = path[115:135, 115:135]
    assert middle.mean() == pytest.approx(12.0, rel=0.02)
    assert path[:50].sum() == 0


def test_fast_powers_are_powers_also_of_zero_and_stay_in_single_precision() -> None:
    base = np.linspace(0, 9, 1000, dtype=np.float32)
    for exponent in (0.4, 1.25, 2.5):
        np.testing.assert_allclose(power(base, exponent), base.astype(float) ** exponent, rtol=2e-6, atol=1e-10)
        assert power(base, exponent).dtype == np.float32
    np.testing.assert_array_equal(choose(base > 4, 0.5, -1.0), np.where(base > 4, 0.5, -1.0).astype(np.float32))


def test_bones_are_drawn_in_single_precision() -> None:
    skeleton = build_skeleton({"L3": Signs("wedge", 0.2, 1.0, 1.0, 1.0, 0.5, 2.0)}, "neutral", 4)
    for name in ("L3", "T11", "S1"):
        clouds = body_cloud(skeleton.bodies[name], 1.0) + arch_cloud(skeleton.bodies[name], 1.0)
        assert {part.dtype for cloud in clouds for part in cloud} == {np.dtype(np.float32)}


def test_quasi_random_points_fill_the_square_evenly() -> None:
    points = quasi_random(4096, 2)
    counts, _, _ = np.histogram2d(points[0], points[1], bins=16)
    assert counts.min() >= 12
    assert counts.max() <= 20


def test_every_lumbar_vertebra_lies_inside_the_field_in_order() -> None:
    for seed in range(60):
        for view in ("neutral", "flexion", "extension"):
            skeleton = build_skeleton({}, view, seed)  # type: ignore[arg-type]
            beam = frame_film(skeleton, SITE, view, seed)  # type: ignore[arg-type]
            boxes = list(body_boxes(skeleton, beam, LEVELS).values())
            tops = [box[1] for box in boxes]
            assert tops == sorted(tops)
            assert min(tops) > max(0, beam.field[1])
            assert max(box[3] for box in boxes) < min(beam.height_px, beam.field[3])
            assert min(box[0] for box in boxes) > max(0, beam.field[0])
            assert max(box[2] for box in boxes) < min(beam.width_px, beam.field[2])


def test_a_thoracic_film_ends_below_the_third_lumbar_vertebra() -> None:
    for seed in range(40):
        skeleton = build_skeleton({}, "thoracic", seed)
        beam = frame_film(skeleton, SITE, "thoracic", seed)
        boxes = body_boxes(skeleton, beam, LEVELS)
        bottom = min(beam.field[3], beam.height_px)
        assert boxes["L1"][3] < boxes["L2"][3] < bottom
        assert (min(boxes["L3"][3], bottom) - boxes["L3"][1]) / (boxes["L3"][3] - boxes["L3"][1]) > 0.85
        assert boxes["L4"][3] > bottom + 0.6 * (boxes["L4"][3] - boxes["L4"][1])


def test_place_in_the_frame_does_not_tell_the_level() -> None:
    middles: dict[str, list[float]] = {level: [] for level in LEVELS}
    facing = set()
    for seed in range(60):
        skeleton = build_skeleton({}, "neutral", seed)
        beam = frame_film(skeleton, SITE, "neutral", seed)
        facing.add(beam.side)
        for level, box in body_boxes(skeleton, beam, LEVELS).items():
            middles[level].append((box[1] + box[3]) / 2)
    assert facing == {-1, 1}
    for upper_level, lower_level in itertools.pairwise(LEVELS):
        assert max(middles[upper_level]) > min(middles[lower_level])


def test_marks_of_fresh_and_old_fractures_show_in_the_projected_bone() -> None:
    body = dataclasses.replace(build_skeleton({}, "neutral", 4).bodies["L3"], signs=NO_SIGNS, centre=np.zeros(3))

    def bone(**marks: float) -> np.ndarray:
        signs = dataclasses.replace(NO_SIGNS, **marks)
        return path_length(body_cloud(dataclasses.replace(body, signs=signs), 1.0), BEAM, FINE)

    plain, band, hard = bone(), bone(band=1.0), bone(sclerosis=1.0)
    assert band.sum() > 1.02 * plain.sum()
    rows = np.flatnonzero(plain.sum(axis=1) > 0)
    upper_half = slice(rows[0], (rows[0] + rows[-1]) // 2)
    assert (band - plain)[upper_half].sum() > 0.9 * (band - plain).sum()
    assert hard.max() > 1.3 * plain.max()


def test_spurs_and_a_buckled_cortex_reach_forward() -> None:
    body = dataclasses.replace(build_skeleton({}, "neutral", 4).bodies["L3"], signs=NO_SIGNS)
    plain = outline(body)[0].max()
    assert (
        outline(dataclasses.replace(body, signs=dataclasses.replace(NO_SIGNS, osteophyte_mm=4.0)))[0].max() > plain + 3
    )
    assert outline(dataclasses.replace(body, signs=dataclasses.replace(NO_SIGNS, step_mm=2.0)))[0].max() > plain + 0.15


def draws(label: str, *, strength: float = 1.0, overlap: float = 1.0, count: int = 600) -> list[Signs]:
    return [
        draw_signs(
            np.random.default_rng(number),
            label,
            severe=False,
            strength=strength,
            overlap=overlap,
            osteophyte_share=0.3,  # type: ignore[arg-type]
        )
        for number in range(count)
    ]


def test_classes_overlap_in_height_and_in_every_single_mark() -> None:
    normal, old, fresh = (draws(label) for label in ("normal", "old", "fresh"))
    for mark in ("loss", "band", "sclerosis", "osteophyte_mm"):
        values = [np.array([getattr(each, mark) for each in drawn]) for drawn in (normal, old, fresh)]
        for one in range(3):
            for two in range(one):
                both = max(values[one].min(), values[two].min()), min(values[one].max(), values[two].max())
                assert both[0] < both[1]
    losses = [np.mean([each.loss for each in drawn]) for drawn in (normal, fresh, old)]
    assert losses == sorted(losses)


def test_less_strength_and_more_overlap_bring_the_classes_together() -> None:
    def apart(**knobs: float) -> float:
        band = [np.array([each.band for each in draws(label, **knobs)]) for label in ("old", "fresh")]  # type: ignore[arg-type]
        return float((band[1].mean() - band[0].mean()) / np.sqrt((band[0].var() + band[1].var()) / 2))

    assert apart(strength=0.5) < apart() < apart(strength=1.5)
    assert apart(overlap=1.8) < apart() < apart(overlap=0.5)
