"""Supply on stores: the numbers of the same problem in memory, wherever data come from.

Row-long results of a store are in its order: by market, and as given within.
"""

from __future__ import annotations

import warnings
from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask.errors import InputError, StoreError
from blpdask.jobs.store import _drawn_agents
from blpdask.problem import store_tables
from blpdask.problem.kept_sums import PREPARATION
from blpdask.results.rows_at_rest import RowsAtRest
from blpdask.simulation.design import MarketDesign
from blpdask.simulation.markets import simulate_markets
from tests.api.test_resume import TIMES, as_bytes
from tests.driver.clusters import cluster
from tests.references.drawn_supply import draw_supply
from tests.references.specifications import (
    FIXED,
    Specification,
    build_here,
    distance,
    quietly,
    solve_here,
)

#: Drawn problems: ownership and logs of costs, bounds, γ in θ, effects, shares in X3.
SEEDS = (1, 4, 5, 6, 13, 14, 24)
NAMES = (
    "objective",
    "gradient",
    "beta",
    "gamma",
    "sigma_se",
    "beta_se",
    "gamma_se",
    "W",
    "updated_W",
    "parameter_covariances",
    "moments",
    "moments_jacobian",
)
ROWS = (
    "delta",
    "xi",
    "xi_fe",
    "omega",
    "omega_fe",
    "tilde_costs",
    "clipped_costs",
    "omega_by_theta_jacobian",
)


def quietly_solved(problem: Any, **arguments: Any) -> Any:
    """Solve where notes on costs out of bounds are no matter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return solve_here(problem, **arguments)


def as_tables(specification: Specification) -> Specification:
    """Give a problem products in no order, and the agents that its rule draws."""
    table = pd.DataFrame(dict(specification.products))
    table = table.sample(frac=1, random_state=1).reset_index(drop=True)
    specification = replace(specification, products=table)
    agents = specification.agents
    if agents is not None:
        agents = pd.DataFrame(dict(agents))
    if specification.rule is not None:
        agents = _drawn_agents(build_here(specification), agents)
    return replace(specification, agents=agents, rule=None)


@cache
def drawn_tables(seed: int) -> tuple[Specification, dict[str, Any], Any]:
    """Give a drawn problem, how it is solved, and its results in memory."""
    drawn = draw_supply(seed)
    specification = as_tables(drawn.specification)
    arguments = {**drawn.solution, **FIXED}
    expected = quietly_solved(build_here(specification), **arguments)
    return specification, arguments, expected


def on_store(specification: Specification, path: Any, **options: Any) -> Any:
    """Build the problem with its data in a store."""
    with quietly():
        store = blpdask.build_store(
            path, specification.products, specification.agents, **options
        )
    return build_here(replace(specification, products=store, agents=None))


def assert_close(found: Any, expected: Any, order: Any, bound: float = 1e-10) -> None:
    for name in NAMES:
        gap = distance(getattr(found, name), getattr(expected, name))
        assert gap <= bound, (name, gap)
    # Differences of gradients are divided by 2^-26.
    assert distance(found.hessian, expected.hessian) <= 1e-7
    for name in ROWS:
        gap = distance(getattr(found, name), getattr(expected, name)[order])
        assert gap <= bound, (name, gap)
        assert getattr(found, name).dtype == getattr(expected, name).dtype


def bits(results: Any) -> list[Any]:
    """Give everything in results that is no time, rows on disk too, as bytes."""
    return [
        as_bytes(np.asarray(value) if isinstance(value, RowsAtRest) else value)
        for step in results._steps
        for field in fields(step)
        if field.name not in TIMES
        for value in [getattr(step, field.name)]
    ]


def market_order(specification: Specification) -> Any:
    return np.argsort(specification.products["market_ids"].to_numpy(), kind="stable")


@pytest.mark.parametrize("blocks", [1, 3, 40])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_drawn_problem_is_the_same_on_a_store(
    tmp_path: Any, seed: int, blocks: int
) -> None:
    specification, arguments, expected = drawn_tables(seed)
    problem = on_store(specification, tmp_path / "s", blocks=blocks)
    assert str(problem) == str(build_here(specification))
    assert problem.MS == expected.moments.size - problem.MD > 0
    found = quietly_solved(problem, **arguments)
    assert_close(found, expected, market_order(specification))


def test_an_estimation_ends_where_it_does_in_memory(tmp_path: Any) -> None:
    specification, arguments, _ = drawn_tables(3)
    searched = {**arguments, "optimization": ("structured",)}
    expected = quietly_solved(build_here(specification), **searched)
    found = quietly_solved(on_store(specification, tmp_path / "s"), **searched)
    assert found.optimization_iterations == expected.optimization_iterations > 1
    for name in ("theta", "objective", "gamma", "parameter_covariances"):
        assert distance(getattr(found, name), getattr(expected, name)) <= 1e-10, name


@pytest.mark.parametrize("seed", [4, 14])
def test_parquet_in_parts_is_the_table_whole(
    tmp_path: Any, monkeypatch: Any, seed: int
) -> None:
    pytest.importorskip("pyarrow")
    specification, arguments, expected = drawn_tables(seed)
    path = tmp_path / "products.parquet"
    specification.products.to_parquet(path, row_group_size=16)
    monkeypatch.setattr(store_tables, "ROWS", 16)
    whole = on_store(specification, tmp_path / "s", blocks=3)
    parts = on_store(replace(specification, products=path), tmp_path / "t", blocks=3)
    one, other = (quietly_solved(p, **arguments) for p in (whole, parts))
    assert bits(other) == bits(one)
    assert_close(other, expected, market_order(specification))


DESIGN = {
    "n_markets": 40,
    "n_products": (4, 9),
    "n_agents": 30,
    "sigma": ((0.3, 0.0), (0.0, 0.5)),
    "pi": (),
    "demographic_spread": 0.0,
}
COSTS = {
    "sigma": [[0.3, 0], [0, 0.5]],
    "beta": [-2.5, None, None],
    "method": "1s",
    **FIXED,
}


def simulated_formulas() -> tuple[blpdask.Formulation, ...]:
    return (
        blpdask.Formulation("0 + prices + x1 + x2", "C(product_ids)"),
        blpdask.Formulation("0 + prices + x1"),
        blpdask.Formulation("0 + x1 + z1 + z2", "C(product_ids) + C(firm_ids)"),
    )


def test_a_simulated_store_is_the_simulated_table(tmp_path: Any) -> None:
    markets = simulate_markets(MarketDesign(**DESIGN), 3)
    products, agents = markets.product_data, markets.agent_data
    order = np.arange(len(products))
    with quietly():
        store = blpdask.simulate_store(tmp_path / "s", DESIGN, seed=3, blocks=4)
        held = blpdask.Problem(simulated_formulas(), products, None, agents)
        stored = blpdask.Problem(simulated_formulas(), store)
    assert stored.F == held.F == 4 and stored.ES == held.ES == 2
    expected, found = (quietly_solved(p, **COSTS) for p in (held, stored))
    assert_close(found, expected, order)
    # Prices are 4 and markups about 0.5.
    assert 3 < np.median(found.tilde_costs) < 4


def test_engines_have_the_same_bits(tmp_path: Any) -> None:
    with quietly():
        store = blpdask.simulate_store(tmp_path / "s", DESIGN, seed=3, blocks=6)

    def solve(engine: Any) -> Any:
        with quietly():
            problem = blpdask.Problem(simulated_formulas(), store)
        return quietly_solved(problem, **COSTS, engine=engine)

    expected = solve("serial")
    assert bits(solve("threads")) == bits(expected)
    with cluster(2) as client:
        assert bits(solve(client)) == bits(expected)


def test_resamples_and_other_nodes_keep_the_supply_side(tmp_path: Any) -> None:
    markets = simulate_markets(MarketDesign(**DESIGN), 3)
    rule = blpdask.Integration("monte_carlo", 30, {"seed": 2})
    resamples = blpdask.Resamples(4, seed=1, integration=rule)
    tables = markets.product_data, None, markets.agent_data
    with quietly():
        held = blpdask.Problem(simulated_formulas(), *tables)
        store = blpdask.simulate_store(tmp_path / "s", DESIGN, seed=3)
        stored = blpdask.Problem(simulated_formulas(), store)
    one, two = (
        quietly_solved(p, **COSTS, resample_agent_data=resamples)
        for p in (held, stored)
    )
    assert one.simulation_covariances.shape == (stored.MD + stored.MS,) * 2
    assert np.abs(np.diag(one.simulation_covariances)[stored.MD :]).min() > 0
    assert distance(two.simulation_covariances, one.simulation_covariances) <= 1e-10
    assert distance(two.gamma_se, one.gamma_se) <= 1e-10
    other = stored.with_agents(integration=rule)
    assert (other.MS, other.K3, other.ES) == (stored.MS, 3, 2)
    assert quietly_solved(other, **COSTS).gamma.size == 3


def test_a_recording_replays_costs(tmp_path: Any) -> None:
    with quietly():
        store = blpdask.simulate_store(tmp_path / "s", DESIGN, seed=3, blocks=3)
        plain = quietly_solved(blpdask.Problem(simulated_formulas(), store), **COSTS)
    run = tmp_path / "run"
    for _ in range(2):
        with quietly():
            problem = blpdask.Problem(simulated_formulas(), store)
        found = quietly_solved(problem, **COSTS, resume=run)
        assert bits(found) == bits(plain)
        assert (run / PREPARATION).is_file()
    X1, X2, _ = simulated_formulas()
    with quietly():
        less = blpdask.Problem((X1, X2, blpdask.Formulation("1 + z1")), store)
    with pytest.raises(StoreError, match="another"):
        quietly_solved(less, **COSTS, resume=run)


def test_costs_at_bounds_are_flags_on_a_store_and_when_saved(tmp_path: Any) -> None:
    with quietly():
        store = blpdask.simulate_store(tmp_path / "s", DESIGN, seed=3)
        problem = blpdask.Problem(simulated_formulas(), store, costs_type="log")
    results = quietly_solved(problem, **COSTS, costs_bounds=(3.0, None))
    clipped = results.clipped_costs[:, 0]
    assert clipped.dtype == np.bool_ and 0 < clipped.sum() < problem.N
    np.testing.assert_array_equal(results.tilde_costs[clipped, 0], np.log(3.0))
    results.save(tmp_path / "saved")
    read = blpdask.read_results(tmp_path / "saved")
    np.testing.assert_array_equal(read.clipped_costs[:, 0], clipped, strict=True)
    np.testing.assert_array_equal(read.omega, results.omega)


def test_what_does_not_fit_is_said_at_once(tmp_path: Any) -> None:
    with quietly():
        store = blpdask.simulate_store(tmp_path / "s", DESIGN, seed=3)
    X1, X2, _ = simulated_formulas()
    with pytest.raises(InputError) as caught:
        blpdask.Problem((X1, X2, blpdask.Formulation("0 + prices + w")), store)
    assert "prices in the formula of X3" in str(caught.value)
    assert "no column 'w'" in str(caught.value)
    with quietly():
        problem = blpdask.Problem(simulated_formulas(), store)
    arguments = {**COSTS, "beta": None, "gamma": [1.0]}
    with pytest.raises(InputError) as caught:
        problem.solve(**arguments | {"optimization": None}, costs_bounds=(2, 1))
    message = str(caught.value)
    for part in ("no starting values in beta for prices", "gamma of", "costs_bounds="):
        assert part in message
