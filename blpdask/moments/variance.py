"""Covariances of GMM estimates.

With G = ∂ḡ/∂(θ', β')' and S the covariance of √N ḡ (Hansen 1982),

    V = (G'WG)⁻¹ G'W S W G (G'WG)⁻¹,        se = √(diag V / N),

and V = (G'WG)⁻¹ for unadjusted standard errors, where W = S⁻¹. The variance of ΣΣ'
follows by the delta method, ∂(ΣΣ')_ab/∂Σ_kc = 1{a=k} Σ_bc + 1{b=k} Σ_ac.
"""

from __future__ import annotations

import numpy as np

from ..records import Floats
from .weighting import invert_covariances


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
    bread = invert_covariances(G.T @ W @ G, "the covariance matrix of the parameters")
    sensitivity = -bread @ G.T @ W
    if unadjusted:
        return bread, sensitivity
    V = sensitivity @ S @ sensitivity.T
    return (V + V.T) / 2, sensitivity


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
