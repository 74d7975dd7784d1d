"""Equilibrium prices of a block, against first-order conditions and second derivatives.

What must hold:

1. At the prices found, first-order conditions written out are zero to 1e-12, whatever
   the kinds of coefficients, owners and backend; another way to solve them agrees.
2. "squarem" and secant steps find the same prices, the latter also where plain
   iteration never ends; "return" keeps the starting ones.
3. Costs that follow shares are those of the equilibrium's shares.
4. Hessians are finite differences of gradients.
5. A market that has no equilibrium, or runs out of evaluations, says so, and others do
   not notice; a market that is done costs nothing.
6. Blocks added by an engine are the whole.
7. Prices that are held do not move by a bit, and conditions of the others hold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import scipy.optimize

from blpdask.driver.threads import ThreadsEngine
from blpdask.kernels import loop_backend
from blpdask.model import equilibrium
from blpdask.model.equilibrium import (
    PricedMarkets,
    PriceState,
    equilibrium_pass,
    solve_prices,
)
from blpdask.records import Floats, InversionControls, TrialPrices
from blpdask.status import PriceStatus
from tests.kernels import reference
from tests.kernels.test_markups import CASES, Priced, _ownership, priced, share_slopes

METHODS = ("simple", "squarem", "accelerated")
TIGHT = 1e-14


@dataclass(frozen=True, slots=True, eq=False)
class Utility:
    """X2 has p and -p²/8, X1 has p and p x, as in :func:`priced`."""

    X2: Floats
    x: Floats
    delta: Floats
    beta: Floats

    def __call__(self, prices: Floats) -> TrialPrices:
        X2, ones = self.X2.copy(), np.ones(prices.size)
        X2[1], X2[2] = prices, -(prices**2) / 8
        slope = self.beta[0] + self.beta[1] * self.x
        return TrialPrices(
            prices=prices,
            delta=self.delta + slope * prices,
            alpha=slope,
            X2=X2,
            X2_by_prices=np.stack([ones, -prices / 4]),
            X2_priced=np.array([1, 2]),
        )

    def curvature(self, prices: Floats) -> tuple[Floats, Floats]:
        zeros = np.zeros(prices.size)
        return zeros, np.stack([zeros, zeros - 0.25])


def markets(case: Priced) -> PricedMarkets:
    rng = np.random.default_rng(11)
    block = case.block
    n = block.n_products
    x = block.supply.X1_by_prices[1]
    utility = Utility(block.X2, x, rng.normal(1, 1, n), case.beta.beta)
    costs = rng.uniform(0.5, 1.0, n)
    return PricedMarkets(markets=block, utility=utility, start=costs, costs=costs)


def state(case: Priced, **changed: object) -> PriceState:
    controls = InversionControls(
        **{"method": "simple", "atol": TIGHT, "max_evaluations": 5000, **changed}
    )
    return PriceState(case.tastes, controls)


def gradients(case: Priced, given: PricedMarkets, prices: Floats, costs: Floats):
    """Write first-order conditions out, agent by agent."""
    trial = given.utility(prices)
    supply = replace(case.block.supply, X2_by_prices=trial.X2_by_prices)
    moved = replace(case, block=replace(case.block, X2=trial.X2, supply=supply))
    shares = reference.shares(moved.block, case.tastes, trial.delta)
    found = np.empty(prices.size)
    for t, (rows, _) in enumerate(reference.markets(case.block)):
        H = _ownership(case.block, t)
        slopes = share_slopes(moved, trial.delta, t)
        found[rows] = shares[rows] + (H * slopes.T) @ (prices - costs)[rows]
    return found


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Priced:
    return priced(*CASES[request.param])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_no_firm_wants_to_move(case, method, backend):
    given = markets(case)
    how = replace(state(case, method=method), backend=backend)
    found = solve_prices(given, how)
    assert (found.status == PriceStatus.CONVERGED).all()
    written = gradients(case, given, found.prices, given.costs)
    assert np.abs(written).max() < 1e-12
    np.testing.assert_allclose(found.gradients, written, atol=1e-13)
    trial = given.utility(found.prices)
    moved = replace(case.block, X2=trial.X2)
    shares = reference.shares(moved, case.tastes, trial.delta)
    np.testing.assert_allclose(found.shares, shares, rtol=1e-12)
    np.testing.assert_array_equal(found.delta, trial.delta)
    assert (found.prices > given.costs).all()


def test_backends_and_methods_agree(case):
    given = markets(case)
    found = [
        solve_prices(given, replace(state(case, method=m), backend=b)).prices
        for m, b in (
            ("simple", "numba"),
            ("simple", "numpy"),
            ("squarem", "numba"),
            ("accelerated", "numba"),
        )
    ]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-10)
    np.testing.assert_allclose(found[3], found[0], rtol=1e-12)


def test_another_way_to_solve_the_conditions_agrees(case):
    given = markets(case)
    found = solve_prices(given, state(case))
    solved = scipy.optimize.root(
        lambda p: gradients(case, given, p, given.costs),
        found.prices + 0.05,
        options={"xtol": 1e-13},
    )
    np.testing.assert_allclose(solved.x, found.prices, rtol=1e-8)


def test_costs_follow_shares(case):
    given = markets(case)
    given = replace(given, costs_at=lambda s: given.costs + 0.4 * s)
    found = solve_prices(given, state(case))
    np.testing.assert_allclose(found.costs, given.costs + 0.4 * found.shares)
    written = gradients(case, given, found.prices, found.costs)
    assert np.abs(written).max() < 1e-12


def test_return_keeps_prices(case):
    given = markets(case)
    found = solve_prices(given, state(case, method="return"))
    np.testing.assert_array_equal(found.prices, given.start)
    assert (found.status == PriceStatus.CONVERGED).all()
    assert not found.evaluations.any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_prices_that_are_held_stay(case, method, backend):
    rng = np.random.default_rng(5)
    given = markets(case)
    fixed = rng.uniform(size=given.start.size) < 0.4
    start = given.costs + rng.uniform(-0.1, 3.0, fixed.size)
    given = replace(given, fixed=fixed, start=start)
    how = replace(state(case, method=method), backend=backend)
    found = solve_prices(given, how)
    assert (found.status == PriceStatus.CONVERGED).all()
    np.testing.assert_array_equal(found.prices[fixed], start[fixed])
    written = gradients(case, given, found.prices, given.costs)
    assert np.abs(written[~fixed]).max() < 1e-12
    assert np.abs(written[fixed]).max() > 1e-3
    assert not found.gradients[fixed].any()
    np.testing.assert_allclose(found.gradients[~fixed], written[~fixed], atol=1e-13)
    free = np.flatnonzero(~fixed)

    def conditions(some):
        prices = start.copy()
        prices[free] = some
        return gradients(case, given, prices, given.costs)[free]

    solved = scipy.optimize.root(
        conditions, found.prices[free] + 0.03, options={"xtol": 1e-13}
    )
    np.testing.assert_allclose(solved.x, found.prices[free], rtol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_holding_everything_or_nothing(case, method):
    given = markets(case)
    start = np.random.default_rng(6).uniform(0.1, 9.0, given.start.size)
    given = replace(given, start=start)
    everything = replace(given, fixed=np.ones(start.size, bool))
    found = solve_prices(everything, state(case, method=method))
    np.testing.assert_array_equal(found.prices, given.start)
    assert (found.status == PriceStatus.CONVERGED).all()
    assert (found.evaluations <= 3).all() and not found.gradients.any()
    nothing = replace(given, fixed=np.zeros(given.start.size, bool))
    found = solve_prices(nothing, state(case, method=method))
    whole = solve_prices(given, state(case, method=method))
    np.testing.assert_allclose(found.prices, whole.prices, rtol=1e-12)


def test_costs_follow_shares_where_prices_are_held(case):
    given = markets(case)
    fixed = np.arange(given.start.size) % 3 == 0
    given = replace(given, costs_at=lambda s: given.costs + 0.4 * s, fixed=fixed)
    found = solve_prices(given, state(case))
    np.testing.assert_array_equal(found.prices[fixed], given.start[fixed])
    written = gradients(case, given, found.prices, found.costs)
    assert np.abs(written[~fixed]).max() < 1e-12


def test_hessians_are_differences_of_gradients(case):
    given = markets(case)
    n, h = given.start.size, 1e-5
    how = replace(state(case, method="return"), hessians=True)
    prices = solve_prices(given, state(case)).prices + 0.1
    found = solve_prices(replace(given, start=prices), how).hessians
    place = 0
    sizes = np.diff(case.block.product_offsets)
    for first, J in zip(case.block.product_offsets, sizes, strict=False):
        hessian = found[place : place + J * J].reshape(J, J)
        place += J * J
        for j in range(J):
            step = np.zeros(n)
            step[first + j] = h
            up, down = (
                gradients(case, given, prices + move, given.costs)
                for move in (step, -step)
            )
            difference = ((up - down) / (2 * h))[first : first + J]
            np.testing.assert_allclose(hessian[:, j], difference, atol=1e-8)
    assert place == found.size


@pytest.mark.parametrize("method", METHODS)
def test_running_out_of_evaluations_is_said(case, method):
    given = markets(case)
    whole = solve_prices(given, state(case, method=method))
    limit = int(min(np.median(whole.evaluations), whole.evaluations.max() - 1))
    found = solve_prices(given, state(case, method=method, max_evaluations=limit))
    late = whole.evaluations > limit
    assert late.any() and not late.all()
    ended = np.where(late, PriceStatus.MAX_EVALUATIONS, PriceStatus.CONVERGED)
    np.testing.assert_array_equal(found.status, ended)
    rows = np.repeat(~late, np.diff(case.block.product_offsets))
    np.testing.assert_array_equal(found.prices[rows], whole.prices[rows])
    assert (found.evaluations <= limit).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_a_market_without_an_equilibrium_harms_no_other(method, backend):
    """Where utility rises with prices they run off; where they are NaN they stay."""
    case = priced(*CASES["linear"])
    given = markets(case)
    offsets = case.block.product_offsets
    how = replace(state(case, method=method), backend=backend)
    whole = solve_prices(given, how)
    x = given.utility.x.copy()
    x[offsets[2] : offsets[3]] = np.nan
    broken = replace(given, utility=replace(given.utility, x=x))
    found = solve_prices(broken, how)
    expected = [PriceStatus.CONVERGED] * 5
    expected[2] = PriceStatus.NONFINITE
    assert found.status.tolist() == expected
    rows = slice(offsets[2], offsets[3])
    np.testing.assert_array_equal(found.prices[rows], given.start[rows])
    assert np.isnan(found.gradients[rows]).all()
    others = np.ones(x.size, bool)
    others[rows] = False
    np.testing.assert_array_equal(found.prices[others], whole.prices[others])


def test_markets_that_are_done_cost_nothing(case, monkeypatch):
    asked = []

    class Counting:
        @staticmethod
        def conditions(*arguments):
            asked.append(arguments[4].copy())
            return loop_backend.conditions(*arguments)

    monkeypatch.setattr(equilibrium, "choose_backend", lambda name: Counting)
    found = solve_prices(markets(case), state(case))
    np.testing.assert_array_equal(np.sum(asked[:-1], axis=0), found.evaluations)
    assert asked[-1].all()
    assert np.ptp(found.evaluations) > 0


def test_an_engine_gives_what_blocks_give(case):
    blocks = [replace(markets(case), start=markets(case).start + k) for k in range(3)]
    how = replace(state(case), hessians=True)
    placement = ThreadsEngine(2).place(blocks)
    try:
        found = placement.reduce(equilibrium_pass, how)
    finally:
        placement.close()
    alone = [solve_prices(block, how) for block in blocks]
    for name in ("prices", "shares", "hessians", "status", "evaluations"):
        joined = np.concatenate([getattr(one, name) for one in alone])
        np.testing.assert_array_equal(getattr(found, name), joined)
