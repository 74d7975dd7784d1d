"""The array backend's expectations of functions of first and second choices.

First choice by first choice, with its group gone,

    E_i = Σ_j p_j / π_g Σ_{k∉g} (p_k^-g - p_k) f_jk,   π_g = Σ_{l∈g} p_l,

moves with p by y = ∂E_i/∂p and with each p^-g, which moves with utilities as p does.
Equations are in :mod:`blpdask.kernels.contract`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .array_batches import Array
from .array_choice_functions import BatchFunctions
from .array_nests import inclusive_values, rho_slopes
from .array_shares import Probabilities, ShareMap

#: Agents, and E, o and f of theirs, as :meth:`ShareMap.tiles` yields them.
Tile = tuple[slice, Array, Array, Array]


@dataclass(frozen=True, slots=True)
class Adjoint:
    """An expectation and what it moves with.

    Attributes
    ----------
    E
        ``(B, i)``.
    B
        ``(B, i, J)`` by stretched utilities.
    by_rho
        For each free parameter of the nests, ``(B, i)``.
    """

    E: Array
    B: Array
    by_rho: list[Array]


def adjoint(
    share_map: ShareMap, chunk: Probabilities, f: Array, mean: Array
) -> Adjoint:
    """Say what moves Σ_j P_ij f_ij, which is ``mean``, at fixed f ``(B, i, 1 + J)``."""
    nests, P, inside = share_map.nests, chunk.P, f[..., 1:]
    if nests is None:
        return Adjoint(mean, P * (inside - mean[..., None]), [])
    own = inside - (1.0 - nests.of_product)[:, None, :] * mean[..., None]
    within = nests.expand(nests.rho[:, None, :] * nests.sums(P * inside))
    B = P * own - chunk.Q * within
    by_rho = []
    available = share_map.batch.available(chunk.agents)
    for free in share_map.tastes.free_nests:
        which = free[share_map.batch.nest_codes]
        of_P, of_P0, _ = rho_slopes(
            chunk.Q, chunk.M, available, nests, which, share_map.xp
        )
        outside = chunk.P0 * f[..., 0] * of_P0
        by_rho.append((P * inside * of_P).sum(axis=2) + outside)
    return Adjoint(mean, B, by_rho)


def second_expectation(
    share_map: ShareMap, chunk: Probabilities, tile: Tile, own: BatchFunctions, s: int
) -> Adjoint:
    """Average a shape of first and second choices."""
    xp, agents = share_map.xp, chunk.agents
    p = xp.concatenate([chunk.P0[..., None], chunk.P], axis=2)
    first, second = own.first(s, agents), own.second(s, agents)
    total, y = xp.zeros(chunk.P0.shape), xp.zeros(p.shape)
    B, by_rho = xp.zeros(chunk.P.shape), [0.0] * len(share_map.tastes.free_nests)
    for j in range(p.shape[2]):
        gone = own.gone(s, j)[:, None, :]
        kept = 1.0 - gone
        f = first[..., j, None] * second * own.row(s, j, agents) * kept
        share = (p * gone).sum(axis=2)
        there = share > 0.0
        inverse = xp.where(there, 1.0 / xp.where(there, share, 1.0), 0.0)
        split = p[..., j] * inverse
        left = _without(share_map, chunk, tile, gone)
        q = xp.concatenate([left.P0[..., None], left.P], axis=2)
        gain = ((q - p) * f).sum(axis=2)
        total += split * gain
        z = split[..., None] * f
        y -= z + (split * gain * inverse)[..., None] * gone
        y[..., j] += gain * inverse
        of_left = adjoint(share_map, left, z, (q * z).sum(axis=2))
        B += of_left.B
        by_rho = [a + b for a, b in zip(by_rho, of_left.by_rho, strict=True)]
    of_p = adjoint(share_map, chunk, y, (p * y).sum(axis=2))
    by_rho = [a + b for a, b in zip(by_rho, of_p.by_rho, strict=True)]
    return Adjoint(total, B + of_p.B, by_rho)


def _without(
    share_map: ShareMap, chunk: Probabilities, tile: Tile, gone: Array
) -> Probabilities:
    """Compute probabilities with choices ``(B, 1, 1 + J)`` gone."""
    xp, nests = share_map.xp, share_map.nests
    _, E, o, f = tile
    kept = 1.0 - gone
    E, o = E * kept[..., 1:], o * kept[..., 0]
    if nests is None:
        denominator = o + E.sum(axis=2)
        there = denominator > 0.0
        inverse = xp.where(there, 1.0 / xp.where(there, denominator, 1.0), 0.0)
        P = E * inverse[..., None]
        return Probabilities(chunk.agents, P, o * inverse, None, None)
    G = nests.sums(E)
    M, per_G, P0 = inclusive_values(G, o, f, nests, xp)
    Q = E * nests.expand(xp.where(G > 0.0, 1.0 / xp.where(G > 0.0, G, 1.0), 0.0))
    return Probabilities(chunk.agents, E * nests.expand(per_G), P0, Q, M)
