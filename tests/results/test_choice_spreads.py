"""Spreads of tastes: by direct formulas, and errors by differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from blpdask.choice_records import MixedCoefficients
from blpdask.results.choice_spreads import compute_spreads, shown_signs

VARIANCES = {"normal": 1.0, "uniform": 1 / 3, "triangular": 1 / 6}


def case(correlated: bool) -> tuple[MixedCoefficients, Any, Any]:
    kinds = ("normal", "fixed", "uniform", "triangular")
    coefficients = MixedCoefficients(("a", "b", "c", "d"), kinds, correlated)
    rng = np.random.default_rng(0)
    theta = rng.normal(size=coefficients.size)
    root = rng.normal(size=(theta.size, theta.size))
    return coefficients, theta, root @ root.T


@pytest.mark.parametrize("correlated", [False, True])
def test_errors_are_those_of_differences(correlated: bool) -> None:
    coefficients, theta, V = case(correlated)

    def values(at: Any) -> Any:
        found = compute_spreads(coefficients, at, V)
        parts = (found.sigma, found.deviations, found.correlations)
        return np.concatenate([np.ravel(part) for part in parts])

    h = 1e-6
    steps = h * np.eye(theta.size)
    F = np.array([(values(theta + s) - values(theta - s)) / (2 * h) for s in steps]).T
    expected = np.sqrt(np.diag(F @ V @ F.T))
    found = compute_spreads(coefficients, theta, V)
    errors = (found.sigma_se, found.deviations_se, found.correlations_se)
    joined = np.concatenate([np.ravel(part) for part in errors])
    np.testing.assert_allclose(joined, expected, rtol=1e-6, atol=1e-8)
    assert found.labels == ("a", "c", "d")


def test_covariances_are_those_of_draws() -> None:
    coefficients, theta, V = case(correlated=True)
    rng = np.random.default_rng(1)
    n = 400_000
    z = np.column_stack(
        [rng.normal(size=n), rng.uniform(-1, 1, n), rng.triangular(-1, 0, 1, n)]
    )
    L = np.zeros((3, 3))
    L[np.tril_indices(3)] = theta[4:]
    found = compute_spreads(coefficients, theta, V)
    np.testing.assert_allclose(found.sigma, np.cov(z @ L.T, rowvar=False), rtol=0.03)
    np.testing.assert_allclose(found.deviations**2, np.diag(found.sigma), rtol=1e-12)


@pytest.mark.parametrize("correlated", [False, True])
def test_signs_leave_covariances_as_they_are(correlated: bool) -> None:
    coefficients, theta, V = case(correlated)
    signs = shown_signs(coefficients, theta)
    one = compute_spreads(coefficients, theta, V)
    other = compute_spreads(coefficients, signs * theta, V * np.outer(signs, signs))
    for name in ("sigma", "sigma_se", "correlations", "correlations_se"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name))
    diagonal = [
        value
        for (d, c), value in zip(coefficients.entries, (signs * theta)[4:], strict=True)
        if d == c
    ]
    assert min(diagonal) > 0


def test_no_spread_has_no_correlation() -> None:
    coefficients, theta, V = case(correlated=False)
    found = compute_spreads(coefficients, theta * 0.0, V)
    assert (found.sigma == 0).all() and np.isnan(found.correlations[0, 1])


def test_spreads_of_components_scales_and_exponential_coefficients() -> None:
    """What stands before L in θ, means and shifts, has no part in them."""
    coefficients = MixedCoefficients(
        ("a", "b", "c", "p"),
        ("component", "exponential", "truncated", "lognormal"),
        correlated=((0, 3),),
        demographics=("income",),
        shifted=((2, 0),),
        scale="scale",
    )
    assert coefficients.parameter_labels == (
        *("c", "p", "c:income", "chol.a:a", "mean.b", "sd.c", "chol.p:a"),
        *("chol.p:p", "sd.scale"),
    )
    theta = np.array([9.0, 9.0, 9.0, -2.0, -0.5, -0.7, 0.3, 0.4, -0.6])
    found = compute_spreads(coefficients, theta, np.diag(np.arange(9.0)))
    assert found.labels == ("a", "b", "c", "p", "scale")
    np.testing.assert_allclose(found.deviations, [2.0, 0.5, 0.7, 0.5, 0.6], rtol=1e-14)
    errors = np.sqrt([3.0, 4.0, 5.0, 0.36 * 6 + 0.64 * 7, 8.0])
    np.testing.assert_allclose(found.deviations_se, errors, rtol=1e-14)
    assert found.sigma[0, 3] == -0.6 and found.sigma[1, 0] == 0.0
    signs = [1, 1, 1, -1, 1, -1, -1, 1, -1]
    np.testing.assert_array_equal(shown_signs(coefficients, theta), signs)


def test_names_in_willingness_to_pay_space() -> None:
    coefficients = MixedCoefficients(
        ("-p", "b"),
        ("lognormal", "normal"),
        demographics=("income",),
        shifted=((1, 0),),
        scale="-p",
    )
    names = ("-p", "wtp.b", "wtp.b:income", "sd.-p", "sd.wtp.b")
    assert coefficients.parameter_labels == names
    found = compute_spreads(coefficients, np.ones(5), np.eye(5))
    assert found.labels == ("-p", "wtp.b")
