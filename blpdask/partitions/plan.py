"""Which markets go into which block: balanced, and a function of the data alone.

A market's share map and curvature cost about I J (J + c) operations. Blocks are runs of
neighbouring markets of about equal cost: neither workers nor threads enter, so that
sums over blocks have the same order, hence the same bits, wherever they are computed.
"""

from __future__ import annotations

import numpy as np

from ..records import Floats, Integers

#: Operations per agent and product next to the J of the curvature.
MAP_COST = 60.0
#: Cost of a block, about a millisecond of work: enough to hide what a task costs.
BLOCK_COST = 4e6
#: Blocks at most: more would not balance better and cost a record each.
MOST_BLOCKS = 128


def plan_blocks(
    product_counts: Integers, agent_counts: Integers, n_blocks: int | None = None
) -> Integers:
    """Cut T markets into runs of about equal cost.

    Parameters
    ----------
    product_counts, agent_counts
        ``(T,)`` J_t and I_t.
    n_blocks
        Number of blocks, chosen from the cost where None.

    Returns
    -------
    Integers
        ``(B + 1,)`` first market of each block, then T; B is at most T.

    Examples
    --------
    >>> import numpy as np
    >>> plan_blocks(np.array([2, 2, 2, 2]), np.array([9, 9, 9, 9]), n_blocks=2).tolist()
    [0, 2, 4]
    """
    costs = market_costs(product_counts, agent_counts)
    total = float(costs.sum())
    if n_blocks is None:
        n_blocks = int(np.clip(np.ceil(total / BLOCK_COST), 1, MOST_BLOCKS))
    n_blocks = max(1, min(n_blocks, costs.size))
    middles = np.cumsum(costs) - costs / 2
    block_of_market = np.minimum((middles / total * n_blocks).astype(int), n_blocks - 1)
    firsts = np.unique(block_of_market, return_index=True)[1]
    return np.append(firsts, costs.size).astype(np.int64)


def market_costs(product_counts: Integers, agent_counts: Integers) -> Floats:
    """Estimate the operations of a share map and a curvature, ``(T,)``."""
    products = product_counts.astype(np.float64)
    return np.maximum(agent_counts, 1) * products * (products + MAP_COST)
