"""Everything soft: trunk, fat, lung, bowel gas. Maps of path length, drawn coarsely.

What lives here: thickness along the beam in mm of water-like tissue. What does not: bone, grey values.
"""

import numpy as np

from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import View
from olvf_assets.phantom.looks import PLAIN, Look
from olvf_assets.phantom.maps import resize
from olvf_assets.phantom.projection import COARSE, MIDDLE, Beam
from olvf_assets.phantom.settings import SyntheticInstitution
from olvf_assets.phantom.spine import Skeleton


def soft_tissue(
    skeleton: Skeleton, beam: Beam, site: SyntheticInstitution, seed: int, look: Look = PLAIN
) -> np.ndarray:
    """Return float32 map at `COARSE`: path in mm of water-like tissue, 0 where the beam misses the trunk."""
    rng = np.random.default_rng(derive_seed(seed, "trunk"))
    x, y = beam.patient_grid(COARSE)
    back, front = trunk_profile(skeleton, y, rng, look.buttock)
    low = y if not look.slant else y + np.float32(look.slant) * (x - 20)
    width = site.body_width_mm * rng.normal(1.0, 0.08) * (1 + look.hips / (1 + np.exp(-(low + 8) / 16)))
    middle, half = (back + front) / 2, (front - back) / 2
    along = (x - middle) / half
    t = np.clip(np.abs(along), 0, 1)
    path = width * np.clip(1 - np.where(along < 0, t**look.round_back, t**3), 0, 1) ** np.where(along < 0, 0.6, 0.5)
    path *= 1 - 0.15 / (1 + np.exp(-(back + 45 - x) / 9))  # the furrow of the back is narrower than the trunk
    muscle = np.exp(-(((x - (back + 38)) / 20) ** 2)) * rng.uniform(-14, 4)  # fat between skin and muscle
    lump = 0.03 * width * np.sin(x / rng.uniform(30, 60) + rng.uniform(0, 6)) * np.sin(y / rng.uniform(35, 70))
    path = np.maximum(path + (muscle + lump) * (path > 60), 0)
    return path.astype(np.float32)


def trunk_profile(
    skeleton: Skeleton, y: np.ndarray, rng: np.random.Generator, buttock: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return patient x of the skin behind and in front at heights y, mm."""
    order = ("T6", "T8", "T9", "T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5", "S1", "S2", "S3")
    heights = [skeleton.bodies[name].centre[1] for name in order]
    spine = np.interp(y, heights, [skeleton.bodies[name].centre[0] for name in order])
    smooth = 0.5 * spine + 0.5 * np.mean([skeleton.bodies[name].centre[0] for name in ("T12", "L3", "S1")])
    fat = float(np.clip(rng.normal(1.0, 0.2), 0.6, 1.5))
    back = smooth - 62 * skeleton.size - 26 * fat - 14 * buttock * fat / (1 + np.exp(-(y - 10) / 18))
    front = smooth + (138 + 70 * fat) * skeleton.size
    return back.astype(np.float32), front.astype(np.float32)


def lungs(skeleton: Skeleton, beam: Beam, view: View, seed: int, look: Look = PLAIN) -> np.ndarray:
    """Return float32 map at `MIDDLE`: path of air in the lungs above the two halves of the diaphragm, mm."""
    rng = np.random.default_rng(derive_seed(seed, "lungs"))
    breath = np.random.default_rng(derive_seed(seed, "breath", view))
    x, y = beam.patient_grid(MIDDLE)
    t12 = skeleton.bodies["T12"].centre
    base = t12[1] + rng.normal(7, 10) + breath.normal(0, 5)
    air = np.zeros((y.shape[0], x.shape[1]), np.float32)
    for offset in (rng.uniform(-9, 0), rng.uniform(0, 14)):
        peak, curve = t12[0] + rng.uniform(55, 85), rng.uniform(0.0028, 0.0055)
        dome = base + offset - 26 + curve * (x - peak) ** 2
        dome = np.minimum(dome, base + offset + 24)
        above = np.clip(dome - y, 0, None)
        air += (rng.uniform(22, 38) + look.lung_mm) * (1 - np.exp(-above / rng.uniform(4.5, 9)))
    if look.wide:  # vessels
        air *= np.clip(1 + 0.05 * smooth_noise(beam, rng, 3.0) + 0.05 * smooth_noise(beam, rng, 8.0), 0, None)
    wall = t12[0] if not look.wide else _smooth_spine(skeleton, y)
    behind = 1 / (1 + np.exp(-(x - (wall - 40 * skeleton.size)) / 5))  # the chest wall holds no air
    return (air * behind).astype(np.float32)


def _smooth_spine(skeleton: Skeleton, y: np.ndarray) -> np.ndarray:
    """Return patient x of the thoracic spine at heights y, mm."""
    bodies = [skeleton.bodies[name].centre for name in ("T6", "T8", "T10", "T12")]
    return np.interp(y, [each[1] for each in bodies], [each[0] for each in bodies])


def bowel_gas(skeleton: Skeleton, beam: Beam, amount: float, view: View, seed: int) -> np.ndarray:
    """Return float32 map at `MIDDLE`: path of gas in the bowel, mm; loops of bubbles in front of the spine."""
    rng = np.random.default_rng(derive_seed(seed, "gas", view))
    x, y = beam.patient_grid(MIDDLE)
    x, y = x[0], y[:, 0]
    rough = 0.8 * smooth_noise(beam, rng, 3.5) + 0.8 * smooth_noise(beam, rng, 9.0)
    gas = np.zeros_like(rough)
    for _ in range(int(rng.poisson(9 * amount))):
        centre = np.array([rng.uniform(34, 130), rng.uniform(-165, 30)])
        if rng.random() < 0.15:
            centre[0] -= 45  # over the bodies
        long, wide, turn = rng.uniform(14, 42), rng.uniform(7, 17), rng.uniform(0, np.pi)
        columns, rows = np.flatnonzero(np.abs(x - centre[0]) < long), np.flatnonzero(np.abs(y - centre[1]) < long)
        if len(columns) and len(rows):
            patch = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            right, down = x[None, patch[1]] - centre[0], y[patch[0], None] - centre[1]
            p, q = right * np.cos(turn) + down * np.sin(turn), down * np.cos(turn) - right * np.sin(turn)
            loop = 1 - (p / long) ** 2 - ((q + 0.012 * p * p) / wide) ** 2
            filled = np.clip(loop * 1.3 + rough[patch] * 0.75 - rng.uniform(0.1, 0.9), 0, None) * (loop > 0)
            gas[patch] = np.maximum(gas[patch], wide * rng.uniform(0.6, 1.3) * np.sqrt(np.minimum(filled, 1)))
    return gas


def gas_columns(skeleton: Skeleton, beam: Beam, count: int, view: View, seed: int) -> np.ndarray:
    """Return float32 map at `MIDDLE`: path of gas, mm, in pieces of bowel that run along the spine, waisted like it."""
    rng = np.random.default_rng(derive_seed(seed, "columns", view))
    x, y = beam.patient_grid(MIDDLE)
    gas = np.zeros((y.shape[0], x.shape[1]), np.float32)
    bodies = [skeleton.bodies[name].centre for name in ("T12", "L2", "L4", "S1")]
    for _ in range(count):
        start, stop = np.sort(rng.uniform(-190, 20, 2))
        aside = rng.choice([rng.uniform(-12, 25), rng.uniform(25, 110)], p=[0.25, 0.75])
        spine = np.interp(y, [each[1] for each in bodies], [each[0] for each in bodies])
        pitch, half = rng.uniform(20, 42), rng.uniform(8, 20)
        waist = 1 - rng.uniform(0.1, 0.5) * np.abs(np.cos(np.pi * (y - start) / pitch))
        middle = spine + aside + rng.uniform(2, 9) * np.sin(y / rng.uniform(18, 45) + rng.uniform(0, 6))
        across = np.clip(1 - ((x - middle) / (half * waist)) ** 2, 0, None)
        inside = np.clip(np.minimum(y - start, stop - y) / 4, 0, 1)
        gas = np.maximum(gas, rng.uniform(10, 34) * np.sqrt(across) * inside)
    return gas.astype(np.float32)


def clutter(beam: Beam, seed: int) -> np.ndarray:
    """Return float32 map at `MIDDLE`: unevenness of bowel, muscle and fat on all scales, mm of tissue, mean 0."""
    rng = np.random.default_rng(derive_seed(seed, "clutter"))
    grains = ((4.0, 1.0), (9.0, 1.6), (20.0, 2.6), (45.0, 5.0))
    return np.sum([smooth_noise(beam, rng, grain_mm) * np.float32(depth) for grain_mm, depth in grains], axis=0)


def smooth_noise(beam: Beam, rng: np.random.Generator, grain_mm: float) -> np.ndarray:
    """Return float32 map at `MIDDLE` of smooth noise with grains of a size, mean 0, deviation about 1."""
    height, width = -(-beam.height_px // MIDDLE), -(-beam.width_px // MIDDLE)
    rows, columns = (int(each * MIDDLE * beam.pixel_mm / grain_mm) + 4 for each in (height, width))
    small = rng.standard_normal((rows, columns), dtype=np.float32)
    return resize(small, (height, width), cubic=True)
