"""One film: from the plan of a patient to stored values.

What lives here: gathering what lies in the beam, and grey values as the detector stores them. What does not: shapes
(`bodies.py`, `trunk.py`, `tissue.py`, `metal.py`), physics and processing (`exposure.py`), DICOM (`dicom.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import Level
from olvf_assets.phantom.bodies import arch_cloud, body_cloud
from olvf_assets.phantom.exposure import (
    BONE_PER_MM,
    FOCAL_BLUR_MM,
    TISSUE_PER_MM,
    collimate,
    develop,
    expose,
    noise_deviation,
    opening,
    trabeculae,
    veil,
)
from olvf_assets.phantom.finish import archive, blades, curve
from olvf_assets.phantom.framing import frame_wide
from olvf_assets.phantom.looks import UPRIGHT, Look, Posture, Variant, draw_look, draw_posture, dressed
from olvf_assets.phantom.maps import blur, resize
from olvf_assets.phantom.metal import belongings, draw_lead_letter, implants, lost_wire
from olvf_assets.phantom.plan import FilmPlan, PatientPlan
from olvf_assets.phantom.projection import FINE, MIDDLE, Beam, Box, Name, body_boxes, frame_film, path_length
from olvf_assets.phantom.settings import SyntheticInstitution
from olvf_assets.phantom.signs import Signs
from olvf_assets.phantom.spine import Skeleton, build_skeleton
from olvf_assets.phantom.tissue import bowel_gas, clutter, gas_columns, lungs, soft_tissue
from olvf_assets.phantom.trunk import aortic_chalk, hips, pelvis, ribs, roughened

BITS = 14
TOP = (1 << BITS) - 1
SPINE_GREY, GREYS_PER_NEPER = 5200.0, 2600.0
# Iliac crests stand higher where the lowest lumbar body belongs to the sacrum, mm.
HIGHER_CREST: dict[Variant, float] = {"none": 0.0, "four_lumbar": 22.0, "transitional": 10.0, "six_lumbar": -14.0}


@dataclass(frozen=True)
class Film:
    """A finished film.

    Attributes:
        pixels: uint16 (height_px, width_px), 14 bit, bright = dense, or inverted when the plan says MONOCHROME1.
        window: centre and width that show the spine, in stored values.
        outlines: px box of each body's projected outline, levels in the field only.
        helpers: the same of T6 to T12 and S1, by which people count, where their bodies are wholly in the field.
        beam: the geometry.
    """

    pixels: np.ndarray
    window: tuple[int, int]
    outlines: dict[Level, Box]
    helpers: dict[str, Box]
    beam: Beam


@dataclass(frozen=True)
class Pose:
    """A film before it is exposed: its look, the hospital as it is for this film, the skeleton, the beam and boxes."""

    look: Look
    site: SyntheticInstitution
    skeleton: Skeleton
    beam: Beam
    outlines: dict[Level, Box]
    helpers: dict[str, Box]


def pose(patient: PatientPlan, plan: FilmPlan, site: SyntheticInstitution) -> Pose:
    """Return everything about one film but its pixels."""
    look, posture = draw_look(site, patient.seed, plan.view), draw_posture(site, patient.seed)
    site = dressed(site, patient.seed, plan.view)
    skeleton = patient_skeleton(patient, plan, posture, whole_sacrum=look.wide)
    if look.wide:
        beam = frame_wide(skeleton, site, plan.view, patient.seed, look)
    else:
        beam = frame_film(skeleton, site, plan.view, patient.seed)
    outlines = body_boxes(skeleton, beam, plan.levels)
    return Pose(look, site, skeleton, beam, outlines, helper_boxes(skeleton, beam, plan.levels))


def render_film(patient: PatientPlan, plan: FilmPlan, site: SyntheticInstitution) -> Film:
    """Return one film of one patient; the same plan gives the same pixels."""
    rng = np.random.default_rng(derive_seed(patient.seed, "exposure", plan.view))
    posed = pose(patient, plan, site)
    look, site, skeleton, beam = posed.look, posed.site, posed.skeleton, posed.beam
    path = attenuation(patient, plan, posed)
    quanta = site.quanta * float(np.exp(rng.normal(0, 0.25)))
    if spoiled(patient, plan, "fracture", "poor_image_quality"):
        quanta *= 0.08
    exposure = expose(path, site.scatter, site.body_width_mm)
    noise = noise_deviation(exposure, quanta, site)
    for level in spoiled(patient, plan, "crop", "poor_image_quality"):
        veil(exposure, noise, body_boxes(skeleton, beam, [level])[level])
    mask = blades(exposure.shape, beam, look.blades) if look.wide else opening(exposure.shape, beam)
    tone, noise = collimate(develop(exposure, site, look.sharp_px, look.even_px), noise, mask)
    return _store(tone, noise, patient, plan, posed)


def patient_skeleton(
    patient: PatientPlan, plan: FilmPlan, posture: Posture = UPRIGHT, *, whole_sacrum: bool = False
) -> Skeleton:
    """Return the patient's skeleton as posed for one film."""
    signs: dict[str, Signs] = {each.level: each.signs for each in patient.vertebrae}
    turned = frozenset(
        level for scope in ("fracture", "crop") for level in spoiled(patient, plan, scope, "poor_positioning")
    )
    return build_skeleton(
        signs, plan.view, patient.seed, age_years=patient.age_years, badly_placed=turned, posture=posture,
        variant=patient.variant, whole_sacrum=whole_sacrum,
    )  # fmt: skip


def spoiled(patient: PatientPlan, plan: FilmPlan, scope: str, condition: str) -> list[Level]:
    """Return the levels of one film that a condition of that scope makes unusable, inside the field."""
    return [
        each.level for each in patient.conditions
        if each.scope == scope and each.condition == condition and each.view in (None, plan.view)
        and each.level in plan.levels
    ]  # fmt: skip


def attenuation(patient: PatientPlan, plan: FilmPlan, posed: Pose) -> np.ndarray:
    """Return float32 map at `FINE` of the line integral of attenuation, nepers."""
    look, site, skeleton, beam = posed.look, posed.site, posed.skeleton, posed.beam
    rng = np.random.default_rng(derive_seed(patient.seed, "bone"))
    porous = float(np.clip(rng.normal(1.0 - 0.006 * (patient.age_years - 75), 0.14), 0.6, 1.4))
    compact, spongy = [], []
    for body in skeleton.bodies.values():
        height_px = beam.project(body.centre[:, None])[1][0]
        if not -60 / beam.pixel_mm < height_px < beam.height_px + 60 / beam.pixel_mm:
            continue
        upper, lower, wall, *band, inner = body_cloud(body, porous)
        for (points, weight), factor in ((upper, look.plates), (lower, look.plates), (wall, look.walls)):
            compact.append((body.place(points), weight * np.float32(factor)))
        compact += [(body.place(points), weight) for points, weight in band]
        spongy.append((body.place(inner[0]), inner[1] * np.float32(look.spongiosa)))
        if not body.name.startswith("S"):
            shell, inside = arch_cloud(body, porous * look.arches)
            compact.append((roughened(body.place(shell[0]), look.rough_mm, body.seed), shell[1]))
            spongy.append((roughened(body.place(inside[0]), look.rough_mm, body.seed), inside[1]))
    compact += implants(skeleton, spoiled(patient, plan, "fracture", "foreign_substance"), patient.seed)
    lost = spoiled(patient, plan, "crop", "foreign_substance")
    compact += [lost_wire(skeleton, level, derive_seed(patient.seed, plan.view)) for level in lost]
    compact += aortic_chalk(skeleton, patient.seed)
    spongy += ribs(skeleton, patient.seed, porous * look.ribs)
    coarse = pelvis(skeleton, patient.seed, porous * look.pelvis, HIGHER_CREST[patient.variant])
    if look.wide:
        coarse += hips(skeleton, patient.seed, porous * look.pelvis)
        compact += belongings(skeleton, look.metal, patient.seed)
    coarse = [
        (roughened(points, 2.5 * look.rough_mm, derive_seed(patient.seed, "rough", number)), weight)
        for number, (points, weight) in enumerate(coarse)
    ]
    fine = path_length(compact, beam, FINE)
    middle = blur(path_length(spongy, beam, MIDDLE), 1.0)
    middle += blur(path_length(coarse, beam, MIDDLE), 1.8)
    soft = soft_tissue(skeleton, beam, site, patient.seed, look)
    air = lungs(skeleton, beam, plan.view, patient.seed, look) * 0.75
    air += bowel_gas(skeleton, beam, site.gas * look.bubbles, plan.view, patient.seed)
    if look.columns:
        air = np.maximum(air, gas_columns(skeleton, beam, look.columns, plan.view, patient.seed))
    trunk = resize(soft, air.shape)
    air -= clutter(beam, derive_seed(patient.seed, plan.view)) * np.minimum(1, trunk / 200)
    air = np.minimum(air, 0.8 * trunk)
    total = resize(middle * BONE_PER_MM - blur(air, 1.7) * TISSUE_PER_MM, fine.shape)
    total += resize(soft, fine.shape) * np.float32(TISSUE_PER_MM)
    total += resize(middle, fine.shape) * trabeculae(fine.shape, patient.seed)
    spread_mm = float(np.hypot(FOCAL_BLUR_MM, site.detectors[plan.detector].blur_mm))
    total += blur(fine, spread_mm / (beam.pixel_mm * FINE)) * np.float32(BONE_PER_MM)
    draw_lead_letter(total, beam, derive_seed(patient.seed, plan.view), 0.15 / beam.pixel_mm if look.wide else 1.0)
    return np.maximum(total, 0)


def noise_source(seed: int) -> np.random.Generator:
    """Return the generator of a film's noise: SFC64, the fastest of NumPy's, for one number per pixel."""
    return np.random.Generator(np.random.SFC64(seed))


def _store(tone: np.ndarray, noise: np.ndarray, patient: PatientPlan, plan: FilmPlan, posed: Pose) -> Film:
    """Return the film with noise, in 14 bit, with the window that shows the spine, or as an archive keeps it."""
    look, beam, outlines = posed.look, posed.beam, posed.outlines
    detector = posed.site.detectors[plan.detector]
    rng = np.random.default_rng(derive_seed(patient.seed, "noise", plan.view))
    x0, x1 = min(box[0] for box in outlines.values()), max(box[2] for box in outlines.values())
    y0, y1 = min(box[1] for box in outlines.values()), max(box[3] for box in outlines.values())
    beside = 30.0 / beam.pixel_mm
    rows = slice(int(y0 / FINE), int(y1 / FINE), 3)
    columns = slice(max(0, int((x0 - beside) / FINE)), int((x1 + beside) / FINE), 3)
    spine = tone[rows, columns]
    low, middle, high = np.percentile(spine[spine > -3], [2, 50, 99.5])
    base = float(SPINE_GREY + rng.normal(0, 400) - GREYS_PER_NEPER * middle)
    grain: Any = noise_source(derive_seed(patient.seed, "grain", plan.view)).standard_normal(
        (beam.height_px, beam.width_px), dtype=np.float32
    )
    sigma_px = detector.noise_blur_mm / beam.pixel_mm
    if sigma_px > 0.2:
        grain = cv2.GaussianBlur(grain, (3, 3), sigma_px)
    grain *= resize(noise * np.float32(GREYS_PER_NEPER), grain.shape)
    grain += resize(tone * np.float32(GREYS_PER_NEPER) + np.float32(base), grain.shape, cubic=True)
    if look.wide:
        low, high = low - look.low * (high - low), high + look.high * (high - low)
        grain = (grain - (base + GREYS_PER_NEPER * low)) * np.float32(1 / (GREYS_PER_NEPER * (high - low)))
        grain = curve(grain, look)
        archive(grain, look, rng)
        grain *= np.float32(TOP)
        low, high = (1100 - base) / GREYS_PER_NEPER, (TOP - 500 - base) / GREYS_PER_NEPER  # the window shows all
    pixels = np.clip(grain, 0, TOP, out=grain).astype(np.uint16)
    bottom, top = base + GREYS_PER_NEPER * low - 1100, base + GREYS_PER_NEPER * high + 500
    window = (round((bottom + top) / 2), max(1, round(top - bottom)))
    if plan.monochrome1:
        pixels, window = np.uint16(TOP) - pixels, (TOP - window[0], window[1])
    return Film(pixels, window, outlines, posed.helpers, beam)


def helper_boxes(skeleton: Skeleton, beam: Beam, levels: Sequence[Level]) -> dict[str, Box]:
    """Return the boxes of T6 to T12 that lie in the field, and of S1 where L5 is shown, without any margin."""
    wanted = [name for name in skeleton.bodies if name.startswith("T")] + (["S1"] if "L5" in levels else [])
    x0, y0, x1, y1 = beam.field
    least, most = (max(0.0, x0), max(0.0, y0)), (min(x1, float(beam.width_px)), min(y1, float(beam.height_px)))
    return {
        name: box
        for name, box in body_boxes(skeleton, beam, wanted).items()
        if box[0] >= least[0] and box[1] >= least[1] and box[2] <= most[0] and box[3] <= most[1]
    }


def annotate(outlines: Mapping[Name, Box], beam: Beam, seed: int) -> dict[Name, Box]:
    """Return boxes as a person draws them: a small margin, an unsteady hand, never past the field. Px."""
    rng = np.random.default_rng(seed)
    size = (beam.width_px, beam.height_px)
    least, most = np.maximum(beam.field[:2], 0), np.minimum(beam.field[2:], size)
    boxes: dict[Name, Box] = {}
    for level, (x0, y0, x1, y1) in outlines.items():
        wide, tall = x1 - x0, y1 - y0
        jitter = rng.normal(0, 0.012, 4) + np.array([-0.03, -0.035, 0.03, 0.035])
        box = np.array([x0, y0, x1, y1]) + jitter * np.array([wide, tall, wide, tall])
        box = np.round(np.clip(box, np.tile(least, 2), np.tile(most, 2)))
        boxes[level] = (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
    return boxes
