"""What must hold of any problem with a supply side.

1. Gradients are finite differences, with the moments of each side alone and together.
2. Concentrating γ out, or leaving it in θ at its estimate, is the same minimum.
3. Effects absorbed out of X3 are dummies in X3.
4. Ownership written out as a matrix is ownership by firms; a monopolist owns all.
5. Without heterogeneity, costs are the plain logit's.
6. The supply side changes no bit of δ(θ), and no engine or cut changes a bit of it.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import blpdask
from tests.driver.clusters import cluster
from tests.parity.test_engines import assert_same_bits
from tests.properties.test_gradient import TOLERANCE, base, differentiate
from tests.references.drawn_supply import DrawnSupply, draw_supply
from tests.references.specifications import (
    FIXED,
    Specification,
    build_here,
    distance,
    solve_here,
)

SEEDS = (0, 1, 4, 6, 7, 10, 12, 17, 20, 24)


@cache
def built(seed: int) -> tuple[DrawnSupply, Any]:
    """Build a drawn problem once."""
    drawn = draw_supply(seed)
    return drawn, build_here(drawn.specification)


def quietly_solved(problem: Any, **arguments: Any) -> Any:
    """Solve where notes on costs out of bounds are no matter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return solve_here(problem, **arguments)


def one_side(problem: Any, side: str) -> np.ndarray:
    """Make weights that see one side's moments only, or both and across."""
    rng = np.random.default_rng(5)
    root = rng.normal(size=(problem.MD + problem.MS,) * 2)
    W = root @ root.T / len(root)
    seen = np.arange(len(W)) < problem.MD
    if side == "both":
        return W
    kept = seen if side == "demand" else ~seen
    return W * np.outer(kept, kept)


@pytest.mark.parametrize("side", ["demand", "supply", "both"])
@pytest.mark.parametrize("seed", SEEDS)
def test_gradient(seed: int, side: str) -> None:
    drawn, problem = built(seed)
    arguments = {**base(drawn), "W": one_side(problem, side)}
    # One side alone does not identify the other's linear parameters; at their estimates
    # gradients by them would be zero.
    given = quietly_solved(problem, **{**arguments, "W": one_side(problem, "both")})
    arguments["beta"] = (0.9 * given.beta[:, 0]).tolist()
    arguments["gamma"] = (0.9 * given.gamma[:, 0]).tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gradient = solve_here(problem, **arguments).gradient[:, 0]
        expected = differentiate(problem, arguments, lambda r: r.objective, 1e-4)
    slack = TOLERANCE * np.abs(expected) + 1e-8 * np.linalg.norm(expected)
    assert (np.abs(gradient - expected) <= slack).all(), gradient / expected - 1


@pytest.mark.parametrize("seed", SEEDS[:4])
def test_finite_differences_option(seed: int) -> None:
    drawn, problem = built(seed)
    arguments = base(drawn)
    analytic = quietly_solved(problem, **arguments)
    numeric = quietly_solved(problem, **arguments, finite_differences=True)
    assert distance(numeric.gradient, analytic.gradient) <= TOLERANCE
    assert distance(numeric.moments_jacobian, analytic.moments_jacobian) <= TOLERANCE


@pytest.mark.parametrize("seed", SEEDS[:4])
def test_gamma_in_theta_at_its_estimate(seed: int) -> None:
    drawn, problem = built(seed)
    arguments = {**base(drawn), "gamma": None}
    out = quietly_solved(problem, **arguments)
    inside = quietly_solved(problem, **{**arguments, "gamma": out.gamma[:, 0]})
    assert distance(inside.objective, out.objective) <= 1e-11
    assert distance(inside.omega, out.omega) <= 1e-11
    n = problem.K3
    scale = np.abs(inside.gradient[:-n]).max()
    assert np.abs(inside.gradient[-n:]).max() <= 1e-8 * scale
    assert distance(inside.gradient[:-n], out.gradient) <= 1e-8
    order = [*range(out.theta.size), *range(-n, 0)]
    V = inside.parameter_covariances
    size = out.theta.size
    beta = range(inside.theta.size, len(V))
    moved = [*range(size), *beta, *range(size, size + n)]
    assert len(order) == size + n
    assert distance(V[np.ix_(moved, moved)], out.parameter_covariances) <= 1e-7


def with_dummies(specification: Specification) -> Specification:
    """Write the absorbed effects of X3 as dummies."""
    assert specification.cost_absorb is not None
    return replace(
        specification,
        cost=f"{specification.cost} + {specification.cost_absorb}",
        cost_absorb=None,
    )


@pytest.mark.parametrize("absorb", ["C(product_ids)", "C(product_ids) + C(region)"])
def test_absorbed_effects_are_dummies(absorb: str) -> None:
    drawn, _ = built(4)
    specification = replace(
        drawn.specification,
        cost="0 + w1 + x1",
        cost_absorb=absorb,
        cost_absorption=(None, {"tol": 1e-14}),
        options={**drawn.specification.options, "add_exogenous": True},
        linear="1 + prices + x1",
    )
    products = dict(specification.products)
    for side, kept in (("demand", 16), ("supply", 8)):
        names = [name for name in products if name.startswith(f"{side}_instruments")]
        for name in names[kept:]:
            del products[name]
    specification = replace(specification, products=products)
    arguments = {
        "sigma": drawn.solution["sigma"],
        "pi": drawn.solution.get("pi"),
        "beta": [None, -1.1, None],
        "method": "1s",
        **FIXED,
    }
    absorbed = quietly_solved(build_here(specification), **arguments)
    dummies = quietly_solved(build_here(with_dummies(specification)), **arguments)
    assert distance(absorbed.objective, dummies.objective) <= 1e-8
    assert distance(absorbed.gradient, dummies.gradient) <= 1e-8
    assert distance(absorbed.gamma, dummies.gamma[:2]) <= 1e-8
    assert distance(absorbed.omega, dummies.omega) <= 1e-8
    levels = absorbed.tilde_costs - absorbed.omega
    assert distance(levels, dummies.tilde_costs - dummies.omega) <= 1e-8


def logit_with_supply(**changed: Any) -> Any:
    """Build a plain logit with costs: three markets of four firms."""
    rng = np.random.default_rng(2)
    J, T = 6, 30
    N = J * T
    data = {
        "market_ids": np.repeat(np.arange(T), J),
        "firm_ids": np.tile(np.arange(J) // 2, T),
        "shares": rng.uniform(0.02, 0.12, N),
        "prices": rng.uniform(2.0, 4.0, N),
        "x": rng.normal(size=N),
        "demand_instruments0": rng.normal(size=N),
        "supply_instruments0": rng.normal(size=N),
        **changed,
    }
    formulas = ("1 + prices + x", "1 + x")
    X1, X3 = map(blpdask.Formulation, formulas)
    return data, blpdask.Problem((X1, None, X3), data)


def test_costs_of_the_plain_logit_are_written_out() -> None:
    """η_j = -(1 / α) / (1 - Σ_{k ∈ firm} s_k) for every product of a firm."""
    data, problem = logit_with_supply()
    alpha = -1.7
    found = solve_here(problem, beta=[None, alpha, None], method="1s", **FIXED)
    firm = 3 * data["market_ids"] + data["firm_ids"]
    owned = np.bincount(firm, weights=data["shares"])[firm]
    costs = data["prices"] + 1 / alpha / (1 - owned)
    np.testing.assert_allclose(found.tilde_costs[:, 0], costs, rtol=1e-12)


def test_ownership_matrices_say_what_firms_say() -> None:
    data, by_firms = logit_with_supply()
    arguments = {"beta": [None, -1.7, None], "method": "1s", **FIXED}
    expected = solve_here(by_firms, **arguments)
    ownership = blpdask.build_ownership(data)
    assert ownership.shape == (180, 6)
    _, by_matrix = logit_with_supply(ownership=ownership)
    found = solve_here(by_matrix, **arguments)
    for name in ("objective", "tilde_costs", "omega", "gamma_se", "gradient"):
        assert distance(getattr(found, name), getattr(expected, name)) <= 1e-12, name
    _, monopoly = logit_with_supply(firm_ids=np.zeros(180))
    table = blpdask.build_ownership(data, "monopoly")
    _, by_table = logit_with_supply(ownership=table)
    one, other = (solve_here(p, **arguments) for p in (monopoly, by_table))
    assert distance(one.tilde_costs, other.tilde_costs) <= 1e-12
    assert (one.tilde_costs < expected.tilde_costs).all()


@pytest.mark.parametrize("seed", [1, 10])
def test_supply_changes_no_bit_of_delta(seed: int) -> None:
    drawn, problem = built(seed)
    arguments = base(drawn)
    both = quietly_solved(problem, **arguments)
    demand = build_here(replace(drawn.specification, cost=None))
    for name in ("gamma", "costs_bounds"):
        arguments.pop(name, None)
    alone = quietly_solved(demand, **arguments)
    assert alone.delta.tobytes() == both.delta.tobytes()


@cache
def serial(seed: int) -> Any:
    """Estimate in two steps, serially, in five blocks."""
    drawn, problem = built(seed)
    arguments = {**drawn.solution, "method": "2s", "blocks": 5}
    return quietly_solved(problem, **arguments, engine="serial")


@pytest.mark.parametrize("seed", [6, 14])
def test_threads_have_the_bits_of_serial(seed: int) -> None:
    drawn, problem = built(seed)
    arguments = {**drawn.solution, "method": "2s", "blocks": 5}
    found = quietly_solved(problem, **arguments, engine="threads", threads=3)
    assert_same_bits(found, serial(seed))


@pytest.mark.slow
def test_a_cluster_has_the_bits_of_serial() -> None:
    with cluster(2) as client:
        for seed in (6, 14):
            drawn, problem = built(seed)
            arguments = {**drawn.solution, "method": "2s", "blocks": 5}
            found = quietly_solved(problem, **arguments, engine=client)
            assert_same_bits(found, serial(seed))
