"""What else lies in a radiology archive: the same patients from the front, cut anywhere, and hands and limbs.

What lives here: films that are no lateral spine, of the wide and the withheld look: the trunk seen along x with lungs
beside a mediastinum, in fields from chest to one hip, and bones in a thin part of the body on an empty plate. They
teach what a lateral film is not (`intake.pixels.picture_models`). What does not: lateral films (`film.py`).
"""

from itertools import pairwise
from typing import Literal

import cv2
import numpy as np

from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.phantom.bodies import arch_cloud, body_cloud
from olvf_assets.phantom.exposure import BONE_PER_MM, TISSUE_PER_MM, collimate, develop, expose, noise_deviation
from olvf_assets.phantom.film import Film, Pose, _store, patient_skeleton
from olvf_assets.phantom.finish import blades
from olvf_assets.phantom.looks import Look, draw_look, draw_posture, dressed
from olvf_assets.phantom.maps import blur, resize
from olvf_assets.phantom.metal import belongings, draw_lead_letter
from olvf_assets.phantom.plan import FilmPlan, PatientPlan
from olvf_assets.phantom.projection import COARSE, FINE, MIDDLE, Beam, Box, path_length
from olvf_assets.phantom.settings import SyntheticInstitution
from olvf_assets.phantom.spine import Skeleton
from olvf_assets.phantom.tissue import bowel_gas, clutter, gas_columns, smooth_noise
from olvf_assets.phantom.trunk import hips, pelvis, ribs, roughened

OtherFilm = Literal["chest", "trunk", "lumbar", "pelvis", "hip", "limb"]
OTHER_FILMS: tuple[OtherFilm, ...] = ("chest", "trunk", "lumbar", "pelvis", "hip", "limb")
# Middle of the field above S1's end-plate and half its height, mm, each with how much it varies; half its width over
# half its height.
FIELDS: dict[OtherFilm, tuple[float, float, float, float, tuple[float, float]]] = {
    "chest": (-265.0, 35.0, 150.0, 30.0, (0.7, 1.2)),
    "trunk": (-150.0, 40.0, 215.0, 30.0, (0.35, 0.9)),
    "lumbar": (-75.0, 25.0, 140.0, 30.0, (0.45, 1.0)),
    "pelvis": (60.0, 25.0, 130.0, 30.0, (0.8, 1.4)),
    "hip": (105.0, 15.0, 90.0, 20.0, (0.6, 1.1)),
    "limb": (0.0, 0.0, 110.0, 30.0, (0.4, 1.1)),
}
LETTER_PX = 90  # at `FINE`; in a smaller field there is no room for a lead letter
LEG_MM = 150.0  # below S1's end-plate, where the thighs part
SITS_ASIDE_MM = 92.0  # of a hip from the middle


class FrontalBeam(Beam):
    """A beam along x: the patient's left to right runs along the film's rows."""

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return as `Beam.project`."""
        return super().project(np.stack([points[2], points[1], points[0]]))


def other_film(patient: PatientPlan, plan: FilmPlan, site: SyntheticInstitution, kind: OtherFilm) -> Film:
    """Return one film that is no lateral spine; the same arguments give the same pixels.

    Args:
        patient: whose body is shown.
        plan: gives detector and photometric interpretation.
        site: with look `wide` or `withheld`.
        kind: what is in the field.
    """
    seed = derive_seed(patient.seed, "other", kind)
    rng = np.random.default_rng(seed)
    look, posture = draw_look(site, seed, plan.view), draw_posture(site, patient.seed)
    site = dressed(site, seed, plan.view)
    skeleton = patient_skeleton(patient, plan, posture, whole_sacrum=True)
    beam = _beam(kind, skeleton, site, rng)
    path = _limb(beam, rng) if kind == "limb" else _trunk(patient, plan, skeleton, beam, site, look, seed)
    if min(beam.field[2], beam.field[3]) > LETTER_PX * FINE:
        draw_lead_letter(path, beam, seed, 0.15 / beam.pixel_mm)
    thick = 60.0 if kind == "limb" else 0.75 * site.body_width_mm
    exposure = expose(np.maximum(path, 0), site.scatter, thick)
    noise = noise_deviation(exposure, site.quanta * float(np.exp(rng.normal(0, 0.25))), site)
    mask = blades(exposure.shape, beam, look.blades)
    tone, noise = collimate(develop(exposure, site, look.sharp_px, look.even_px), noise, mask)
    middle: Box = (beam.width_px * 0.25, beam.height_px * 0.25, beam.width_px * 0.75, beam.height_px * 0.75)
    return _store(tone, noise, patient, plan, Pose(look, site, skeleton, beam, {"L3": middle}, {}))


def _beam(kind: OtherFilm, skeleton: Skeleton, site: SyntheticInstitution, rng: np.random.Generator) -> Beam:
    middle_mm, middle_spread, half_mm, half_spread, shape = FIELDS[kind]
    half = max(60.0, rng.normal(half_mm, half_spread)) * skeleton.size
    object_mm = float(rng.uniform(100, 180))
    scale = site.sid_mm / (site.sid_mm - object_mm) / site.pixel_mm
    width, height = round(2 * half * rng.uniform(*shape) * scale), round(2 * half * scale)
    aside = float(rng.normal(0, 14)) + (SITS_ASIDE_MM * rng.choice([-1, 1]) if kind == "hip" else 0.0)
    aim = (aside, float(rng.normal(middle_mm, middle_spread)) * skeleton.size)
    edges = [rng.uniform(0, 0.2) if rng.random() < 0.4 else -0.05 for _ in range(4)]
    field = (edges[0] * width, edges[1] * height, (1 - edges[2]) * width, (1 - edges[3]) * height)
    return FrontalBeam(
        site.sid_mm, object_mm, aim, int(rng.choice([-1, 1])), (width / 2, height / 2), site.pixel_mm, width, height,
        field,
    )  # fmt: skip


def _trunk(
    patient: PatientPlan,
    plan: FilmPlan,
    skeleton: Skeleton,
    beam: Beam,
    site: SyntheticInstitution,
    look: Look,
    seed: int,
) -> np.ndarray:
    """Return float32 map at `FINE` of attenuation along the beam through the trunk from the front, nepers."""
    porous = float(np.clip(np.random.default_rng(derive_seed(patient.seed, "bone")).normal(1.0, 0.14), 0.6, 1.4))
    compact, spongy = [], []
    for body in skeleton.bodies.values():
        *shells, inner = body_cloud(body, porous)
        compact += [(body.place(points), weight * np.float32(look.plates)) for points, weight in shells]
        spongy.append((body.place(inner[0]), inner[1] * np.float32(look.spongiosa)))
        if not body.name.startswith("S"):
            for points, weight in arch_cloud(body, porous * look.arches):
                spongy.append((roughened(body.place(points), look.rough_mm, body.seed), weight))
    spongy += ribs(skeleton, patient.seed, porous * look.ribs)
    spongy += _higher_ribs(skeleton, patient.seed, porous * look.ribs)
    coarse = pelvis(skeleton, patient.seed, porous * look.pelvis) + hips(skeleton, patient.seed, porous * look.pelvis)
    coarse = [(roughened(points, 2.5 * look.rough_mm, seed + n), weight) for n, (points, weight) in enumerate(coarse)]
    compact += belongings(skeleton, look.metal, patient.seed)
    fine = path_length(compact, beam, FINE)
    middle = blur(path_length(spongy, beam, MIDDLE), 1.0) + blur(path_length(coarse, beam, MIDDLE), 1.8)
    soft = _soft(skeleton, beam, site, look, seed, middle.shape)
    gas = bowel_gas(skeleton, beam, site.gas * look.bubbles, plan.view, derive_seed(seed, "left"))
    gas += bowel_gas(skeleton, beam, site.gas * look.bubbles, plan.view, derive_seed(seed, "right"))[:, ::-1]
    if look.columns:
        gas = np.maximum(gas, gas_columns(skeleton, beam, look.columns, plan.view, seed))
    soft = np.maximum(soft - gas - clutter(beam, seed), 0.2 * soft)
    path = resize(middle * np.float32(BONE_PER_MM) + soft * np.float32(TISSUE_PER_MM), fine.shape)
    return path + blur(fine, 1.0) * np.float32(BONE_PER_MM)


def _higher_ribs(skeleton: Skeleton, seed: int, density: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return ribs above the seventh: those of the skeleton again, higher and narrower, with no spine between."""
    rise = skeleton.bodies["T6"].centre[1] - skeleton.bodies["T12"].centre[1]
    lifted = []
    for points, weight in ribs(skeleton, derive_seed(seed, "higher"), density):
        moved = points * np.float32(0.9)
        moved[1] = points[1] + np.float32(rise)
        lifted.append((moved, weight))
    return lifted


def _soft(
    skeleton: Skeleton, beam: Beam, site: SyntheticInstitution, look: Look, seed: int, shape: tuple[int, ...]
) -> np.ndarray:
    """Return float32 path of tissue in mm at `MIDDLE`: elliptic trunk, liver, heart, lungs, and thighs that part."""
    rng = np.random.default_rng(derive_seed(seed, "soft"))
    z, y = beam.patient_grid(MIDDLE)
    z, y = z[:, : shape[1]], y[: shape[0]]
    half = site.body_width_mm / 2 * rng.normal(1.0, 0.1) * (1 + look.hips / (1 + np.exp(-(y + 8) / 16)))
    depth = rng.uniform(180, 290)
    path = depth * np.sqrt(np.clip(1 - np.abs(z / half) ** rng.uniform(1.8, 3.5), 0, 1))
    legs = 1 / (1 + np.exp(-(y - LEG_MM) / 12))
    path *= 1 - legs * np.exp(-((z / rng.uniform(15, 40)) ** 2))
    diaphragm = skeleton.bodies["T11"].centre[1] + rng.normal(0, 15)
    liver = rng.uniform(0, 25) / (1 + np.exp((y - diaphragm - 60) / 12)) / (1 + np.exp(-(z - 20) / 10))
    dome = diaphragm - 18 + 0.004 * (np.abs(z) - 75) ** 2 - rng.uniform(0, 14) * (z > 0)
    heart = 38 + rng.uniform(10, 45) * np.exp(-(((y - diaphragm + 60) / 60) ** 2)) * (z < 0)
    lung = (70 + look.lung_mm * 2) * (1 - np.exp(-np.clip(dome - y, 0, None) / 15))
    lung = lung / (1 + np.exp(-(np.abs(z) - heart) / 5)) / (1 + np.exp((np.abs(z) - 0.85 * half) / 6))
    lung *= np.clip(1 + 0.04 * smooth_noise(beam, rng, 4.0) + 0.04 * smooth_noise(beam, rng, 10.0), 0, None)
    return np.maximum(path + liver - np.minimum(lung, 0.7 * path), 0).astype(np.float32)


def _limb(beam: Beam, rng: np.random.Generator) -> np.ndarray:
    """Return float32 map at `FINE`, nepers: a hand or foot of rays, or one joint of one or two long bones."""
    shape = (-(-beam.height_px // COARSE), -(-beam.width_px // COARSE))
    tissue, bone = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    mm = COARSE * beam.pixel_mm
    size = np.array([shape[1], shape[0]]) * mm
    turn = rng.uniform(-0.5, 0.5) + (np.pi / 2 if rng.random() < 0.2 else 0.0)
    along, across = np.array([np.sin(turn), np.cos(turn)]), np.array([np.cos(turn), -np.sin(turn)])
    middle = size * rng.uniform(0.4, 0.6, 2)

    def stroke(image: np.ndarray, start: np.ndarray, stop: np.ndarray, wide_mm: float, deep_mm: float) -> None:
        ends = [tuple(np.round(each / mm * 16).astype(int).tolist()) for each in (start, stop)]
        line = np.zeros(shape, np.float32)
        cv2.line(line, ends[0], ends[1], deep_mm, max(1, round(wide_mm / mm)), cv2.LINE_8, 4)
        np.maximum(image, line, out=image)

    if rng.random() < 0.5:
        for ray in np.linspace(-1, 1, int(rng.integers(4, 6))):
            root = middle + across * ray * 32 + along * 40
            tip = middle + across * ray * rng.uniform(45, 75) - along * rng.uniform(70, 100)
            stroke(tissue, root, tip, 19, 17)
            joints = [root + (tip - root) * share for share in (0.0, 0.42, 0.7, 0.88, 1.0)]
            for upper, lower in pairwise(joints):
                stroke(bone, upper + (lower - upper) * 0.06, lower - (lower - upper) * 0.06, 9, 5)
        stroke(tissue, middle + along * 20, middle + along * 110, 75, 30)
        for _ in range(8):
            carpal = middle + along * rng.uniform(45, 70) + across * rng.uniform(-24, 24)
            stroke(bone, carpal, carpal + 1, 13, 6)
    else:
        wide = rng.uniform(50, 130)
        stroke(tissue, middle - along * 400, middle + along * 400, wide, wide * 0.8)
        for side in ((0.0,), (-0.2, 0.2))[int(rng.integers(2))]:
            for sign in (-1, 1):
                start = middle + across * side * wide + along * sign * 4
                stroke(bone, start, start + along * sign * 400, rng.uniform(16, 30), rng.uniform(8, 16))
                stroke(bone, start, start + along * sign * 18, rng.uniform(32, 50), rng.uniform(10, 18))
    total = blur(tissue, 12 / mm / 2) * np.float32(TISSUE_PER_MM) + blur(bone, 4 / mm / 2) * np.float32(BONE_PER_MM)
    fine = (-(-beam.height_px // FINE), -(-beam.width_px // FINE))
    return np.maximum(resize(total, fine), 0)
