"""Covariances of GMM estimates.

With G = ∂ḡ/∂(θ', β')' and S the covariance of √N ḡ (Hansen 1982),

    V = (G'WG)⁻¹ G'W S W G (G'WG)⁻¹,        se = √(diag V / N),

and V = (G'WG)⁻¹ for unadjusted standard errors, where W = S⁻¹. The variance of ΣΣ'
follows by the delta method, ∂(ΣΣ')_ab/∂Σ_kc = 1{a=k} Σ_bc + 1{b=k} Σ_ac.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from ..records import Floats
from .weighting import invert_covariances, square_root

#: Condition number from which a matrix counts as singular to working precision.
_LARGEST_CONDITION = 1.0 / float(np.finfo(np.float64).eps)


def parameter_covariances(
    G: Floats, W: Floats, S: Floats, *, unadjusted: bool
) -> tuple[Floats, Floats]:
    """Estimate V and the sensitivity of estimates to moments.

    Parameters
    ----------
    G
        ``(M, P)`` ∂ḡ/∂(θ', β')'.
    W, S
        ``(M, M)`` weights and covariance of √N ḡ.
    unadjusted
        Whether V is (G'WG)⁻¹.

    Returns
    -------
    tuple
        V ``(P, P)`` and -(G'WG)⁻¹G'W ``(P, M)`` (Andrews, Gentzkow and Shapiro 2017).
    """
    bread, sensitivity = _bread(G, W)
    if unadjusted:
        return bread, sensitivity
    V = sensitivity @ S @ sensitivity.T
    return (V + V.T) / 2, sensitivity


def _bread(G: Floats, W: Floats) -> tuple[Floats, Floats]:
    """Compute (G'WG)⁻¹ and -(G'WG)⁻¹G'W.

    With W = L L' and L'G = Q R they are R⁻¹R⁻¹' and -R⁻¹Q'L': R is as ill-conditioned
    as the root of G'WG, so that half the digits that an inverse loses are kept.
    """
    if G.size and np.isfinite(G).all() and np.isfinite(W).all():
        root = square_root(W)
        Q, R = np.linalg.qr(root.T @ G)
        if R.shape[0] == R.shape[1] and np.linalg.cond(R) ** 2 < _LARGEST_CONDITION:
            inverse = scipy.linalg.solve_triangular(R, np.eye(R.shape[0]))
            return inverse @ inverse.T, -inverse @ Q.T @ root.T
    bread = invert_covariances(G.T @ W @ G, "the covariance matrix of the parameters")
    return bread, -bread @ G.T @ W


def sigma_squared_errors(
    sigma: Floats, covariances: Floats, rows: list[tuple[int, int]], n: int
) -> Floats:
    """Compute standard errors of ΣΣ' by the delta method, ``(K2, K2)``.

    Parameters
    ----------
    sigma
        ``(K2, K2)`` lower-triangular Σ.
    covariances
        ``(p, p)`` block of V for the free entries of Σ.
    rows
        Their (row, column), in the same order.
    n
        Number of observations N.
    """
    K2 = sigma.shape[0]
    slopes = np.zeros((K2, K2, len(rows)))
    for p, (k, c) in enumerate(rows):
        # ∂(ΣΣ')_ab/∂Σ_kc = 1{a=k} Σ_bc + 1{b=k} Σ_ac
        slopes[k, :, p] += sigma[:, c]
        slopes[:, k, p] += sigma[:, c]
    variances = np.einsum("abp,pq,abq->ab", slopes, covariances, slopes)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt(variances / n))
