"""The array backend's expectations of functions of first and second choices.

First choice by first choice, with its group gone, and without nests, as in
:mod:`blpdask.kernels.loop_second_choices`,

    E_i  = Σ_j p_j m_j,   m_j = Σ_{k∉g} q_gk f_jk,   q_gk = p_k / Σ_{l∉g} p_l,
    dE_i = Σ_j {p_j m_j dlog p_j + Σ_{k∉g} q_gk p_j f_jk dlog q_gk};

with nests see :mod:`blpdask.kernels.array_nested_second_choices`.
"""

from __future__ import annotations

from .array_adjoints import Adjoint, add_adjoints, adjoint
from .array_batches import Array, to_host
from .array_choice_functions import BatchFunctions
from .array_nested_second_choices import FEW, nested_expectation
from .array_shares import Probabilities, ShareMap


def second_expectation(
    share_map: ShareMap, chunk: Probabilities, own: BatchFunctions, s: int
) -> Adjoint:
    """Average a shape of first and second choices."""
    if share_map.nests is not None:
        return nested_expectation(share_map, chunk, own, s)
    xp, agents = share_map.xp, chunk.agents
    p = xp.concatenate([chunk.P0[..., None], chunk.P], axis=2)
    first, second = own.first(s, agents), own.second(s, agents)
    y, moved = xp.zeros(p.shape), []
    for j in range(p.shape[2]):
        gone = own.gone(s, j)[:, None, :]
        left = _without(share_map, p, agents, gone)
        q = xp.concatenate([left.P0[..., None], left.P], axis=2)
        f = first[..., j, None] * second * own.row(s, j, agents)
        gained = q * f
        y[..., j] = p[..., j] * gained.sum(axis=2)
        moved.append(adjoint(share_map, left, p[..., j, None] * gained))
    return add_adjoints(adjoint(share_map, chunk, y), *moved)


def _without(
    share_map: ShareMap, p: Array, agents: slice, gone: Array
) -> Probabilities:
    """Compute probabilities with choices ``(B, 1, 1 + J)`` gone, from p."""
    xp = share_map.xp
    q = p * (1.0 - gone)
    total = q.sum(axis=2)
    few = total < FEW
    q = q / xp.where(few, 1.0, total)[..., None]
    if bool(to_host(few.any(), xp)):
        left = share_map.left(agents, gone)
        again = xp.concatenate([left.P0[..., None], left.P], axis=2)
        q = xp.where(few[..., None], again, q)
    return Probabilities(agents, q[..., 1:], q[..., 0], None, None)
