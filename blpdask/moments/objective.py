"""The GMM objective from sums, with linear parameters concentrated out.

With ḡ(θ) = Z'(δ(θ) - X β̂(θ)) / N and β̂ the linear GMM estimate,

    β̂(θ) = (X'Z W Z'X)⁻¹ X'Z W Z'δ(θ),        q(θ) = c ḡ'W ḡ,   c = N or 1,
    ∂q/∂θ = 2 c Ḡ'W ḡ,                          Ḡ = Z' ∂δ/∂θ / N,

because X'Z W ḡ = 0 (Nevo 2000, appendix; the envelope theorem). With W = L L' this is
nonlinear least squares in the projected residual

    r(θ) = √c L'ḡ(θ),     ∂r/∂θ = √c Q L' Ḡ,    Q = I - H H⁺,  H = L'Z'X,

variable projection (Golub and Pereyra 1973), with an exact Jacobian up to the sign that
Q is idempotent: q = r'r and ∂q/∂θ = 2 (∂r/∂θ)'r.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..records import Floats
from .weighting import square_root


@dataclass(frozen=True, slots=True)
class LinearGmm:
    """What does not change with θ within one GMM step.

    Attributes
    ----------
    ZtX
        ``(M, K)`` Z'X for all columns, in long doubles, as Z'y is: their difference is
        much smaller than they are.
    concentrated
        ``(K,)`` which columns of X are concentrated out.
    W
        ``(M, M)`` weighting matrix.
    root
        ``(M, M)`` L with W = L L'.
    estimator
        ``(K, M)`` (X'Z W Z'X)⁻¹ X'Z W of the concentrated columns.
    projection
        ``(M, M)`` √c Q L'.
    n_observations
        N.
    scale
        c.
    """

    ZtX: Floats
    concentrated: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    W: Floats
    root: Floats
    estimator: Floats
    projection: Floats
    n_observations: int
    scale: float


@dataclass(frozen=True, slots=True)
class GmmPoint:
    """The objective at one θ.

    Attributes
    ----------
    objective
        q(θ).
    gradient
        ``(P,)`` ∂q/∂θ.
    b
        ``(K, 1)`` β, then γ, concentrated ones filled in.
    moments
        ``(M,)`` ḡ.
    moments_by_theta
        ``(M, P)`` Ḡ, with -Z'x / N of linear parameters in θ.
    residual, residual_by_theta
        ``(M,)`` r and ``(M, P)`` ∂r/∂θ.
    """

    objective: float
    gradient: Floats
    b: Floats
    moments: Floats
    moments_by_theta: Floats
    residual: Floats
    residual_by_theta: Floats


def prepare_linear_gmm(
    *,
    ZtX: Floats,
    concentrated: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    W: Floats,
    n_observations: int,
    scale_objective: bool,
) -> LinearGmm:
    """Factor W and prepare the linear estimator of one GMM step.

    Parameters
    ----------
    ZtX
        ``(M, K)`` Z'X.
    concentrated
        ``(K,)`` columns that are concentrated out.
    W
        ``(M, M)`` symmetric and positive semi-definite.
    n_observations
        N.
    scale_objective
        Whether q is scaled by N, so that a two-step q is Hansen's J.
    """
    root = square_root(W)
    ZtXc = ZtX[:, concentrated].astype(np.float64)
    H = root.T @ ZtXc
    scale = float(n_observations) if scale_objective else 1.0
    estimator = _pseudo_inverse(ZtXc.T @ W @ ZtXc) @ ZtXc.T @ W
    basis = _column_space(H)
    projection = np.sqrt(scale) * (root.T - basis @ (basis.T @ root.T))
    return LinearGmm(
        ZtX, concentrated, W, root, estimator, projection, n_observations, scale
    )


def gmm_point(
    linear: LinearGmm, Zty: Floats, Zty_by_theta: Floats, b: Floats
) -> GmmPoint:
    """Combine the sums of all blocks into objective, gradient and residual.

    Parameters
    ----------
    linear
        The step's fixed matrices.
    Zty
        ``(M,)`` Z'y at θ.
    Zty_by_theta
        ``(M, P)`` Z' ∂(y - X b)/∂θ at given b̂.
    b
        ``(K, 1)`` with the values of θ and of fixed parameters, NaN elsewhere.
    """
    N = linear.n_observations
    given = ~linear.concentrated
    b = b.copy()
    remainder = Zty - linear.ZtX[:, given] @ b[given, 0]
    b[linear.concentrated, 0] = linear.estimator @ remainder.astype(np.float64)
    moments = ((Zty - linear.ZtX @ b[:, 0]) / N).astype(np.float64)
    moments_by_theta = Zty_by_theta / N
    weighted = linear.W @ moments
    residual = np.sqrt(linear.scale) * (linear.root.T @ moments)
    return GmmPoint(
        objective=float(residual @ residual),
        gradient=2.0 * linear.scale * (moments_by_theta.T @ weighted),
        b=b,
        moments=moments,
        moments_by_theta=moments_by_theta,
        residual=residual,
        residual_by_theta=linear.projection @ moments_by_theta,
    )


def _pseudo_inverse(A: Floats) -> Floats:
    """Invert a symmetric matrix, cutting what rounding makes of zero eigenvalues."""
    rcond = float(np.finfo(np.float64).eps) * max(A.shape, default=1)
    return np.asarray(np.linalg.pinv(A, rcond=rcond, hermitian=True))


def _column_space(H: Floats) -> Floats:
    """Compute an orthonormal basis of H's columns, collinear ones left out."""
    left, sizes, _ = np.linalg.svd(H, full_matrices=False)
    # The estimator's pseudo-inverse cuts H'H, whose singular values are squares.
    cut = np.sqrt(np.finfo(np.float64).eps * max(H.shape)) * sizes.max(initial=0.0)
    return np.asarray(left[:, sizes > cut])
