"""What an expectation moves with, gathered in arrays.

Of Σ_j y_j dlog P_ij over all choices, and with nests of Σ_j x_j dlog Q_ij and
Σ_h r_h dρ_h besides, the slopes by stretched utilities and by free parameters of the
nests at given utilities (:mod:`blpdask.kernels.contract`).
"""

from __future__ import annotations

from dataclasses import dataclass

from .array_batches import Array
from .array_nests import rho_slopes
from .array_shares import Probabilities, ShareMap


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


def adjoint(share_map: ShareMap, chunk: Probabilities, y: Array) -> Adjoint:
    """Say what moves Σ_j P_ij f_ij at fixed f; ``y`` ``(B, i, 1 + J)`` is P_ij f_ij."""
    nests, P, inside, mean = share_map.nests, chunk.P, y[..., 1:], y.sum(axis=2)
    if nests is None:
        return Adjoint(mean, inside - P * mean[..., None], [])
    within = nests.expand(nests.rho[:, None, :] * nests.sums(inside))
    own = (1.0 - nests.of_product)[:, None, :] * P * mean[..., None]
    by_rho = []
    for of_P, of_P0, _, _ in _slopes_by_rho(share_map, chunk):
        by_rho.append((inside * of_P).sum(axis=2) + y[..., 0] * of_P0)
    return Adjoint(mean, inside - own - chunk.Q * within, by_rho)


def within_adjoint(
    share_map: ShareMap, chunk: Probabilities, x: Array, of_rho: Array
) -> Adjoint:
    """Say what Σ_j x_j dlog Q_ij + Σ_h r_h dρ_h is; ``of_rho`` ``(B, i, H)`` is r."""
    assert share_map.nests is not None
    B = x - chunk.Q * share_map.nests.expand(share_map.nests.sums(x))
    by_rho = []
    for _, _, of_Q, which in _slopes_by_rho(share_map, chunk):
        own = (of_rho * which[:, None, :]).sum(axis=2)
        by_rho.append((x * of_Q).sum(axis=2) + own)
    return Adjoint(0.0 * chunk.P0, B, by_rho)


def add_adjoints(first: Adjoint, *others: Adjoint) -> Adjoint:
    """Add what moves, E of the first staying."""
    B, by_rho = first.B, first.by_rho
    for other in others:
        B = B + other.B
        by_rho = [a + b for a, b in zip(by_rho, other.by_rho, strict=True)]
    return Adjoint(first.E, B, by_rho)


def _slopes_by_rho(
    share_map: ShareMap, chunk: Probabilities
) -> list[tuple[Array, Array, Array, Array]]:
    """Differentiate log P, P_0 and Q by each free ρ, and say whose it is."""
    nests = share_map.nests
    assert nests is not None
    found = []
    for free in share_map.tastes.free_nests:
        which = free[share_map.batch.nest_codes]
        available = share_map.batch.available(chunk.agents)
        slopes = rho_slopes(chunk.Q, chunk.M, available, nests, which, share_map.xp)
        found.append((*slopes, which))
    return found
