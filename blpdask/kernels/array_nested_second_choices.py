"""The array backend's second choices where there are nests.

First choice by first choice, with its group gone, what
:mod:`blpdask.kernels.loop_nested_second_choices` computes group by group: its symbols
are used here, with z_k = p_j / P_g f_jk, one first choice's part of a_k.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

from .array_adjoints import Adjoint, add_adjoints, adjoint, within_adjoint
from .array_batches import Array, to_host
from .array_choice_functions import BatchFunctions
from .array_nests import NestTastes
from .array_shares import Probabilities, ShareMap

#: A sum of probabilities below which its terms have no digits.
FEW = 1e-250


@dataclass(frozen=True, slots=True)
class _Left:
    """What removing ``gone`` ``(B, 1, 1 + J)`` leaves.

    ``lost`` r, ``lamda`` λ, ``c`` and ``power`` 1 - c are ``(B, i, H)``, ``log_left``
    log L and ``most``, whether it is more than half and has digits, ``(B, i)``.
    """

    gone: Array
    lost: Array
    lamda: Array
    c: Array
    power: Array
    log_left: Array
    most: Array


def nested_expectation(
    share_map: ShareMap, chunk: Probabilities, own: BatchFunctions, s: int
) -> Adjoint:
    """Average a shape of first and second choices."""
    xp, agents, nests = share_map.xp, chunk.agents, share_map.nests
    assert nests is not None and chunk.M is not None
    p = xp.concatenate([chunk.P0[..., None], chunk.P], axis=2)
    first, second = own.first(s, agents), own.second(s, agents)
    total, y = xp.zeros(chunk.P0.shape), xp.zeros(p.shape)
    x, of_rho = xp.zeros(chunk.P.shape), xp.zeros(chunk.M.shape)
    moved = []
    for j in range(p.shape[2]):
        gone = own.gone(s, j)[:, None, :]
        f = first[..., j, None] * second * own.row(s, j, agents) * (1.0 - gone)
        share = (p * gone).sum(axis=2)
        there = share > 0.0
        share = xp.where(there, share, 1.0)
        z = (p[..., j] / share)[..., None] * f
        left = _remove(chunk, nests, gone, xp)
        gains = _gains(p, chunk, nests, left, xp)
        few = there & ~left.most
        if bool(to_host(few.any(), xp)):
            again = share_map.left(agents, gone)
            q = xp.concatenate([again.P0[..., None], again.P], axis=2)
            gains = xp.where(few[..., None], q - p, gains)
            large = xp.where(few[..., None], z, 0.0)
            y -= large * p
            moved.append(adjoint(share_map, again, large * q))
        m = (gains * f).sum(axis=2) / share
        total += p[..., j] * m
        y[..., j] += p[..., j] * m
        y -= p * gone * (p[..., j] / share * m)[..., None]
        small = xp.where((there & left.most)[..., None], z, 0.0)
        _add_gains(p, chunk, nests, left, small, gains, (y, x, of_rho), xp)
    found = adjoint(share_map, chunk, y)
    moved.append(within_adjoint(share_map, chunk, x, of_rho))
    found = add_adjoints(found, *moved)
    return Adjoint(total, found.B, found.by_rho)


def _remove(
    chunk: Probabilities, nests: NestTastes, gone: Array, xp: ModuleType
) -> _Left:
    """Compute what is left within nests and of all."""
    inside, outside = gone[..., 1:], gone[..., 0]
    straight = 1.0 - nests.rho[:, None, :]
    lost = nests.sums(chunk.Q * inside)
    kept = nests.sums(chunk.Q * (1.0 - inside))
    some = kept > 0.0
    of_kept = xp.log(xp.where(some, kept, 1.0))
    lamda = xp.where(lost < 0.5, xp.log1p(-xp.where(some, lost, 0.0)), of_kept)
    lamda = xp.where(some, lamda, 0.0)
    c = xp.where(some | (lost == 0.0), -xp.expm1(straight * lamda), 1.0)
    power = xp.where(some, xp.exp(straight * lamda), 0.0)
    C = chunk.P0 * outside + (chunk.M * c).sum(axis=2)
    L = chunk.P0 * (1.0 - outside) + (chunk.M * power).sum(axis=2)
    near = C < 0.5
    few = (some & (kept < FEW)).any(axis=2) | (L < FEW)
    of_L = xp.log(xp.where(L > 0.0, L, 1.0))
    log_left = xp.where(near, xp.log1p(-xp.where(near, C, 0.0)), of_L)
    return _Left(gone, lost, lamda, c, power, log_left, (L > 0.5) & ~few)


def _gains(
    p: Array, chunk: Probabilities, nests: NestTastes, left: _Left, xp: Array
) -> Array:
    """Compute G ``(B, i, 1 + J)``, zero for what is gone."""
    within = nests.expand(nests.rho[:, None, :] * left.lamda)
    inside = xp.expm1(-within - left.log_left[..., None])
    outside = xp.expm1(-left.log_left)[..., None]
    return p * xp.concatenate([outside, inside], axis=2) * (1.0 - left.gone)


def _add_gains(
    p: Array,
    chunk: Probabilities,
    nests: NestTastes,
    left: _Left,
    z: Array,
    gains: Array,
    sums: tuple[Array, Array, Array],
    xp: ModuleType,
) -> None:
    """Add Σ z_k dG_k to what multiplies dlog p, dlog Q and dρ; z is zero elsewhere."""
    y, x, of_rho = sums
    rho, inside = nests.rho[:, None, :], left.gone[..., 1:]
    y += z * gains
    gained = z * (p + gains)
    own = nests.sums(gained[..., 1:])
    spread = gained.sum(axis=2) * xp.exp(-left.log_left)
    y[..., 0] += spread * chunk.P0 * left.gone[..., 0]
    y[..., 1:] += spread[..., None] * nests.expand(left.c) * chunk.P
    moved = spread[..., None] * chunk.M * left.power
    of_rho += left.lamda * (moved - own)
    of_lamda = (-rho * own - (1.0 - rho) * moved) * xp.exp(-left.lamda)
    near = nests.expand(1.0 * (left.lost < 0.5))
    side = (1.0 - near) * (1.0 - inside) - near * inside
    x += chunk.Q * side * nests.expand(of_lamda)
