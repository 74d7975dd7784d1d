"""Nevo's cereal demand gives the numbers that PyBLP gave, as written down.

At starting values to the digits that are written down; at optima to 1e-6 (objective),
1e-4 (θ: the surface is flat, its smallest curvature 1e-9 of its largest) and 1e-3
(standard errors).
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask.errors import NumericalWarning
from tests.references import numbers
from tests.references.numbers import Estimate, Reference
from tests.references.specifications import (
    FIXED,
    MONTE_CARLO,
    NEVO_PI_RESTRICTED,
    NEVO_SIGMA,
    NEVO_START,
    PRODUCT,
    build_here,
    distance,
    needs_nevo_data,
    nevo,
    nevo_logit,
    nevo_unobserved,
    solve_here,
)

pytestmark = needs_nevo_data

#: Nine digits are written down.
WRITTEN = 1e-8
OBJECTIVE, THETA, ERRORS = 1e-6, 1e-4, 1e-3
BFGS = ("bfgs", {"gtol": 1e-4})


@cache
def problem(name: str) -> blpdask.Problem:
    """Build a problem once."""
    specifications = {
        "logit": nevo_logit,
        "nevo": nevo,
        "monte carlo": lambda: nevo_unobserved(MONTE_CARLO),
        "product": lambda: nevo_unobserved(PRODUCT),
    }
    return build_here(specifications[name]())


def values(results: Any, estimates: tuple[Estimate, ...]) -> np.ndarray:
    """Read the estimates of a table, ``(P,)``."""
    return np.array([getattr(results, e.matrix)[e.row, e.column] for e in estimates])


def errors(results: Any, estimates: tuple[Estimate, ...]) -> np.ndarray:
    """Read the standard errors of a table, ``(P,)``."""
    return np.array(
        [getattr(results, f"{e.matrix}_se")[e.row, e.column] for e in estimates]
    )


def assert_reference(results: Any, reference: Reference, tolerance: float) -> None:
    """Compare parameters, standard errors and sums of squares, entry by entry."""
    table = reference.estimates
    written = np.array([e.value for e in table])
    written_errors = np.array([e.error for e in table])
    slack = tolerance * np.abs(written)
    assert (np.abs(values(results, table) - written) <= slack).all()
    gaps = np.abs(errors(results, table) / written_errors - 1)
    assert gaps.max() <= max(ERRORS * (tolerance > WRITTEN), WRITTEN)
    assert distance((results.delta**2).sum(), reference.delta_squares) <= tolerance
    assert distance((results.xi**2).sum(), reference.xi_squares) <= tolerance


@pytest.mark.parametrize(
    ("method", "reference"),
    [("1s", numbers.LOGIT_1S), ("2s", numbers.LOGIT_2S)],
    ids=["1s", "2s"],
)
def test_logit(method: str, reference: Reference) -> None:
    results = solve_here(problem("logit"), method=method)
    assert distance(results.objective, reference.objective) <= WRITTEN
    assert_reference(results, reference, WRITTEN)


@cache
def at_start() -> Any:
    """Evaluate Nevo's model at the starting values, once."""
    return solve_here(problem("nevo"), **NEVO_START, method="1s", **FIXED)


def test_objective_at_start() -> None:
    assert distance(at_start().objective, numbers.NEVO_START.objective) <= 1e-10


def test_parameters_errors_and_sums_at_start() -> None:
    assert_reference(at_start(), numbers.NEVO_START, WRITTEN)


def test_gradient_at_start() -> None:
    results = at_start()
    assert set(results.theta_labels) == set(numbers.NEVO_START_GRADIENT)
    written = [numbers.NEVO_START_GRADIENT[label] for label in results.theta_labels]
    np.testing.assert_allclose(results.gradient[:, 0], written, rtol=WRITTEN)


@pytest.mark.parametrize(
    ("method", "reference"),
    [("1s", numbers.NEVO_1S), ("2s", numbers.NEVO_2S)],
    ids=["1s", "2s"],
)
def test_random_coefficients(method: str, reference: Reference) -> None:
    results = solve_here(problem("nevo"), **NEVO_START, method=method)
    assert results.converged
    assert distance(results.objective, reference.objective) <= OBJECTIVE
    assert_reference(results, reference, THETA)
    smallest = results.reduced_hessian_eigenvalues.min()
    assert smallest > 0


def test_restricted_model() -> None:
    results = solve_here(
        problem("nevo"), sigma=NEVO_SIGMA, pi=NEVO_PI_RESTRICTED, method="1s"
    )
    reference = numbers.NEVO_RESTRICTED_1S
    assert results.converged
    assert distance(results.objective, reference.objective) <= OBJECTIVE
    assert_reference(results, reference, THETA)


@pytest.mark.parametrize("optimization", [None, BFGS], ids=["structured", "bfgs"])
@pytest.mark.parametrize(
    ("method", "reference"),
    [
        ("1s", numbers.MONTE_CARLO_DIAGONAL_1S),
        ("2s", numbers.MONTE_CARLO_DIAGONAL_2S),
    ],
    ids=["1s", "2s"],
)
def test_monte_carlo_diagonal(
    method: str, reference: Reference, optimization: Any
) -> None:
    results = solve_here(
        problem("monte carlo"),
        sigma=np.eye(4),
        method=method,
        optimization=optimization,
    )
    assert results.converged
    assert distance(results.objective, reference.objective) <= OBJECTIVE
    assert_reference(results, reference, THETA)


def test_monte_carlo_full() -> None:
    results = solve_here(
        problem("monte carlo"),
        sigma=np.ones((4, 4)),
        method="2s",
        optimization=BFGS,
    )
    reference = numbers.MONTE_CARLO_FULL_2S
    assert results.converged
    assert distance(results.objective, reference.objective) <= OBJECTIVE
    assert_reference(results, reference, THETA)


def test_monte_carlo_full_has_a_lower_minimum() -> None:
    """The default optimiser ends in another basin than BFGS, and a lower one.

    BFGS stops its first step at 167.7078, a local minimum; this one is 160.3503. Second
    steps are weighed by different first ones, and their values are not comparable.
    """
    start = {"sigma": np.ones((4, 4)), "method": "1s"}
    ours = solve_here(problem("monte carlo"), **start)
    theirs = solve_here(problem("monte carlo"), **start, optimization=BFGS)
    assert ours.converged
    assert float(theirs.objective) == pytest.approx(167.70776769261, rel=1e-8)
    assert float(ours.objective) == pytest.approx(160.35027398409, rel=1e-8)
    assert np.abs(ours.gradient).max() < 1e-3
    assert ours.reduced_hessian_eigenvalues.min() > 0


def solve_product(sigma: np.ndarray, method: str, optimization: Any) -> Any:
    """Solve with the product rule, where Σ = 0 makes standard errors meaningless."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the covariance matrix of the parameters")
        warnings.filterwarnings("ignore", "the optimiser did not converge")
        return solve_here(
            problem("product"), sigma=sigma, method=method, optimization=optimization
        )


@pytest.mark.parametrize("optimization", [None, BFGS], ids=["structured", "bfgs"])
@pytest.mark.parametrize(
    ("method", "reference", "logit"),
    [
        ("1s", numbers.PRODUCT_DIAGONAL_1S, numbers.LOGIT_1S),
        ("2s", numbers.PRODUCT_DIAGONAL_2S, numbers.LOGIT_2S),
    ],
    ids=["1s", "2s"],
)
def test_product_rule_diagonal_is_the_logit(
    method: str, reference: Reference, logit: Reference, optimization: Any
) -> None:
    results = solve_product(np.eye(4), method, optimization)
    assert distance(results.objective, reference.objective) <= OBJECTIVE
    assert distance(results.objective, logit.objective) <= OBJECTIVE
    assert np.abs(results.sigma).max() < 1e-5
    assert distance(results.beta, [[reference.estimates[-1].value]]) <= 1e-8
    assert distance((results.xi**2).sum(), reference.xi_squares) <= 1e-8


@pytest.mark.parametrize("optimization", [None, BFGS], ids=["structured", "bfgs"])
def test_product_rule_full(optimization: Any) -> None:
    """No worse than PyBLP; signs of Σ's columns mean nothing under a symmetric rule."""
    results = solve_product(np.ones((4, 4)), "2s", optimization)
    reference = numbers.PRODUCT_FULL_2S
    assert float(results.objective) <= reference.objective * (1 + OBJECTIVE)
    written = np.zeros((4, 4))
    for e in reference.estimates[:-1]:
        written[e.row, e.column] = e.value
    assert distance(results.sigma_squared, written @ written.T) <= 1e-3
    assert distance(results.beta, [[reference.estimates[-1].value]]) <= 1e-4


def test_product_rule_warns_that_its_errors_mean_nothing() -> None:
    with pytest.warns(NumericalWarning, match="covariance matrix of the parameters"):
        results = solve_here(
            problem("product"), sigma=np.eye(4), method="1s", optimization=BFGS
        )
    written = np.array([e.error for e in numbers.PRODUCT_DIAGONAL_1S.estimates])
    assert written[:-1].min() > 1e4
    assert not (errors(results, numbers.PRODUCT_DIAGONAL_1S.estimates)[:-1] < 1e4).any()
