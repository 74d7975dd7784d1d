"""Post-estimation as users meet it: definitions, invariants, engines and refusals.

Invariants: elasticities are differences of shares; diversion sums to one; a merger of
nobody leaves prices alone, and one of firms is what a simulation of it finds; prices
follow costs as pass-through says; surplus of a market is the mean of its agents';
engines, backends and orders of rows do not matter; what cannot be is said at once.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask import Formulation
from blpdask.analysis.substitution import slopes_of_shares
from blpdask.errors import BlpdaskError, InputError, NumericalWarning
from tests.api.test_type_shares import at_truth as typed
from tests.driver.clusters import cluster
from tests.references.drawn_simulation import draw_simulation
from tests.references.specifications import distance, quietly

#: Log prices, nests, weights on others' profits, quantities in costs, availability.
SEEDS = (1, 5, 8, 101, 103)
ASKED: dict[str, dict[str, Any]] = {
    "compute_aggregate_elasticities": {},
    "compute_elasticities": {},
    "compute_demand_jacobians": {},
    "compute_demand_hessians": {},
    "compute_diversion_ratios": {},
    "compute_long_run_diversion_ratios": {},
    "compute_probabilities": {},
    "compute_shares": {},
    "compute_delta": {},
    "compute_costs": {},
    "compute_approximate_prices": {},
    "compute_prices": {},
    "compute_passthrough": {},
    "compute_profit_hessians": {},
    "compute_markups": {},
    "compute_profits": {},
    "compute_consumer_surpluses": {"keep_all": True},
}


@pytest.fixture(autouse=True)
def quiet():
    with quietly():
        yield


@cache
def solved(seed: int) -> Any:
    """Solve the simulation of a seed, gradients of profits to 1e-13."""
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        simulation = draw_simulation(seed).build(blpdask)
        return simulation.replace_endogenous(engine="serial")


@cache
def linear() -> Any:
    """Solve markets whose utility is linear in prices, with product_ids."""
    data = blpdask.build_id_data(T=12, J=5, F=3)
    table = {name: data[name][:, 0] for name in data.dtype.names}
    table["product_ids"] = np.tile(np.array([*"abcde"]), 12)
    with quietly():
        return blpdask.Simulation(
            (
                Formulation("1 + prices + x"),
                Formulation("0 + prices"),
                Formulation("1"),
            ),
            table,
            beta=[1, -3, 1],
            sigma=[[0.3]],
            gamma=[1],
            integration=blpdask.Integration("product", 5),
            xi_variance=0.3,
            omega_variance=0.1,
            seed=3,
        ).replace_endogenous()


def markets_of(results: Any) -> np.ndarray:
    """Give the markets of rows."""
    return results.product_data.market_ids[:, 0]


def own_rows(results: Any) -> list[np.ndarray]:
    """List the rows of each market."""
    markets = markets_of(results)
    return [np.flatnonzero(markets == market) for market in np.unique(markets)]


@pytest.mark.parametrize("seed", SEEDS)
def test_elasticities_are_differences_of_shares(seed: int) -> None:
    results = solved(seed)
    prices = results.product_data.prices
    found, step = results.compute_elasticities(), 1e-5
    for rows in own_rows(results):
        for k, row in enumerate(rows):
            moved = np.zeros_like(prices)
            moved[row] = step
            up, down = (results.compute_shares(prices + s * moved) for s in (1, -1))
            slopes = (up - down)[rows, 0] / (2 * step)
            expected = slopes * prices[row] / results.product_data.shares[rows, 0]
            assert distance(found[rows, k], expected) < 1e-7
        assert np.isnan(found[rows, rows.size :]).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_hessians_are_differences_of_jacobians(seed: int) -> None:
    results = solved(seed)
    economy = results._ask("test", engine="serial").economy()
    prices, step = economy.values_of("prices"), 1e-5
    cubes = results.compute_demand_hessians()[economy.rows]
    offsets = economy.offsets
    ends = np.concatenate([[0], np.cumsum(np.diff(offsets) ** 2)])
    sizes = np.diff(offsets)
    for place in range(int(sizes.max())):
        moved = np.zeros_like(prices)
        there = sizes > place
        moved[offsets[:-1][there] + place] = step
        up, down = (
            slopes_of_shares(economy, "prices", prices + s * moved) for s in (1, -1)
        )
        slopes = (up - down) / (2 * step)
        for t in np.flatnonzero(there):
            J, first = int(sizes[t]), int(offsets[t])
            expected = slopes[ends[t] : ends[t + 1]].reshape(J, J)
            assert distance(cubes[first : first + J, :J, place], expected) < 1e-6


@pytest.mark.parametrize("seed", SEEDS)
def test_diversion_sums_to_one(seed: int) -> None:
    results = solved(seed)
    for found in (
        results.compute_diversion_ratios(),
        results.compute_diversion_ratios(None),
        results.compute_diversion_ratios("x1"),
        results.compute_long_run_diversion_ratios(),
    ):
        assert np.abs(np.nansum(found, axis=1) - 1).max() < 1e-12


@pytest.mark.parametrize("seed", SEEDS)
def test_long_run_diversion_is_that_of_products_priced_out(seed: int) -> None:
    """At a δ of -1,000 nobody chooses a product any more."""
    results = solved(seed)
    found, shares = (
        results.compute_long_run_diversion_ratios(),
        results.product_data.shares[:, 0],
    )
    for rows in own_rows(results)[:4]:
        for j, row in enumerate(rows):
            delta = results.delta.copy()
            delta[row] = -1000.0
            gains = results.compute_shares(delta=delta)[rows, 0] - shares[rows]
            gains[j] = -gains.sum()
            assert distance(found[row, : rows.size], gains / shares[row]) < 1e-10


@pytest.mark.parametrize("seed", SEEDS)
def test_costs_are_those_that_made_the_prices(seed: int) -> None:
    results = solved(seed)
    assert distance(results.compute_costs(), results.costs) < 1e-10
    prices, shares = results.product_data.prices, results.product_data.shares
    margins = prices - results.costs
    assert distance(results.compute_markups(), margins / prices) < 1e-9
    assert distance(results.compute_profits(), margins * shares) < 1e-9


@pytest.mark.parametrize("seed", SEEDS)
def test_a_merger_of_nobody_leaves_prices_alone(seed: int) -> None:
    results = solved(seed)
    prices = results.product_data.prices
    for found in (results.compute_prices(), results.compute_approximate_prices()):
        assert distance(found, prices) < 1e-10
    shares = results.compute_shares(results.compute_prices())
    assert distance(shares, results.product_data.shares) < 1e-10


@pytest.mark.parametrize("seed", (1, 5, 101))
@pytest.mark.parametrize("constant", (True, False))
def test_a_simulated_merger_is_the_same(seed: int, constant: bool) -> None:
    results, drawn = solved(seed), draw_simulation(seed)
    data = {n: results.product_data[n] for n in results.product_data.dtype.names}
    merged = np.where(data["firm_ids"] == 2, 1, data["firm_ids"])
    data = {n: v for n, v in data.items() if n != "ownership" and v.size}
    data["firm_ids"] = merged
    first, own = results.simulation, dict(drawn.arguments)
    own |= {"product_data": data, "xi": first.xi, "omega": first.omega}
    if first.agent_data is not None:
        own["agent_data"] = first.agent_data
    formulas = [f and Formulation(f) for f in drawn.formulas]
    if drawn.demographics:
        own["agent_formulation"] = Formulation(drawn.demographics)
    again = blpdask.Simulation(tuple(formulas), **own)
    # Costs at the shares of the data, from which they follow those of equilibrium.
    expected = again.replace_endogenous(
        costs=results.costs, constant_costs=constant, prices=data["prices"]
    )
    found = results.compute_prices(merged, constant_costs=constant)
    assert distance(found, expected.product_data.prices) < 1e-10
    assert distance(found, data["prices"]) > 1e-4
    shares = results.compute_shares(found)
    assert distance(shares, expected.product_data.shares) < 1e-10


@pytest.mark.parametrize("seed", SEEDS)
def test_prices_follow_costs_by_passthrough(seed: int) -> None:
    results = solved(seed)
    found, costs, step = results.compute_passthrough(), results.costs, 1e-5
    for rows in own_rows(results)[:5]:
        for k, row in enumerate(rows):
            moved = np.zeros_like(costs)
            moved[row] = step
            up, down = (
                results.compute_prices(costs=costs + s * moved) for s in (1, -1)
            )
            slopes = (up - down)[rows, 0] / (2 * step)
            assert np.abs(found[rows, k] - slopes).max() < 1e-6


def test_passthrough_where_own_weights_are_not_one() -> None:
    """Conditions weigh s_j by one, whatever H_jj is."""
    results = linear()
    weights = blpdask.build_ownership(results.product_data)
    weights = np.where(np.isnan(weights), weights, 1.3 * weights + 0.1)
    found = results.compute_passthrough(ownership=weights)
    costs, step = results.compute_costs(ownership=weights), 1e-5
    ends = []
    for move in (step, -step):
        moved = costs.copy()
        moved[::5] += move
        ends.append(results.compute_prices(ownership=weights, costs=moved))
    slopes = (ends[0] - ends[1])[:, 0] / (2 * step)
    assert np.abs(found[:, 0] - slopes).max() < 1e-7


@pytest.mark.parametrize("seed", (1, 5))
def test_profits_of_firms_bend_as_the_sum_of_their_products(seed: int) -> None:
    results = solved(seed)
    cubes, firms = results.compute_profit_hessians(), results.product_data.firm_ids
    if "ownership" in draw_simulation(seed).features:
        pytest.skip("firms care for others")
    for market, rows in zip(
        np.unique(markets_of(results)), own_rows(results), strict=True
    ):
        for firm, expected in results.profit_hessians[market].items():
            own = np.flatnonzero(firms[rows, 0] == firm)
            found = cubes[rows][own].sum(axis=0)[np.ix_(own, own)]
            assert distance(found, expected) < 1e-9


def test_surplus_of_a_market_is_the_mean_of_its_agents() -> None:
    results = linear()
    agents = results.simulation.agents
    means, all_of_them = (
        results.compute_consumer_surpluses(keep_all=keep) for keep in (False, True)
    )
    weights = agents.weights[:, 0].reshape(12, -1)
    assert distance((weights * all_of_them).sum(axis=1), means[:, 0]) < 1e-14
    # Roy's identity: surplus falls by what is bought.
    step, prices = 1e-5, results.product_data.prices
    ends = []
    for move in (step, -step):
        moved = prices.copy()
        moved[::5] += move
        ends.append(results.compute_consumer_surpluses(moved))
    falls = (ends[0] - ends[1])[:, 0] / (2 * step)
    assert distance(-falls, results.product_data.shares[::5, 0]) < 1e-8


def test_surplus_of_errors_of_another_scale() -> None:
    """At twice the scale, and twice the utilities, surplus is what it was."""
    results, found = linear(), []
    for scale in (1.0, 2.0):
        problem = results.to_problem(epsilon_scale=scale)
        solution = problem.solve(
            sigma=[[0.3 * scale]],
            beta=[scale * b for b in (1, -3, 1)],
            optimization=blpdask.Optimization("return"),
            method="1s",
            check_optimality="gradient",
        )
        found.append(solution.compute_consumer_surpluses())
        elasticities = solution.compute_elasticities(None)
        own = solution.compute_shares(delta=solution.delta + 1e-6)
        other = solution.compute_shares(delta=solution.delta - 1e-6)
        moved = (own - other) / 2e-6 / solution.problem.products.shares
        rows = elasticities / solution.delta.reshape(12, 1, 5).repeat(5, 1).reshape(
            60, 5
        )
        assert distance(rows.sum(axis=1), moved[:, 0]) < 1e-8
    assert distance(found[1], found[0]) < 1e-12


def test_products_that_are_gone() -> None:
    results = linear()
    found = results.compute_consumer_surpluses(eliminate_product_ids=["a", "c"])
    delta = results.delta.reshape(12, 5).copy()
    delta[:, [0, 2]] = -1000.0
    before = results.compute_consumer_surpluses()
    assert (found < before).all()
    P = results.compute_probabilities(delta=delta.ravel()).reshape(12, 5, -1)
    whole = results.compute_probabilities().reshape(12, 5, -1)
    logs = -np.log(1 - P.sum(axis=1)), -np.log(1 - whole.sum(axis=1))
    kept = results.compute_consumer_surpluses(keep_all=True)
    gone = results.compute_consumer_surpluses(
        keep_all=True, eliminate_product_ids=["a", "c"]
    )
    assert distance(gone, kept * logs[0] / logs[1]) < 1e-10


def test_surplus_warns_where_prices_are_not_linear() -> None:
    with pytest.warns(NumericalWarning, match="different slopes"):
        solved(2).compute_consumer_surpluses()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        linear().compute_consumer_surpluses()


def test_markets_without_an_equilibrium_are_named() -> None:
    results = solved(1)
    short = blpdask.Iteration("simple", {"max_evaluations": 2})
    merged = np.zeros(results.delta.size)
    with pytest.warns(NumericalWarning, match=r"compute_prices: in \d+ markets \(m00"):
        results.compute_prices(merged, iteration=short)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        start = 1.1 * results.product_data.prices
        found = results.compute_prices(
            prices=start, iteration=blpdask.Iteration("return")
        )
    assert distance(found, start) == 0


def test_concentration() -> None:
    results = linear()
    shares = results.product_data.shares.reshape(12, 5)
    firms = results.product_data.firm_ids[:5, 0]
    sold = np.column_stack([shares[:, firms == f].sum(axis=1) for f in range(3)])
    expected = 1e4 * ((sold / sold.sum(axis=1, keepdims=True)) ** 2).sum(axis=1)
    assert distance(results.compute_hhi()[:, 0], expected) < 1e-14
    assert np.allclose(results.compute_hhi(np.zeros(60)), 1e4)


def test_a_plain_logit_has_closed_forms() -> None:
    data = blpdask.build_id_data(T=6, J=4, F=2)
    with quietly():
        results = blpdask.Simulation(
            (Formulation("1 + prices"), None, Formulation("1")),
            data,
            beta=[1, -2],
            gamma=[1],
            seed=0,
        ).replace_endogenous()
    p, s = results.product_data.prices[:, 0], results.product_data.shares[:, 0]
    elasticities = results.compute_elasticities()
    own = results.extract_diagonals(elasticities)[:, 0]
    assert distance(own, -2 * p * (1 - s)) < 1e-14
    means = results.extract_diagonal_means(elasticities)
    assert distance(means[:, 0], own.reshape(6, 4).mean(axis=1)) < 1e-14
    assert results.compute_probabilities().shape == (24, 1)
    assert distance(results.compute_probabilities()[:, 0], s) < 1e-14
    ratios = results.compute_long_run_diversion_ratios().reshape(6, 4, 4)
    expected = s.reshape(6, 1, 4) / (1 - s.reshape(6, 4, 1))
    outside = (1 - s.reshape(6, 4).sum(axis=1)[:, None]) / (1 - s.reshape(6, 4))
    j = np.arange(4)
    expected = np.broadcast_to(expected, (6, 4, 4)).copy()
    expected[:, j, j] = outside
    assert distance(ratios, expected) < 1e-13
    surplus = results.compute_consumer_surpluses()[:, 0]
    assert distance(surplus, -np.log(1 - s.reshape(6, 4).sum(axis=1)) / 2) < 1e-13


@pytest.mark.parametrize("method", ASKED)
def test_engines_and_backends_agree(method: str) -> None:
    results = solved(103)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)
        ask = getattr(results, method)
        serial = ask(**ASKED[method], engine="serial")
        threaded = ask(**ASKED[method], engine="threads", threads=2)
        arrays = ask(**ASKED[method], engine="serial", backend="numpy")
    assert np.array_equal(serial, threaded, equal_nan=True)
    assert distance(arrays, serial) < 1e-10


def test_a_cluster_gives_the_same_bits() -> None:
    results = solved(1)
    with cluster(2) as client:
        for method in ("compute_elasticities", "compute_prices", "compute_shares"):
            ours = getattr(results, method)(engine="serial")
            theirs = getattr(results, method)(engine=client)
            assert np.array_equal(ours, theirs, equal_nan=True)


@pytest.mark.parametrize("method", ASKED)
def test_one_market_is_what_it_is_among_all(method: str) -> None:
    results = solved(101)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)
        whole = getattr(results, method)(**ASKED[method])
        for place, rows in enumerate(own_rows(results)[:3]):
            market = np.unique(markets_of(results))[place]
            found = getattr(results, method)(**ASKED[method], market_id=market)
            own = whole[[place]] if len(whole) != len(results.delta) else whole[rows]
            own = own[(slice(None), *(slice(0, size) for size in found.shape[1:]))]
            assert distance(found, own) < 1e-12


def test_types_of_agents_have_their_shares() -> None:
    results = typed()
    problem = results.problem
    shares = problem.products.shares
    assert distance(results.compute_shares(), shares) < 1e-12
    found = results.compute_elasticities()
    prices, step = problem.products.prices, 1e-5
    moved = np.zeros_like(prices)
    first = np.unique(problem.products.market_ids[:, 0])[0]
    rows = np.flatnonzero(problem.products.market_ids[:, 0] == first)
    moved[rows[1]] = step
    up, down = (results.compute_shares(prices + s * moved) for s in (1, -1))
    slopes = (up - down)[rows, 0] / (2 * step)
    expected = slopes * prices[rows[1]] / shares[rows, 0]
    assert distance(found[rows, 1], expected) < 1e-7


def test_every_fault_at_once() -> None:
    results = solved(1)
    with pytest.raises(InputError) as caught:
        results.compute_prices(
            firm_ids=[1, 2],
            costs=[np.nan],
            prices="dear",
            iteration="simple",
            market_id="nowhere",
            backend="abacus",
            threads=0,
        )
    text = str(caught.value)
    for found in (
        *("firm_ids of shape (2,)", "costs of size 1", "prices of size 0"),
        *("iteration of type str", "market_id='nowhere'", "'abacus'", "threads=0"),
    ):
        assert found in text
    assert len(caught.value.faults) == 7


@pytest.mark.parametrize(
    ("method", "arguments", "found"),
    [
        ("compute_elasticities", {"name": "nothing"}, "name='nothing'"),
        ("compute_elasticities", {"name": "kind"}, "categories"),
        ("compute_demand_jacobians", {"name": None}, "name=None"),
        ("compute_aggregate_elasticities", {"factor": 0.0}, "factor=0.0"),
        ("compute_aggregate_elasticities", {"factor": "big"}, "factor='big'"),
        ("compute_costs", {"ownership": np.eye(3)}, "ownership of shape (3, 3)"),
        ("compute_delta", {"integration": "product"}, "integration of type str"),
        ("compute_delta", {"fp_type": "loose"}, "fp_type='loose'"),
        ("compute_shares", {"delta": [1.0]}, "delta of size 1"),
        ("compute_hhi", {"firm_ids": [None]}, "firm_ids of shape (1,)"),
        ("extract_diagonals", {"matrices": np.eye(2)}, "matrices of shape (2, 2)"),
        (
            "compute_consumer_surpluses",
            {"eliminate_product_ids": ["a"]},
            "of 0 columns of product_ids",
        ),
    ],
)
def test_what_is_refused(method: str, arguments: dict[str, Any], found: str) -> None:
    with pytest.raises(InputError, match=r"1 fault\.") as caught:
        getattr(solved(4), method)(**arguments)
    assert found in str(caught.value)


def test_identifiers_that_no_product_has_are_refused() -> None:
    for given, found in ((["a", "z"], "(z)"), ("abc", "'abc'"), (3, "=3")):
        with pytest.raises(InputError) as caught:
            linear().compute_consumer_surpluses(eliminate_product_ids=given)
        assert found in str(caught.value)
    with pytest.raises(InputError, match="product_ids_index=1 of 1"):
        linear().compute_consumer_surpluses(
            eliminate_product_ids=["a"], product_ids_index=1
        )


def demand_alone(**more: Any) -> blpdask.ProblemResults:
    """Evaluate a problem without a supply side, and without firms unless given."""
    data = linear().product_data
    table = {n: data[n][:, 0] for n in ("market_ids", "prices", "shares", "x")}
    table["demand_instruments0"] = table["x"] ** 2
    problem = blpdask.Problem(Formulation("1 + prices + x"), table | more)
    return problem.solve(method="1s")


def test_owners_without_a_supply_side() -> None:
    with pytest.raises(InputError, match="neither firm_ids nor ownership"):
        demand_alone().compute_costs()
    with pytest.raises(InputError, match="no firm_ids in product_data"):
        demand_alone().compute_hhi()
    data = linear().product_data
    firms, weights = data.firm_ids[:, 0], blpdask.build_ownership(data)
    expected = demand_alone().compute_costs(firms)
    by_firm, by_weight = demand_alone(firm_ids=firms), demand_alone(ownership=weights)
    assert distance(by_firm.compute_costs(), expected) == 0
    assert distance(by_weight.compute_costs(), expected) < 1e-14
    alone = by_weight.compute_costs(firm_ids=np.arange(firms.size))
    assert distance(alone, expected) > 1e-3


def test_results_that_lost_their_problem_refuse(tmp_path: Any) -> None:
    results = demand_alone()
    results.save(tmp_path / "saved")
    read = blpdask.read_results(tmp_path / "saved")
    with pytest.raises(BlpdaskError, match="results without their problem"):
        read.compute_elasticities()


def test_a_store_answers_by_blocks_and_refuses_to_be_an_economy(tmp_path: Any) -> None:
    data = linear().product_data
    table = {n: data[n][:, 0] for n in ("market_ids", "prices", "shares", "x")}
    table["demand_instruments0"] = table["x"] ** 2
    store = blpdask.build_store(tmp_path / "store", table)
    results = blpdask.Problem(Formulation("1 + prices + x"), store).solve(method="1s")
    order = np.argsort(table["market_ids"], kind="stable")
    assert distance(results.compute_shares()[:, 0], table["shares"][order]) < 1e-12
    with pytest.raises(BlpdaskError, match="whose data are in the store"):
        results.estimated_economy("everything at once")
