"""Levels of an absorbed fixed effect, and how sure they are.

With one absorbed effect of G groups, n_g rows in group g, and the mean utilities

    δ_j(θ) = x_j'β + d_g(j) + ξ_j,        d̂_g = (1/n_g) Σ_{j∈g} (δ_j(θ̂) - x_j'β̂),

d̂ errs because ξ̄_g is not zero and because ψ̂ = (θ̂, b̂) errs, ψ̂ - ψ ≈ Λ ḡ, Λ the
sensitivity of the estimates to the moments ḡ = (1/N) Σ_j g_j:

    d̂ - d ≈ (1/N) Σ_j (r_j + A Λ g_j),        r_j = ξ_j (N / n_g(j)) e_g(j),
    A_g = (1/n_g) Σ_{j∈g} ∂(δ_j - x_j'β)/∂ψ'.

With V = Λ S Λ' the covariance of √N (ψ̂ - ψ) of the same kind,

    Cov d̂ = R / N² + (C Λ'A' + A Λ C') / N² + A V A' / N,
    robust       R = Σ_j r_j r_j',              C = Σ_j r_j g_j',
    clustered    R = Σ_c r_c r_c',              C = Σ_c r_c g_c',   r_c = Σ_{j∈c} r_j,
    unadjusted   R = N² σ̂² diag(1/n_g),         C likewise, with σ̂_de of both equations,

which is what the dummies of the groups have among the linear parameters when W is that
of two-stage least squares (Frisch and Waugh 1933). Groups are given and n_g is large:
with few rows a group, d̂_g has a distribution of its own. Where θ̂ is at a bound, the
covariance is as wrong as V. Where clusters are groups of the effect, or unions of them,
r_c = 0: the residuals of a group sum to zero, so that such clusters do not tell how d̂
varies, and Cov d̂ is singular. Error of simulation is part of V, but not of how δ moves
at given θ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..moments.weighting import CovarianceType
from ..problem.rival_sums import sum_groups
from ..records import Floats, Integers
from ..results.text_tables import Header, format_number, text_table


@dataclass(frozen=True, slots=True, eq=False)
class RecoveredEffects:
    """Fixed effects with their covariances.

    Attributes
    ----------
    levels
        What the G groups are called.
    values
        ``(G,)`` d̂.
    covariances
        ``(G, G)`` of d̂, not of √N times its errors.
    counts
        ``(G,)`` n_g.
    """

    levels: tuple[Any, ...]
    values: Floats
    covariances: Floats
    counts: Integers

    @property
    def standard_errors(self) -> Floats:
        """Roots of the diagonal, ``(G,)``."""
        return np.sqrt(self.covariances.diagonal())

    def to_frame(self) -> Any:
        """Make a table with a row a group."""
        import pandas as pd

        return pd.DataFrame(
            {
                "estimate": self.values,
                "std_error": self.standard_errors,
                "rows": self.counts,
            },
            index=pd.Index(list(self.levels), name="level"),
        )

    def __str__(self) -> str:
        """Print a row a group."""
        header: list[Header] = ["Level", "Effect", ("Standard", "Error"), "Rows"]
        rows = [
            [str(level), format_number(d), format_number(s), str(n)]
            for level, d, s, n in zip(
                self.levels, self.values, self.standard_errors, self.counts, strict=True
            )
        ]
        return text_table("Fixed Effects", header, rows)

    __repr__ = __str__


@dataclass(frozen=True, slots=True, eq=False)
class EffectRows:
    """What is as long as the data.

    Attributes
    ----------
    codes
        ``(N,)`` of the groups.
    effects
        ``(N,)`` d̂ of the row's group.
    u
        ``(N, E)`` ξ and, with a supply side, ω.
    Z
        ``(N, M_e)`` instruments of each equation.
    by_psi
        ``(N, P + C)`` ∂(δ - X1 β)/∂ψ'.
    clusters
        ``(N,)`` codes, or None.
    """

    codes: Integers
    effects: Floats
    u: Floats
    Z: tuple[Floats, ...]
    by_psi: Floats
    clusters: Integers | None = None


def absorbed_levels(
    rows: EffectRows,
    sensitivity: Floats,
    V: Floats,
    kind: CovarianceType,
    levels: Sequence[Any],
) -> RecoveredEffects:
    """Compute levels of an absorbed effect and their covariances.

    Parameters
    ----------
    rows
        At the estimates.
    sensitivity
        ``(P + C, M)`` Λ.
    V
        ``(P + C, P + C)``.
    kind
        What V is.
    levels
        Names of the G groups, in the order of their codes.
    """
    N = rows.codes.size
    counts = np.bincount(rows.codes, minlength=len(levels))
    A = sum_groups(rows.by_psi, rows.codes) / counts[:, None]
    R, C = _own_part(rows, counts, kind)
    cross = C @ sensitivity.T @ A.T
    covariances = (R + cross + cross.T) / N**2 + A @ V @ A.T / N
    sums = np.bincount(rows.codes, weights=rows.effects, minlength=len(levels))
    return RecoveredEffects(
        tuple(levels), sums / counts, (covariances + covariances.T) / 2, counts
    )


def _own_part(
    rows: EffectRows, counts: Integers, kind: CovarianceType
) -> tuple[Floats, Floats]:
    """Compute R ``(G, G)`` and C ``(G, M)``."""
    N, G = rows.codes.size, counts.size
    weights = N / counts[rows.codes]
    xi = rows.u[:, 0]
    if kind == "unadjusted":
        sigma = np.atleast_2d(np.cov(rows.u, rowvar=False, bias=True))
        expected = np.hstack([sigma[0, e] * Z_e for e, Z_e in enumerate(rows.Z)])
        C = sum_groups(expected * weights[:, None], rows.codes)
        return np.diag(N * (N * sigma[0, 0] / counts)), C
    g = np.hstack([rows.u[:, [e]] * Z_e for e, Z_e in enumerate(rows.Z)])
    r = weights * xi
    if kind == "robust":
        R = np.diag(np.bincount(rows.codes, weights=r**2, minlength=G))
        return np.asarray(R, np.float64), sum_groups(g * r[:, None], rows.codes)
    from scipy import sparse

    assert rows.clusters is not None
    by_cluster = sparse.csr_array((r, (rows.clusters, rows.codes)))
    g_by_cluster = sum_groups(g - g.mean(axis=0), rows.clusters)
    R = (by_cluster.T @ by_cluster).toarray()
    return np.asarray(R), np.asarray(by_cluster.T @ g_by_cluster)
