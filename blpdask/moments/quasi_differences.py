"""Moments of innovations from sums over blocks: instruments are lagged, errors not.

A lag may be in any block, so that ũ = u - φ Lu cannot be computed block by block. But
moments are linear in u. With D₁ and D₂ flagging rows with a lag and with two,

    levels                     v = z,
    innovations                v = D₁ z,
    differenced innovations    v = (I - L') D₂ z,

and w = L'v, found once from all rows, a moment of equation e is

    v'u_e - Σ_d φ_ed w'u_d                  (d over equations: ξ, then ω).

Blocks therefore sum u_e against their rows of Z_e = [V_e, W_e, W_d], with instruments
of the other equation among them, and the matrix

    T(φ) = T₀ + Σ_ed φ_ed T_ed

makes moments of those sums. Z'X moves with φ, and by φ_ed moments move by

    T_ed (Z'y - Z'X b)      given b.

No sum of a block depends on φ: an evaluation stays one reduction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..records import Floats, Integers
from .lags import Lags, MomentType, Stacked, carry_back, columns_by_type


@dataclass(frozen=True, slots=True, eq=False)
class QuasiDifferences:
    """Moments of stated types, as a matrix on sums of blocks that moves with φ.

    Attributes
    ----------
    base
        ``(M, R)`` T₀, from R sums to M moments.
    by_phi
        ``(E, E, M, R)`` T_ed.
    ZtX
        ``(R, K)`` Z'X of the sums' instruments, in long doubles.
    lags
        Which row each row follows.
    Z
        Instruments of each pseudo-equation ``(N, M_q)``: an equation and type of
        moments, in the order of moments and of the user's rows.
    sources
        The equation and type of each.
    clusters
        ``(N,)`` or ``(N, W)`` codes of clusters, or None.
    """

    base: Floats
    by_phi: Floats
    ZtX: Floats
    lags: Lags
    Z: tuple[Floats, ...]
    sources: tuple[tuple[int, MomentType], ...]
    clusters: Integers | None

    @property
    def pseudo_equations(self) -> Integers:
        """Give the place of each moment's pseudo-equation, ``(M,)``."""
        counts = [Z.shape[1] for Z in self.Z]
        return np.repeat(np.arange(len(counts)), counts)

    @property
    def moment_types(self) -> tuple[MomentType, ...]:
        """Name the type of each moment, M of them."""
        return tuple(self.sources[q][1] for q in self.pseudo_equations)

    def at(self, phi: Floats) -> Floats:
        """Give T(φ), ``(M, R)``, of φ ``(E, E)``."""
        return np.asarray(self.base + np.einsum("ed,edmr->mr", phi, self.by_phi))


def lagged_instruments(
    Z: Sequence[Floats], types: Sequence[Stacked], lags: Lags
) -> tuple[Floats, ...]:
    """Compute Z_e = [V_e, W_e, W_d] of each equation, ``(N, R_e)``.

    Parameters
    ----------
    Z
        ``(N, M_e)`` instruments of each equation.
    types
        Types of each equation's moments.
    lags
        Which row each follows.
    """
    own, lagged = [], []
    for values, stacked in zip(Z, types, strict=True):
        names = np.array(columns_by_type(stacked), dtype=object)
        v = _own_instruments(values, names, lags)
        own.append(v)
        lagged.append(carry_back(v[:, names != "levels"], lags))
    return tuple(
        np.hstack([v, lagged[e], *lagged[:e], *lagged[e + 1 :]])
        for e, v in enumerate(own)
    )


def sums_to_moments(types: Sequence[Stacked]) -> tuple[Floats, Floats]:
    """Lay out T₀ ``(M, R)`` and T_ed ``(E, E, M, R)``.

    Parameters
    ----------
    types
        Types of each equation's moments.

    Examples
    --------
    >>> base, by_phi = sums_to_moments([(("levels", 1), ("innovations", 1))])
    >>> base.tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    >>> by_phi[0, 0].tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, -1.0]]
    """
    names = [columns_by_type(stacked) for stacked in types]
    moving = [[m for m, name in enumerate(own) if name != "levels"] for own in names]
    counts = [len(own) for own in names]
    n_moving = sum(len(own) for own in moving)
    E, M = len(types), sum(counts)
    base, by_phi = (
        np.zeros((M, M + E * n_moving)),
        np.zeros((E, E, M, M + E * n_moving)),
    )
    moment = np.cumsum([0, *counts])
    column = 0
    for d in range(E):
        own = np.arange(counts[d])
        base[moment[d] + own, column + own] = 1.0
        column += counts[d]
        for e in (d, *(other for other in range(E) if other != d)):
            rows = moment[e] + np.array(moving[e], np.int64)
            by_phi[e, d, rows, column + np.arange(rows.size)] = -1.0
            column += rows.size
    return base, by_phi


def pseudo_equations(
    Z: Sequence[Floats], types: Sequence[Stacked]
) -> tuple[tuple[Floats, ...], tuple[tuple[int, MomentType], ...]]:
    """Split instruments by type; say the equation and the type of each part."""
    parts: list[Floats] = []
    sources: list[tuple[int, MomentType]] = []
    for e, (values, stacked) in enumerate(zip(Z, types, strict=True)):
        ends = np.cumsum([count for _, count in stacked])[:-1]
        parts += np.split(values, ends, axis=1)
        sources += [(e, name) for name, _ in stacked]
    return tuple(parts), tuple(sources)


def _own_instruments(
    Z: Floats, names: np.ndarray[tuple[int, ...], np.dtype[np.object_]], lags: Lags
) -> Floats:
    """Compute V of one equation, ``(N, M_e)``."""
    v = Z.copy()
    v[:, names == "innovations"] *= lags.once[:, None]
    differenced = names == "differenced_innovations"
    twice = Z[:, differenced] * lags.twice[:, None]
    v[:, differenced] = twice - carry_back(twice, lags)
    return v
