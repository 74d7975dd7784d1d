"""Problems drawn at random give what the installed PyBLP gives, at one θ and one W.

Tolerance 1e-8 in norm; what is measured is 1e-11 or less. Two differences are by design
and are tests of their own below: PyBLP's gradient where effects are absorbed but not
taken out of the user's instruments, and the bounds σ_kk ≥ 0 of its optimisers.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.references.drawn import Drawn, draw, positive_weights
from tests.references.specifications import (
    FIXED,
    Specification,
    build_here,
    build_there,
    distance,
    solve_here,
    solve_there,
)

pyblp = pytest.importorskip("pyblp")

TOLERANCE = 1e-8
SEEDS = range(30)
#: Seeds with one basin around the start; elsewhere local minima differ by optimiser.
OPTIMISED = (1, 6, 12, 14, 21, 24)
ATTRIBUTES = (
    "objective",
    "gradient",
    "projected_gradient",
    "delta",
    "xi",
    "xi_fe",
    "moments",
    "moments_jacobian",
    "moments_covariances",
    "W",
    "updated_W",
    "sigma",
    "sigma_squared",
    "pi",
    "beta",
    "parameters",
    "parameter_covariances",
    "parameter_sensitivity",
    "sigma_se",
    "sigma_squared_se",
    "pi_se",
    "beta_se",
)
#: What the draws must cross for this file to mean what it says.
FEATURES = frozenset(
    {
        *(f"K2={K2}" for K2 in (1, 2, 3)),
        *("linear", "log", "logit", "beta in theta", "held by bounds"),
        *(f"D={D}" for D in (0, 1, 2)),
        *(f"rule={flag}" for flag in (False, True)),
        *(f"full={flag}" for flag in (False, True)),
        *(f"add_exogenous={flag}" for flag in (False, True)),
        *(f"scale_objective={flag}" for flag in (False, True)),
        *(f"center_moments={flag}" for flag in (False, True)),
        *(f"initial_update={flag}" for flag in (False, True)),
        *(f"given_weights={flag}" for flag in (False, True)),
        *(f"method={method}" for method in ("1s", "2s")),
        *(f"W_type={kind}" for kind in ("robust", "unadjusted", "clustered")),
        *(f"se_type={kind}" for kind in ("robust", "unadjusted", "clustered")),
        *(
            f"absorb={effects}"
            for effects in (None, "C(product_ids)", "C(product_ids) + C(region)")
        ),
    }
)


@cache
def built(seed: int) -> tuple[Drawn, Any, Any]:
    """Build the problem of a seed in both packages."""
    drawn = draw(seed)
    specification = drawn.specification
    return drawn, build_here(specification), build_there(specification)


@cache
def solved(seed: int) -> tuple[Any, Any]:
    """Evaluate the problem of a seed in both packages."""
    drawn, here, there = built(seed)
    arguments = {**drawn.solution, **FIXED}
    if drawn.given_weights:
        arguments["W"] = positive_weights(here.MD)
    return solve_here(here, **arguments), solve_there(there, **arguments)


def test_the_draws_cross_every_feature() -> None:
    crossed = frozenset().union(*(draw(seed).features for seed in SEEDS))
    assert crossed >= FEATURES, FEATURES - crossed


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_at_one_theta(seed: int) -> None:
    here, there = solved(seed)
    gaps = {
        name: distance(getattr(here, name), getattr(there, name)) for name in ATTRIBUTES
    }
    wrong = {name: gap for name, gap in gaps.items() if not gap <= TOLERANCE}
    assert not wrong
    assert here.theta_labels == there.theta_labels
    assert here.fp_converged.all()


@pytest.mark.parametrize("seed", SEEDS)
def test_jacobian_of_xi(seed: int) -> None:
    """∂ξ/∂θ before effects are absorbed, of δ and of linear parameters alike."""
    here, there = solved(seed)
    gap = distance(here.xi_by_theta_jacobian, there.xi_by_theta_jacobian)
    assert gap <= TOLERANCE


@pytest.mark.parametrize("seed", SEEDS)
def test_every_step_is_the_same(seed: int) -> None:
    here, there = solved(seed)
    while here is not None:
        assert here.step == there.step
        assert distance(here.objective, there.objective) <= TOLERANCE
        assert distance(here.updated_W, there.updated_W) <= TOLERANCE
        here, there = here.last_results, there.last_results
    assert there is None


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_nodes_and_weights(seed: int) -> None:
    _, here, there = built(seed)
    np.testing.assert_array_equal(here.agents.market_ids, there.agents.market_ids)
    assert distance(here.agents.nodes, there.agents.nodes) <= 1e-14
    assert distance(here.agents.weights, there.agents.weights) <= 1e-13
    assert distance(here.agents.demographics, there.agents.demographics) <= 1e-14


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_dimensions(seed: int) -> None:
    _, here, there = built(seed)
    for name in (
        "T",
        "N",
        "F",
        "I",
        "K1",
        "K2",
        "K3",
        "D",
        "MD",
        "MS",
        "MC",
        "ED",
        "H",
    ):
        assert getattr(here, name) == getattr(there, name), name


@pytest.mark.parametrize("seed", OPTIMISED)
def test_optimised_values(seed: int) -> None:
    """Each package at the minimum that its own default or BFGS finds."""
    drawn, here, there = built(seed)
    arguments = {**drawn.solution, "method": "1s", "initial_update": False}
    ours = solve_here(here, **arguments)
    theirs = solve_there(there, **arguments, optimization=("bfgs", {"gtol": 1e-9}))
    assert distance(ours.objective, theirs.objective) <= 1e-6
    assert distance(ours.parameters, theirs.parameters) <= 1e-6
    assert distance(ours.delta, theirs.delta) <= 1e-6


def users_own_instruments() -> tuple[Specification, dict[str, Any]]:
    """Absorb effects while the user gives all of Z, effects not taken out of it."""
    drawn = draw(0)
    specification = Specification(
        drawn.specification.products,
        drawn.specification.linear,
        "C(product_ids)",
        random="0 + prices + x1",
        rule=("product", 5, None),
        options={"add_exogenous": False},
    )
    return specification, {"sigma": np.diag([0.5, 0.4]), "method": "1s", **FIXED}


def test_gradient_where_instruments_keep_absorbed_effects() -> None:
    """PyBLP's objective is the same; its gradient is not its objective's.

    PyBLP absorbs effects into ξ, not into ∂ξ/∂θ, which is right only if they are
    absorbed into Z. Its documentation asks the user to do that, and does not check it.
    """
    specification, arguments = users_own_instruments()
    arguments["check_optimality"] = "gradient"
    here, there = build_here(specification), build_there(specification)
    ours, theirs = solve_here(here, **arguments), solve_there(there, **arguments)
    assert distance(ours.objective, theirs.objective) <= TOLERANCE
    assert distance(ours.moments, theirs.moments) <= TOLERANCE
    step, differences = 1e-5, []
    for k in range(2):
        shift = np.zeros((2, 2))
        shift[k, k] = step
        ends = [
            solve_there(there, **{**arguments, "sigma": arguments["sigma"] + move})
            for move in (shift, -shift)
        ]
        differences.append(float(ends[0].objective - ends[1].objective) / (2 * step))
    assert distance(ours.gradient[:, 0], differences) <= 1e-6
    assert distance(theirs.gradient[:, 0], differences) > 1e-2


def test_default_bounds_are_those_of_pyblps_optimisers() -> None:
    """σ_kk ≥ 0 where PyBLP's bounded optimisers are named, none where ours is."""
    drawn, here, there = built(1)
    arguments = {**drawn.solution, "method": "1s", "initial_update": False}
    arguments.pop("sigma_bounds", None)
    method = ("l-bfgs-b", {"maxiter": 1, "maxfun": 2})
    with pytest.warns(Warning, match="did not converge"):
        named = solve_here(here, **arguments, optimization=method)
    theirs = solve_there(there, **arguments, optimization=method)
    for mine, other in zip(named.sigma_bounds, theirs.sigma_bounds, strict=True):
        np.testing.assert_array_equal(mine, other)
    default = solve_here(here, **arguments, optimization=("structured",))
    free = np.nonzero(np.asarray(arguments["sigma"]))
    assert (default.sigma_bounds[0][free] == -np.inf).all()
