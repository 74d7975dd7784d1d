"""Differentiation instruments are those of loops over pairs; nothing cancels.

The sums without pairs are held against fractions, exact whatever the scale, and the
local ones against loops; scratch does not grow with J.
"""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from blpdask.problem.differentiation import (
    difference_deviations,
    local_instruments,
    quadratic_instruments,
    with_demographics,
)

Panel = tuple[np.ndarray, np.ndarray, np.ndarray]


def panel(seed: int, K: int = 3) -> Panel:
    """Unbalanced markets in random order; far from zero, a dummy among columns."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 8, 9)
    markets = rng.permutation(np.repeat(np.arange(sizes.size), sizes))
    x = rng.normal(100, 1, (markets.size, K))
    x[:, -1] = rng.integers(0, 2, markets.size)
    return x, markets, rng.integers(0, 3, markets.size)


def slow(x: np.ndarray, markets: np.ndarray, firms: np.ndarray, terms) -> np.ndarray:
    """Sum a function of (x_j, x_k), a list of M terms, pair by pair."""
    found = []
    for j in range(len(x)):
        sides = []
        for mine in (True, False):
            ks = [
                k
                for k in range(len(x))
                if k != j
                and markets[k] == markets[j]
                and (firms[k] == firms[j]) == mine
            ]
            columns = [[float(term) for term in terms(x[j], x[k])] for k in ks]
            sides.append(np.sum(columns, axis=0) if ks else None)
        width = len(terms(x[j], x[j]))
        found.append(
            np.concatenate([np.zeros(width) if s is None else s for s in sides])
        )
    return np.array(found)


def products(crossed: bool):
    def terms(x_j: np.ndarray, x_k: np.ndarray) -> list[float]:
        d = [
            Fraction(float(a)) - Fraction(float(b))
            for a, b in zip(x_j, x_k, strict=True)
        ]
        K = len(d)
        return [
            d[a] * d[b] for a in range(K) for b in range(a, K if crossed else a + 1)
        ]

    return terms


def closeness(limits: np.ndarray, crossed: bool):
    def terms(x_j: np.ndarray, x_k: np.ndarray) -> list[float]:
        d = x_j - x_k
        close = np.abs(d) < limits
        K = len(d)
        if not crossed:
            return list(close)
        return [close[a] * d[b] for a, b in product(range(K), range(K))]

    return terms


def pairwise_deviations(x: np.ndarray, markets: np.ndarray) -> np.ndarray:
    d = [
        x[j] - x[k]
        for j in range(len(x))
        for k in range(len(x))
        if j != k and markets[j] == markets[k]
    ]
    return np.std(d, axis=0)


@pytest.mark.parametrize("crossed", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_quadratic_sums_are_those_of_loops(seed: int, crossed: bool) -> None:
    x, markets, firms = panel(seed)
    found = quadratic_instruments(x, markets, firms, crossed)
    expected = slow(x, markets, firms, products(crossed))
    error = np.linalg.norm(found - expected, axis=0)
    assert (error <= 1e-13 * np.linalg.norm(expected, axis=0) + 1e-300).all()


@pytest.mark.parametrize("crossed", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_local_sums_are_those_of_loops(seed: int, crossed: bool) -> None:
    x, markets, firms = panel(seed)
    limits = pairwise_deviations(x, markets)
    assert np.allclose(difference_deviations(x, markets), limits, rtol=1e-13)
    found = local_instruments(x, markets, firms, crossed)
    expected = slow(x, markets, firms, closeness(limits, crossed))
    assert np.allclose(found, expected, rtol=1e-13, atol=1e-13)
    if not crossed:
        assert np.array_equal(found, expected)


def test_squares_far_from_zero_keep_their_digits() -> None:
    # Naive expansion loses all: x² is 1e16 and differences are of order one.
    rng = np.random.default_rng(0)
    x = 1e8 + rng.normal(size=(40, 1))
    markets, firms = np.repeat(np.arange(4), 10), np.tile([0, 1], 20)
    expected = slow(x, markets, firms, products(False))
    found = quadratic_instruments(x, markets, firms)
    naive = 40 * x**2 - 2 * x * x.sum() + (x**2).sum()
    assert np.abs(naive / expected[:, :1]).max() > 10 or np.abs(naive).max() == 0
    assert np.allclose(found, expected, rtol=1e-14, atol=0)


def test_a_firms_near_twins_far_from_its_rivals_keep_their_digits() -> None:
    x = np.array([[1000.0], [1000.0 + 2**-20], [0.0], [1.0]])
    found = quadratic_instruments(x, np.zeros(4, dtype=int), np.array([0, 0, 1, 1]))
    assert found[:2, 0].tolist() == [2**-40, 2**-40]
    expected = slow(x, np.zeros(4), np.array([0, 0, 1, 1]), products(False))
    assert np.allclose(found, expected, rtol=1e-14, atol=0)


def test_integers_and_constants_are_exact() -> None:
    rng = np.random.default_rng(3)
    markets, firms = rng.integers(0, 5, 60), rng.integers(0, 4, 60)
    x = np.column_stack([rng.integers(-9, 9, 60), np.full(60, 0.1)]).astype(float)
    found = quadratic_instruments(x, markets, firms, True)
    assert np.array_equal(found, slow(x, markets, firms, products(True)))
    assert (found[:, [2, 5]] == 0).all()


def test_rivals_squares_are_never_negative() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        x = rng.choice(rng.normal(size=2), (12, 1))
        markets = np.unique(rng.integers(0, 3, 12), return_inverse=True)[1]
        found = quadratic_instruments(x, markets, rng.integers(0, 3, 12))
        assert (found >= 0).all()


def test_differences_that_all_equal_their_deviation_are_not_close() -> None:
    # Every market has a product at 0.1 and one at 0.7: SD is 0.6, no |d| is below.
    markets = np.repeat(np.arange(7), 2)
    x = np.tile([[0.1], [0.7]], (7, 1))
    assert (local_instruments(x, markets, np.arange(14)) == 0).all()


def test_markets_of_one_product_have_zeros() -> None:
    x, markets = np.arange(3.0)[:, None], np.arange(3)
    for build, crossed in product(
        (local_instruments, quadratic_instruments), (False, True)
    ):
        assert np.array_equal(build(x, markets, markets, crossed), np.zeros((3, 2)))


def test_demographics_multiply_every_instrument() -> None:
    z, d = np.arange(6.0).reshape(3, 2), np.array([[1.0, 0.5], [2.0, 0.0], [3.0, 1.0]])
    found = with_demographics(z, d)
    assert np.array_equal(found, np.hstack([z, z * d[:, [0]], z * d[:, [1]]]))


@pytest.mark.parametrize("crossed", [False, True])
@pytest.mark.parametrize("build", [local_instruments, quadratic_instruments])
def test_scratch_does_not_grow_with_markets(build, crossed: bool) -> None:
    n, J, K = 20_000, 200, 2
    rng = np.random.default_rng(1)
    x, markets = rng.normal(size=(n, K)), np.arange(n) // J
    firms = np.arange(n) % 10
    build(x[:400], markets[:400], firms[:400], crossed)
    tracemalloc.start()
    build(x, markets, firms, crossed)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 2**20 < n * J * 8
