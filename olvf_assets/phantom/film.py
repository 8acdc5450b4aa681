"""One film: from the plan of a patient to stored values.

What lives here: gathering what lies in the beam, and grey values as the detector stores them. What does not: shapes
(`bodies.py`, `trunk.py`, `tissue.py`, `metal.py`), physics and processing (`exposure.py`), DICOM (`dicom.py`).
"""

from collections.abc import Mapping
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
    trabeculae,
    veil,
)
from olvf_assets.phantom.maps import blur, resize
from olvf_assets.phantom.metal import draw_lead_letter, implants, lost_wire
from olvf_assets.phantom.plan import FilmPlan, PatientPlan
from olvf_assets.phantom.projection import FINE, MIDDLE, Beam, Box, body_boxes, frame_film, path_length
from olvf_assets.phantom.settings import Detector, SyntheticInstitution
from olvf_assets.phantom.signs import Signs
from olvf_assets.phantom.spine import Skeleton, build_skeleton
from olvf_assets.phantom.tissue import bowel_gas, clutter, lungs, soft_tissue
from olvf_assets.phantom.trunk import aortic_chalk, pelvis, ribs

BITS = 14
TOP = (1 << BITS) - 1
SPINE_GREY, GREYS_PER_NEPER = 5200.0, 2600.0


@dataclass(frozen=True)
class Film:
    """A finished film.

    Attributes:
        pixels: uint16 (height_px, width_px), 14 bit, bright = dense, or inverted when the plan says MONOCHROME1.
        window: centre and width that show the spine, in stored values.
        outlines: px box of each body's projected outline, levels in the field only.
        beam: the geometry.
    """

    pixels: np.ndarray
    window: tuple[int, int]
    outlines: dict[Level, Box]
    beam: Beam


def render_film(patient: PatientPlan, plan: FilmPlan, site: SyntheticInstitution) -> Film:
    """Return one film of one patient; the same plan gives the same pixels."""
    rng = np.random.default_rng(derive_seed(patient.seed, "exposure", plan.view))
    skeleton = patient_skeleton(patient, plan)
    beam = frame_film(skeleton, site, plan.view, patient.seed)
    path = attenuation(patient, plan, site, skeleton, beam)
    quanta = site.quanta * float(np.exp(rng.normal(0, 0.25)))
    if spoiled(patient, plan, "fracture", "poor_image_quality"):
        quanta *= 0.08
    exposure = expose(path, site.scatter, site.body_width_mm)
    noise = noise_deviation(exposure, quanta, site)
    for level in spoiled(patient, plan, "crop", "poor_image_quality"):
        veil(exposure, noise, body_boxes(skeleton, beam, [level])[level])
    tone, noise = collimate(develop(exposure, site), noise, beam)
    outlines = body_boxes(skeleton, beam, plan.levels)
    return _store(tone, noise, patient, plan, site.detectors[plan.detector], beam, outlines)


def patient_skeleton(patient: PatientPlan, plan: FilmPlan) -> Skeleton:
    """Return the patient's skeleton as posed for one film."""
    signs: dict[str, Signs] = {each.level: each.signs for each in patient.vertebrae}
    turned = frozenset(
        level for scope in ("fracture", "crop") for level in spoiled(patient, plan, scope, "poor_positioning")
    )
    return build_skeleton(signs, plan.view, patient.seed, age_years=patient.age_years, badly_placed=turned)


def spoiled(patient: PatientPlan, plan: FilmPlan, scope: str, condition: str) -> list[Level]:
    """Return the levels of one film that a condition of that scope makes unusable, inside the field."""
    return [
        each.level for each in patient.conditions
        if each.scope == scope and each.condition == condition and each.view in (None, plan.view)
        and each.level in plan.levels
    ]  # fmt: skip


def attenuation(
    patient: PatientPlan, plan: FilmPlan, site: SyntheticInstitution, skeleton: Skeleton, beam: Beam
) -> np.ndarray:
    """Return float32 map at `FINE` of the line integral of attenuation, nepers."""
    rng = np.random.default_rng(derive_seed(patient.seed, "bone"))
    porous = float(np.clip(rng.normal(1.0 - 0.006 * (patient.age_years - 75), 0.14), 0.6, 1.4))
    compact, spongy = [], []
    for body in skeleton.bodies.values():
        height_px = beam.project(body.centre[:, None])[1][0]
        if not -60 / beam.pixel_mm < height_px < beam.height_px + 60 / beam.pixel_mm:
            continue
        *shells, inner = body_cloud(body, porous)
        compact += [(body.place(points), weight) for points, weight in shells]
        spongy.append((body.place(inner[0]), inner[1]))
        if not body.name.startswith("S"):
            shell, inside = arch_cloud(body, porous)
            compact.append((body.place(shell[0]), shell[1]))
            spongy.append((body.place(inside[0]), inside[1]))
    compact += implants(skeleton, spoiled(patient, plan, "fracture", "foreign_substance"), patient.seed)
    lost = spoiled(patient, plan, "crop", "foreign_substance")
    compact += [lost_wire(skeleton, level, derive_seed(patient.seed, plan.view)) for level in lost]
    compact += aortic_chalk(skeleton, patient.seed)
    spongy += ribs(skeleton, patient.seed, porous)
    fine = path_length(compact, beam, FINE)
    middle = blur(path_length(spongy, beam, MIDDLE), 1.0)
    middle += blur(path_length(pelvis(skeleton, patient.seed, porous), beam, MIDDLE), 1.8)
    soft = soft_tissue(skeleton, beam, site, patient.seed)
    air = lungs(skeleton, beam, plan.view, patient.seed) * 0.75
    air += bowel_gas(skeleton, beam, site.gas, plan.view, patient.seed)
    trunk = resize(soft, air.shape)
    air -= clutter(beam, derive_seed(patient.seed, plan.view)) * np.minimum(1, trunk / 200)
    air = np.minimum(air, 0.8 * trunk)
    total = resize(middle * BONE_PER_MM - blur(air, 1.7) * TISSUE_PER_MM, fine.shape)
    total += resize(soft, fine.shape) * np.float32(TISSUE_PER_MM)
    total += resize(middle, fine.shape) * trabeculae(fine.shape, patient.seed)
    spread_mm = float(np.hypot(FOCAL_BLUR_MM, site.detectors[plan.detector].blur_mm))
    total += blur(fine, spread_mm / (beam.pixel_mm * FINE)) * np.float32(BONE_PER_MM)
    draw_lead_letter(total, beam, derive_seed(patient.seed, plan.view))
    return np.maximum(total, 0)


def noise_source(seed: int) -> np.random.Generator:
    """Return the generator of a film's noise: SFC64, the fastest of NumPy's, for one number per pixel."""
    return np.random.Generator(np.random.SFC64(seed))


def _store(
    tone: np.ndarray,
    noise: np.ndarray,
    patient: PatientPlan,
    plan: FilmPlan,
    detector: Detector,
    beam: Beam,
    outlines: dict[Level, Box],
) -> Film:
    """Return the film with noise, in 14 bit, with the window that shows the spine."""
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
    pixels = np.clip(grain, 0, TOP, out=grain).astype(np.uint16)
    bottom, top = base + GREYS_PER_NEPER * low - 1100, base + GREYS_PER_NEPER * high + 500
    window = (round((bottom + top) / 2), max(1, round(top - bottom)))
    if plan.monochrome1:
        pixels, window = np.uint16(TOP) - pixels, (TOP - window[0], window[1])
    return Film(pixels, window, outlines, beam)


def annotate(outlines: Mapping[Level, Box], beam: Beam, seed: int) -> dict[Level, Box]:
    """Return boxes as a person draws them: a small margin, an unsteady hand, never past the field. Px."""
    rng = np.random.default_rng(seed)
    size = (beam.width_px, beam.height_px)
    least, most = np.maximum(beam.field[:2], 0), np.minimum(beam.field[2:], size)
    boxes: dict[Level, Box] = {}
    for level, (x0, y0, x1, y1) in outlines.items():
        wide, tall = x1 - x0, y1 - y0
        jitter = rng.normal(0, 0.012, 4) + np.array([-0.03, -0.035, 0.03, 0.035])
        box = np.array([x0, y0, x1, y1]) + jitter * np.array([wide, tall, wide, tall])
        box = np.round(np.clip(box, np.tile(least, 2), np.tile(most, 2)))
        boxes[level] = (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
    return boxes
