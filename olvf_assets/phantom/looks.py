"""How a synthetic hospital's films may look: always alike, widely different, or unlike all that is learnt from.

What lives here: the ranges that the two wide looks are drawn from, and one film's draw. What does not: what a hospital
with the plain look sets once for all its films (`settings.py`), how anything is drawn (`trunk.py`, `tissue.py`,
`finish.py`).

`wide` spans films as different makers, rooms and archives hand them over; `withheld` lies beyond it and is there to
measure with, never to learn from. No range is fitted to films of patients: they are what a person who looked at such
films thought possible.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from olvf_assets.foundation.seeds import derive_seed
from olvf_assets.foundation.vocabulary import View
from olvf_assets.phantom.settings import Detector, SyntheticInstitution

Range = tuple[float, float]
Variant = Literal["none", "four_lumbar", "six_lumbar", "transitional"]


@dataclass(frozen=True)
class Posture:
    """How a spine stands beyond what every spine varies.

    Attributes:
        tilt, lordosis: added to the whole spine's and the lumbar spine's angle, degrees.
        kyphosis: times the thoracic bend. scoliosis: times sideways lean, curve and turn.
        discs: times the loss of height of the discs.
    """

    tilt: float = 0.0
    lordosis: float = 0.0
    kyphosis: float = 1.0
    scoliosis: float = 1.0
    discs: float = 1.0


@dataclass(frozen=True)
class Look:
    """One film's draw; the defaults are the plain look.

    Attributes:
        wide: whether anything below was drawn.
        plates, walls, spongiosa, arches, ribs, pelvis: density of these bones, relative.
        rough_mm: how far the points that make up the arches are moved by chance, and those of pelvis and hips 2.5 times
            as far: an even sample shows as a pattern of dots, which a network would learn as bone.
        hips: how much thicker the trunk is at the hips, relative. buttock: their bulge behind, relative to plain.
        slant: how much deeper the hips begin behind than in front, mm per mm. round_back: exponent of the trunk's
            section behind: 2 is an ellipse, many a square.
        lung_mm: air behind each half of the diaphragm, added to plain.
        bubbles, columns: loops of bubbles relative to plain, and columns of gas of body size along the spine.
        height_mm, shape: of the picture; width over height. share: of it that lies above L1 of what is free.
        across: where the spine lies, -1 at the margin that the front faces to 1 at the other.
        sharp_px, even_px: reach of edge enhancement and of range compression, pixels of the maps at `FINE`.
        gamma, shoulder: exponent of the grey curve, and how strongly it bends at both ends.
        low, high: how far black and white lie beyond the tones of the spine and what is beside it, in spans of these.
        blades: turn of the collimator's edges, degrees. border: width of a bright frame as a share of the film.
        seam: whether two plates are stitched. grid: strength of grid lines. letters: lines of burnt-in text.
        metal: of things that are no implants of L1 to L5: hip prostheses, buttons, clips, cement in thoracic bodies.
    """

    wide: bool = False
    plates: float = 1.0
    walls: float = 1.0
    spongiosa: float = 1.0
    arches: float = 1.0
    ribs: float = 1.0
    pelvis: float = 1.0
    rough_mm: float = 0.0
    hips: float = 0.17
    buttock: float = 1.0
    slant: float = 0.0
    round_back: float = 11.0
    lung_mm: float = 0.0
    bubbles: float = 1.0
    columns: int = 0
    height_mm: float = 0.0
    shape: float = 0.0
    share: float = 0.5
    across: float = 0.0
    sharp_px: float = 4.0
    even_px: float = 72.0
    gamma: float = 1.0
    shoulder: float = 0.0
    low: float = 0.0
    high: float = 0.0
    blades: float = 0.0
    border: float = 0.0
    seam: bool = False
    grid: float = 0.0
    letters: int = 0
    metal: int = 0


PLAIN = Look()
UPRIGHT = Posture()

BONES: dict[str, dict[str, Range]] = {
    "wide": {"plates": (0.5, 1.7), "walls": (0.2, 1.6), "spongiosa": (0.2, 2.0), "arches": (0.25, 1.0),
             "ribs": (0.5, 1.3), "pelvis": (0.7, 2.0), "rough_mm": (0.25, 0.9)},
    "withheld": {"plates": (0.4, 1.2), "walls": (0.1, 0.5), "spongiosa": (0.1, 0.5), "arches": (0.6, 1.3),
                 "ribs": (0.8, 1.6), "pelvis": (1.0, 2.4), "rough_mm": (0.6, 1.3)},
}  # fmt: skip
BODY: dict[str, dict[str, Range]] = {
    "wide": {"hips": (0.05, 0.28), "buttock": (0.6, 3.0), "slant": (-0.5, 0.5), "lung_mm": (-8.0, 35.0),
             "bubbles": (0.2, 3.5), "round_back": (2.0, 9.0)},
    "withheld": {"hips": (0.2, 0.4), "buttock": (1.0, 4.0), "slant": (-0.7, 0.7), "lung_mm": (10.0, 60.0),
                 "bubbles": (1.0, 5.0), "round_back": (1.8, 5.0)},
}  # fmt: skip
PICTURE: dict[str, dict[str, Range]] = {
    "wide": {"height_mm": (290.0, 440.0), "shape": (0.45, 1.0), "share": (0.1, 0.95), "across": (-0.5, 0.9),
             "gamma": (0.6, 1.6), "shoulder": (0.0, 1.0), "low": (0.0, 0.6), "high": (0.0, 0.8)},
    "withheld": {"height_mm": (300.0, 430.0), "shape": (0.5, 0.9), "share": (0.1, 0.95), "across": (-0.2, 0.9),
                 "gamma": (0.8, 2.1), "shoulder": (0.5, 1.6), "low": (0.2, 1.0), "high": (0.3, 1.3)},
}  # fmt: skip
MACHINE: dict[str, dict[str, Range]] = {
    "wide": {"quanta": (80.0, 900.0), "scatter": (0.5, 1.8), "body_width_mm": (230.0, 340.0), "contrast": (0.8, 1.2),
             "edge_enhancement": (0.0, 1.4), "range_compression": (0.25, 0.75), "sid_mm": (1000.0, 1800.0),
             "spine_to_detector_mm": (170.0, 290.0)},
    "withheld": {"quanta": (50.0, 300.0), "scatter": (1.0, 2.6), "body_width_mm": (280.0, 380.0),
                 "contrast": (0.8, 1.3), "edge_enhancement": (0.8, 2.2), "range_compression": (0.2, 0.8),
                 "sid_mm": (1000.0, 1400.0), "spine_to_detector_mm": (200.0, 310.0)},
}  # fmt: skip
REACH_MM: dict[str, Range] = {"sharp_px": (0.5, 5.0), "even_px": (10.0, 50.0)}
BLUR_MM: dict[str, Range] = {"wide": (0.08, 0.6), "withheld": (0.4, 0.9)}
POSTURE: dict[str, dict[str, float]] = {  # standard deviations
    "wide": {"tilt": 8.0, "lordosis": 6.0, "kyphosis": 0.35, "scoliosis": 0.4, "discs": 0.5},
    "withheld": {"tilt": 11.0, "lordosis": 10.0, "kyphosis": 0.5, "scoliosis": 0.5, "discs": 0.6},
}


def draw_look(site: SyntheticInstitution, seed: int, view: View) -> Look:
    """Return how one film looks; `seed` is the patient's, whose bones and body are the same on each of their films."""
    if site.look == "plain":
        return PLAIN
    own = np.random.default_rng(derive_seed(seed, "look"))
    rng = np.random.default_rng(derive_seed(seed, "look", view))
    return Look(
        wide=True,
        columns=int(rng.choice([0, 0, 0, 1, 1, 2])),
        blades=float(rng.normal(0, 2.0)) if rng.random() < 0.3 else 0.0,
        border=float(rng.uniform(0.004, 0.05)) if rng.random() < 0.2 else 0.0,
        seam=bool(rng.random() < 0.06),
        grid=float(rng.uniform(0.01, 0.05)) if rng.random() < 0.08 else 0.0,
        letters=int(rng.integers(1, 4)) if rng.random() < 0.25 else 0,
        metal=int(rng.integers(1, 4)) if own.random() < 0.12 else 0,
        **_drawn(BONES[site.look], own),
        **_drawn(BODY[site.look], own),
        **_drawn(PICTURE[site.look], rng),
        **{name: low_mm * (high_mm / low_mm) ** float(rng.random()) / (site.pixel_mm * 2)
           for name, (low_mm, high_mm) in REACH_MM.items()},
    )  # fmt: skip


def draw_posture(site: SyntheticInstitution, seed: int) -> Posture:
    """Return how a patient stands."""
    if site.look == "plain":
        return UPRIGHT
    rng = np.random.default_rng(derive_seed(seed, "posture"))
    spread = {name: float(rng.normal(0, deviation)) for name, deviation in POSTURE[site.look].items()}
    factors = {name: math.exp(spread[name]) for name in ("kyphosis", "scoliosis", "discs")}
    return Posture(spread["tilt"], spread["lordosis"], **factors)


def dressed(site: SyntheticInstitution, seed: int, view: View) -> SyntheticInstitution:
    """Return the hospital as it is for one film: with a wide look each has a machine of its own."""
    if site.look == "plain":
        return site
    rng = np.random.default_rng(derive_seed(seed, "machine", view))
    drawn = _drawn(MACHINE[site.look], rng)
    drawn["quanta"] *= (site.pixel_mm / 0.15) ** 2  # of a larger pixel
    blur_mm = float(rng.uniform(*BLUR_MM[site.look]))
    detectors: tuple[Detector, ...] = tuple(each.model_copy(update={"blur_mm": blur_mm}) for each in site.detectors)
    return site.model_copy(update={**drawn, "detectors": detectors})


def _drawn(ranges: dict[str, Range], rng: np.random.Generator) -> dict[str, float]:
    return {name: float(rng.uniform(*each)) for name, each in ranges.items()}
