"""Foreign things on a film: bone cement, screws and rods, clips and wires, the technologist's lead letter.

What lives here: what makes a film or a vertebra image unusable through a foreign substance, and what lies on films
anyway. What does not: bone and tissue.
"""

from collections.abc import Iterable

import cv2
import numpy as np

from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import LEVELS, Level
from olvf_assets.phantom.bodies import quasi_random
from olvf_assets.phantom.projection import FINE, Beam
from olvf_assets.phantom.spine import Skeleton

Cloud = tuple[np.ndarray, np.ndarray]
CEMENT_DENSITY, METAL_DENSITY = 3.0, 11.0  # attenuation relative to compact bone
POINTS = 6000


def implants(skeleton: Skeleton, levels: Iterable[Level], seed: int) -> list[Cloud]:
    """Return cement in the given vertebrae or screws and rods around them, as clouds (see `bodies.py`)."""
    rng = np.random.default_rng(derive_seed(seed, "implants"))
    clouds: list[Cloud] = []
    for level in levels:
        if rng.random() < 0.5:
            clouds.append(_cement(skeleton, level, rng))
        else:
            at = LEVELS.index(level)
            around = LEVELS[max(0, at - 1) : at + 2]
            clouds += [_screw(skeleton, name, side) for name in around for side in (-1, 1)]
            clouds += [_rod(skeleton, around, side) for side in (-1, 1)]
    return clouds


def lost_wire(skeleton: Skeleton, level: Level, seed: int) -> Cloud:
    """Return a cable or a clothes hook that lies over one vertebra."""
    rng = np.random.default_rng(derive_seed(seed, "wire", level))
    s = np.linspace(-1, 1, 4000)
    turns = rng.uniform(-1, 1, (3, 1)) * np.array([[30.0], [22.0], [0.0]])
    bow = rng.uniform(-1, 1, (3, 1)) * np.array([[26.0], [18.0], [0.0]])
    points = turns * s + bow * np.sin(3.0 * s) + skeleton.bodies[level].centre[:, None]
    points[2] -= 150.0
    points += rng.normal(0, 0.45, points.shape)
    return points.astype(np.float32), np.full(4000, 90 * 1.8 * METAL_DENSITY / 4000, np.float32)


def belongings(skeleton: Skeleton, count: int, seed: int) -> list[Cloud]:
    """Return things that spoil no vertebra that is read: cement in T9 to T12, buttons and clips, a hip prosthesis."""
    rng = np.random.default_rng(derive_seed(seed, "belongings"))
    clouds: list[Cloud] = []
    for _ in range(count):
        kind = rng.choice(["cement", "button", "button", "clips", "hip"])
        if kind == "cement":
            clouds.append(_cement(skeleton, str(rng.choice(["T9", "T10", "T11", "T12"])), rng))
        elif kind == "hip":
            first, second, third = quasi_random(POINTS, 3)
            ball = np.stack([first - 0.5, second - 0.5, third - 0.5]) * 2
            ball *= 22 / np.maximum(np.linalg.norm(ball, axis=0), 0.2)
            points = ball + np.array([[38.0], [104.0], [float(rng.choice([-90.0, 90.0]))]])
            clouds.append((points.astype(np.float32), np.full(POINTS, 44000 * METAL_DENSITY / POINTS / 3, np.float32)))
        else:
            small = kind == "clips"
            for _ in range(int(rng.integers(3, 8)) if small else int(rng.integers(1, 4))):
                along, around, _ = quasi_random(2000, 3)
                turn = around * np.float32(2 * np.pi)
                radius = 0.5 if small else rng.uniform(4, 8) * np.sqrt(along)
                points = np.stack([radius * np.cos(turn), radius * np.sin(turn), 0 * turn])
                if small:
                    points[1] += along * 7
                points += np.array([[rng.uniform(40, 130)], [rng.uniform(-230, 20)], [rng.uniform(-120, 120)]])
                clouds.append((points.astype(np.float32), np.full(2000, 8 * METAL_DENSITY / 2000 * 4, np.float32)))
    return clouds


def draw_lead_letter(path: np.ndarray, beam: Beam, seed: int, size: float = 1.0) -> None:
    """Add the letter L or R (for the side next to the detector) to a map at `FINE`, in place, near a field's corner.

    `size` 1 is right for pixels of 0.15 mm.
    """
    rng = np.random.default_rng(derive_seed(seed, "letter"))
    if rng.random() < 0.3:
        return
    x0, y0, x1, y1 = (each / FINE for each in beam.field)
    height, width = path.shape
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    front = x1 - 75 if beam.side > 0 else x0 + 35
    left, top = int(front + rng.uniform(-15, 5)), int(rng.choice([y0 + 30, y1 - 90]))
    ink = np.zeros((60, 46), np.uint8)
    letter = "L" if beam.side > 0 else "R"
    cv2.putText(ink, letter, (5, 50), cv2.FONT_HERSHEY_SIMPLEX, 1.7, 255, 5, cv2.LINE_AA)
    if rng.random() < 0.2:
        ink = np.ascontiguousarray(ink[:, ::-1])
    if size != 1.0:
        ink = np.asarray(cv2.resize(ink, None, fx=size, fy=size, interpolation=cv2.INTER_AREA))
    patch = path[max(0, top) : top + ink.shape[0], max(0, left) : left + ink.shape[1]]
    patch += ink[: patch.shape[0], : patch.shape[1]] * np.float32(2.2 / 255)


def _cement(skeleton: Skeleton, level: str, rng: np.random.Generator) -> Cloud:
    body = skeleton.bodies[level]
    ball = quasi_random(POINTS, 3)
    polar, turn = 1 - 2 * ball[0], ball[1] * np.float32(2 * np.pi)
    ring = np.sqrt(1 - polar * polar)
    unit = np.stack([ring * np.cos(turn), polar, ring * np.sin(turn)])
    lumps = 1 + 0.3 * np.sin(unit.T @ rng.normal(0, 2.5, (3, 3)) + rng.uniform(0, 6, 3)).T
    radii = np.array([[9.0], [6.5], [10.0]]) * (1 - 0.4 * body.signs.loss)
    points = unit * lumps * radii * np.cbrt(ball[2]) + np.array([[2.0], [1.0], [0.0]])
    volume = 4.19 * float(np.prod(radii)) * 0.5 * CEMENT_DENSITY
    return body.place(points.astype(np.float32)), np.full(POINTS, volume / POINTS, np.float32)


def _screw(skeleton: Skeleton, level: Level, side: int) -> Cloud:
    body = skeleton.bodies[level]
    along, around, _ = quasi_random(6000, 3)
    radius = np.where(along < 0.16, 5.5, 2.6 + 0.5 * np.sin(along * 90))
    turn = around * np.float32(2 * np.pi)
    x = -body.depth / 2 - 24 + along * 52
    z = side * (17 - 9 * along) + radius * np.sin(turn)
    points = np.stack([x, -4 + radius * np.cos(turn), z]) + _unevenness(6000, seed=side)
    return body.place(points.astype(np.float32)), np.full(6000, 52 * 21 * METAL_DENSITY / 6000, np.float32)


def _unevenness(count: int, seed: int) -> np.ndarray:
    """Return small steps (3, count) in mm that hide the pattern of quasi-random points in dense material."""
    return np.random.default_rng(seed + 1).normal(0, 0.45, (3, count))


def _rod(skeleton: Skeleton, levels: Iterable[Level], side: int) -> Cloud:
    along, around, out = quasi_random(12000, 3)
    heads = []
    for level in levels:
        body = skeleton.bodies[level]
        heads.append(body.place(np.array([[-body.depth / 2 - 24], [-4.0], [side * 18.0]]))[:, 0])
    path = np.stack(heads, axis=1)
    knots = np.linspace(0.1, 0.9, path.shape[1])
    points = np.stack([np.interp(along, knots, row) for row in path])
    points[1] += np.where(along < 0.1, (along - 0.1) * 120, np.where(along > 0.9, (along - 0.9) * 120, 0))
    turn, radius = around * np.float32(2 * np.pi), 2.75 * np.sqrt(out)
    points += np.stack([radius * np.cos(turn), 0 * turn, radius * np.sin(turn)])
    points += _unevenness(12000, seed=side)
    length = float(np.linalg.norm(path[:, 0] - path[:, -1])) + 24
    return points.astype(np.float32), np.full(12000, length * 23.8 * METAL_DENSITY / 12000, np.float32)
