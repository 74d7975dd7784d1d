"""Identification is told from the weighted Jacobian of moments.

References: regressions of one column on the others; eigenvalues of correlations of
columns; standard errors with and without the other parameters; collinear columns.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import blpdask
from blpdask.errors import BlpdaskError
from blpdask.results.identification import identification
from tests.api import nevo
from tests.references.specifications import quietly


@pytest.fixture(scope="module")
def results() -> blpdask.ProblemResults:
    with quietly():
        return nevo.problem(blpdask, 20).solve(
            nevo.SIGMA,
            nevo.PI,
            method="1s",
            optimization=blpdask.Optimization("return"),
            check_optimality="gradient",
        )


def test_inflation_is_one_over_one_minus_r_squared(
    results: blpdask.ProblemResults,
) -> None:
    found = results.compute_identification()
    columns = np.linalg.cholesky(results.W).T @ results.moments_jacobian
    for p, column in enumerate(columns.T):
        others = np.delete(columns, p, axis=1) / np.linalg.norm(
            np.delete(columns, p, axis=1), axis=0
        )
        left = column - others @ np.linalg.lstsq(others, column)[0]
        expected = (column @ column) / (left @ left)
        np.testing.assert_allclose(found.variance_inflation[p], expected, rtol=1e-6)
    assert found.labels == (*results.theta_labels, "prices")


def test_inflation_is_of_efficient_variances(results: blpdask.ProblemResults) -> None:
    """[(G'WG)⁻¹]_pp over 1 / [G'WG]_pp."""
    found = results.compute_identification()
    G, W = results.moments_jacobian, results.W
    information = G.T @ W @ G
    scale = np.sqrt(np.diag(information))
    correlations = information / np.outer(scale, scale)
    inflation = np.diag(np.linalg.inv(correlations))
    np.testing.assert_allclose(found.variance_inflation, inflation, rtol=1e-7)
    values, vectors = np.linalg.eigh(correlations)
    np.testing.assert_allclose(found.singular_values[::-1], np.sqrt(values), rtol=1e-7)
    np.testing.assert_allclose(abs(found.weakest_direction @ vectors[:, 0]), 1)
    condition = np.sqrt(values[-1] / values[0])
    np.testing.assert_allclose(found.condition_number, condition, rtol=1e-7)
    assert f"{condition:+.6E}" in str(found) and "14 of 14" in str(found)


def test_units_do_not_matter(results: blpdask.ProblemResults) -> None:
    G = results.moments_jacobian * 10.0 ** np.arange(-7, 7)
    scaled = identification(replace(results.estimates, moments_jacobian=G))
    found = results.compute_identification()
    np.testing.assert_allclose(scaled.singular_values, found.singular_values, 1e-9)
    np.testing.assert_allclose(
        scaled.variance_inflation, found.variance_inflation, rtol=1e-7
    )


def test_collinear_moments_do_not_identify(results: blpdask.ProblemResults) -> None:
    G = results.moments_jacobian.copy()
    G[:, 2] = 3 * G[:, 0]
    found = identification(replace(results.estimates, moments_jacobian=G))
    assert found.rank == 13 and found.condition_number == np.inf
    assert np.flatnonzero(np.isinf(found.variance_inflation)).tolist() == [0, 2]
    expected = np.zeros(14)
    expected[[0, 2]] = np.sqrt(0.5), -np.sqrt(0.5)
    np.testing.assert_allclose(
        found.weakest_direction * np.sign(found.weakest_direction[0]),
        expected,
        atol=1e-8,
    )


def test_a_jacobian_that_is_not_finite(results: blpdask.ProblemResults) -> None:
    G = np.full_like(results.moments_jacobian, np.nan)
    with pytest.raises(BlpdaskError, match="not finite"):
        identification(replace(results.estimates, moments_jacobian=G))
