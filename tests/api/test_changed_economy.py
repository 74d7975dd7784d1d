"""Economies that are changed: other products, and transfers to agents.

Invariants: without a product the model says what surplus without it and diversion from
it say; a changed market is what a simulation of it finds; what leaves and comes back
changes nothing; twins share what one had, as a plain program computes it; transfers to
all are a subsidy of all products, and other transfers are lower prices for each agent;
firms then have nothing to gain from other prices; engines, backends and orders of rows
do not matter; what cannot be is said at once.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask import Formulation, Taxes
from blpdask.errors import InputError, NumericalWarning
from tests.api import nevo
from tests.api.test_economy_methods import linear, markets_of, own_rows, solved
from tests.api.test_type_shares import at_truth as typed
from tests.driver.clusters import cluster
from tests.references.drawn_simulation import draw_simulation
from tests.references.specifications import distance, needs_nevo_data, quietly

#: Squares, categories, ownership and logs of costs, all of that with nests and
#: availability, a scale, and a nested logit without agents.
REMOVED = (1, 4, 5, 100, 103, 106, 108)
#: Of those, and of others, where entrants can come: logs of prices and costs, nests.
ENTERED = (2, 4, 8, 101, 106, 108)
#: Prices enter linearly, with log, logit and linear coefficients; nests, and a scale.
PAID = (0, 5, 105, 110)


@pytest.fixture(autouse=True)
def quiet():
    with quietly():
        yield


def pick(results: Any) -> np.ndarray:
    """Flag every other product of each market with more than one."""
    flags = np.zeros(len(results.delta), bool)
    for rows in own_rows(results):
        flags[rows[1::2]] = True
    return flags


def own_columns(
    values: np.ndarray, markets: np.ndarray, of: np.ndarray, kept: np.ndarray
) -> np.ndarray:
    """Keep the columns, of rows in markets ``of``, of products that stay."""
    found = np.full(values.shape, np.nan)
    for row, market in enumerate(of):
        stays = np.flatnonzero(kept[markets == market])
        found[row, : stays.size] = values[row, stays]
    return found


def simulate(
    seed: int, kept: np.ndarray, more: pd.DataFrame | None = None, **solution: Any
) -> Any:
    """Simulate the markets of a seed anew, with some products and some more."""
    results, drawn = solved(seed), draw_simulation(seed)
    first, markets = results.simulation, markets_of(results)
    data = {n: results.product_data[n] for n in results.product_data.dtype.names}
    data = {n: v for n, v in data.items() if v.size}
    if "ownership" in data:
        data["ownership"] = own_columns(data["ownership"], markets, markets, kept)
    data = {n: v[kept] for n, v in data.items()}
    xi, omega = first.xi[kept], first.omega[kept]
    if more is not None:
        data = {n: np.append(v, more[n]) for n, v in data.items() if n != "shares"}
        xi, omega = np.append(xi, more["xi"]), np.append(omega, more["omega"])
    own = dict(drawn.arguments) | {"product_data": data, "xi": xi, "omega": omega}
    if first.agent_data is not None:
        people = {n: first.agent_data[n] for n in first.agent_data.dtype.names}
        people = {n: v for n, v in people.items() if v.size}
        if "availability" in people:
            of = people["market_ids"][:, 0]
            people["availability"] = own_columns(
                people["availability"], markets, of, kept
            )
        own["agent_data"] = people
    if drawn.demographics:
        own["agent_formulation"] = Formulation(drawn.demographics)
    formulas = tuple(f and Formulation(f) for f in drawn.formulas)
    return blpdask.Simulation(formulas, **own).replace_endogenous(**solution)


def entrants(seed: int) -> pd.DataFrame:
    """Make entrants in some markets, unlike any product, in mixed order."""
    results, rng = solved(seed), np.random.default_rng(seed)
    first = results.product_data
    rows = rng.permutation(first.size)[: first.size // 3]
    names = [n for n in first.dtype.names if first[n].shape[1] == 1 and n != "shares"]
    table = pd.DataFrame({n: first[n][rows, 0] for n in names})
    for name in ("x1", "w1"):
        if name in table:
            table[name] = rng.uniform(size=rows.size)
    table["prices"] = first.prices[rows, 0] * rng.uniform(0.9, 1.1, rows.size)
    table["firm_ids"] = rng.integers(0, 5, rows.size)
    table["xi"] = rng.normal(0, 0.3, rows.size)
    table["omega"] = rng.normal(0, 0.1, rows.size)
    return table


@pytest.mark.parametrize("seed", REMOVED)
def test_who_chose_a_product_goes_where_diversion_says(seed: int) -> None:
    results = solved(seed)
    ratios = results.compute_long_run_diversion_ratios()
    shares = results.product_data.shares[:, 0]
    gone, lost = np.zeros(shares.size, bool), []
    for place, rows in enumerate(own_rows(results)):
        if rows.size > 1:
            gone[rows[place % rows.size]] = True
            lost.append((rows, place % rows.size))
    changed = results.change_products(remove=gone, equilibrium=False)
    after = np.full(shares.size, np.nan)
    after[~gone] = changed.shares[:, 0]
    for rows, j in lost:
        others = np.delete(np.arange(rows.size), j)
        gains = (after[rows] - shares[rows])[others] / shares[rows[j]]
        assert distance(gains, ratios[rows[j], others]) < 1e-10
    assert distance(changed.prices, results.product_data.prices[~gone]) == 0
    assert distance(changed.delta, results.delta[~gone]) == 0
    assert distance(changed.costs, results.compute_costs()[~gone]) == 0


def test_surplus_without_products_is_that_of_their_elimination() -> None:
    results = linear()
    gone = np.isin(results.product_data.product_ids[:, 0], ["a", "c"])
    changed = results.change_products(remove=gone, equilibrium=False)
    for keep in (False, True):
        expected = results.compute_consumer_surpluses(
            keep_all=keep, eliminate_product_ids=["a", "c"]
        )
        assert distance(changed.compute_consumer_surpluses(keep_all=keep), expected) < (
            1e-14
        )
    again = results.change_products(
        remove=results.product_data.product_ids[:, 0] == "a", equilibrium=False
    )
    again = again.change_products(remove=again.product_ids == "c", equilibrium=False)
    assert distance(again.shares, changed.shares) < 1e-14


@pytest.mark.parametrize("seed", REMOVED)
def test_markets_without_some_products_are_those_of_a_simulation(seed: int) -> None:
    results = solved(seed)
    kept = ~pick(results)
    expected = simulate(
        seed, kept, costs=results.costs[kept], prices=results.product_data.prices[kept]
    )
    changed = results.change_products(remove=~kept)
    assert distance(changed.prices, expected.product_data.prices) < 1e-10
    assert distance(changed.shares, expected.product_data.shares) < 1e-10
    assert distance(changed.delta, expected.delta) < 1e-10
    assert distance(changed.prices, results.product_data.prices[kept]) > 1e-4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)
        for name in (
            *("compute_elasticities", "compute_diversion_ratios", "compute_costs"),
            *("compute_long_run_diversion_ratios", "compute_consumer_surpluses"),
            *("compute_hhi", "compute_profits", "compute_passthrough"),
            *("compute_delta", "compute_demand_hessians", "compute_probabilities"),
        ):
            found = getattr(changed, name)()
            assert distance(found, getattr(expected, name)()) < 1e-8, name


@pytest.mark.parametrize("seed", ENTERED)
def test_markets_with_entrants_are_those_of_a_simulation(seed: int) -> None:
    results, more = solved(seed), entrants(seed)
    kept = ~pick(results)
    for stay in (np.ones(kept.size, bool), kept):
        expected = simulate(seed, stay, more)
        changed = results.change_products(remove=~stay, add=more)
        assert distance(changed.costs, expected.costs) < 1e-9
        assert distance(changed.prices, expected.product_data.prices) < 1e-9
        assert distance(changed.shares, expected.product_data.shares) < 1e-9
        assert list(changed.market_ids) == list(markets_of(expected))
        assert list(changed.firm_ids) == list(expected.product_data.firm_ids[:, 0])
        found = changed.compute_elasticities()
        assert distance(found, expected.compute_elasticities()) < 1e-8


@pytest.mark.parametrize("seed", (2, 4, 101, 106, 108))
def test_what_leaves_and_comes_back_changes_nothing(seed: int) -> None:
    results, gone = solved(seed), pick(solved(seed))
    data = results.product_data
    names = [n for n in data.dtype.names if data[n].shape[1] == 1 and n != "shares"]
    table = pd.DataFrame({n: data[n][gone, 0] for n in names})
    table["xi"] = results.simulation.xi[gone, 0]
    table["costs"] = results.costs[gone, 0]
    order = np.concatenate([np.flatnonzero(~gone), np.flatnonzero(gone)])
    at_once = results.change_products(remove=gone, add=table)
    by_steps = results.change_products(remove=gone).change_products(add=table)
    for found in (at_once, by_steps):
        assert distance(found.prices, data.prices[order]) < 1e-10
        assert distance(found.shares, data.shares[order]) < 1e-10
        assert distance(found.delta, results.delta[order]) < 1e-10
        assert distance(found.costs, results.costs[order]) < 1e-10
    by_delta = table.drop(columns="xi").assign(delta=results.delta[gone, 0])
    found = results.change_products(remove=gone, add=by_delta, equilibrium=False)
    assert distance(found.shares, data.shares[order]) < 1e-12


def test_a_category_may_leave_and_come_back() -> None:
    results = solved(4)
    kinds = results.product_data.kind[:, 0]
    firsts = [rows[0] for rows in own_rows(results)]
    names = ("market_ids", "firm_ids", "prices", "x1", "w1")
    table = pd.DataFrame({n: results.product_data[n][firsts, 0] for n in names})
    ours, theirs = table.assign(kind="a"), table.assign(kind="b")
    without = results.change_products(add=ours)
    kept = np.append(kinds, ours["kind"]) == "a"
    without = without.change_products(remove=~kept)
    found = without.change_products(add=theirs)
    more = pd.concat([ours, theirs]).assign(xi=0.0, omega=0.0)
    expected = simulate(4, kinds == "a", more)
    assert distance(found.prices, expected.product_data.prices) < 1e-9
    assert distance(found.shares, expected.product_data.shares) < 1e-9


def plain_shares(
    delta: np.ndarray, slopes: np.ndarray, p: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Compute shares of one market: Σ_i w_i e^{δ_j + ν_i p_j} / (1 + Σ ...)."""
    total = np.zeros(delta.size)
    for w, slope in zip(weights, slopes, strict=True):
        odds = np.exp(delta + slope * p)
        total += w * odds / (1 + odds.sum())
    return total


def test_twins_share_as_a_plain_program_says() -> None:
    results = linear()
    data, agents = results.product_data, results.simulation.agents
    ids = data.product_ids[:, 0]
    names = ("market_ids", "firm_ids", "product_ids", "prices", "x")
    twin = pd.DataFrame({n: data[n][ids == "b", 0] for n in names})
    twin["xi"] = results.simulation.xi[ids == "b", 0]
    twin["omega"] = results.simulation.omega[ids == "b", 0]
    changed = results.change_products(add=twin, equilibrium=False)
    for t in range(12):
        rows, own = np.arange(5 * t, 5 * t + 5), np.flatnonzero(agents.market_ids == t)
        both = np.append(rows, 5 * t + 1)
        slopes = 0.3 * agents.nodes[own, 0]
        shares = plain_shares(
            results.delta[both, 0],
            slopes,
            data.prices[both, 0],
            agents.weights[own, 0],
        )
        found = changed.shares[np.append(rows, 60 + t), 0]
        assert distance(found, shares) < 1e-13
        assert found[1] == pytest.approx(found[5], rel=1e-14)
    prices = results.change_products(add=twin).prices[:, 0]
    assert distance(prices[60:], prices[1:60:5]) < 1e-10


@pytest.mark.parametrize("seed", PAID)
def test_transfers_to_all_are_a_subsidy_of_all_products(seed: int) -> None:
    results = solved(seed)
    prices, A = results.product_data.prices, results.simulation.I
    changed = results.give_transfers(np.full(A, 0.3), equilibrium=False)
    assert distance(changed.shares, results.compute_shares(prices - 0.3)) < 1e-12
    sold = [changed.shares[rows].sum() for rows in own_rows(results)]
    assert distance(changed.transfer_costs[:, 0], 0.3 * np.array(sold)) < 1e-12
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)
        found = changed.compute_consumer_surpluses()
        expected = results.compute_consumer_surpluses(prices - 0.3)
    assert distance(found, expected) < 1e-12
    # Firms that receive 0.3 more than consumers pay are firms with lower costs.
    paid = results.give_transfers(np.full(A, 0.3))
    expected = results.compute_prices(costs=results.costs - 0.3)
    assert distance(paid.prices, expected + 0.3) < 1e-10


def draw_transfers(results: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw what agents are paid, of three amounts, and which products are eligible."""
    rng = np.random.default_rng(seed)
    amounts = rng.choice([0.0, 0.4, -0.2], results.simulation.I)
    return amounts, rng.uniform(size=len(results.delta)) < 0.6


def paid_probabilities(
    results: Any, prices: np.ndarray, amounts: np.ndarray, eligible: np.ndarray
) -> np.ndarray:
    """Give agents their probabilities at what they pay, ``(N, max I)``."""
    of = np.unique(markets_of(results), return_inverse=True)[1]
    people = results.simulation.agent_data["market_ids"][:, 0]
    ids = np.unique(markets_of(results))
    P = None
    for b in np.unique(amounts):
        at = results.compute_probabilities(prices - b * eligible[:, None])
        P = np.full(at.shape, np.nan) if P is None else P
        for t, market in enumerate(ids):
            paid = np.flatnonzero(amounts[people == market] == b)
            rows = np.flatnonzero(of == t)
            P[np.ix_(rows, paid)] = at[np.ix_(rows, paid)]
    assert P is not None
    return P


def weigh(results: Any, values: np.ndarray) -> np.ndarray:
    """Weigh values of agents ``(N, max I)``, ``(N,)``."""
    people = results.simulation.agent_data
    found = np.empty(len(values))
    for market, rows in zip(
        np.unique(markets_of(results)), own_rows(results), strict=True
    ):
        w = people["weights"][people["market_ids"][:, 0] == market, 0]
        found[rows] = values[rows][:, : w.size] @ w
    return found


@pytest.mark.parametrize("seed", (*PAID, 115, 130))
def test_transfers_are_lower_prices_for_each_agent(seed: int) -> None:
    results = solved(seed)
    amounts, eligible = draw_transfers(results, seed)
    changed = results.give_transfers(amounts, products=eligible)
    P = paid_probabilities(results, changed.prices, amounts, eligible)
    assert distance(changed.shares[:, 0], weigh(results, P)) < 1e-11
    assert distance(changed.compute_probabilities(), P) < 1e-11
    people = results.simulation.agent_data["market_ids"][:, 0]
    spent = []
    for market, rows in zip(
        np.unique(markets_of(results)), own_rows(results), strict=True
    ):
        b = amounts[people == market]
        own = np.zeros(P.shape)
        own[:, : b.size] = b * P[:, : b.size] * eligible[:, None]
        spent.append(weigh(results, own)[rows].sum())
    assert distance(changed.transfer_costs[:, 0], spent) < 1e-11


@pytest.mark.parametrize("seed", (0, 105, 130))
def test_firms_gain_nothing_from_other_prices(seed: int) -> None:
    """Slopes are differences of shares at what agents pay."""
    results = solved(seed)
    amounts, eligible = draw_transfers(results, seed)
    changed = results.give_transfers(amounts, products=eligible)
    p, step = changed.prices, 1e-5
    margins = (p - results.costs)[:, 0]
    firms = results.product_data.firm_ids[:, 0]
    for place in range(3):
        up, down = (p.copy(), p.copy())
        moved = [rows[place] for rows in own_rows(results) if rows.size > place]
        up[moved] += step
        down[moved] -= step
        ends = [
            weigh(results, paid_probabilities(results, at, amounts, eligible))
            for at in (up, down)
        ]
        slopes = (ends[0] - ends[1]) / (2 * step)
        for row in moved:
            own = markets_of(results) == markets_of(results)[row]
            own &= firms == firms[row]
            gain = changed.shares[row, 0] + margins[own] @ slopes[own]
            assert abs(gain) < 1e-8


@cache
def people(scale: float = 1.0) -> Any:
    """Solve markets of agents with incomes, rows of both tables in mixed order."""
    rng = np.random.default_rng(5)
    T, J, people = 4, 4, 9
    mixed, shuffled = rng.permutation(T * J), rng.permutation(T * people)
    data = {
        "market_ids": np.repeat(np.arange(T), J)[mixed],
        "firm_ids": np.tile([0, 0, 1, 2], T)[mixed],
        "product_ids": np.tile(np.array([*"abcd"]), T)[mixed],
    }
    agents = {
        "market_ids": np.repeat(np.arange(T), people)[shuffled],
        "weights": rng.dirichlet(np.ones(people), T).ravel()[shuffled],
        "nodes": rng.normal(size=(T * people, 2)),
        "income": rng.uniform(size=T * people),
    }
    with quietly():
        return blpdask.Simulation(
            (
                Formulation("1 + prices + x"),
                Formulation("1 + prices"),
                Formulation("1"),
            ),
            data,
            beta=[1, -4, 1],
            sigma=np.diag([0.5, 0.4]),
            pi=[[0.3], [0.8]],
            gamma=[0.5],
            agent_formulation=Formulation("0 + income"),
            agent_data=agents,
            epsilon_scale=scale,
            xi_variance=0.2,
            omega_variance=0.05,
            seed=2,
        ).replace_endogenous()


def plain_market(
    results: Any, t: int, p: np.ndarray, b: np.ndarray, eligible: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """Compute P (I, J) of market t at prices p, from parameters, and the slopes α_i."""
    first, data = results.simulation, results.product_data
    rows = np.flatnonzero(data.market_ids[:, 0] == t)
    own = np.flatnonzero(first.agent_data["market_ids"][:, 0] == t)
    fixed = 1 + data["x"][rows, 0] + first.xi[rows, 0]
    P, alphas = [], []
    for i in own:
        nodes, income = first.agent_data["nodes"][i], first.agent_data["income"][i, 0]
        taste = 0.5 * nodes[0] + 0.3 * income
        alpha = -4 + 0.4 * nodes[1] + 0.8 * income
        odds = np.exp((fixed + taste + alpha * (p[rows] - b[i] * eligible[rows])) / eps)
        P.append(odds / (1 + odds.sum()))
        alphas.append(alpha)
    return np.array(P), np.array(alphas)


@pytest.mark.parametrize("scale", (1.0, 1.6))
def test_transfers_as_a_plain_program_has_them(scale: float) -> None:
    results = people(scale)
    first, ids = results.simulation, results.product_data.product_ids[:, 0]
    income = first.agent_data["income"][:, 0]
    b, eligible = 0.5 * (income < 0.5) + 0.1 * income, np.isin(ids, ["a", "d"])
    changed = results.give_transfers(b, products=eligible)
    p, weights = changed.prices[:, 0], first.agent_data["weights"][:, 0]
    surpluses = changed.compute_consumer_surpluses()[:, 0]
    for t in range(4):
        rows = np.flatnonzero(changed.market_ids == t)
        own = np.flatnonzero(first.agent_data["market_ids"][:, 0] == t)
        P, alphas = plain_market(results, t, p, b, eligible, scale)
        assert distance(changed.shares[rows, 0], weights[own] @ P) < 1e-12
        spent = weights[own] * b[own] @ P[:, eligible[rows]].sum(axis=1)
        assert changed.transfer_costs[t, 0] == pytest.approx(spent, rel=1e-12)
        worth = scale * np.log(1 / (1 - P.sum(axis=1))) / -alphas
        assert surpluses[t] == pytest.approx(weights[own] @ worth, rel=1e-12)
        margins, firms = p[rows] - results.costs[rows, 0], changed.firm_ids[rows]
        for j in range(rows.size):
            ends = []
            for step in (1e-5, -1e-5):
                moved = p.copy()
                moved[rows[j]] += step
                at, _ = plain_market(results, t, moved, b, eligible, scale)
                ends.append(weights[own] @ at)
            slopes = (ends[0] - ends[1]) / 2e-5
            same = firms == firms[j]
            gain = changed.shares[rows[j], 0] + margins[same] @ slopes[same]
            assert abs(gain) < 1e-9
    assert distance(changed.costs, results.costs) < 1e-10
    assert distance(changed.prices, results.product_data.prices) > 1e-3
    assert distance(changed.compute_delta(), changed.delta) < 1e-11


@pytest.mark.parametrize("seed", PAID)
def test_welfare_counts_what_transfers_cost(seed: int) -> None:
    """Transfers to all, and subsidies of all products, leave everybody alike."""
    results = solved(seed)
    paid = results.give_transfers(np.full(results.simulation.I, 0.3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)
        expected = results.simulate_counterfactual(taxes=Taxes(unit=-0.3))
        found = paid.simulate_counterfactual()
    assert distance(found.welfare, expected.new_welfare) < 1e-9
    assert distance(found.new_welfare, expected.new_welfare) < 1e-9
    assert distance(found.transfer_costs, -expected.new_tax_revenues) < 1e-9
    assert not expected.transfer_costs.any() and not expected.new_transfer_costs.any()
    assert "Transfers" in str(found) and "Transfers" not in str(expected)


def test_transfers_of_a_counterfactual_are_those_at_its_prices() -> None:
    results, eps = people(1.6), 1.6
    first, ids = results.simulation, results.product_data.product_ids[:, 0]
    income = first.agent_data["income"][:, 0]
    b, eligible = 0.5 * (income < 0.5) + 0.1 * income, np.isin(ids, ["a", "d"])
    paid = results.give_transfers(b, products=eligible)
    found = paid.simulate_counterfactual(mergers={2: 1}, taxes=Taxes(0.1, 0.2))
    p, weights = found.new_prices, first.agent_data["weights"][:, 0]
    assert distance(found.transfer_costs, paid.transfer_costs[:, 0]) < 1e-14
    for t in range(4):
        rows = np.flatnonzero(paid.market_ids == t)
        own = np.flatnonzero(first.agent_data["market_ids"][:, 0] == t)
        P, alphas = plain_market(results, t, p, b, eligible, eps)
        spent = weights[own] * b[own] @ P[:, eligible[rows]].sum(axis=1)
        assert found.new_transfer_costs[t] == pytest.approx(spent, rel=1e-12)
        worth = weights[own] @ (eps * np.log(1 / (1 - P.sum(axis=1))) / -alphas)
        gains = weights[own] @ P @ (p[rows] - results.costs[rows, 0])
        assert found.new_welfare[t] == pytest.approx(worth + gains - spent, rel=1e-10)
    before, after = found.summary()["Transfers"]
    assert before == pytest.approx(found.transfer_costs.mean(), rel=1e-14)
    assert after == pytest.approx(found.new_transfer_costs.mean(), rel=1e-14)
    assert found.changed == ("mergers", "taxes")
    merger = paid.simulate_merger({2: 1}).transfer_costs
    assert distance(merger, paid.transfer_costs[:, 0]) < 1e-14


def test_transfers_add_up_and_go_with_other_products() -> None:
    results = people()
    ids = results.product_data.product_ids[:, 0]
    income = results.simulation.agent_data["income"][:, 0]
    some = np.isin(ids, ["a", "d"])
    both = results.give_transfers(0.3 * income, products=some)
    both = both.give_transfers(0.2 * income, products=some)
    whole = results.give_transfers(0.5 * income, products=some)
    assert distance(both.prices, whole.prices) < 1e-11
    assert distance(both.transfer_costs, whole.transfer_costs) < 1e-11
    assert distance(both.costs, results.compute_costs()) < 1e-13
    gone = ids == "b"
    first = results.change_products(remove=gone).give_transfers(
        0.5 * income, products=some[~gone]
    )
    last = whole.change_products(remove=gone)
    assert distance(first.prices, last.prices) < 1e-11
    assert distance(first.transfer_costs, last.transfer_costs) < 1e-10
    data = results.product_data
    names = ("market_ids", "firm_ids", "product_ids", "prices", "x")
    table = pd.DataFrame({n: data[n][gone, 0] for n in names})
    table["xi"] = results.simulation.xi[gone, 0]
    table["costs"] = results.costs[gone, 0]
    with pytest.raises(InputError, match="entrants without transfers0"):
        last.change_products(add=table)
    back = last.change_products(add=table.assign(transfers0=0))
    order = np.concatenate([np.flatnonzero(~gone), np.flatnonzero(gone)])
    assert distance(back.prices, whole.prices[order]) < 1e-11
    assert distance(back.transfer_costs, whole.transfer_costs) < 1e-11


def far(kept: np.ndarray, more: dict[str, np.ndarray]) -> Any:
    """Evaluate a problem of agents at distances from each of some products."""
    rng = np.random.default_rng(11)
    markets = np.repeat(np.arange(3), [4, 2, 3])
    data = {"market_ids": markets, "firm_ids": rng.integers(0, 2, 9)}
    data |= {"x": rng.uniform(size=9), "prices": rng.uniform(1, 2, 9)}
    data |= {"shares": rng.uniform(0.1, 0.2, 9), "demand_instruments0": data["x"] ** 2}
    of = np.repeat(np.arange(3), 6)
    agents: dict[str, Any] = {"market_ids": of, "weights": np.full(18, 1 / 6)}
    agents |= {"nodes": rng.normal(size=(18, 1)), "income": rng.uniform(size=18)}
    distances = own_columns(rng.uniform(0, 2, (18, 4)), markets, of, kept)
    agents |= {f"far{j}": distances[:, j] for j in range(4)}
    data = {n: v[kept] for n, v in data.items()} | more
    problem = blpdask.Problem(
        (Formulation("1 + prices + x"), Formulation("1 + x")),
        data,
        Formulation("0 + far + income"),
        {n: np.nan_to_num(v, nan=0.0) for n, v in agents.items()},
    )
    sigma, pi = np.diag([0.0, 0.5]), np.array([[-0.8, 0.2], [0.0, 0.3]])
    return problem.solve(
        sigma=sigma,
        sigma_bounds=(sigma, sigma),
        pi=pi,
        pi_bounds=(pi, pi),
        beta=[1, -3, 1],
        method="1s",
        optimization=blpdask.Optimization("return"),
        check_optimality="gradient",
    )


def test_agents_keep_their_distances_from_products_that_stay() -> None:
    """Changed shares and prices, as data, imply the δ and costs that were carried."""
    results = far(np.ones(9, bool), {})
    kept = np.array([0, 1, 0, 1, 0, 1, 1, 0, 1], bool)
    changed = results.change_products(remove=~kept)
    prices, shares = changed.prices[:, 0], changed.shares[:, 0]
    expected = far(kept, {"prices": prices, "shares": shares})
    assert distance(changed.delta, expected.delta) < 1e-11
    assert distance(changed.costs, expected.compute_costs()) < 1e-10
    assert distance(changed.costs, results.compute_costs()[kept]) == 0
    rng, p = np.random.default_rng(4), results.problem.products.prices
    amounts, eligible = rng.choice([0.0, 0.4, -0.2], 18), rng.uniform(size=(9, 1)) < 0.6
    paid = results.give_transfers(amounts, products=eligible, equilibrium=False)
    found = paid.compute_probabilities()
    markets = results.problem.products.market_ids[:, 0]
    for b in np.unique(amounts):
        at = results.compute_probabilities(p - b * eligible)
        same = amounts.reshape(3, 6)[markets.astype(int)] == b
        assert distance(found[same], at[same]) < 1e-12
    table = pd.DataFrame(
        {"market_ids": [0], "firm_ids": [0], "x": [0.1], "prices": [1.0]}
    )
    with pytest.raises(InputError, match="demographics of each product"):
        results.change_products(add=table.assign(costs=0.5))


def test_types_of_agents_are_paid_by_their_shares() -> None:
    results = typed()
    prices = results.problem.products.prices
    A = results.problem.I
    with pytest.raises(InputError, match=rf"{A} finite numbers"):
        results.give_transfers([0.1])
    changed = results.give_transfers(np.full(A, 0.1), equilibrium=False)
    assert distance(changed.shares, results.compute_shares(prices - 0.1)) < 1e-12
    markets = np.unique(results.problem.products.market_ids, return_inverse=True)[1]
    sold = np.bincount(markets.ravel(), weights=changed.shares[:, 0])
    assert distance(changed.transfer_costs[:, 0], 0.1 * sold) < 1e-12


def test_costs_are_carried() -> None:
    results = linear()
    ids = results.product_data.product_ids[:, 0]
    short = results.change_products(remove=ids == "c", equilibrium=False)
    costs = results.costs[ids != "c"]
    assert distance(short.compute_costs(), costs) < 1e-10
    assert distance(short.compute_costs(market_id=3), costs[12:16]) < 1e-10
    margins = short.prices - costs
    assert distance(short.compute_markups(), margins / short.prices) < 1e-10
    assert distance(short.compute_profits(), margins * short.shares) < 1e-10
    found = short.compute_profits(market_id=3)
    assert distance(found, (margins * short.shares)[12:16]) < 1e-10
    # Prices of the short run are not optimal: firms would have other costs.
    assert distance(short.compute_costs(short.firm_ids), costs) > 1e-3
    settled = results.change_products(remove=ids == "c")
    assert distance(short.compute_prices(), settled.prices) < 1e-11
    assert distance(settled.compute_prices(), settled.prices) < 1e-11
    assert distance(settled.compute_costs(settled.firm_ids), costs) < 1e-10
    assert distance(short.change_products().prices, settled.prices) < 1e-11
    dearer = results.change_products(remove=ids == "c", costs=results.costs + 0.1)
    assert distance(dearer.costs, costs + 0.1) < 1e-12
    expected = settled.compute_prices(costs=costs + 0.1)
    assert distance(dearer.prices, expected) < 1e-11
    tax = blpdask.Taxes(unit=0.2)
    short_run, long_run = (
        at.simulate_counterfactual(taxes=tax) for at in (short, settled)
    )
    assert distance(short_run.costs, costs[:, 0]) < 1e-10
    assert distance(short_run.new_prices, long_run.new_prices) < 1e-10
    pressed = short.compute_pricing_pressure({2: 1}).costs
    assert distance(pressed, costs[:, 0]) < 1e-10
    before = settled.simulate_merger({2: 1})
    assert distance(before.costs, costs[:, 0]) < 1e-10
    merged = settled.change_products(firm_ids=np.where(settled.firm_ids == 2, 1, 0))
    expected = settled.compute_prices(np.where(settled.firm_ids == 2, 1, 0))
    assert distance(merged.prices, expected) < 1e-11
    assert distance(merged.compute_hhi(), settled.compute_hhi()) > 1e-3


@pytest.mark.parametrize("seed", (103, 106))
def test_engines_and_backends_agree(seed: int) -> None:
    results = solved(seed)
    gone = pick(results)
    serial = results.change_products(remove=gone, engine="serial")
    threaded = results.change_products(remove=gone, engine="threads", threads=2)
    arrays = results.change_products(remove=gone, engine="serial", backend="numpy")
    for name in ("prices", "shares", "delta", "costs"):
        own = getattr(serial, name)
        assert np.array_equal(own, getattr(threaded, name))
        assert distance(getattr(arrays, name), own) < 1e-10


def test_a_cluster_gives_the_same_bits() -> None:
    results = people()
    b = results.simulation.agent_data["income"][:, 0]
    gone = results.product_data.product_ids[:, 0] == "b"
    with cluster(2) as client:
        ours, theirs = (
            results.give_transfers(b, engine=engine).change_products(
                remove=gone, engine=engine
            )
            for engine in ("serial", client)
        )
    for name in ("prices", "shares", "transfer_costs"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name))


def test_a_summary_is_printed() -> None:
    results = linear()
    gone = results.product_data.product_ids[:, 0] == "c"
    changed = results.change_products(remove=gone)
    rows = changed.change.rows()
    shares, prices = results.product_data.shares, results.product_data.prices
    assert rows["Mean price"] == pytest.approx(
        (
            (shares * prices).sum() / shares.sum(),
            (changed.shares * changed.prices).sum() / changed.shares.sum(),
        )
    )
    assert rows["Outside share"][0] == pytest.approx(1 - shares.sum() / 12)
    surplus = changed.compute_consumer_surpluses().mean()
    assert rows["Consumer surplus"][1] == pytest.approx(surplus)
    assert "Transfers" not in rows
    assert "Changed economy, 12 markets" in str(changed)
    assert "Consumer surplus" in changed._repr_html_()
    paid = changed.give_transfers(np.full(results.simulation.I, 0.1))
    costs = paid.transfer_costs.mean()
    assert paid.change.rows()["Transfers"] == pytest.approx((0, costs))
    # Where prices do not measure surplus there is none, and no warning.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bent = solved(2).change_products(remove=pick(solved(2)))
        assert np.isnan(bent.change.after.surplus)


@needs_nevo_data
def test_absorbed_effects_leave_entrants_to_say_what_they_are_worth() -> None:
    with quietly():
        results = nevo.problem(blpdask, 6).solve(
            sigma=nevo.SIGMA,
            pi=nevo.PI,
            method="1s",
            optimization=blpdask.Optimization("return"),
            check_optimality="gradient",
        )
    data, _ = nevo.tables(6)
    gone = (data["product_ids"] == data["product_ids"][0]).to_numpy()
    expected = results.compute_shares(
        delta=np.where(gone[:, None], -1000, results.delta)
    )[~gone]
    short = results.change_products(remove=gone, equilibrium=False)
    assert distance(short.shares, expected) < 1e-11
    table = data[gone].drop(columns=["shares"])
    with pytest.raises(InputError, match="2 faults") as caught:
        results.change_products(remove=gone, add=table)
    assert "without 'delta', although X1 absorbs effects" in str(caught.value)
    assert "without 'costs', although there is no X3" in str(caught.value)
    table = table.assign(delta=results.delta[gone, 0])
    table["costs"] = results.compute_costs()[gone, 0]
    back = results.change_products(remove=gone).change_products(add=table)
    order = np.concatenate([np.flatnonzero(~gone), np.flatnonzero(gone)])
    assert distance(back.shares, data["shares"].to_numpy()[order][:, None]) < 1e-10
    assert distance(back.prices, data["prices"].to_numpy()[order][:, None]) < 1e-10


def test_problems_without_firms_can_lose_products() -> None:
    data = linear().product_data
    table = {n: data[n][:, 0] for n in ("market_ids", "prices", "shares", "x")}
    table["demand_instruments0"] = table["x"] ** 2
    problem = blpdask.Problem(Formulation("1 + prices + x"), table)
    results = problem.solve(method="1s")
    gone, firms = np.arange(60) % 5 == 2, data.firm_ids[:, 0]
    with pytest.raises(InputError, match="neither firm_ids nor ownership"):
        results.change_products(remove=gone)
    short = results.change_products(remove=gone, equilibrium=False)
    shares = table["shares"].reshape(12, 5)
    odds = (shares / (1 - shares.sum(axis=1, keepdims=True)))[:, [0, 1, 3, 4]]
    expected = odds / (1 + odds.sum(axis=1, keepdims=True))
    assert distance(short.shares[:, 0], expected.ravel()) < 1e-13
    assert short.costs is None and short.firm_ids is None
    with pytest.raises(InputError, match="neither firm_ids nor ownership"):
        short.compute_markups()
    settled = results.change_products(remove=gone, firm_ids=firms)
    costs = results.compute_costs(firms)[~gone]
    assert distance(settled.costs, costs) < 1e-14
    assert distance(settled.compute_costs(settled.firm_ids), costs) < 1e-10
    add = pd.DataFrame({"market_ids": [0], "prices": [1.0], "x": [0.5]})
    entered = results.change_products(add=add, equilibrium=False)
    own = results.beta[:, 0] @ [1, 1, 0.5]
    assert entered.delta[-1, 0] == pytest.approx(own, rel=1e-14)
    with pytest.raises(InputError, match="transfers without X2"):
        results.give_transfers(np.ones(12), equilibrium=False)


def test_owners_whose_weights_nobody_knows() -> None:
    results = solved(5)
    more = entrants(5).drop(columns="omega").assign(costs=1.0)
    with pytest.raises(InputError, match="whom 'ownership' in product_data does not"):
        results.change_products(add=more)
    short = results.change_products(add=more, equilibrium=False)
    with pytest.raises(InputError, match="rows of ownership with missing weights"):
        short.compute_prices()
    with pytest.raises(InputError, match="missing weights"):
        short.change_products()
    firms = results.product_data.firm_ids[:, 0]
    settled = results.change_products(add=more, firm_ids=firms)
    expected = short.compute_prices(settled.firm_ids)
    assert distance(settled.prices, expected) < 1e-10


def test_costs_that_follow_shares_have_to_be_given() -> None:
    results, more = solved(1), entrants(1)
    with pytest.raises(InputError, match="without 'costs', although X3 has shares"):
        results.change_products(add=more)
    more = more.drop(columns="omega").assign(costs=results.costs.mean())
    changed = results.change_products(add=more)
    kept = np.ones(len(results.delta), bool)
    costs = np.append(results.costs, more["costs"])
    expected = simulate(1, kept, more.assign(omega=0.0), costs=costs)
    assert distance(changed.prices, expected.product_data.prices) < 1e-9


def test_costs_that_nobody_knows() -> None:
    results = nevo_like()
    add = pd.DataFrame(
        {"market_ids": [0], "firm_ids": [9], "prices": [1.0], "x": [0.5]}
    )
    short = results.change_products(add=add, equilibrium=False)
    assert np.isnan(short.costs[-1, 0]) and np.isfinite(short.costs[:-1]).all()
    with pytest.raises(InputError, match="1 products whose costs are not known"):
        short.change_products()
    with pytest.raises(InputError, match="although there is no X3"):
        results.change_products(add=add)
    settled = short.change_products(costs=np.append(short.costs[:-1], 0.5))
    expected = results.change_products(add=add.assign(costs=0.5))
    assert distance(settled.prices, expected.prices) < 1e-11
    gone = np.arange(61) == 60
    assert distance(short.change_products(remove=gone).prices, prices_of(results)) < (
        1e-10
    )


@cache
def nevo_like() -> Any:
    """Estimate demand alone, with firms."""
    data = linear().product_data
    names = ("market_ids", "firm_ids", "prices", "shares", "x")
    table = {n: data[n][:, 0] for n in names}
    table["demand_instruments0"] = table["x"] ** 2
    with quietly():
        return blpdask.Problem(Formulation("1 + prices + x"), table).solve(method="1s")


def prices_of(results: Any) -> np.ndarray:
    """Give the prices of a problem's data."""
    return np.asarray(results.problem.products.prices, float)


def test_every_fault_of_a_change_at_once() -> None:
    results = linear()
    add = pd.DataFrame(
        {
            "market_ids": [0, 77],
            "prices": [np.nan, 1.0],
            "firm_ids": ["1", "2"],
            "costs": [1.0, 1.0],
            "omega": [0.0, 0.0],
        }
    )
    with pytest.raises(InputError) as caught:
        results.change_products(
            remove=np.zeros(7, bool),
            add=add,
            equilibrium="yes",
            costs=[1.0],
            iteration="simple",
            backend="abacus",
            threads=0,
        )
    text = str(caught.value)
    for found in (
        *("remove of shape (7,)", "markets that are not there (77)"),
        *("NaN or infinite values of 'prices'", "firm_ids such as '1' beside"),
        *("entrants without x", "0 columns of 'product_ids'", "equilibrium='yes'"),
        *("costs of size 1", "iteration of type str", "'abacus'", "threads=0"),
    ):
        assert found in text, found
    assert len(caught.value.faults) == 11


def good(seed: int) -> pd.DataFrame:
    """Make one entrant of a seed without a fault."""
    return entrants(seed).head(1)


@pytest.mark.parametrize(
    ("seed", "wrong", "found"),
    [
        (4, {"kind": "z"}, "1 unknown categories of 'kind' (z)"),
        (4, {"kind": None}, "1 missing and 0 unknown categories of 'kind'"),
        (4, {"x1": "much"}, "'x1' that is not numeric"),
        (4, {"delta": 1.0}, "both 'delta' and 'xi'"),
        (4, {"costs": 1.0}, "both 'costs' and 'omega'"),
        (4, {"firm_ids": np.nan}, "1 missing 'firm_ids'"),
        (4, {"xi": np.inf}, "NaN or infinite values of 'xi'"),
        (2, {"prices": -1.0}, "1 of 1 rows of 'log(prices) of entrants' not finite"),
        (101, {"nesting_ids": "z"}, "nests that are not there (z)"),
        (103, {}, "agents have availability or demographics of each product"),
    ],
)
def test_entrants_that_are_refused(seed: int, wrong: Any, found: str) -> None:
    results = solved(seed)
    with pytest.raises(InputError) as caught:
        results.change_products(add=good(seed).assign(**wrong), equilibrium=False)
    assert len(caught.value.faults) == 1, str(caught.value)
    assert found in str(caught.value)


def test_changes_that_are_refused() -> None:
    results = linear()
    markets = markets_of(results)
    with pytest.raises(InputError, match=r"1 markets that lose their last product"):
        results.change_products(remove=markets == 3)
    with pytest.raises(InputError, match="add of type list"):
        results.change_products(add=[1, 2])
    with pytest.raises(InputError, match="60 times True or False"):
        results.change_products(remove=np.zeros(60))
    with pytest.raises(InputError, match="firm_ids of shape"):
        results.change_products(firm_ids=[1])
    with pytest.raises(InputError, match="products of shape"):
        results.give_transfers(np.zeros(60), products=["a"])
    with pytest.raises(InputError, match=r"amounts of shape \(60,\), 1 not finite"):
        results.give_transfers(np.append(np.zeros(59), np.nan))
    empty = pd.DataFrame({"market_ids": []})
    assert results.change_products(add=empty).shares.shape == (60, 1)


@pytest.mark.parametrize(
    ("seed", "found"),
    [(2, "not linear in prices"), (8, "at different slopes"), (4, "different slopes")],
)
def test_transfers_need_one_slope(seed: int, found: str) -> None:
    results = solved(seed)
    with pytest.raises(InputError, match=found):
        results.give_transfers(np.zeros(results.simulation.I))


def test_other_agents_are_refused() -> None:
    results = solved(103)
    changed = results.change_products(remove=pick(results), equilibrium=False)
    with pytest.raises(InputError, match="something of their own for each"):
        changed.compute_shares(integration=blpdask.Integration("product", 3))
    paid = people().give_transfers(np.zeros(36))
    with pytest.raises(InputError, match="although transfers are given to these"):
        paid.compute_shares(integration=blpdask.Integration("product", 3))
    without = people().product_data.product_ids[:, 0] == "a"
    kept = people().change_products(remove=without, equilibrium=False)
    rule = blpdask.Integration("product", 3)
    found = kept.compute_shares(integration=rule)
    delta = np.where(without[:, None], -1000.0, people().delta)
    expected = people().compute_shares(delta=delta, integration=rule)[~without]
    assert distance(found, expected) < 1e-13


def test_markets_without_an_equilibrium_are_named() -> None:
    results = solved(1)
    short = blpdask.Iteration("simple", {"max_evaluations": 2})
    with pytest.warns(NumericalWarning, match=r"change_products: in \d+ markets \(m0"):
        results.change_products(remove=pick(results), iteration=short)
