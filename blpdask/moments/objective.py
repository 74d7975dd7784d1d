"""The GMM objective from sums, with linear parameters concentrated out.

With ḡ(θ) = Z'(δ(θ) - X β̂(θ)) / N and β̂ the linear GMM estimate,

    β̂(θ) = (X'Z W Z'X)⁻¹ X'Z W Z'δ(θ),        q(θ) = c ḡ'W ḡ,   c = N or 1,
    ∂q/∂θ = 2 c Ḡ'W ḡ,                          Ḡ = Z' ∂δ/∂θ / N,

because X'Z W ḡ = 0 (Nevo 2000, appendix; the envelope theorem). With W = L L' this is
nonlinear least squares in the projected residual

    r(θ) = √c L'ḡ(θ),     ∂r/∂θ = √c Q L' Ḡ,    Q = I - H H⁺,  H = L'Z'X,

variable projection (Golub and Pereyra 1973), with an exact Jacobian up to the sign that
Q is idempotent: q = r'r and ∂q/∂θ = 2 (∂r/∂θ)'r.

Further moments m(θ, b), those of surveys say, follow the linear ones in ḡ. As in PyBLP
β̂ minimises over linear moments alone, with their own block of W, so that the envelope
theorem no longer holds and every derivative is total:

    dḡ/dθ = ∂ḡ/∂θ + ∂ḡ/∂b ∂b̂/∂θ,   ∂ḡ/∂b = (-Z'X / N, ∂m/∂b),
    ∂b̂/∂θ = (X'Z W Z'X)⁻¹ X'Z W Z'∂δ/∂θ.

Where Z'X itself moves, with φ say (:mod:`.quasi_differences`), ∂b̂/∂θ has another term,
(X'Z W Z'X)⁻¹ (∂Z'X/∂θ)'W (Z'y - Z'X b̂); it is orthogonal to W ḡ, and moves r alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..records import Floats
from .weighting import square_root


@dataclass(frozen=True, slots=True)
class FurtherMoments:
    """Moments that are not linear in b.

    Attributes
    ----------
    values
        ``(F,)`` m.
    by_theta
        ``(F, P)`` ∂m/∂θ given b.
    by_b
        ``(F, K)`` ∂m/∂b.
    """

    values: Floats
    by_theta: Floats
    by_b: Floats


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
        ``(M + F, M + F)`` weighting matrix.
    root
        ``(M + F, M + F)`` L with W = L L'.
    estimator
        ``(K, M)`` (X'Z W Z'X)⁻¹ X'Z W of the concentrated columns, by the linear
        moments' block of W.
    inverse
        ``(K, K)`` (X'Z W Z'X)⁻¹ of the concentrated columns.
    projection
        ``(M, M)`` √c Q L' of that block.
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
    inverse: Floats
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
        ``(M + F,)`` ḡ.
    moments_by_theta
        ``(M + F, P)`` Ḡ given b̂, with -Z'x / N of linear parameters in θ.
    moments_by_b
        ``(M + F, K)`` ∂ḡ/∂b of the concentrated parameters.
    residual, residual_by_theta
        ``(M + F,)`` r and ``(M + F, P)`` ∂r/∂θ.
    """

    objective: float
    gradient: Floats
    b: Floats
    moments: Floats
    moments_by_theta: Floats
    moments_by_b: Floats
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
    M = ZtX.shape[0]
    W_linear = W[:M, :M]
    root_linear = root if W.shape[0] == M else square_root(W_linear)
    H = root_linear.T @ ZtX[:, concentrated].astype(np.float64)
    scale = float(n_observations) if scale_objective else 1.0
    basis, generalised = _invert_columns(H)
    estimator = generalised @ root_linear.T
    projection = np.sqrt(scale) * (root_linear.T - basis @ (basis.T @ root_linear.T))
    return LinearGmm(
        *(ZtX, concentrated, W, root, estimator),
        generalised @ generalised.T,
        projection,
        n_observations,
        scale,
    )


def concentrate(linear: LinearGmm, Zty: Floats, b: Floats) -> Floats:
    """Fill in the linear parameters that are concentrated out, ``(K, 1)``.

    Parameters
    ----------
    linear
        The step's fixed matrices.
    Zty
        ``(M,)`` Z'y at θ.
    b
        ``(K, 1)`` with the values of θ and of fixed parameters, NaN elsewhere.
    """
    given = ~linear.concentrated
    b = b.copy()
    remainder = Zty - linear.ZtX[:, given] @ b[given, 0]
    b[linear.concentrated, 0] = linear.estimator @ remainder.astype(np.float64)
    return b


def gmm_point(
    linear: LinearGmm,
    Zty: Floats,
    Zty_by_theta: Floats,
    b: Floats,
    further: FurtherMoments | None = None,
    normal_by_theta: Floats | None = None,
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
        ``(K, 1)`` from :func:`concentrate`.
    further
        Moments that follow the linear ones.
    normal_by_theta
        ``(C, P)`` (∂Z'X/∂θ)'W (Z'y - Z'X b) of C concentrated columns; None where Z'X
        does not move.
    """
    N = linear.n_observations
    moments = ((Zty - linear.ZtX @ b[:, 0]) / N).astype(np.float64)
    by_theta = Zty_by_theta / N
    by_b = -linear.ZtX[:, linear.concentrated].astype(np.float64) / N
    moved = by_theta
    turning = None if normal_by_theta is None else linear.inverse @ normal_by_theta
    if further is not None:
        b_by_theta = linear.estimator @ Zty_by_theta
        if turning is not None:
            b_by_theta = b_by_theta + turning
        moments = np.concatenate([moments, further.values])
        by_theta = np.vstack([by_theta, further.by_theta])
        by_b = np.vstack([by_b, further.by_b[:, linear.concentrated]])
        moved = by_theta + by_b @ b_by_theta
    residual = np.sqrt(linear.scale) * (linear.root.T @ moments)
    turned = (
        linear.projection @ by_theta
        if further is None
        else np.sqrt(linear.scale) * (linear.root.T @ moved)
    )
    if further is None and turning is not None:
        turned = turned + np.sqrt(linear.scale) * (linear.root.T @ (by_b @ turning))
    return GmmPoint(
        objective=float(residual @ residual),
        gradient=2.0 * np.sqrt(linear.scale) * (moved.T @ (linear.root @ residual)),
        b=b,
        moments=moments,
        moments_by_theta=by_theta,
        moments_by_b=by_b,
        residual=residual,
        residual_by_theta=turned,
    )


def _invert_columns(H: Floats) -> tuple[Floats, Floats]:
    """Compute an orthonormal basis of H's columns, collinear ones left out, and H⁺.

    H'H, whose condition is the square of H's, is never formed.
    """
    left, sizes, right = np.linalg.svd(H, full_matrices=False)
    cut = np.sqrt(np.finfo(np.float64).eps * max(H.shape)) * sizes.max(initial=0.0)
    kept = sizes > cut
    basis = np.asarray(left[:, kept])
    return basis, np.asarray((right[kept].T / sizes[kept]) @ basis.T)
