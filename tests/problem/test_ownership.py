"""Ownership matrices are κ of the firms of pairs; pairs are those of whole markets."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from blpdask.errors import InputError
from blpdask.problem.ownership import (
    Kappa,
    evaluate_kappa,
    market_pairs,
    market_rows,
    ownership_of_market,
    stacked_ownership,
)


def random_rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unbalanced markets in random order, some of one product."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 9, rng.integers(1, 12))
    markets = rng.permutation(np.repeat(np.arange(sizes.size), sizes))
    return markets, rng.integers(0, 4, markets.size)


def weight(f: int, g: int) -> float:
    return 1.0 if f == g else 0.1 * f - 0.01 * g


@pytest.mark.parametrize("most", [1, 5, 1000])
@pytest.mark.parametrize("seed", range(10))
def test_pairs_are_every_pair_of_a_market_once(seed: int, most: int) -> None:
    markets, _ = random_rows(seed)
    rows = market_rows(markets)
    found, stops = [], [0]
    for pairs in market_pairs(rows, most):
        j, k = rows.order[pairs.left], rows.order[pairs.right]
        found += list(zip(j.tolist(), k.tolist(), strict=True))
        assert pairs.first == stops[-1]
        assert np.array_equal(pairs.left[pairs.begins], range(pairs.first, pairs.stop))
        assert pairs.left.size <= most or pairs.stop == pairs.first + 1
        stops.append(pairs.stop)
    assert all(first < second for first, second in pairwise(stops))
    assert stops[-1] == markets.size
    expected = [
        (j, k)
        for j in range(markets.size)
        for k in range(markets.size)
        if markets[j] == markets[k]
    ]
    assert sorted(found) == expected
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("default", [True, False])
def test_stacked_matrices_are_those_of_each_market(seed: int, default: bool) -> None:
    markets, firms = random_rows(seed)
    kappa = None if default else evaluate_kappa(weight, range(4), markets, firms)
    stacked = stacked_ownership(markets, firms, kappa)
    assert stacked.shape == (markets.size, np.bincount(markets).max())
    for market in np.unique(markets):
        rows = np.flatnonzero(markets == market)
        alone = ownership_of_market(firms[rows], kappa)
        assert np.array_equal(stacked[rows, : rows.size], alone)
        assert np.isnan(stacked[rows, rows.size :]).all()
        for j, f in enumerate(firms[rows]):
            for k, g in enumerate(firms[rows]):
                expected = float(f == g) if default else weight(f, g)
                assert alone[j, k] == expected


def test_kappa_is_called_once_for_each_pair_that_meets() -> None:
    calls: list[tuple[str, str]] = []

    def count(f: str, g: str) -> float:
        calls.append((f, g))
        return 0.0

    markets = np.array([0, 0, 0, 1, 1, 2])
    firms = np.array([0, 0, 1, 0, 1, 2])
    evaluate_kappa(count, ("a", "b", "c"), markets, firms)
    assert sorted(calls) == [
        ("a", "a"),
        ("a", "b"),
        ("b", "a"),
        ("b", "b"),
        ("c", "c"),
    ]


def test_kappa_that_gives_no_numbers_is_refused_for_all_pairs_at_once() -> None:
    bad = {("a", "b"): None, ("b", "a"): float("nan"), ("b", "b"): "much"}
    with pytest.raises(InputError) as caught:
        evaluate_kappa(
            lambda f, g: bad.get((f, g), 1.0),
            ("a", "b"),
            np.array([0, 0]),
            np.array([0, 1]),
        )
    assert len(caught.value.faults) == 3
    assert "kappa('a', 'b') = None" in str(caught.value)


def test_firms_that_never_met_are_not_given_a_neighbours_weight() -> None:
    kappa = Kappa(3, np.array([0, 1, 3, 4]), np.ones(4))
    with pytest.raises(InputError, match="met in none before"):
        ownership_of_market(np.array([0, 2]), kappa)


def test_scratch_of_one_large_market_is_its_matrix_and_little_more() -> None:
    markets, firms = np.zeros(2000, dtype=int), np.arange(2000) % 7
    tracemalloc.start()
    stacked = stacked_ownership(markets, firms)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert stacked.sum() == sum(np.bincount(firms) ** 2)
    assert peak < stacked.nbytes + 16 * 2**20
