"""What must hold of any problem with covariance moments.

1. Gradients are finite differences, with weights on the covariance moments alone, on
   all moments and across; so are the covariance rows of the Jacobian of moments.
2. The moments are means of (ξω - m) Z_C, and m moves them by means of Z_C.
3. Effects absorbed are dummies, on either side.
4. Without weight on covariance moments, estimates are those without such moments.
5. No engine, cut or recording changes a bit; a store has the numbers of memory.
6. Continuously updated weights: the gradient is that of the objective.
"""

from __future__ import annotations

import itertools
import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import scipy.linalg

from blpdask.driver.serial import SerialEngine
from blpdask.estimators.continuous_update import ContinuousUpdate
from blpdask.estimators.covariance_moments import covariance_moments
from blpdask.estimators.gmm import two_stage_weights
from blpdask.estimators.gmm_objective import GmmObjective
from blpdask.estimators.gmm_options import CostRule, GmmOptions
from blpdask.model.widened import widen
from blpdask.moments.objective import prepare_linear_gmm
from blpdask.progress import silent
from tests.api.test_stored_supply import as_tables, market_order, on_store
from tests.driver.clusters import cluster
from tests.parity.test_engines import assert_same_bits
from tests.properties.test_gradient import TOLERANCE, base, differentiate, entries
from tests.properties.test_supply import quietly_solved
from tests.references.drawn_covariances import DrawnCovariances, draw_covariances
from tests.references.specifications import FIXED, build_here, distance, solve_here

#: Effects on no side, either, both, one and two; costs in logs, at bounds; γ in θ.
SEEDS = (0, 1, 5, 6, 8, 11)
#: Of differences: small, for at seed 8 costs of a product are close to their bound.
STEP = 1e-5


@cache
def built(seed: int) -> tuple[DrawnCovariances, Any]:
    """Build a drawn problem once."""
    drawn = draw_covariances(seed)
    return drawn, build_here(drawn.specification)


def weights(problem: Any, kind: str) -> np.ndarray:
    """Make weights on covariance moments only, or on all and across."""
    n, MC = problem.MD + problem.MS, problem.MC
    rng = np.random.default_rng(5)
    root = rng.normal(size=(n + MC, n + MC))
    W = root @ root.T / len(root)
    if kind == "across":
        return W
    # Linear parameters need weights on their moments, which are zero to the others.
    return scipy.linalg.block_diag(1e-12 * W[:n, :n], W[n:, n:])


@pytest.mark.parametrize("kind", ["covariances", "across"])
@pytest.mark.parametrize("seed", SEEDS)
def test_gradient(seed: int, kind: str) -> None:
    drawn, problem = built(seed)
    arguments = {**base(drawn), "W": weights(problem, kind)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gradient = solve_here(problem, **arguments).gradient[:, 0]
        expected = differentiate(problem, arguments, lambda r: r.objective, STEP)
    slack = TOLERANCE * np.abs(expected) + 1e-8 * np.linalg.norm(expected)
    assert (np.abs(gradient - expected) <= slack).all(), gradient / expected - 1


@pytest.mark.parametrize("seed", SEEDS)
def test_jacobian_of_moments(seed: int) -> None:
    """∂ḡ/∂(θ, b): with all of b in θ, each column is a difference of moments."""
    drawn, problem = built(seed)
    arguments = base(drawn)
    found = quietly_solved(problem, **arguments)
    given = {
        **arguments,
        "beta": found.beta[:, 0].tolist(),
        "gamma": found.gamma[:, 0].tolist(),
    }
    columns = [_place(found, *entry) for entry in entries(given)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = differentiate(problem, given, lambda r: r.moments[:, 0], STEP)
    rows = slice(-problem.MC, None)
    jacobian = found.moments_jacobian[:, columns]
    assert distance(jacobian[rows], expected[rows]) <= TOLERANCE
    assert distance(jacobian, expected) <= TOLERANCE
    inside = quietly_solved(problem, **given).moments_jacobian
    assert distance(inside, jacobian) <= 1e-9


def _place(results: Any, name: str, row: int, column: int) -> int:
    """Give the place of a parameter in ``results.parameters``."""
    P, K1 = results.theta.size, results.beta.size
    if name in ("beta", "gamma"):
        flags = results.estimates.concentrated
        linear = row + (K1 if name == "gamma" else 0)
        if flags[linear]:
            return P + int(flags[:linear].sum())
        first = P - int((~flags).sum())
        return first + int((~flags[:linear]).sum())
    nonlinear = [
        (kind, int(r), int(c))
        for kind in ("sigma", "pi")
        for r, c in np.argwhere(getattr(results, kind) != 0)
    ]
    return nonlinear.index((name, row, column))


@pytest.mark.parametrize("seed", SEEDS)
def test_moments_are_means_of_products(seed: int) -> None:
    drawn, problem = built(seed)
    found = quietly_solved(problem, **base(drawn))
    ZC, m = problem.products.ZC, drawn.solution["covariance_moments_mean"]
    u = np.c_[found.xi * found.omega - m]
    values = found.moments[-problem.MC :, 0]
    assert distance(values, (u * ZC).mean(axis=0)) <= 1e-11
    moved = {**base(drawn), "covariance_moments_mean": m + 0.7}
    other = quietly_solved(problem, **moved).moments[-problem.MC :, 0]
    assert distance(other - values, -0.7 * ZC.mean(axis=0)) <= 1e-11
    W = problem.N * np.linalg.inv(ZC.T @ ZC)
    assert distance(found.W[-problem.MC :, -problem.MC :], W) <= 1e-9
    assert not found.W[: -problem.MC, -problem.MC :].any()


@pytest.mark.parametrize("absorb", ["C(product_ids)", "C(product_ids) + C(region)"])
@pytest.mark.parametrize("side", ["demand", "supply"])
def test_absorbed_effects_are_dummies(side: str, absorb: str) -> None:
    drawn, _ = built(4)
    exact = (None, {"tol": 1e-14})
    options = {**drawn.specification.options, "add_exogenous": True}
    specification = replace(
        drawn.specification,
        linear="1 + prices + x1",
        absorb=None,
        cost="1 + w1 + x1",
        cost_absorb=None,
        absorption=exact,
        cost_absorption=exact,
        options=options,
    )
    products = dict(specification.products)
    for name in [n for n in products if n.startswith(("demand_ins", "supply_ins"))]:
        if int(name.rsplit("instruments")[1]) >= 8:
            del products[name]
    specification = replace(specification, products=products)
    if side == "demand":
        one = replace(specification, linear="0 + prices + x1", absorb=absorb)
        other = replace(specification, linear=f"1 + prices + x1 + {absorb}")
        beta: tuple[Any, Any] = ([-1.1, None], [None, -1.1, None])
    else:
        one = replace(specification, cost="0 + w1 + x1", cost_absorb=absorb)
        other = replace(specification, cost=f"1 + w1 + x1 + {absorb}")
        beta = ([None, -1.1, None], [None, -1.1, None])
    arguments = {"sigma": drawn.solution["sigma"], "method": "1s", **FIXED}
    arguments |= {"pi": drawn.solution.get("pi"), "covariance_moments_mean": 0.2}
    absorbed = quietly_solved(build_here(one), **arguments, beta=beta[0])
    problem = build_here(other)
    K1 = problem.K1
    dummies = quietly_solved(
        problem, **arguments, beta=[*beta[1], *[None] * (K1 - len(beta[1]))]
    )
    for name in ("objective", "gradient", "omega", "xi"):
        gap = distance(getattr(absorbed, name), getattr(dummies, name))
        assert gap <= 1e-8, name
    MC = absorbed.problem.MC
    assert distance(absorbed.moments[-MC:], dummies.moments[-MC:]) <= 1e-8


def test_moments_without_weight_change_nothing() -> None:
    drawn, problem = built(6)
    arguments = {**base(drawn), "check_optimality": "both"}
    arguments.pop("covariance_moments_mean")
    products = dict(drawn.specification.products)
    for m in range(problem.MC):
        del products[f"covariance_instruments{m}"]
    alone = build_here(replace(drawn.specification, products=products))
    assert alone.MC == 0
    expected = quietly_solved(alone, **arguments)
    W = scipy.linalg.block_diag(expected.W, np.zeros((problem.MC, problem.MC)))
    found = quietly_solved(problem, **arguments, W=W)
    for name in ("objective", "gradient", "beta", "gamma", "parameter_covariances"):
        assert distance(getattr(found, name), getattr(expected, name)) <= 1e-8, name
    assert distance(found.hessian, expected.hessian) <= 1e-6
    both = quietly_solved(problem, **arguments)
    assert distance(both.beta, expected.beta) <= 1e-12
    n = expected.moments.size
    assert distance(both.moments[:n], expected.moments) <= 1e-12
    assert distance(both.moments_covariances[:n, :n], expected.moments_covariances) <= (
        1e-11
    )


@pytest.mark.parametrize("seed", [5, 6])
def test_the_residual_has_the_objective_and_the_gradient(seed: int) -> None:
    """What the optimiser steps by: q = r'r and ∂q/∂θ = 2 J'r."""
    drawn, problem = built(seed)
    seen: list[Any] = []
    W = weights(problem, "across")

    def look(start: Any, bounds: Any, function: Any, *_: Any) -> Any:
        value, gradient, progress = function(start)
        seen.append((value, gradient, progress))
        return start, True

    arguments = {**base(drawn), "W": W, "optimization": (look,)}
    quietly_solved(problem, **arguments)
    value, gradient, progress = seen[0]
    r, J = progress.residual, progress.residual_jacobian
    assert distance(r @ r, value) <= 1e-12
    assert distance(2 * J.T @ r, np.ravel(gradient)) <= 1e-10


@cache
def serial(seed: int) -> Any:
    """Estimate in two steps, serially, in five blocks."""
    drawn, problem = built(seed)
    arguments = {**drawn.solution, "method": "2s", "blocks": 5}
    return quietly_solved(problem, **arguments, engine="serial")


@pytest.mark.parametrize("seed", [5, 12])
def test_threads_have_the_bits_of_serial(seed: int) -> None:
    drawn, problem = built(seed)
    arguments = {**drawn.solution, "method": "2s", "blocks": 5}
    found = quietly_solved(problem, **arguments, engine="threads", threads=3)
    assert_same_bits(found, serial(seed))


def test_a_recorded_run_is_replayed(tmp_path: Any) -> None:
    drawn, problem = built(12)
    arguments = {**drawn.solution, "method": "2s", "blocks": 5}
    for _ in range(2):
        found = quietly_solved(problem, **arguments, resume=tmp_path / "run")
        assert_same_bits(found, serial(12))


@pytest.mark.slow
def test_a_cluster_has_the_bits_of_serial() -> None:
    """At the starting values: absorption takes many rounds of tasks."""
    drawn, problem = built(12)
    arguments = {**drawn.solution, **FIXED, "method": "2s", "blocks": 3}
    expected = quietly_solved(problem, **arguments, engine="serial")
    with cluster(2) as client:
        found = quietly_solved(problem, **arguments, engine=client)
    assert_same_bits(found, expected)


@pytest.mark.parametrize("seed", [4, 5, 6])
def test_a_store_has_the_numbers_of_memory(tmp_path: Any, seed: int) -> None:
    drawn, _ = built(seed)
    specification = as_tables(drawn.specification)
    arguments = {**drawn.solution, **FIXED}
    held = build_here(specification)
    expected = quietly_solved(held, **arguments)
    problem = on_store(specification, tmp_path / "s", blocks=3)
    assert str(problem) == str(held) and problem.MC == held.MC
    found = quietly_solved(problem, **arguments)
    for name in ("objective", "gradient", "moments", "updated_W", "beta_se", "W"):
        gap = distance(getattr(found, name), getattr(expected, name))
        assert gap <= 1e-9, (name, gap)
    order = market_order(specification)
    assert distance(found.omega, expected.omega[order]) <= 1e-10


class Continuous:
    """The continuously updated objective of a drawn problem, at ψ near its θ."""

    def __init__(self, seed: int, **choices: Any) -> None:
        """Lay ψ out, with b at its estimates."""
        drawn, problem = built(seed)
        solution = drawn.solution
        prepared = problem.prepare(SerialEngine(), silent, 3)
        parameters = problem.outline.lay_out(
            **{n: solution.get(n) for n in ("sigma", "pi", "beta", "gamma")},
            bounded=False,
            default_bounds=False,
        )
        at = quietly_solved(problem, **base(drawn))
        self.parameters = widen(parameters, np.vstack([at.beta, at.gamma])).parameters
        bounds = [b or np.nan for b in solution.get("costs_bounds") or (None, None)]
        low, high = np.where(np.isnan(bounds), [-np.inf, np.inf], bounds)
        options = GmmOptions(
            costs=CostRule(problem.costs_type == "log", float(low), float(high)),
            covariance_mean=0.2,
            **choices,
        )
        placement = SerialEngine().place(prepared.source)
        family = covariance_moments(prepared, placement, self.parameters, 0.2)
        self.objective = GmmObjective(
            placement=placement,
            parameters=self.parameters,
            linear=prepare_linear_gmm(
                ZtX=prepared.ZtX,
                concentrated=self.parameters.concentrated,
                W=scipy.linalg.block_diag(
                    two_stage_weights(prepared), family[0].initial_weights
                ),
                n_observations=prepared.n_products,
                scale_objective=True,
            ),
            options=options,
            anchor=None,
            origin=None,
            step=1,
            listener=silent,
            name_markets=str,
            reweight=ContinuousUpdate(prepared, placement, self.parameters, options),
            further=family,
        )


@pytest.mark.parametrize(
    ("seed", "W_type", "center"),
    [
        *itertools.product((0, 5), ("robust", "unadjusted", "clustered"), (True,)),
        *((seed, "robust", False) for seed in (6, 12)),
    ],
)
def test_continuously_updated_gradient(seed: int, W_type: str, center: bool) -> None:
    found = Continuous(seed, W_type=W_type, center_moments=center)
    psi = found.parameters.theta * 1.02
    at = found.objective(psi)
    assert at.residual is not None and at.residual_jacobian is not None
    assert distance(2 * at.residual_jacobian.T @ at.residual, at.gradient) <= 1e-10

    def slope(p: int, h: float) -> float:
        ends = []
        for move in (h, -h):
            shifted = psi + move * np.eye(psi.size)[p]
            ends.append(found.objective(shifted, derivatives=False).objective)
        return (ends[0] - ends[1]) / (2 * h)

    h = 2e-4
    differences = [(4 * slope(p, h / 2) - slope(p, h)) / 3 for p in range(psi.size)]
    gaps = np.abs(differences - at.gradient) / np.abs(at.gradient).max()
    assert gaps.max() < 1e-6
