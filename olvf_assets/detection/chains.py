"""Chains of candidates, each given a place in an order: the best one, and the sum over all.

What lives here: dynamic programming over pairs of consecutive candidates. What does not: what a chain is worth
(`ordering.py`).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Combine = Callable[[np.ndarray, int], np.ndarray]


class Chains(NamedTuple):
    """What chains of n candidates, sorted from head to foot, at P places are worth.

    gains: (n, P), of a candidate at a place; -inf forbids it. steps: (n, n, P, P), cost of two consecutive ones at two
    places. bends: (sides, n, n, n, P), cost of three consecutive ones, the middle one at a place, for each of the ways
    that the whole chain may face.
    """

    gains: np.ndarray
    steps: np.ndarray
    bends: np.ndarray


def log_total(chains: Chains) -> float:
    """Return the natural logarithm of the sum of exp(value) over all chains, the two ways of facing equally likely."""
    totals = [_log_sum(_ends(chains, _forward(chains, side, _log_sum)), -1) for side in range(len(chains.bends))]
    return float(_log_sum(np.array(totals), -1)) - math.log(len(totals))


def best_chain(chains: Chains) -> list[tuple[int, int]]:
    """Return (candidate, place) pairs from head to foot of the chain of the highest value."""
    tables = [_forward(chains, side, _highest) for side in range(len(chains.bends))]
    side = int(np.argmax([_ends(chains, table).max() for table in tables]))
    table = tables[side]
    last = int(_ends(chains, table).argmax())
    if last < chains.gains.size:
        i, place = divmod(last, chains.gains.shape[1])
        return [(i, place)]
    i, j, place = map(int, np.unravel_index(last - chains.gains.size, table.shape))
    chain = [(j, place)]
    while True:
        before = _before(chains, side, table, i, j, _highest)
        above = int((before - chains.steps[i, j, :, place]).argmax())
        chain.append((i, above))
        earlier = table[:, i, above] - chains.bends[side, :, i, j, above]
        h = int(earlier.argmax())
        if chains.gains[i, above] >= earlier[h]:
            return chain[::-1]
        i, j, place = h, i, above


def _forward(chains: Chains, side: int, combine: Combine) -> np.ndarray:
    """Return (n, n, P): value, or sum, of all chains that end with candidates i and then j, j at a place."""
    n, places = chains.gains.shape
    table = np.full((n, n, places), -math.inf)
    for i in range(n):
        earlier = table[:i, i, None] - chains.bends[side, :i, i, i + 1 :]  # (h, j, place of i)
        start = np.broadcast_to(chains.gains[i], (1, n - i - 1, places))
        before = combine(np.concatenate([start, earlier]), 0)  # (j, place of i)
        table[i, i + 1 :] = combine(before[..., None] - chains.steps[i, i + 1 :], 1) + chains.gains[i + 1 :]
    return table


def _before(chains: Chains, side: int, table: np.ndarray, i: int, j: int, combine: Combine) -> np.ndarray:
    """Return (P,): value of all chains that end with candidate i at a place, j being the next."""
    earlier = table[:i, i] - chains.bends[side, :i, i, j]
    return combine(np.concatenate([chains.gains[i][None], earlier]), 0)


def _ends(chains: Chains, table: np.ndarray) -> np.ndarray:
    """Return the values of all chains by their ends: those of one candidate, then those of more."""
    return np.concatenate([chains.gains.ravel(), table.ravel()])


def _highest(values: np.ndarray, axis: int) -> np.ndarray:
    highest: np.ndarray = values.max(axis=axis)
    return highest


def _log_sum(values: np.ndarray, axis: int) -> np.ndarray:
    """Return log(sum(exp)) along an axis; of nothing but -inf it is -inf."""
    highest = values.max(axis=axis, keepdims=True)
    shift = np.where(np.isfinite(highest), highest, 0.0)
    with np.errstate(divide="ignore"):
        total: np.ndarray = np.log(np.exp(values - shift).sum(axis=axis)) + shift.squeeze(axis)
    return total
