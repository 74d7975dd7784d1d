"""How shares respond to a characteristic, in arrays, batch by batch.

One source for CPUs and GPUs. Equations are in :mod:`blpdask.kernels.contract`: with
W_ik = w_i α_ik P_ik,

    ∂s_j/∂x_k = 1[j=k] t_h Σ_i W_ij - Σ_i (P_ij + 1[k∈h] (t_h - 1) Q_ij) W_ik.

What is gained where a product is gone is in :mod:`blpdask.kernels.array_removals`.
"""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np

from ..records import Floats, Integers, Tastes, TrialPrices
from .array_batches import Array, Batch, PreparedBlock, gather, to_host
from .array_shares import ShareMap, move_tastes, price_slopes


def jacobians(
    block: PreparedBlock,
    product_offsets: Integers,
    tastes: Tastes,
    trial: TrialPrices,
    scratch_bytes: int,
) -> tuple[Floats, Floats]:
    """Compute ∂s_j/∂x_k of every market, row-major, ``(F,)``, and s ``(N,)``.

    Parameters
    ----------
    block
        The markets.
    product_offsets
        ``(T + 1,)`` first product row of each market, then N.
    tastes
        θ.
    trial
        Utilities and how they move with x.
    scratch_bytes
        Bound on the cache of probabilities of one batch.
    """
    xp, squares = block.xp, np.diff(product_offsets) ** 2
    starts = xp.asarray(np.cumsum(squares) - squares)
    filled, shares = xp.zeros(int(squares.sum()) + 1), xp.zeros(block.n_products + 1)
    on_device, delta = move_tastes(tastes, xp), xp.asarray(trial.delta)
    X2 = xp.asarray(np.concatenate([trial.X2, np.zeros((len(trial.X2), 1))], axis=1))
    with np.errstate(all="ignore"):
        for batch in block.batches(scratch_bytes):
            batch = replace(batch, X2=X2[:, batch.rows].transpose(1, 0, 2))
            at = gather(delta, batch, xp)
            share_map = ShareMap(batch, on_device, at, scratch_bytes, xp)
            places = square_places(batch, starts, filled.size - 1, xp)
            nothing = nothing_of(batch, at)
            filled[places] = _form(share_map, at, trial) + nothing
            shares[batch.rows] = share_map(at)[0] + nothing[..., 0]
    return to_host(filled, xp)[:-1], to_host(shares, xp)[:-1]


def square_places(batch: Batch, starts: Array, size: int, xp: ModuleType) -> Array:
    """Locate [j, k] of each market among the block's, ``(B, J, J)``; ``size`` if none.

    ``starts`` ``(T,)`` says where each market's J² numbers start.
    """
    place, sizes = xp.arange(batch.rows.shape[1]), batch.sizes[:, None, None]
    inside = (place[:, None] < sizes) & (place < sizes)
    flat = starts[batch.markets][:, None, None] + place[:, None] * sizes + place
    return xp.where(inside, flat, size)


def nothing_of(batch: Batch, delta: Array) -> Array:
    """Give each market zero, or NaN where a utility is none, which nests would hide."""
    return 0.0 * (delta.sum(axis=1) + batch.X2.sum(axis=(1, 2)))[:, None, None]


def _form(share_map: ShareMap, delta: Array, trial: TrialPrices) -> Array:
    """Compute ∂s_j/∂x_k, ``(B, J, J)``; of no meaning where padded."""
    xp, batch, nests = share_map.xp, share_map.batch, share_map.nests
    alpha = gather(xp.asarray(trial.alpha), batch, xp)
    slopes = {
        int(k): gather(xp.asarray(values), batch, xp)
        for k, values in zip(trial.X2_priced, trial.X2_by_prices, strict=True)
    }
    n = delta.shape[1]
    own, cross = xp.zeros(delta.shape), xp.zeros((*delta.shape, n))
    within = xp.zeros((*delta.shape, n)) if nests is not None else None
    for agents, P, _, Q, _ in share_map.probabilities(delta, slice(None)):
        alphas = price_slopes(batch, agents, alpha, slopes, share_map.tastes, xp)
        W = batch.weights[:, agents, None] * alphas * P
        own += W.sum(axis=1)
        cross += P.transpose(0, 2, 1) @ W
        if within is not None and Q is not None:
            within += Q.transpose(0, 2, 1) @ W
    if nests is not None:
        same = nests.members @ nests.members.transpose(0, 2, 1)
        cross += (nests.stretch - 1.0)[..., None] * same * within
        own = own * nests.stretch
    return xp.eye(n) * own[..., None] - cross
