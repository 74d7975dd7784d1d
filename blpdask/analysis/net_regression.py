"""Instrumental variables regressions of what controls and effects leave.

With y, X and Z net of controls and of absorbed effects (Frisch and Waugh 1933), and
X̂ = Z (Z'Z)⁻¹Z'X,

    b = (X̂'X)⁻¹ X̂'y,       Cov b = (X̂'X̂)⁻¹ M (X̂'X̂)⁻¹,       u = y - X b,
    unadjusted   M = σ̂² X̂'X̂,                   σ̂² = u'u / N,
    robust       M = Σ_j u_j² x̂_j x̂_j',
    clustered    M = Σ_c (Σ_{j∈c} u_j x̂_j)(Σ_{j∈c} u_j x̂_j)',

two-stage least squares with White's (1980) covariance or that of clusters; no
small-sample corrections, as in PyBLP.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..moments.weighting import CovarianceType
from ..problem.rival_sums import sum_groups
from ..records import Floats, Integers

Flags = NDArray[np.bool_]

#: A column that those before it leave less of, relative to its length, is collinear.
COLLINEAR = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class NetRegression:
    """A regression.

    Attributes
    ----------
    coefficients
        ``(K,)`` b.
    covariances
        ``(K, K)`` of b.
    residuals
        ``(N,)`` u.
    """

    coefficients: Floats
    covariances: Floats
    residuals: Floats


def two_stage_least_squares(
    y: Floats,
    X: Floats,
    Z: Floats,
    kind: CovarianceType,
    clusters: Integers | None = None,
) -> NetRegression:
    """Regress y on X by instruments Z.

    Parameters
    ----------
    y
        ``(N,)`` net of controls.
    X, Z
        ``(N, K)`` and ``(N, M)`` net of controls, of full rank, and K of X̂ too.
    kind
        How covariances are estimated.
    clusters
        ``(N,)`` codes, where they are ``"clustered"``.
    """
    basis = np.linalg.qr(Z)[0]
    fitted = basis @ (basis.T @ X)
    Q, R = np.linalg.qr(fitted)
    b = np.linalg.solve(R, Q.T @ y)
    u = y - X @ b
    inverse = np.linalg.inv(R)
    return NetRegression(b, inverse @ meat(Q, u, kind, clusters) @ inverse.T, u)


def meat(
    x: Floats, u: Floats, kind: CovarianceType, clusters: Integers | None = None
) -> Floats:
    """Estimate the covariance of Σ_j x_j u_j, ``(K, K)``.

    Parameters
    ----------
    x, u
        ``(N, K)`` regressors and ``(N,)`` residuals.
    kind, clusters
        As in :func:`two_stage_least_squares`.
    """
    if kind == "unadjusted":
        return np.asarray((u @ u / u.size) * (x.T @ x))
    scores = x * u[:, None]
    if kind == "clustered":
        assert clusters is not None
        scores = sum_groups(scores, clusters)
    return np.asarray(scores.T @ scores)


def independent_columns(values: Floats, before: Floats | None = None) -> Flags:
    """Tell which columns those before them do not span, ``(K,)``.

    Parameters
    ----------
    values
        ``(N, K)``.
    before
        ``(N, B)`` columns that come before all of them.

    Examples
    --------
    >>> x = np.array([[1.0, 2.0, 0.0], [1.0, 2.0, 1.0]])
    >>> independent_columns(x).tolist()
    [True, False, True]
    """
    n_before = 0 if before is None else before.shape[1]
    columns = values if before is None else np.hstack([before, values])
    basis = np.empty((columns.shape[0], 0))
    kept = np.zeros(columns.shape[1], np.bool_)
    for k, column in enumerate(columns.T):
        length = np.linalg.norm(column)
        left = column / length if length > 0 else column
        for _ in range(2):
            left = left - basis @ (basis.T @ left)
        kept[k] = np.linalg.norm(left) > COLLINEAR
        if kept[k]:
            basis = np.column_stack([basis, left / np.linalg.norm(left)])
    return kept[n_before:]
