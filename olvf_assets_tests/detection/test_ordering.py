"""Anatomical order, against planted errors."""

import math
from itertools import pairwise, product

import numpy as np
import pytest

from olvf_assets.detection import ordering
from olvf_assets.detection.ordering import order_levels

HEIGHT, PITCH, FLOOR = 30.0, 36.0, 0.05


def column(*rows: float) -> np.ndarray:
    """Return boxes of bodies at the given rows of the spine, in units of the usual pitch from the top."""
    tops = 100 + PITCH * np.array(rows)
    return np.stack([np.full(len(rows), 50.0), tops, np.full(len(rows), 95.0), tops + HEIGHT], axis=1)


def votes(*strongest: tuple[int, float], **others: float) -> np.ndarray:
    """Return (n, 5) probabilities: `strongest` per body, `others` such as b2_l1=0.3 beside it."""
    table = np.full((len(strongest), 5), 0.01)
    for body, (level, probability) in enumerate(strongest):
        table[body, level] = probability
    for name, probability in others.items():
        body, level = name[1:].split("_l")
        table[int(body), int(level) - 1] = probability
    return table


CLEAN = votes((0, 0.9), (1, 0.9), (2, 0.9), (3, 0.9), (4, 0.9))


def test_five_clear_bodies_keep_their_levels_in_any_order_of_candidates() -> None:
    boxes = column(0, 1, 2, 3, 4)
    assert order_levels(boxes, CLEAN, FLOOR).chain == [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]
    assert order_levels(boxes[::-1], CLEAN[::-1], FLOOR).chain == [(4, 0), (3, 1), (2, 2), (1, 3), (0, 4)]


def test_a_level_named_twice_is_put_right_by_its_neighbours() -> None:
    named = votes((0, 0.9), (2, 0.6), (2, 0.9), (3, 0.9), (4, 0.9), b1_l2=0.3)
    assert order_levels(column(0, 1, 2, 3, 4), named, FLOOR).chain == [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]


def test_two_levels_in_the_wrong_order_are_exchanged_when_the_rest_is_sure() -> None:
    named = votes((0, 0.95), (2, 0.55), (1, 0.55), (3, 0.95), (4, 0.95), b1_l2=0.4, b2_l3=0.4)
    assert order_levels(column(0, 1, 2, 3, 4), named, FLOOR).chain == [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]


def test_a_thoracic_body_above_a_sure_l1_is_left_out() -> None:
    named = votes((0, 0.4), (0, 0.9), (1, 0.9), (2, 0.9), (3, 0.9), (4, 0.9))
    assert order_levels(column(0, 1, 2, 3, 4, 5), named, FLOOR).chain == [(1, 0), (2, 1), (3, 2), (4, 3), (5, 4)]


def test_a_second_box_on_one_body_is_left_out() -> None:
    boxes = np.vstack([column(0, 1, 2, 3, 4), column(1.2)])
    named = np.vstack([CLEAN, votes((2, 0.5))])
    assert order_levels(boxes, named, FLOOR).chain == [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]


def test_a_missing_body_leaves_its_level_free() -> None:
    named = np.delete(CLEAN, 2, axis=0)
    assert order_levels(column(0, 1, 3, 4), named, FLOOR).chain == [(0, 0), (1, 1), (2, 3), (3, 4)]


def test_a_column_without_a_gap_gets_levels_without_a_gap() -> None:
    named = votes((0, 0.9), (1, 0.9), (3, 0.5), (4, 0.6), b2_l3=0.35, b3_l4=0.4)
    assert order_levels(column(0, 1, 2, 3), named, FLOOR).chain == [(0, 0), (1, 1), (2, 2), (3, 3)]


def test_a_far_away_false_box_does_not_break_the_column() -> None:
    boxes = np.vstack([column(0, 1, 2, 3, 4), [[900.0, 110.0, 945.0, 140.0]]])
    named = np.vstack([CLEAN, votes((1, 0.6))])
    assert order_levels(boxes, named, FLOOR).chain == [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]


def test_weak_candidates_alone_become_nothing() -> None:
    assert order_levels(column(0, 1), votes((0, 0.01), (2, 0.01)), FLOOR).chain == []
    assert order_levels(np.zeros((0, 4)), np.zeros((0, 5)), FLOOR).chain == []


def test_the_margin_is_the_odds_of_the_next_labelling_of_the_same_bodies() -> None:
    """One body of which the network says L2 nine times in twenty and L3 eleven times: only its vote differs."""
    named = np.array([[0.0, 0.45, 0.55, 0.0, 0.0]])
    smoothed = [0.98 * p + 0.02 / 5 for p in (0.45, 0.55)]
    chain, margin = order_levels(column(0), named, FLOOR)
    assert chain == [(0, 2)]
    assert margin == pytest.approx(math.log(smoothed[1] / smoothed[0]), rel=1e-4)


def test_a_column_that_could_be_one_level_higher_has_a_small_margin_and_a_sure_one_a_large_one() -> None:
    doubtful = np.full((4, 5), 0.01)
    for body in range(4):
        doubtful[body, [body, body + 1]] = 0.45, 0.5
    chain, margin = order_levels(column(0, 1, 2, 3), doubtful, FLOOR)
    assert chain == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert 0 < margin < 1
    assert order_levels(column(0, 1, 2, 3, 4), CLEAN, FLOOR).margin > 5


def test_the_margin_is_that_of_an_exhaustive_search() -> None:
    """Every labelling of three bodies, against the dynamic programme."""
    rng = np.random.default_rng(3)
    for _ in range(50):
        boxes, named = column(*np.sort(rng.uniform(0, 4, 3))), rng.uniform(0.01, 0.9, (3, 5))
        gains, costs = ordering._gains(named, FLOOR), ordering._step_costs(boxes)
        values = {}
        for labels in product([None, 0, 1, 2, 3, 4], repeat=3):
            chain = [(body, level) for body, level in enumerate(labels) if level is not None]
            steps = list(pairwise(chain))
            if chain and all(below[1] > above[1] for above, below in steps):
                values[tuple(chain)] = sum(gains[link] for link in chain) - sum(
                    costs[above[0], below[0], below[1] - above[1] - 1] for above, below in steps
                )
        best = max(values, key=values.__getitem__)
        rivals = [value for chain, value in values.items()
                  if any(body == other and level != k for body, level in chain for other, k in best)]  # fmt: skip
        labelling = order_levels(boxes, named, FLOOR)
        assert labelling.chain == list(best)
        assert labelling.margin == pytest.approx(values[best] - max(rivals))
