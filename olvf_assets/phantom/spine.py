"""The patient's skeleton in space: where each vertebra lies and how it is turned.

What lives here: sizes, lordosis, spacing and pose of T6 to S3, drawn from the patient's seed and bent by the view. What
does not: the vertebrae's surfaces (`bodies.py`), the way to the film (`projection.py`).

Patient frame, mm: x forward, y down, z towards the detector; the origin is the middle of the upper end-plate of S1.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import View
from olvf_assets.phantom.looks import UPRIGHT, Posture, Variant
from olvf_assets.phantom.signs import Signs

# From below upwards. Depth and width mm, heights mm (women of 75; body height varies with the patient's size).
SIZES: dict[str, tuple[float, float, float, float]] = {
    "L5": (34.5, 49.0, 27.8, 24.2),
    "L4": (34.5, 46.5, 27.6, 26.2),
    "L3": (34.0, 44.0, 27.4, 27.2),
    "L2": (33.2, 42.0, 26.8, 27.4),
    "L1": (32.0, 40.5, 25.8, 27.0),
    "T12": (31.0, 39.5, 24.6, 25.6),
    "T11": (30.0, 37.5, 23.4, 24.2),
    "T10": (29.0, 35.0, 22.4, 23.2),
    "T9": (28.0, 33.0, 21.6, 22.4),
    "T8": (27.0, 31.5, 21.0, 21.8),
    "T7": (26.0, 30.0, 20.4, 21.2),
    "T6": (25.0, 29.0, 19.8, 20.6),
}
# Distance to the next centre below; L1 to L5 from 153 CT cases (VID data set), mean and standard deviation, mm.
SPACING: dict[str, tuple[float, float]] = {
    "L5": (18.6, 1.2),
    "L4": (36.3, 2.0),
    "L3": (36.4, 1.9),
    "L2": (35.8, 1.7),
    "L1": (34.6, 1.7),
    "T12": (32.0, 1.5),
    "T11": (29.5, 1.4),
    "T10": (27.5, 1.3),
    "T9": (26.0, 1.2),
    "T8": (25.0, 1.1),
    "T7": (24.2, 1.1),
    "T6": (23.4, 1.1),
}
# Share of the lordosis L1–S1 that lies below each vertebra's own tilt.
LORDOSIS_SHARE = {"S1": 1.0, "L5": 0.60, "L4": 0.35, "L3": 0.18, "L2": 0.06, "L1": 0.0, "T12": 0.0}
KYPHOSIS_DEGREES = {"T11": 2.0, "T10": 5.0, "T9": 9.0, "T8": 14.0, "T7": 19.0, "T6": 25.0}
VIEW_BEND_DEGREES: Mapping[View, float] = {"neutral": 0.0, "flexion": -19.0, "extension": 10.0, "thoracic": -4.0}
SACRAL = (("S1", 32.0, 50.0, 30.0, 0.0), ("S2", 23.0, 42.0, 25.0, 16.0), ("S3", 17.0, 34.0, 21.0, 34.0))
LOWER_SACRAL = (("S4", 12.0, 27.0, 17.0, 48.0), ("S5", 9.0, 20.0, 14.0, 58.0))  # where the field may reach so far
# A normal variant: how much nearer to the sacrum L5 lies, how much less S1 is tilted than the rest of the sacrum, and
# the disc between S1 and S2; mm, degrees, mm. Levels are counted from the last rib.
VARIANTS: dict[Variant, tuple[float, float, float]] = {
    "none": (0.0, 0.0, 0.0),
    "four_lumbar": (6.0, 0.0, 0.0),  # L5 belongs to the sacrum
    "transitional": (4.0, 3.0, 3.0),
    "six_lumbar": (0.0, 14.0, 9.0),  # S1 is a body of its own
}
NO_SIGNS = Signs("none", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Body:
    """One vertebral body in place.

    Attributes:
        name: T6 … T12, L1 … L5, S1 … S3.
        centre: float64 (3,), patient frame, mm.
        axes: float64 (3, 3); rows are the body's forward, down and left unit vectors in the patient frame.
        depth, width: sagittal and transverse diameters, mm. front, back: heights before any fracture, mm.
        cavity: concavity of upper and lower end-plate, mm. waist: narrowing between the rims, relative.
        signs: deformity and marks. seed: of its own irregularities, the same in every view.
    """

    name: str
    centre: np.ndarray
    axes: np.ndarray
    depth: float
    width: float
    front: float
    back: float
    cavity: tuple[float, float]
    waist: float
    signs: Signs
    seed: int

    @property
    def height(self) -> float:
        """Return the mean height before any fracture, mm."""
        return (self.front + self.back) / 2

    def place(self, points: np.ndarray) -> np.ndarray:
        """Return points (3, n) of the body's own frame in the patient frame, mm, same dtype."""
        return self.axes.T.astype(points.dtype) @ points + self.centre.astype(points.dtype)[:, None]


@dataclass(frozen=True)
class Skeleton:
    """All bodies by name, from T6 down to S3 or S5, and the patient's size relative to the mean."""

    bodies: dict[str, Body]
    size: float
    age_years: int


def build_skeleton(
    signs: Mapping[str, Signs],
    view: View,
    seed: int,
    *,
    age_years: int = 75,
    badly_placed: frozenset[str] = frozenset(),
    posture: Posture = UPRIGHT,
    variant: Variant = "none",
    whole_sacrum: bool = False,
) -> Skeleton:
    """Return the skeleton of one patient as it lies or bends for one view.

    Args:
        signs: marks of L1 to L5 by level.
        view: bends the lumbar spine.
        seed: of the patient; sizes are the same in every view, posture differs a little.
        age_years: older spines have lower discs.
        badly_placed: levels turned out of the lateral plane (exclusion reason poor_positioning).
        posture: how the patient stands.
        variant: of the lumbosacral junction.
        whole_sacrum: down to S5.
    """
    rng = np.random.default_rng(derive_seed(seed, "skeleton"))
    pose = np.random.default_rng(derive_seed(seed, "pose", view))
    size = float(np.clip(rng.normal(1.0, 0.05), 0.88, 1.12))
    slenderness = float(np.clip(rng.normal(1.0, 0.05), 0.88, 1.12))
    bending = VIEW_BEND_DEGREES[view] * float(rng.uniform(0.6, 1.1))  # the old are stiff, some more than others
    lordosis = float(np.clip(rng.normal(40, 11), 12, 64)) + bending + pose.normal(0, 1.5)
    lordosis += posture.lordosis
    top_tilt = float(rng.normal(-10, 4)) + pose.normal(0, 2) - 0.25 * bending + posture.tilt
    turn = (float(rng.normal(0, 4.5)) + pose.normal(0, 2.5)) * posture.scoliosis  # about the long axis, degrees
    lean = (float(rng.normal(0, 3.0)) + pose.normal(0, 1.0)) * posture.scoliosis  # scoliotic tilt, degrees
    curve = float(rng.normal(0, 1.6)) * posture.scoliosis  # change of lean from vertebra to vertebra
    own_roll = {name: float(rng.normal(0, 1.5)) for name in SPACING}
    old = (2 + max(0, age_years - 60) / 12) * posture.discs
    low_disc = {name: float(rng.beta(2, 4)) * old for name in SPACING}
    step = {name: float(rng.normal(0, 0.9)) for name in SPACING}

    bodies: dict[str, Body] = {}
    sacral_tilt = top_tilt + lordosis
    nearer, upright, disc = VARIANTS[variant]
    segments = (*SACRAL, *LOWER_SACRAL) if whole_sacrum else SACRAL
    bodies |= _sacrum(segments, sacral_tilt, turn, lean, size, seed, upright, disc)
    below, fallen, bend = bodies["S1"], 0.0, 0.0
    centre = np.zeros(3)
    tilt_below = sacral_tilt
    for number, (name, (mean_depth, mean_width, mean_front, mean_back)) in enumerate(SIZES.items()):
        own = signs.get(name) or _thoracic_signs(seed, name)
        vary = rng.normal(1, (0.03, 0.03, 0.035, 0.035)).tolist()
        depth, width = mean_depth * size * slenderness * vary[0], mean_width * size * slenderness * vary[1]
        front, back = mean_front * size * vary[2], mean_back * size * vary[3]
        base = top_tilt + lordosis * LORDOSIS_SHARE.get(name, 0.0)
        base += KYPHOSIS_DEGREES.get(name, 0.0) * posture.kyphosis
        tilt = base + bend
        lost = own.loss * front * {"wedge": 0.45, "biconcave": 0.3, "crush": 0.9, "none": 0.0}[own.shape]
        gap = rng.normal(*SPACING[name]) * size - low_disc[name] * 0.8 - 0.5 * (lost + fallen)
        gap -= nearer * size if name == "L5" else 0.0
        between = np.radians((tilt + tilt_below) / 2)
        aside = np.radians(lean + curve * number)
        forward = np.array([np.cos(between), np.sin(between), 0.0])
        up = np.array([np.sin(between), -np.cos(between), 0.6 * np.sin(aside)])
        centre = (below.centre if name != "L5" else centre) + gap * up + step[name] * forward
        roll = lean + curve * number + own_roll[name] + (14.0 if name in badly_placed else 0.0)
        yaw = turn + curve * number * 1.5 + (16.0 if name in badly_placed else 0.0)
        bodies[name] = below = Body(
            name=name,
            centre=centre,
            axes=_axes(tilt, roll, yaw),
            depth=depth,
            width=width,
            front=front,
            back=back,
            cavity=(float(rng.uniform(0.6, 2.2)), float(rng.uniform(0.8, 2.6))),
            waist=float(rng.uniform(0.05, 0.11)),
            signs=own,
            seed=derive_seed(seed, "body", name),
        )
        wedge = own.loss * front / depth if own.shape == "wedge" else 0.0
        bend += 0.55 * np.degrees(wedge)  # discs make up for the rest
        fallen, tilt_below = lost, tilt
    order = [*reversed(SIZES), *(name for name, *_ in segments)]
    return Skeleton({name: bodies[name] for name in order}, size, age_years)


def _axes(tilt: float, roll: float, yaw: float) -> np.ndarray:
    """Return rows forward, down, left for a sagittal tilt, a coronal roll and an axial turn, degrees."""
    t, r, y = np.radians([tilt, roll, yaw])
    sagittal = np.array([[np.cos(t), np.sin(t), 0], [-np.sin(t), np.cos(t), 0], [0, 0, 1]])
    coronal = np.array([[1, 0, 0], [0, np.cos(r), np.sin(r)], [0, -np.sin(r), np.cos(r)]])
    axial = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    return axial @ coronal @ sagittal


def _sacrum(
    segments: tuple[tuple[str, float, float, float, float], ...],
    tilt: float,
    turn: float,
    lean: float,
    size: float,
    seed: int,
    upright: float,
    disc: float,
) -> dict[str, Body]:
    """Return S1 and what is below; S1 stands `upright` degrees steeper, with a disc of so many mm under it."""
    bodies: dict[str, Body] = {}
    corner = np.zeros(3)
    for name, depth, width, height, more in segments:
        axes = _axes(tilt + more - (upright if name == "S1" else 0.0), lean, turn)
        centre = corner + axes[1] * height * size / 2
        corner = corner + axes[1] * (height + (disc if name == "S1" else 0.0)) * size
        waist = 0.1 if name == "S1" else 0.05
        bodies[name] = Body(
            name, centre, axes, depth * size, width * size, height * size, height * size * 0.92,
            (0.8, 0.3), waist, NO_SIGNS, derive_seed(seed, "body", name),
        )  # fmt: skip
    return bodies


def _thoracic_signs(seed: int, name: str) -> Signs:
    """Return the marks of a vertebra that nobody reads: mostly sound, sometimes an old wedge."""
    rng = np.random.default_rng(derive_seed(seed, "unread", name))
    spur = float(rng.gamma(3.0, 0.7))
    if rng.random() < 0.12:
        return Signs("wedge", float(rng.uniform(0.1, 0.3)), 0.0, 0.0, 0.0, 0.4, spur)
    return Signs("wedge", float(rng.uniform(0, 0.08)), 0.0, 0.0, 0.0, 0.1, spur)
