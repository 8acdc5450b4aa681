"""Films of the phantom with the view they really have: laterals as it makes them, and frontal films of the same bodies.

A frontal film is the same skeleton seen along x instead of z, in a trunk of elliptic cross-section with a liver on one
side, two lungs, gas on both sides, and the same physics and processing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import View
from olvf_assets.phantom import film as phantom_film
from olvf_assets.phantom.bodies import arch_cloud, body_cloud
from olvf_assets.phantom.exposure import (
    BONE_PER_MM,
    TISSUE_PER_MM,
    collimate,
    develop,
    expose,
    noise_deviation,
    opening,
)
from olvf_assets.phantom.looks import PLAIN
from olvf_assets.phantom.maps import blur, resize
from olvf_assets.phantom.plan import FilmPlan, PatientPlan, plan_hospital
from olvf_assets.phantom.projection import FINE, MIDDLE, Beam, path_length
from olvf_assets.phantom.settings import PhantomSettings, SyntheticInstitution
from olvf_assets.phantom.tissue import bowel_gas, clutter
from olvf_assets.phantom.trunk import pelvis, ribs

LEVELS_IN_VIEW = {"thoracic": ("L1", "L2", "L3")}


class _FrontalBeam(Beam):
    """A beam along x: the patient's left to right runs along the film's rows."""

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return super().project(np.stack([points[2], points[1], points[0]]))


@dataclass(frozen=True)
class Case:
    """One film and what it is."""

    film: phantom_film.Film
    view: str  # neutral, flexion, extension, thoracic, frontal
    patient: PatientPlan
    plan: FilmPlan
    site: SyntheticInstitution


def cases(patients: int, seed: int, views: tuple[str, ...], **changes: object) -> Iterator[Case]:
    """Yield films of each view of some patients of a site whose settings are changed."""
    site = SyntheticInstitution(patients_normal=patients, patients_fresh=0, patients_old=0, excluded_fresh={},
                                excluded_old={}, **changes)  # fmt: skip
    settings = PhantomSettings(institutions={"institution_1": site})
    for patient in plan_hospital("institution_1", settings, seed):
        for view in views:
            shown: View = "neutral" if view == "frontal" else view  # type: ignore[assignment]
            levels = LEVELS_IN_VIEW.get(view, ("L1", "L2", "L3", "L4", "L5"))
            plan = FilmPlan(f"{patient.patient_id}-{view}", shown, 0, monochrome1=False, levels=levels)
            draw = frontal_film if view == "frontal" else phantom_film.render_film
            yield Case(draw(patient, plan, site), view, replace(patient, films=(plan,)), plan, site)


def frontal_film(patient: PatientPlan, plan: FilmPlan, site: SyntheticInstitution) -> phantom_film.Film:
    """Return an antero-posterior film of the lumbar spine of a patient."""
    rng = np.random.default_rng(derive_seed(patient.seed, "frontal"))
    skeleton = phantom_film.patient_skeleton(patient, plan)
    width, height = (round(each / site.pixel_mm) for each in site.plate_mm)
    aside_mm = float(rng.normal(0, 8))
    field = (-20.0, -20.0, width + 20.0, height + 20.0)
    if rng.random() < site.collimated_share:
        half = rng.uniform(70, 110) * 1.15 / site.pixel_mm
        middle = width / 2 - aside_mm / site.pixel_mm
        field = (middle - half, rng.uniform(-40, 60), middle + half, height - rng.uniform(-40, 60))
    aim_y = float(skeleton.bodies["L3"].centre[1])
    beam = _FrontalBeam(
        site.sid_mm, 140.0, (aside_mm, aim_y), 1, (width / 2, height / 2), site.pixel_mm, width, height, field
    )
    compact, spongy = [], []
    for body in skeleton.bodies.values():
        *shells, inner = body_cloud(body, 1.0)
        compact += [(body.place(points), weight) for points, weight in shells]
        spongy.append((body.place(inner[0]), inner[1]))
        if not body.name.startswith("S"):
            shell, inside = arch_cloud(body, 1.0)
            compact.append((body.place(shell[0]), shell[1]))
            spongy.append((body.place(inside[0]), inside[1]))
    spongy += ribs(skeleton, patient.seed, 1.0)
    middle_map = blur(path_length(spongy, beam, MIDDLE), 1.0)
    middle_map += blur(path_length(pelvis(skeleton, patient.seed, 1.0), beam, MIDDLE), 1.8)
    fine = path_length(compact, beam, FINE)
    soft = _trunk(patient, site, beam, skeleton.bodies["T12"].centre[1], rng, middle_map.shape)
    gas = bowel_gas(skeleton, beam, site.gas, "neutral", derive_seed(patient.seed, "left"))
    gas += bowel_gas(skeleton, beam, site.gas, "neutral", derive_seed(patient.seed, "right"))[:, ::-1]
    soft = np.maximum(soft - gas - clutter(beam, derive_seed(patient.seed, "frontal")), 0.2 * soft)
    path = resize(middle_map * BONE_PER_MM + soft * TISSUE_PER_MM, fine.shape)
    path += blur(fine, 1.0) * np.float32(BONE_PER_MM)
    exposure = expose(np.maximum(path, 0), site.scatter, 230.0)
    noise = noise_deviation(exposure, site.quanta, site)
    tone, noise = collimate(develop(exposure, site), noise, opening(exposure.shape, beam))
    spine = {"L3": (width / 2 - 200.0, height * 0.3, width / 2 + 200.0, height * 0.7)}
    posed = phantom_film.Pose(PLAIN, site, skeleton, beam, spine, {})  # type: ignore[arg-type]
    return phantom_film._store(tone, noise, patient, plan, posed)


def _trunk(
    patient: PatientPlan,
    site: SyntheticInstitution,
    beam: Beam,
    diaphragm_y: float,
    rng: np.random.Generator,
    shape: tuple[int, ...],
) -> np.ndarray:
    """Return float32 path of tissue in mm, seen from the front: elliptic trunk, liver, lungs beside the mediastinum."""
    z, y = beam.patient_grid(MIDDLE)
    z, y = z[:, : shape[1]], y[: shape[0]]
    half = site.body_width_mm / 2 * rng.normal(1.0, 0.08) * (1 + 0.08 / (1 + np.exp(-(y + 8) / 16)))
    depth = rng.uniform(190, 250)
    path = depth * np.sqrt(np.clip(1 - (z / half) ** 2, 0, 1))
    liver = 12 / (1 + np.exp((y - diaphragm_y - 60) / 12)) / (1 + np.exp(-(z - 20) / 10))
    dome = diaphragm_y - 18 + 0.004 * (np.abs(z) - 75) ** 2 - 8 * (z > 0)
    lung = 90 * (1 - np.exp(-np.clip(dome - y, 0, None) / 15)) / (1 + np.exp(-(np.abs(z) - 38) / 5))
    return np.maximum(path + liver - np.minimum(lung, 0.7 * path), 0).astype(np.float32)
