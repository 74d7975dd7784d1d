"""The GMM objective where errors are autocorrelated: sums become moments at φ.

Z'X moves with φ, and b̂ is concentrated out again at every φ. With H = Z'X of the
concentrated columns and e = Z'y - Z'X b̂, H'W e = 0 at every φ, so that

    ∂b̂/∂φ = (H'WH)⁻¹ (H'W ∂e/∂φ + (∂H/∂φ)'W e)     with ∂e/∂φ at given b̂:

the envelope theorem holds for the objective, and the residual's Jacobian has a second
term (Golub and Pereyra 1973), for which this file gives (∂H/∂φ)'W e.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..model.parameters import Parameters
from ..moments.covariances import MomentSums, sum_moments
from ..moments.lags import errors_by_type
from ..moments.objective import LinearGmm, prepare_linear_gmm
from ..moments.quasi_differences import QuasiDifferences
from ..records import Floats
from ..results.rows_at_rest import Rows


@dataclass(frozen=True, slots=True)
class MomentsAtPhi:
    """What sums of all blocks are at one φ.

    Attributes
    ----------
    linear
        The linear estimator.
    Zty, Zty_by_theta
        ``(M,)`` Z'y and ``(M, P)`` Z' ∂y/∂θ.
    """

    linear: LinearGmm
    Zty: Floats
    Zty_by_theta: Floats


def moments_at(
    quasi: QuasiDifferences,
    linear: LinearGmm,
    phi: Floats,
    Zty: Floats,
    Zty_by_theta: Floats,
) -> MomentsAtPhi:
    """Make moments of sums.

    Parameters
    ----------
    quasi
        How.
    linear
        A linear estimator of the same step.
    phi
        ``(E, E)``.
    Zty, Zty_by_theta
        ``(R,)`` and ``(R, P)`` sums of all blocks.
    """
    T = quasi.at(phi)
    moved = prepare_linear_gmm(
        ZtX=T @ quasi.ZtX,
        concentrated=linear.concentrated,
        W=linear.W,
        n_observations=linear.n_observations,
        scale_objective=linear.scale != 1.0,
    )
    return MomentsAtPhi(moved, T @ Zty, T @ Zty_by_theta)


def add_phi(
    quasi: QuasiDifferences,
    parameters: Parameters,
    moved: MomentsAtPhi,
    Zty: Floats,
    by_theta: Floats,
    b: Floats,
) -> tuple[Floats, Floats]:
    """Add how moments, and normal equations of b̂, move with free entries of φ.

    Parameters
    ----------
    quasi
        How sums become moments.
    parameters
        Where φ is in θ.
    moved
        Moments at φ.
    Zty
        ``(R,)`` sums of all blocks.
    by_theta
        ``(M, P)`` Z' ∂(y - X b)/∂θ, zero where a parameter is of φ.
    b
        ``(K, 1)``.

    Returns
    -------
    tuple
        ``(M, P)`` the same with φ, and ``(C, P)`` (∂H/∂φ)'W e of C concentrated
        parameters.
    """
    linear, by_theta = moved.linear, by_theta.copy()
    M, out = by_theta.shape[0], linear.concentrated
    left = (Zty - quasi.ZtX @ b[:, 0]).astype(np.float64)
    errors = (moved.Zty - linear.ZtX @ b[:, 0]).astype(np.float64)
    weighted = linear.W[:M, :M] @ errors
    ZtXc = quasi.ZtX[:, out].astype(np.float64)
    normal = np.zeros((int(out.sum()), parameters.size))
    for p, entry in enumerate(parameters.free):
        if entry.matrix == "phi":
            T_ed = quasi.by_phi[entry.row, entry.column]
            by_theta[:, p] = T_ed @ left
            normal[:, p] = ZtXc.T @ (T_ed.T @ weighted)
    return by_theta, normal


def sum_by_type(
    quasi: QuasiDifferences,
    rows: Mapping[str, Rows],
    phi: Floats,
    moments: Floats,
    *,
    center: bool,
    clustered: bool,
) -> MomentSums:
    """Sum what covariances of moments need, an equation and type at a time.

    Parameters
    ----------
    quasi
        Lags, and instruments of each equation and type.
    rows
        ``xi`` and, with a supply side, ``omega``, ``(N, 1)`` in the user's order.
    phi
        ``(E, E)``.
    moments
        ``(M,)`` ḡ, and what follows it.
    center, clustered
        Whether moments are centred, and sums by cluster wanted.

    Notes
    -----
    Unadjusted covariances take errors of every type, zeros of first periods among them,
    to be independent of instruments, as PyBLP does.
    """
    names = ("xi", "omega")[: phi.shape[0]]
    u = np.hstack([np.asarray(rows[name]) for name in names])
    found = errors_by_type(u, quasi.lags, phi)
    moments = moments[: quasi.base.shape[0]]
    usable = center and np.isfinite(moments).all()
    return sum_moments(
        np.column_stack([found[name][:, e] for e, name in quasi.sources]),
        quasi.Z,
        moments if usable else np.zeros_like(moments),
        quasi.clusters if clustered else None,
    )
