"""Prices that a compiled loop finds, beside those of the iteration over whole blocks.

What must hold:

1. Where utility is linear in prices, one market after another finds what all at once
   do: prices, conditions, statuses, iterations and evaluations, with firms and with
   weights on profits, for random coefficients of every kind and none.
2. So too where markets go back, start again, run out of evaluations or are lost.
3. Nests and availability are left to the iteration over blocks, as is what is not
   linear in prices.
4. One secant step is that of least squares.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from blpdask.kernels import loop_equilibrium, loop_secants
from blpdask.kernels.loop_secant_limits import DEPTH
from blpdask.model import equilibrium
from blpdask.model.equilibrium import PricedMarkets, PriceState, solve_prices
from blpdask.records import Floats, InversionControls, TrialPrices
from blpdask.status import PriceStatus
from tests.kernels.test_markups import CASES, Priced, priced

PLAIN = list(CASES)
FOUND = ("iterations", "evaluations", "status")


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """X2 has p and x p, X1 has p and x p."""

    X2: Floats
    x: Floats
    delta: Floats
    beta: Floats
    steep: float = 1.0

    def __call__(self, prices: Floats) -> TrialPrices:
        X2, slope = self.X2.copy(), self.beta[0] + self.beta[1] * self.x
        slope = self.steep * slope
        by_prices = np.stack([np.ones(prices.size), 0.1 * self.x])
        X2[[1, 2]] = by_prices * prices
        return TrialPrices(
            prices=prices,
            delta=self.delta + slope * prices,
            alpha=slope,
            X2=X2,
            X2_by_prices=by_prices,
            X2_priced=np.array([1, 2]),
        )

    def curvature(self, prices: Floats) -> tuple[Floats, Floats]:
        return np.zeros(prices.size), np.zeros((2, prices.size))


@pytest.fixture(params=PLAIN)
def case(request: pytest.FixtureRequest) -> Priced:
    return priced(*CASES[request.param])


def markets(case: Priced, steep: float = 1.0) -> PricedMarkets:
    rng = np.random.default_rng(11)
    block, n = case.block, case.block.n_products
    x = block.supply.X1_by_prices[1]
    delta = rng.normal(1, 1, n)
    utility = Linear(block.X2, x, delta, case.beta.beta, steep)
    costs = rng.uniform(0.5, 1.0, n)
    return PricedMarkets(block, utility, costs, costs, linear=True)


def state(case: Priced, backend: str = "numba", **changed: object) -> PriceState:
    given = {"method": "accelerated", "atol": 1e-13, "max_evaluations": 5000}
    return PriceState(case.tastes, InversionControls(**{**given, **changed}), backend)


def both(given: PricedMarkets, how: PriceState):
    """Find prices in the compiled loop, and by the iteration over whole blocks."""
    return solve_prices(given, how), solve_prices(replace(given, linear=False), how)


def agree(found, expected, rtol: float = 1e-12, atol: float = 1e-13) -> None:
    for name in FOUND:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for name in ("prices", "shares", "delta", "costs"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=rtol
        )
    np.testing.assert_allclose(found.gradients, expected.gradients, atol=atol)


def test_one_market_after_another_finds_what_all_at_once_do(case):
    given = markets(case)
    found, expected = both(given, state(case))
    assert (found.status == PriceStatus.CONVERGED).all()
    assert np.abs(found.gradients).max() < 1e-13
    agree(found, expected)
    arrays = solve_prices(given, state(case, "numpy"))
    np.testing.assert_allclose(found.prices, arrays.prices, rtol=1e-12)
    np.testing.assert_array_equal(found.evaluations, arrays.evaluations)


@pytest.mark.parametrize("limit", [1, 2, 5, 9])
def test_running_out_of_evaluations_is_the_same(case, limit):
    found, expected = both(markets(case), state(case, max_evaluations=limit))
    # On the way, more differences than products leave γ to the ridge and to rounding.
    agree(found, expected, rtol=1e-10, atol=1e-11)
    assert found.evaluations.max() == limit or limit == 9


@pytest.mark.parametrize("start", [4.0, 40.0, 1e3, 1e6])
@pytest.mark.parametrize("steep", [0.3, 1.0, 3.0])
def test_from_afar_it_takes_as_many_steps(start, steep):
    example = priced(*CASES[PLAIN[0]])
    given = markets(example, steep)
    far = given.start + start * np.linspace(0, 1, given.start.size)
    found, expected = both(
        replace(given, start=far), state(example, max_evaluations=150)
    )
    agree(found, expected, rtol=1e-9)


def test_where_demand_slopes_up_markets_end_alike():
    example = priced(*CASES[PLAIN[0]])
    found, expected = both(markets(example, -0.3), state(example, max_evaluations=90))
    np.testing.assert_array_equal(found.status, expected.status)
    assert (found.status != PriceStatus.CONVERGED).any()


def test_a_market_that_is_lost_keeps_its_prices(case):
    given = markets(case)
    offsets = case.block.product_offsets
    start = given.start.copy()
    start[offsets[1]] = np.nan
    found, expected = both(replace(given, start=start), state(case))
    agree(found, expected)
    assert found.status[1] == PriceStatus.NONFINITE
    rows = slice(offsets[1], offsets[2])
    np.testing.assert_array_equal(found.prices[rows], start[rows])
    assert np.isnan(found.gradients[rows]).all()


def test_what_is_not_plain_is_left_to_blocks(case, monkeypatch):
    given = markets(case)
    asked = []

    def count(*arguments):
        asked.append(loop_equilibrium.equilibrium(*arguments))
        return asked[-1]

    monkeypatch.setattr(
        equilibrium.choose_backend("numba"), "equilibrium", count, raising=True
    )
    block = given.markets
    squares = int(np.diff(block.product_offsets) @ np.diff(block.agent_offsets))
    away = replace(given, markets=replace(block, availability=np.ones(squares)))
    found = [solve_prices(one, state(case)) for one in (given, away)]
    assert asked[0] is not None and asked[1] is None
    agree(*found)
    solve_prices(replace(given, costs_at=lambda s: given.costs), state(case))
    solve_prices(replace(given, linear=False), state(case))
    solve_prices(given, state(case, method="simple"))
    assert len(asked) == 2


@pytest.mark.parametrize("n_rows", [0, 1, 2, 3])
def test_weights_are_those_of_least_squares(n_rows):
    rng = np.random.default_rng(n_rows)
    F, f = np.zeros((DEPTH, 9)), rng.normal(size=9)
    lengths = np.array([[1.0], [1e-3], [1e3]])[:n_rows]
    F[:n_rows] = lengths * rng.normal(size=(n_rows, 9))
    found = loop_secants.secant_weights(F, f)[0]
    expected = np.linalg.lstsq(F[:n_rows].T, f, rcond=None)[0]
    np.testing.assert_allclose(found[:n_rows], expected, rtol=1e-9)
    np.testing.assert_array_equal(found[n_rows:], 0.0)
