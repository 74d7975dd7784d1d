"""What choices gain when a product is gone, in arrays, batch by batch.

One source for CPUs and GPUs. Equations are in :mod:`blpdask.kernels.contract`, names as
in :mod:`blpdask.kernels.loop_removals`:

    P_ijk = P_ik (c_ij + 1[k∈h] b_ij) / L_ij,

so that sums over agents are products of matrices. Of agents who choose one product of a
nest, or one nest, with certainty to all digits of a computer, probabilities are
computed anew from utilities with each product gone.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np

from ..records import Floats, Integers, Tastes
from .array_batches import Array, Batch, PreparedBlock, gather, to_host
from .array_nests import NestTastes
from .array_responses import nothing_of, square_places
from .array_shares import Probabilities, ShareMap, move_tastes, utilities

#: What is left beside one choice, at most, where that is as good as certain.
CERTAIN = 1e-250


def removals(
    block: PreparedBlock,
    product_offsets: Integers,
    tastes: Tastes,
    delta: Floats,
    scratch_bytes: int,
) -> tuple[Floats, Floats]:
    """Compute what k gains where j is gone as [j, k], ``(F,)``, and s ``(N,)``.

    Parameters
    ----------
    block
        The markets.
    product_offsets
        ``(T + 1,)`` first product row of each market, then N.
    tastes
        θ.
    delta
        ``(N,)`` mean utilities.
    scratch_bytes
        Bound on the cache of probabilities of one batch.
    """
    xp, squares = block.xp, np.diff(product_offsets) ** 2
    starts = xp.asarray(np.cumsum(squares) - squares)
    filled, shares = xp.zeros(int(squares.sum()) + 1), xp.zeros(block.n_products + 1)
    on_device, everywhere = move_tastes(tastes, xp), xp.asarray(delta)
    with np.errstate(all="ignore"):
        for batch in block.batches(scratch_bytes):
            at = gather(everywhere, batch, xp)
            share_map = ShareMap(batch, on_device, at, scratch_bytes, xp)
            places = square_places(batch, starts, filled.size - 1, xp)
            gained = _gained(share_map, at) + nothing_of(batch, at)
            filled[places], shares[batch.rows] = gained, gained.sum(axis=2)
    return to_host(filled, xp)[:-1], to_host(shares, xp)[:-1]


def _gained(share_map: ShareMap, delta: Array) -> Array:
    """Compute what is gained, ``(B, J, J)``; of no meaning where padded."""
    xp, batch, nests = share_map.xp, share_map.batch, share_map.nests
    n = delta.shape[1]
    gained, outside = xp.zeros((*delta.shape, n)), xp.zeros(delta.shape)
    for chunk in share_map.probabilities(delta, slice(None)):
        a, b, certain = _factors(share_map, chunk)
        kept = batch.weights[:, chunk.agents, None] * ~certain[..., None]
        a = xp.where(kept != 0.0, kept * a, 0.0)
        gained += a.transpose(0, 2, 1) @ chunk.P
        outside += (a * chunk.P0[..., None]).sum(axis=1)
        if nests is not None:
            b = xp.where(kept != 0.0, kept * b, 0.0)
            same = nests.members @ nests.members.transpose(0, 2, 1)
            gained += same * (b.transpose(0, 2, 1) @ chunk.P)
        index = np.flatnonzero(to_host(certain.any(axis=1), xp))
        if index.size:
            some = xp.asarray(index)
            found = _gained_of_certain(
                share_map, delta[some], some, chunk.agents, certain[some]
            )
            gained[some] += found[0]
            outside[some] += found[1]
    none = 1.0 - xp.eye(n)
    return gained * none + xp.eye(n) * outside[..., None]


def _factors(share_map: ShareMap, chunk: Probabilities) -> tuple[Array, Array, Array]:
    """Compute c / L and b / L ``(B, i, J)``, and for whom they are lost, ``(B, i)``."""
    xp, nests = share_map.xp, share_map.nests
    if nests is None:
        rest = chunk.P0 + xp.where(chunk.P > 0.5, 0.0, chunk.P).sum(axis=2)
        others = xp.where(chunk.P > 0.5, rest[..., None], 1.0 - chunk.P)
        return chunk.P / others, xp.zeros(1), rest < CERTAIN
    Q: Array = chunk.Q
    M: Array = chunk.M
    rho = nests.of_product[:, None, :]
    rest = nests.sums(xp.where(Q > 0.5, 0.0, Q))
    less = chunk.P0 + xp.where(M > 0.5, 0.0, M).sum(axis=2)
    beside = nests.expand(xp.where(M > 0.5, less[..., None], 1.0 - M))
    kept = xp.where(Q > 0.5, nests.expand(rest), 1.0 - Q)
    log_kept = xp.where(Q < 0.5, xp.log1p(-Q), xp.log(kept))
    x = -xp.expm1((1.0 - rho) * log_kept)
    staying = xp.where(Q < 0.5, 1.0 - x, xp.exp((1.0 - rho) * log_kept))
    M_of = nests.expand(M)
    L = beside + M_of * staying
    b = xp.where(kept > 0.0, xp.expm1(-rho * log_kept) / L, 0.0)
    certain = ((rest < CERTAIN) & _have_two(share_map, chunk.agents)).any(axis=2)
    return M_of * x / L, b, certain | (less < CERTAIN)


def _have_two(share_map: ShareMap, agents: slice) -> Array:
    """Tell who can choose between products of a nest, ``(B, i or 1, H)``."""
    batch, nests = share_map.batch, share_map.nests
    assert nests is not None
    available = batch.available(agents)
    if available is None:
        return nests.members.sum(axis=1)[:, None, :] > 1.0
    return nests.sums((available > 0.0) * 1.0) > 1.0


def _gained_of_certain(
    share_map: ShareMap, delta: Array, index: Array, agents: slice, certain: Array
) -> tuple[Array, Array]:
    """Add up what some agents' choices gain, ``(b, J, J)`` and ``(b, J)``.

    ``delta`` ``(b, J)`` and ``certain`` ``(b, i)`` are of the markets of ``index``.
    """
    xp, batch = share_map.xp, share_map.batch.take(index)
    nests = _nests(share_map, batch, index)
    v = utilities(batch, delta, agents, share_map.tastes, xp)
    v = v * nests.stretch[:, None, :]
    available = batch.available(agents)
    if available is not None:
        v = v + xp.log(available)
    weights = batch.weights[:, agents] * certain
    logs = _log_sums(v, nests, xp)
    place, gained, outside = xp.arange(v.shape[2]), [], []
    for j in range(v.shape[2]):
        left = _log_sums(xp.where(place == j, -xp.inf, v), nests, xp)
        of_P, of_P0 = _gains(v, j, logs, left, nests, xp)
        gained.append((weights[..., None] * of_P).sum(axis=1))
        outside.append((weights * of_P0).sum(axis=1))
    return xp.stack(gained, axis=1), xp.stack(outside, axis=1)


def _nests(share_map: ShareMap, batch: Batch, index: Array) -> NestTastes:
    """Give markets their nests, one of all products where there are none."""
    if share_map.nests is not None:
        return share_map.nests.take(index)
    none = 0.0 * batch.padding
    return NestTastes(1.0 - batch.padding[..., None], none[:, :1], none, none + 1.0)


def _log_sums(
    v: Array, nests: NestTastes, xp: ModuleType
) -> tuple[Array, Array, Array]:
    """Compute log Σ e^v of nests ``(b, i, H)``, I, and log(1 + Σ_h e^I) ``(b, i)``."""
    found = []
    for h in range(nests.rho.shape[1]):
        own = xp.where(nests.members[:, None, :, h] > 0.0, v, -xp.inf)
        found.append(_log_sum(own, xp))
    logs = xp.stack(found, axis=2)
    inclusive = (1.0 - nests.rho)[:, None, :] * logs
    none = xp.zeros((*inclusive.shape[:2], 1))
    return logs, inclusive, _log_sum(xp.concatenate([none, inclusive], axis=2), xp)


def _log_sum(values: Array, xp: ModuleType) -> Array:
    """Compute log Σ e^v over the last axis."""
    top = values.max(axis=2)
    shift = xp.where(top > -xp.inf, top, 0.0)
    return shift + xp.log(xp.exp(values - shift[..., None]).sum(axis=2))


def _gains(
    v: Array,
    j: int,
    before: tuple[Array, Array, Array],
    after: tuple[Array, Array, Array],
    nests: NestTastes,
    xp: ModuleType,
) -> tuple[Array, Array]:
    """Compute P_ijk ``(b, i, J)`` and P_ij0 ``(b, i)``, zero where j is k.

    log P_ik - log P_ik^-j is log L, plus ρ_h log(1 - r) in the nest of j.
    """
    logs, inclusive, level = before
    left_logs, left_inclusive, left_level = after
    own = nests.members[:, None, j, :] > 0.0
    rho = xp.where(own, nests.rho[:, None, :], 0.0).sum(axis=2)
    r = xp.exp(v[:, :, j] - xp.where(own, logs, 0.0).sum(axis=2))
    change = xp.where(own & (left_logs < logs), left_logs - logs, 0.0).sum(axis=2)
    log_kept = xp.where(r < 0.5, xp.log1p(-r), change)
    M = xp.exp(xp.where(own, inclusive, 0.0).sum(axis=2) - level)
    lost = M * -xp.expm1((1.0 - rho) * log_kept)
    log_left = xp.where(lost < 0.5, xp.log1p(-lost), left_level - level)
    within = xp.where(rho * log_kept > -xp.inf, rho * log_kept, 0.0)
    change = log_left[..., None] + nests.expand(own * 1.0) * within[..., None]
    there = xp.where(left_logs > -xp.inf, left_inclusive - left_logs, 0.0)
    log_P = v + nests.expand(there) - left_level[..., None]
    gains = -xp.exp(log_P) * xp.expm1(change)
    gains = xp.where((xp.arange(v.shape[2]) == j) | (v == -xp.inf), 0.0, gains)
    none = v[:, :, j] == -xp.inf
    gains = xp.where(none[..., None], 0.0, gains)
    return gains, xp.where(none, 0.0, -xp.exp(-left_level) * xp.expm1(log_left))
