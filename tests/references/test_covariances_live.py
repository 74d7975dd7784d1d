"""Covariance moments are the installed PyBLP's, at one θ and one W.

Tolerance 1e-8 in norm. PyBLP differentiates the covariance moments in total, β̂ and γ̂
moving with θ, and takes those derivatives for its Jacobian of moments by (θ, β, γ): its
standard errors are those of β̂ - ∂β̂/∂θ θ̂, of an estimator whose β̂ and γ̂ minimise the
whole objective, which they do not. What it computes is computed here from S and ∂ḡ/∂ψ
and compared with it; what is right is checked in
:mod:`tests.moments.test_ignored_moments` and :mod:`tests.recovery.test_covariances`.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.references.drawn_covariances import DrawnCovariances, draw_covariances
from tests.references.specifications import (
    FIXED,
    build_here,
    build_there,
    distance,
    solve_here,
    solve_there,
)
from tests.references.test_drawn_problems_live import TOLERANCE

pyblp = pytest.importorskip("pyblp")

#: Seeds, and whether there are nests; those of nests are ones with a supply side.
CASES = (*((s, False) for s in range(16)), *((s, True) for s in (0, 1, 5, 7, 10)))
ATTRIBUTES = (
    *("objective", "delta", "xi", "xi_fe", "tilde_costs", "omega", "omega_fe"),
    *("beta", "gamma", "moments", "moments_covariances", "W", "updated_W"),
)
FEATURES = frozenset(
    {
        *(f"MC={MC}" for MC in (1, 2, 3)),
        *(f"mean={mean}" for mean in (0, 0.3)),
        *("effects=(None, None)", "effects=(None, 1)", "effects=(1, None)"),
        *("effects=(2, None)", "effects=(1, 2)", "effects=(2, 2)"),
        *(f"costs_type={kind}" for kind in ("linear", "log")),
        *(f"W_type={kind}" for kind in ("robust", "unadjusted", "clustered")),
        *(f"se_type={kind}" for kind in ("robust", "unadjusted", "clustered")),
        *(f"method={method}" for method in ("1s", "2s")),
        *("gamma in theta", "nested logit", "nests", "rho one", "rho each"),
    }
)


@cache
def solved(seed: int, nests: bool) -> tuple[DrawnCovariances, Any, Any]:
    """Evaluate the problem of a seed in both packages."""
    drawn = draw_covariances(seed, nests=nests)
    here, there = build_here(drawn.specification), build_there(drawn.specification)
    arguments = {**drawn.solution, **FIXED}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return drawn, solve_here(here, **arguments), solve_there(there, **arguments)


def pyblp_is_wrong(seed: int, nests: bool) -> bool:
    """Tell whether γ is in θ while costs are at their bounds: its ∂ω/∂γ is zero."""
    drawn, here, _ = solved(seed, nests)
    return "gamma" in drawn.solution and bool(here.clipped_costs.any())


def total_jacobian(results: Any) -> np.ndarray:
    """Give (dḡ/dθ, ∂ḡ/∂b): the former total, b̂ of linear moments moving with θ."""
    n, P = results.moments.size - results.problem.MC, results.theta.size
    G, W = results.moments_jacobian, results.W[:n, :n]
    G_b = G[:n, P:]
    b_by_theta = -np.linalg.pinv(G_b.T @ W @ G_b, hermitian=True) @ G_b.T @ W @ G[:n]
    return np.c_[G[:, :P] + G[:, P:] @ b_by_theta[:, :P], G[:, P:]]


def test_the_draws_cross_every_feature() -> None:
    crossed = frozenset().union(
        *(draw_covariances(seed, nests=nests).features for seed, nests in CASES)
    )
    assert crossed >= FEATURES, FEATURES - crossed


@pytest.mark.parametrize(("seed", "nests"), CASES)
def test_everything_at_one_theta(seed: int, nests: bool) -> None:
    _, here, there = solved(seed, nests)
    names = [*ATTRIBUTES]
    if not pyblp_is_wrong(seed, nests):
        names += ["gradient", "projected_gradient"]
    gaps = {n: distance(getattr(here, n), getattr(there, n)) for n in names}
    assert not {name: gap for name, gap in gaps.items() if not gap <= TOLERANCE}
    assert here.problem.MC == there.problem.MC > 0
    assert distance(here.problem.products.ZC, there.problem.products.ZC) == 0


@pytest.mark.parametrize(("seed", "nests"), CASES)
def test_every_step_is_the_same(seed: int, nests: bool) -> None:
    _, here, there = solved(seed, nests)
    while here is not None:
        assert distance(here.objective, there.objective) <= TOLERANCE
        assert distance(here.W, there.W) <= TOLERANCE
        assert distance(here.updated_W, there.updated_W) <= TOLERANCE
        here, there = here.last_results, there.last_results
    assert there is None


@pytest.mark.parametrize(("seed", "nests"), CASES)
def test_what_pyblp_makes_of_the_same_jacobian(seed: int, nests: bool) -> None:
    """Its moments_jacobian and covariances follow from ours, which they are not."""
    if pyblp_is_wrong(seed, nests):
        pytest.skip("PyBLP's derivatives by gamma are wrong where costs are clipped")
    drawn, here, there = solved(seed, nests)
    G = total_jacobian(here)
    assert distance(G, there.moments_jacobian) <= TOLERANCE
    S, W = here.moments_covariances, here.W
    unadjusted = drawn.solution.get("se_type") == "unadjusted"
    if unadjusted and here.step == 1:
        W = np.linalg.inv(S)
    bread = np.linalg.inv(G.T @ W @ G)
    V = bread if unadjusted else bread @ G.T @ W @ S @ W @ G @ bread
    assert distance(V, there.parameter_covariances) <= TOLERANCE
    assert distance(here.beta_se, there.beta_se) > 1e-2
