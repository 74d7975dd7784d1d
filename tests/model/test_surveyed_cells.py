"""Cells of surveys: probabilities and slopes against plain sums and differences.

Invariants: first choices add to one over all choices; second choices k of j add to
P_ij; slopes of all first choices add to zero; a small share keeps its digits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from blpdask.model.cells import FirstChoices, first_choices
from blpdask.model.surveyed_cells import all_cells, observed_cells
from blpdask.records import MarketBlock, Tastes

I, J, H = 7, 6, 3  # noqa: E741
NESTS = np.array([0, 0, 1, 1, 2, 2])
#: Outside option, then products: each alone, pairs in nests, and a union of nests.
GROUPS = (
    np.arange(1 + J),
    np.array([0, 1, 1, 2, 3, 4, 4]),
    np.array([0, 1, 1, 1, 1, 2, 3]),
)


def market(*, nested: bool, available: bool, scale: float = 1.0) -> MarketBlock:
    rng = np.random.default_rng(3)
    a = rng.choice([0.0, 0.5, 1.0], (I, J), p=[0.1, 0.3, 0.6])
    return MarketBlock(
        index=0,
        first_market=0,
        product_offsets=np.array([0, J]),
        agent_offsets=np.array([0, I]),
        X2=rng.normal(size=(2, J)) / scale,
        log_shares=np.full(J, -2.0),
        logit_delta=np.zeros(J),
        draws=rng.normal(size=(I, 3)),
        weights=np.full(I, 1 / I),
        ZD=np.empty((J, 0)),
        nests=NESTS if nested else None,
        availability=a.ravel() if available else None,
        epsilon_scale=scale,
    )


def tastes(*, nested: bool, rho: Any = (0.3, 0.6, 0.1)) -> Tastes:
    return Tastes(
        loadings=np.array([[0.5, 0.2, 0.7], [0.0, 0.8, -0.3]]),
        types=np.array([0, 1]),
        rows=np.array([0, 1, 0]),
        columns=np.array([0, 1, 2]),
        rho=np.array(rho) if nested else np.empty(0),
        rho_places=np.array([0, 1, 0]) if nested else np.empty(0, np.int64),
    )


DELTA = np.array([0.3, -0.5, 0.9, -1.4, 0.1, -0.2])
BY_THETA = np.random.default_rng(9).normal(size=(J, 5))


def found_at(block: MarketBlock, at: Tastes, delta: Any = DELTA) -> FirstChoices:
    return first_choices(block, at, delta, BY_THETA[:, : at.size])


def moved(block: MarketBlock, at: Tastes, p: int, step: float) -> FirstChoices:
    """Move θ_p, and δ along."""
    loadings, rho = at.loadings.copy(), at.rho.copy()
    if p < at.rows.size:
        loadings[at.rows[p], at.columns[p]] += step
    else:
        rho[at.rho_places == p - at.rows.size] += step
    there = replace(at, loadings=loadings, rho=rho)
    return found_at(block, there, DELTA + step * BY_THETA[:, p])


def difference(block: MarketBlock, at: Tastes, p: int, cells: Any) -> Any:
    """Differentiate cells by θ_p to fourth order."""
    h = 2e-4
    one, two = (
        cells(moved(block, at, p, s)) - cells(moved(block, at, p, -s))
        for s in (h, 2 * h)
    )
    return (8 * one - two) / (12 * h)


def plain(block: MarketBlock, at: Tastes, delta: Any, gone: Any) -> Any:
    """Compute probabilities with choices gone, in long doubles, agent by agent."""
    scale = block.epsilon_scale
    a = np.ones((I, J)) if block.availability is None else block.availability
    a = a.reshape(I, J)
    out = np.zeros((I, 1 + J), np.longdouble)
    for i in range(I):
        index = at.loadings @ block.draws[i]
        V = delta / scale + index[0] * block.X2[0] + np.exp(index[1]) * block.X2[1]
        V = V.astype(np.longdouble)
        nests = NESTS if block.nests is not None else np.zeros(J, int)
        rho = at.rho if at.rho.size else np.zeros(H)
        t = 1 / (1 - rho.astype(np.longdouble)[nests])
        e = a[i] * np.exp(t * V) * ~gone[1:]
        G = np.array([e[nests == h].sum() for h in range(H)])
        top = np.where(G > 0, G ** (1 - rho.astype(np.longdouble)), 0)
        all_of = top.sum() + (not gone[0])
        if all_of == 0:
            continue
        out[i, 0] = (not gone[0]) / all_of
        for j in range(J):
            if G[nests[j]] > 0:
                out[i, 1 + j] = e[j] / G[nests[j]] * top[nests[j]] / all_of
    return out


def plain_pairs(block: MarketBlock, at: Tastes, delta: Any, groups: Any) -> Any:
    """Compute P_ijk as it is defined."""
    whole = plain(block, at, delta, np.zeros(1 + J, bool))
    out = np.zeros((I, 1 + J, 1 + J), np.longdouble)
    for j in range(1 + J):
        gone = groups == groups[j]
        gain = (plain(block, at, delta, gone) - whole) * ~gone
        share = whole[:, gone].sum(axis=1)
        split = np.where(share > 0, whole[:, j] / np.where(share > 0, share, 1), 0)
        out[:, j] = split[:, None] * gain
    return out


CASES = [
    (nested, available, scale)
    for nested, scale in ((False, 1.0), (True, 1.0), (False, 2.5))
    for available in (False, True)
]


@pytest.mark.parametrize(("nested", "available", "scale"), CASES)
def test_first_choices(nested: bool, available: bool, scale: float) -> None:
    block, at = (
        market(nested=nested, available=available, scale=scale),
        tastes(nested=nested),
    )
    found = all_cells(found_at(block, at))
    expected = plain(block, at, DELTA, np.zeros(1 + J, bool)).astype(float)
    np.testing.assert_allclose(found.P, expected, rtol=1e-13, atol=0)
    np.testing.assert_allclose(found.P.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(found.by_theta.sum(axis=2), 0.0, atol=1e-14)
    for p in range(at.size):
        slope = difference(block, at, p, lambda first: all_cells(first).P)
        np.testing.assert_allclose(found.by_theta[p], slope, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("groups", GROUPS, ids=("alone", "within", "union"))
@pytest.mark.parametrize(("nested", "available", "scale"), CASES)
def test_second_choices(
    nested: bool, available: bool, scale: float, groups: Any
) -> None:
    block, at = (
        market(nested=nested, available=available, scale=scale),
        tastes(nested=nested),
    )
    first = found_at(block, at)
    found = all_cells(first, groups)
    expected = plain_pairs(block, at, DELTA, groups).astype(float)
    np.testing.assert_allclose(found.P, expected, rtol=1e-12, atol=1e-17)
    np.testing.assert_allclose(found.P.sum(axis=2), first.P, rtol=1e-13)
    for p in range(at.size):
        slope = difference(block, at, p, lambda first: all_cells(first, groups).P)
        np.testing.assert_allclose(found.by_theta[p], slope, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(
            found.by_theta[p].sum(axis=2), all_cells(first).by_theta[p], atol=1e-13
        )


@pytest.mark.parametrize("nested", [False, True])
def test_observed_cells_are_among_all(nested: bool) -> None:
    block, at = market(nested=nested, available=True), tastes(nested=nested)
    first, rng = found_at(block, at), np.random.default_rng(1)
    j, k = rng.integers(0, 1 + J, I), rng.integers(0, 1 + J, I)
    rows = np.arange(I)
    one, whole = observed_cells(first, [j]), all_cells(first)
    np.testing.assert_array_equal(one.P, whole.P[rows, j])
    np.testing.assert_array_equal(one.by_theta, whole.by_theta[:, rows, j])
    for groups in GROUPS:
        one = observed_cells(first, [j, k], groups)
        whole = all_cells(first, groups)
        np.testing.assert_allclose(one.P, whole.P[rows, j, k], rtol=1e-14)
        np.testing.assert_allclose(
            one.by_theta, whole.by_theta[:, rows, j, k], rtol=1e-12, atol=1e-17
        )


@pytest.mark.parametrize("nested", [False, True])
def test_small_shares_keep_their_digits(nested: bool) -> None:
    """Gains of P_j = 1e-9 are no difference of near numbers, which would lose 1e-7."""
    block, at = market(nested=nested, available=False), tastes(nested=nested)
    delta = DELTA - np.array([1.0, 0, 0, 1.0, 0, 0]) * (4.0 if nested else 25.0)
    found = all_cells(found_at(block, at, delta), GROUPS[0])
    whole = plain(block, at, delta, np.zeros(1 + J, bool))
    if nested:
        expected = plain_pairs(block, at, delta, GROUPS[0])
        assert whole[:, [1, 4]].min() < 1e-8
        np.testing.assert_allclose(
            found.P, expected.astype(float), rtol=1e-9, atol=3e-19
        )
    else:
        expected = whole[:, :, None] * whole[:, None] / (1 - whole[:, :, None])
        expected = expected * (GROUPS[0][:, None] != GROUPS[0])
        np.testing.assert_allclose(found.P, expected.astype(float), rtol=1e-12)


def test_with_rho_zero_nests_do_not_matter() -> None:
    nested = found_at(
        market(nested=True, available=True), tastes(nested=True, rho=(0.0, 0.0, 0.0))
    )
    flat = found_at(market(nested=False, available=True), tastes(nested=False))
    np.testing.assert_allclose(nested.P, flat.P, rtol=1e-13)
    for groups in GROUPS:
        np.testing.assert_allclose(
            all_cells(nested, groups).P, all_cells(flat, groups).P, atol=1e-16
        )


def test_nothing_is_left_where_nothing_was() -> None:
    """Agents for whom all other products are missing, and no outside option."""
    block = market(nested=False, available=False)
    a = np.ones((I, J))
    a[0] = 0.0
    first = found_at(replace(block, availability=a.ravel()), tastes(nested=False))
    found = all_cells(first, GROUPS[1])
    assert np.isfinite(found.P).all() and np.isfinite(found.by_theta).all()
    assert (found.P[0] == 0).all()
