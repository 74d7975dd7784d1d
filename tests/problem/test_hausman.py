"""Means elsewhere are those of loops over rows."""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.problem.hausman import mean_elsewhere


def slow(
    p: np.ndarray, groups: np.ndarray, excluded: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    means, counts = np.full(p.size, np.nan), np.zeros(p.size, dtype=int)
    for j in range(p.size):
        others = [
            k
            for k in range(p.size)
            if groups[k] == groups[j] and all(c[k] != c[j] for c in excluded)
        ]
        counts[j] = len(others)
        if others:
            means[j] = np.mean(p[others])
    return means, counts


@pytest.mark.parametrize("n_excluded", [1, 2, 3])
@pytest.mark.parametrize("seed", range(8))
def test_means_are_those_of_loops(seed: int, n_excluded: int) -> None:
    rng = np.random.default_rng(seed)
    n = 120
    groups = np.unique(rng.integers(0, 60, n), return_inverse=True)[1]
    # Crossed, not nested: a region may hold part of a market.
    excluded = [rng.integers(0, high, n) for high in (12, 3, 4)[:n_excluded]]
    p = rng.lognormal(size=n)
    found = mean_elsewhere(p, groups, excluded)
    means, counts = slow(p, groups, excluded)
    assert np.array_equal(found.counts, counts)
    assert np.array_equal(np.isnan(found.values), counts == 0)
    assert np.allclose(found.values, means, rtol=1e-13, atol=0, equal_nan=True)
    assert 0 < (counts == 0).sum() < n


def test_prices_that_hardly_differ_keep_their_digits() -> None:
    p = 1e6 + np.array([0.0, 1.0, 2.0]) * 2**-20
    found = mean_elsewhere(p, np.zeros(3, dtype=int), [np.arange(3)]).values
    assert np.allclose(found - 1e6, np.array([1.5, 1.0, 0.5]) * 2**-20, atol=2e-10)


def test_a_product_sold_in_one_market_only_has_nothing_to_average() -> None:
    found = mean_elsewhere(
        np.array([1.0, 2.0, 3.0]), np.array([0, 0, 1]), [np.array([0, 0, 1])]
    )
    assert np.isnan(found.values).all()
    assert found.counts.tolist() == [0, 0, 0]
