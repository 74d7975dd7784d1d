"""Levels of an absorbed fixed effect, and how sure they are.

With D the dummies of absorbed effects, d the levels of one of them, G groups, and the
mean utilities

    δ_j(θ) = x_j'β + D_j'α + ξ_j,        d̂ = T α̂ = M D'(δ(θ̂) - X β̂),  M = T (D'D)⁻¹.

For a single effect M = diag(1/n_g), and d̂ are means over the n_g rows of groups. Beside
another effect the levels are determined up to a constant, where rows connect all groups
of both; the other's levels average zero over rows here. d̂ errs because M D'ξ is not
zero and because ψ̂ = (θ̂, b̂) errs, ψ̂ - ψ ≈ Λ ḡ, Λ the sensitivity of the estimates to
the moments ḡ = (1/N) Σ_j g_j:

    d̂ - d ≈ (1/N) Σ_j (r_j + A Λ g_j),        r_j = N ξ_j M D_j,
    A = M D' ∂(δ - X β)/∂ψ'.

With V = Λ S Λ' the covariance of √N (ψ̂ - ψ) of the same kind,

    Cov d̂ = R / N² + (C Λ'A' + A Λ C') / N² + A V A' / N,
    robust       R = Σ_j r_j r_j',              C = Σ_j r_j g_j',
    clustered    R = Σ_c r_c r_c',              C = Σ_c r_c g_c',   r_c = Σ_{j∈c} r_j,
    unadjusted   R = N² σ̂² M D'D M',            C likewise, with σ̂_de of both equations,

which is what the dummies of the groups have among the linear parameters when W is that
of two-stage least squares (Frisch and Waugh 1933). Effects in costs are the same with
c̃ - X3 γ and ω in place of δ - X β and ξ. Groups are given and n_g is large: with few
rows a group, d̂_g has a distribution of its own. Where θ̂ is at a bound, the covariance
is as wrong as V. Where clusters are groups of a single effect, or unions of them,
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
        ``(N,)`` D_j'α̂ of all effects.
    u
        ``(N, E)`` ξ and, with a supply side, ω.
    Z
        ``(N, M_e)`` instruments of each equation.
    by_psi
        ``(N, P + C)`` ∂(δ - X1 β)/∂ψ', or ∂(c̃ - X3 γ)/∂ψ'.
    clusters
        ``(N,)`` codes, or None.
    other
        ``(N,)`` codes of another absorbed effect, or None.
    equation
        Which column of ``u`` belongs to the effects.
    """

    codes: Integers
    effects: Floats
    u: Floats
    Z: tuple[Floats, ...]
    by_psi: Floats
    clusters: Integers | None = None
    other: Integers | None = None
    equation: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Levels:
    """D ``(N, L)``, sparse and of full rank, and M ``(G, L)``."""

    D: Any
    M: Floats

    def of(self, values: Floats) -> Floats:
        """Compute M D' of ``(N, K)`` values."""
        return np.asarray(self.M @ (self.D.T @ values), np.float64)

    def square(self, root: Any) -> Floats:
        """Compute M D' Ω Ω' D M' of a sparse Ω with N rows."""
        half = self.D.T @ root
        return np.asarray(self.M @ (half @ half.T).toarray() @ self.M.T, np.float64)


def connected(codes: Integers, other: Integers) -> bool:
    """Tell whether levels of two effects are determined up to one constant.

    Parameters
    ----------
    codes, other
        ``(N,)`` codes of the groups of each, all of them present.
    """
    from scipy import sparse

    G = int(codes.max()) + 1
    L = G + int(other.max()) + 1
    links = sparse.coo_array((np.ones(codes.size), (codes, G + other)), shape=(L, L))
    return bool(sparse.csgraph.connected_components(links, directed=False)[0] == 1)


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
        At the estimates; effects, where there are two, are connected.
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
    solved = _solve_levels(rows.codes, rows.other)
    A = solved.of(rows.by_psi)
    R, C = _own_part(rows, solved, kind)
    cross = C @ sensitivity.T @ A.T
    covariances = R + (cross + cross.T) / N + A @ V @ A.T / N
    return RecoveredEffects(
        tuple(levels),
        solved.of(rows.effects),
        (covariances + covariances.T) / 2,
        counts,
    )


def _solve_levels(codes: Integers, other: Integers | None) -> _Levels:
    """Make D, without the first level of the other effect, and M."""
    from scipy import sparse
    from scipy.sparse.linalg import splu

    N, counts = codes.size, np.bincount(codes)
    own = sparse.csr_array((np.ones(N), (np.arange(N), codes)))
    if other is None:
        return _Levels(own, np.diag(1 / counts))
    every = sparse.csr_array((np.ones(N), (np.arange(N), other)))
    rest = every[:, 1:]
    D = sparse.hstack([own, rest]).tocsr()
    # The average over rows of the other effect moves into the levels of this one.
    average = np.bincount(other)[1:] / N
    T = np.hstack([np.eye(counts.size), np.tile(average, (counts.size, 1))])
    return _Levels(D, splu((D.T @ D).tocsc()).solve(T.T).T)


def _own_part(
    rows: EffectRows, solved: _Levels, kind: CovarianceType
) -> tuple[Floats, Floats]:
    """Compute R / N² ``(G, G)`` and C / N ``(G, M)``."""
    from scipy import sparse

    N, u = rows.codes.size, rows.u[:, rows.equation]
    if kind == "unadjusted":
        sigma = np.atleast_2d(np.cov(rows.u, rowvar=False, bias=True))[rows.equation]
        expected = np.hstack([sigma[e] * Z_e for e, Z_e in enumerate(rows.Z)])
        deviations = sparse.diags_array(np.full(N, np.sqrt(sigma[rows.equation])))
        return solved.square(deviations), solved.of(expected)
    g = np.hstack([rows.u[:, [e]] * Z_e for e, Z_e in enumerate(rows.Z)])
    if kind == "robust":
        return solved.square(sparse.diags_array(u)), solved.of(g * u[:, None])
    assert rows.clusters is not None
    # A column a cluster, of the ξ of its rows: r_c = N M D'(column c).
    by_cluster = sparse.csr_array((u, (np.arange(N), rows.clusters)))
    g_by_cluster = sum_groups(g - g.mean(axis=0), rows.clusters)
    return (
        solved.square(by_cluster),
        solved.of(by_cluster @ g_by_cluster),
    )
