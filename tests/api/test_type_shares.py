"""Shares of agents' types as users meet them: results, stores, jobs, refusals.

Invariants: the last share and its error follow from the others; stores, engines and
files give what memory gives; simulated agents have the weights that a problem makes;
what cannot be is said with its markets.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import blpdask
from blpdask import Formulation
from blpdask.errors import BlpdaskError, InputError, StoreError
from tests.api.test_stored_supply import as_tables, bits, market_order, on_store
from tests.driver.clusters import cluster
from tests.references.drawn_types import DrawnTypes, draw_types
from tests.references.specifications import (
    build_here,
    distance,
    quietly,
    solve_here,
)

X1 = Formulation("1 + prices + x")
X2 = Formulation("0 + prices + x")
X3 = Formulation("1 + x + w")
DEMOGRAPHICS = Formulation("0 + tourist")
TRUTH: dict[str, Any] = {
    "beta": [1.0, -3.0, 1.0],
    "sigma": np.diag([0.0, 0.8]),
    "pi": [[1.2], [1.5]],
    "gamma": [1.0, 0.3, 0.5],
}
SHARES = [0.7, 0.3]
FIXED = blpdask.Optimization("return")
POINT: dict[str, Any] = {
    "sigma": TRUTH["sigma"],
    "pi": TRUTH["pi"],
    "beta": [None, -3.0, None],
    "method": "1s",
    "optimization": FIXED,
    "check_optimality": "gradient",
}


@pytest.fixture(autouse=True)
def quiet():
    with quietly():
        yield


def agents_of(T: int, people: int = 30, seed: int = 0) -> pd.DataFrame:
    """Give each market residents and, twice as many, tourists."""
    rng = np.random.default_rng(seed)
    A = T * 3 * people
    tourist = np.arange(A) % 3 > 0
    return pd.DataFrame(
        {
            "market_ids": np.repeat(np.arange(T), 3 * people),
            "type_ids": np.where(tourist, "tourists", "residents"),
            "tourist": tourist.astype(float),
            "weights": 1 / (3 * people),
            "nodes0": rng.normal(size=A),
            "nodes1": rng.normal(size=A),
        }
    )


@cache
def simulated(T: int = 40, J: int = 6, seed: int = 4) -> tuple[Any, Any]:
    """Simulate markets; give the simulation and its solution."""
    with quietly():
        simulation = blpdask.Simulation(
            (X1, X2, X3),
            blpdask.build_id_data(T, J, 3),
            **TRUTH,
            agent_formulation=DEMOGRAPHICS,
            agent_data=agents_of(T),
            xi_variance=0.1,
            omega_variance=0.05,
            correlation=0.5,
            seed=seed,
            type_shares=SHARES,
        )
        return simulation, simulation.replace_endogenous(engine="serial")


@cache
def problem_of(weights: str = "given") -> blpdask.Problem:
    """Make the problem with the agents' own weights, or the simulation's."""
    simulation, solution = simulated()
    data = solution.to_problem().products
    agents = agents_of(simulation.T)
    if weights == "mixed":
        agents["weights"] = simulation.agent_data["weights"][:, 0]
        del agents["type_ids"]
    columns = {n: data[n] for n in ("market_ids", "firm_ids", "shares", "prices")}
    columns |= {n: data[n] for n in ("x", "w")}
    columns["demand_instruments"] = data["ZD"][:, :-2]
    columns["supply_instruments"] = data["ZS"][:, :-3]
    with quietly():
        return blpdask.Problem((X1, X2, X3), columns, DEMOGRAPHICS, agents)


@cache
def at_truth(**options: Any) -> blpdask.ProblemResults:
    with quietly():
        return problem_of().solve(**POINT, type_shares=SHARES, **options)


def test_simulated_weights_are_those_that_a_problem_makes() -> None:
    simulation, solution = simulated()
    weights = simulation.agent_data["weights"][:, 0]
    names = agents_of(simulation.T)["type_ids"].to_numpy()
    for name, share in zip(("residents", "tourists"), SHARES, strict=True):
        own = names == name
        sums = np.bincount(np.repeat(np.arange(40), 90)[own], weights[own])
        np.testing.assert_allclose(sums, share, rtol=1e-13)
    found = at_truth()
    mixed = problem_of("mixed").solve(**POINT)
    for name in ("delta", "objective", "tilde_costs", "omega"):
        assert distance(getattr(found, name), getattr(mixed, name)) <= 1e-12, name
    # At the truth shares give back the δ of equilibrium.
    assert distance(found.delta, solution.delta) <= 1e-10
    assert "type_ids" in problem_of().agents.dtype.names
    assert set(problem_of().agents.type_ids[:, 0]) == {"residents", "tourists"}


def test_the_last_share_follows_from_the_others() -> None:
    drawn = draw_types(3)
    found = solve_here(
        build_here(drawn.specification), **drawn.solution, type_shares=drawn.shares
    )
    assert abs(found.type_shares.sum() - 1) <= 1e-15
    places = [p for p, n in enumerate(found.theta_labels) if n.startswith("share of")]
    V = found.parameter_covariances[np.ix_(places, places)]
    errors = np.sqrt([V[0, 0], V[1, 1], V.sum()] / np.float64(found.delta.size))
    np.testing.assert_allclose(found.type_shares_se[:, 0], errors, rtol=1e-12)
    by_delta = found.delta_method(lambda p: p.type_shares[:, 0])
    np.testing.assert_allclose(by_delta.standard_errors, errors, rtol=1e-6)
    np.testing.assert_allclose(by_delta.value, drawn.shares, rtol=1e-14)
    low, high = (bound[:, 0] for bound in found.type_shares_bounds)
    assert low.tolist() == [0.001, 0.001, 0.0] and high[:2].tolist() == [0.999, 0.999]
    assert high[2] == pytest.approx(0.998)


def test_results_print_save_and_read_them(tmp_path: Any) -> None:
    found = at_truth()
    assert found.type_labels == ["residents", "tourists"]
    assert found.theta_labels[-2:] == ["share of residents", "prices"]
    text = str(found)
    assert "Type Share Estimates (Robust SEs in Parentheses)" in text
    frame = found.to_frame()
    shares = frame[frame["matrix"] == "type_shares"]
    assert shares["row"].tolist() == ["residents", "tourists"]
    np.testing.assert_allclose(shares["estimate"], SHARES)
    assert (shares["std_error"] > 0).all()
    assert "share of residents" in str(found.compute_identification())
    found.save(tmp_path / "r")
    again = blpdask.read_results(tmp_path / "r")
    for name in ("type_shares", "type_shares_se", "theta"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    assert again.type_labels == found.type_labels and str(again) == text
    for ours, theirs in zip(
        again.type_shares_bounds, found.type_shares_bounds, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_a_table_of_dummies_and_a_category_are_the_same() -> None:
    """Types shift tastes by 0/1 columns, or by C(type_ids) where data are in memory."""
    problem, agents = problem_of(), agents_of(40)
    columns = {n: problem.products[n] for n in ("market_ids", "shares", "prices", "x")}
    Z = problem.products["ZD"][:, :-2]
    columns["demand_instruments"] = np.hstack([Z, Z**2])
    by_name = blpdask.Problem((X1, X2), columns, Formulation("1 + type_ids"), agents)
    by_dummy = blpdask.Problem((X1, X2), columns, Formulation("1 + tourist"), agents)
    arguments = {**POINT, "pi": [[0, 1.2], [0, 1.5]], "beta": None}
    found, expected = (
        p.solve(**arguments, type_shares=SHARES) for p in (by_name, by_dummy)
    )
    assert found.pi_labels[1] == "type_ids['tourists']"
    np.testing.assert_array_equal(found.delta, expected.delta)
    np.testing.assert_array_equal(found.gradient, expected.gradient)


@cache
def tables(seed: int) -> tuple[DrawnTypes, Any]:
    drawn = draw_types(seed)
    drawn = replace(drawn, specification=as_tables(drawn.specification))
    with quietly():
        held = build_here(drawn.specification)
        return drawn, solve_here(held, **drawn.solution, type_shares=drawn.shares)


@pytest.mark.parametrize("kind", ["text", "numbers", "floats"])
@pytest.mark.parametrize("seed", [3, 5, 7, 14, 20])
def test_a_store_gives_the_numbers_of_memory(
    tmp_path: Any, seed: int, kind: str
) -> None:
    drawn, expected = tables(seed)
    specification, agents = drawn.specification, drawn.specification.agents
    if kind != "text":
        codes = {"cities": -3, "farms": 4, "towns": 10}
        numbers = agents["type_ids"].map(codes) * (1 if kind == "numbers" else 0.5)
        specification = replace(specification, agents=agents.assign(type_ids=numbers))
    problem = on_store(specification, tmp_path / "s", blocks=3)
    found = solve_here(problem, **drawn.solution, type_shares=drawn.shares)
    assert len(found.type_labels) == 3
    if kind == "text":
        assert found.theta_labels == expected.theta_labels
    order = market_order(specification)
    names = ["objective", "gradient", "type_shares_se", "parameter_covariances"]
    for name in names:
        gap = distance(getattr(found, name), getattr(expected, name))
        assert gap <= 1e-9, (name, gap)
    assert distance(found.delta, expected.delta[order]) <= 1e-10


def test_engines_have_the_same_bits(tmp_path: Any) -> None:
    drawn, _ = tables(7)

    def solve(engine: Any, name: str) -> Any:
        problem = on_store(drawn.specification, tmp_path / name, blocks=4)
        return solve_here(
            problem, **drawn.solution, type_shares=drawn.shares, engine=engine
        )

    expected = solve("serial", "s")
    assert bits(solve("threads", "t")) == bits(expected)
    with cluster(2) as client:
        assert bits(solve(client, "u")) == bits(expected)


def test_bytes_of_stored_types_are_counted(tmp_path: Any) -> None:
    from blpdask.driver.serial import SerialEngine
    from blpdask.partitions.source import count_bytes

    drawn, _ = tables(3)
    problem = on_store(drawn.specification, tmp_path / "s", blocks=3)
    source = problem.demand.prepare(SerialEngine()).source
    for index in range(len(source)):
        block = source.load(index)
        assert block.agent_types is not None
        offsets = 8 * (block.product_offsets.size + block.agent_offsets.size)
        found = count_bytes(replace(block, linear=None))
        more = 8 * (block.n_products + 100)
        assert abs(found - source.size(index)) <= offsets + more


def test_a_recording_replays(tmp_path: Any) -> None:
    drawn, _ = tables(5)
    held = build_here(drawn.specification)
    arguments = {**drawn.solution, "type_shares": drawn.shares}
    plain = solve_here(held, **arguments)
    for _ in range(2):
        found = solve_here(held, **arguments, resume=tmp_path / "run")
        assert bits(found) == bits(plain)


def test_optimal_instruments_are_those_of_weights_by_hand() -> None:
    found = at_truth().compute_optimal_instruments()
    mixed = problem_of("mixed").solve(**POINT).compute_optimal_instruments()
    assert distance(found.expected_prices, mixed.expected_prices) <= 1e-8
    labels = at_truth().theta_labels
    place = labels.index("share of residents")
    kept = [p for p in range(len(labels)) if p != place]
    for name in ("demand_instruments", "supply_instruments"):
        ours, theirs = getattr(found, name), getattr(mixed, name)
        assert ours.shape[1] == theirs.shape[1] + 1
        assert distance(ours[:, kept], theirs) <= 1e-7, name
    # One step of the share, by whatever else it takes: a problem that identifies it.
    problem = found.to_problem()
    again = problem.solve(**POINT, type_shares=SHARES)
    assert np.isfinite(again.type_shares_se).all()


def test_expected_slopes_by_shares_are_differences() -> None:
    """Given prices and shares, ∂ξ/∂λ of the instruments is ∂δ/∂λ there."""
    problem = problem_of()
    step = 1e-5
    ends = [
        problem.solve(**POINT, type_shares=[0.7 + by, 0.3 - by], delta=at_truth().delta)
        for by in (step, -step)
    ]
    place = at_truth().theta_labels.index("share of residents")
    for name, of in (("delta", "xi"), ("tilde_costs", "omega")):
        slopes = (getattr(ends[0], name) - getattr(ends[1], name)) / (2 * step)
        found = getattr(at_truth(), f"{of}_by_theta_jacobian")[:, [place]]
        assert distance(found, slopes) <= 1e-7


def test_integration_error_is_at_the_same_shares() -> None:
    results = at_truth()
    frame = results.compute_integration_error(
        blpdask.Integration("monte_carlo", 90, {"seed": 1})
    )
    assert np.isfinite(frame["objective"]).all()


def test_resamples_redraw_nodes_within_types() -> None:
    """With λ as types are among agents, weights and S_sim are those without types."""
    equal = [1 / 3, 2 / 3]
    rule = blpdask.Integration("monte_carlo", 90, {"seed": 3})
    resamples = blpdask.Resamples(4, seed=1, integration=rule)
    found = problem_of().solve(
        **POINT,
        type_shares=equal,
        type_shares_bounds=(equal, equal),
        resample_agent_data=resamples,
    )
    expected = problem_of().solve(**POINT, resample_agent_data=resamples)
    S = np.asarray(found.simulation_covariances)
    assert distance(S, np.asarray(expected.simulation_covariances)) <= 1e-7
    other = problem_of().solve(
        **POINT, type_shares=SHARES, resample_agent_data=resamples
    )
    assert distance(np.asarray(other.simulation_covariances), S) > 1e-3


def test_resamples_by_a_function_have_their_own_types() -> None:
    def redrawn(index: int) -> Any:
        return agents_of(40, people=20 + index, seed=index) if index < 3 else None

    found = problem_of().solve(**POINT, type_shares=SHARES, resample_agent_data=redrawn)

    def mixed(index: int) -> Any:
        table = redrawn(index)
        if table is None:
            return None
        share = np.where(table["tourist"] > 0, SHARES[1], SHARES[0])
        keys = [table["market_ids"], table["type_ids"]]
        sums = table["weights"].groupby(keys).transform("sum")
        return table.assign(weights=share * table["weights"] / sums).drop(
            columns="type_ids"
        )

    expected = problem_of("mixed").solve(**POINT, resample_agent_data=mixed)
    S = np.asarray(expected.simulation_covariances)
    assert distance(np.asarray(found.simulation_covariances), S) <= 1e-7

    def without(index: int) -> Any:
        table = redrawn(index)
        kept = (table["market_ids"] > 0) | (table["tourist"] == 0)
        weights = np.where(table["market_ids"] > 0, 1, 3) * table["weights"]
        return table[kept].assign(weights=weights)

    with pytest.raises(InputError, match="markets without agents of types that they"):
        problem_of().solve(**POINT, type_shares=SHARES, resample_agent_data=without)
    with pytest.raises(InputError, match="types none"):
        problem_of().solve(**POINT, type_shares=SHARES, resample_agent_data=mixed)


def refusal(problem: Any = None, **arguments: Any) -> str:
    with pytest.raises(InputError) as caught:
        (problem or problem_of()).solve(**{**POINT, **arguments})
    return str(caught.value)


def test_what_cannot_be_is_refused_at_the_door() -> None:
    assert "sum to 0.9" in refusal(type_shares=[0.6, 0.3])
    assert "of 3 numbers" in refusal(type_shares=[0.6, 0.3, 0.1])
    assert "residents, tourists" in refusal(type_shares=[1.0])
    assert "none missing" in refusal(type_shares=[0.6, None])
    assert "from zero to one" in refusal(type_shares=[1.2, -0.2])
    assert "agents have no types" in refusal(problem_of("mixed"), type_shares=SHARES)
    assert "outside their bounds" in refusal(
        type_shares=SHARES,
        type_shares_bounds=([0.1, np.nan], [0.5, np.nan]),
        optimization=None,
    )
    message = refusal(
        type_shares=SHARES,
        type_shares_bounds=([0.1, 0.2], [0.9, 0.9]),
        optimization=None,
    )
    assert "bounds (0.2, 0.9) on the share of type 1" in message
    with pytest.raises(InputError, match="estimates with type_shares"):
        at_truth().draw_jackknife()


def test_markets_without_a_type_are_named(tmp_path: Any) -> None:
    simulation, _ = simulated()
    problem, agents = problem_of(), agents_of(simulation.T)
    gone = agents["market_ids"].isin([3, 17]) & (agents["tourist"] == 1)
    with quietly():
        agents["weights"] = 1.0
        sums = agents[~gone].groupby("market_ids")["weights"].transform("sum")
        some = agents[~gone].assign(weights=1 / sums)
        lacking = problem.with_agents(some)
    message = refusal(lacking, type_shares=SHARES)
    assert "2 markets without agents of type 'tourists'" in message
    assert "(3, 17)" in message
    # Without shares, and with one of zero, nothing is wrong with that.
    demand = {**POINT, "pi": np.zeros((2, 1))}
    lacking.solve(**demand)
    lacking.solve(**demand, type_shares=[1, 0])
    products = pd.DataFrame(
        {
            **{n: problem.products[n].ravel() for n in ("market_ids", "firm_ids")},
            **{n: problem.products[n].ravel() for n in ("shares", "prices", "x", "w")},
        }
    )
    for side, end in (("D", -2), ("S", -3)):
        name = {"D": "demand", "S": "supply"}[side]
        Z = problem.products[f"Z{side}"][:, :end]
        for k in range(Z.shape[1]):
            products[f"{name}_instruments{k}"] = Z[:, k]
    store = blpdask.build_store(tmp_path / "s", products, some, blocks=3)
    stored = blpdask.Problem((X1, X2, X3), store, DEMOGRAPHICS)
    assert "(3, 17)" in refusal(stored, type_shares=SHARES)


def test_missing_types_are_refused(tmp_path: Any) -> None:
    problem, agents = problem_of(), agents_of(40)
    agents.loc[[4, 9], "type_ids"] = None
    with pytest.raises(InputError, match="2 agents without a type"):
        problem.with_agents(agents)
    drawn, _ = tables(3)
    table = drawn.specification.agents.copy()
    table.loc[[1, 4], "type_ids"] = None
    wrong = replace(drawn.specification, agents=table)
    stored = on_store(wrong, tmp_path / "s", blocks=2)
    with pytest.raises(StoreError, match="rows of 'type_ids' that are missing"):
        solve_here(stored, **drawn.solution, type_shares=drawn.shares)


def test_simulations_refuse_what_is_wrong() -> None:
    def build(**changes: Any) -> Any:
        given = {"agent_data": agents_of(5), "type_shares": SHARES, **changes}
        return blpdask.Simulation(
            (X1, X2, X3),
            blpdask.build_id_data(5, 3, 2),
            **TRUTH,
            agent_formulation=DEMOGRAPHICS,
            seed=0,
            **given,
        )

    with pytest.raises(InputError, match="agents without type_ids"):
        build(agent_data=agents_of(5).drop(columns="type_ids"))
    with pytest.raises(InputError, match="agents without type_ids"):
        build(integration=blpdask.Integration("product", 3))
    with pytest.raises(InputError, match=r"sum to 0\.5"):
        build(type_shares=[0.2, 0.3])
    agents = agents_of(5)
    agents = agents[(agents["market_ids"] != 2) | (agents["tourist"] == 0)]
    with pytest.raises(InputError, match=r"agents of type 'tourists' \(2\)"):
        build(agent_data=agents)


def test_a_negative_last_share_is_a_failed_evaluation() -> None:
    """Where three are estimated, the last is negative at θ that bounds allow."""
    drawn = draw_types(3)
    problem = build_here(drawn.specification)
    at = solve_here(problem, **drawn.solution, type_shares=drawn.shares)
    theta = at.theta.copy()
    places = [p for p, n in enumerate(at.theta_labels) if n.startswith("share of")]
    theta[places] = 0.6
    found = solve_here(
        problem, **drawn.solution, type_shares=drawn.shares, starts=[theta]
    )
    # The better of both points is the one that can be.
    np.testing.assert_array_equal(found.theta, at.theta)
    frame = found.starts_frame()
    assert frame["converged"].tolist() == [True, False]
    with pytest.raises(BlpdaskError, match="markets"):
        solve_here(
            problem,
            **drawn.solution,
            type_shares=drawn.shares,
            starts=[theta],
            error_behavior="raise",
        )


def test_random_starts_leave_something_for_the_last_type() -> None:
    drawn = draw_types(3)
    parameters = build_here(drawn.specification)._lay_out(
        blpdask.Optimization("structured").choice,
        blpdask.errors.Faults("test"),
        sigma=drawn.solution["sigma"],
        pi=drawn.solution.get("pi"),
        type_shares=drawn.shares,
    )
    from blpdask.api.starting_points import starting_points
    from blpdask.model.parameters import expand

    for point in starting_points(200, parameters, 0):
        shares = expand(parameters, point).type_shares[:, 0]
        assert (shares > 0).all() and abs(shares.sum() - 1) <= 1e-15


JOB = """
name: types
data:
  products: {source: products.csv}
  agents: {source: agents.csv}
formulations:
  linear: "1 + prices + x1"
  random: "0 + prices + x1"
  demographics: "0 + tourist"
sigma: [[0.3, 0], [0, 0.5]]
pi: [[0.4], [0]]
type_shares: [0.6, 0.4]
bounds: {type_shares: {lower: 0.1, upper: 0.9}}
solve:
  method: 1s
  check_optimality: gradient
  optimization: {method: return}
engine: {kind: serial}
"""


def test_jobs_say_them_too(tmp_path: Any) -> None:
    from blpdask.simulation.markets import MarketDesign, simulate_markets
    from tests.jobs.test_store import estimates, invoke, on_store

    design = MarketDesign(
        n_markets=20, n_products=5, n_agents=24, pi=(), beta=(1, -2, 1)
    )
    markets = simulate_markets(design, 2)
    products, agents = markets.product_data, markets.agent_data
    agents["type_ids"] = np.where(np.arange(len(agents)) % 3 > 0, "t", "r")
    agents["tourist"] = (agents["type_ids"] == "t").astype(float)
    products.to_csv(tmp_path / "products.csv", index=False)
    agents.to_csv(tmp_path / "agents.csv", index=False)
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    result = invoke("plan", path)
    assert result.exit_code == 0, result.output
    found = estimates(path, tmp_path / "run")
    problem = blpdask.Problem(
        (Formulation("1 + prices + x1"), Formulation("0 + prices + x1")),
        products,
        DEMOGRAPHICS,
        agents,
    )
    expected = problem.solve(
        [[0.3, 0], [0, 0.5]],
        [[0.4], [0]],
        type_shares=[0.6, 0.4],
        method="1s",
        check_optimality="gradient",
        optimization=FIXED,
        engine="serial",
    )
    assert tuple(found.theta_labels) == tuple(expected.theta_labels)
    assert distance(found.gradient, expected.gradient) <= 1e-9
    assert distance(found.delta, expected.delta) <= 1e-11
    result = invoke("store", path, "-o", tmp_path / "s", "--blocks", "4")
    assert result.exit_code == 0, result.output
    stored = estimates(on_store(path, tmp_path / "s"), tmp_path / "stored")
    assert distance(stored.gradient, expected.gradient) <= 1e-8
