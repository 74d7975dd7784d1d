"""Sensitivities of estimates whose linear part ignores moments, by perturbing moments.

The toy: linear moments Z'(y(θ) - X b) / N and further ones that move with θ and b, all
zero at the truth. Shifting a moment by ε moves the estimates, found by Newton steps on
the estimator's own equations, by Λ ε.
"""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.moments.ignored_moments import (
    ignores_moments,
    ignoring_sensitivity,
    projected_statistic,
    sandwich,
)
from blpdask.moments.objective import (
    FurtherMoments,
    concentrate,
    gmm_point,
    prepare_linear_gmm,
)
from blpdask.moments.variance import parameter_covariances

N = 200
THETA, B = np.array([0.4, -0.3]), np.array([1.0, 0.5, -0.7])


class Toy:
    """A problem whose moments are zero at (THETA, B)."""

    def __init__(self, M: int, F: int, seed: int = 0) -> None:
        """Draw M linear instruments and F further moments."""
        rng = np.random.default_rng(seed)
        self.Z = rng.normal(size=(N, M))
        self.X = rng.normal(size=(N, 3)) + 0.5 * self.Z[:, :3]
        self.base = rng.normal(size=(N, 2)) + self.Z[:, -2:]
        self.A, self.C = rng.normal(size=(F, 2)), rng.normal(size=(F, 3))
        root = rng.normal(size=(M + F, M + F))
        self.linear = prepare_linear_gmm(
            ZtX=self.Z.T @ self.X,
            concentrated=np.ones(3, np.bool_),
            W=root @ root.T / len(root),
            n_observations=N,
            scale_objective=False,
        )

    def y(self, theta):
        """Give y with Z'(y - X B) = 0 at THETA."""
        return self.X @ B + self.base @ (np.sin(theta) - np.sin(THETA))

    def point(self, theta, shift):
        """Evaluate the objective with moments shifted."""
        M = self.Z.shape[1]
        Zty = self.Z.T @ self.y(theta) + N * shift[:M]
        b = concentrate(self.linear, Zty, np.full((3, 1), np.nan))
        by_theta = self.Z.T @ (self.base * np.cos(theta))
        product = (self.A @ (theta - THETA) + 1) * (self.C @ (b[:, 0] - B) + 1)
        further = FurtherMoments(
            values=product - 1 + shift[M:],
            by_theta=self.A * (self.C @ (b[:, 0] - B) + 1)[:, None],
            by_b=self.C * (self.A @ (theta - THETA) + 1)[:, None],
        )
        return gmm_point(self.linear, Zty, by_theta, b, further)

    def estimate(self, shift):
        """Find ψ̂ by Gauss-Newton, whose steps are exact where moments are zero."""
        theta = THETA.copy()
        for _ in range(60):
            point = self.point(theta, shift)
            J, r = point.residual_by_theta, point.residual
            theta = theta - np.linalg.lstsq(J, r, rcond=None)[0]
        return np.r_[theta, point.b[:, 0]]


@pytest.mark.parametrize(("M", "F"), [(6, 2), (5, 1), (3, 2)])
def test_sensitivity_is_the_derivative_of_the_estimates(M, F):
    toy = Toy(M, F)
    point = toy.point(THETA, np.zeros(M + F))
    assert np.abs(point.moments).max() < 1e-14
    assert ignores_moments(point, M)
    found = ignoring_sensitivity(toy.linear, point)
    step = 1e-6
    for m in range(M + F):
        shift = step * np.eye(M + F)[m]
        moved = (toy.estimate(shift) - toy.estimate(-shift)) / (2 * step)
        np.testing.assert_allclose(found[:, m], moved, rtol=1e-6, atol=1e-7)
    G = np.hstack([point.moments_by_theta, point.moments_by_b])
    np.testing.assert_allclose(found @ G, -np.eye(5), atol=1e-10)
    _, usual = parameter_covariances(G, toy.linear.W, np.eye(M + F), unadjusted=True)
    if M + F == 5:
        np.testing.assert_allclose(found, usual, rtol=1e-9)
    else:
        assert np.linalg.norm(found - usual) > 0.1 * np.linalg.norm(found)


def test_nothing_is_ignored_where_no_further_moment_moves_with_b():
    """With W in blocks, the usual formula: b̂ minimises the objective given θ."""
    toy = Toy(6, 2)
    toy.C[:] = 0.0
    W = toy.linear.W.copy()
    W[:6, 6:] = W[6:, :6] = 0.0
    toy.linear = prepare_linear_gmm(
        ZtX=toy.Z.T @ toy.X,
        concentrated=np.ones(3, np.bool_),
        W=W,
        n_observations=N,
        scale_objective=False,
    )
    point = toy.point(THETA, np.zeros(8))
    assert not ignores_moments(point, 6)
    G = np.hstack([point.moments_by_theta, point.moments_by_b])
    _, usual = parameter_covariances(G, W, np.eye(8), unadjusted=True)
    found = ignoring_sensitivity(toy.linear, point)
    np.testing.assert_allclose(found, usual, rtol=1e-8, atol=1e-11)


def test_projected_statistic_is_chi_squared_and_hansens_where_w_is_efficient():
    toy = Toy(6, 2, seed=3)
    point = toy.point(THETA, np.zeros(8))
    G = np.hstack([point.moments_by_theta, point.moments_by_b])
    rng = np.random.default_rng(1)
    root = rng.normal(size=(8, 8))
    S = root @ root.T
    sensitivity = ignoring_sensitivity(toy.linear, point)
    draws = rng.normal(size=(20000, 8)) @ root.T
    left = draws @ (np.eye(8) + G @ sensitivity).T
    J = np.array([projected_statistic(g, G, sensitivity, S) for g in left[:4000]])
    assert J.mean() == pytest.approx(3.0, abs=4 * np.sqrt(6 / 4000))
    assert J.var() == pytest.approx(6.0, rel=0.15)
    W = np.linalg.inv(S)
    _, efficient = parameter_covariances(G, W, S, unadjusted=False)
    g = draws[0] + G @ efficient @ draws[0]
    usual = float(g @ W @ g)
    assert projected_statistic(g, G, efficient, S) == pytest.approx(usual, rel=1e-9)
    empirical = np.cov((draws @ sensitivity.T).T)
    expected = sandwich(sensitivity, S)
    assert np.linalg.norm(empirical - expected) < 0.05 * np.linalg.norm(expected)
