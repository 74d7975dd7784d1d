"""Factors of both choices: each is kept once, and markets agree on what they are."""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.problem.survey_factors import NONE, Factors, Split
from blpdask.problem.survey_second_factors import Piece, SecondFactors
from blpdask.problem.survey_squares import compress

PRODUCTS = np.array([0, 3, 8])
AGENTS = np.array([0, 4, 6])
SIZES = [(4, 4), (2, 6)]
RNG = np.random.default_rng(0)
D, X = RNG.normal(size=(2, 6)), RNG.lognormal(size=(2, 10))
G = [RNG.normal(size=(n, n)) for _, n in SIZES]
Array = list[np.ndarray]


def second_factors() -> tuple[Factors, SecondFactors]:
    factors = Factors(4 * 4 + 2 * 6, D.copy(), X.copy())
    return factors, SecondFactors(factors, PRODUCTS, AGENTS)


def pieces(array: Array, *, chunks: int = 1, inside: bool = False) -> list[Piece]:
    """Compress an array, market by market."""
    found = []
    for t, f in enumerate(array):
        counts, pair = ~np.eye(f.shape[1], dtype=bool), None
        if inside:
            counts[0], counts[:, 0] = False, False
        for rows in np.array_split(np.arange(len(f)), chunks):
            square = compress(f[rows], counts, pair)
            pair = getattr(square, "pair", pair) if pair is None else pair
            first = int(AGENTS[t]) + int(rows[0])
            people = slice(first, first + rows.size)
            found.append(Piece(t, people, counts, square))
    return found


def outer(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> Array:
    """Multiply a ``(A,)``, b and c ``(N + T,)`` out."""
    return [
        a[:4, None, None] * np.outer(b[:4], c[:4]),
        a[4:, None, None] * np.outer(b[4:], c[4:]),
    ]


def again(
    factors: Factors, both: SecondFactors, split: Split, array: Array, *, inside: bool
) -> None:
    """Multiply factors out and compare."""
    agents, choices, tables = factors.arrays()
    pairs, triples = both.arrays()
    cell = pair = triple = 0
    for t, f in enumerate(array):
        n, K = SIZES[t]
        found = np.ones((n, K, K))
        own, people = slice(4 * t, 4 * t + K), slice(4 * t, 4 * t + n)
        if split.agent != NONE:
            found *= agents[split.agent, people, None, None]
        if split.choice != NONE:
            found *= choices[split.choice, own, None]
        if split.second_choice != NONE:
            found *= choices[split.second_choice, own]
        if split.table != NONE:
            found *= tables[split.table, cell : cell + n * K].reshape(n, K, 1)
        if split.second_table != NONE:
            found *= tables[split.second_table, cell : cell + n * K].reshape(n, 1, K)
        if split.pair != NONE:
            found *= pairs[split.pair, pair : pair + K * K].reshape(K, K)
        if split.triple != NONE:
            own_triples = triples[split.triple, triple : triple + n * K * K]
            found *= own_triples.reshape(n, K, K)
        counts = ~np.eye(K, dtype=bool)
        if inside:
            counts[0], counts[:, 0] = False, False
        np.testing.assert_allclose(found * counts, f * counts, rtol=2e-14, atol=0)
        cell, pair, triple = cell + n * K, pair + K * K, triple + n * K * K


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("chunks", [1, 2])
def test_columns_of_the_data_are_factors_bit_by_bit(chunks: int, inside: bool) -> None:
    factors, both = second_factors()
    for d, b, c in ((0, 1, 0), (1, 0, 0), (1, 1, 1)):
        array = outer(D[d], X[b], X[c])
        split = both.split(pieces(array, chunks=chunks, inside=inside))
        again(factors, both, split, array, inside=inside)
        assert split == Split(agent=d, choice=b, second_choice=c)
    agents, choices, tables = factors.arrays()
    np.testing.assert_array_equal(agents, D)
    np.testing.assert_array_equal(choices, X)
    assert not tables.size and not both.arrays()[0].size


def test_pairs_are_kept_once_at_any_scale() -> None:
    factors, both = second_factors()
    scales = [(1.0, 1.0), (3.0, -7.0), (0.1, 1e-9)]
    for scale in scales:
        array = [
            s * D[0, rows, None, None] * g
            for s, rows, g in zip(scale, (slice(0, 4), slice(4, 6)), G, strict=True)
        ]
        split = both.split(pieces(array))
        assert (split.pair, split.choice, split.triple) == (0, NONE, NONE)
        again(factors, both, split, array, inside=False)
    assert len(both.arrays()[0]) == 1


def test_markets_agree_on_the_least_form_that_all_of_them_have() -> None:
    """An outer product beside tables is tables, beside no product it is whole."""
    plain = outer(D[0], X[0], X[1])
    rng = np.random.default_rng(4)
    table = rng.normal(size=(2, 6))
    u_first = [plain[0], table[:, :, None] * X[1, 4:]]
    u_second = [plain[0], X[0, 4:, None] * table[:, None, :]]
    two = [plain[0], table[:, :, None] * rng.normal(size=(2, 1, 6))]
    paired = [plain[0], D[0, 4:, None, None] * G[1]]
    mixed = [4 * G[0] * np.ones((4, 1, 1)), table[:, :, None] * X[1, 4:]]
    whole = [plain[0], rng.normal(size=(2, 6, 6))]
    kinds = {
        "first table": (u_first, ("table", "second_choice")),
        "second table": (u_second, ("choice", "second_table")),
        "tables": (two, ("table", "second_table")),
        "pairs": (paired, ("agent", "pair")),
        "pairs beside tables": (mixed, ("triple",)),
        "whole": (whole, ("triple",)),
    }
    for chunks in (1, 2):
        factors, both = second_factors()
        for name, (array, expected) in kinds.items():
            split = both.split(pieces(array, chunks=chunks))
            used = [k for k in Split.__slots__ if getattr(split, k) != NONE]
            assert sorted(used) == sorted(expected), name
            again(factors, both, split, array, inside=False)
        once = both.split(pieces(whole, chunks=chunks))
        assert once.triple == both.split(pieces(whole, chunks=chunks)).triple
        assert len(both.arrays()[1]) == 2


def test_nobody_and_nothing() -> None:
    factors, both = second_factors()
    array = [np.zeros((4, 4, 4)), np.zeros((2, 6, 6))]
    split = both.split(pieces(array))
    again(factors, both, split, array, inside=False)
    half = [np.zeros((4, 4, 4)), D[0, 4:, None, None] * G[1]]
    again(factors, both, both.split(pieces(half)), half, inside=False)
    half[1][0] = 0.0
    again(factors, both, both.split(pieces(half, chunks=2)), half, inside=False)
