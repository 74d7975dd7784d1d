"""Surplus by group, against what methods of agents give, and how groups are made.

What must hold:

1. Means weighted by mass are surpluses of markets, and probabilities and prices those
   of :meth:`compute_probabilities`, agent by agent.
2. Groups by name, by label and by quantile are the agents that they say, whatever the
   order of the data and whichever market is asked about.
3. What cannot be grouped is said at once.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask import Formulation
from blpdask.analysis.surplus_groups import quantile_edges
from blpdask.errors import InputError, NumericalWarning
from tests.api.test_type_shares import at_truth
from tests.references.specifications import distance, quietly

T, J, PEOPLE = 5, 4, np.array([6, 9, 4, 8, 7])


@pytest.fixture(autouse=True)
def quiet():
    with quietly():
        yield


def people(rng: Any) -> pd.DataFrame:
    """Draw agents, rows of markets mixed up."""
    A = PEOPLE.sum()
    weights = rng.uniform(1.0, 3.0, A)
    sums = np.add.reduceat(weights, np.cumsum(PEOPLE) - PEOPLE)
    table = pd.DataFrame(
        {
            "market_ids": np.repeat(np.arange(T), PEOPLE),
            "weights": weights / np.repeat(sums, PEOPLE),
            "nodes0": rng.normal(size=A),
            "nodes1": rng.normal(size=A),
            "income": rng.normal(size=A),
            "owner": rng.integers(0, 2, A).astype(float),
            "region": rng.choice([*"nsw"], A),
        }
    )
    return table.iloc[rng.permutation(A)].reset_index(drop=True)


@cache
def solved() -> tuple[Any, pd.DataFrame]:
    """Evaluate a problem at parameters; give its results and table of agents."""
    rng = np.random.default_rng(11)
    agents, N = people(rng), T * J
    products = {
        "market_ids": np.tile(np.arange(T), J),
        "prices": rng.uniform(1.0, 2.0, N),
        "shares": rng.uniform(0.05, 0.2, N),
        "x": rng.normal(size=N),
    }
    products |= {f"demand_instruments{k}": rng.normal(size=N) for k in range(8)}
    with quietly():
        problem = blpdask.Problem(
            (Formulation("1 + prices + x"), Formulation("1 + prices")),
            products,
            Formulation("0 + income + owner"),
            agents,
        )
        results = problem.solve(
            sigma=np.diag([0.6, 0.2]),
            pi=[[0.5, 0.4], [0.2, 0.3]],
            beta=[None, -3.0, None],
            optimization=blpdask.Optimization("return"),
            method="1s",
            check_optimality="gradient",
        )
    return results, agents


def written_out(groups: np.ndarray, prices: np.ndarray) -> pd.DataFrame:
    """Group what methods give of every agent; markets' agents are in table order."""
    results, agents = solved()
    surpluses = results.compute_consumer_surpluses(prices, keep_all=True)
    P = results.compute_probabilities(prices)
    markets = results.problem.products.market_ids[:, 0]
    rows = []
    for t in range(T):
        own = agents.market_ids.to_numpy() == t
        w, g = agents.weights.to_numpy()[own], groups[own]
        at, n = markets == t, int(own.sum())
        for group in np.unique(groups):
            i = g == group
            p, bought = P[at][:, :n][:, i], P[at][:, :n][:, i].sum(axis=0)
            rows.append(
                {
                    "market_ids": t,
                    "group_ids": group,
                    "mass": w[i].sum() / w.sum(),
                    "surpluses": w[i] @ surpluses[t, :n][i] / w[i].sum(),
                    "buying": w[i] @ bought / w[i].sum(),
                    "prices_paid": w[i] @ (prices[at] @ p) / (w[i] @ bought),
                }
            )
    return pd.DataFrame(rows)


@pytest.mark.parametrize("name", ["owner", "region"])
def test_groups_are_those_written_out(name: str) -> None:
    results, agents = solved()
    groups = agents[name].to_numpy()
    old = results.problem.products.prices[:, 0]
    new = 1.2 * old
    given = name if name == "owner" else groups
    found = results.compute_surpluses_by_group(given, new_prices=new)
    frame = found.to_frame()
    with np.errstate(invalid="ignore"):
        before, after = written_out(groups, old), written_out(groups, new)
    assert list(frame.group_ids) == list(before.group_ids)
    assert list(frame.market_ids) == list(before.market_ids)
    for measure in ("mass", "surpluses", "buying", "prices_paid"):
        assert distance(frame[measure], before[measure]) < 1e-13
        if measure != "mass":
            assert distance(frame[f"new_{measure}"], after[measure]) < 1e-13
            change = after[measure] - before[measure]
            assert distance(frame[f"{measure}_change"], change) < 1e-12


@pytest.mark.parametrize("quantiles", [2, 4, 7])
def test_means_weighted_by_mass_are_the_whole(quantiles: int) -> None:
    results, _ = solved()
    new = results.problem.products.prices + 0.3
    found = results.compute_surpluses_by_group(
        "income", new_prices=new, quantiles=quantiles
    )
    whole = results.compute_consumer_surpluses()[:, 0]
    assert np.abs(np.nansum(found.mass * found.surpluses, axis=1) - whole).max() < 1e-12
    whole = results.compute_consumer_surpluses(new)[:, 0]
    parts = np.nansum(found.mass * found.new_surpluses, axis=1)
    assert np.abs(parts - whole).max() < 1e-12
    shares = results.compute_shares(new)[:, 0]
    markets = results.problem.products.market_ids[:, 0].astype(int)
    sold = np.bincount(markets, shares)
    parts = np.nansum(found.mass * found.new_buying, axis=1)
    assert np.abs(parts - sold).max() < 1e-12
    spent = np.bincount(markets, shares * new[:, 0])
    parts = np.nansum(found.mass * found.new_buying * found.new_prices_paid, axis=1)
    assert np.abs(parts - spent).max() < 1e-12
    summary = found.summary()
    assert abs(summary["mass"].sum() - 1) < 1e-14
    mean = (summary["mass"] * summary["new_surpluses"]).sum()
    assert abs(mean - whole.mean()) < 1e-13
    paid = summary["mass"] * summary["new_buying"]
    mean = (paid * summary["new_prices_paid"]).sum() / paid.sum()
    assert abs(mean - spent.sum() / sold.sum()) < 1e-13


def test_quantiles_are_of_all_markets_and_weighted() -> None:
    results, agents = solved()
    found = results.compute_surpluses_by_group("income", quantiles=3)
    income, weights = agents.income.to_numpy(), agents.weights.to_numpy()
    order = np.argsort(income)
    reached, edges = np.cumsum(weights[order]) / T, []
    for share in (1 / 3, 2 / 3):
        edges.append(income[order][np.flatnonzero(reached >= share)[0]])
    groups = np.where(income <= edges[0], 0, np.where(income <= edges[1], 1, 2))
    expected = results.compute_surpluses_by_group(groups)
    assert np.array_equal(found.mass, expected.mass)
    assert np.array_equal(found.surpluses, expected.surpluses, equal_nan=True)
    assert list(found.group_ids) == [
        f"up to {edges[0]:.6g}",
        f"{edges[0]:.6g} to {edges[1]:.6g}",
        f"above {edges[1]:.6g}",
    ]
    cut = results.compute_surpluses_by_group(income, quantiles=3)
    assert np.array_equal(cut.mass, expected.mass)
    for t in range(T):
        own = results.compute_surpluses_by_group("income", quantiles=3, market_id=t)
        assert list(own.group_ids) == list(found.group_ids)
        assert distance(own.surpluses, found.surpluses[[t]]) < 1e-13
        labels = groups[agents.market_ids.to_numpy() == t]
        own = results.compute_surpluses_by_group(labels, market_id=t)
        there = found.mass[t] > 0
        assert distance(own.buying[0], found.buying[t][there]) < 1e-13


@pytest.mark.parametrize("seed", range(20))
def test_edges_are_the_least_that_reach_their_share(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 12, 40).astype(float)
    weights = rng.uniform(size=40)
    Q = int(rng.integers(2, 9))
    expected = set()
    for k in range(1, Q):
        reached = [
            v for v in values if weights[values <= v].sum() >= k / Q * weights.sum()
        ]
        expected.add(min(reached))
    expected.discard(values.max())
    assert quantile_edges(values, weights, Q).tolist() == sorted(expected)


def test_quarters_of_equal_weights_are_quarters() -> None:
    """Rounding of sums of weights moves nobody."""
    for n in (12, 40, 1000):
        edges = quantile_edges(np.arange(n, dtype=float), np.full(n, 1 / n), 4)
        assert edges.tolist() == [n / 4 - 1, n / 2 - 1, 3 * n / 4 - 1]


def test_labels_follow_the_table_of_agents() -> None:
    results, agents = solved()
    table = results.problem.agents
    assert np.array_equal(table.market_ids[:, 0], agents.market_ids)
    by_name = results.compute_surpluses_by_group("owner")
    for labels in (
        table.demographics[:, 1],
        agents.owner,
        agents.owner.to_numpy()[:, None],
        agents.owner.map({0.0: "a", 1.0: "b"}),
    ):
        found = results.compute_surpluses_by_group(labels)
        assert np.array_equal(found.mass, by_name.mass)
        assert distance(found.prices_paid, by_name.prices_paid) == 0
    rows = agents.market_ids == 2
    alone = results.compute_surpluses_by_group(
        np.arange(rows.sum()),
        market_id=2,
        prices=results.problem.products.prices[rows_of(2)],
    )
    kept = results.compute_consumer_surpluses(keep_all=True)[2, : rows.sum()]
    assert distance(alone.surpluses[0], kept) < 1e-13


def rows_of(t: int) -> np.ndarray:
    """Give the rows of products of a market."""
    return np.asarray(solved()[0].problem.products.market_ids[:, 0] == t)


def test_nobody_of_a_group_is_in_a_market() -> None:
    results, agents = solved()
    groups = np.where(agents.market_ids == 0, "here", "there")
    found = results.compute_surpluses_by_group(groups)
    assert found.mass[:, 0].tolist() == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert np.isnan(found.surpluses[1:, 0]).all() and np.isnan(found.surpluses[0, 1])
    summary = found.summary()
    whole = results.compute_consumer_surpluses()[:, 0]
    assert abs(summary.surpluses["here"] - whole[0]) < 1e-13
    assert abs(summary.surpluses["there"] - whole[1:].mean()) < 1e-13


def test_markets_where_nobody_of_a_group_can_buy_are_left_out_of_prices() -> None:
    rng = np.random.default_rng(4)
    agents = people(rng)
    known = agents.region == "n"
    for j in range(J):
        agents[f"availability{j}"] = np.where(known & (agents.market_ids == 1), 0, 1)
    data = {
        "market_ids": np.repeat(np.arange(T), J),
        "prices": rng.uniform(1.0, 2.0, T * J),
        "shares": rng.uniform(0.02, 0.06, T * J),
    }
    data |= {f"demand_instruments{k}": rng.normal(size=T * J) for k in range(4)}
    problem = blpdask.Problem(
        (Formulation("1 + prices"), Formulation("1")), data, None, agents
    )
    results = problem.solve(
        sigma=0.5,
        beta=[None, -2],
        method="1s",
        optimization=blpdask.Optimization("return"),
        check_optimality="gradient",
    )
    prices = 1.1 * data["prices"]
    found = results.compute_surpluses_by_group(agents.region, new_prices=prices)
    assert 0 < found.mass[1, 0] < 1 and found.buying[1, 0] == 0
    assert np.isnan(found.prices_paid[1, 0]) and np.isnan(found.new_prices_paid[1, 0])
    summary, others = (
        found.summary(),
        np.flatnonzero(found.mass[:, 0] * (1, 0, 1, 1, 1)),
    )
    assert summary.buying["n"] == pytest.approx(
        found.mass[:, 0] @ found.buying[:, 0] / found.mass[:, 0].sum(), rel=1e-14
    )
    for start in ("", "new_"):
        bought = found.mass[others, 0] * getattr(found, f"{start}buying")[others, 0]
        paid = bought @ getattr(found, f"{start}prices_paid")[others, 0] / bought.sum()
        assert summary[f"{start}prices_paid"]["n"] == pytest.approx(paid, rel=1e-14)
    assert "NAN" not in str(found)


def test_types_of_agents_have_their_shares() -> None:
    results = at_truth()
    types = results.problem.agents.type_ids[:, 0]
    found = results.compute_surpluses_by_group(types)
    assert list(found.group_ids) == ["residents", "tourists"]
    assert np.abs(found.mass - results.type_shares[:, 0]).max() < 1e-12
    parts = (found.mass * found.surpluses).sum(axis=1)
    assert np.abs(parts - results.compute_consumer_surpluses()[:, 0]).max() < 1e-12
    by_name = results.compute_surpluses_by_group("tourist")
    assert distance(by_name.buying, found.buying) == 0


def test_engines_and_memory() -> None:
    results, _ = solved()
    serial = results.compute_surpluses_by_group("owner", engine="serial")
    threads = results.compute_surpluses_by_group("owner", engine="threads", threads=2)
    assert distance(serial.prices_paid, threads.prices_paid) == 0
    held = blpdask.options.scratch_bytes
    blpdask.options.scratch_bytes = 100
    try:
        tiled = results.compute_surpluses_by_group("owner")
    finally:
        blpdask.options.scratch_bytes = held
    assert distance(tiled.buying, serial.buying) < 1e-13
    assert distance(tiled.prices_paid, serial.prices_paid) < 1e-13


def test_tables() -> None:
    results, _ = solved()
    found = results.compute_surpluses_by_group("owner")
    text = str(found)
    assert "Surplus by owner: 2 groups, 5 markets" in text and "Change" not in text
    assert repr(found) == text
    prices = 1.1 * results.problem.products.prices
    found = results.compute_surpluses_by_group("owner", new_prices=prices)
    lines = str(found).splitlines()
    summary = found.summary()
    cells = lines[-3].split()
    assert cells[0] == "0.0" and len(cells) == 8
    assert float(cells[2]) == pytest.approx(summary.surpluses[0.0], rel=1e-6)
    assert float(cells[5]) == pytest.approx(summary.surpluses_change[0.0], rel=1e-6)
    assert summary.surpluses_change[0.0] == (
        summary.new_surpluses[0.0] - summary.surpluses[0.0]
    )
    assert "prices_paid_change" in found._repr_html_()
    assert len(json.loads(found.to_frame().to_json(orient="records"))) == 2 * T


def test_different_slopes_are_said() -> None:
    from tests.api.test_economy_methods import solved as drawn

    results = drawn(2)
    agents = results.simulation.agents.weights.size
    with pytest.warns(NumericalWarning, match="different slopes"):
        results.compute_surpluses_by_group(np.zeros(agents))


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"groups": "wealth"}, "groups='wealth'"),
        ({"groups": "income"}, "income with 34 different values"),
        ({"groups": np.zeros(7)}, "groups of shape (7,), 0 missing"),
        ({"groups": np.zeros(34), "market_id": 1}, "9 labels"),
        ({"groups": [None] * 34}, "34 missing"),
        ({"groups": [np.nan] * 34}, "34 missing"),
        ({"groups": [*"ab"] * 17, "quantiles": 2}, "whose values are"),
        ({"groups": "income", "quantiles": 1}, "quantiles=1"),
        ({"groups": "income", "quantiles": "four"}, "quantiles='four'"),
        ({"groups": "owner", "new_prices": [1.0]}, "new_prices of size 1"),
    ],
)
def test_what_is_refused(arguments: dict[str, Any], found: str) -> None:
    with pytest.raises(InputError, match=r"1 fault\.") as caught:
        solved()[0].compute_surpluses_by_group(**arguments)
    assert found in str(caught.value)


def test_every_fault_at_once() -> None:
    with pytest.raises(InputError, match=r"5 faults\.") as caught:
        solved()[0].compute_surpluses_by_group(
            "wealth", prices=[1.0], new_prices="dear", quantiles=1, backend="abacus"
        )
    for found in ("groups='wealth'", "quantiles=1", "prices of size 1", "'abacus'"):
        assert found in str(caught.value), found


def test_without_agents_there_are_no_groups() -> None:
    from tests.api.test_economy_methods import demand_alone

    with pytest.raises(InputError, match="groups of agents, of whom there are none"):
        demand_alone().compute_surpluses_by_group("income")
