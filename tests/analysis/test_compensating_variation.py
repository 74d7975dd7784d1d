"""Compensating variation against draws, against its definition, and in its limits.

What must hold:

1. With utility linear in prices it is surplus before, less surplus after, whatever the
   outside price, with nests, availability and any scale of errors.
2. It is the mean over drawn errors of the money that makes the best choice as good as
   it was, where errors of nests are drawn as Gumbel times powers of stable variables.
3. It is the integral over P(CV > m) written out agent by agent, with formulas that end
   on the way too, as log p does.
4. Small changes cost what is bought; changes there and back do not add up to nothing.
5. Who has no compensating variation has none, and markets are named; engines, one
   market, and orders of rows do not matter.
"""

from __future__ import annotations

import itertools
import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad

import blpdask
from blpdask import Formulation
from blpdask.errors import InputError, NumericalWarning
from blpdask.model import compensation
from tests.analysis.priced_markets import PEOPLE, RHO, SIZES, Priced, priced
from tests.api.test_economy_methods import linear as linear_markets
from tests.references.specifications import distance, quietly

#: A price at which money is valued outside.
Q = 6.0
KINDS: list[dict[str, Any]] = [
    {},
    {"nested": True},
    {"available": True},
    {"nested": True, "available": True},
    {"available": True, "scale": 1.7},
    {"scale": 0.6},
]


@pytest.fixture(autouse=True)
def quiet():
    with quietly():
        yield


def probabilities(v: np.ndarray, a: np.ndarray, nests: np.ndarray | None) -> np.ndarray:
    """Compute P of one agent, the outside option first, nest by nest."""
    inside, found = np.exp(v[1:] - v[0]), np.zeros(v.size)
    if nests is None:
        found[1:] = a * inside
        found[0] = 1.0
        return found / found.sum()
    found[0] = 1.0
    for h in np.unique(nests):
        own, t = nests == h, 1 / (1 - RHO[h])
        terms = a[own] * inside[own] ** t
        if terms.sum() > 0:
            found[1:][own] = terms / terms.sum() * terms.sum() ** (1 / t)
    return found / found.sum()


def written_out(case: Priced, t: int, i: int, new: np.ndarray, q: float = Q) -> float:
    """Integrate P(CV > m) of one agent piece by piece."""
    rows = case.rows(t)
    before, after = case.prices[rows], new[rows]
    changes = np.concatenate([[0.0], after - before])
    old = np.concatenate([[0.0], case.utilities(t, i, before)])
    a = np.ones(rows.size)
    if case.availability is not None:
        a = case.availability[i, : rows.size]
    nests = None if case.nests is None else case.nests[rows]

    def tail(m: float) -> float:
        with np.errstate(invalid="ignore"):
            own = case.utilities(t, i, after - m)
        b = np.concatenate([[case.outside(i, q, m)], own])
        h = np.where(m < changes, old, np.maximum(old, b))
        P = probabilities(h, a, nests)
        return float(P[m < changes].sum() if m > 0 else -P[m >= changes].sum())

    end = np.inf if case.kind != "log" else after.min()
    ends = np.unique(np.minimum(changes, end))
    return sum(
        quad(tail, first, last, epsabs=1e-13, epsrel=1e-12, limit=500)[0]
        for first, last in itertools.pairwise(ends)
    )


@pytest.mark.parametrize("given", KINDS)
def test_linear_utility_is_surplus(given: dict[str, Any]) -> None:
    case = priced("linear", **given)
    results, new = case.results, case.new_prices
    for keep_all in (False, True):
        before, after = (
            results.compute_consumer_surpluses(p, keep_all) for p in (None, new)
        )
        for q in (None, -5.0, 11.0):
            found = results.compute_compensating_variations(
                new, outside_price=q, keep_all=keep_all
            )
            assert np.nanmax(np.abs(found - (before - after))) < 1e-12
            assert np.array_equal(np.isnan(found), np.isnan(before))


@pytest.mark.parametrize("kind", ["log", "quadratic"])
@pytest.mark.parametrize("given", KINDS)
def test_it_is_the_integral_written_out(kind: str, given: dict[str, Any]) -> None:
    case = priced(kind, **given)
    found = case.results.compute_compensating_variations(
        case.new_prices, outside_price=Q, keep_all=True
    )
    assert found.shape == (4, PEOPLE.max())
    for t in range(4):
        for place, i in enumerate(case.people(t)):
            expected = written_out(case, t, i, case.new_prices)
            assert abs(found[t, place] - expected) < 1e-10
    means = case.results.compute_compensating_variations(
        case.new_prices, outside_price=Q
    )
    for t in range(4):
        weights = case.weights[case.people(t)]
        assert abs(means[t, 0] - weights @ found[t, : PEOPLE[t]]) < 1e-14


def draw_errors(nests: np.ndarray | None, n: int, rng: Any, J: int) -> np.ndarray:
    """Draw extreme-value errors ``(n, 1 + J)``; in nests (1 - ρ)(log S_h + Gumbel).

    S_h is positive stable with index 1 - ρ_h (Chambers, Mallows and Stuck 1976), so
    that P(e_j < x_j) = exp(-(Σ_j exp(-x_j / (1 - ρ)))^(1 - ρ)).
    """
    errors = rng.gumbel(size=(n, 1 + J))
    for h in [] if nests is None else np.unique(nests):
        s, own = 1 - RHO[h], 1 + np.flatnonzero(nests == h)
        if s < 1:
            u, w = rng.uniform(0, np.pi, n), rng.exponential(size=n)
            top = np.sin((1 - s) * u) ** ((1 - s) / s) * np.sin(s * u)
            S = top / (np.sin(u) ** (1 / s) * w ** ((1 - s) / s))
            errors[:, own] = s * (np.log(S)[:, None] + errors[:, own])
    return errors


def price_at(case: Priced, i: int, value: np.ndarray) -> np.ndarray:
    """Find the price at which the part of utility that moves with it is a value."""
    slope = case.nodes[i, 1] * 0.4
    if case.kind == "log":
        return np.asarray(np.exp(value / (slope - 3.0)))
    b = slope - 1.5
    root = np.sqrt(np.maximum(b**2 + 0.4 * -value, 0.0))
    return np.asarray((b + root) / 0.2)


@pytest.mark.parametrize("dearest", [0.0, 2.6])
@pytest.mark.parametrize("kind", ["log", "quadratic"])
@pytest.mark.parametrize("nested", [False, True])
def test_it_is_the_mean_over_drawn_errors(
    kind: str, nested: bool, dearest: float
) -> None:
    """Money is the least that makes any choice as good as the best was."""
    case, t, n = priced(kind, nested=nested, scale=1 if nested else 0.6), 2, 10**6
    rows, rng = case.rows(t), np.random.default_rng(7)
    nests = None if case.nests is None else case.nests[rows]
    new = case.new_prices.copy()
    new[rows[0]] += dearest
    found = case.results.compute_compensating_variations(
        new, outside_price=Q, keep_all=True
    )
    for place, i in enumerate(case.people(t)):
        errors = draw_errors(nests, n, rng, rows.size)
        before, after = case.prices[rows], new[rows]
        old = case.utilities(t, i, before)
        best = np.maximum((old + errors[:, 1:]).max(axis=1), errors[:, 0])
        fixed = old - case.part(i, before) / case.scale
        wanted = case.scale * (best[:, None] - errors[:, 1:] - fixed)
        money = (after - price_at(case, i, wanted)).min(axis=1)
        kept = case.scale * (best - errors[:, 0]) + case.part(i, Q)
        money = np.minimum(money, Q - price_at(case, i, kept))
        error = money.std() / np.sqrt(n)
        assert error < 4e-4
        assert abs(found[t, place] - money.mean()) < 4 * error


@pytest.mark.parametrize("size", [30.0, 1e3, 1e6, 1e8, -300.0, -1e6])
@pytest.mark.parametrize("given", KINDS[::3])
def test_prices_may_move_very_far(given: dict[str, Any], size: float) -> None:
    """What happens within a few units of an end of a long piece is not passed over."""
    case = priced("linear", **given)
    results, rng = case.results, np.random.default_rng(3)
    far = case.prices + size * rng.uniform(0.5, 1.0, case.prices.size)
    some = np.where(rng.uniform(size=far.size) < 0.5, far, case.new_prices)
    for new in (far, some):
        before, after = (
            results.compute_consumer_surpluses(p, keep_all=True) for p in (None, new)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error", NumericalWarning)
            found = results.compute_compensating_variations(new, keep_all=True)
        expected = before - after
        assert np.array_equal(np.isnan(found), np.isnan(expected))
        gap = np.nan_to_num(np.abs(found - expected))
        assert (gap <= 1e-10 * np.nan_to_num(np.abs(expected)) + 1e-14).all()


def test_formulas_that_end_on_the_way() -> None:
    """The dearest price rises by more than the cheapest is."""
    for given in KINDS:
        case = priced("log", **given)
        new = 1.1 * case.prices
        for t in range(4):
            new[case.rows(t)[0]] += 2.6
        assert any((new - case.prices)[case.rows(t)].max() > 2.5 for t in range(4))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = case.results.compute_compensating_variations(
                new, outside_price=Q, keep_all=True
            )
        for t in range(4):
            for place, i in enumerate(case.people(t)):
                expected = written_out(case, t, i, new)
                assert abs(found[t, place] - expected) < 1e-9


@pytest.mark.parametrize("kind", ["log", "quadratic"])
def test_small_changes_cost_what_is_bought(kind: str) -> None:
    case = priced(kind, nested=True, available=True)
    shares = case.results.product_data.shares[:, 0]
    change = case.new_prices - case.prices
    bought = np.array([(shares * change)[case.rows(t)].sum() for t in range(4)])
    gaps = []
    for h in (1e-2, 1e-3):
        found = case.results.compute_compensating_variations(
            case.prices + h * change, outside_price=Q
        )
        gaps.append(np.abs(found[:, 0] / h - bought).max())
    assert gaps[1] < 2e-3 * np.abs(bought).max()
    assert 9 < gaps[0] / gaps[1] < 11


def test_there_and_back_is_not_nothing() -> None:
    """Money that is worth little outside takes more of it than is lost at old prices.

    With log p a unit of money is worth outside 1 / q of what it is to a buyer at one.
    """
    case = priced("log")
    ask = case.results.compute_compensating_variations
    dear = 1.3 * case.prices
    for q, sign in ((30.0, 1.0), (1.6, -1.0)):
        there = ask(dear, outside_price=q)
        back = ask(case.prices, prices=dear, outside_price=q)
        assert (there > 0).all() and (back < 0).all()
        assert (sign * (there + back) > 1e-3).all()
    case = priced("linear")
    there = case.results.compute_compensating_variations(dear)
    back = case.results.compute_compensating_variations(case.prices, prices=dear)
    assert np.abs(there + back).max() < 1e-12


def test_falling_prices_need_no_outside_price() -> None:
    case = priced("log", available=True)
    ask, cheap = case.results.compute_compensating_variations, 0.7 * case.prices
    found = ask(cheap)
    assert (found < 0).all()
    assert np.array_equal(found, ask(cheap, outside_price=9.0))
    for t in range(4):
        own = [written_out(case, t, i, cheap) for i in case.people(t)]
        weights = case.weights[case.people(t)]
        assert abs(found[t, 0] - weights @ own) < 1e-10
    assert np.array_equal(ask(case.prices), np.zeros((4, 1)))


def test_an_outside_price_is_asked_for() -> None:
    case = priced("log")
    ask = partial(case.results.compute_compensating_variations, case.new_prices)
    for q in (None, 0.2):
        with pytest.raises(InputError, match="pass outside_price") as caught:
            ask(outside_price=q)
        assert "utility is not finite in" in str(caught.value)
    for wrong in ("six", np.nan, True):
        with pytest.raises(InputError, match="outside_price="):
            ask(outside_price=wrong)
    with pytest.raises(InputError, match="new_prices=None"):
        case.results.compute_compensating_variations(None)
    with pytest.raises(InputError, match="new_prices of size 2, 0 not finite"):
        case.results.compute_compensating_variations([1.0, 2.0])


def test_utility_that_rises_with_prices() -> None:
    """Some agents of a normal coefficient like to pay; they have no such money."""
    with quietly():
        results = blpdask.Simulation(
            (Formulation("1 + prices"), Formulation("0 + prices"), Formulation("1")),
            blpdask.build_id_data(T=3, J=4, F=2),
            beta=[1.0, -1.0],
            sigma=[[0.7]],
            gamma=[1.0],
            integration=blpdask.Integration("product", 7),
            xi_variance=0.1,
            omega_variance=0.1,
            seed=0,
        ).replace_endogenous(
            prices=np.full(12, 2.0), iteration=blpdask.Iteration("return")
        )
    slopes = -1.0 + 0.7 * results.simulation.agents.nodes[:7, 0]
    assert 0 < (slopes > 0).sum() < 7
    new = np.full(12, 2.0)
    new[0] = 2.5
    with pytest.warns(NumericalWarning, match=r"in 1 markets \(0\) utility of some"):
        found = results.compute_compensating_variations(new, keep_all=True)
    assert np.array_equal(np.isnan(found[0]), slopes > 0)
    assert (found[1:] == 0).all()
    with pytest.warns(NumericalWarning, match="rises with a price"):
        means = results.compute_compensating_variations(new)
    assert np.isnan(means[0, 0]) and (means[1:] == 0).all()
    before, after = (
        results.compute_consumer_surpluses(p, keep_all=True) for p in (None, new)
    )
    gap = (found - (before - after))[0][slopes <= 0]
    assert np.abs(gap).max() < 1e-12


def test_a_parabola_is_followed_down_one_side_only() -> None:
    """Utility -3 p + p² / 2 falls to p = 3 and rises beyond."""
    data = {"market_ids": [0, 0], "firm_ids": [0, 1], "x": [0.0, 0.0]}
    arguments: dict[str, Any] = {"beta": [2.0, -3.0, 0.5], "gamma": [1.0]}
    formulas = (Formulation("1 + prices + I(prices**2)"), None, Formulation("1"))
    with quietly():
        results = blpdask.Simulation(
            formulas, data, xi=[0.0, 0.1], omega=[0.0, 0.0], **arguments
        ).replace_endogenous(prices=[1.0, 2.0], iteration=blpdask.Iteration("return"))
    assert np.isfinite(results.compute_compensating_variations([1.5, 2.9])).all()
    with pytest.warns(NumericalWarning, match="rises with a price"):
        found = results.compute_compensating_variations([1.0, 5.5])
    assert np.isnan(found).all()
    with pytest.warns(NumericalWarning, match="rises with a price"):
        found = results.compute_compensating_variations([1.5, 2.9], outside_price=3.2)
    assert np.isnan(found).all()


def test_formulas_that_stop_short() -> None:
    """At a price of zero -√p is zero, and below it is nothing."""
    data = {"market_ids": [0, 0], "firm_ids": [0, 1], "x": [0.0, 0.0]}
    formulas = (Formulation("1 + I(prices**0.5)"), None, Formulation("1"))
    with quietly():
        results = blpdask.Simulation(
            formulas, data, xi=[0.0, 0.1], omega=[0.0, 0.0], beta=[2.0, -3.0], gamma=[1]
        ).replace_endogenous(prices=[0.5, 2.0], iteration=blpdask.Iteration("return"))
    fine = results.compute_compensating_variations([0.7, 2.3], outside_price=5.0)
    assert fine[0, 0] > 0
    with pytest.warns(NumericalWarning, match="not finite at prices less"):
        found = results.compute_compensating_variations([0.5, 3.0], outside_price=5.0)
    assert np.isnan(found).all()


def test_functions_of_prices_that_differ_over_products() -> None:
    """Outside, money is worth what it is to buyers of the market's first product."""
    data = {"market_ids": [0, 0, 1], "firm_ids": [0, 1, 0], "x": [1.0, 2.0, 1.0]}
    formulas = (Formulation("1 + prices + prices:x"), None, Formulation("1"))
    with quietly():
        results = blpdask.Simulation(
            formulas,
            data,
            beta=[1.0, -2.0, 0.4],
            gamma=[1.0],
            xi=np.zeros(3),
            omega=np.zeros(3),
        ).replace_endogenous(
            prices=np.full(3, 1.5), iteration=blpdask.Iteration("return")
        )
    with pytest.warns(NumericalWarning, match=r"in 1 markets \(0\).*first product"):
        found = results.compute_compensating_variations([2.0, 1.5, 2.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cheap = results.compute_compensating_variations([1.2, 1.5, 1.2])
    # Buyers of product 0 and those outside lose 1.6 by a unit of money, others 1.2.
    V = np.exp(1.0 - np.array([1.6, 1.2]) * 1.5)

    def tail(m: float) -> float:
        better = np.exp(np.array([1.6, 1.2]) * m)
        total = better[0] + V[0] + V[1] * better[1]
        return float(V[0] / total)

    expected = quad(tail, 0.0, 0.5, epsabs=1e-13)[0]
    assert abs(found[0, 0] - expected) < 1e-11
    P1 = np.exp(1.0 - 1.6 * np.array([1.5, 2.0, 1.2]))
    closed = np.diff(np.log(1 + P1))[0] / -1.6
    assert abs(found[1, 0] - closed) < 1e-13
    assert abs(cheap[1, 0] - (np.log(1 + P1[0]) - np.log(1 + P1[2])) / 1.6) < 1e-13


def test_engines_and_one_market_and_memory() -> None:
    case = priced("log", nested=True, available=True)
    ask = partial(
        case.results.compute_compensating_variations, outside_price=Q, keep_all=True
    )
    serial = ask(case.new_prices, engine="serial")
    assert np.array_equal(
        ask(case.new_prices, engine="threads", threads=2), serial, equal_nan=True
    )
    for t in range(4):
        own = ask(case.new_prices[case.rows(t)], market_id=f"m{t}")
        assert distance(own, serial[[t], : PEOPLE[t]]) < 1e-12
    held = blpdask.options.scratch_bytes
    blpdask.options.scratch_bytes = 200
    try:
        assert distance(ask(case.new_prices), serial) < 1e-12
    finally:
        blpdask.options.scratch_bytes = held
    assert SIZES.size == len(serial)


def test_integrals_that_do_not_settle_are_said(monkeypatch: Any) -> None:
    """One node and two are not enough for ten digits."""
    case = priced("quadratic")
    ask = partial(
        case.results.compute_compensating_variations, case.new_prices, outside_price=Q
    )
    fine = ask()
    monkeypatch.setattr(compensation, "NODES", (1, 2))
    with pytest.warns(NumericalWarning, match=r"in 4 markets \(m0, m1, m2, m3\) int"):
        rough = ask()
    assert 1e-8 < np.abs(rough - fine).max() < 1e-3


def test_bootstrapped_results_have_it_at_every_draw() -> None:
    rng, N = np.random.default_rng(3), 40
    data = {
        "market_ids": np.repeat(np.arange(10), 4),
        "prices": rng.uniform(1.0, 2.0, N),
        "shares": rng.uniform(0.05, 0.2, N),
    }
    data |= {f"demand_instruments{k}": data["prices"] ** (k + 2) for k in range(2)}
    results = blpdask.Problem(Formulation("1 + prices"), data).solve(method="1s")
    drawn = results.bootstrap(2, 0)
    alpha = drawn.bootstrapped_beta[:, 1, 0]
    new = drawn.bootstrapped_prices + 0.2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)
        found = drawn.compute_compensating_variations(new)
    before = drawn.compute_consumer_surpluses()
    after = drawn.compute_consumer_surpluses(new)
    assert found.shape == (2, 10, 1)
    for d in range(2):
        expected = (before - after)[d] if alpha[d] < 0 else np.full((10, 1), np.nan)
        assert distance(found[d], expected) < 1e-12 or np.isnan(expected).all()
        assert np.isnan(found[d]).all() == (alpha[d] > 0)


def test_types_of_agents_have_their_shares() -> None:
    from tests.api.test_type_shares import at_truth

    results = at_truth()
    new = 1.2 * results.problem.products.prices
    found = results.compute_compensating_variations(new)
    change = results.compute_consumer_surpluses() - results.compute_consumer_surpluses(
        new
    )
    fine = ~np.isnan(found)
    assert fine.any() and np.abs(found - change)[fine].max() < 1e-12


def test_draws_that_differ_over_products() -> None:
    """A demographic of agents and products, times x, beside log prices."""
    case = priced("quadratic")
    products = case.results.product_data
    table = {n: products[n][:, 0] for n in ("market_ids", "prices", "shares", "x")}
    table |= {f"demand_instruments{k}": table["x"] ** (k + 2) for k in range(4)}
    rng = np.random.default_rng(4)
    near = rng.normal(size=(PEOPLE.sum(), SIZES.max()))
    agents = {
        "market_ids": np.repeat([f"m{t}" for t in range(4)], PEOPLE),
        "weights": case.weights,
        "nodes": case.nodes,
    } | {f"near{j}": near[:, j] for j in range(SIZES.max())}
    with quietly():
        problem = blpdask.Problem(
            (Formulation("1 + prices"), Formulation("1 + x")),
            table,
            Formulation("0 + near"),
            agents,
        )
        results = problem.solve(
            sigma=np.diag([0.3, 0.2]),
            pi=[[0.5], [0.0]],
            beta=[None, -1.5],
            optimization=blpdask.Optimization("return"),
            method="1s",
            check_optimality="gradient",
        )
    new = case.new_prices
    before, after = (
        results.compute_consumer_surpluses(p, keep_all=True) for p in (None, new)
    )
    found = results.compute_compensating_variations(new, keep_all=True)
    assert distance(found, before - after) < 1e-11


def test_a_linear_market_of_equal_changes_needs_few_pieces() -> None:
    """Equal changes are one piece: money up to the change, and no more."""
    results = linear_markets()
    prices = results.product_data.prices
    found = results.compute_compensating_variations(prices + 0.3)
    change = results.compute_consumer_surpluses() - results.compute_consumer_surpluses(
        prices + 0.3
    )
    assert distance(found, change) < 1e-12
