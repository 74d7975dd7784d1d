"""Sums over other products and rivals are those of loops over pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blpdask.problem.rival_sums import interact, rival_sums, sum_groups


def slow(x: np.ndarray, markets: np.ndarray, firms: np.ndarray) -> np.ndarray:
    found = np.zeros((len(x), 2 * x.shape[1]))
    for j in range(len(x)):
        for k in range(len(x)):
            if k != j and markets[k] == markets[j]:
                side = 0 if firms[k] == firms[j] else x.shape[1]
                found[j, side : side + x.shape[1]] += x[k]
    return found


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 60), n_markets=st.integers(1, 12))
def test_sums_are_those_of_loops(seed: int, n: int, n_markets: int) -> None:
    rng = np.random.default_rng(seed)
    markets = np.unique(rng.integers(0, n_markets, n), return_inverse=True)[1]
    firms = rng.integers(0, 3, n)
    x = np.column_stack([np.ones(n), rng.normal(5, 1, n), rng.integers(0, 2, n)])
    found, expected = rival_sums(x, markets, firms), slow(x, markets, firms)
    assert np.allclose(found, expected, rtol=1e-12, atol=1e-12)
    # Counts and dummies are exact.
    assert np.array_equal(found[:, [0, 2, 3, 5]], expected[:, [0, 2, 3, 5]])


def test_no_rivals_and_no_other_products_are_exact_zeros() -> None:
    x = np.array([[0.1], [0.2], [0.3]])
    together = rival_sums(x, np.zeros(3, dtype=int), np.zeros(3, dtype=int))
    apart = rival_sums(x, np.zeros(3, dtype=int), np.arange(3))
    assert (together[:, 1] == 0).all()
    assert (apart[:, 0] == 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_combinations_are_coded_as_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, c = rng.integers(0, 4, (3, 50))
    codes = interact(a, b, c)
    triples = list(zip(a, b, c, strict=True))
    places = {triple: place for place, triple in enumerate(sorted(set(triples)))}
    assert codes.tolist() == [places[triple] for triple in triples]


def test_group_sums_keep_the_order_of_rows() -> None:
    # In this order the large values cancel before the small one is added.
    values = np.array([[1e16], [-1e16], [1.0]])
    assert sum_groups(values, np.zeros(3, dtype=int))[0, 0] == 1.0
