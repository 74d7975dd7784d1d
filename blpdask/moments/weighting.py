"""Weighting matrices: inverses of covariances of moments, and their roots.

The efficient W is S⁻¹, the inverse of the covariance of √N ḡ (Hansen 1982; see
:mod:`blpdask.moments.covariances`); the first step's is that of two-stage least
squares, W = (Z'Z / N)⁻¹.
"""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np

from ..errors import NumericalWarning
from ..records import Floats

CovarianceType = Literal["robust", "unadjusted", "clustered"]
COVARIANCE_TYPES: tuple[CovarianceType, ...] = ("robust", "unadjusted", "clustered")


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
