"""The concentrated objective against plain formulas.

Invariants: q = N ḡ'W ḡ at the linear GMM estimate; q = r'r; gradient and residual
Jacobian equal finite differences; scaling only scales; a singular W still has a root.
"""

from __future__ import annotations

import numpy as np
import pytest

from blpdask.kernels.sums import accurate_product
from blpdask.moments.objective import (
    FurtherMoments,
    concentrate,
    gmm_point,
    prepare_linear_gmm,
)

N, M, K, P = 300, 7, 3, 2


@pytest.fixture
def sample():
    rng = np.random.default_rng(0)
    Z, X = rng.normal(size=(N, M)), rng.normal(size=(N, K))
    X[:, 0] += Z[:, 0]
    base, slopes, bend = (rng.normal(size=(N, d)) for d in (1, P, P))
    W = np.linalg.inv(Z.T @ Z / N)

    def delta(theta):
        return base[:, 0] + slopes @ theta + bend @ theta**2

    def delta_by_theta(theta):
        return slopes + 2 * bend * theta

    return Z, X, W, delta, delta_by_theta


def evaluate(sample, theta, *, concentrated=(True, True, True), beta=None, scale=True):
    Z, X, W, delta, delta_by_theta = sample
    flags = np.array(concentrated)
    linear = prepare_linear_gmm(
        ZtX=Z.T @ X, concentrated=flags, W=W, n_observations=N, scale_objective=scale
    )
    start = np.full((K, 1), np.nan) if beta is None else np.array(beta)[:, None]
    by_theta = np.hstack([delta_by_theta(theta[:P]), -X[:, ~flags]])
    Zty = Z.T @ delta(theta[:P])
    return gmm_point(linear, Zty, Z.T @ by_theta, concentrate(linear, Zty, start))


def test_objective_is_the_quadratic_form_at_the_linear_estimate(sample):
    Z, X, W, delta, _ = sample
    theta = np.array([0.3, -0.2])
    point = evaluate(sample, theta)
    XZ = X.T @ Z
    beta = np.linalg.solve(XZ @ W @ XZ.T, XZ @ W @ Z.T @ delta(theta))
    g = Z.T @ (delta(theta) - X @ beta) / N
    np.testing.assert_allclose(point.b[:, 0], beta, rtol=1e-12)
    np.testing.assert_allclose(point.moments, g, rtol=0, atol=1e-13)
    assert point.objective == pytest.approx(N * g @ W @ g, rel=1e-12)
    assert point.objective == pytest.approx(point.residual @ point.residual, rel=1e-14)


@pytest.mark.parametrize("in_theta", [False, True])
def test_derivatives_equal_finite_differences(sample, in_theta):
    flags = (True, not in_theta, True)
    theta = np.array([0.3, -0.2, *([0.7] if in_theta else [])])

    def at(values):
        beta = [np.nan, values[-1] if in_theta else np.nan, np.nan]
        return evaluate(sample, values, concentrated=flags, beta=beta)

    point, h = at(theta), 1e-6
    for p in range(theta.size):
        step = np.eye(theta.size)[p] * h
        up, down = at(theta + step), at(theta - step)
        slope = (up.objective - down.objective) / (2 * h)
        assert point.gradient[p] == pytest.approx(slope, rel=1e-7)
        column = (up.residual - down.residual) / (2 * h)
        np.testing.assert_allclose(point.residual_by_theta[:, p], column, atol=1e-7)
    twice = 2 * point.residual_by_theta.T @ point.residual
    np.testing.assert_allclose(point.gradient, twice, rtol=1e-10)


def test_scaling_only_scales(sample):
    theta = np.array([0.3, -0.2])
    scaled, plain = evaluate(sample, theta), evaluate(sample, theta, scale=False)
    assert scaled.objective == pytest.approx(N * plain.objective, rel=1e-13)
    np.testing.assert_allclose(scaled.gradient, N * plain.gradient, rtol=1e-12)


def test_a_singular_weighting_matrix_has_a_root(sample):
    Z, X, W, *rest = sample
    W = W.copy()
    W[-1], W[:, -1] = 0.0, 0.0
    point = evaluate((Z, X, W, *rest), np.array([0.3, -0.2]))
    expected = N * point.moments @ W @ point.moments
    assert point.objective == pytest.approx(expected, rel=1e-10)


def test_sums_keep_what_cancellation_would_take():
    rng = np.random.default_rng(1)
    Z = rng.normal(size=(1000, 5)) * 10.0 ** rng.integers(-3, 4, (1000, 5))
    v = rng.normal(size=1000) * 1e8
    Z = np.vstack([Z, -Z * (1 + 1e-9)])
    v = np.concatenate([v, v])
    exact = np.array([_exact_dot(Z[:, m], v) for m in range(5)])
    found = accurate_product(Z, v)
    np.testing.assert_allclose(found.astype(float), exact, rtol=1e-15)
    assert np.abs(Z.T @ v / exact - 1).max() > 1e-12


def _exact_dot(a, b):
    from fractions import Fraction

    return float(sum(Fraction(x) * Fraction(y) for x, y in zip(a, b, strict=True)))


def test_derivatives_with_further_moments_are_total(sample):
    """Moments that b̂ ignores, W across families: central differences, and q = r'r."""
    Z, X, W, delta, delta_by_theta = sample
    M, F = W.shape[0], 2
    rng = np.random.default_rng(5)
    root = rng.normal(size=(M + F, M + F))
    linear = prepare_linear_gmm(
        ZtX=Z.T @ X,
        concentrated=np.array([True, False, True]),
        W=root @ root.T,
        n_observations=N,
        scale_objective=True,
    )
    A, B = rng.normal(size=(F, P + 1)), rng.normal(size=(F, K))

    def point_at(theta):
        b = np.array([[np.nan], [theta[P]], [np.nan]])
        Zty = Z.T @ delta(theta[:P])
        b = concentrate(linear, Zty, b)
        further = FurtherMoments(
            values=np.sin(A @ theta) * (B @ b[:, 0]),
            by_theta=(
                (np.cos(A @ theta) * (B @ b[:, 0]))[:, None] * A
                + np.sin(A @ theta)[:, None] * np.c_[np.zeros((F, P)), B[:, 1]]
            ),
            by_b=np.sin(A @ theta)[:, None] * B,
        )
        by_theta = Z.T @ np.hstack([delta_by_theta(theta[:P]), -X[:, [1]]])
        return gmm_point(linear, Zty, by_theta, b, further)

    theta = np.array([0.3, -0.2, 0.7])
    point = point_at(theta)
    assert point.residual @ point.residual == pytest.approx(point.objective, rel=1e-14)
    step = 1e-6
    for p in range(P + 1):
        shift = step * np.eye(P + 1)[p]
        up, down = point_at(theta + shift), point_at(theta - shift)
        slope = (up.objective - down.objective) / (2 * step)
        assert point.gradient[p] == pytest.approx(slope, rel=1e-7)
        moved = (up.residual - down.residual) / (2 * step)
        np.testing.assert_allclose(
            point.residual_by_theta[:, p], moved, rtol=1e-6, atol=1e-7
        )
