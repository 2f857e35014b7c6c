"""Orders in which patients with labels may leave, all of them or some at random."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from nkhcc_helpers.allocations import count_allocations


@dataclass(frozen=True)
class Orders:
    """Orders of leaving of patients with labels 0, 1, ..., and who is left on the way.

    Attributes
    ----------
    labels : ndarray of int, shape (n_subjects, n_orders)
        Who leaves at each place.
    states : ndarray of int, shape (n_labels, n_states)
        Patients of each label that may be left together.
    at : ndarray of int, shape (n_subjects, n_orders)
        Which state stands at each place, before someone leaves.
    """

    labels: np.ndarray
    states: np.ndarray
    at: np.ndarray


@lru_cache(maxsize=16)
def list_orders(counts):
    """List every order of leaving that can be told apart.

    Parameters
    ----------
    counts : tuple of int
        Patients with each label.

    Returns
    -------
    Orders
    """
    labels = np.ascontiguousarray(_list_labels(counts).T)
    left = count_left(labels, len(counts))
    sizes = [number + 1 for number in counts]
    # Nobody left is no state, so that all others move up by one.
    states = np.indices(sizes).reshape(len(counts), -1)[:, 1:]
    at = np.ravel_multi_index(tuple(left.swapaxes(0, 1)), sizes) - 1
    for each in (labels, states, at):
        each.setflags(write=False)
    return Orders(labels, states, at)


def draw_orders(counts, n_draws, rng):
    """Draw orders of leaving, each as likely as any other.

    Parameters
    ----------
    counts : sequence of int
        Patients with each label.
    n_draws : int
    rng : numpy.random.Generator

    Returns
    -------
    Orders
    """
    labels = rng.permuted(np.tile(np.repeat(np.arange(len(counts)), counts), (n_draws, 1)), axis=1).T
    states = count_left(labels, len(counts)).swapaxes(0, 1).reshape(len(counts), -1)
    return Orders(labels, states, np.arange(labels.size).reshape(labels.shape))


def count_left(labels, n_labels):
    """Count those who have not left.

    Parameters
    ----------
    labels : ndarray of int, shape (n_subjects, n_orders)
        Who leaves at each place.
    n_labels : int

    Returns
    -------
    ndarray of int, shape (n_subjects, n_labels, n_orders)
        Before someone leaves at each place.
    """
    leaving = labels[:, None, :] == np.arange(n_labels)[:, None]
    return np.cumsum(leaving[::-1], axis=0)[::-1]


def _list_labels(counts):
    """Every order of labels held so many times each, shape (n_orders, n)."""
    orders = np.zeros((1, counts[0]), dtype=np.int8)
    for label, number in enumerate(counts[1:], start=1):
        n = orders.shape[1] + number
        chosen = np.zeros((count_allocations([number, n - number]), n), dtype=bool)
        places = np.array(list(combinations(range(n), number)))
        chosen[np.arange(len(chosen))[:, None], places] = True
        rest = np.nonzero(~chosen)[1].reshape(len(chosen), 1, -1)
        grown = np.full((len(chosen), len(orders), n), label, dtype=np.int8)
        np.put_along_axis(grown, np.broadcast_to(rest, (*grown.shape[:2], rest.shape[2])), orders, axis=2)
        orders = grown.reshape(-1, n)
    return orders
