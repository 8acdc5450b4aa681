"""Anatomical order, against planted errors."""

import math
from itertools import pairwise, product

import numpy as np
import pytest

from olvf_assets.detection import ordering
from olvf_assets.detection.ordering import order_levels
from olvf_assets.foundation.vocabulary import HELPERS, LEVELS

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


def test_the_margin_is_the_odds_of_every_other_name_of_the_same_bodies() -> None:
    """One body of which the network says L2 nine times in twenty and L3 eleven times: only its vote differs."""
    named = np.array([[0.0, 0.45, 0.55, 0.0, 0.0]])
    chain, margin = order_levels(column(0), named, FLOOR)
    gains = ordering.body_gains(named, FLOOR, (), LEVELS)[0]
    others = np.log(np.exp(np.delete(gains, 2)).sum())
    assert chain == [(0, 2)]
    assert margin == pytest.approx(calibrated(gains[2] - others), rel=1e-6)


def calibrated(odds: float) -> float:
    return ordering.MARGIN_OFFSET + ordering.MARGIN_SHARE * odds


def test_a_column_that_could_be_one_level_higher_has_a_small_margin_and_a_sure_one_a_large_one() -> None:
    doubtful = np.full((4, 5), 0.01)
    for body in range(4):
        doubtful[body, [body, body + 1]] = 0.45, 0.5
    chain, margin = order_levels(column(0, 1, 2, 3), doubtful, FLOOR)
    assert chain == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert margin < 0
    assert order_levels(column(0, 1, 2, 3, 4), CLEAN, FLOOR).margin > 3


@pytest.mark.parametrize("helpers", [(), ("T12", "S1"), HELPERS])
def test_chain_and_margin_are_those_of_an_exhaustive_search(helpers: tuple[str, ...]) -> None:
    """Every labelling of three bodies, facing either way, against the dynamic programme."""
    rng = np.random.default_rng(3)
    places = ordering.places_of(helpers)
    for _ in range(12):
        boxes = column(*np.sort(rng.uniform(0, 4, 3))) + rng.uniform(0, 30, (3, 1)) * [1, 0, 1, 0]
        named = rng.uniform(0.01, 0.9, (3, 5 + len(helpers)))
        gains = ordering.body_gains(named, FLOOR, helpers, places)
        steps, bends = ordering.step_costs(boxes, places), ordering.bend_costs(boxes, places)
        values: dict[tuple[tuple[int, int], ...], list[float]] = {}
        for labels in product([None, *range(len(places))], repeat=3):
            chain = [(body, place) for body, place in enumerate(labels) if place is not None]
            if chain and all(below[1] > above[1] for above, below in pairwise(chain)):
                worth = sum(gains[link] for link in chain)
                worth -= sum(steps[above[0], below[0], above[1], below[1]] for above, below in pairwise(chain))
                bent = bends[:, 0, 1, 2, chain[1][1]] if len(chain) == 3 else np.zeros(2)
                values[tuple(chain)] = [float(worth - each) for each in bent]
        best = max(values, key=lambda chain: max(values[chain]))
        levels = [(body, place) for body, place in best if places[place] in LEVELS]
        other = [chain for chain in values if any(
            body == said and place != name for body, place in chain for said, name in levels)]  # fmt: skip
        sums = {chain: np.exp(worths).sum() / 2 for chain, worths in values.items()}
        against = sum(sums[chain] for chain in other)
        labelling = order_levels(boxes, named, FLOOR, helpers)
        assert labelling.chain == [(body, LEVELS.index(places[place])) for body, place in levels]  # type: ignore[arg-type]
        if levels:
            expected = calibrated(math.log((sum(sums.values()) - against) / against))
            assert labelling.margin == pytest.approx(expected, rel=1e-6, abs=1e-6)


ALIKE = np.array([[0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.1, 0.02]])  # any level or T12


def test_levels_are_counted_upwards_from_a_sure_sacrum() -> None:
    named = np.vstack([ALIKE.repeat(7, axis=0), [[0.01] * 7 + [0.9]]])
    labelling = order_levels(column(0, 1, 2, 3, 4, 5, 6, 6.8), named, FLOOR, HELPERS)
    assert labelling.chain == [(2, 0), (3, 1), (4, 2), (5, 3), (6, 4)]
    without = order_levels(column(0, 1, 2, 3, 4, 5, 6), named[:-1], FLOOR, HELPERS)
    assert labelling.margin > without.margin + 1


def test_levels_are_counted_downwards_from_a_sure_t12() -> None:
    named = ALIKE.repeat(7, axis=0)
    named[1] = [0.01] * 5 + [0.9, 0.05, 0.01]
    assert order_levels(column(0, 1, 2, 3, 4, 5, 6), named, FLOOR, HELPERS).chain == [
        (2, 0), (3, 1), (4, 2), (5, 3), (6, 4),
    ]  # fmt: skip


def test_many_thoracic_bodies_above_are_none_of_the_levels() -> None:
    thoracic = np.tile([[0.1, 0.01, 0.01, 0.01, 0.01, 0.1, 0.8, 0.01]], (5, 1))
    lumbar = np.pad(CLEAN, ((0, 0), (0, 3)), constant_values=0.01)
    named = np.vstack([thoracic, lumbar])
    labelling = order_levels(column(*range(10)), named, FLOOR, HELPERS)
    assert labelling.chain == [(5, 0), (6, 1), (7, 2), (8, 3), (9, 4)]


def test_helpers_alone_name_no_level() -> None:
    named = np.array([[0.01] * 6 + [0.9, 0.01], [0.01] * 5 + [0.9, 0.02, 0.01]])
    assert order_levels(column(0, 1), named, FLOOR, HELPERS) == ([], math.inf)


@pytest.mark.parametrize("facing", [1.0, -1.0])
def test_the_bend_of_the_lumbar_spine_tells_where_it_ends_whichever_way_it_faces(facing: float) -> None:
    """Six bodies that votes and spacing cannot tell apart; a straight line ends with L5, a line that bends with S1."""
    assert chain_along([0.0, 0.0, 0.0, 0.0, 0.0, 0.0])[-1] == (5, 4)
    assert chain_along([0.0, 1.0 * facing, -2.0 * facing, -6.0 * facing, -13.0 * facing, -36.0 * facing])[-1] == (4, 4)


def chain_along(degrees: list[float]) -> list[tuple[int, int]]:
    """Return the labels of six alike bodies, of a disc's spacing that fits any level, along a line of such turns."""
    turn = np.radians(degrees)
    pitch = HEIGHT * np.array([1.1, 1.1, 1.1, 1.1, 1.08, 0.97])
    centres = np.cumsum(np.stack([np.sin(turn), np.cos(turn)], axis=1) * pitch[:, None], axis=0) + 300
    half = np.array([22.0, 15.0])
    boxes = np.hstack([centres - half, centres + half])
    named = np.full((6, 8), 0.3)
    return order_levels(boxes, named, FLOOR, HELPERS).chain
