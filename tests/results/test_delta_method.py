"""Functions of parameters have the errors that calculus gives them.

References: the analytic errors of ΣΣ'; linear functions, where Cov = R V R' / N; ratios
in closed form; the Wald statistic of results.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import blpdask
from blpdask.errors import BlpdaskError, InputError, NumericalWarning
from blpdask.results.parameter_places import parameter_places
from tests.api import nevo
from tests.references.drawn_supply import draw_supply
from tests.references.specifications import FIXED, build_here, quietly, solve_here


@pytest.fixture(scope="module")
def results() -> blpdask.ProblemResults:
    """Nevo's model in twenty markets, Σ with an entry off the diagonal."""
    sigma = nevo.SIGMA.copy()
    sigma[1, 0] = 0.5
    with quietly():
        return nevo.problem(blpdask, 20).solve(
            sigma,
            nevo.PI,
            method="1s",
            optimization=blpdask.Optimization("return"),
            check_optimality="gradient",
        )


@pytest.fixture(scope="module")
def logit() -> blpdask.ProblemResults:
    with quietly():
        return blpdask.Problem(
            blpdask.Formulation("1 + prices + sugar"), nevo.tables()[0]
        ).solve(beta=[None, -9.0, None], method="2s")


def covariances(results: Any) -> np.ndarray:
    return np.asarray(results.parameter_covariances / results.problem.N)


def test_all_parameters_in_order(results: blpdask.ProblemResults) -> None:
    """Where f gives all of them, F is the identity."""

    def stack(p: Any) -> Any:
        rows, columns = np.nonzero(nevo.PI)
        sigma = p.sigma[[0, 1, 1, 2, 3], [0, 0, 1, 2, 3]]
        return np.r_[sigma, p.pi[rows, columns], p.beta[:, 0]]

    found = results.delta_method(stack)
    np.testing.assert_array_equal(found.value, results.parameters[:, 0])
    np.testing.assert_allclose(found.jacobian, np.eye(found.value.size), atol=1e-10)
    gap = np.linalg.norm(found.covariances - covariances(results))
    assert gap < 1e-9 * np.linalg.norm(covariances(results))
    errors = [*results.sigma_se[np.tril_indices(4)], *results.pi_se.ravel()]
    errors = [e for e in [*errors, *results.beta_se[:, 0]] if not np.isnan(e)]
    np.testing.assert_allclose(found.standard_errors, errors, rtol=1e-8)


def test_the_variance_of_tastes(results: blpdask.ProblemResults) -> None:
    found = results.delta_method(lambda p: p.sigma_squared)
    assert found.value.shape == found.standard_errors.shape == (4, 4)
    np.testing.assert_allclose(found.value, results.sigma_squared, rtol=1e-14)
    expected = results.sigma_squared_se
    np.testing.assert_allclose(found.standard_errors, expected, rtol=1e-8, atol=1e-12)
    assert found.standard_errors[1, 0] > 0


def test_linear_functions(results: blpdask.ProblemResults) -> None:
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, 4, 4)), rng.normal(size=(3, 4, 4)), rng.normal(size=3)

    def function(p: Any) -> Any:
        return (a * p.sigma + b * p.pi).sum(axis=(1, 2)) + c * p.beta[0, 0]

    R = np.array(
        [
            [
                a[i][p.row, p.column] if p.matrix == "sigma" else b[i][p.row, p.column]
                for p in parameter_places(results.estimates)[:-1]
            ]
            + [c[i]]
            for i in range(3)
        ]
    )
    found = results.delta_method(function)
    np.testing.assert_allclose(found.jacobian, R, rtol=1e-8, atol=1e-9)
    expected = R @ covariances(results) @ R.T
    np.testing.assert_allclose(found.covariances, expected, rtol=1e-8)
    wald = results.run_wald_test(function(results) - 1, R)
    np.testing.assert_allclose(found.wald_test(1.0), wald, rtol=1e-7)
    assert found.wald_test(1.0).dof == 3


def test_a_ratio_of_parameters_in_theta_and_outside(
    logit: blpdask.ProblemResults,
) -> None:
    """Var(-β/α) = (V_ββ - 2w V_αβ + w² V_αα) / α², w = β/α; α is in θ."""
    found = logit.delta_method(lambda p: -p.beta[2, 0] / p.beta[1, 0])
    assert [p.row for p in parameter_places(logit.estimates)] == [1, 0, 2]
    V, alpha, beta = covariances(logit), logit.beta[1, 0], logit.beta[2, 0]
    w = beta / alpha
    variance = (V[2, 2] - 2 * w * V[0, 2] + w**2 * V[0, 0]) / alpha**2
    np.testing.assert_allclose(found.standard_errors, np.sqrt(variance), rtol=1e-8)
    np.testing.assert_allclose(found.value, -w, rtol=1e-15)
    assert f"({found.standard_errors:+.6E})" in str(found)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_curved_functions_at_any_scale(
    logit: blpdask.ProblemResults, scale: float
) -> None:
    alpha = logit.beta[1, 0]
    found = logit.delta_method(
        lambda p: scale * np.exp(p.beta[1, 0] / 10) + np.log(-p.beta[1, 0])
    )
    expected = scale * np.exp(alpha / 10) / 10 + 1 / alpha
    np.testing.assert_allclose(found.jacobian[0, 0], expected, rtol=1e-8)
    assert not found.jacobian[0, 1:].any()


def test_a_kink_is_said(logit: blpdask.ProblemResults) -> None:
    at = logit.beta[1, 0] * (1 + 1e-4)
    with pytest.warns(NumericalWarning, match="do not settle in 1 of its 2"):
        logit.delta_method(
            lambda p: [abs(p.beta[1, 0] - at), p.beta[1, 0]],
        )


def test_what_is_no_number_is_said(logit: blpdask.ProblemResults) -> None:
    with pytest.raises(InputError, match="1 NaN or infinite numbers"):
        logit.delta_method(lambda p: [1.0, p.beta[0, 0] * np.nan])
    with pytest.raises(InputError, match="gives str"):
        logit.delta_method(lambda p: "beta")
    with pytest.raises(InputError, match="a function of results"):
        logit.delta_method(3)
    twice = logit.delta_method(lambda p: [p.beta[1, 0], 2 * p.beta[1, 0]])
    with pytest.raises(InputError, match="singular covariances of 2 numbers"):
        twice.wald_test()


@pytest.mark.parametrize("seed", range(8))
def test_places_with_a_supply_side(seed: int) -> None:
    """γ in θ or concentrated out stands where its errors say."""
    drawn = draw_supply(seed)
    solution = {**drawn.solution, "check_optimality": "gradient", **FIXED}
    results = solve_here(build_here(drawn.specification), **solution)
    places = parameter_places(results.estimates)
    assert len(places) == results.parameters.size
    errors = np.sqrt(np.diag(covariances(results)))
    found = [getattr(results, f"{p.matrix}_se")[p.row, p.column] for p in places]
    np.testing.assert_allclose(found, errors, rtol=1e-10)
    gamma = results.delta_method(lambda p: p.gamma[:, 0] ** 2)
    expected = 2 * np.abs(results.gamma[:, 0]) * results.gamma_se[:, 0]
    np.testing.assert_allclose(gamma.standard_errors, expected, rtol=1e-7)


def test_parameters_that_are_not_where_they_should_be(
    logit: blpdask.ProblemResults,
) -> None:
    wrong = replace(logit.estimates, beta=logit.beta[::-1])
    with pytest.raises(BlpdaskError, match="not the 3 parameters"):
        parameter_places(wrong)
