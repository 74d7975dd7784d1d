"""Counterfactuals against what firms want: their after-tax profits, differentiated.

What must hold:

1. Where nothing changes prices are those of the data; a merger is one of
   ``simulate_merger``.
2. Nobody gains by moving a price that is free: profits after tax, written out product
   by product, have no slope at the prices found, by differences of shares; nor have
   they at prices of the data at the costs that taxes before imply. A monopolist, and
   a firm whose rivals' prices are held, are at the maximum that an optimiser finds.
3. Unit taxes are costs, and uniform rates scale them; taxes move welfare between
   people and lose none by themselves.
4. What is held stays, and a whole market that is held is as it was.
5. Partial owners' conditions hold with their weights written out.
6. Engines and backends agree; every fault of the arguments is told.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.optimize

import blpdask
from blpdask import Formulation, Taxes
from blpdask.errors import InputError, NumericalWarning
from blpdask.results.counterfactual_table import Counterfactual
from blpdask.results.merger_table import MergerEffects
from tests.api.test_economy_methods import demand_alone, linear, own_rows, solved
from tests.references.specifications import distance, quietly

#: Log and squared prices, nests, weights on others' profits, availability.
SEEDS = (1, 2, 5, 8, 101, 103)
STEP = 1e-5


@pytest.fixture(autouse=True)
def quiet():
    with quietly(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "simulate_.*different slopes")
        yield


def weights_of(results: Any, firm_ids: Any = None) -> np.ndarray:
    """Give H of a simulation's data, or of other firms."""
    data = results.product_data
    if firm_ids is None and "ownership" in data.dtype.names and data.ownership.size:
        return np.asarray(data.ownership, float)
    firms = data.firm_ids if firm_ids is None else firm_ids
    table = {"market_ids": data.market_ids[:, 0], "firm_ids": np.ravel(firms)}
    return blpdask.build_ownership(table)


def gains(results, prices, costs, H, unit=0.0, tau=0.0) -> np.ndarray:
    """Write out what the owner of each product gets, Σ_k H_jk (r_k - c_k) s_k."""
    shares = results.compute_shares(prices)[:, 0]
    profits = ((prices - unit) / (1 + tau) - costs) * shares
    found = np.empty(prices.size)
    for rows in own_rows(results):
        found[rows] = H[rows, : rows.size] @ profits[rows]
    return found


def slopes(results, prices, costs, H, unit=0.0, tau=0.0) -> np.ndarray:
    """Differentiate each owner's gains by the price of the product, by differences."""
    found = np.empty(prices.size)
    markets = own_rows(results)
    for place in range(max(rows.size for rows in markets)):
        moved = np.zeros(prices.size)
        there = [rows[place] for rows in markets if rows.size > place]
        moved[there] = STEP
        up, down = (
            gains(results, prices + s * moved, costs, H, unit, tau) for s in (1, -1)
        )
        found[there] = ((up - down) / (2 * STEP))[there]
    return found


def some_taxes(results: Any, seed: int = 0) -> Taxes:
    """Draw taxes and subsidies that differ between products of one owner."""
    rng = np.random.default_rng(seed)
    N = results.delta.size
    return Taxes(rng.uniform(-0.1, 0.2, N), rng.uniform(-0.2, 0.4, N))


# Nothing changes


@pytest.mark.parametrize("seed", SEEDS)
def test_no_change_gives_the_prices_of_the_data(seed: int) -> None:
    results = solved(seed)
    data, taxes = results.product_data, some_taxes(results)
    first = results.simulate_counterfactual()
    for found in (
        first,
        results.simulate_counterfactual(taxes_before=taxes),
        results.simulate_counterfactual(taxes_before=taxes, taxes=taxes),
        results.simulate_counterfactual(prices=data.prices * 1.01),
        results.simulate_counterfactual(ownership=weights_of(results)),
    ):
        assert distance(found.new_prices, data.prices[:, 0]) < 1e-10
        assert distance(found.new_shares, data.shares[:, 0]) < 1e-10
        assert distance(found.new_welfare, found.welfare) < 1e-9
    assert first.changed == ()
    assert distance(first.costs, results.compute_costs()[:, 0]) == 0
    assert not first.tax_revenues.any() and not first.merging.any()
    assert "Counterfactual (no change)" in str(first)


def test_a_merger_is_that_of_simulate_merger() -> None:
    results = linear()
    merger = results.simulate_merger({2: 1})
    firms = np.where(
        results.product_data.firm_ids == 2, 1, results.product_data.firm_ids
    )
    for found in (
        results.simulate_counterfactual(mergers={2: 1}),
        results.simulate_counterfactual(firm_ids=firms),
        results.simulate_counterfactual(ownership=weights_of(results, firms)),
    ):
        for name in ("new_prices", "new_shares", "new_surpluses", "new_profits"):
            values = getattr(found, name)
            assert distance(values, getattr(merger, name)) < 1e-11, name
    assert isinstance(merger, MergerEffects)
    assert distance(merger.new_prices, results.compute_prices(firms)[:, 0]) == 0
    assert distance(merger.costs, results.compute_costs()[:, 0]) == 0
    assert (
        distance(merger.new_hhi, results.compute_hhi(firms, merger.new_shares)[:, 0])
        == 0
    )
    assert list(merger.summary())[-1] == "Consumer surplus"
    assert "new_costs" not in merger.to_frame()


# Taxes


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_gains_under_taxes(seed: int) -> None:
    results, taxes = solved(seed), some_taxes(solved(seed))
    found = results.simulate_counterfactual(taxes=taxes)
    left = slopes(
        results,
        found.new_prices,
        found.costs,
        weights_of(results),
        taxes.unit,
        taxes.ad_valorem,
    )
    assert np.abs(left).max() < 1e-8
    assert distance(found.new_prices, found.prices) > 1e-3
    producers = (found.new_prices - taxes.unit) / (1 + taxes.ad_valorem)
    assert distance(found.new_producer_prices, producers) < 1e-15
    # Rates that are ignored in weights are not the answer.
    costs = (1 + taxes.ad_valorem) * found.costs + taxes.unit
    plain = results.compute_prices(costs=costs)[:, 0]
    assert distance(plain, found.new_prices) > 1e-5


@pytest.mark.parametrize("seed", SEEDS)
def test_taxes_before_are_behind_the_prices_of_the_data(seed: int) -> None:
    results, taxes = solved(seed), some_taxes(solved(seed), 1)
    prices = results.product_data.prices[:, 0]
    found = results.simulate_counterfactual(taxes_before=taxes, taxes=Taxes())
    H = weights_of(results)
    before = slopes(results, prices, found.costs, H, taxes.unit, taxes.ad_valorem)
    after = slopes(results, found.new_prices, found.costs, H)
    assert max(np.abs(before).max(), np.abs(after).max()) < 1e-8
    assert not found.new_tax_revenues.any() and found.tax_revenues.all()
    given = results.simulate_counterfactual(
        costs=found.costs, taxes_before=taxes, taxes=Taxes()
    )
    assert distance(given.new_prices, found.new_prices) < 1e-12
    assert distance(given.tax_revenues, found.tax_revenues) == 0


def test_a_unit_tax_is_a_cost() -> None:
    results = linear()
    amounts = np.random.default_rng(0).uniform(0, 0.3, 60)
    taxed = results.simulate_counterfactual(taxes=Taxes(unit=amounts))
    dear = results.simulate_counterfactual(new_costs=taxed.costs + amounts)
    assert distance(taxed.new_prices, dear.new_prices) < 1e-14
    assert distance(taxed.new_profits, dear.new_profits) < 1e-12
    paid = (amounts * taxed.new_shares).reshape(12, 5).sum(axis=1)
    assert distance(taxed.new_tax_revenues, paid) < 1e-12
    assert taxed.changed == ("taxes",) and dear.changed == ("new_costs",)
    assert distance(dear.costs, taxed.costs) == 0


def test_a_uniform_rate_scales_costs() -> None:
    results = linear()
    for tau in (-0.3, 0.25):
        taxed = results.simulate_counterfactual(taxes=Taxes(ad_valorem=tau))
        dear = results.simulate_counterfactual(new_costs=(1 + tau) * taxed.costs)
        assert distance(taxed.new_prices, dear.new_prices) == 0
        assert distance(taxed.new_profits, dear.new_profits / (1 + tau)) < 1e-12
        each = np.full(60, tau)
        again = results.simulate_counterfactual(taxes=Taxes(ad_valorem=each))
        assert distance(again.new_prices, taxed.new_prices) == 0


def test_rates_by_firm_leave_weights_alone() -> None:
    """What a firm weighs is taxed alike, so that its conditions need no weights."""
    results = linear()
    tau = 0.1 * results.product_data.firm_ids[:, 0].astype(float)
    found = results.simulate_counterfactual(taxes=Taxes(0.05, tau))
    scaled = results.compute_prices(costs=(1 + tau) * found.costs + 0.05)
    assert distance(found.new_prices, scaled[:, 0]) == 0
    left = slopes(
        results, found.new_prices, found.costs, weights_of(results), 0.05, tau
    )
    assert np.abs(left).max() < 1e-8


def test_a_monopolist_maximises_what_is_left_after_tax() -> None:
    data = blpdask.build_id_data(T=3, J=1, F=1)
    table = {name: data[name][:, 0] for name in data.dtype.names}
    results = blpdask.Simulation(
        (Formulation("1 + prices"), Formulation("0 + prices"), Formulation("1")),
        table,
        beta=[1, -3],
        sigma=[[0.3]],
        gamma=[1],
        integration=blpdask.Integration("product", 5),
        xi_variance=0.3,
        omega_variance=0.1,
        seed=3,
    ).replace_endogenous()
    unit, tau = np.array([0.1, -0.2, 0.3]), np.array([0.2, 0.5, -0.3])
    found = results.simulate_counterfactual(taxes=Taxes(unit, tau))
    for t in range(3):

        def loss(p: float, t: int = t) -> float:
            at = np.where(np.arange(3) == t, p, found.prices)
            share = results.compute_shares(at)[t, 0]
            return -float(((p - unit[t]) / (1 + tau[t]) - found.costs[t]) * share)

        best = scipy.optimize.minimize_scalar(
            loss, bounds=(0.1, 5), method="bounded", options={"xatol": 1e-9}
        )
        assert best.x == pytest.approx(found.new_prices[t], abs=1e-6)
        assert -best.fun == pytest.approx(found.new_profits[t], rel=1e-12)


def test_welfare_is_what_everybody_has() -> None:
    results = linear()
    found = results.simulate_counterfactual(taxes=some_taxes(results))
    margins = (found.new_prices - found.costs) * found.new_shares
    whole = found.new_surpluses + margins.reshape(12, 5).sum(axis=1)
    assert distance(found.new_welfare, whole) < 1e-14
    surpluses = results.compute_consumer_surpluses(found.new_prices)[:, 0]
    assert distance(found.new_surpluses, surpluses) == 0
    # Shephard's lemma of a small tax: surplus falls by what is sold.
    small = 1e-6
    near = results.simulate_counterfactual(
        fixed_prices=np.ones(60, bool), prices=found.prices + small
    )
    lost = (near.surpluses - near.new_surpluses) / small
    assert distance(lost, found.shares.reshape(12, 5).sum(axis=1)) < 1e-5


# Prices that are held


def test_prices_that_are_all_held_stay() -> None:
    results = solved(1)
    prices = results.product_data.prices[:, 0] * 1.1
    found = results.simulate_counterfactual(
        fixed_prices=np.ones(prices.size, bool), prices=prices, taxes=Taxes(0.1, 0.2)
    )
    assert distance(found.new_prices, prices) == 0
    assert distance(found.new_shares, results.compute_shares(prices)[:, 0]) == 0
    assert found.fixed.all()
    assert f"{prices.size} prices held" in str(found)


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_gains_where_prices_are_free(seed: int) -> None:
    results, rng = solved(seed), np.random.default_rng(seed)
    prices = results.product_data.prices[:, 0]
    fixed, caps = rng.uniform(size=prices.size) < 0.4, 0.9 * prices
    taxes, H = some_taxes(results, 2), weights_of(results)
    found = results.simulate_counterfactual(
        fixed_prices=fixed, prices=caps, taxes=taxes
    )
    assert distance(found.new_prices[fixed], caps[fixed]) == 0
    assert (found.new_prices[~fixed] != prices[~fixed]).all()
    of = found.new_prices, found.costs, H, taxes.unit, taxes.ad_valorem
    assert np.abs(slopes(results, *of)[~fixed]).max() < 1e-8
    np.testing.assert_array_equal(found.fixed, fixed)


@pytest.mark.parametrize("seed", SEEDS)
def test_holding_prices_of_equilibrium_changes_none(seed: int) -> None:
    results, rng = solved(seed), np.random.default_rng(seed)
    fixed = rng.uniform(size=results.delta.size) < 0.5
    found = results.simulate_counterfactual(fixed_prices=fixed)
    assert distance(found.new_prices, found.prices) < 1e-10
    nobody = results.simulate_counterfactual(fixed_prices=np.zeros(fixed.size, bool))
    assert distance(nobody.new_prices, found.prices) < 1e-10
    assert not nobody.fixed.any()


def test_a_firm_answers_rivals_that_are_held() -> None:
    """Its prices are those that an optimiser of its profit finds."""
    results = linear()
    firms = results.product_data.firm_ids[:, 0]
    rivals = 1.15 * results.product_data.prices[:, 0]
    found = results.simulate_counterfactual(fixed_prices=firms != 0, prices=rivals)
    own = np.flatnonzero((firms == 0) & (np.arange(60) < 5))

    def loss(p: np.ndarray) -> float:
        at = rivals.copy()
        at[own] = p
        shares = results.compute_shares(at, market_id=None)[own, 0]
        return -float((p - found.costs[own]) @ shares)

    best = scipy.optimize.minimize(
        loss,
        found.prices[own],
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-15},
    )
    np.testing.assert_allclose(best.x, found.new_prices[own], atol=1e-6)
    assert -best.fun == pytest.approx(found.new_profits[own].sum(), rel=1e-10)
    assert -best.fun > -loss(found.prices[own])


# Owners


def test_partial_owners_conditions_hold() -> None:
    results = solved(101)
    data = results.product_data
    firms = sorted(set(data.firm_ids[:, 0].tolist()))
    rng = np.random.default_rng(0)
    stakes = pd.DataFrame(rng.dirichlet(np.ones(4), len(firms)).T, columns=firms)
    kappa = blpdask.build_profit_weights(stakes)
    H = blpdask.build_ownership(
        {"market_ids": data.market_ids[:, 0], "firm_ids": data.firm_ids[:, 0]}, kappa
    )
    found = results.simulate_counterfactual(ownership=H, taxes=Taxes(0.1))
    left = slopes(results, found.new_prices, found.costs, H, 0.1)
    assert np.abs(left).max() < 1e-8
    # First-order conditions with dense matrices, s + (H ∘ (∂s/∂p)')(p - c - t) = 0.
    for rows, market in zip(
        own_rows(results), np.unique(data.market_ids[:, 0]), strict=True
    ):
        beta = np.column_stack([stakes[f] for f in data.firm_ids[rows, 0]])
        weights = (beta.T @ beta) / (beta**2).sum(axis=0)[:, None]
        assert distance(H[rows, : rows.size], weights) < 1e-14
        J = rows.size
        S = np.empty((J, J))
        for k in range(J):
            ends = []
            for step in (STEP, -STEP):
                moved = found.new_prices.copy()
                moved[rows[k]] += step
                ends.append(results.compute_shares(moved[rows], market_id=market))
            S[:, k] = (ends[0] - ends[1])[:, 0] / (2 * STEP)
        margins = found.new_prices[rows] - found.costs[rows] - 0.1
        F = found.new_shares[rows] + (weights * S.T) @ margins
        assert np.abs(F).max() < 1e-8


# A problem, with errors of another scale, and one without firms


def test_errors_of_another_scale() -> None:
    """At twice the scale, and twice the utilities, everything is what it was."""
    results, found = linear(), []
    fixed = np.arange(60) % 4 == 0
    for scale in (1.0, 2.0):
        solution = results.to_problem(epsilon_scale=scale).solve(
            sigma=[[0.3 * scale]],
            beta=[scale * b for b in (1, -3, 1)],
            optimization=blpdask.Optimization("return"),
            method="1s",
            check_optimality="gradient",
        )
        for held in (None, fixed):
            found.append(
                solution.simulate_counterfactual(
                    taxes=some_taxes(results), fixed_prices=held
                )
            )
    for i in (0, 1):
        for name in ("new_prices", "new_shares", "new_welfare", "new_tax_revenues"):
            a, b = getattr(found[i], name), getattr(found[i + 2], name)
            assert distance(b, a) < 1e-9, name
    assert distance(found[0].new_prices, found[1].new_prices) > 1e-3
    # The problem's β is the simulation's, so that its answers are too.
    direct = results.simulate_counterfactual(taxes=some_taxes(results))
    assert distance(found[0].new_prices, direct.new_prices) < 1e-8


def test_weights_without_firms() -> None:
    data = linear().product_data
    results = demand_alone(ownership=blpdask.build_ownership(data))
    named = demand_alone(firm_ids=data.firm_ids[:, 0])
    taxes = Taxes(0.1)
    found = results.simulate_counterfactual(taxes=taxes)
    expected = named.simulate_counterfactual(taxes=taxes)
    assert distance(found.new_prices, expected.new_prices) < 1e-11
    assert np.isnan(found.hhi).all() and "HHI" not in found.summary()
    assert set(expected.summary()) - set(found.summary()) == {"HHI"}
    assert len(found.profits_by_firm()) == 1
    with pytest.raises(InputError, match="neither firm_ids nor ownership"):
        demand_alone().simulate_counterfactual()
    alone = demand_alone().simulate_counterfactual(
        costs=expected.costs, firm_ids=data.firm_ids, taxes=taxes
    )
    assert distance(alone.new_prices, expected.new_prices) < 1e-11


# The record


def test_the_sums_of_a_counterfactual() -> None:
    results = linear()
    found = results.simulate_counterfactual(mergers={2: 1}, taxes=Taxes(0.05, 0.1))
    assert isinstance(found, Counterfactual) and not isinstance(found, MergerEffects)
    summary = found.summary()
    for end, new in ((0, ""), (1, "new_")):
        for name, values in (
            ("Tax revenue", getattr(found, f"{new}tax_revenues")),
            ("Consumer surplus", getattr(found, f"{new}surpluses")),
            ("Total welfare", getattr(found, f"{new}welfare")),
            ("HHI", getattr(found, f"{new}hhi")),
        ):
            assert summary[name][end] == pytest.approx(values.mean(), rel=1e-14)
        shares = getattr(found, f"{new}shares")
        assert summary["Inside share"][end] == pytest.approx(shares.sum() / 12)
        parts = (
            *("Profits of merging firms", "Profits of other firms"),
            *("Tax revenue", "Consumer surplus"),
        )
        total = sum(summary[name][end] for name in parts)
        assert summary["Total welfare"][end] == pytest.approx(total, rel=1e-13)
    taxes = found.new_prices - found.new_producer_prices
    assert distance(taxes, 0.05 + 0.1 * found.new_producer_prices) < 1e-12
    rows = found.merging
    weights = found.shares[rows] / found.shares[rows].sum()
    before, after = summary["Producer prices of merging firms"]
    assert before == pytest.approx(weights @ found.prices[rows], rel=1e-14)
    assert after == pytest.approx(weights @ found.new_producer_prices[rows], rel=1e-14)
    by_firm = found.profits_by_firm()
    assert list(by_firm.index) == [0, 1]
    assert by_firm["after"].sum() == pytest.approx(found.new_profits.sum() / 12)
    text = str(found)
    assert "Counterfactual (mergers, taxes): 60 products, 12 markets:" in text
    assert "Tax revenue" in text and "Total welfare" in found._repr_html_()
    frame, markets = found.to_frame(), found.markets_frame()
    assert len(frame) == 60 and len(markets) == 12
    for name in frame:
        np.testing.assert_array_equal(frame[name], getattr(found, name))
    np.testing.assert_array_equal(markets["new_welfare"], found.new_welfare)
    assert {field.name for field in fields(Counterfactual)} == {
        field.name for field in fields(MergerEffects)
    }


def test_rows_are_the_users() -> None:
    """Frames of a table in mixed order are those of each market by itself."""
    results = solved(8)
    found = results.simulate_counterfactual(taxes=some_taxes(results))
    np.testing.assert_array_equal(
        found.market_ids, results.product_data.market_ids[:, 0]
    )
    np.testing.assert_array_equal(found.prices, results.product_data.prices[:, 0])
    frame = found.to_frame()
    frame["paid"] = (frame.new_prices - frame.new_producer_prices) * frame.new_shares
    paid = frame.groupby("market_ids")["paid"].sum()
    markets = found.markets_frame().set_index("market_ids")
    np.testing.assert_allclose(paid, markets["new_tax_revenues"].loc[paid.index])


@pytest.mark.parametrize(
    "how", [{"engine": "serial", "backend": "numpy"}, {"threads": 2}]
)
def test_engines_and_backends_agree(how: dict[str, Any]) -> None:
    results = solved(103)
    fixed = np.arange(results.delta.size) % 3 == 0
    for held in (None, fixed):
        asked = {"taxes": some_taxes(results), "fixed_prices": held}
        expected = results.simulate_counterfactual(**asked)
        found = results.simulate_counterfactual(**asked, **how)
        for name in ("new_prices", "new_shares", "new_surpluses", "costs"):
            gap = distance(getattr(found, name), getattr(expected, name))
            assert gap < 1e-10, name


def test_markets_without_prices_are_named() -> None:
    short = blpdask.Iteration("simple", {"max_evaluations": 2})
    said = r"simulate_counterfactual: in \d+ markets \(m00"
    with pytest.warns(NumericalWarning, match=said) as caught:
        solved(1).simulate_counterfactual(taxes=Taxes(0.2), iteration=short)
    assert any(warning.filename == __file__ for warning in caught)


# Arguments


def test_every_fault_at_once() -> None:
    with pytest.raises(InputError) as caught:
        linear().simulate_counterfactual(
            mergers={7: 1},
            firm_ids=[1, 2],
            costs=[1.0],
            new_costs="dear",
            taxes=0.2,
            taxes_before=Taxes(unit=np.ones(3)),
            fixed_prices=np.zeros(60),
            prices=[np.nan] * 60,
            iteration="simple",
            backend="abacus",
        )
    text = str(caught.value)
    for found in (
        *("mergers and firm_ids", "firms that own nothing (7)", "costs of size 1"),
        *("new_costs of size 0", "taxes of type float", "taxes_before.unit of size 3"),
        *("fixed_prices of type float64", "prices of size 60, 60 not finite"),
        *("iteration of type str", "'abacus'"),
    ):
        assert found in text, found
    assert text.startswith("simulate_counterfactual: 10 faults")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"mergers": {}}, "mergers={}"),
        ({"mergers": {"2": 1}}, "own nothing (2)"),
        ({"mergers": {1: [2]}}, "own nothing ([2])"),
        ({"firm_ids": [1, 2, 3]}, "firm_ids of shape (3,)"),
        ({"ownership": np.eye(3)}, "ownership of shape (3, 3)"),
        ({"ownership": np.ones((60, 5)), "mergers": {2: 1}}, "mergers and ownership"),
        ({"costs": "low"}, "costs of size 0"),
        ({"new_costs": np.full(60, np.inf)}, "new_costs of size 60, 60 not finite"),
        ({"taxes": {"unit": 1}}, "taxes of type dict"),
        ({"taxes_before": 3}, "taxes_before of type int"),
        ({"taxes": Taxes(ad_valorem=[0.1, 0.2])}, "taxes.ad_valorem of size 2"),
        ({"fixed_prices": [True]}, "fixed_prices of type bool and size 1"),
        ({"fixed_prices": np.ones(60, int)}, "fixed_prices of type int64"),
        ({"prices": [1.0]}, "prices of size 1"),
        ({"iteration": "squarem"}, "iteration of type str"),
        ({"threads": 0}, "threads=0"),
    ],
)
def test_what_is_refused(arguments: dict[str, Any], found: str) -> None:
    with pytest.raises(InputError, match=r"1 fault\.") as caught:
        linear().simulate_counterfactual(**arguments)
    assert found in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"unit": "much"}, ["unit of type str that is not numeric"]),
        ({"unit": [1.0, np.nan]}, ["unit of size 2, 1 not finite"]),
        ({"unit": []}, ["unit of size 0"]),
        ({"unit": np.ones((2, 2))}, ["unit of shape (2, 2)"]),
        ({"ad_valorem": -1.0}, ["-1 or less in 1 places (-1)"]),
        ({"unit": [1.0] * 3, "ad_valorem": [0.1] * 2}, ["unit of size 3, ad_valorem"]),
        (
            {"unit": None, "ad_valorem": [-2.0, np.inf]},
            ["unit of size 1, 1 not finite", "1 not finite", "(-2)"],
        ),
    ],
)
def test_taxes_that_are_refused(arguments: dict[str, Any], found: list[str]) -> None:
    with pytest.raises(InputError, match=re.escape(found[0])) as caught:
        Taxes(**arguments)
    assert len(caught.value.faults) == len(found)
    for text in found:
        assert text in str(caught.value)


def test_taxes_are_the_records_own() -> None:
    amounts = np.ones(60)
    taxes = Taxes(amounts[:, None], 1)
    amounts[:] = 2.0
    np.testing.assert_array_equal(taxes.unit, np.ones(60))
    assert taxes.ad_valorem == 1.0
