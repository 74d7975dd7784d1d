"""Problems with a supply side give what the installed PyBLP gives, at one θ and one W.

Tolerance 1e-8 in norm, on everything that either side leaves: costs, ω, γ, joint
moments, their covariances, gradients and standard errors.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import pytest

from tests.references.drawn_supply import draw_supply
from tests.references.specifications import (
    FIXED,
    build_here,
    build_there,
    distance,
    solve_here,
    solve_there,
)
from tests.references.test_drawn_problems_live import ATTRIBUTES, TOLERANCE

pyblp = pytest.importorskip("pyblp")

#: At seed 35 demand slopes up and all costs are at their bound: γ is rounding.
SEEDS = tuple(seed for seed in range(40) if seed != 35)
SUPPLY = (
    "gamma",
    "gamma_se",
    "tilde_costs",
    "clipped_costs",
    "omega",
    "omega_fe",
    "xi_by_theta_jacobian",
    "omega_by_theta_jacobian",
)
#: What PyBLP gets wrong where γ is in θ and costs are clipped (a test of its own).
BY_GAMMA = frozenset(
    {
        *("gradient", "projected_gradient", "moments_jacobian"),
        *("parameter_covariances", "parameter_sensitivity"),
        *("sigma_se", "sigma_squared_se", "pi_se", "beta_se", "gamma_se"),
        "omega_by_theta_jacobian",
    }
)
FEATURES = frozenset(
    {
        *("linear", "log", "logit", "ownership", "gamma in theta"),
        *(f"costs_type={kind}" for kind in ("linear", "log")),
        *(f"bounds={pair}" for pair in (None, (0.3, None), (0.3, 6.0))),
        *(f"shares={flag}" for flag in (False, True)),
        *(f"method={method}" for method in ("1s", "2s")),
        *(f"W_type={kind}" for kind in ("robust", "unadjusted", "clustered")),
        *(f"se_type={kind}" for kind in ("robust", "unadjusted", "clustered")),
        *(
            f"X1 has {formula}"
            for formula in (
                "prices",
                "prices + I(prices**2)",
                "log(prices)",
                "prices + prices:x1",
                "",
            )
        ),
        *(
            f"cost_absorb={effects}"
            for effects in (None, "C(product_ids)", "C(product_ids) + C(region)")
        ),
    }
)


@cache
def solved(seed: int) -> tuple[Any, Any]:
    """Evaluate the problem of a seed in both packages."""
    drawn = draw_supply(seed)
    here, there = build_here(drawn.specification), build_there(drawn.specification)
    arguments = {**drawn.solution, **FIXED}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return solve_here(here, **arguments), solve_there(there, **arguments)


def clipped_with_gamma(seed: int) -> bool:
    """Tell whether γ is in θ while costs are at their bounds."""
    here, _ = solved(seed)
    return "gamma" in draw_supply(seed).solution and bool(here.clipped_costs.any())


def test_the_draws_cross_every_feature() -> None:
    crossed = frozenset().union(*(draw_supply(seed).features for seed in SEEDS))
    assert crossed >= FEATURES, FEATURES - crossed


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_at_one_theta(seed: int) -> None:
    here, there = solved(seed)
    differs = BY_GAMMA if clipped_with_gamma(seed) else frozenset()
    gaps = {
        name: distance(getattr(here, name), getattr(there, name))
        for name in (*ATTRIBUTES, *SUPPLY)
        if name not in differs
    }
    wrong = {name: gap for name, gap in gaps.items() if not gap <= TOLERANCE}
    assert not wrong
    assert here.theta_labels == there.theta_labels
    assert here.problem.MS == there.problem.MS and here.problem.K3 == there.problem.K3


@pytest.mark.parametrize("seed", SEEDS)
def test_every_step_is_the_same(seed: int) -> None:
    here, there = solved(seed)
    while here is not None:
        assert here.step == there.step
        assert distance(here.objective, there.objective) <= TOLERANCE
        assert distance(here.updated_W, there.updated_W) <= TOLERANCE
        here, there = here.last_results, there.last_results
    assert there is None


@pytest.mark.parametrize("seed", [3, 8, 23])
def test_gradient_where_costs_are_clipped(seed: int) -> None:
    """PyBLP's objective is the same; its gradient by γ is not its objective's.

    Costs at a bound do not move with Σ, Π and β, but ω = c̃ - X3 γ still moves with γ:
    PyBLP sets all of ∂ω/∂θ to zero there.
    """
    assert clipped_with_gamma(seed)
    here, there = solved(seed)
    drawn = draw_supply(seed)
    problem = build_there(drawn.specification)
    assert distance(here.objective, there.objective) <= TOLERANCE
    arguments = {**drawn.solution, **FIXED, "W": there.W, "method": "1s"}
    arguments |= {"initial_update": False, "check_optimality": "gradient"}
    step, ends = 1e-5, []
    for move in (step, -step):
        gamma = [*arguments["gamma"][:-1], arguments["gamma"][-1] + move]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ends.append(solve_there(problem, **{**arguments, "gamma": gamma}))
    difference = float(ends[0].objective - ends[1].objective) / (2 * step)
    assert distance(here.gradient[-1], [difference]) <= 1e-6
    assert distance(there.gradient[-1], [difference]) > 1e-4
