"""How to draw one point from each of I equally likely strata of every dimension.

With π a random permutation of 0, ..., I - 1 and U uniform on [0, 1),

    ν_ik = Φ⁻¹((π_k(i) + U_ik) / I),   w_i = 1 / I.

The modified version shifts all strata of a dimension by one and the same U_k, so that
draws are evenly spaced.

References
----------
McKay, Beckman and Conover (1979); Hess, Train and Polak (2006) for the modification.
"""

from __future__ import annotations

import numpy as np

from .nodes import MarketNodes, normal_quantiles, stack_draws


def latin_hypercube(
    dimensions: int,
    size: int,
    *,
    n_markets: int,
    seed: int,
    modified: bool = False,
    stream: np.random.RandomState | None = None,
) -> MarketNodes:
    """Draw stratified normal nodes from one stream that runs through the markets.

    Parameters
    ----------
    dimensions
        Columns of nodes, K.
    size
        Draws in each market, I.
    n_markets
        Number of markets, T.
    seed
        Seed of the stream.
    modified
        Whether all strata of a dimension share one shift.
    stream
        The stream where earlier markets have been drawn; a new one where None.

    Returns
    -------
    MarketNodes
        ``(T I, K)`` nodes.

    Examples
    --------
    >>> draws = latin_hypercube(1, 4, n_markets=1, seed=0, modified=True)
    >>> ((draws.nodes > 0).sum().item(), draws.weights[0].item())
    (2, 0.25)
    """
    state = np.random.RandomState(seed) if stream is None else stream
    uniforms = np.empty((n_markets, size, dimensions))
    strata = np.arange(size)
    shifts = 1 if modified else size
    for market in range(n_markets):
        for dimension in range(dimensions):
            points = strata + state.uniform(size=shifts)
            state.shuffle(points)
            uniforms[market, :, dimension] = points
    nodes = normal_quantiles(uniforms.reshape(-1, dimensions) / size)
    return stack_draws(nodes, n_markets)
