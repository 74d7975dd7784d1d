"""How likely each agent of a block is to choose each product.

    P_ij = Q_ij M_ih

as :mod:`blpdask.kernels.contract` has it; without nests e^{δ_j + μ_ij} over one plus
its sum. Markets of like size are computed side by side.
"""

from __future__ import annotations

import numpy as np

from ..kernels.array_batches import gather, prepare
from ..kernels.array_shares import ShareMap, move_tastes
from ..records import Floats, MarketBlock, Tastes


def choice_probabilities(
    block: MarketBlock, tastes: Tastes, delta: Floats, scratch_bytes: int = 2**26
) -> Floats:
    """Compute P of all products and agents, ``(N, max I)``.

    Parameters
    ----------
    block
        The markets; agents come in their order.
    tastes
        θ.
    delta
        ``(N,)`` δ, over the scale of the extreme-value errors.
    scratch_bytes
        Bound on what of P is held beside the answer.

    Returns
    -------
    array
        NaN beyond the agents of a product's market.
    """
    counts = np.diff(block.agent_offsets)
    found = np.full((block.n_products + 1, int(counts.max())), np.nan)
    on_host = move_tastes(tastes, np)
    prepared = prepare(block)
    with np.errstate(all="ignore"):
        for batch in prepared.batches(scratch_bytes):
            at = gather(delta, batch, np)
            share_map = ShareMap(batch, on_host, at, scratch_bytes, np)
            for part in share_map.probabilities(at, slice(None)):
                first, stop, _ = part.agents.indices(batch.shape[1])
                own = np.arange(first, min(stop, batch.shape[1]))
                there = own < counts[batch.markets][:, None]
                P = np.where(there[:, :, None], part.P, np.nan)
                found[batch.rows[:, :, None], own] = P.swapaxes(1, 2)
    return found[:-1]
