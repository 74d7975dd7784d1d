"""The objective moves with φ as its derivatives say, with moments not linear in b too.

Sums of blocks are drawn here as any numbers: what becomes of them at φ is tested by
finite differences of fourth order.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from blpdask.estimators.autocorrelation import add_phi, moments_at
from blpdask.model.parameters import Parameters, expand, lay_out
from blpdask.moments.lags import Lags, Stacked
from blpdask.moments.objective import (
    FurtherMoments,
    GmmPoint,
    concentrate,
    gmm_point,
    prepare_linear_gmm,
)
from blpdask.moments.quasi_differences import QuasiDifferences, sums_to_moments

TYPES: tuple[Stacked, ...] = (
    (("levels", 2), ("innovations", 3)),
    (("differenced_innovations", 3), ("innovations", 2)),
)
PHI = np.array([[0.4, 0.2], [-0.3, 0.5]])
F = 2


def parameters() -> Parameters:
    """Lay out φ, with β of one column and γ of two concentrated out."""
    return lay_out(
        sigma=None,
        pi=None,
        phi=PHI,
        beta=None,
        gamma=None,
        sigma_bounds=None,
        pi_bounds=None,
        beta_bounds=None,
        types=(),
        n_node_columns=0,
        sigma_labels=(),
        pi_labels=(),
        beta_labels=("x",),
        gamma_labels=("1", "w"),
        lagged=True,
        bounded=False,
        default_bounds=False,
    )


def sums() -> tuple[QuasiDifferences, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    base, by_phi = sums_to_moments(TYPES)
    M, R = base.shape
    ZtX = rng.normal(size=(R, 3)).astype(np.longdouble)
    lags = Lags(np.arange(3))
    quasi = QuasiDifferences(base, by_phi, ZtX, lags, (), (), None)
    root = rng.normal(size=(M + F, M + F))
    return quasi, rng.normal(size=R).astype(np.longdouble), root @ root.T / M


def point(theta: np.ndarray, *, further: bool, scale: bool) -> GmmPoint:
    """Evaluate at φ, with moments sin(A b) + φ's sum that follow, or without."""
    layout, (quasi, Zty, W) = parameters(), sums()
    M = quasi.base.shape[0]
    linear = prepare_linear_gmm(
        ZtX=quasi.base @ quasi.ZtX,
        concentrated=layout.concentrated,
        W=W if further else W[:M, :M],
        n_observations=50,
        scale_objective=scale,
    )
    matrices = expand(layout, theta)
    slopes = np.zeros((Zty.size, theta.size))
    moved = moments_at(quasi, linear, matrices.phi, Zty, slopes)
    b = concentrate(moved.linear, moved.Zty, matrices.linear)
    by_theta, normal = add_phi(quasi, layout, moved, Zty, moved.Zty_by_theta, b)
    A = np.random.default_rng(3).normal(size=(F, 3))
    extra = FurtherMoments(
        np.sin(A @ b[:, 0]) + theta.sum(),
        np.ones((F, theta.size)),
        np.cos(A @ b[:, 0])[:, None] * A,
    )
    own: Any = extra if further else None
    return gmm_point(moved.linear, moved.Zty, by_theta, b, own, normal)


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("further", [False, True])
def test_derivatives_by_phi(further: bool, scale: bool) -> None:
    theta, step = parameters().theta, 1e-3
    assert theta.size == 4
    found = point(theta, further=further, scale=scale)
    for p in range(theta.size):
        one, minus, two, minus_two = (
            point(theta + k * step * np.eye(4)[p], further=further, scale=scale)
            for k in (1, -1, 2, -2)
        )

        def slope(name: str, ends: Any = (one, minus, two, minus_two)) -> Any:
            a, b, c, d = (getattr(end, name) for end in ends)
            return (8 * (a - b) - (c - d)) / (12 * step)

        np.testing.assert_allclose(found.gradient[p], slope("objective"), rtol=1e-8)
        np.testing.assert_allclose(
            found.residual_by_theta[:, p], slope("residual"), rtol=1e-7, atol=1e-8
        )
    assert found.objective == pytest.approx(found.residual @ found.residual, rel=1e-13)
    np.testing.assert_allclose(
        found.gradient, 2 * found.residual_by_theta.T @ found.residual, rtol=1e-9
    )


def test_nothing_moves_where_phi_is_held() -> None:
    layout = replace(parameters(), free=())
    quasi, Zty, W = sums()
    M = quasi.base.shape[0]
    linear = prepare_linear_gmm(
        ZtX=quasi.at(PHI) @ quasi.ZtX,
        concentrated=layout.concentrated,
        W=W[:M, :M],
        n_observations=50,
        scale_objective=True,
    )
    moved = moments_at(quasi, linear, PHI, Zty, np.zeros((Zty.size, 0)))
    np.testing.assert_array_equal(moved.linear.estimator, linear.estimator)
    b = concentrate(linear, moved.Zty, layout.start.linear)
    by_theta, normal = add_phi(quasi, layout, moved, Zty, np.zeros((M, 0)), b)
    assert by_theta.shape == (M, 0) and normal.shape == (3, 0)
