"""The array backend's first-order conditions of prices, batch by batch.

One source for CPUs and GPUs. Equations are in :mod:`blpdask.kernels.contract`, with the
same sums over agents as in :mod:`blpdask.kernels.loop_conditions`:

    ζ_j = (z_j - s_j) / (H_jj Λ_j),   z_j = Σ_i w_i α_ij P_ij a_ij,   a_i = H (P_i ∘ m)

(Morrow and Skerlos 2011), with t_h - 1 times H (Q_i ∘ m) within nests added to a_i.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import (
    Floats,
    Integers,
    PriceConditions,
    SupplyRows,
    Tastes,
    TrialPrices,
)
from .array_batches import Array, Batch, PreparedBlock, gather, to_host
from .array_markups import ownership_of
from .array_shares import ShareMap, move_tastes, price_slopes


def conditions(
    block: PreparedBlock,
    supply: SupplyRows,
    product_offsets: Integers,
    tastes: Tastes,
    trial: TrialPrices,
    margins: Floats,
    active: NDArray[np.bool_],
    scratch_bytes: int,
) -> PriceConditions:
    """Compute s, Λ and ζ at trial prices, in the active markets alone.

    Parameters
    ----------
    block, supply
        The markets and their owners.
    product_offsets
        ``(T + 1,)`` first product row of each market, then N.
    tastes
        θ.
    trial
        What prices move, at the prices tried.
    margins
        ``(N,)`` m = p - c.
    active
        ``(T,)`` markets to work on; others have NaN.
    scratch_bytes
        Bound on the cache of probabilities of one batch.
    """
    xp = block.xp
    squares = np.diff(product_offsets) ** 2
    places = xp.asarray(np.cumsum(squares) - squares)
    on_device = move_tastes(tastes, xp)
    filled = xp.full((3, block.n_products + 1), xp.nan)
    with np.errstate(all="ignore"):
        for batch in _active_batches(block, trial, active, scratch_bytes):
            there = gather(xp.asarray(trial.delta), batch, xp)
            share_map = ShareMap(batch, on_device, there, scratch_bytes, xp)
            H = ownership_of(supply, batch, places, xp)
            filled[:, batch.rows] = _sums(share_map, there, trial, margins, H)
    found = to_host(filled, xp)[:, :-1]
    return PriceConditions(
        shares=found[0],
        Lambda=found[1],
        zeta=np.where(np.isfinite(found[2]), found[2], np.nan),
    )


def _active_batches(
    block: PreparedBlock,
    trial: TrialPrices,
    active: NDArray[np.bool_],
    scratch_bytes: int,
) -> Iterator[Batch]:
    """Give the block's batches with X2 as it is at the prices tried."""
    xp = block.xp
    padded = np.concatenate([trial.X2, np.zeros((trial.X2.shape[0], 1))], axis=1)
    X2 = xp.asarray(padded)
    for batch in block.batches(scratch_bytes):
        index = np.flatnonzero(active[to_host(batch.markets, xp)])
        if index.size:
            some = batch.take(xp.asarray(index))
            yield replace(some, X2=X2[:, some.rows].transpose(1, 0, 2))


def _sums(
    share_map: ShareMap, delta: Array, trial: TrialPrices, margins: Floats, H: Array
) -> Array:
    """Compute s, H_jj Λ_j and ζ_j, ``(3, B, J)``; of no meaning where padded."""
    xp, batch = share_map.xp, share_map.batch

    def rows(values: Any) -> Array:
        return gather(xp.asarray(values), batch, xp)

    common, m = rows(trial.alpha), rows(margins)[:, None, :]
    slopes = {
        int(k): rows(values)
        for k, values in zip(trial.X2_priced, trial.X2_by_prices, strict=True)
    }
    shares, Lambda, earned = (xp.zeros(delta.shape) for _ in range(3))
    nests = share_map.nests
    within = None
    if nests is not None:
        within = H * (nests.members @ nests.members.transpose(0, 2, 1))
        within = within * (nests.stretch - 1.0)[..., None]
    for agents, P, _, Q, _ in share_map.probabilities(delta, slice(None)):
        alpha = price_slopes(batch, agents, common, slopes, share_map.tastes, xp)
        weighted = batch.weights[:, agents, None] * P
        shares += weighted.sum(axis=1)
        weighted = weighted * alpha
        Lambda += weighted.sum(axis=1)
        worth = (P * m) @ H.transpose(0, 2, 1)
        if within is not None:
            worth = worth + (Q * m) @ within.transpose(0, 2, 1)
        earned += (weighted * worth).sum(axis=1)
    if nests is not None:
        Lambda = Lambda * nests.stretch
    Lambda = Lambda * (H * xp.eye(delta.shape[1])).sum(axis=2)
    return xp.stack([shares, Lambda, (earned - shares) / Lambda])
