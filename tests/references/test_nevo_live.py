"""Nevo's cereal demand gives what the installed PyBLP gives, at one θ and one W.

Tolerance 1e-8 in norm. What needs more evaluations than one in PyBLP is marked slow.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.references.specifications import (
    FIXED,
    MONTE_CARLO,
    NEVO_START,
    PRODUCT,
    build_here,
    build_there,
    distance,
    nevo,
    nevo_unobserved,
    solve_here,
    solve_there,
)

pyblp = pytest.importorskip("pyblp")

TOLERANCE = 1e-8
KINDS = ("robust", "unadjusted", "clustered")
ATTRIBUTES = (
    "objective",
    "gradient",
    "delta",
    "xi",
    "xi_fe",
    "moments",
    "moments_jacobian",
    "moments_covariances",
    "W",
    "updated_W",
    "beta",
    "parameters",
    "parameter_covariances",
    "parameter_sensitivity",
    "sigma_se",
    "sigma_squared_se",
    "pi_se",
    "beta_se",
    "xi_by_theta_jacobian",
)


@cache
def problems() -> tuple[Any, Any]:
    """Build Nevo's model in both packages, once, clustered by product."""
    specification = nevo()
    products = specification.products
    products = products.assign(clustering_ids=products["product_ids"])
    clustered = type(specification)(
        products,
        specification.linear,
        specification.absorb,
        random=specification.random,
        agents=specification.agents,
        demographics=specification.demographics,
    )
    return build_here(clustered), build_there(clustered)


def gaps(arguments: dict[str, Any]) -> dict[str, float]:
    """Solve in both packages and measure every attribute that misses the tolerance."""
    here, there = problems()
    full = {**NEVO_START, "check_optimality": "gradient", **FIXED, **arguments}
    ours, theirs = solve_here(here, **full), solve_there(there, **full)
    found = {n: distance(getattr(ours, n), getattr(theirs, n)) for n in ATTRIBUTES}
    return {name: gap for name, gap in found.items() if not gap <= TOLERANCE}


@pytest.mark.parametrize("center", [True, False], ids=["centred", "not centred"])
@pytest.mark.parametrize("kind", KINDS)
def test_covariances_and_errors_of_every_kind(kind: str, center: bool) -> None:
    choices = {"W_type": kind, "se_type": kind, "center_moments": center}
    assert not gaps({"method": "1s", **choices})


def test_two_steps_with_an_update_first() -> None:
    assert not gaps({"method": "2s", "initial_update": True})


def test_unscaled_objective() -> None:
    assert not gaps({"method": "1s", "scale_objective": False})


def test_price_coefficient_in_theta() -> None:
    assert not gaps({"method": "1s", "beta": [-28.0]})


def test_other_ways_to_the_fixed_point() -> None:
    """PyBLP's other fixed points are one here."""
    for fp_type in ("linear", "nonlinear", "safe_nonlinear"):
        assert not gaps({"method": "1s", "fp_type": fp_type}), fp_type


def test_mixed_covariance_types() -> None:
    assert not gaps({"method": "2s", "W_type": "unadjusted", "se_type": "robust"})


@pytest.mark.slow
def test_hessian() -> None:
    """Both differentiate gradients numerically, with steps of 1.5e-8."""
    here, there = problems()
    arguments = {**NEVO_START, "method": "1s", **FIXED}
    ours, theirs = solve_here(here, **arguments), solve_there(there, **arguments)
    assert distance(ours.hessian, theirs.hessian) <= 1e-6


@pytest.mark.slow
def test_optimised_values() -> None:
    """Each package's two steps from the same start, PyBLP's polished."""
    here, there = problems()
    arguments = {**NEVO_START, "method": "2s", "check_optimality": "gradient"}
    ours = solve_here(here, **arguments)
    theirs = solve_there(there, **arguments, optimization=("bfgs", {"gtol": 1e-6}))
    assert distance(ours.objective, theirs.objective) <= 1e-6
    assert distance(ours.theta, theirs.theta) <= 1e-4
    assert distance(ours.parameters, theirs.parameters) <= 1e-4


@pytest.mark.parametrize(
    "rule",
    [MONTE_CARLO, PRODUCT, ("halton", 40, {"seed": 1}), ("mlhs", 30, {"seed": 2})],
    ids=lambda rule: rule[0],
)
def test_integration_rules(rule: tuple[str, int, dict[str, Any] | None]) -> None:
    specification = nevo_unobserved(rule)
    here, there = build_here(specification), build_there(specification)
    assert distance(here.agents.nodes, there.agents.nodes) <= 1e-14
    assert distance(here.agents.weights, there.agents.weights) <= 1e-13
    np.testing.assert_array_equal(here.agents.market_ids, there.agents.market_ids)
    arguments = {
        "sigma": np.array(
            [[0.5, 0, 0, 0], [0.2, 2, 0, 0], [0, 0.03, 0.05, 0], [0.1, 0, 0, 0.4]]
        ),
        "method": "1s",
        "check_optimality": "gradient",
        **FIXED,
    }
    ours, theirs = solve_here(here, **arguments), solve_there(there, **arguments)
    for name in ("objective", "gradient", "delta", "xi", "sigma_se", "beta_se"):
        gap = distance(getattr(ours, name), getattr(theirs, name))
        assert gap <= TOLERANCE, name
