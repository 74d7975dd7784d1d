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

CovarianceType = Literal["robust", "unadjusted", "clustered", "clustered_psd"]
COVARIANCE_TYPES: tuple[CovarianceType, ...] = ("robust", "unadjusted", "clustered")
#: Those of moments: with clusters in several ways S can have negative eigenvalues,
#: which the last sets to zero (Cameron, Gelbach and Miller 2011, section 2.3).
MOMENT_COVARIANCE_TYPES: tuple[CovarianceType, ...] = (
    *COVARIANCE_TYPES,
    "clustered_psd",
)
#: Eigenvalues below minus this times the largest are negative, and not rounding.
_ROUNDING = float(np.sqrt(np.finfo(np.float64).eps))


def is_clustered(kind: str) -> bool:
    """Tell whether a type of covariances needs clusters."""
    return kind in ("clustered", "clustered_psd")


def clip_eigenvalues(S: Floats) -> Floats:
    """Set negative eigenvalues of a symmetric matrix to zero.

    Examples
    --------
    >>> clip_eigenvalues(np.diag([2.0, -1.0])).tolist()
    [[2.0, 0.0], [0.0, 0.0]]
    """
    if S.size == 0 or not np.isfinite(S).all():
        return S
    values, vectors = np.linalg.eigh(S)
    clipped = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return np.asarray((clipped + clipped.T) / 2)


def describe_indefinite(S: Floats) -> str | None:
    """Say how far a symmetric matrix is from positive semi-definite; None if it is.

    Moments are brought to one scale first: whether there are negative eigenvalues does
    not depend on units, but which are rounding does.
    """
    if S.size == 0 or not np.isfinite(S).all():
        return None
    scale = np.sqrt(np.abs(S.diagonal()))
    scale = np.where(scale > 0, scale, 1.0)
    values = np.linalg.eigvalsh(S / np.outer(scale, scale))
    n = int((values < -_ROUNDING * np.abs(values).max()).sum())
    if not n:
        return None
    return (
        f"{n} negative eigenvalue{'' if n == 1 else 's'} of {values.size}, the lowest "
        f"{values.min():.3g} and the largest {values.max():.3g} once scaled to a unit "
        "diagonal"
    )


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
