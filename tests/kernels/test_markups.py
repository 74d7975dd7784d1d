"""Markups of every backend against first-order conditions written out, one by one.

What must hold, whatever the backend:

1. η solves s_j + Σ_k H_jk η_k ∂s_k/∂p_j = 0 (η = p - c), with ∂s/∂p from sums over
   agents written out, and from finite differences of shares by prices.
2. ∂η/∂θ is the finite difference of η along δ(θ), for Σ, Π and β, whatever the kinds
   of coefficients, with owners and with any matrix H, symmetric or not.
3. Scratch memory and company do not matter.
4. A market whose conditions are singular has NaN, and no other market.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from blpdask.kernels import array_logit, array_markups, loop_markups
from blpdask.records import (
    Floats,
    MarketBlock,
    Markups,
    PriceTastes,
    SupplyRows,
    Tastes,
)
from tests.kernels import problems, reference
from tests.kernels.strict_device import StrictDevice

SCRATCH = 2**26


@dataclass(frozen=True, slots=True)
class Priced:
    """Markets with a supply side, tastes, and β."""

    block: MarketBlock
    tastes: Tastes
    beta: PriceTastes


def _arrays(xp: object) -> Callable[..., Markups]:
    def markups(block: MarketBlock, *arguments: object) -> Markups:
        prepared = array_logit.prepare(block, xp)
        offsets = block.product_offsets
        return array_markups.markups(prepared, block.supply, offsets, *arguments)

    return markups


def _cupy() -> Callable[..., Markups]:
    return _arrays(pytest.importorskip("cupy"))


BACKENDS = {
    "array": lambda: _arrays(np),
    "strict-device": lambda: _arrays(StrictDevice()),
    "loop": lambda: loop_markups.markups,
    "cupy": _cupy,
}


@pytest.fixture(
    params=[
        "array",
        "strict-device",
        "loop",
        pytest.param("cupy", marks=pytest.mark.gpu),
    ]
)
def markups(request: pytest.FixtureRequest) -> Callable[..., Markups]:
    return BACKENDS[request.param]()


def priced(kinds: list[int], ownership: str, seed: int = 3) -> Priced:
    """Make markets in which x2_1 = p and x2_2 = p², and β is on p and p x."""
    loadings = [[0.5, 0.0, 0.0, 0.3], [0.2, 0.4, 0.0, -0.5], [0.1, 0.0, 0.3, 0.2]]
    tastes = problems.make_tastes(loadings, kinds)
    shapes = [(7, 20), (1, 3), (4, 70), (12, 9), (2, 5)]
    block = problems.make_block(seed, shapes, tastes)
    rng = np.random.default_rng(seed)
    J = np.diff(block.product_offsets)
    prices = rng.uniform(0.5, 2.0, block.n_products)
    x = rng.normal(size=block.n_products)
    X2 = block.X2.copy()
    X2[1], X2[2] = prices, -(prices**2) / 8
    owners = np.concatenate([rng.integers(0, max(1, n // 2), n) for n in J])
    if ownership == "matrix":
        H = np.concatenate([_any_ownership(n, rng).ravel() for n in J])
        owners[:] = 0
    else:
        H = np.empty(0)
    block = replace(block, X2=X2)
    S = reference.shares(
        block,
        replace(tastes, loadings=0.7 * tastes.loadings),
        rng.normal(-2, 1, x.size),
    )
    block = problems.with_shares(block, S)
    supply = SupplyRows(
        prices=prices,
        owners=owners,
        ownership=H,
        X1_by_prices=np.stack([np.ones(x.size), x]),
        X2_by_prices=np.stack([np.ones(x.size), -prices / 4]),
        X2_priced=np.array([1, 2]),
        ZS=np.empty((x.size, 0)),
    )
    beta = PriceTastes(beta=np.array([-4.0, 0.2]), free=np.array([0, 1]))
    return Priced(replace(block, supply=supply), tastes, beta)


def _any_ownership(n: int, rng: np.random.Generator) -> Floats:
    H = rng.uniform(0, 0.4, size=(n, n)) * (rng.uniform(size=(n, n)) < 0.7)
    np.fill_diagonal(H, 1.0)
    return H


CASES = {
    "linear": ([0, 0, 0], "owners"),
    "log and logit": ([0, 1, 2], "owners"),
    "any matrix": ([0, 1, 0], "matrix"),
}


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Priced:
    return priced(*CASES[request.param])


def _ownership(block: MarketBlock, t: int) -> Floats:
    rows = slice(block.product_offsets[t], block.product_offsets[t + 1])
    squares = np.concatenate([[0], np.cumsum(np.diff(block.product_offsets) ** 2)])
    n = rows.stop - rows.start
    assert block.supply is not None
    if block.supply.ownership.size:
        return block.supply.ownership[squares[t] : squares[t + 1]].reshape(n, n)
    own = block.supply.owners[rows]
    return (own[:, None] == own).astype(float)


def share_slopes(case: Priced, delta: Floats, t: int) -> Floats:
    """Compute ∂s_k/∂p_j of market t as [k, j], agent by agent."""
    block, tastes, supply = case.block, case.tastes, case.block.supply
    assert supply is not None
    products, agents = list(reference.markets(block))[t]
    mu, _ = reference.deviations(block.X2[:, products], block.draws[agents], tastes)
    P = np.exp(reference.log_probabilities(mu, delta[products]))
    alpha = supply.X1_by_prices[:, products].T @ case.beta.beta
    slopes = np.zeros((alpha.size, alpha.size))
    for w, p, draws in zip(block.weights[agents], P, block.draws[agents], strict=True):
        a = alpha.copy()
        for k, x in zip(
            supply.X2_priced, supply.X2_by_prices[:, products], strict=True
        ):
            a += (
                reference.coefficient(tastes.loadings[k] @ draws, tastes.types[k])[0]
                * x
            )
        slopes += w * (np.diag(p * a) - np.outer(p, p * a))
    return slopes


def eta_of(case: Priced, delta: Floats) -> Floats:
    """Solve first-order conditions market by market."""
    block = case.block
    eta = np.empty(block.n_products)
    for t, (rows, _) in enumerate(reference.markets(block)):
        conditions = -_ownership(block, t) * share_slopes(case, delta, t).T
        eta[rows] = np.linalg.solve(conditions, np.exp(block.log_shares[rows]))
    return eta


def solve(case: Priced) -> tuple[Floats, Floats]:
    delta, slopes, _ = reference.invert(case.block, case.tastes, case.block.logit_delta)
    return delta, slopes


def shifted(case: Priced, p: int, by: float) -> Priced:
    """Move one parameter: those of Γ come first, then those of β."""
    tastes = case.tastes
    if p < tastes.rows.size:
        loadings = tastes.loadings.copy()
        loadings[tastes.rows[p], tastes.columns[p]] += by
        return replace(case, tastes=replace(tastes, loadings=loadings))
    beta = case.beta.beta.copy()
    beta[case.beta.free[p - tastes.rows.size]] += by
    return replace(case, beta=replace(case.beta, beta=beta))


def test_markups_solve_first_order_conditions(markups, case):
    delta, slopes = solve(case)
    found = markups(case.block, case.tastes, case.beta, delta, slopes, SCRATCH)
    expected = eta_of(case, delta)
    np.testing.assert_allclose(found.eta, expected, rtol=1e-11)
    residual = [
        np.exp(case.block.log_shares[rows])
        + (_ownership(case.block, t) * share_slopes(case, delta, t).T) @ found.eta[rows]
        for t, (rows, _) in enumerate(reference.markets(case.block))
    ]
    assert max(np.abs(r).max() for r in residual) < 1e-14


def test_share_slopes_are_finite_differences():
    """The reference's own: prices move X2 and δ."""
    case = priced(*CASES["log and logit"])
    delta, _ = solve(case)
    supply, block, h = case.block.supply, case.block, 1e-5
    rows = slice(0, 7)
    for j in range(7):
        ends = []
        for sign in (1, -1):
            p = supply.prices[j] + sign * h
            X2, moved = block.X2.copy(), delta.copy()
            X2[1, j], X2[2, j] = p, -(p**2) / 8
            moved[j] += sign * h * supply.X1_by_prices[:, j] @ case.beta.beta
            now = replace(block, X2=X2)
            ends.append(reference.shares(now, case.tastes, moved)[rows])
        difference = (ends[0] - ends[1]) / (2 * h)
        np.testing.assert_allclose(
            share_slopes(case, delta, 0)[:, j], difference, rtol=1e-6, atol=1e-10
        )


def test_derivatives_are_finite_differences(markups, case):
    delta, slopes = solve(case)
    found = markups(case.block, case.tastes, case.beta, delta, slopes, SCRATCH)
    n_parameters = case.tastes.rows.size + case.beta.free.size
    assert found.eta_by_theta.shape == (delta.size, n_parameters)
    h = 1e-5
    for p in range(n_parameters):
        ends = []
        for sign in (1, -1):
            moved = shifted(case, p, sign * h)
            ends.append(eta_of(moved, solve(moved)[0]))
        difference = (ends[0] - ends[1]) / (2 * h)
        error = np.linalg.norm(found.eta_by_theta[:, p] - difference)
        assert error < 1e-7 * max(1.0, np.linalg.norm(difference)), p


def test_scratch_memory_does_not_matter(markups, case):
    delta, slopes = solve(case)
    much = markups(case.block, case.tastes, case.beta, delta, slopes, SCRATCH)
    little = markups(case.block, case.tastes, case.beta, delta, slopes, 1)
    np.testing.assert_allclose(little.eta, much.eta, rtol=1e-13)
    size = np.abs(much.eta_by_theta).max()
    np.testing.assert_allclose(
        little.eta_by_theta, much.eta_by_theta, rtol=1e-11, atol=1e-12 * size
    )


def test_derivatives_cost_nothing_where_not_wanted(markups):
    case = priced(*CASES["linear"])
    delta, slopes = solve(case)
    none = np.empty((delta.size, 0))
    found = markups(case.block, case.tastes, case.beta, delta, none, SCRATCH)
    assert found.eta_by_theta.shape == (delta.size, 0)
    whole = markups(case.block, case.tastes, case.beta, delta, slopes, SCRATCH)
    np.testing.assert_array_equal(found.eta, whole.eta)


def test_a_singular_market_is_nan_and_no_other(markups):
    case = priced(*CASES["any matrix"])
    supply = case.block.supply
    H = supply.ownership.copy()
    H[:49] = 0.0
    block = replace(case.block, supply=replace(supply, ownership=H))
    delta, slopes = solve(case)
    found = markups(block, case.tastes, case.beta, delta, slopes, SCRATCH)
    assert np.isnan(found.eta[:7]).all() and np.isnan(found.eta_by_theta[:7]).all()
    whole = markups(case.block, case.tastes, case.beta, delta, slopes, SCRATCH)
    np.testing.assert_array_equal(found.eta[7:], whole.eta[7:])


def test_plain_logit_markups_have_a_closed_form(markups):
    """One product a firm: η = -1 / (α (1 - s))."""
    case = priced(*CASES["linear"])
    block, n = case.block, case.block.n_products
    none = np.zeros(0, np.int64)
    tastes = Tastes(np.zeros((0, block.draws.shape[1])), none, none, none)
    owners = np.concatenate([np.arange(J) for J in np.diff(block.product_offsets)])
    supply = replace(
        block.supply, owners=owners, X2_by_prices=np.empty((0, n)), X2_priced=none
    )
    logit = replace(block, X2=np.empty((0, n)), supply=supply)
    alpha = supply.X1_by_prices.T @ case.beta.beta
    found = markups(
        logit, tastes, case.beta, block.logit_delta, np.empty((n, 0)), SCRATCH
    )
    expected = -1 / (alpha * (1 - np.exp(block.log_shares)))
    np.testing.assert_allclose(found.eta, expected, rtol=1e-12)


def test_low_utilities_do_no_harm(markups):
    """Probabilities of 1e-282 are summed as any others are."""
    case = priced(*CASES["linear"])
    delta, slopes = solve(case)
    low = delta - 650.0
    found = markups(case.block, case.tastes, case.beta, low, slopes, SCRATCH)
    np.testing.assert_allclose(found.eta, eta_of(case, low), rtol=1e-9)
    assert np.isfinite(found.eta_by_theta).all()
