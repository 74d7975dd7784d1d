"""Many small linear systems at once, where failure is data.

Batched LAPACK reports failure differently by namespace: numpy raises for the whole
batch because of one matrix, cupy returns numbers that mean nothing. Here the matrix
that failed has NaN for an answer and the others are untouched.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np

from .array_batches import Array

#: Relative error of a row of LL' beyond which L is not a factor of A.
FACTOR_ERROR = 1e-10


def solve(A: Array, right: Array, xp: ModuleType) -> Array:
    """Solve A X = B for ``A`` (B, J, J), ``right`` (B, J, M); NaN where singular."""
    try:
        return xp.linalg.solve(A, right)
    except np.linalg.LinAlgError:
        with np.errstate(invalid="ignore"):
            singular = (xp.linalg.slogdet(A)[0] == 0.0)[:, None, None]
        solution = xp.linalg.solve(xp.where(singular, xp.eye(A.shape[1]), A), right)
        return xp.where(singular, xp.nan, solution)


def invert_matrices(A: Array, xp: ModuleType) -> Array:
    """Invert each of ``A`` (B, J, J); NaN where singular."""
    return solve(A, xp.zeros(A.shape) + xp.eye(A.shape[1]), xp)


def cholesky(A: Array, xp: ModuleType) -> tuple[Array, Array]:
    """Factor each of ``A`` (B, J, J) where it is positive definite.

    Parameters
    ----------
    A : (B, J, J)
        Symmetric matrices.
    xp
        Their namespace.

    Returns
    -------
    tuple
        Lower factors ``(B, J, J)``, NaN where there is none, and whether there is one,
        ``(B,)``.

    Notes
    -----
    Row j of L has squared length A_jj. A factorisation that stopped at a pivot that is
    not positive breaks this in that row, whatever it left behind.
    """
    identity = xp.eye(A.shape[1])
    definite = xp.isfinite(A).all(axis=(1, 2))
    A = xp.where(definite[:, None, None], A, identity)
    try:
        L = xp.linalg.cholesky(A)
    except np.linalg.LinAlgError:
        definite = definite & _positive_definite(A, xp)
        A = xp.where(definite[:, None, None], A, identity)
        L = xp.linalg.cholesky(A)
    diagonal = A.diagonal(axis1=1, axis2=2)
    error = abs((L * L).sum(axis=2) - diagonal)
    definite = definite & (error <= FACTOR_ERROR * diagonal).all(axis=1)
    return xp.where(definite[:, None, None], L, xp.nan), definite


def _positive_definite(A: Array, xp: ModuleType) -> Array:
    """Say which of ``A`` are positive definite beyond rounding, by eigenvalues."""
    diagonal = A.diagonal(axis1=1, axis2=2)
    positive = (diagonal > 0.0).all(axis=1)
    scale = 1.0 / xp.sqrt(xp.where(positive[:, None], diagonal, 1.0))
    correlation = A * scale[:, :, None] * scale[:, None, :]
    lowest = xp.linalg.eigvalsh(correlation)[:, 0]
    return positive & (lowest > 4.0 * A.shape[1] * np.finfo(float).eps)
