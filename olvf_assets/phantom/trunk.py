"""Bones that are not read: ribs, iliac wings, sacral wings, and chalk in the aorta.

What lives here: their clouds of weighted points in the patient frame (see `bodies.py` for the method). What does not:
soft tissue (`tissue.py`).
"""

import math

import numpy as np

from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.phantom.bodies import quasi_random, scattered, shifted
from olvf_assets.phantom.maps import power
from olvf_assets.phantom.spine import Skeleton

Cloud = tuple[np.ndarray, np.ndarray]
# reach in degrees round the trunk, fall in mm at 90 degrees
RIBS = {
    "T12": (62.0, 62.0),
    "T11": (98.0, 72.0),
    "T10": (125.0, 80.0),
    "T9": (140.0, 84.0),
    "T8": (140.0, 84.0),
    "T7": (140.0, 82.0),
}


def roughened(points: np.ndarray, deviation_mm: float, seed: int) -> np.ndarray:
    """Return points (3, n) moved by normal steps, so that no pattern of an even sample shows; all the same for 0 mm."""
    if not deviation_mm:
        return points
    steps = np.random.default_rng(seed).standard_normal(points.shape, dtype=np.float32)
    return points + steps * np.float32(deviation_mm)


def ribs(skeleton: Skeleton, seed: int, density: float) -> list[Cloud]:
    """Return both sides of ribs 7 to 12."""
    rng = np.random.default_rng(derive_seed(seed, "ribs"))
    count = 11000
    clouds = []
    for name, (mean_reach, mean_fall) in RIBS.items():
        body = skeleton.bodies[name]
        head_x, head_y, head_z = body.centre.tolist()
        reach, fall = mean_reach * rng.uniform(0.8, 1.15), mean_fall * rng.uniform(0.75, 1.25)
        for side in (-1, 1):
            along, around = shifted(count, 2, rng)
            a = np.radians(8 + along * (reach - 8))
            sag = rng.uniform(1.1, 2.1)
            deep, wide = 78.0 * skeleton.size, rng.uniform(112, 128) * skeleton.size
            forward, outward = np.cos(a), np.sin(a)
            x = head_x - body.depth / 2 + 8 + deep * (0.72 - forward)
            y = head_y - 3 + fall * power(a / (np.pi / 2), sag) + rng.normal(0, 3)
            turn = around * np.float32(2 * np.pi)
            taper = 0.8 + 0.5 * np.sin(np.pi * np.clip(along * 1.1, 0, 1))
            tall, thin = 7.2 * skeleton.size * taper, 3.4
            slope = math.atan2(fall, deep)
            rough = 1 + scattered(rng, 0.12, count)
            radial, across = thin * np.sin(turn) * rough, tall * np.cos(turn) * rough
            x = x - forward * radial + across * math.sin(slope) * outward
            y = y + across * math.cos(slope)
            z = head_z + side * outward * (wide + radial)
            length = np.radians(reach) * (deep + wide) / 2
            mass = length * 2 * np.pi * 5.3 * 0.42 * density
            clouds.append((np.stack([x, y, z]), np.full(count, mass / count, np.float32)))
    return clouds


def pelvis(skeleton: Skeleton, seed: int, density: float, higher: float = 0.0) -> list[Cloud]:
    """Return iliac wings with their crests, `higher` mm than usual, and the wings of the sacrum."""
    rng = np.random.default_rng(derive_seed(seed, "pelvis"))
    size = skeleton.size
    lift = rng.uniform(18, 42) + higher  # crest above the upper end-plate of S1
    # outline of the wing from the posterior spine over the crest to the anterior spine: x, y, z
    crest = np.array([[-58, 42, 38], [-52, 8, 52], [-25, -lift * 0.8, 82], [12, -lift, 112], [52, -lift * 0.35, 124],
                      [82, 26, 122]], float) * size  # fmt: skip
    socket = np.array([38.0, 102.0, 92.0], np.float32) * size
    knots = np.linspace(0, 1, len(crest))
    fine = np.linspace(0, 1, 60)
    smooth = [
        np.convolve(np.pad(np.interp(fine, knots, axis), 6, "edge"), np.ones(13) / 13, "valid") for axis in crest.T
    ]
    clouds = []
    for side in (-1, 1):
        offset = np.array([rng.normal(0, 4), rng.normal(0, 4), 0.0])
        for count, thick, edge in ((40000, 5.2, False), (12000, 6.0, True)):
            along, inward = shifted(count, 2, rng)
            if edge:
                inward = inward**2 * np.float32(0.075)
            p = np.stack([np.interp(along, fine, axis) for axis in smooth]).astype(np.float32)
            points = p * (1 - inward) + socket[:, None] * inward
            swell = np.sin(np.pi * inward)
            points[0] += 40.0 * 0.18 * swell * np.clip(0.55 - along, 0, 1)  # greater sciatic notch
            points[2] -= 16 * swell
            points[2] *= side
            points += offset[:, None].astype(np.float32) + scattered(rng, 0.5, 3, count)
            area = 9000 * size**2 if not edge else 210 * 5.0 * size
            fade = np.clip((1 - along) / 0.35, 0, 1) * np.clip(along / 0.06, 0, 1)
            heavy = 1 + 1.3 * np.exp(-(((along - 0.12) / 0.16) ** 2))  # thick beside the sacroiliac joint
            weight = area * thick * density * heavy * (1 - 0.8 * inward) * fade / count
            clouds.append((points, weight))
    ball = quasi_random(9000, 3)
    for side in (-1, 1):
        s1 = skeleton.bodies["S1"]
        radius = np.cbrt(ball[0])
        polar, turn = 1 - 2 * ball[1], ball[2] * np.float32(2 * np.pi)
        ring = np.sqrt(1 - polar * polar)
        unit = np.stack([ring * np.cos(turn), polar, ring * np.sin(turn)]) * radius
        points = unit * np.array([17.0, 30.0, 22.0])[:, None] * size + np.array([-8.0, 12.0, side * 40.0])[:, None]
        mass = 4.19 * 17 * 30 * 22 * size**3 * 0.13 * density
        clouds.append((s1.place(points.astype(np.float32)), np.full(9000, mass / 9000, np.float32)))
    for name, back in (("S1", 26.0), ("S2", 20.0), ("S3", 15.0)):
        body = skeleton.bodies[name]
        unit = np.stack([2 * ball[0] - 1, 2 * ball[1] - 1, 2 * ball[2] - 1])
        points = unit * np.array([5.0, 11.0, 9.0])[:, None] * size
        points = points + np.array([-body.depth / 2 - back, 0, 0])[:, None]
        mass = 8 * 5 * 11 * 9 * 0.3 * density
        clouds.append((body.place(points.astype(np.float32)), np.full(9000, mass / 9000, np.float32)))
    return clouds


def hips(skeleton: Skeleton, seed: int, density: float) -> list[Cloud]:
    """Return both hip joints: the femur's head and neck and the socket's roof, one ring beside the other."""
    rng = np.random.default_rng(derive_seed(seed, "hips"))
    clouds: list[Cloud] = []
    size = skeleton.size
    for side in (-1, 1):
        centre = np.array([38.0, 104.0, side * 90.0]) * size + rng.normal(0, 4, 3)
        for radius, thick, roof in ((24.0, 0.6, False), (28.5, 0.8, True)):
            first, second = shifted(9000, 2, rng)
            polar, turn = 1 - 2 * first, second * np.float32(2 * np.pi)
            ring = np.sqrt(1 - polar * polar)
            unit = np.stack([ring * np.cos(turn), polar, ring * np.sin(turn)])
            if roof:
                unit[1] = -np.abs(unit[1])
            points = unit * (radius * size) + scattered(rng, 0.5, 3, 9000) + centre[:, None]
            mass = (2 if roof else 4) * np.pi * (radius * size) ** 2 * thick * density
            clouds.append((points.astype(np.float32), np.full(9000, mass / 9000, np.float32)))
        along, around = shifted(9000, 2, rng)
        turn = around * np.float32(2 * np.pi)
        shaft = np.stack([14 * np.cos(turn) - 10 * along, 18 + 90 * along, 14 * np.sin(turn)]) * size
        shaft[2] += side * 30 * size * np.clip(along * 2, 0, 1)
        mass = 90 * 2 * np.pi * 14 * size**2 * 1.5 * density
        clouds.append(((shaft + centre[:, None]).astype(np.float32), np.full(9000, mass / 9000, np.float32)))
    return clouds


def aortic_chalk(skeleton: Skeleton, seed: int) -> list[Cloud]:
    """Return plaques of the abdominal aorta in front of L1 to L4, in older patients."""
    rng = np.random.default_rng(derive_seed(seed, "aorta"))
    if rng.random() > (skeleton.age_years - 50) / 60:
        return []
    top, bottom = skeleton.bodies["L1"], skeleton.bodies["L4"]
    clouds = []
    for _ in range(int(rng.integers(3, 16))):
        place, side = rng.random(), rng.choice([-1.0, 1.0])
        count = 300
        along = place + rng.normal(0, rng.uniform(0.01, 0.06), count)
        level = [skeleton.bodies[name].centre for name in ("L1", "L2", "L3", "L4")]
        front = np.stack([np.interp(along, np.linspace(0, 1, 4), [c[axis] for c in level]) for axis in range(3)])
        front[0] += (top.depth + bottom.depth) / 4 + 13 + side * 9 + rng.normal(0, 0.5, count)
        front[2] += 12 + rng.normal(0, 3, count)
        clouds.append((front.astype(np.float32), np.full(count, rng.uniform(8, 60) / count, np.float32)))
    return clouds
