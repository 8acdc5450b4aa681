"""What can be seen of a vertebra: its deformity and the marks of a fresh or an old fracture.

What lives here: the distributions of those marks by class, and the two knobs that make classes easier or harder to
tell. What does not: how a mark is drawn (`bodies.py`). Losses are Genant's: the largest of the anterior, middle and
posterior losses of height (Genant et al., J Bone Miner Res 1993).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from olvf_assets.foundation.vocabulary import VertebraClass

Shape = Literal["none", "wedge", "biconcave", "crush"]
SEVERE_LOSS = 0.40
SHAPE_SHARES: dict[VertebraClass, dict[Shape, float]] = {
    "normal": {"none": 1.0},
    "fresh": {"wedge": 0.58, "biconcave": 0.27, "crush": 0.15},
    "old": {"wedge": 0.50, "biconcave": 0.35, "crush": 0.15},
}


# How often a vertebra looks like another class than the reference standard (MRI) says: the ceiling of any reader.
ATYPICAL: dict[VertebraClass, dict[VertebraClass, float]] = {
    "normal": {"old": 0.04, "fresh": 0.03},
    "old": {"normal": 0.06, "fresh": 0.05},
    "fresh": {"normal": 0.06, "old": 0.06},
}


@dataclass(frozen=True)
class Signs:
    """Marks of one vertebra.

    Attributes:
        shape: which part has lost height. loss: Genant loss of height, 0 to 1.
        band: condensed trabeculae under the broken end-plate, relative density.
        step_mm: buckle of the anterior cortex. kink_mm: break in the end-plate's line.
        sclerosis: extra thickness of the end-plates, relative.
        osteophyte_mm: length of the anterior spurs.
    """

    shape: Shape
    loss: float
    band: float
    step_mm: float
    kink_mm: float
    sclerosis: float
    osteophyte_mm: float


def draw_signs(
    rng: np.random.Generator,
    label: VertebraClass,
    *,
    severe: bool,
    strength: float,
    overlap: float,
    osteophyte_share: float,
) -> Signs:
    """Return the marks of one vertebra of class `label`.

    Args:
        rng: its own generator.
        label: what the reference standard calls it.
        severe: whether the loss exceeds `SEVERE_LOSS`.
        strength: scales the marks that belong to the class.
        overlap: scales their spread, and the chance of bearing the marks of another class.
        osteophyte_share: chance of spurs on a vertebra that is not fractured.
    """
    look = _look(rng, label, overlap)
    shares = SHAPE_SHARES[look if label == "normal" else label]
    shape: Shape = rng.choice(np.array(list(shares)), p=list(shares.values())).item()
    spur = float(rng.gamma(4.0, 0.6)) if rng.random() < osteophyte_share else float(rng.uniform(0, 0.8))
    band = step = kink = 0.0
    sclerosis = float(rng.uniform(0, 0.2))

    def spread(mean: float, deviation: float) -> float:
        return max(0.0, float(rng.normal(mean * strength, deviation * (0.5 + 0.5 * overlap))))

    if look == "normal":
        loss = min(0.16, spread(0.0, 0.04))
        if loss > 0 and shape == "none":
            shape = "wedge" if rng.random() < 0.6 else "biconcave"
    elif look == "old":
        loss = spread(0.28, 0.07)
        sclerosis += spread(1.1, 0.35)
        spur = max(spur, spread(3.4, 1.3))
    else:
        loss = spread(0.15, 0.07)
        band, step, kink = spread(1.2, 0.35), spread(1.8, 0.7), spread(1.9, 0.7)
        sclerosis *= 0.6
    loss = float(np.clip(loss, 0.0, 0.19 if label == "normal" else SEVERE_LOSS - 0.01))
    if severe:
        loss = float(rng.uniform(SEVERE_LOSS + 0.02, 0.62))
    return Signs(shape, loss, band, step, kink, sclerosis, spur)


def _look(rng: np.random.Generator, label: VertebraClass, overlap: float) -> VertebraClass:
    """Return the class whose marks a vertebra of class `label` bears."""
    chance = rng.random()
    for other, share in ATYPICAL[label].items():
        if chance < share * overlap:
            return other
        chance -= share * overlap
    return label
