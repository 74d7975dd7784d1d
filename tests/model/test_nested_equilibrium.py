"""Equilibrium prices with nests, with products not there for all, with scaled errors.

What must hold:

1. At the prices found, first-order conditions are zero, with ∂s/∂p from differences of
   shares written out agent by agent.
2. Gradients and Hessians of profits are finite differences, whatever the owners.
3. Nests with ρ = 0 are none; more agents than are held at a time add up.
4. Utilities, β and errors twice as large are the same markets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest

from blpdask.model import profit_hessian
from blpdask.model.equilibrium import PricedMarkets, PriceState, solve_prices
from blpdask.records import Floats, InversionControls, TrialPrices
from blpdask.status import PriceStatus
from tests.kernels.test_nests import Nested, differentiate, nested, shares_of

SIZES = {"sizes": (4, 6, 1), "agents": (7, 6, 5)}
CASES = {
    "by nest": {},
    "one nest": {"rho": (0.7,), "places": (0,)},
    "log and logit": {"kinds": (1, 2, 0)},
    "availability": {"availability": True},
    "weights": {"ownership": "weights", "rho": (0.3, 0.0, 0.8)},
    "all": {"ownership": "weights", "availability": True, "kinds": (1, 0, 2)},
}


@dataclass(frozen=True, slots=True, eq=False)
class Utility:
    """X2 has p and p², X1 has p and p²/2, all over a scale."""

    X2: Floats
    delta: Floats
    beta: Floats
    scale: float = 1.0

    def __call__(self, prices: Floats) -> TrialPrices:
        X2, ones = self.X2.copy(), np.ones(prices.size)
        X2[0], X2[1] = prices, prices**2
        delta = self.delta + self.beta[0] * prices + self.beta[1] * prices**2 / 2
        return TrialPrices(
            prices=prices,
            delta=delta / self.scale,
            alpha=(self.beta[0] + self.beta[1] * prices) / self.scale,
            X2=X2 / self.scale,
            X2_by_prices=np.stack([ones, 2 * prices]) / self.scale,
            X2_priced=np.array([0, 1]),
        )

    def curvature(self, prices: Floats) -> tuple[Floats, Floats]:
        ones = np.ones(prices.size)
        return self.beta[1] * ones / self.scale, np.stack([0 * ones, 2 * ones]) / (
            self.scale
        )


def markets(example: Nested) -> PricedMarkets:
    rng = np.random.default_rng(3)
    n = example.block.n_products
    utility = Utility(example.block.X2, rng.normal(6, 1, n), example.beta.beta)
    costs = rng.uniform(0.5, 1.0, n)
    return PricedMarkets(example.block, utility, start=costs, costs=costs)


def state(example: Nested, method: str = "simple", **changed: object) -> PriceState:
    controls = InversionControls(method=method, atol=1e-14, max_evaluations=5000)
    # Loadings this small leave demand that slopes down.
    tastes = replace(example.tastes, loadings=0.3 * example.tastes.loadings)
    return PriceState(tastes, controls, **changed)


def shares_at(example: Nested, given: PricedMarkets, prices: Floats) -> Floats:
    trial = given.utility(prices)
    tastes = state(example).tastes
    return shares_of(example.block, tastes, trial.delta, trial.X2)


def gradients(example: Nested, given: PricedMarkets, prices: Floats) -> Floats:
    """Compute s_j + Σ_k H_jk m_k ∂s_k/∂p_j from differences of shares."""
    block, m = example.block, prices - given.costs
    supply = block.supply
    found = np.empty(prices.size)
    shares, place = shares_at(example, given, prices), 0
    for a, b in pairwise(block.product_offsets):
        own, n = supply.owners[a:b], b - a
        H = (own[:, None] == own).astype(float)
        if supply.ownership.size:
            H = supply.ownership[place : place + n * n].reshape(n, n)
        place += n * n
        for j in range(a, b):
            at = np.eye(prices.size)[j]
            slope = differentiate(
                lambda h, at=at: shares_at(example, given, prices + h * at), 1e-3
            )
            found[j] = shares[j] + H[j - a] @ (m[a:b] * slope[a:b])
    return found


@pytest.fixture(params=CASES)
def example(request: pytest.FixtureRequest) -> Nested:
    return nested(**CASES[request.param], **SIZES)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_no_firm_wants_to_move(example, backend):
    given = markets(example)
    found = solve_prices(given, state(example, backend=backend))
    assert (found.status == PriceStatus.CONVERGED).all()
    assert np.abs(found.gradients).max() < 1e-12
    np.testing.assert_allclose(gradients(example, given, found.prices), 0, atol=1e-9)
    shares = shares_at(example, given, found.prices)
    np.testing.assert_allclose(found.shares, shares, rtol=1e-12)


def test_hessians_are_differences_of_gradients(example):
    given = markets(example)
    prices = solve_prices(given, state(example)).prices
    prices = prices + np.random.default_rng(0).uniform(-0.05, 0.05, prices.size)
    how = state(example, "return", hessians=True)

    def at(p):
        return solve_prices(replace(given, start=p), how)

    found = at(prices)
    written = gradients(example, given, prices)
    np.testing.assert_allclose(found.gradients, written, rtol=0, atol=1e-9)
    supply, place = example.block.supply, 0
    offsets = example.block.product_offsets
    for a, b in pairwise(offsets):
        n, own = b - a, np.zeros(b - a)
        hessian = found.hessians[place : place + n * n].reshape(n, n)
        if supply.ownership.size:  # s_j has the weight H_jj there, one in gradients
            H = supply.ownership[place : place + n * n].reshape(n, n)
            own = np.diag(H) - 1
        place += n * n
        for j in range(n):
            step = np.eye(prices.size)[a + j]

            def sums(h, step=step, own=own, rows=slice(a, b)):
                now = at(prices + h * step)
                return now.gradients[rows] + own * now.shares[rows]

            slopes = differentiate(sums, 2e-4)
            np.testing.assert_allclose(hessian[:, j], slopes, rtol=0, atol=1e-9)
    assert place == found.hessians.size


def test_agents_that_are_not_held_at_once_add_up(example, monkeypatch):
    given, how = markets(example), state(example, "return", hessians=True)
    whole = solve_prices(given, how).hessians
    monkeypatch.setattr(profit_hessian, "HELD", 12)
    parts = solve_prices(given, how).hessians
    np.testing.assert_allclose(parts, whole, rtol=1e-11, atol=1e-13)


def test_nests_without_correlation_are_none():
    example = nested(rho=(0.0, 0.0, 0.0), **SIZES)
    given, how = markets(example), state(example, hessians=True)
    none = np.empty(0, np.int64)
    plain = replace(how, tastes=replace(how.tastes, rho=np.empty(0), rho_places=none))
    alone = replace(given, markets=replace(example.block, nests=None))
    one, two = solve_prices(given, how), solve_prices(alone, plain)
    for name in ("prices", "shares", "hessians"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-11)


def test_scaled_errors_are_scaled_utilities():
    example = nested(availability=True, **SIZES)
    none = np.empty(0, np.int64)
    block = replace(example.block, nests=None)
    example = replace(
        example,
        block=block,
        tastes=replace(example.tastes, rho=np.empty(0), rho_places=none),
    )
    given, how = markets(example), state(example, hessians=True)
    scale = 1.7
    utility = given.utility
    twice = replace(
        given,
        markets=replace(block, epsilon_scale=scale),
        utility=Utility(utility.X2, scale * utility.delta, scale * utility.beta, scale),
    )
    # The tastes for X2 grow as the errors do.
    assert not how.tastes.types.any()
    larger = replace(how.tastes, loadings=scale * how.tastes.loadings)
    one = solve_prices(given, how)
    two = solve_prices(twice, replace(how, tastes=larger))
    np.testing.assert_allclose(two.delta, scale * one.delta, rtol=1e-11)
    for name in ("prices", "shares", "hessians"):
        np.testing.assert_allclose(
            getattr(two, name), getattr(one, name), rtol=1e-10, atol=1e-12
        )
