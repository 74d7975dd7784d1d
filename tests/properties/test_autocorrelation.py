"""What must hold of any problem with autocorrelated errors.

1. Gradients, Jacobians of moments and residuals, and Hessians are finite differences.
2. φ of zero and moments of levels are the problem without lags; innovations with φ of
   zero are levels with instruments of zero in first periods.
3. Plain logit at one φ is two-stage least squares of quasi-differenced rows.
4. Rows in another order, other cuts and other engines change nothing.
5. Differenced innovations do not see what is fixed about a chain of rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask.records import Floats
from tests.parity.test_engines import assert_same_bits
from tests.properties.test_gradient import TOLERANCE, base
from tests.references.drawn_lags import DrawnLags, draw_chains, draw_lags, moment_types
from tests.references.specifications import (
    Specification,
    build_here,
    distance,
    solve_here,
)

SEEDS = (0, 2, 3, 5, 8, 10, 15, 17, 20, 22)
STEP = 1e-4


@cache
def built(seed: int) -> tuple[DrawnLags, Any, dict[str, Any]]:
    """Build a drawn problem once, and say what its arguments are."""
    drawn = draw_lags(seed)
    problem = build_here(drawn.specification)
    arguments = {**base(drawn), **moment_types(drawn.types, problem)}
    arguments.pop("phi_bounds", None)
    arguments.pop("rho_bounds", None)
    arguments.pop("W_type"), arguments.pop("se_type")
    return drawn, problem, arguments


def solved(problem: Any, **arguments: Any) -> Any:
    """Solve where notes on costs out of bounds and on rounding are no matter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return solve_here(problem, **arguments)


def entries(arguments: dict[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    """List the free parameters in the order of θ."""
    found = []
    for name in ("sigma", "pi", "rho", "phi", "beta", "gamma"):
        values = arguments.get(name)
        if values is None:
            continue
        array = np.array(values, dtype=object)
        array = np.tril(array.astype(float)) if name == "sigma" else array
        found += [(name, at) for at in np.ndindex(array.shape) if array[at]]
    return found


def moved(arguments: dict[str, Any], entry: tuple[str, Any], by: float) -> Any:
    """Move one parameter."""
    name, at = entry
    array = np.array(arguments[name], dtype=object)
    array[at] += by
    return {**arguments, name: array.tolist()}


def differentiate(
    problem: Any, arguments: dict[str, Any], read: Callable[[Any], Floats]
) -> Floats:
    """Differentiate what is read from results, to fourth order, a column each."""
    columns = []
    for entry in entries(arguments):
        one, minus, two, minus_two = (
            read(solved(problem, **moved(arguments, entry, k * STEP)))
            for k in (1, -1, 2, -2)
        )
        columns.append((8 * (one - minus) - (two - minus_two)) / (12 * STEP))
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("seed", SEEDS)
def test_gradient(seed: int) -> None:
    _, problem, arguments = built(seed)
    gradient = solved(problem, **arguments).gradient[:, 0]
    expected = differentiate(problem, arguments, lambda r: r.objective)
    slack = TOLERANCE * np.abs(expected) + 1e-8 * np.linalg.norm(expected)
    assert (np.abs(gradient - expected) <= slack).all(), gradient / expected - 1


@pytest.mark.parametrize("seed", SEEDS)
def test_jacobian_of_moments(seed: int) -> None:
    """∂ḡ/∂(θ, b): linear parameters are held at their estimates while θ moves."""
    _, problem, arguments = built(seed)
    found = solved(problem, **arguments)
    arguments = {**arguments, "beta": found.beta[:, 0].tolist()}
    if found.gamma.size:
        arguments["gamma"] = found.gamma[:, 0].tolist()
    expected = differentiate(problem, arguments, lambda r: r.moments[:, 0])
    jacobian = solved(problem, **arguments).moments_jacobian
    assert distance(jacobian, expected) <= 1e-8


@pytest.mark.parametrize("seed", SEEDS)
def test_jacobian_of_residuals(seed: int) -> None:
    """∂r/∂θ with b concentrated out, which moves with φ as Z'X does."""
    _, problem, arguments = built(seed)
    seen: dict[str, Any] = {}

    def look(theta: Floats, bounds: Any, objective: Any, iterate: Any) -> Any:
        del bounds, iterate
        _, _, progress = objective(theta)
        seen.update(r=progress.residual, J=progress.residual_jacobian)
        return theta, True

    def read(results: Any) -> Floats:
        del results
        return np.array(seen["r"])

    arguments = {**arguments, "optimization": (look,)}
    solved(problem, **arguments)
    jacobian = np.array(seen["J"])
    expected = differentiate(problem, arguments, read)
    assert distance(jacobian, expected) <= 1e-7


@pytest.mark.parametrize("seed", (0, 5, 15))
def test_hessian_is_the_derivative_of_the_gradient(seed: int) -> None:
    _, problem, arguments = built(seed)
    expected = differentiate(problem, arguments, lambda r: r.gradient[:, 0])
    found = solved(problem, **{**arguments, "check_optimality": "both"})
    assert distance(found.hessian, expected) <= 1e-5


@pytest.mark.parametrize("seed", (3, 5, 10))
def test_finite_differences_option(seed: int) -> None:
    _, problem, arguments = built(seed)
    analytic = solved(problem, **arguments)
    numeric = solved(problem, **arguments, finite_differences=True)
    for name in ("gradient", "moments_jacobian"):
        gap = distance(getattr(numeric, name), getattr(analytic, name))
        assert gap <= TOLERANCE, (name, gap)


# Limits

LIMIT = ("objective", "gradient", "beta", "moments_covariances", "updated_W", "beta_se")


@pytest.mark.parametrize("seed", (0, 5))
def test_levels_and_no_phi_are_the_problem_without_lags(seed: int) -> None:
    drawn, problem, arguments = built(seed)
    for name in ("demand_moment_types", "supply_moment_types", "phi"):
        arguments = {k: v for k, v in arguments.items() if k != name}
    products = dict(drawn.specification.products)
    del products["lag_indices"]
    without = build_here(replace(drawn.specification, products=products))
    phi = np.zeros((1 + (problem.K3 > 0),) * 2)
    assert_same_bits_but_phi(
        solved(problem, **arguments, phi=phi), solved(without, **arguments)
    )


def assert_same_bits_but_phi(found: Any, expected: Any) -> None:
    for name in LIMIT:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert (found.phi == 0).all() and np.isnan(found.phi_se).all()


def test_innovations_without_phi_are_levels_after_first_periods() -> None:
    """Instruments of zero in first periods, and S of errors that are zero there."""
    drawn, problem, arguments = built(0)
    arguments = {**arguments, "W_type": "clustered", "se_type": "robust"}
    arguments |= {"phi": 0.0, "center_moments": False}
    table = dict(drawn.specification.products)
    lags = table.pop("lag_indices")
    later = (lags != np.arange(lags.size)).astype(float)
    Z = problem.products.ZD * later[:, None]
    table = {k: v for k, v in table.items() if "instruments" not in k}
    table |= {f"demand_instruments{m}": z for m, z in enumerate(Z.T)}
    options = {**drawn.specification.options, "add_exogenous": False}
    other = build_here(replace(drawn.specification, products=table, options=options))
    given = {k: v for k, v in arguments.items() if k not in ("phi",)}
    del given["demand_moment_types"]
    W = np.eye(problem.MD)
    found = solved(problem, **arguments, W=W)
    expected = solved(other, **given, W=W)
    for name in LIMIT:
        gap = distance(getattr(found, name), getattr(expected, name))
        assert gap <= 1e-10, (name, gap)


def logit_table(N: int = 240) -> dict[str, Any]:
    """Draw a plain logit's rows, chains of them fixed in part."""
    rng = np.random.default_rng(8)
    z = rng.normal(size=(N, 4))
    x = rng.normal(size=N)
    prices = z.sum(axis=1) / 4 + 0.5 * rng.normal(size=N) + 3
    return {
        "market_ids": np.repeat(np.arange(N // 4), 4),
        "shares": rng.uniform(0.02, 0.2, N),
        "prices": prices,
        "x": x,
        "lag_indices": draw_chains(rng, N),
        **{f"demand_instruments{m}": z[:, m] for m in range(4)},
    }


def test_plain_logit_is_least_squares_of_quasi_differences() -> None:
    """2SLS by hand, standard errors too, at φ that is held."""
    table, phi = logit_table(), 0.6
    problem = build_here(Specification(table, "0 + prices + x"))
    found = solve_here(
        problem,
        phi=phi,
        phi_bounds=(phi, phi),
        demand_moment_types="innovations",
        method="1s",
        center_moments=False,
    )
    lags = table["lag_indices"]
    later = lags != np.arange(lags.size)
    inside = np.bincount(table["market_ids"], table["shares"])
    delta = np.log(table["shares"]) - np.log(1 - inside)[table["market_ids"]]
    X = np.column_stack([table["prices"], table["x"]])
    Z = np.column_stack([*(table[f"demand_instruments{m}"] for m in range(4)), X[:, 1]])
    y, X = (np.where(later, a - phi * a[lags], 0.0) for a in (delta, *X.T)), None
    y, *columns = y
    X = np.column_stack(columns)
    W = np.linalg.inv(Z.T @ Z / lags.size)
    H = Z.T @ X
    b = np.linalg.solve(H.T @ W @ H, H.T @ W @ Z.T @ y)
    g = Z * (y - X @ b)[:, None]
    S, G = g.T @ g / lags.size, -H / lags.size
    bread = np.linalg.inv(G.T @ W @ G)
    V = bread @ G.T @ W @ S @ W @ G @ bread
    np.testing.assert_allclose(found.beta[:, 0], b, rtol=1e-10)
    se = np.sqrt(V.diagonal() / lags.size)
    np.testing.assert_allclose(found.beta_se[:, 0], se, rtol=1e-10)
    np.testing.assert_allclose(found.moments[:, 0], g.mean(axis=0), atol=1e-14)


def test_differences_do_not_see_what_is_fixed_about_a_chain() -> None:
    """A constant and a number a chain in δ move φ and β by nothing at all."""
    table = logit_table()
    lags = table["lag_indices"]
    first = np.arange(lags.size)
    for _ in range(10):
        first = lags[first]
    table["effect"] = 2.0 + np.random.default_rng(1).normal(size=lags.size)[first]
    problem = build_here(Specification(table, "0 + prices + x + effect"))
    names = problem.outline.ZD_names
    given = {
        "phi": 0.3,
        "demand_moment_types": "differenced_innovations",
        "W": np.diag([float(name != "effect") for name in names]),
        "method": "1s",
    }
    ends = []
    for held in (0.0, 1.0):
        bounds = [-9.0, -9.0, held], [9.0, 9.0, held]
        beta = [None, None, held]
        ends.append(solved(problem, **given, beta=beta, beta_bounds=bounds))
    assert distance(ends[1].phi, ends[0].phi) <= 1e-6
    assert distance(ends[1].beta[:2], ends[0].beta[:2]) <= 1e-6
    assert ends[0].phi[0, 0] != 0.3


# What must not matter

SAME = ("objective", "gradient", "beta", "gamma", "updated_W", "parameter_covariances")


@pytest.mark.parametrize("seed", (3, 5))
def test_rows_in_another_order(seed: int) -> None:
    drawn, problem, arguments = built(seed)
    table = drawn.specification.products
    N = table["prices"].size
    order = np.random.default_rng(seed).permutation(N)
    place = np.argsort(order)
    mixed = {name: np.asarray(column)[order] for name, column in table.items()}
    mixed["lag_indices"] = place[table["lag_indices"][order]]
    other = build_here(replace(drawn.specification, products=mixed))
    found, expected = solved(other, **arguments), solved(problem, **arguments)
    for name in SAME:
        gap = distance(getattr(found, name), getattr(expected, name))
        assert gap <= 1e-9, (name, gap)
    assert distance(found.xi, expected.xi[order]) <= 1e-11


@pytest.mark.parametrize("seed", (3, 5))
def test_engines_and_cuts(seed: int) -> None:
    _, problem, arguments = built(seed)
    one = solved(problem, **arguments, blocks=6, engine="serial")
    two = solved(problem, **arguments, blocks=6, engine="threads", threads=2)
    assert_same_bits(two, one)
    other = solved(problem, **arguments, blocks=1)
    for name in SAME:
        gap = distance(getattr(other, name), getattr(one, name))
        assert gap <= 1e-10, (name, gap)


def test_every_optimiser_ends_at_the_same_minimum() -> None:
    """With φ and β found together, from a start far from either."""
    problem = build_here(Specification(logit_table(), "1 + prices + x"))
    types = [("levels", 2), ("innovations", 2), ("differenced_innovations", 2)]
    given = {"phi": 0.1, "demand_moment_types": types, "method": "1s"}
    ends = [
        solve_here(problem, **given, optimization=(name, {"gtol": 1e-10}))
        for name in ("structured", "bfgs", "l-bfgs-b")
    ]
    for end in ends:
        assert end.converged and (end.reduced_hessian_eigenvalues > 0).all()
        assert distance(end.phi, ends[0].phi) <= 1e-6
        assert distance(end.beta, ends[0].beta) <= 1e-6
    assert isinstance(ends[0], blpdask.ProblemResults)
