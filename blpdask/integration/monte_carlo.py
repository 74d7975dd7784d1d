"""Where do pseudo-random draws come from: one stream, market after market.

    ν_i ~ N(0, I_K),   w_i = 1 / I

The error falls as I^(-1/2), slower than that of every other rule here.
"""

from __future__ import annotations

import numpy as np

from .nodes import MarketNodes, stack_draws


def monte_carlo(
    dimensions: int,
    size: int,
    *,
    n_markets: int,
    seed: int,
    stream: np.random.RandomState | None = None,
) -> MarketNodes:
    """Draw standard normal nodes from one stream that runs through the markets.

    Parameters
    ----------
    dimensions
        Columns of nodes, K.
    size
        Draws in each market, I.
    n_markets
        Number of markets, T.
    seed
        Seed of the legacy Mersenne Twister stream (:class:`numpy.random.RandomState`),
        which NumPy promises never to change.
    stream
        That stream where earlier markets have been drawn; a new one where None.

    Returns
    -------
    MarketNodes
        ``(T I, K)`` nodes.

    Examples
    --------
    >>> draws = monte_carlo(2, 3, n_markets=1, seed=0)
    >>> draws.nodes[0].round(4).tolist()
    [1.7641, 0.4002]
    """
    state = np.random.RandomState(seed) if stream is None else stream
    return stack_draws(state.normal(size=(n_markets * size, dimensions)), n_markets)
