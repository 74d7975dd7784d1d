"""How likely agents are to buy anything, and what they pay then.

    Σ_j P_ij   and   Σ_j P_ij p_j,

of which the ratio is the price that agent i pays on average when buying.
"""

from __future__ import annotations

import numpy as np

from ..kernels.array_batches import gather, prepare
from ..kernels.array_shares import ShareMap, move_tastes
from ..records import Floats, MarketBlock, Tastes


def purchases(
    block: MarketBlock,
    tastes: Tastes,
    delta: Floats,
    prices: Floats,
    scratch_bytes: int = 2**26,
) -> Floats:
    """Compute Σ_j P_ij and Σ_j P_ij p_j of every agent, ``(2, A)``.

    Parameters
    ----------
    block
        The markets, X2 over the scale of the extreme-value errors.
    tastes
        θ.
    delta, prices
        ``(N,)`` δ, over that scale too, and p.
    scratch_bytes
        Bound on the probabilities that are held.

    Examples
    --------
    >>> none, offsets = np.empty((2, 0)), np.array([0, 2])
    >>> market = MarketBlock(
    ...     0, 0, offsets, offsets, none.T, *np.zeros((2, 2)), none, np.ones(2), none
    ... )
    >>> tastes = Tastes(np.empty((0, 0)), *np.empty((3, 0), np.int64))
    >>> purchases(market, tastes, np.zeros(2), np.array([1.0, 5.0])).round(4).tolist()
    [[0.6667, 0.6667], [2.0, 2.0]]
    """
    firsts, counts = block.agent_offsets[:-1], np.diff(block.agent_offsets)
    found = np.empty((2, block.weights.size))
    on_host = move_tastes(tastes, np)
    with np.errstate(all="ignore"):
        for batch in prepare(block).batches(scratch_bytes):
            at, paid = gather(delta, batch, np), gather(prices, batch, np)
            share_map = ShareMap(batch, on_host, at, scratch_bytes, np)
            for part in share_map.probabilities(at, slice(None)):
                first, stop, _ = part.agents.indices(batch.shape[1])
                agents = np.arange(first, stop)
                inside = agents < counts[batch.markets][:, None]
                places = (firsts[batch.markets][:, None] + agents)[inside]
                found[0, places] = part.P.sum(axis=2)[inside]
                found[1, places] = (part.P @ paid[..., None])[..., 0][inside]
    return found
