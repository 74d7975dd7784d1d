"""Bootstrapped results are the installed PyBLP's, at the same seed.

To 1e-8 in norm, for problems of :mod:`tests.references.drawn_supply` and
:mod:`tests.references.drawn_nests`, for Nevo's, and for solved simulations, whose
markets have equilibria; and draws have the distribution that they are drawn from.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask.analysis.bootstrap import draw_parameters
from blpdask.errors import BlpdaskError, InputError, NumericalWarning
from blpdask.problem.at_prices import at_prices
from blpdask.results.parameter_places import parameter_places
from tests.references.drawn import draw
from tests.references.drawn_nests import draw_nests
from tests.references.drawn_simulation import draw_simulation
from tests.references.specifications import (
    FIXED,
    NEVO_PI_RESTRICTED,
    NEVO_SIGMA,
    build_here,
    build_there,
    distance,
    nevo,
    quietly,
    solve_here,
    solve_there,
)

pyblp = pytest.importorskip("pyblp")

TOLERANCE = 1e-8
DRAWS = 3
#: Of demand alone: Nevo's, drawn ones, and with nests, availability and scaled errors.
DEMAND = (
    "nevo",
    *("demand 0", "demand 1", "demand 4"),
    *("nests 2", "nests 3", "nests 4", "nests 6"),
)
#: Simulations with costs linear and in logs, prices in logs, and shares in X3.
SUPPLY = (1, 2, 3, 5, 8, 11, 100, 105)
PARAMETERS = ("sigma", "pi", "rho", "phi", "beta", "gamma")
REALIZED = ("prices", "shares", "delta")


@cache
def demand_results(case: str) -> tuple[Any, Any]:
    """Evaluate a problem without supply in both packages."""
    if case == "nevo":
        specification = nevo()
        solution: dict[str, Any] = {"sigma": NEVO_SIGMA, "pi": NEVO_PI_RESTRICTED}
    else:
        family, seed = case.split()
        drawn = {"demand": draw, "nests": draw_nests}[family](int(seed))
        specification, solution = drawn.specification, dict(drawn.solution)
    here, there = build_here(specification), build_there(specification)
    arguments = {**solution, **FIXED, "method": "1s"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return solve_here(here, **arguments), solve_there(there, **arguments)


@cache
def supply_results(seed: int, scale: float = 1.0) -> tuple[Any, Any]:
    """Evaluate a simulation's problem at true parameters in both packages."""
    drawn, found = draw_simulation(seed), []
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for package in (blpdask, pyblp):
            simulation = drawn.build(package)
            solved = simulation.replace_endogenous(error_behavior="warn")
            optional = {"rho": simulation.rho} if simulation.rho.size else {}
            found.append(
                solved.to_problem(epsilon_scale=scale).solve(
                    sigma=simulation.sigma if simulation.K2 else None,
                    pi=simulation.pi if simulation.D else None,
                    beta=simulation.beta,
                    optimization=package.Optimization("return"),
                    method="1s",
                    check_optimality="gradient",
                    **optional,
                )
            )
    return found[0], found[1]


def shrink(results: Any) -> None:
    """Make covariances small: drawn markets have equilibria, and nothing overflows."""
    values = results.parameter_covariances
    scale = np.sqrt(np.diag(values) / results.problem.N).max()
    object.__setattr__(
        getattr(results, "estimates", results),
        "parameter_covariances",
        values * min(1.0, (0.02 / scale) ** 2),
    )


@cache
def bootstrapped(case: Any, constant: bool = True, scale: float = 1.0) -> Any:
    """Bootstrap in both packages."""
    here, there = (
        demand_results(case) if isinstance(case, str) else supply_results(case, scale)
    )
    if case != "nevo":
        shrink(here)
        shrink(there)
    found = []
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for results in (here, there):
            found.append(results.bootstrap(DRAWS, 7, constant_costs=constant))
    return tuple(found)


def gaps(ours: Any, theirs: Any) -> dict[str, float]:
    """List the attributes that differ."""
    names = [f"bootstrapped_{name}" for name in (*PARAMETERS, *REALIZED)]
    found = {n: distance(getattr(ours, n), getattr(theirs, n)) for n in names}
    return {name: gap for name, gap in found.items() if not gap <= TOLERANCE}


@pytest.mark.parametrize("case", DEMAND)
def test_draws_of_demand(case: str) -> None:
    ours, theirs = bootstrapped(case)
    assert gaps(ours, theirs) == {}
    assert ours.fp_converged.shape == theirs.fp_converged.shape
    assert ours.fp_converged.all() and not ours.fp_iterations.any()
    assert np.ptp(ours.bootstrapped_delta, axis=0).max() > 0


@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("seed", SUPPLY)
def test_draws_with_supply(seed: int, constant: bool) -> None:
    ours, theirs = bootstrapped(seed, constant)
    assert ours.fp_converged.all() and theirs.fp_converged.all()
    assert gaps(ours, theirs) == {}
    assert np.ptp(ours.bootstrapped_prices, axis=0).max() > 1e-6
    assert ours.fp_iterations.all()


def test_draws_with_scaled_errors() -> None:
    ours, theirs = bootstrapped(1, True, 1.4)
    assert gaps(ours, theirs) == {}


METHODS: dict[str, dict[str, Any]] = {
    "compute_aggregate_elasticities": {"factor": 0.05},
    "compute_elasticities": {},
    "compute_demand_jacobians": {},
    "compute_demand_hessians": {},
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
    "compute_hhi": {},
    "compute_consumer_surpluses": {"keep_all": False},
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", ["nevo", 1, 3, 8])
def test_methods(case: Any, method: str) -> None:
    ours, theirs = bootstrapped(case)
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = getattr(ours, method)(**METHODS[method])
        expected = getattr(theirs, method)(**METHODS[method])
    assert len(found) == DRAWS
    # PyBLP iterates prices to 1e-12, and inverts shares to 1e-14.
    assert distance(found, expected) <= TOLERANCE


def test_arguments_differ_by_draw() -> None:
    ours, theirs = bootstrapped(1)
    merged = np.where(ours.problem_results.problem.products.firm_ids == 2, 1, 0)
    answers = []
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        costs = ours.compute_costs()
        for results in (ours, theirs):
            prices = results.compute_prices(firm_ids=merged, costs=costs)
            shares = results.compute_shares(prices)
            found = [
                results.compute_profits(prices, shares, costs),
                results.compute_markups(prices, costs),
                results.compute_hhi(merged, shares),
                results.extract_diagonal_means(results.compute_elasticities()),
                results.extract_diagonals(results.compute_elasticities()),
            ]
            answers.append(found)
    for own, other in zip(*answers, strict=True):
        assert distance(own, other) <= TOLERANCE


def test_one_market() -> None:
    ours, theirs = bootstrapped(1)
    market = ours.problem_results.problem.unique_market_ids[1]
    with quietly():
        found = ours.compute_elasticities(market_id=market)
        costs = ours.compute_costs(market_id=market)
        assert distance(found, theirs.compute_elasticities(market_id=market)) < 1e-8
        assert (
            distance(
                ours.compute_prices(costs=costs, market_id=market),
                theirs.compute_prices(costs=costs, market_id=market),
            )
            < TOLERANCE
        )


def test_prices_are_optimal_at_costs_of_draws() -> None:
    """First-order conditions give back c̃ + X3 (γ_d - γ̂), and inversion gives δ_d."""
    ours, _ = bootstrapped(1)
    results = ours.problem_results
    supply = results.problem.demand.products.supply
    change = supply.X3 @ (ours.bootstrapped_gamma - results.gamma)
    costs = results.tilde_costs + change
    if results.problem.costs_type == "log":
        costs = np.exp(costs)
    assert distance(ours.compute_costs(), costs) < 1e-9
    assert distance(ours.compute_delta(), ours.bootstrapped_delta) < 1e-10


def test_the_estimates_come_back_without_variance() -> None:
    results, _ = supply_results(2)
    kept = results.parameter_covariances
    try:
        object.__setattr__(results.estimates, "parameter_covariances", 0 * kept)
        with quietly():
            found = results.bootstrap(2, 0)
    finally:
        object.__setattr__(results.estimates, "parameter_covariances", kept)
    products = results.problem.products
    for d in range(2):
        assert distance(found.bootstrapped_prices[d], products.prices) < 1e-9
        assert distance(found.bootstrapped_shares[d], products.shares) < 1e-9
        assert distance(found.bootstrapped_delta[d], results.delta) < 1e-9
        assert distance(found.bootstrapped_beta[d], results.beta) == 0


def test_draws_have_means_and_covariances_of_estimates() -> None:
    results, _ = demand_results("nevo")
    n = 20_000
    drawn = draw_parameters(results.estimates, n, 3)
    places = parameter_places(results.estimates)
    values = np.column_stack(
        [drawn.stacked(p.matrix)[:, p.row, p.column] for p in places]
    )
    V = results.parameter_covariances / results.problem.N
    own = np.sqrt(np.diag(V))
    low = [getattr(results, f"{p.matrix}_bounds")[0][p.row, p.column] for p in places]
    estimates = results.parameters[:, 0]
    inside = (estimates - np.nan_to_num(low, neginf=-1e9)) > 5 * own
    assert inside.sum() >= 2
    z = (values.mean(axis=0) - estimates) / (own / np.sqrt(n))
    assert np.abs(z[inside]).max() < 4.5
    correlations = np.cov(values.T) / np.outer(own, own)
    expected = V / np.outer(own, own)
    both = np.outer(inside, inside)
    assert np.abs((correlations - expected)[both]).max() < 5 * np.sqrt(2 / n)
    assert (values >= np.nan_to_num(low, neginf=-1e9) - 1e-15).all()


def test_a_problem_at_other_prices_is_the_problem_of_other_data() -> None:
    results, _ = supply_results(3)
    demand = results.problem.demand
    data = {**demand.products.variables, "shares": demand.products.shares}
    prices = 1.1 * results.problem.products.prices[:, 0]
    shares = 0.9 * demand.products.shares
    found = at_prices(demand, data, prices, shares)
    simulated = draw_simulation(3).build(blpdask)
    table = {n: v for n, v in zip(data, data.values(), strict=True)}
    again = {**demand.products.ids, **table, "prices": prices, "shares": shares}
    problem = blpdask.Problem(
        simulated.product_formulations,
        again,
        simulated.agent_formulation,
        simulated.agent_data,
    )
    expected = problem.demand
    assert distance(found.products.X1, expected.products.X1) == 0
    assert distance(found.products.X2, expected.products.X2) == 0
    assert distance(found.products.supply.X3, expected.products.supply.X3) == 0
    for name in ("X2", "log_shares", "logit_delta"):
        own, other = getattr(found.tables, name), getattr(expected.tables, name)
        assert distance(own, other) < 1e-14


def test_every_fault_of_the_arguments_is_named() -> None:
    results, _ = demand_results("demand 0")
    with pytest.raises(InputError) as caught:
        results.bootstrap(0, -1, "simple", backend="fortran", threads=0)
    assert len(caught.value.faults) == 5
    ours, _ = bootstrapped(1)
    with pytest.raises(InputError) as caught:
        ours.compute_profits(prices=np.ones(3), shares=np.ones((2, 4)))
    assert len(caught.value.faults) == 2


def test_covariances_that_are_not_finite_are_refused() -> None:
    results, _ = demand_results("demand 0")
    kept = results.parameter_covariances
    try:
        object.__setattr__(results.estimates, "parameter_covariances", np.nan * kept)
        with pytest.raises(BlpdaskError, match="not finite"), quietly():
            results.bootstrap(2)
        indefinite = kept - 2 * np.diag(np.diag(kept))
        object.__setattr__(results.estimates, "parameter_covariances", indefinite)
        with pytest.warns(NumericalWarning, match="below zero"), quietly():
            results.bootstrap(2)
    finally:
        object.__setattr__(results.estimates, "parameter_covariances", kept)


def test_progress_files_and_print(tmp_path: Any) -> None:
    results, _ = demand_results("demand 0")
    events: list[Any] = []
    with quietly():
        found = results.bootstrap(2, 0, progress=events.append, engine="serial")
        again = results.bootstrap(2, 0, threads=2)
    assert [(e.done, e.total, e.unit) for e in events] == [
        (1, 2, "draw"),
        (2, 2, "draw"),
    ]
    assert np.array_equal(found.bootstrapped_shares, again.bootstrapped_shares)
    found.to_pickle(tmp_path / "found.pickle")
    read = blpdask.read_pickle(tmp_path / "found.pickle")
    assert np.array_equal(read.bootstrapped_delta, found.bootstrapped_delta)
    with pytest.raises(BlpdaskError, match="without their problem"):
        read.compute_elasticities()
    assert "Bootstrap" in str(found) and set(found.to_dict()) >= {"draws"}
