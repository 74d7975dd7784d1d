"""Optimal instruments are those of the installed PyBLP, at one θ.

To 1e-8 in norm, for problems of :mod:`tests.references.drawn`, with supply, with nests,
availability and scaled errors; and problems that are made of them give what PyBLP's do.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

import blpdask
from tests.references import numbers
from tests.references.drawn import draw
from tests.references.drawn_nests import draw_nests
from tests.references.drawn_simulation import draw_simulation
from tests.references.drawn_supply import draw_supply
from tests.references.specifications import (
    FIXED,
    build_here,
    build_there,
    distance,
    nevo,
    quietly,
    solve_here,
    solve_there,
)
from tests.references.test_supply_live import BY_GAMMA

pyblp = pytest.importorskip("pyblp")

TOLERANCE = 1e-8
DRAWN: dict[str, Callable[[int], Any]] = {
    "demand": draw,
    "supply": draw_supply,
    "nests": draw_nests,
}
METHODS: dict[str, dict[str, Any]] = {
    "approximate": {},
    "normal": {"draws": 3, "seed": 5},
    "empirical": {"draws": 2, "seed": 6},
}
#: Of supply, problems whose markets have equilibria at every draw, or whose costs have
#: shares among their characteristics, so that prices are predicted.
EQUILIBRIA = {
    "supply": (12, 20, 21, 22, 23, 25, 28, 32, 39, 40),
    "nests": (20, 24, 31, 40, 48, 50, 52),
}
PREDICTED = {"supply": (0, 5, 7, 15, 16, 17, 19), "nests": (0, 5, 13, 16, 23, 33, 34)}
CASES = [
    *(("demand", seed) for seed in range(16)),
    *((family, seed) for family, seeds in EQUILIBRIA.items() for seed in seeds),
    *((family, seed) for family, seeds in PREDICTED.items() for seed in seeds),
    *(("nests", seed) for seed in (2, 3, 4, 6, 8, 9, 11, 12, 14, 17)),
]
#: At prices that are given no equilibrium is needed. At nests' seed 15 all costs are at
#: their bound, and ω is rounding.
GIVEN = [
    *(("supply", seed) for seed in range(30)),
    *(("nests", seed) for seed in range(36) if seed != 15),
]
#: At others of the first 30 instruments are collinear, or markets have no equilibrium.
SIMULATED = (1, 2, 3, 5, 6, 7, 8, 10, 11, 13, 15, 16, 17, 18, 20, 21, 22, 23)
ATTRIBUTES = (
    "expected_prices",
    "expected_shares",
    "inverse_covariance_matrix",
    "expected_xi_by_theta_jacobian",
    "expected_omega_by_theta_jacobian",
    "demand_instruments",
    "supply_instruments",
)
OF_A_PROBLEM = ("objective", "gradient", "xi", "omega", "beta", "gamma", "sigma_se")


@cache
def solved(family: str, seed: int) -> tuple[Any, Any]:
    """Evaluate a problem in both packages."""
    drawn = DRAWN[family](seed)
    here, there = build_here(drawn.specification), build_there(drawn.specification)
    arguments = {**drawn.solution, **FIXED}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return solve_here(here, **arguments), solve_there(there, **arguments)


@cache
def computed(family: str, seed: int, method: str) -> tuple[Any, Any]:
    """Compute optimal instruments in both packages."""
    here, there = solved(family, seed)
    how = METHODS[method]
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (
            here.compute_optimal_instruments(method, **how, engine="serial"),
            there.compute_optimal_instruments(method, **how),
        )


def gaps(here: Any, there: Any, names: tuple[str, ...]) -> dict[str, float]:
    """List the attributes that differ."""
    found = {n: distance(getattr(here, n), getattr(there, n)) for n in names}
    return {name: gap for name, gap in found.items() if not gap <= TOLERANCE}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("family", "seed"), CASES)
def test_instruments_and_expectations(family: str, seed: int, method: str) -> None:
    here, there = computed(family, seed, method)
    assert not gaps(here, there, ATTRIBUTES)
    assert here.fp_converged.all() and there.fp_converged.all()
    assert here.draws == there.draws
    found = family in EQUILIBRIA and seed in EQUILIBRIA[family]
    assert here.fp_iterations.any() == found


@pytest.mark.parametrize(("family", "seed"), GIVEN)
def test_expectations_at_given_prices(family: str, seed: int) -> None:
    here, there = solved(family, seed)
    prices = 0.97 * here.problem.products.prices
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = here.compute_optimal_instruments(expected_prices=prices)
        theirs = there.compute_optimal_instruments(expected_prices=prices)
    assert not gaps(ours, theirs, ATTRIBUTES)


@pytest.mark.parametrize("scale", [1.0, 1.4])
@pytest.mark.parametrize("seed", SIMULATED)
def test_simulated_markets(seed: int, scale: float) -> None:
    """Prices in logs, and scaled errors, where markets have equilibria."""
    drawn = draw_simulation(seed)
    found = []
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for package in (blpdask, pyblp):
            simulation = drawn.build(package)
            solution = simulation.replace_endogenous(error_behavior="warn")
            results = solution.to_problem(epsilon_scale=scale).solve(
                sigma=simulation.sigma if simulation.K2 else None,
                pi=simulation.pi if simulation.D else None,
                beta=simulation.beta,
                optimization=package.Optimization("return"),
                method="1s",
                check_optimality="gradient",
            )
            given: dict[str, Any] = {}
            if any("shares" in f.names for f in columns_of(simulation)):
                given["iteration"] = package.Iteration("simple", {"atol": 1e-12})
                given["constant_costs"] = drawn.solution["constant_costs"]
            found.append(results.compute_optimal_instruments(**given))
    ours, theirs = found
    assert np.array_equal(ours.fp_converged, theirs.fp_converged)
    if not theirs.fp_converged.all():
        pytest.skip("a market without an equilibrium")
    assert not gaps(ours, theirs, ATTRIBUTES)
    assert ours.fp_iterations.any()


def columns_of(simulation: Any) -> Any:
    """Give the columns of X3 in either package."""
    if hasattr(simulation, "outline"):
        return simulation.outline.X3_columns
    return simulation._X3_formulations


@pytest.mark.parametrize(("family", "seed"), CASES[::2])
def test_problems_with_optimal_instruments(family: str, seed: int) -> None:
    here, there = computed(family, seed, "approximate")
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = here.to_problem(), there.to_problem()
    assert distance(ours.products.ZD, theirs.products.ZD) <= TOLERANCE
    assert ours.MD == theirs.MD
    # PyBLP instruments shares by themselves: its last column.
    n_shares = sum("shares" in f.names for f in theirs._X3_formulations)
    if theirs.K3:
        kept = theirs.MS - n_shares
        assert kept == ours.MS
        assert distance(ours.products.ZS, theirs.products.ZS[:, :kept]) <= TOLERANCE
    if n_shares or condition(theirs) > 1e9:
        return
    arguments = {**DRAWN[family](seed).solution, **FIXED, "method": "1s"}
    arguments |= {"initial_update": False, "check_optimality": "gradient"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mine, other = solve_here(ours, **arguments), solve_there(theirs, **arguments)
    names = OF_A_PROBLEM if theirs.K3 else ("objective", "gradient", "xi", "sigma_se")
    if "gamma" in arguments and mine.clipped_costs.any():
        # PyBLP's gradient is not its objective's there.
        names = tuple(name for name in names if name not in BY_GAMMA)
    assert not gaps(mine, other, names)


def condition(problem: Any) -> float:
    """Say how nearly collinear PyBLP's instruments are."""
    return max(
        np.linalg.cond(Z.T @ Z)
        for Z in (problem.products.ZD, problem.products.ZS)
        if Z.shape[1]
    )


def test_nevos_cereals() -> None:
    """What PyBLP 1.3.0 gave at its own estimates, as it was written down."""
    sigma, pi = np.zeros((4, 4)), np.zeros((4, 4))
    for matrix, row, column, value, _ in numbers.NEVO_1S.estimates[:-1]:
        {"sigma": sigma, "pi": pi}[matrix][row, column] = value
    arguments = {"sigma": sigma, "pi": pi, "method": "1s", **FIXED}
    arguments["check_optimality"] = "gradient"
    here, there = build_here(nevo()), build_there(nevo())
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = solve_here(here, **arguments).compute_optimal_instruments()
        theirs = solve_there(there, **arguments).compute_optimal_instruments()
        mine = solve_here(ours.to_problem(), **arguments)
        other = solve_there(theirs.to_problem(), **arguments)
    assert not gaps(ours, theirs, ATTRIBUTES)
    assert ours.demand_instruments.shape == (2256, 13)
    assert abs(ours.demand_instruments.mean() / -0.37948675 - 1) < 1e-7
    assert abs(ours.demand_instruments.std() / 1.81025414 - 1) < 1e-7
    assert abs(ours.expected_prices.mean() / 0.125739657 - 1) < 1e-8
    first = ours.demand_instruments[0, :4]
    written = [-0.508683602, 0.000269548856, -0.259000795, 0.10466962]
    assert distance(first, written) < 1e-6
    assert mine.problem.MD == 14
    assert distance(mine.objective, other.objective) < TOLERANCE
    assert abs(float(mine.objective) / 254.869239 - 1) < 1e-6
