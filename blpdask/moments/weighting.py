"""Covariances of moments and the weighting matrices that are their inverses.

With g_j = ξ_j z_j (Hansen 1982; White 1980):

    robust       S = (1/N) Σ_j (g_j - ḡ)(g_j - ḡ)'
    clustered    S = (1/N) Σ_c (Σ_{j∈c} (g_j - ḡ))(Σ_{j∈c} (g_j - ḡ))'
    unadjusted   S = σ̂² Z'Z / N,   σ̂² = (1/N) Σ_j (ξ_j - ξ̄)²
    2SLS         S = Z'Z / N

with ḡ left out where moments are not centred. No small-sample corrections, as in PyBLP.
"""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np

from ..errors import NumericalWarning
from ..records import Floats, Integers

CovarianceType = Literal["robust", "unadjusted", "clustered"]
COVARIANCE_TYPES: tuple[CovarianceType, ...] = ("robust", "unadjusted", "clustered")


def moment_covariances(
    xi: Floats,
    Z: Floats,
    kind: CovarianceType,
    *,
    center: bool,
    clusters: Integers | None = None,
) -> Floats:
    """Estimate S, the covariance of √N ḡ, ``(M, M)``.

    Parameters
    ----------
    xi
        ``(N,)`` structural errors.
    Z
        ``(N, M)`` instruments.
    kind
        ``"robust"``, ``"unadjusted"`` or ``"clustered"``.
    center
        Whether moments are centred before they are squared.
    clusters
        ``(N,)`` codes 0..C-1, needed where clustered.
    """
    N = xi.size
    if kind == "unadjusted":
        S = np.mean((xi - xi.mean()) ** 2) * (Z.T @ Z) / N
    else:
        g = xi[:, None] * Z
        if center:
            g -= g.mean(axis=0)
        if kind == "clustered":
            assert clusters is not None
            g = sum_by_group(g, clusters)
        S = g.T @ g / N
    return np.asarray((S + S.T) / 2)


def sum_by_group(values: Floats, codes: Integers) -> Floats:
    """Sum rows by group: ``(N, M)`` and codes ``(N,)`` to ``(C, M)``."""
    order = np.argsort(codes, kind="stable")
    firsts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    return np.add.reduceat(values[order], firsts, axis=0)


def invert_covariances(S: Floats, name: str) -> Floats:
    """Invert a covariance matrix; if singular, pseudo-invert it with a warning."""
    if S.size == 0:
        return S
    if not np.isfinite(S).all():
        warnings.warn(f"{name} is not finite", NumericalWarning, stacklevel=2)
        return np.full_like(S, np.nan)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            import scipy.linalg

            inverse = scipy.linalg.inv(S)
    except (np.linalg.LinAlgError, Warning):
        warnings.warn(
            f"{name} is singular to working precision (condition number "
            f"{np.linalg.cond(S):.1e}); its Moore-Penrose inverse is used",
            NumericalWarning,
            stacklevel=2,
        )
        inverse = np.linalg.pinv(S)
    return np.asarray((inverse + inverse.T) / 2)


def square_root(W: Floats) -> Floats:
    """Compute L with W = L L', by Cholesky or, where W is singular, by eigenvalues."""
    try:
        return np.asarray(np.linalg.cholesky(W), dtype=np.float64)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(W)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))
