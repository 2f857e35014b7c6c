"""Pairings of two endpoints: compared with a list of all of them."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from nkhcc_helpers.compatible.space import Partners, log_share_in_order, pair_at_random


def list_pairings(first, second):
    """Every order of the first times in which none is after the second one at its place."""
    return [each for each in permutations(range(len(first))) if (first[list(each)] <= second).all()]


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_share_of_pairings_is_that_of_a_list(n):
    rng = np.random.default_rng(n)
    first, second = rng.integers(1, 7, (60, n)), rng.integers(2, 9, (60, n))
    listed = np.array([len(list_pairings(*pair)) for pair in zip(first, second, strict=True)])
    share = np.exp(log_share_in_order(first, second))
    assert share * len(list(permutations(range(n)))) == pytest.approx(listed)
    assert (listed == 0).any() or n == 1


def test_every_pairing_that_keeps_the_order_is_as_likely():
    first, second, codes = np.array([1, 3, 2, 5, 5]), np.array([4, 6, 3, 9, 5]), np.array([0, 0, 0, 1, 1])
    possible = {
        (*one, *(3 + at for at in other))
        for one in list_pairings(first[:3], second[:3])
        for other in list_pairings(first[3:], second[3:])
    }
    n = 6_000
    drawn = pair_at_random(
        *(np.tile(each, (n, 1)) for each in (first, second)), codes, np.random.default_rng(1)
    )
    seen = Counter(map(tuple, drawn.tolist()))
    assert set(seen) == possible
    expected = n / len(possible)
    assert sum((count - expected) ** 2 / expected for count in seen.values()) < 3 * len(possible)


def test_partners_of_either_endpoint_are_weighed_alike():
    rng = np.random.default_rng(3)
    first, second, codes = rng.integers(1, 6, (20, 4)), rng.integers(2, 8, (20, 4)), np.array([0, 0, 1, 1])
    weight, rows = np.zeros(20), np.arange(20)
    later, earlier = (Partners(each, weight, codes, each is second) for each in (second, first))
    one = later.weigh(1, first[:, 2:], rows)
    assert one.tolist() == earlier.weigh(1, second[:, 2:], rows).tolist()
    assert np.isfinite(one).any()


def test_no_pairing_is_an_error():
    with pytest.raises(ValueError, match="no pairing keeps the order"):
        pair_at_random(np.array([[5, 5]]), np.array([[4, 9]]), np.array([0, 0]), np.random.default_rng(1))
