"""Inverses of covariances, singular ones included, and what follows from them."""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.errors import NumericalWarning
from blpdask.moments.variance import parameter_covariances, sigma_squared_errors
from blpdask.moments.weighting import invert_covariances


def test_a_singular_matrix_is_pseudo_inverted_with_a_warning():
    S = np.ones((2, 2))
    with pytest.warns(NumericalWarning, match="S is singular"):
        found = invert_covariances(S, "S")
    np.testing.assert_allclose(found, np.linalg.pinv(S))


def test_efficient_weights_simplify_the_sandwich():
    rng = np.random.default_rng(1)
    G, A = rng.normal(size=(6, 2)), rng.normal(size=(6, 6))
    S = A @ A.T
    W = np.linalg.inv(S)
    sandwich, sensitivity = parameter_covariances(G, W, S, unadjusted=False)
    bread, _ = parameter_covariances(G, W, S, unadjusted=True)
    np.testing.assert_allclose(sensitivity @ G, -np.eye(2), atol=1e-10)
    np.testing.assert_allclose(sandwich, bread, rtol=1e-8)


def test_sigma_squared_errors_equal_simulated_ones():
    sigma = np.array([[1.0, 0.0], [0.4, 0.8]])
    rows = [(0, 0), (1, 0), (1, 1)]
    A = np.random.default_rng(2).normal(size=(3, 3))
    V = A @ A.T
    n = 10_000_000
    found = sigma_squared_errors(sigma, V, rows, n)
    draws = np.random.default_rng(3).multivariate_normal(
        [1.0, 0.4, 0.8], V / n, size=200_000
    )
    L = np.zeros((200_000, 2, 2))
    L[:, 0, 0], L[:, 1, 0], L[:, 1, 1] = draws.T
    simulated = (L @ L.transpose(0, 2, 1)).std(axis=0)
    np.testing.assert_allclose(found, simulated, rtol=1e-2)
