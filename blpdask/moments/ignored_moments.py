"""Covariances of estimates whose linear part ignores some of the moments.

Linear parameters are b̂(θ) = E Z'y(θ), E = (X'Z W Z'X)⁻¹ X'Z W, from linear moments
alone, and θ̂ minimises ḡ'W ḡ at (θ, b̂(θ)), in which further moments may move with b.
With moments ḡ₀ at the truth, derivatives G = (G_θ, G_b) and R = I + G_b (N E, 0),

    b̂(θ₀) - b₀ ≈ N E ḡ₀,                             ḡ(θ₀, b̂(θ₀)) ≈ R ḡ₀,
    θ̂ - θ₀ ≈ Λ_θ ḡ₀,     Λ_θ = -(D'W D)⁻¹ D'W R,      D = dḡ/dθ, total,
    b̂ - b₀ ≈ Λ_b ḡ₀,     Λ_b = (N E, 0) + ∂b̂/∂θ Λ_θ,

and V = Λ S Λ'. Where no moment is ignored, or there are as many moments as parameters,
Λ = -(G'W G)⁻¹ G'W, as in :mod:`.variance`; else b̂ does not minimise ḡ'W ḡ given θ, and
that formula is not the variance of these estimates.

At the estimates ḡ ≈ (I + G Λ) ḡ₀, a projection of rank M - P - C, so that

    J = N ḡ' [(I + G Λ) S (I + G Λ)']⁺ ḡ

is χ² with M - P - C degrees of freedom under correct moments for any W (Newey 1985,
"Generalized Method of Moments Specification Testing"); Hansen's where W = S⁻¹ and
nothing is ignored.
"""

from __future__ import annotations

import numpy as np

from ..records import Floats
from .objective import GmmPoint, LinearGmm
from .variance import parameter_covariances
from .weighting import square_root


def ignores_moments(point: GmmPoint, n_linear: int) -> bool:
    """Tell whether moments after the linear ones move with what is concentrated out."""
    return bool(point.moments_by_b[n_linear:].any())


def ignoring_sensitivity(linear: LinearGmm, point: GmmPoint) -> Floats:
    """Compute Λ, ``(P + C, M)``.

    Parameters
    ----------
    linear
        The step's fixed matrices.
    point
        The objective at the estimates.
    """
    n = linear.ZtX.shape[0]
    M = point.moments.size
    estimator = np.zeros((linear.estimator.shape[0], M))
    estimator[:, :n] = linear.n_observations * linear.estimator
    b_by_theta = estimator @ point.moments_by_theta
    D = point.moments_by_theta + point.moments_by_b @ b_by_theta
    R = np.eye(M) + point.moments_by_b @ estimator
    _, given_b = parameter_covariances(D, linear.W, np.eye(M), unadjusted=True)
    by_theta = given_b @ R
    return np.vstack([by_theta, estimator + b_by_theta @ by_theta])


def sandwich(sensitivity: Floats, S: Floats) -> Floats:
    """Compute V = Λ S Λ', ``(P + C, P + C)``."""
    V = sensitivity @ S @ sensitivity.T
    return np.asarray((V + V.T) / 2)


def projected_statistic(
    moments: Floats, G: Floats, sensitivity: Floats, S: Floats
) -> float:
    """Compute ḡ' [(I + G Λ) S (I + G Λ)']⁺ ḡ.

    Parameters
    ----------
    moments
        ``(M,)`` or ``(M, 1)`` ḡ at the estimates.
    G
        ``(M, P + C)`` its Jacobian.
    sensitivity
        ``(P + C, M)`` Λ.
    S
        ``(M, M)`` covariance of √N ḡ.
    """
    M, n_parameters = G.shape
    g = np.ravel(moments)
    rank = M - n_parameters
    if not all(np.isfinite(values).all() for values in (g, G, sensitivity, S)):
        return float("nan")
    root = square_root(S)
    # A projection in units that make S one: its other singular values are zero.
    Q = np.linalg.lstsq(root, (np.eye(M) + G @ sensitivity) @ root, rcond=None)[0]
    left, sizes, _ = np.linalg.svd(Q)
    scaled = left.T @ np.linalg.lstsq(root, g, rcond=None)[0]
    return float(((scaled[:rank] / sizes[:rank]) ** 2).sum())
