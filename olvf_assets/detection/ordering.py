"""Which candidate body is which vertebra.

What lives here: the most probable labelling that anatomy allows, and how probable another one is. One body per
vertebra, from head to foot, about a body apart along a smooth line that bends as spines do. What does not: the network
(`prediction.py`), the sums over chains (`chains.py`).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from olvf_assets.detection.chains import Chains, best_chain, log_total
from olvf_assets.foundation.vocabulary import LEVELS

MOST_CANDIDATES = 40
# How far the network's word on the level can be trusted: the share of its vote that is spread over all classes, and the
# weight of a body's vote beside those of its neighbours, which err together.
VOTE_SMOOTHING, VOTE_WEIGHT = 0.02, 1.0
# Vertebrae from head to foot, and the class under which the network knows each: T11 stands for all above it.
THORACIC = ("T6", "T7", "T8", "T9", "T10")
SPINE = (*THORACIC, "T11", "T12", *LEVELS, "S1")
# Distance of a body's centre from the next one below over the mean height of their boxes. Bodies with their discs are
# about 36 mm apart (VID, 153 CT cases: 34.6 to 36.4 mm), boxes about 30 mm high; tilt makes boxes higher.
SPACING_RATIO = {"L5": 0.9, "L4": 1.05, "L3": 1.12, "L2": 1.12, "L1": 1.1, "T12": 1.05, "T11": 1.0}
THORACIC_RATIO = 0.95
SPACING_SPREAD = 0.22  # standard deviation of the ratio's natural logarithm
WIDTH_SPREAD = 0.2  # the same of the ratio of neighbours' widths
# Change of the line's direction at a body, degrees, forwards positive.
BEND = {"L5": -18.0, "L4": -7.0, "L3": -4.0, "L2": -3.0, "L1": 1.0, "T12": 1.0}
THORACIC_BEND = 5.0
BEND_SPREAD = 12.0
# Bodies of a film err together, so the sums are too sure of themselves. How sure they may be was fitted to 777 labelled
# films of the phantom's withheld look, which neither detector had learnt from: the odds that every name is right are
# exp(offset + share * margin of the sums). On films like those learnt from it is surer than it says.
MARGIN_OFFSET, MARGIN_SHARE = -0.9, 0.38
MISSED_COST = -math.log(0.05)  # a body between two found ones is overlooked about once in twenty times


class Labelling(NamedTuple):
    """The most probable labelling of one film.

    chain: (candidate, level index) pairs from L1 to L5. margin: natural logarithm of the odds that all of these names
    are right; infinite where nothing else is possible.
    """

    chain: list[tuple[int, int]]
    margin: float


def order_levels(
    boxes_px: np.ndarray, probabilities: np.ndarray, floor: float, helpers: Sequence[str] = ()
) -> Labelling:
    """Return the most probable labelling, unlikely candidates left out.

    The probability b that a candidate is a body at all is that of being any of the classes, taken as independent (as
    the network's outputs are); its probabilities, smoothed and scaled to sum 1, are its vote. Labelling it k gains
    log(odds(b) / odds(floor)) + log(vote[k]) over leaving it out. A pair of consecutive labels costs the squared
    deviations of its spacing and widths, a triple that of its bend, for a spine that faces either way, and every
    vertebra skipped the chance of having been overlooked. The best chain is found by dynamic programming; the margin
    compares all chains in which its lumbar bodies keep their names with all others.

    Args:
        boxes_px: float (n, 4), x0 y0 x1 y1, y down.
        probabilities: float (n, 5 + helpers), of each level, then of each helper class, 0..1.
        floor: b of a candidate that is as likely a body as not. Far below one half: the network learns to answer with
            the overlap that its box reaches, so a body found for certain gets less than 1, and much less early on.
        helpers: the helper classes that the network knows, a part of `HELPERS`; they are used for counting alone.
    """
    strongest = probabilities.max(axis=1, initial=0.0)
    kept = np.argsort(-strongest, kind="stable")[:MOST_CANDIDATES]
    centre_y = (boxes_px[:, 1] + boxes_px[:, 3]) / 2
    order = kept[np.argsort(centre_y[kept], kind="stable")]
    places = places_of(helpers)
    gains = body_gains(probabilities[order], floor, helpers, places)
    if not gains.size or gains.max() <= 0:
        return Labelling([], math.inf)
    chains = Chains(gains, step_costs(boxes_px[order], places), bend_costs(boxes_px[order], places))
    chain = [(i, place) for i, place in best_chain(chains) if places[place] in LEVELS]
    if not chain:
        return Labelling([], math.inf)
    agreeing = gains.copy()
    for i, place in chain:
        agreeing[i, np.arange(len(places)) != place] = -math.inf
    total, agreed = log_total(chains), log_total(chains._replace(gains=agreeing))
    against = total + math.log1p(-min(1.0, math.exp(agreed - total))) if agreed < total else -math.inf
    named = [(int(order[i]), LEVELS.index(places[place])) for i, place in chain]
    return Labelling(named, MARGIN_OFFSET + MARGIN_SHARE * (agreed - against))


def places_of(helpers: Sequence[str]) -> tuple[str, ...]:
    """Return the vertebrae, from head to foot, that a network with these helper classes can name."""
    known = {*LEVELS, *helpers, *(THORACIC if "T11" in helpers else ())}
    return tuple(name for name in SPINE if name in known)


def body_gains(probabilities: np.ndarray, floor: float, helpers: Sequence[str], places: Sequence[str]) -> np.ndarray:
    """Return (n, places) gain of labelling a candidate with a vertebra over leaving it out."""
    clipped = np.clip(probabilities.astype(np.float64), 1e-6, 1 - 1e-6)
    none = np.prod(1 - clipped, axis=1, keepdims=True)
    vote = clipped / clipped.sum(axis=1, keepdims=True)
    classes = [*LEVELS, *helpers]
    vote = (1 - VOTE_SMOOTHING) * vote + VOTE_SMOOTHING / len(classes)
    columns = [classes.index("T11" if name in THORACIC else name) for name in places]
    return np.log((1 - none) / none) - math.log(floor / (1 - floor)) + VOTE_WEIGHT * np.log(vote[:, columns])


def step_costs(boxes: np.ndarray, places: Sequence[str]) -> np.ndarray:
    """Return (n, n, places, places): the cost that candidates i and j are consecutive and these two vertebrae."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    heights, widths = (np.maximum(boxes[:, end + 2] - boxes[:, end], 1e-6) for end in (1, 0))
    distance = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    over_height = np.log(np.maximum(distance, 1e-6) / ((heights[:, None] + heights[None]) / 2))
    unlike = np.log(widths[:, None] / widths[None])
    number = np.array([SPINE.index(name) for name in places])
    along = np.cumsum([0.0, *(SPACING_RATIO.get(name, THORACIC_RATIO) for name in SPINE[:-1])])[number]
    steps = number[None] - number[:, None]
    apart = np.where(steps > 0, along[None] - along[:, None], 1.0)
    cost = 0.5 * ((over_height[..., None, None] - np.log(apart)) / SPACING_SPREAD) ** 2
    cost += 0.5 * (unlike[..., None, None] / (WIDTH_SPREAD * np.sqrt(np.maximum(steps, 1)))) ** 2
    return np.where(steps > 0, cost + MISSED_COST * (steps - 1), np.inf)


def bend_costs(boxes: np.ndarray, places: Sequence[str]) -> np.ndarray:
    """Return (2, n, n, n, places): the cost that the line through h, i and j bends so at i, facing right or left."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    run = centres[None] - centres[:, None]
    angle = np.degrees(np.arctan2(run[..., 0], np.maximum(run[..., 1], 1e-6)))  # (from, to)
    bend = angle[None] - angle[:, :, None]  # (h, i, j): of i to j less h to i
    usual = np.array([BEND.get(name, 0.0 if name == "S1" else THORACIC_BEND) for name in places])
    return np.stack([0.5 * ((side * bend[..., None] - usual) / BEND_SPREAD) ** 2 for side in (1.0, -1.0)])
