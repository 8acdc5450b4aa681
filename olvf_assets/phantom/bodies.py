"""The surface and inside of one vertebral body, and of its arch, as clouds of weighted points.

What lives here: shapes. End-plates, cortical wall and spongiosa are sampled with quasi-random points that carry a
volume of compact bone; `projection.py` lets them fall on the film, so that edges seen along the beam turn bright by
themselves, as on a real film. What does not: where the body lies (`spine.py`), grey values (`film.py`).

Frame of a body, mm: x forward, y down, z left, origin its centre. u, w in [-1, 1] run along x and z, v from the upper
to the lower rim.
"""

from functools import lru_cache

import numpy as np

from olvf_assets.phantom.maps import choose, power
from olvf_assets.phantom.spine import Body

ENDPLATE_POINTS, WALL_POINTS, SPONGIOSA_POINTS, BAND_POINTS, ARCH_POINTS = 9000, 15000, 16000, 6000, 2200
ENDPLATE_MM, WALL_MM, ARCH_MM = 0.46, 0.34, 1.0
SPONGIOSA = 0.105  # compact bone per volume of spongiosa
BAND = 0.27  # the same, added in a fresh fracture's band of strength 1
SQUARENESS = 2.5  # exponent of the superellipse of a body seen from above

# Arch, per side where mirrored: centre behind the posterior wall x, y, z; radii x, y, z; tilt degrees; mirrored
ARCH = (
    ((5.0, -5.0, 12.5), (11.0, 6.5, 4.5), 5.0, True),
    ((14.5, -10.5, 16.5), (5.2, 12.0, 5.5), 14.0, True),
    ((17.5, 1.5, 13.0), (6.0, 10.0, 6.0), 20.0, True),
    ((20.5, 14.0, 14.5), (5.0, 12.0, 5.0), 12.0, True),
    ((23.0, 4.0, 6.0), (6.0, 10.5, 6.5), 20.0, True),
    ((10.0, -2.0, 30.0), (3.6, 5.0, 13.0), 0.0, True),
    ((34.0, 8.5, 0.0), (16.0, 8.5, 2.8), 16.0, False),
)


@lru_cache(maxsize=16)
def quasi_random(count: int, dimensions: int) -> np.ndarray:
    """Return float32 (dimensions, count) evenly spread points of the unit cube (Roberts's R sequence)."""
    base = 2.0
    for _ in range(60):
        base = (1 + base) ** (1 / (dimensions + 1))
    steps = (1 / base) ** np.arange(1, dimensions + 1)
    return ((0.5 + np.arange(count)[None, :] * steps[:, None]) % 1.0).astype(np.float32)


def shifted(count: int, dimensions: int, rng: np.random.Generator) -> np.ndarray:
    """Return `quasi_random` moved round by a random offset, so that no two bodies share a pattern."""
    points = quasi_random(count, dimensions) + rng.random((dimensions, 1), dtype=np.float32)
    return points - (points >= 1)


def upper(body: Body, u: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return y of the upper end-plate at (u, w), mm."""
    signs = body.signs
    half = (body.back + (body.front - body.back) * (u + 1) / 2) / 2
    y = -half + body.cavity[0] * (1 - u * u) * (1 - 0.7 * w * w)
    share = {"wedge": 1.0, "biconcave": 0.65, "crush": 0.7, "none": 0.0}[signs.shape]
    y = y + share * collapse(body, u, w)
    if signs.kink_mm:  # a dent that is steep in front, at a place that runs obliquely across the end-plate
        place = 0.05 + 0.5 * chance(body, 7) + (chance(body, 9) - 0.5) * 0.9 * w
        far = u - place
        y = y + signs.kink_mm * np.exp(-((far * choose(far > 0, 1 / 0.09, 1 / 0.34)) ** 2)) * (1 - 0.5 * w * w)
    return y + unevenness(body, u, w, 0)


def lower(body: Body, u: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return y of the lower end-plate at (u, w), mm."""
    half = (body.back + (body.front - body.back) * (u + 1) / 2) / 2
    y = half - body.cavity[1] * (1 - (u + 0.15) ** 2).clip(0) * (1 - 0.7 * w * w)
    share = {"wedge": 0.0, "biconcave": 0.35, "crush": 0.3, "none": 0.0}[body.signs.shape]
    return y - share * collapse(body, u, w) + unevenness(body, u, w, 1)


def chance(body: Body, number: int) -> float:
    """Return a fixed random number of [0, 1) of this body, one per `number`."""
    return ((body.seed >> (number % 50)) % 9973) / 9973


def unevenness(body: Body, u: np.ndarray, w: np.ndarray, plate: int) -> np.ndarray:
    """Return the end-plate's own irregularity at (u, w), mm, more after a fresh fracture, less once remodelled."""
    size = 0.32 + 0.15 * body.signs.kink_mm
    wave = np.sin((2.2 + 2 * chance(body, 11 + plate)) * u + 6.28 * chance(body, 15 + plate))
    cross = np.sin((2 + 3 * chance(body, 19 + plate)) * w + 2.5 * u + 6.28 * chance(body, 23 + plate))
    ripple = np.sin((6 + 5 * chance(body, 27 + plate)) * u + 2 * w + 6.28 * chance(body, 31 + plate))
    return size * (0.8 * wave + 0.6 * cross + 0.35 * ripple)


def collapse(body: Body, u: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Return the height lost at (u, w), mm: `loss` of the height in front (wedge), middle (biconcave) or all over."""
    lost = body.signs.loss * (body.back + (body.front - body.back) * (u + 1) / 2)
    if body.signs.shape == "wedge":
        return lost * power(np.clip((u + 1) / 2, 0, 1), 1.25)
    if body.signs.shape == "biconcave":
        lost = lost - body.signs.loss * sum(body.cavity)  # the middle was lower than the rims before
        return lost * (1 - power(np.abs(u), 2.4)).clip(0) * (1 - 0.45 * w * w)
    if body.signs.shape == "crush":
        return lost * (0.88 + 0.12 * u)
    return 0 * lost


def rim(angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (u, w) of the body's outline seen from above at `angle` (0 = front): squarish, flat behind."""
    c, s = np.cos(angle), np.sin(angle)
    radius = power(power(np.abs(c), SQUARENESS) + power(np.abs(s), SQUARENESS), -1 / SQUARENESS)
    u, w = radius * c, radius * s
    return np.where(u < 0, u * (0.86 + 0.14 * w * w), u), w


def wall(body: Body, angle: np.ndarray, v: np.ndarray, radius: np.ndarray | float = 1.0) -> np.ndarray:
    """Return points (3, n) of the wall, or inside it for radius < 1, with waist, spurs and buckled cortex, mm."""
    return _solid(body, angle, v, radius)[0]


def _solid(body: Body, angle: np.ndarray, v: np.ndarray, radius: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of `wall` and the height of the body, mm, at each of them."""
    signs = body.signs
    u, w = rim(angle)
    u, w = u * radius, w * radius
    top, bottom = upper(body, u, w), lower(body, u, w)
    y = top * (1 - v) / 2 + bottom * (1 + v) / 2
    facing = np.cos(angle)
    front = np.clip(facing, 0, 1)
    narrow = 1 - body.waist * (1 - v * v) * choose(facing < -0.5, 0.5, 1.0)
    x, z = u * narrow * (body.depth / 2), w * narrow * (body.width / 2)
    unlike = 0.45 + 1.1 * chance(body, 17)  # upper spur against lower spur
    spur = choose(v < 0, signs.osteophyte_mm * unlike, signs.osteophyte_mm * (1.55 - unlike))
    reach = (front * np.sqrt(front) + 0.12) * radius
    rimwards = np.exp((np.abs(v) - 1) / 0.21)
    grown = spur * rimwards * reach
    x = x + grown
    y = y + np.sign(v) * 0.36 * grown * rimwards * rimwards
    if signs.step_mm:
        broken = -0.35 - 0.3 * chance(body, 27)
        x = x + signs.step_mm * np.where(v < broken, np.exp((v - broken) / 0.28), np.float32(0)) * front * radius
    return np.stack([x, y, z]), bottom - top


def body_cloud(body: Body, density: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return clouds (points float32 (3, n) in the body's frame mm, weights float32 (n,) mm³ of compact bone).

    The last cloud is spongiosa and may be drawn coarsely. `density` scales everything (osteoporosis).
    """
    rng = np.random.default_rng(body.seed)
    signs = body.signs
    dense = density * (1 + 0.9 * signs.sclerosis)
    area = 0.82 * body.depth * body.width
    clouds = []
    for plate in (upper, lower):
        q = shifted(ENDPLATE_POINTS, 2, rng)
        radius = np.sqrt(q[0])
        u, w = rim(q[1] * np.float32(2 * np.pi))
        u, w = u * radius, w * radius
        thick = ENDPLATE_MM * dense * (0.8 + 0.5 * radius)
        y = plate(body, u, w) + scattered(rng, 0.30, ENDPLATE_POINTS)
        clouds.append((np.stack([u * (body.depth / 2), y, w * (body.width / 2)]), thick * (area / ENDPLATE_POINTS)))
    q = shifted(WALL_POINTS, 2, rng)
    angle, v = q[0] * np.float32(2 * np.pi), q[1] * 2 - 1
    points = wall(body, angle, v, 1 - np.abs(scattered(rng, 0.012, WALL_POINTS)))
    around = 1.7 * (body.depth + body.width) * body.height * WALL_MM * density * (1 + 0.4 * signs.sclerosis)
    spur = 1 + 0.45 * signs.osteophyte_mm * np.exp((np.abs(v) - 1) / 0.17) * np.clip(np.cos(angle), 0, 1)
    clouds.append((points, spur * (around / WALL_POINTS)))
    if signs.band > 0.02:
        clouds.append(_band(body, rng))
    q = shifted(SPONGIOSA_POINTS, 3, rng)
    points, tall = _solid(body, q[0] * np.float32(2 * np.pi), q[2] * 2 - 1, np.sqrt(q[1]))
    packed = np.sqrt(body.height * tall.clip(1))  # height times density: impacted spongiosa is denser
    share = SPONGIOSA * density * (1 + 0.35 * signs.sclerosis) * area / SPONGIOSA_POINTS
    clouds.append((points, packed * share))
    return clouds


def scattered(rng: np.random.Generator, deviation: float, *shape: int) -> np.ndarray:
    """Return float32 array of normal steps, mean 0, that blur a quasi-random pattern."""
    return rng.normal(0, deviation, shape).astype(np.float32)


def _band(body: Body, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return condensed trabeculae under the upper end-plate, mostly in the front two thirds."""
    q = shifted(BAND_POINTS, 3, rng)
    angle, radius = q[0] * np.float32(2 * np.pi), np.sqrt(q[1]) * np.float32(0.96)
    u, w = rim(angle)
    u, w = u * radius, w * radius
    deep, thick = rng.uniform(3.0, 6.5), rng.uniform(2.2, 4.2)
    wave = rng.uniform(0.3, 1.2) * np.sin(rng.uniform(2, 5) * u + rng.uniform(0, 6))
    plate = upper(body, u, w)
    flat = 0.55 * plate + 0.45 * upper(body, 0.4 * u, 0 * w)
    y = np.maximum(flat + deep + wave, plate + 1) + scattered(rng, 0.42 * thick, BAND_POINTS)
    cloudy = 0.35 * np.sin(rng.uniform(5, 9) * u + rng.uniform(3, 6) * w + rng.uniform(0, 6))
    amount = 0.3 + (0.7 + cloudy) / (1 + np.exp(-(u - rng.uniform(-0.7, 0.4)) / 0.2))
    u, w = u + scattered(rng, 0.03, BAND_POINTS), w + scattered(rng, 0.05, BAND_POINTS)
    volume = 0.82 * body.depth * body.width * thick * BAND * body.signs.band
    points = np.stack([u * (body.depth / 2), y, w * (body.width / 2)])
    return points, amount * (volume / BAND_POINTS)


@lru_cache(maxsize=1)
def _lump() -> tuple[np.ndarray, int]:
    """Return points (3, n) of a ball that is a little of a box, and how many of them, the first, are its surface."""
    sphere = quasi_random(ARCH_POINTS, 3)
    polar, turn = 1 - 2 * sphere[0], sphere[1] * np.float32(2 * np.pi)
    ring = np.sqrt(1 - polar * polar)
    unit = np.stack([ring * np.cos(turn), polar, ring * np.sin(turn)])
    unit = unit / np.cbrt((np.abs(unit) ** 3).sum(axis=0))
    shell = sphere[2] < 0.45
    inside = unit[:, ~shell] * np.cbrt(sphere[2][~shell] / 0.55 - 0.8).clip(0.1, 1)
    return np.concatenate([unit[:, shell], inside], axis=1), int(shell.sum())


def arch_cloud(body: Body, density: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pedicles, articular, transverse and spinous processes: two clouds as `body_cloud`, shell and inside."""
    rng = np.random.default_rng(body.seed + 1)
    scale = body.width / 44.0
    thoracic = body.name.startswith("T")
    unit, outside = _lump()
    shells, insides, masses = [], [], []
    for (x, y, z), radii, tilt, mirrored in ARCH:
        if thoracic and z == 30.0:
            continue
        for side in (-1, 1) if mirrored else (0,):
            r = np.array(radii) * scale * rng.uniform(0.85, 1.15, 3)
            angle = np.radians(tilt + rng.normal(0, 6) + (12 if thoracic and z == 0 else 0))
            waves, phases = rng.normal(0, 2.6, (3, 3)).T, rng.uniform(0, 6.3, 3)
            lumps = 1 + 0.13 * np.sin(waves.astype(np.float32) @ unit + phases.astype(np.float32)[:, None])
            rotate = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
            centre = np.array([-body.depth / 2 - x * scale, y * scale, side * z * scale]) + rng.normal(0, 0.8, 3)
            points = (rotate * r).astype(np.float32) @ (unit * lumps) + centre.astype(np.float32)[:, None]
            shells.append(points[:, :outside])
            insides.append(points[:, outside:])
            surface = 4 * np.pi * ((r[0] * r[1]) ** 1.6 + (r[0] * r[2]) ** 1.6 + (r[1] * r[2]) ** 1.6) ** (1 / 1.6)
            masses.append(surface / 3 ** (1 / 1.6) * ARCH_MM * density / ARCH_POINTS)
    weights = np.array(masses, np.float32)
    return [
        (np.concatenate(shells, axis=1), np.repeat(0.6 * weights, outside)),
        (np.concatenate(insides, axis=1), np.repeat(1.1 * weights, ARCH_POINTS - outside)),
    ]


def outline(body: Body, count: int = 40) -> np.ndarray:
    """Return float64 (3, 4 * count) points of the outline in the midplane: upper rim, lower rim, front, back."""
    u = np.linspace(-0.86, 1, count)
    zero = 0 * u
    v = np.linspace(-1, 1, count)
    top = np.stack([u * body.depth / 2, upper(body, u, zero), zero])
    bottom = np.stack([u * body.depth / 2, lower(body, u, zero), zero])
    front, back = (wall(body, np.full(count, angle), v) for angle in (0.0, np.pi))
    return np.concatenate([top, bottom, front, back], axis=1)
