"""Which candidate body is which lumbar level.

What lives here: the most probable labelling that anatomy allows: one body per level, L1 above L2 and so on down to
L5, neighbours about one body apart. What does not: the network (`prediction.py`).
"""

import math
from typing import NamedTuple

import numpy as np

from olvf_assets.foundation.vocabulary import LEVELS

MOST_CANDIDATES = 40
# How far the network's word on the level can be trusted: the share of its vote that is spread over all five levels.
VOTE_SMOOTHING = 0.02
# Distance of neighbouring body centres over the mean height of their boxes. Bodies with their discs are about 36 mm
# apart (VID, 153 CT cases: 34.6 to 36.4 mm), boxes about 30 mm high; fractures and lordosis spread the ratio.
SPACING_RATIO = 1.2
SPACING_SPREAD = 0.25  # standard deviation of the ratio's natural logarithm
MISSED_COST = -math.log(0.05)  # a body between two found ones is overlooked about once in twenty times


class Labelling(NamedTuple):
    """The most probable labelling of one film.

    chain: (candidate, level index) pairs from L1 to L5. margin: natural logarithm of how many times as probable it is
    as the best labelling that calls one of these candidates by another level; infinite where there is none.
    """

    chain: list[tuple[int, int]]
    margin: float


def order_levels(boxes_px: np.ndarray, probabilities: np.ndarray, floor: float) -> Labelling:
    """Return the most probable labelling, unlikely candidates left out.

    The probability b that a candidate is a lumbar body at all is that of being any of the five levels, the five taken
    as independent (as the network's outputs are); its probabilities, smoothed and scaled to sum 1, are its vote.
    Labelling it k gains log(odds(b) / odds(floor)) + log(vote[k]) over leaving it out. A pair of consecutive labels
    costs the squared deviation of its spacing, and every level skipped between them the chance of having been
    overlooked. The best chain of the candidates sorted from top to bottom is found by dynamic programming, once
    downwards and once upwards: together they give the best chain through any candidate and level (max-marginals), and
    hence the margin.

    Args:
        boxes_px: float (n, 4), x0 y0 x1 y1, y down.
        probabilities: float (n, 5), probability of each level, 0..1.
        floor: b of a candidate that is as likely a body as not. Far below one half: the network learns to answer with
            the overlap that its box reaches, so a body found for certain gets less than 1, and much less early on.
    """
    strongest = probabilities.max(axis=1, initial=0.0)
    kept = np.argsort(-strongest, kind="stable")[:MOST_CANDIDATES]
    centre_y = (boxes_px[:, 1] + boxes_px[:, 3]) / 2
    order = kept[np.argsort(centre_y[kept], kind="stable")]
    gains = _gains(probabilities[order], floor)
    costs = _step_costs(boxes_px[order])
    down, before = _best_chains(gains, costs)
    if not gains.size or down.max() <= 0:
        return Labelling([], math.inf)
    up = _best_chains(gains[::-1, ::-1], costs[::-1, ::-1])[0][::-1, ::-1]
    last, level = np.unravel_index(int(down.argmax()), down.shape)
    link: tuple[int, int] | None = (int(last), int(level))
    chain: list[tuple[int, int]] = []
    while link is not None:
        chain.append(link)
        link = before.get(link)
    through = down + up - gains
    rivals = through[[candidate for candidate, _ in chain]]
    rivals[np.arange(len(chain)), [level for _, level in chain]] = -math.inf
    return Labelling([(int(order[i]), k) for i, k in reversed(chain)], float(down.max() - rivals.max()))


def _best_chains(gains: np.ndarray, costs: np.ndarray) -> tuple[np.ndarray, dict[tuple[int, int], tuple[int, int]]]:
    """Return (n, 5) value of the best chain that ends with each candidate and level, and each one's link before."""
    best = gains.copy()
    before: dict[tuple[int, int], tuple[int, int]] = {}
    n, n_levels = gains.shape
    for i in range(1, n):
        for k in range(1, n_levels):
            chains = best[:i, :k] - costs[:i, i, k - 1 :: -1]  # by candidate and level above
            value = chains.max()
            if value > 0:
                best[i, k] += value
                j, above = np.unravel_index(int(chains.argmax()), chains.shape)
                before[i, k] = (int(j), int(above))
    return best, before


def _gains(probabilities: np.ndarray, floor: float) -> np.ndarray:
    """Return (n, 5) gain of labelling a candidate with a level over leaving it out."""
    clipped = np.clip(probabilities.astype(np.float64), 1e-6, 1 - 1e-6)
    none = np.prod(1 - clipped, axis=1, keepdims=True)
    vote = clipped / clipped.sum(axis=1, keepdims=True)
    vote = (1 - VOTE_SMOOTHING) * vote + VOTE_SMOOTHING / len(LEVELS)
    return np.log((1 - none) / none) - math.log(floor / (1 - floor)) + np.log(vote)


def _step_costs(boxes: np.ndarray) -> np.ndarray:
    """Return (n, n, 4): what it costs that candidates i and j are consecutive in the chain and 1 .. 4 levels apart."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    heights = boxes[:, 3] - boxes[:, 1]
    distance = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    pitch = SPACING_RATIO * (heights[:, None] + heights[None]) / 2
    steps = np.arange(1, len(LEVELS))
    off = np.log(np.maximum(distance, 1e-6)[..., None] / (np.maximum(pitch, 1e-6)[..., None] * steps))
    return 0.5 * (off / SPACING_SPREAD) ** 2 + MISSED_COST * (steps - 1)
